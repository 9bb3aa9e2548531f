//! What clients ask for: apps made, changed, scaled, killed, cancelled, and what no server should take.

use crate::{
    client::Promise,
    mix::Op,
    world::{Event, World},
};
use base::Duration;
use serde_json::{Value, json};

/// Apps of one seed.
const APPS: u64 = 6;
/// How those begin whose changes may be undone.
pub const BOUNDED: &str = "/b";

impl World {
    /// Clients do something, and again after a while.
    pub fn act(&mut self) {
        if self.quiet {
            return;
        }
        let every = self.mix.op_every.as_micros() as u64;
        let wait = Duration::from_micros(self.rng.below(every * 2) + 1);
        self.after(wait, Event::Act);
        let ops = self.mix.ops.clone();
        let Some(op) = self.one_of(&ops) else { return };
        let app = format!("/a{}", self.rng.below(APPS));
        let all = matches!(op, Op::Kill | Op::Cancel | Op::DeleteAll | Op::Read);
        if !self.client.is_free((!all).then_some(app.as_str())) {
            return;
        }
        let force = !self.mix.calm && self.chance(300);
        let forced = if force { "?force=true" } else { "" };
        let some = Some(app.clone());
        match op {
            Op::Create => {
                let mut body = self.definition();
                body["id"] = json!(app);
                self.ask("POST", "/v2/apps".to_owned(), body.to_string(), some, Promise::Version);
            }
            Op::Update => {
                let fresh = self.chance(500);
                let mut body = if fresh { self.definition() } else { json!({ "cmd": self.command() }) };
                // never a change of nothing
                body["env"] = json!({ "REQUEST": self.request_next.to_string() });
                self.ask("PUT", format!("/v2/apps{app}{forced}"), body.to_string(), some, Promise::Version);
            }
            Op::Scale => {
                let body = json!({ "instances": self.rng.below(5) });
                let uri = format!("/v2/apps{app}{forced}");
                self.ask("PUT", uri, body.to_string(), some, Promise::VersionOrBefore);
            }
            Op::Delete => {
                self.ask("DELETE", format!("/v2/apps{app}{forced}"), String::new(), some, Promise::Gone)
            }
            Op::Restart => {
                let uri = format!("/v2/apps{app}/restart{forced}");
                self.ask("POST", uri, String::new(), some, Promise::Version);
            }
            Op::Kill => self.ask_kill(&app),
            Op::Cancel => {
                let Some(machine) = self.orchestrator.as_ref() else { return };
                let ids: Vec<_> = machine.deployments().iter().map(|d| d.id.clone()).collect();
                let Some(id) = self.one_of(&ids) else { return };
                let uri = format!("/v2/deployments/{id}{forced}");
                let promise = if force { Promise::Nothing } else { Promise::Something };
                self.ask("DELETE", uri, String::new(), None, promise);
            }
            Op::DeleteAll => {
                if self.chance(200) {
                    let uri = format!("/v2/groups{forced}");
                    self.ask("DELETE", uri, String::new(), None, Promise::Something);
                }
            }
            Op::Bounded => self.ask_bounded(),
            Op::Resident => self.ask_resident(),
            Op::Bad => self.ask_nonsense(),
            Op::Read => {
                self.ask("GET", "/v2/apps".to_owned(), String::new(), None, Promise::Everything);
            }
        }
    }

    /// A change of an app whose deployments may be paused or rolled back, now or when its turn comes.
    fn ask_bounded(&mut self) {
        let app = format!("{BOUNDED}{}", self.rng.below(3));
        if !self.client.is_free(Some(app.as_str())) {
            return;
        }
        let query =
            ["", "?queue=true", "?force=true", "?queue=true&maxFailures=1"][self.rng.below(4) as usize];
        let some = Some(app.clone());
        match self.rng.below(6) {
            0 => self.ask("DELETE", format!("/v2/apps{app}{query}"), String::new(), some, Promise::Something),
            1 => {
                let body = json!({ "instances": self.rng.below(5) });
                self.ask("PUT", format!("/v2/apps{app}{query}"), body.to_string(), some, Promise::Something);
            }
            2 => {
                let Some(machine) = self.orchestrator.as_ref() else { return };
                let paused = machine.deployments().into_iter().find(|d| d.paused().is_some());
                let Some(id) = paused.map(|deployment| deployment.id.clone()) else { return };
                let uri = format!("/v2/deployments/{id}/resume");
                self.ask("POST", uri, String::new(), some, Promise::Something);
            }
            _ => {
                let mut body = self.definition();
                if self.chance(400) {
                    body["cmd"] = json!(format!("crash {}", 100 + self.rng.below(3000)));
                }
                body["maxFailures"] = json!(self.rng.below(4));
                body["settleSeconds"] = json!(self.rng.below(4));
                body["onFailure"] = json!(["pause", "rollback"][self.rng.below(2) as usize]);
                if self.chance(300) {
                    body["deploymentTimeoutSeconds"] = json!(5 + self.rng.below(60));
                }
                self.ask("PUT", format!("/v2/apps{app}{query}"), body.to_string(), some, Promise::Something);
            }
        }
    }

