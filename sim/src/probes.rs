//! Probes of what runs, by agents and by the orchestrator: answered from what the containers really do.

use crate::world::{Event, Who, World};
use base::Duration;
use model::container::{Page, Probe, Probed};

impl World {
    /// A probe begins; its answer takes a moment.
    pub fn probe(&mut self, who: Who, id: u64, probe: Probe, timeout: Duration) {
        let life = self.life(who);
        let wait = if self.far(who, &probe) { timeout } else { self.delay() };
        self.after(wait, Event::Probed(who, life, id, probe));
    }

    fn far(&self, who: Who, probe: &Probe) -> bool {
        let host = match probe {
            Probe::Http { host, .. } | Probe::Page { host, .. } | Probe::Tcp { host, .. } => host,
            Probe::Command { .. } => return false,
        };
        let number = host.strip_prefix('h').and_then(|n| n.parse().ok());
        number.is_some_and(|n| self.net.is_blocked(who, Who::Agent(n)))
    }

    /// A probe is answered.
    pub fn probe_ends(&mut self, who: Who, life: u64, id: u64, probe: &Probe) {
        if self.life(who) != life || !self.is_up(who) {
            return;
        }
        let well = |sick: Option<bool>, good: Probed, bad: Probed| match sick {
            Some(false) => good,
            Some(true) => bad,
            None => Probed::Failed("nothing answers".to_owned()),
        };
        let on_port = |n: u8, port: u16| {
            let host = self.hosts.get(n as usize)?;
            host.running().find(|(_, c)| c.ports.contains(&port)).map(|(id, c)| (id.clone(), c.sick))
        };
        let place = |host: &str| match who {
            Who::Agent(n) => Some(n),
            _ => host.strip_prefix('h').and_then(|n| n.parse().ok()),
        };
        let refused = Probed::Failed("connection refused".to_owned());
        let (found, outcome) = if self.far(who, probe) {
            (None, Probed::TimedOut(Duration::from_secs(1)))
        } else {
            match probe {
                Probe::Http { host, port, .. } => {
                    let found = place(host).and_then(|n| on_port(n, *port));
                    let sick = found.as_ref().map(|f| f.1);
                    (found, well(sick, Probed::Http(200), Probed::Http(503)))
                }
                Probe::Page { host, port, .. } => {
                    let found = place(host).and_then(|n| on_port(n, *port));
                    let sick = found.as_ref().map(|f| f.1);
                    let page = |status| Probed::Page(Page { status, ..Page::default() });
                    (found, well(sick, page(200), page(503)))
                }
                Probe::Tcp { host, port } => {
                    let found = place(host).and_then(|n| on_port(n, *port));
                    let sick = found.as_ref().map(|f| f.1);
                    (found, well(sick, Probed::Connected, refused))
                }
                Probe::Command { container, .. } => {
                    let Who::Agent(n) = who else { return };
                    let found = self.hosts[n as usize].running().find(|(id, _)| *id == container);
                    let found = found.map(|(id, c)| (id.clone(), c.sick));
                    let sick = found.as_ref().map(|f| f.1);
                    (found, well(sick, Probed::Exited(0), Probed::Exited(1)))
                }
            }
        };
        match who {
            Who::Agent(n) => {
                // an agent that finds a task sick may end it
                if let Some((container, true)) = found
                    && let Some(container) = self.hosts[n as usize].containers.get_mut(&container)
                {
                    container.seen_sick = true;
                }
                self.step_agent(n, agent::Input::Probed { probe: agent::ProbeId(id), outcome });
            }
            Who::Orchestrator => {
                let probe = orchestrator::ProbeId(id);
                self.step_orchestrator(orchestrator::Input::Probed { probe, outcome });
            }
            _ => {}
        }
    }
}
