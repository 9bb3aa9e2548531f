//! The one shape of everything that decides.

use crate::{Rng, Time};

/// The instant of a step, and the only randomness it may use.
pub struct Now<'a> {
    /// When the step happens.
    pub time: Time,
    /// The machine's randomness.
    pub rng: &'a mut Rng,
}

impl<'a> Now<'a> {
    /// An instant with its randomness.
    pub fn new(time: Time, rng: &'a mut Rng) -> Self {
        Self { time, rng }
    }
}

/// What a step asks the shell to do, in order.
#[derive(Debug)]
pub struct Effects<E>(Vec<E>);

impl<E> Default for Effects<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E> Effects<E> {
    /// Asks for one more.
    pub fn push(&mut self, effect: impl Into<E>) {
        self.0.push(effect.into());
    }
    /// Takes all of them, in order; the buffer stays for the next step.
    pub fn drain(&mut self) -> std::vec::Drain<'_, E> {
        self.0.drain(..)
    }
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// What has been asked for so far.
    pub fn as_slice(&self) -> &[E] {
        &self.0
    }
}

/// A part of the cluster as a plain value: it takes inputs and says what must follow. It never blocks and never fails.
pub trait Machine {
    /// What can happen to it.
    type Input;
    /// What it can ask for.
    type Effect;
    /// Takes one input at one instant and says what must follow. Total: a bad request is a rejected reply, not an error.
    fn step(&mut self, now: Now<'_>, input: Self::Input, out: &mut Effects<Self::Effect>);
    /// The next instant at which it wants a step though nothing happened, and why.
    fn deadline(&self) -> Option<(Time, &'static str)>;
    /// Panics if a stated invariant is broken: cheap parts in production, all of it in simulation.
    fn check(&self);
}
