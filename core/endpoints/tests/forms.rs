//! The master's older endpoints in upstream's forms, without sockets: what they answer, and what agents hear of it.

use base::{Effects, Machine as _, Now, Rng, Time};
use bytes::Bytes;
use endpoints::{Arrived, Routed};
use http::Request;
use master::{Config, Effect, Input, Master};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{AgentInfo, agent_info, internal, offer::operation::Type},
    request::{Body, Http, RequestId},
    resources::Resources,
    save::{Change, Records},
};

struct Surface {
    master: Master,
    records: Records,
    rng: Rng,
    requests: u64,
    sent: Vec<Envelope>,
}

const NOW: Time = Time::from_millis(1_600_000_000_000);

impl Surface {
    /// A master with one agent, and the agent's id.
    fn new() -> (Self, String) {
        let mut rng = Rng::from_number(1);
        let config = Config::at("127.0.0.1:5050".parse().unwrap());
        let master = Master::new(config, &Records::new(), Now::new(NOW, &mut rng));
        let mut this = Self { master, records: Records::new(), rng, requests: 0, sent: Vec::new() };
        use agent_info::capability::Type as T;
        let caps = [T::MultiRole, T::HierarchicalRole, T::ReservationRefinement, T::ResourceProvider];
        let resources = Resources::parse("cpus:4;mem:1024;disk:1000", "*").unwrap().to_messages();
        let register = internal::RegisterSlaveMessage {
            version: Some("1.11.0".to_owned()),
            slave: AgentInfo { hostname: "host".into(), resources, ..Default::default() },
            agent_capabilities: caps.map(|t| agent_info::Capability { r#type: Some(t.into()) }).to_vec(),
            ..Default::default()
        };
        let (from, to) = ("slave(1)@127.0.0.1:5051", "master@127.0.0.1:5050");
        let (from, to): (Upid, Upid) = (from.parse().unwrap(), to.parse().unwrap());
        this.step(Input::Message(Box::new(Envelope { from, to, message: register.into() })));
        let id = this.master.agents().keys().next().expect("an agent").clone();
        (this, id)
    }

    fn step(&mut self, input: Input) -> Option<(u16, String)> {
        let mut inputs = vec![input];
        let mut said = None;
        while let Some(input) = inputs.pop() {
            let mut out = Effects::default();
            self.master.step(Now::new(NOW, &mut self.rng), input, &mut out);
            self.master.check();
            for effect in out.drain() {
                match effect {
                    Effect::Save { save, batch } => {
                        for change in batch {
                            match change {
                                Change::Put { key, value } => self.records.insert(key, value),
                                Change::Delete { key } => self.records.remove(&key),
                            };
                        }
                        inputs.push(Input::Saved { save });
                    }
                    Effect::Send(envelope) => self.sent.push(*envelope),
                    Effect::Http(Http::Reply { answer, .. }) => {
                        let text = match answer.body {
                            Body::Text(text) | Body::Json(text) => text,
                            Body::Empty => String::new(),
                        };
                        said = Some((answer.status, text));
                    }
                    Effect::Operator(Http::Reply { answer, .. }) => {
                        said = Some((answer.status, format!("{:?}", answer.body)));
                    }
                    _ => {}
                }
            }
        }
        said
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.requests += 1;
        let request = Request::builder().method(method).uri(path).body(Bytes::from(body.to_owned())).unwrap();
        let arrived = Arrived { id: RequestId(self.requests), peer: None, request };
        match endpoints::master::route(&arrived, &self.master, &[]) {
            Routed::Respond(response) => {
                (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
            }
            Routed::Step(input) => self.step(input).expect("an answer"),
            Routed::Perform(perform) => panic!("{method} {path}: {perform:?}"),
        }
    }

    /// Kinds of operations that the agent was told of since the last look.
    fn applied(&mut self) -> Vec<Type> {
        let kind = |envelope: Envelope| match envelope.message {
            Message::ApplyOperationMessage(m) => Some(m.operation_info.r#type()),
            _ => None,
        };
        std::mem::take(&mut self.sent).into_iter().filter_map(kind).collect()
    }
}

#[test]
fn what_is_reserved_becomes_a_volume_and_goes_back() {
    let (mut surface, agent) = Surface::new();
    let reserved = r#"{"name":"disk","type":"SCALAR","scalar":{"value":64},"role":"ads","reservation":{}}"#;
    let volume = r#"{"name":"disk","type":"SCALAR","scalar":{"value":64},"role":"ads","reservation":{},
        "disk":{"persistence":{"id":"v"},"volume":{"container_path":"data","mode":"RW"}}}"#;
    let form = |name: &str, resource: &str| format!("slaveId={agent}&{name}=[{resource}]");
    let steps = [
        ("/reserve", form("resources", reserved), Type::Reserve),
        ("/master/create-volumes", form("volumes", volume), Type::Create),
        ("/destroy-volumes", form("volumes", volume), Type::Destroy),
        ("/master/unreserve", form("resources", reserved), Type::Unreserve),
    ];
    for (path, form, kind) in steps {
        assert_eq!(surface.ask("POST", path, &form), (202, String::new()), "{path}");
        assert_eq!(surface.applied(), [kind], "{path}");
        if kind == Type::Reserve {
            // There is more of it.
            continue;
        }
        // What is so already is not to be had again.
        let (status, why) = surface.ask("POST", path, &form);
        assert!((400..=409).contains(&status) && !why.is_empty(), "{path}: {status} {why}");
        assert!(surface.applied().is_empty());
    }
    let (status, why) =
        surface.ask("POST", "/reserve", &form("resources", reserved).replace(&agent, "nobody"));
    assert!(status == 400 && why.contains("No agent found with specified ID"), "{status} {why}");
    assert_eq!(surface.ask("GET", "/reserve", "").0, 405);
}

#[test]
fn weights_quotas_and_machines_are_set_and_shown() {
    let (mut surface, _) = Surface::new();
    assert_eq!(surface.ask("PUT", "/weights", r#"[{"role":"ads","weight":2.5}]"#).0, 200);
    assert!(surface.ask("GET", "/master/weights", "").1.contains(r#""weight":2.5"#));
    let quota = r#"{"role":"ads","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]}"#;
    assert_eq!(surface.ask("POST", "/quota", quota).0, 200);
    assert!(surface.ask("GET", "/quota", "").1.contains(r#""role":"ads""#));
    assert_eq!(surface.ask("DELETE", "/quota/ads", "").0, 200);
    let (status, why) = surface.ask("DELETE", "/quota/ads", "");
    assert!(status == 400 && why.contains("Role 'ads' has no quota set"), "the original ends itself: {why}");
    let machine = r#"{"hostname":"far","ip":"10.0.0.9"}"#;
    let unavailability = r#"{"start":{"nanoseconds":1}}"#;
    let schedule =
        format!(r#"{{"windows":[{{"machine_ids":[{machine}],"unavailability":{unavailability}}}]}}"#);
    assert_eq!(surface.ask("POST", "/machine/down", &format!("[{machine}]")).0, 400, "it is in no schedule");
    assert_eq!(surface.ask("POST", "/maintenance/schedule", &schedule).0, 200);
    assert!(surface.ask("GET", "/maintenance/status", "").1.contains("draining_machines"));
    assert_eq!(surface.ask("POST", "/machine/down", &format!("[{machine}]")).0, 200);
    assert!(surface.ask("GET", "/maintenance/status", "").1.contains("down_machines"));
    assert_eq!(surface.ask("POST", "/machine/up", &format!("[{machine}]")).0, 200);
    assert!(!surface.ask("GET", "/maintenance/status", "").1.contains("down_machines"));
    assert_eq!(surface.ask("POST", "/machine/up", "{}").0, 400);
    assert_eq!(surface.ask("POST", "/teardown", "frameworkId=nobody").0, 400);
    assert_eq!(surface.ask("POST", "/teardown", "").0, 400);
    assert_eq!(surface.ask("CONNECT", "host:80", "").0, 404, "a request without a path");
}
