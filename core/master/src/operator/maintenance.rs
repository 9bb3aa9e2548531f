//! Maintenance: the schedule, machines that go down and come back. Order of checks and texts:
//! apache/mesos@c1b42f79:src/master/maintenance.cpp and http.cpp.

use super::{Decided, Decision, bad};
use crate::{
    Effect, Master,
    losses::Loss,
    policy::{self, same_machine},
};
use base::{Effects, Time};
use model::{
    mesos::{
        MachineId,
        allocator::InverseOfferStatus,
        maintenance::{ClusterStatus, Schedule, cluster_status::DrainingMachine},
    },
    request::Answer,
};

/// A machine as upstream prints it: JSON of the fields that are set.
fn printed(id: &MachineId) -> String {
    let fields = [("hostname", &id.hostname), ("ip", &id.ip)];
    let set =
        fields.into_iter().filter_map(|(name, value)| Some(format!("\"{name}\":{:?}", value.as_ref()?)));
    format!("{{{}}}", set.collect::<Vec<_>>().join(","))
}

fn check(id: &MachineId) -> Result<(), Answer> {
    if id.hostname().is_empty() && id.ip().is_empty() {
        return Err(bad("Both 'hostname' and 'ip' for a machine are empty"));
    }
    if !id.ip().is_empty() && id.ip().parse::<std::net::Ipv4Addr>().is_err() {
        return Err(bad(format!("Failed to parse IPv4: {}", id.ip())));
    }
    Ok(())
}

fn unique<'a>(seen: &mut Vec<&'a MachineId>, id: &'a MachineId) -> Result<(), Answer> {
    check(id)?;
    if seen.iter().any(|other| same_machine(other, id)) {
        return Err(bad(format!("Machine '{}' appears more than once in the schedule", printed(id))));
    }
    seen.push(id);
    Ok(())
}

fn check_all(machines: &[MachineId]) -> Result<(), Answer> {
    if machines.is_empty() {
        return Err(bad("List of machines is empty"));
    }
    let mut seen = Vec::new();
    machines.iter().try_for_each(|id| unique(&mut seen, id))
}

impl Master {
    pub(super) fn update_schedule(&self, schedule: Schedule) -> Decided {
        let mut seen = Vec::new();
        for window in &schedule.windows {
            if window.machine_ids.is_empty() {
                return Err(bad("List of machines in the maintenance window is empty"));
            }
            if window.unavailability.duration.as_ref().is_some_and(|d| d.nanoseconds < 0) {
                return Err(bad("Unavailability 'duration' is negative"));
            }
            window.machine_ids.iter().try_for_each(|id| unique(&mut seen, id))?;
        }
        let missing = self.policy.down.iter().find(|down| !seen.iter().any(|id| same_machine(id, down)));
        if let Some(down) = missing {
            let why = "is deactivated and cannot be removed from the schedule";
            return Err(bad(format!("Machine '{}' {why}", printed(down))));
        }
        Ok((vec![policy::put_schedule(&schedule)], Decision::Schedule(schedule)))
    }

    fn scheduled(&self, id: &MachineId) -> Result<(), Answer> {
        if self.policy.unavailability(id).is_some() {
            return Ok(());
        }
        Err(bad(format!("Machine '{}' is not part of a maintenance schedule", printed(id))))
    }

    pub(super) fn start_maintenance(&self, machines: Vec<MachineId>) -> Decided {
        check_all(&machines)?;
        for id in &machines {
            self.scheduled(id)?;
            if self.policy.is_down(id) {
                let why = "is not in DRAINING mode and cannot be brought down";
                return Err(bad(format!("Machine '{}' {why}", printed(id))));
            }
        }
        let mut down = self.policy.down.clone();
        down.extend(machines.iter().cloned());
        let mut batch = vec![policy::put_down(&down)];
        for agent in self.agents_on(&machines) {
            batch.extend(crate::registry::remove_agent(&agent));
        }
        Ok((batch, Decision::Down(machines)))
    }

