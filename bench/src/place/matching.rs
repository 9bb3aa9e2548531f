//! The orchestrator alone: two apps on offers of every agent, in as many events as a master would send. Its store answers
//! at once; nothing else is there. Between two events, and not counted, it hears that what it launched runs: it launches only
//! so much that it has not heard of.

use super::{FULL, PORTS, RACKS, ROOM, rack};
use base::{Effects, Machine as _, Now, Rng, Time};
use model::{
    mesos::{
        AgentId, FrameworkId, Offer, OfferId, TaskId, TaskState, TaskStatus,
        resource::AllocationInfo,
        scheduler::{Event, call, event},
    },
    request::RequestId,
    resources::Resources,
    save::Records,
};
use orchestrator::{Client, Command, Config, Effect, How, Input, Orchestrator};
use serde_json::json;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Offers in one event.
const BATCH: usize = 500;

struct Site {
    machine: Orchestrator,
    rng: Rng,
    time: Time,
    inputs: VecDeque<Input>,
    /// By app, how many tasks on each host and in each rack.
    hosts: BTreeMap<(bool, String), usize>,
    racks: BTreeMap<(bool, String), usize>,
    launched: usize,
    /// What it has not heard of yet.
    unheard: Vec<(TaskId, AgentId)>,
}

impl Site {
    fn new() -> Self {
        let time = Time::from_millis(1_600_000_000_000);
        let mut site = Self {
            machine: Orchestrator::new(Config::default(), Records::new(), time),
            rng: Rng::from_number(7),
            time,
            inputs: [Input::Connected].into(),
            hosts: BTreeMap::new(),
            racks: BTreeMap::new(),
            launched: 0,
            unheard: Vec::new(),
        };
        site.drain();
        site
    }
    fn event(&mut self, kind: event::Type, mut event: Event) {
        event.r#type = Some(kind as i32);
        self.inputs.push_back(Input::Event(Box::new(event)));
    }
    fn drain(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            let mut out = Effects::default();
            self.machine.step(Now::new(self.time, &mut self.rng), input, &mut out);
            let effects: Vec<_> = out.drain().collect();
            for effect in effects {
                match effect {
                    Effect::Save { save, .. } => self.inputs.push_back(Input::Saved { save }),
                    Effect::Call(call) if call.r#type() == call::Type::Subscribe => {
                        let framework_id = FrameworkId { value: "framework-1".into() };
                        let subscribed = event::Subscribed { framework_id, ..Default::default() };
                        let event = Event { subscribed: Some(subscribed), ..Default::default() };
                        self.event(event::Type::Subscribed, event);
                    }
                    Effect::Call(call) => {
                        for operation in call.accept.into_iter().flat_map(|accept| accept.operations) {
                            for task in operation.launch.into_iter().flat_map(|launch| launch.task_infos) {
                                let grouped = task.task_id.value.starts_with("grouped");
                                let agent = task.agent_id.value.trim_start_matches("agent-").to_owned();
                                let number: usize = agent.parse().expect("agents are numbered");
                                *self.racks.entry((grouped, format!("r{}", number % RACKS))).or_default() +=
                                    1;
                                *self.hosts.entry((grouped, agent)).or_default() += 1;
                                self.launched += 1;
                                self.unheard.push((task.task_id, task.agent_id));
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    /// Everything that was launched runs.
    fn hear(&mut self) {
        for (task_id, agent_id) in std::mem::take(&mut self.unheard) {
            let mut status = TaskStatus { task_id, agent_id: Some(agent_id), ..Default::default() };
            status.set_state(TaskState::TaskRunning);
            status.uuid = Some((self.launched as u128).to_be_bytes().to_vec());
            let update = Event { update: Some(event::Update { status }), ..Default::default() };
            self.event(event::Type::Update, update);
            self.drain();
        }
    }
    fn app(&mut self, id: &str, instances: usize, constraints: &serde_json::Value) {
        let app = json!({
            "id": id, "cmd": "sleep 1000", "cpus": 1, "mem": 1024, "instances": instances,
            "constraints": constraints, "portDefinitions": [{ "port": 0 }],
        });
        let serde_json::Value::Object(app) = app else { return };
        self.inputs.push_back(Input::Command {
            request: RequestId(1),
            command: Box::new(Command::CreateApp { app, force: false }),
            how: How::default(),
            client: Client::default(),
        });
        self.drain();
    }
    fn offer(agent: usize) -> Offer {
        let free =
            Resources::scalars([("cpus", (ROOM - FULL) as f64), ("mem", 1024.0 * (ROOM - FULL) as f64)])
                .with_ports([(PORTS.0 + FULL as u64, PORTS.1)]);
        let info = AllocationInfo { role: Some("*".into()) };
        let mut resources = free.to_messages();
        for resource in &mut resources {
            resource.allocation_info = Some(info.clone());
        }
        Offer {
            id: OfferId { value: format!("offer-{agent}") },
            framework_id: FrameworkId { value: "framework-1".into() },
            agent_id: AgentId { value: format!("agent-{agent}") },
            hostname: format!("host-{agent}"),
            attributes: vec![rack(agent)],
            resources,
            allocation_info: Some(info),
            ..Default::default()
        }
    }
}

/// Launches a second: a fifth of the agents' number of instances, of each of the two apps.
pub fn rate(agents: usize) -> Result<f64, String> {
    let mut site = Site::new();
    let instances = agents / 5;
    site.app("/unique", instances, &json!([["hostname", "UNIQUE"]]));
    site.app("/grouped", instances, &json!([["rack", "GROUP_BY", RACKS.min(agents).to_string()]]));
    let mut order: Vec<usize> = (0..agents).collect();
    site.rng.shuffle(&mut order);
    let batches: Vec<Vec<Offer>> =
        order.chunks(BATCH).map(|chunk| chunk.iter().map(|agent| Site::offer(*agent)).collect()).collect();
    let mut spent = Duration::ZERO;
    for offers in batches {
        let begun = Instant::now();
        site.event(
            event::Type::Offers,
            Event { offers: Some(event::Offers { offers }), ..Default::default() },
        );
        site.drain();
        spent += begun.elapsed();
        site.hear();
    }
    if site.hosts.iter().any(|((grouped, _), count)| !grouped && *count > 1) {
        return Err("two instances of the app with UNIQUE are on one host".into());
    }
    let unique: usize = site.hosts.iter().filter(|((grouped, _), _)| !grouped).map(|(_, count)| count).sum();
    if unique != instances {
        return Err(format!("{unique} of {instances} instances with UNIQUE were launched"));
    }
    let grouped: Vec<_> =
        site.racks.iter().filter(|((grouped, _), _)| *grouped).map(|(_, count)| *count).collect();
    let (least, most) = (grouped.iter().min().copied(), grouped.iter().max().copied());
    if most.unwrap_or_default() > least.unwrap_or_default() + 1 {
        return Err(format!("racks have {least:?} to {most:?} instances of the app with GROUP_BY"));
    }
    Ok(site.launched as f64 / spent.as_secs_f64())
}
