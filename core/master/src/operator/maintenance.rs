//! Maintenance: the schedule, machines that go down and come back. Order of checks and texts:
//! apache/mesos@c1b42f79:src/master/maintenance.cpp and http.cpp.

use super::{Decided, Decision, bad};
use crate::{
    Effect, Master,
    losses::Loss,
    policy::{self, Machine},
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
use std::collections::{BTreeMap, BTreeSet};

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

fn unique(seen: &mut BTreeSet<Machine>, id: &MachineId) -> Result<(), Answer> {
    check(id)?;
    if !seen.insert(id.into()) {
        return Err(bad(format!("Machine '{}' appears more than once in the schedule", printed(id))));
    }
    Ok(())
}

fn check_all(machines: &[MachineId]) -> Result<(), Answer> {
    if machines.is_empty() {
        return Err(bad("List of machines is empty"));
    }
    let mut seen = BTreeSet::new();
    machines.iter().try_for_each(|id| unique(&mut seen, id))
}

impl Master {
    pub(super) fn update_schedule(&self, schedule: Schedule) -> Decided {
        let mut seen = BTreeSet::new();
        for window in &schedule.windows {
            if window.machine_ids.is_empty() {
                return Err(bad("List of machines in the maintenance window is empty"));
            }
            if window.unavailability.duration.as_ref().is_some_and(|d| d.nanoseconds < 0) {
                return Err(bad("Unavailability 'duration' is negative"));
            }
            window.machine_ids.iter().try_for_each(|id| unique(&mut seen, id))?;
        }
        let missing = self.policy.down.iter().find(|down| !seen.contains(&Machine::from(*down)));
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
        let machines: BTreeSet<Machine> = machines.iter().map(Machine::from).collect();
        let left = |id: &MachineId| !machines.contains(&Machine::from(id));
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
        let machines: BTreeSet<Machine> = machines.iter().map(Machine::from).collect();
        let on = |agent: &crate::Agent| machines.contains(&Machine::from(&agent.machine()));
        self.agents.iter().filter(|(_, agent)| on(agent)).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn schedule_updated(&mut self, schedule: Schedule, now: Time, out: &mut Effects<Effect>) {
        let before = self.policy.schedule.clone();
        self.policy_mut().plan(schedule);
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
        let down = self.policy.down.iter().cloned().chain(machines).collect();
        self.policy_mut().put_down(down);
        for agent in agents {
            self.dismiss(&agent, "Operator initiated 'Machine DOWN'", Loss::MachineDown, now, out);
        }
    }

    pub(super) fn machines_up(&mut self, machines: &[MachineId], now: Time, out: &mut Effects<Effect>) {
        let (down, schedule) = self.without(machines);
        self.policy_mut().put_down(down);
        self.schedule_updated(schedule, now, out);
    }

    /// Which machines are about to go down and what frameworks say to that, and which are down.
    pub fn maintenance_status(&self) -> ClusterStatus {
        let mut agents: BTreeMap<Machine, Vec<(&String, &crate::Agent)>> = BTreeMap::new();
        for (id, agent) in &self.agents {
            agents.entry(Machine::from(&agent.machine())).or_default().push((id, agent));
        }
        let draining = |id: &MachineId| {
            let own = agents.get(&Machine::from(id)).map(Vec::as_slice).unwrap_or_default();
            let answers = own.iter().flat_map(|(agent, _)| self.inverse.answers(agent));
            let spelled = own.first().map(|(_, agent)| agent.machine());
            DrainingMachine {
                id: spelled.unwrap_or_else(|| MachineId {
                    hostname: id.hostname.as_ref().map(|h| h.to_ascii_lowercase()),
                    ip: id.ip.clone(),
                }),
                statuses: answers.cloned().collect::<Vec<InverseOfferStatus>>(),
            }
        };
        let all = self.policy.schedule.windows.iter().flat_map(|w| &w.machine_ids);
        ClusterStatus {
            draining_machines: all.filter(|id| !self.policy.is_down(id)).map(draining).collect(),
            down_machines: self.policy.down.clone(),
        }
    }
}
