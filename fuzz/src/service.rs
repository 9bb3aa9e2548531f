//! Sessions with an orchestrator: its REST surface, and a master that says anything.

use crate::script::{self, Disk, Given, Record};
use api::json::FromJson;
use base::{Duration, Effects, Machine, Now, Rng, Time};
use endpoints::{Routed, orchestrator::Identity};
use model::{
    container::Probed,
    mesos::scheduler::{Event, call::Type},
    request::{Http, StreamId},
};
use orchestrator::{Config, Effect, Input, Orchestrator, ProbeId};

/// A session with an orchestrator.
pub fn orchestrator(data: &[u8]) {
    let mut time = Time::from_millis(1_700_000_000_000);
    let mut rng = Rng::from_number(1);
    let mut disk = Disk::default();
    let mut machine = Orchestrator::new(Config::default(), disk.records().clone(), time);
    let who = Identity { leader: "localhost:8080".into(), flags: Default::default() };
    let mut given = Given::new();
    // a store that refused once is asked again only after a while, and what nobody wrote may be refused
    let mut was_full = false;
    for (number, bytes) in script::records(data).into_iter().enumerate() {
        let record = Record::read(bytes, &given);
        let input = match record.word(0) {
            "TICK" => {
                time = time + Duration::from_millis(record.number(1));
                Some(Input::Tick)
            }
            "FULL" | "PUT" => {
                disk.told(&record);
                was_full = true;
                None
            }
            "RESTART" => {
                machine = Orchestrator::new(Config::default(), disk.records().clone(), time);
                None
            }
            "CONNECTED" => Some(Input::Connected),
            "DISCONNECTED" => Some(Input::Disconnected { why: "gone".into() }),
            "CLOSED" => Some(Input::StreamClosed { stream: StreamId(record.number(1)), cut: false }),
            "EVENT" => serde_json::from_slice(&record.body)
                .ok()
                .and_then(|value| Event::from_json(&value).ok())
                .map(|event| Input::Event(Box::new(event))),
            "HEALTHY" => Some(Input::Probed { probe: ProbeId(record.number(1)), outcome: Probed::Http(200) }),
            _ => record.request(number as u64).and_then(|arrived| {
                match endpoints::orchestrator::route(&arrived, &machine, &who, time) {
                    Routed::Step(input) => Some(input),
                    Routed::Respond(response) => {
                        assert!(response.status().as_u16() < 500, "{response:?}");
                        None
                    }
                    Routed::Perform(_) => None,
                }
            }),
        };
        let mut inputs: Vec<_> = input.into_iter().collect();
        while let Some(input) = inputs.pop() {
            let mut out = Effects::default();
            machine.step(Now::new(time, &mut rng), input, &mut out);
            for effect in out.drain() {
                match effect {
                    Effect::Save { save, batch } => inputs.push(match disk.write(batch) {
                        Ok(()) => Input::Saved { save },
                        Err(why) => Input::SaveFailed { save, why },
                    }),
                    Effect::Http(Http::Reply { answer, .. }) => {
                        assert!(was_full || answer.status < 500, "{answer:?}");
                        for (name, value) in answer.headers {
                            if name.eq_ignore_ascii_case("marathon-deployment-id") {
                                given.insert("DEPLOYMENT", value);
                            }
                        }
                    }
                    Effect::Http(_) | Effect::Probe { .. } | Effect::Measure { .. } => {}
                    Effect::Call(call) if call.r#type() == Type::Accept => {
                        let operations = call.accept.iter().flat_map(|a| &a.operations);
                        let tasks = operations.filter_map(|o| o.launch.as_ref()).flat_map(|l| &l.task_infos);
                        if let Some(task) = tasks.last() {
                            given.insert("TASK", task.task_id.value.clone());
                        }
                    }
                    Effect::Call(_) => {}
                }
            }
        }
        machine.check();
    }
}
