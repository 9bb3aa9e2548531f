//! An orchestrator behind its HTTP surface, without sockets: a request goes in, its answer comes out, all is durable.

#![allow(dead_code, reason = "each test uses its part")]

use base::{Duration, Effects, Machine, Now, Rng, Time};
use bytes::Bytes;
use endpoints::{
    Arrived, Routed,
    orchestrator::{Asked, Identity},
};
use http::Request;
use model::{
    request::{Answer, Http, RequestId},
    save::{Change, Records},
};
use orchestrator::{Config, Effect, Input, Orchestrator, ServerEvent};
use serde_json::Value;
use std::collections::BTreeMap;

/// What was answered.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    pub text: String,
}

pub struct Surface {
    pub machine: Orchestrator,
    config: Config,
    records: Records,
    rng: Rng,
    pub time: Time,
    who: Identity,
    next: u64,
    pub events: Vec<ServerEvent>,
}

impl Surface {
    pub fn new(config: Config) -> Self {
        let time = Time::from_millis(1_600_000_000_000);
        Self {
            machine: Orchestrator::new(config.clone(), Records::new(), time),
            config,
            records: Records::new(),
            rng: Rng::from_number(1),
            time,
            who: Identity { leader: "localhost:8080".into(), flags: BTreeMap::new() },
            next: 0,
            events: Vec::new(),
        }
    }

    /// Starts again from what was durable.
    pub fn restart(&mut self) {
        self.machine = Orchestrator::new(self.config.clone(), self.records.clone(), self.time);
    }

    pub fn get(&mut self, path: &str) -> Said {
        self.ask("GET", path, "")
    }

    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Said {
        self.ask_as(method, path, body, "application/json")
    }

    pub fn ask_as(&mut self, method: &str, path: &str, body: &str, media: &str) -> Said {
        self.next += 1;
        self.time = self.time + Duration::from_millis(5);
        let request = Request::builder().method(method).uri(path).header("content-type", media);
        let request = request.body(Bytes::from(body.to_owned())).expect("a request");
        let id = RequestId(self.next);
        let arrived = Arrived { id, peer: None, request };
        let response = match endpoints::orchestrator::route(&arrived, &self.machine, &self.who, self.time) {
            Routed::Respond(response) => response,
            Routed::Perform(Asked::Loggers(asked)) => {
                let levels = BTreeMap::from([("ROOT".to_owned(), "INFO".to_owned())]);
                endpoints::orchestrator::render_loggers(&asked, Some(&levels), &self.who)
            }
            Routed::Perform(Asked::Abdicate(_)) => {
                endpoints::orchestrator::render_abdication(Ok(()), &self.who)
            }
            Routed::Step(input) => {
                let answer = self.step(input, id).expect("an answer");
                endpoints::orchestrator::finish(endpoints::render(answer), &self.who)
            }
        };
        let text = String::from_utf8(response.body().to_vec()).expect("text");
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
        };
        Said {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(header).collect(),
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }

    /// Something happened besides requests.
    pub fn tell(&mut self, input: Input) {
        self.step(input, RequestId(0));
    }

    /// Hears all events from now on.
    pub fn listen(&mut self) {
        self.next += 1;
        let (request, remote) = (RequestId(self.next), "test".to_owned());
        self.step(Input::Subscribe { request, event_types: Vec::new(), remote, after: None }, request);
    }

    fn step(&mut self, input: Input, wanted: RequestId) -> Option<Answer> {
        let mut inputs = vec![input];
        let mut found = None;
        while let Some(input) = inputs.pop() {
            let mut out = Effects::default();
            self.machine.step(Now::new(self.time, &mut self.rng), input, &mut out);
            self.machine.check();
            for effect in out.drain() {
                match effect {
                    Effect::Save { save, batch } => {
                        for change in batch {
                            match change {
                                Change::Put { key, value } => self.records.insert(key, value),
                                Change::Delete { key } => self.records.remove(&key),
                            };
                        }
                        inputs.insert(0, Input::Saved { save });
                    }
                    Effect::Http(Http::Reply { request, answer }) if request == wanted => {
                        found = Some(answer)
                    }
                    Effect::Http(Http::Send { event, .. } | Http::SendAll { event, .. }) => {
                        self.events.push(event)
                    }
                    _ => {}
                }
            }
        }
        found
    }
}
