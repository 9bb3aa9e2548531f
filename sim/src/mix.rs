//! What a seed picks before anything runs: the cluster, the faults that can happen at all, the workload.
//!
//! Some features are off altogether in most seeds (swarm testing): what always happens hides what seldom does.

use base::{Duration, Rng};
use std::fmt;

/// A fault that can happen in this seed, and how much more often than others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A connection of the link breaks.
    Break,
    /// Two hosts don't hear each other for a while.
    Partition,
    /// One host hears no other for a while.
    Isolate,
    /// The master's process ends at any moment.
    CrashMaster,
    /// An agent's process ends; its launcher goes on.
    CrashAgent,
    /// The orchestrator's process ends.
    CrashOrchestrator,
    /// A plain framework's process ends.
    CrashPlain,
    /// Everything but launchers ends at once, as `dev` does.
    CrashAll,
    /// A launcher is killed; its containers go on.
    KillLauncher,
    /// An agent's machine is rebooted.
    Reboot,
    /// A disk is full for a while.
    DiskFull,
    /// A disk is slow for a while.
    DiskSlow,
    /// A task ends by itself.
    EndTask,
    /// A task fails its health checks for a while.
    Sicken,
    /// A clock jumps.
    ClockJump,
    /// A framework's stream is cut, as a slow reader's is.
    CutStream,
}

const FAULTS: [Fault; 16] = [
    Fault::Break,
    Fault::Partition,
    Fault::Isolate,
    Fault::CrashMaster,
    Fault::CrashAgent,
    Fault::CrashOrchestrator,
    Fault::CrashPlain,
    Fault::CrashAll,
    Fault::KillLauncher,
    Fault::Reboot,
    Fault::DiskFull,
    Fault::DiskSlow,
    Fault::EndTask,
    Fault::Sicken,
    Fault::ClockJump,
    Fault::CutStream,
];

/// What a client may ask for in this seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// A new app.
    Create,
    /// Another definition: a rolling upgrade.
    Update,
    /// Other `instances`.
    Scale,
    /// The app goes.
    Delete,
    /// All instances are replaced.
    Restart,
    /// Tasks are killed, some with `scale` or `wipe`.
    Kill,
    /// A deployment is cancelled, some with `force`.
    Cancel,
    /// All apps go.
    DeleteAll,
    /// What no server should take.
    Bad,
    /// Everything is read.
    Read,
    /// Deployments that can fail, and changes that line up, of apps of their own: what becomes of them nobody promises.
    Bounded,
    /// Apps with persistent volumes, of their own too.
    Resident,
}

const OPS: [Op; 10] = [
    Op::Create,
    Op::Update,
    Op::Scale,
    Op::Delete,
    Op::Restart,
    Op::Kill,
    Op::Cancel,
    Op::DeleteAll,
    Op::Bad,
    Op::Read,
];

/// The choices of one seed.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Nothing goes wrong in this seed, and clients don't make it: stricter rules hold.
    pub calm: bool,
    /// Agents.
    pub agents: u8,
    /// Frameworks besides the orchestrator.
    pub plains: u8,
    /// Faults that can happen.
    pub faults: Vec<Fault>,
    /// Between two faults, on average.
    pub fault_every: Duration,
    /// What clients ask for.
    pub ops: Vec<Op>,
    /// Between two requests, on average.
    pub op_every: Duration,
    /// How long faults and requests go on.
    pub active: Duration,
    /// Most time that a message takes.
    pub delay: Duration,
    /// Messages of the link in a thousand that come twice.
    pub doubled: u64,
    /// Apps whose tasks end by themselves, don't heed SIGTERM or are never well.
    pub bad_apps: bool,
    /// Messages go through their bytes.
    pub wire: bool,
}

impl Mix {
    /// The choices of a seed. One in eight has no faults at all: there stricter rules hold.
    pub fn pick(rng: &mut Rng) -> Self {
        let calm = rng.below(8) == 0;
        let share = 1 + rng.below(4);
        let mut faults: Vec<_> = FAULTS.into_iter().filter(|_| rng.below(4) < share).collect();
        if calm {
            faults.clear();
        }
        let mut ops: Vec<_> =
            OPS.into_iter().filter(|op| matches!(op, Op::Create | Op::Read) || rng.below(3) > 0).collect();
        if calm {
            ops.retain(|op| matches!(op, Op::Create | Op::Update | Op::Scale | Op::Read));
        }
        let millis = Duration::from_millis;
        let mix = Self {
            calm,
            agents: 1 + rng.below(4) as u8,
            plains: rng.below(3) as u8,
            fault_every: millis([500, 3_000, 15_000, 40_000][rng.below(4) as usize]),
            op_every: millis([300, 2_000, 8_000][rng.below(3) as usize]),
            active: Duration::from_secs(30 + rng.below(400)),
            delay: millis([1, 5, 50, 800][rng.below(4) as usize]),
            doubled: if calm { 0 } else { [0, 0, 20, 200][rng.below(4) as usize] },
            bad_apps: !calm && rng.below(2) == 0,
            wire: rng.below(4) == 0,
            faults,
            ops,
        };
        // without another draw, so that older seeds still mean what they meant
        let bounded = !mix.calm && mix.active.as_secs().is_multiple_of(3);
        let resident = !mix.calm && mix.active.as_secs() % 5 < 2;
        let more = bounded.then_some(Op::Bounded).into_iter().chain(resident.then_some(Op::Resident));
        Self { ops: mix.ops.iter().copied().chain(more).collect(), ..mix }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} agents, {} plain frameworks, {} s, a request every {} ms, delays to {} ms, {}‰ doubled{}; {}",
            self.agents,
            self.plains,
            self.active.as_secs(),
            self.op_every.as_millis(),
            self.delay.as_millis(),
            self.doubled,
            if self.bad_apps { ", bad apps" } else { "" },
            if self.faults.is_empty() {
                "no faults".to_owned()
            } else {
                format!("every {} ms one of {:?}", self.fault_every.as_millis(), self.faults)
            }
        )
    }
}