    pub(crate) fn command(&mut self) -> String {
        let version = self.rng.below(1000);
        if self.mix.bad_apps && self.chance(400) {
            let bad = [
                format!("crash {}", 100 + version * 10),
                format!("finish {}", 100 + version * 10),
                format!("oom {}", 100 + version * 10),
                format!("stubborn v{version}"),
                format!("never well v{version}"),
            ];
            return self.one_of(&bad).unwrap_or_default();
        }
        format!("serve v{version}")
    }

    pub(crate) fn definition(&mut self) -> Value {
        let capacity = [0.0, 0.5, 1.0];
        let mut app = json!({
            "cmd": self.command(),
            "instances": self.rng.below(4),
            "cpus": 0.1 + self.rng.below(5) as f64 / 10.0,
            "mem": 32,
            "backoffSeconds": 1,
            "maxLaunchDelaySeconds": 20,
            "upgradeStrategy": {
                "minimumHealthCapacity": self.one_of(&capacity),
                "maximumOverCapacity": self.one_of(&capacity),
            },
        });
        if self.chance(300) {
            app["taskKillGracePeriodSeconds"] = json!(self.rng.below(10));
        }
        if self.chance(300) {
            let kinds = ["MESOS_HTTP", "MESOS_TCP", "COMMAND", "HTTP", "TCP"];
            let kind = self.one_of(&kinds).unwrap_or_default();
            let mut check = json!({ "protocol": kind, "gracePeriodSeconds": self.rng.below(8), "intervalSeconds": 3,
                "timeoutSeconds": 2, "maxConsecutiveFailures": self.rng.below(4) });
            if kind == "COMMAND" {
                check["command"] = json!({ "value": "check" });
            } else {
                check["portIndex"] = json!(0);
            }
            app["healthChecks"] = json!([check]);
        }
        if !self.mix.calm && self.chance(150) {
            app["constraints"] = json!([["hostname", "UNIQUE"]]);
        }
        app
    }

    fn ask_kill(&mut self, app: &str) {
        let scale = self.chance(300);
        let query = if scale { "?scale=true" } else { ["", "?wipe=true"][self.rng.below(2) as usize] };
        let promise = if scale { Promise::Something } else { Promise::Nothing };
        if self.chance(500) {
            let uri = format!("/v2/apps{app}/tasks{query}");
            return self.ask("DELETE", uri, String::new(), None, promise);
        }
        let Some(machine) = self.orchestrator.as_ref() else { return };
        let tasks: Vec<_> = machine.instances().map(|i| i.task.clone()).collect();
        let Some(task) = self.one_of(&tasks) else { return };
        let body = json!({ "ids": [task, "no.such-task"] }).to_string();
        self.ask("POST", format!("/v2/tasks/delete{query}"), body, None, promise);
    }

    fn ask_nonsense(&mut self) {
        let long = "x".repeat(3000);
        let bad: [(&'static str, String, String); 10] = [
            ("POST", "/v2/apps".into(), "{".into()),
            ("POST", "/v2/apps".into(), "[1]".into()),
            ("POST", "/v2/apps".into(), json!({ "id": "/A_b", "cmd": "x" }).to_string()),
            ("POST", "/v2/apps".into(), json!({ "id": "/a0", "cmd": "x", "cpus": -1 }).to_string()),
            ("POST", "/v2/apps".into(), json!({ "id": "/a0", "cmd": "x", "instances": "many" }).to_string()),
            ("POST", "/v2/apps".into(), json!({ "id": format!("/{long} {long}"), "cmd": "x" }).to_string()),
            (
                "PUT",
                "/v2/apps/a0".into(),
                json!({ "upgradeStrategy": { "minimumHealthCapacity": 7 } }).to_string(),
            ),
            ("PATCH", "/v2/deployments".into(), String::new()),
            ("DELETE", "/v2/deployments/none".into(), String::new()),
            ("GET", "/v2/nowhere".into(), String::new()),
        ];
        let at = self.rng.below(bad.len() as u64) as usize;
        let (method, uri, body) = bad[at].clone();
        // Never about an app: a refusal changes nothing.
        self.ask(method, uri, body, Some("nonsense".to_owned()), Promise::Refusal);
    }
}