    pub(super) fn stop_maintenance(&self, machines: Vec<MachineId>) -> Decided {
        check_all(&machines)?;
        for id in &machines {
            self.scheduled(id)?;
            if !self.policy.is_down(id) {
                let why = "is not in DOWN mode and cannot be brought up";
                return Err(bad(format!("Machine '{}' {why}", printed(id))));
            }
        }
        let (down, schedule) = self.without(&machines);
        Ok((vec![policy::put_down(&down), policy::put_schedule(&schedule)], Decision::Up(machines)))
    }

    /// What is down and scheduled without these machines.
    fn without(&self, machines: &[MachineId]) -> (Vec<MachineId>, Schedule) {
        let left = |id: &MachineId| !machines.iter().any(|other| same_machine(other, id));
        let mut down = self.policy.down.clone();
        down.retain(left);
        let mut schedule = self.policy.schedule.clone();
        for window in &mut schedule.windows {
            window.machine_ids.retain(left);
        }
        schedule.windows.retain(|window| !window.machine_ids.is_empty());
        (down, schedule)
    }

    fn agents_on(&self, machines: &[MachineId]) -> Vec<String> {
        let on = |id: &MachineId| machines.iter().any(|other| same_machine(other, id));
        self.agents.iter().filter(|(_, agent)| on(&agent.machine())).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn schedule_updated(&mut self, schedule: Schedule, now: Time, out: &mut Effects<Effect>) {
        let before = std::mem::replace(&mut self.policy_mut().schedule, schedule);
        let mut touched: Vec<MachineId> = Vec::new();
        for window in before.windows.iter().chain(&self.policy.schedule.windows) {
            touched.extend(window.machine_ids.iter().cloned());
        }
        // Offers say when their agent is away: those that say it wrongly are made again.
        for agent in self.agents_on(&touched) {
            self.rescind_all_of(&agent, now, out);
            self.plan_anew(&agent, out);
        }
    }

    pub(super) fn machines_down(&mut self, machines: Vec<MachineId>, now: Time, out: &mut Effects<Effect>) {
        let agents = self.agents_on(&machines);
        self.policy_mut().down.extend(machines);
        for agent in agents {
            self.dismiss(&agent, "Operator initiated 'Machine DOWN'", Loss::MachineDown, now, out);
        }
    }

    pub(super) fn machines_up(&mut self, machines: &[MachineId], now: Time, out: &mut Effects<Effect>) {
        let (down, schedule) = self.without(machines);
        self.policy_mut().down = down;
        self.schedule_updated(schedule, now, out);
    }

    /// What frameworks answered about the agents of a machine.
    fn answers_about(&self, id: &MachineId) -> impl Iterator<Item = &InverseOfferStatus> {
        let own = self.agents.iter().filter(|(_, agent)| same_machine(&agent.machine(), id));
        own.flat_map(|(agent, _)| self.inverse.answers(agent))
    }

    /// Which machines are about to go down and what frameworks say to that, and which are down.
    pub fn maintenance_status(&self) -> ClusterStatus {
        let spelled = |id: &MachineId| {
            let agents = self.agents.values().map(crate::Agent::machine);
            agents.into_iter().find(|own| same_machine(own, id)).unwrap_or_else(|| MachineId {
                hostname: id.hostname.as_ref().map(|h| h.to_ascii_lowercase()),
                ip: id.ip.clone(),
            })
        };
        let all = self.policy.schedule.windows.iter().flat_map(|w| &w.machine_ids);
        let draining = all.filter(|id| !self.policy.is_down(id));
        ClusterStatus {
            draining_machines: draining
                .map(|id| DrainingMachine {
                    id: spelled(id),
                    statuses: self.answers_about(id).cloned().collect(),
                })
                .collect(),
            down_machines: self.policy.down.clone(),
        }
    }
}
