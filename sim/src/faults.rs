//! What goes wrong: one fault at a time of those that the seed picked, then the next.

use crate::{
    host::Stands,
    mix::Fault,
    world::{Event, Who, World},
};
use base::Duration;
use model::container::Termination;

impl World {
    /// A fault happens, and another after a while.
    pub fn fault(&mut self) {
        if self.quiet {
            return;
        }
        let every = self.mix.fault_every.as_micros() as u64;
        let wait = Duration::from_micros(self.rng.below(every * 2) + 1);
        self.after(wait, Event::Fault);
        let faults = self.mix.faults.clone();
        let Some(fault) = self.one_of(&faults) else { return };
        let agent = self.rng.below(u64::from(self.mix.agents)) as u8;
        let everyone = self.everyone();
        let Some(who) = self.one_of(&everyone) else { return };
        match fault {
            Fault::Break => {
                let standing = self.net.standing();
                if let Some(id) = self.one_of(&standing) {
                    self.note(&format!("connection {id} breaks"));
                    self.break_connection(id);
                }
            }
            Fault::Partition => {
                let other = self.one_of(&everyone).unwrap_or(who);
                let wait = self.some_time();
                self.part(who, other, wait);
            }
            Fault::Isolate => {
                let wait = self.some_time();
                for other in everyone {
                    self.part(who, other, wait);
                }
            }
            Fault::CrashMaster => self.crash_for_a_while(Who::Master),
            Fault::CrashAgent => self.crash_for_a_while(Who::Agent(agent)),
            Fault::CrashOrchestrator => self.crash_for_a_while(Who::Orchestrator),
            Fault::CrashPlain => {
                if self.mix.plains > 0 {
                    let n = self.rng.below(u64::from(self.mix.plains)) as u8;
                    self.crash_for_a_while(Who::Plain(n));
                }
            }
            Fault::CrashAll => {
                for who in everyone {
                    self.crash_for_a_while(who);
                }
            }
            Fault::KillLauncher => self.kill_launcher(agent),
            Fault::Reboot => {
                self.crash(Who::Agent(agent));
                self.reboot_host(agent);
                let wait = Duration::from_millis(1_000 + self.rng.below(60_000));
                self.after(wait, Event::Start(Who::Agent(agent)));
            }
            Fault::DiskFull => {
                let until = self.now + self.some_time();
                self.note(&format!("{who}'s disk is full for a while"));
                self.disk(who).full_until = until;
            }
            Fault::DiskSlow => {
                let until = self.now + self.some_time();
                self.note(&format!("{who}'s disk is slow for a while"));
                self.disk(who).slow_until = until;
            }
            Fault::EndTask => {
                let running: Vec<_> =
                    self.hosts[agent as usize].running().map(|(id, _)| id.clone()).collect();
                let ends = [
                    Termination::Exited(0),
                    Termination::Exited(3),
                    Termination::Signaled(11),
                    Termination::OutOfMemory { limit: 32 << 20, peak: 32 << 20 },
                ];
                let how = self.one_of(&ends).unwrap_or(Termination::Unknown);
                if let Some(id) = self.one_of(&running) {
                    self.dies(agent, &id, how);
                }
            }
            Fault::Sicken => {
                let wait = self.some_time();
                let host = &mut self.hosts[agent as usize];
                let running: Vec<_> = host.running().map(|(id, _)| id.clone()).collect();
                if let Some(id) = self.one_of(&running)
                    && let Some(container) = self.hosts[agent as usize].containers.get_mut(&id)
                    && container.stands == Stands::Running
                {
                    container.sick = true;
                    self.note(&format!("a task of agent{agent} is sick"));
                    self.after(wait, Event::Heals(agent, id));
                }
            }
            Fault::ClockJump => self.jump(who),
            Fault::CutStream => {
                let frameworks: Vec<Who> = self.channels.keys().copied().collect();
                if let Some(who) = self.one_of(&frameworks) {
                    self.note(&format!("the stream of {who} is cut"));
                    self.cut_stream(who);
                }
            }
        }
    }

    fn some_time(&mut self) -> Duration {
        let most = [200, 5_000, 40_000, 200_000][self.rng.below(4) as usize];
        Duration::from_millis(50 + self.rng.below(most))
    }

    fn crash_for_a_while(&mut self, who: Who) {
        if !self.is_up(who) {
            return;
        }
        self.crash(who);
        let wait = self.some_time();
        self.after(wait, Event::Start(who));
    }

    /// A clock jumps: ahead at once, back only where a new process reads it.
    fn jump(&mut self, who: Who) {
        let millis = [10, 1_000, 60_000, 3_600_000][self.rng.below(4) as usize];
        let jump = self.rng.below(millis * 1_000_000) as i64;
        let back = self.chance(500);
        let common = self.common(who);
        common.ahead_next += if back { -jump } else { jump };
        if common.ahead_next > common.ahead {
            common.ahead = common.ahead_next;
        }
        self.note(&format!(
            "the clock of {who} jumps {} {} ms",
            if back { "back" } else { "ahead" },
            jump / 1_000_000
        ));
        if who == Who::Master {
            self.history.clock_jumped();
        }
        self.replan(who);
    }

    /// Faults are over: everything runs, everybody hears everybody, disks have space.
    pub fn calm_down(&mut self) {
        self.quiet = true;
        self.heal_all();
        for who in self.everyone() {
            let now = self.now;
            let disk = self.disk(who);
            disk.full_until = now;
            disk.slow_until = now;
            self.start(who);
        }
    }
}
