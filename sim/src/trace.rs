//! What happened, line by line: a hash over all of it and the last lines. Never decides anything.

use base::Time;
use std::collections::VecDeque;

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    tail: VecDeque<String>,
    tail_max: usize,
    verbose: bool,
}

impl Trace {
    /// An empty one.
    pub fn new(tail_max: usize, verbose: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, tail: VecDeque::new(), tail_max, verbose }
    }
    /// Adds a line.
    pub fn line(&mut self, since: Time, now: Time, what: &str) {
        let at = now.since(since).as_nanos();
        let line = format!("{:>10}.{:06} {what}", at / 1_000_000, at % 1_000_000);
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.verbose {
            println!("{line}");
        }
        if self.tail.len() == self.tail_max {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
    /// The hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }
    /// The last lines.
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }
}
