//! How many instances an app should have for what is asked of it: measured, reported, decided, with a cool-down.
//!
//! Never measures anything itself; what it decides becomes an ordinary deployment.

use crate::{
    Effect, Orchestrator,
    commands::message,
    instances::{Condition, Instance},
    millis,
    spec::Spec,
    timers::Due,
    when,
};
use base::{Duration, Effects, Now, Time};
use model::request::Answer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Between two looks at an app.
const LOOK: Duration = Duration::from_secs(5);
/// Two measurements closer than this say nothing about what is used in between.
const SAMPLE_MIN: Duration = Duration::from_secs(1);
/// What was measured or reported longer ago says nothing about now.
const FRESH: Duration = Duration::from_secs(60);
/// A load that is off by less than this share changes nothing: it would go to and fro.
const TOLERANCE: f64 = 0.1;
/// Between two changes, where nobody says it.
const COOLDOWN_S: u64 = 120;

/// What an app says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// At least so many instances.
    pub min: u64,
    /// At most so many.
    pub max: u64,
    /// The share of its cpus that an instance should use.
    pub cpu: Option<f64>,
    /// The share of its memory.
    pub mem: Option<f64>,
    /// How many requests a second it should get.
    pub requests: Option<f64>,
    /// How long after a change of the app nothing is changed.
    pub cooldown: Duration,
}

impl Rule {
    /// From an app.
    pub fn read(app: &Value) -> Option<Self> {
        let of = app.get("autoscale")?;
        let number = |name: &str| of.get(name).and_then(Value::as_f64);
        let whole = |name: &str| of.get(name).and_then(Value::as_u64);
        Some(Self {
            min: whole("minInstances").unwrap_or(1),
            max: whole("maxInstances").unwrap_or(1),
            cpu: number("cpu"),
            mem: number("mem"),
            requests: number("requests"),
            cooldown: Duration::from_secs(whole("cooldownSeconds").unwrap_or(COOLDOWN_S)),
        })
    }
}

/// What is asked of an app: shares of one instance's cpus and memory, on average; requests a second, of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Share of the cpus.
    pub cpu: Option<f64>,
    /// Share of the memory.
    pub mem: Option<f64>,
    /// Requests a second.
    pub requests: Option<f64>,
}

impl Load {
    fn said(self) -> Value {
        let mut said = json!({});
        for (name, value) in [("cpu", self.cpu), ("mem", self.mem), ("requests", self.requests)] {
            if let Some(value) = value {
                said[name] = ((value * 1000.0).round() / 1000.0).into();
            }
        }
        said
    }
}

/// How many there should be, and why; the metric that wants most decides. `current` are wanted now, `serving` run: what was
/// measured is of these.
pub fn wanted(rule: &Rule, current: u64, serving: u64, load: Load) -> (u64, String) {
    let each = [
        ("cpu", rule.cpu, load.cpu.filter(|_| serving > 0), serving as f64),
        ("mem", rule.mem, load.mem.filter(|_| serving > 0), serving as f64),
        ("requests", rule.requests, load.requests, 1.0),
    ];
    let wants = each.into_iter().filter_map(|(name, target, load, times)| {
        let (target, load) = (target.filter(|target| *target > 0.0)?, load?);
        let exact = load * times / target;
        let near = current > 0 && (exact / current as f64 - 1.0).abs() <= TOLERANCE;
        let count = if near { current } else { exact.ceil() as u64 };
        let of = if name == "requests" { " for each of all" } else { "" };
        Some((count, format!("{name} {load:.2}, {target:.2} is right{of}")))
    });
    let most = wants.max_by(|a, b| a.0.cmp(&b.0));
    let unknown = each.iter().find(|(_, target, load, _)| target.is_some() && load.is_none());
    // who does not know all that was asked for does not shrink for the rest
    let most = most.map(|(count, why)| match unknown {
        Some((name, ..)) if count < current => (current, format!("{why}, but nothing is known of {name}")),
        _ => (count, why),
    });
    let (count, why) =
        most.unwrap_or_else(|| (current, "nothing was measured or reported lately".to_owned()));
    let bound = count.clamp(rule.min, rule.max.max(rule.min));
    match bound.cmp(&count) {
        std::cmp::Ordering::Less => (bound, format!("{why}; at most {bound}")),
        std::cmp::Ordering::Greater => (bound, format!("{why}; at least {bound}")),
        std::cmp::Ordering::Equal => (bound, why),
    }
}

/// Whoever says how many instances an app should have: its bounds hold.
pub(crate) fn keep_bounds(app: &mut serde_json::Map<String, Value>) {
    let bound = |name: &str| app.get("autoscale")?.get(name)?.as_u64();
    let (Some(most), least) = (bound("maxInstances"), bound("minInstances").unwrap_or(1)) else { return };
    if let Some(asked) = app.get("instances").and_then(Value::as_u64) {
        app.insert("instances".into(), asked.clamp(least, most.max(least)).into());
    }
}

/// What an agent says of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Its executor; of a command task, its task.
    pub executor: String,
    /// Processor time used so far, in seconds.
    pub cpu_s: f64,
    /// Memory in use, in bytes.
    pub mem: f64,
}

/// What is known of one app. Durable is the last decision alone, as the record `scaled/<app>`: after a restart it is measured
/// anew, and the app's version says until when it cools down.
#[derive(Debug, Default)]
pub(crate) struct Scaler {
    /// By task, the last measurement, and the share of its cpus since the one before.
    tasks: BTreeMap<String, (Time, Usage, Option<f64>)>,
    reported: Option<(Time, Load)>,
    last: Option<Value>,
}

impl Scaler {
    fn load(&self, spec: &Spec, now: Time) -> Load {
        let fresh = |at: Time| at + FRESH > now;
        let reported = self.reported.filter(|(at, _)| fresh(*at)).map(|(_, load)| load).unwrap_or_default();
        let tasks = || self.tasks.values().filter(|(at, ..)| fresh(*at));
        let mean = |all: Vec<f64>| (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64);
        let mem = |(_, usage, _): &(Time, Usage, Option<f64>)| usage.mem / (spec.mem * 1024.0 * 1024.0);
        Load {
            cpu: reported.cpu.or_else(|| mean(tasks().filter_map(|(_, _, share)| *share).collect())),
            mem: reported.mem.or_else(|| mean(tasks().filter(|_| spec.mem > 0.0).map(mem).collect())),
            requests: reported.requests,
        }
    }
}

impl Orchestrator {
    /// A definition has come: it is looked at from now on, or not any more.
    pub(crate) fn scale_by(&mut self, id: &str, spec: &Spec) {
        let due = Due::Autoscale(id.to_owned());
        if spec.autoscale.is_some() {
            self.timers.set(due, self.now);
        } else {
            self.timers.stop(&due);
            self.forget_load(id);
        }
    }

    fn forget_load(&mut self, id: &str) {
        if self.scalers.remove(id).is_some_and(|scaler| scaler.last.is_some()) {
            self.saves.delete(format!("scaled{id}"));
        }
    }

    /// What was decided last, by an earlier process.
    pub(crate) fn load_decision(&mut self, id: &str, record: &[u8]) {
        self.scalers.entry(id.to_owned()).or_default().last = serde_json::from_slice(record).ok();
        // whose app is gone, or has no rule any more, is forgotten at the first look
        self.timers.set(Due::Autoscale(id.to_owned()), self.now);
    }

    /// Time to look at an app.
    pub(crate) fn look_at_load(&mut self, now: &mut Now<'_>, id: &str, out: &mut Effects<Effect>) {
        let Some((spec, rule)) = self.ruled(id) else { return self.forget_load(id) };
        self.timers.set(Due::Autoscale(id.to_owned()), now.time + LOOK);
        if rule.cpu.is_some() || rule.mem.is_some() {
            let running = |i: &&Instance| i.condition == Condition::Running;
            let agents: BTreeSet<&String> =
                self.instances.of_app(id).filter(running).filter_map(|i| i.agent_url.as_ref()).collect();
            for agent in agents {
                out.push(Effect::Measure { app: id.to_owned(), agent: agent.clone() });
            }
        }
        self.scale_to_load(now, &spec, &rule);
    }

    fn ruled(&self, id: &str) -> Option<(std::sync::Arc<Spec>, Rule)> {
        let spec = self.apps.get(id)?.spec.clone();
        let rule = spec.autoscale.clone()?;
        Some((spec, rule))
    }

    /// An agent said what its containers use.
    pub(crate) fn measured(&mut self, now: Time, app: &str, usages: Vec<Usage>) {
        let Some((spec, _)) = self.ruled(app) else { return };
        let mine: BTreeSet<&String> = self.instances.of_app(app).map(|instance| &instance.task).collect();
        let scaler = self.scalers.entry(app.to_owned()).or_default();
        scaler.tasks.retain(|task, _| mine.contains(task));
        for usage in usages.into_iter().filter(|usage| mine.contains(&usage.executor)) {
            let last = scaler.tasks.get(&usage.executor).map(|(at, ..)| *at);
            if last.is_some_and(|at| now.since(at) < SAMPLE_MIN) {
                continue;
            }
            let share = scaler.tasks.get(&usage.executor).and_then(|(at, before, _)| {
                let seconds = now.since(*at).as_secs_f64();
                (seconds > 0.0 && spec.cpus > 0.0 && usage.cpu_s >= before.cpu_s)
                    .then(|| (usage.cpu_s - before.cpu_s) / seconds / spec.cpus)
            });
            scaler.tasks.insert(usage.executor.clone(), (now, usage, share));
        }
    }

    /// Somebody says what is asked of an app.
    pub(crate) fn report_load(&mut self, now: &mut Now<'_>, id: &str, load: Load) -> Result<Answer, Answer> {
        let missing = || message(404, format!("App '{id}' does not exist"));
        self.app(id).ok_or_else(missing)?;
        let Some((spec, rule)) = self.ruled(id) else {
            return Err(message(409, format!("App '{id}' has no 'autoscale'")));
        };
        let scaler = self.scalers.entry(id.to_owned()).or_default();
        let before =
            scaler.reported.filter(|(at, _)| *at + FRESH > now.time).map(|(_, l)| l).unwrap_or_default();
        let load = Load {
            cpu: load.cpu.or(before.cpu),
            mem: load.mem.or(before.mem),
            requests: load.requests.or(before.requests),
        };
        scaler.reported = Some((now.time, load));
        self.scale_to_load(now, &spec, &rule);
        Ok(Answer::json(200, self.autoscale_info(id, now.time).unwrap_or_default().to_string()))
    }

    fn scale_to_load(&mut self, now: &mut Now<'_>, spec: &Spec, rule: &Rule) {
        let id = spec.id.as_str();
        let load = self.scalers.get(id).map(|scaler| scaler.load(spec, now.time)).unwrap_or_default();
        let (to, reason) = wanted(rule, spec.instances, self.instances.tally(id).running, load);
        let held = self.held(spec, rule, now.time);
        if to == spec.instances || held.is_some() {
            return;
        }
        let Some(mut fields) = self.apps.get(id).and_then(|state| state.app.as_object().cloned()) else {
            return;
        };
        fields.insert("instances".into(), to.into());
        let mut draft = self.draft(now);
        draft.by_load = true;
        let begun = match self.put(id, fields, &mut draft) {
            Ok(()) => self.deploy(now, api::marathon::parent(id), draft, false),
            Err(refused) => Err(refused),
        };
        let mut said = json!({
            "appId": id, "from": spec.instances, "to": to, "reason": reason, "load": load.said(),
            "at": when(now.time.as_millis()),
        });
        match begun {
            Ok(deployment) => said["deploymentId"] = deployment.into(),
            Err(refused) => said["refused"] = format!("status {}", refused.status).into(),
        }
        self.emit(now.time, "app_autoscaled_event", said.clone());
        self.saves.put(format!("scaled{id}"), said.to_string().into_bytes());
        self.scalers.entry(id.to_owned()).or_default().last = Some(said);
    }

    /// How many instances an app has for which its load asks for more, or asked.
    pub(crate) fn got(&self, id: &str) -> Option<u64> {
        self.locks.get(id).filter(|deployment| self.gives_way(deployment))?;
        let (spec, rule) = self.ruled(id)?;
        Some(self.instances.tally(id).active.clamp(rule.min.min(spec.instances), spec.instances))
    }

    /// Why an app is not to be changed now.
    fn held(&self, spec: &Spec, rule: &Rule, now: Time) -> Option<String> {
        if let Some(deployment) = self.locked_by(&spec.id) {
            return Some(format!("the deployment {deployment} has it"));
        }
        // bounds are kept at once
        let outside = spec.instances < rule.min || spec.instances > rule.max;
        let changed = Time::from_millis(millis(&spec.version).unwrap_or(0));
        let until = changed + rule.cooldown;
        (until > now && !outside).then(|| format!("it cools down until {}", when(until.as_millis())))
    }

    /// As clients see it.
    pub(crate) fn autoscale_info(&self, id: &str, now: Time) -> Option<Value> {
        let (spec, rule) = self.ruled(id)?;
        let none = Scaler::default();
        let scaler = self.scalers.get(id).unwrap_or(&none);
        let load = scaler.load(&spec, now);
        let (to, reason) = wanted(&rule, spec.instances, self.instances.tally(id).running, load);
        let mut said = json!({ "load": load.said(), "wanted": to, "reason": reason });
        if let Some(held) = self.held(&spec, &rule, now).filter(|_| to != spec.instances) {
            said["held"] = format!("{to} are wanted ({reason}), but {held}").into();
        }
        if let Some(last) = &scaler.last {
            said["last"] = last.clone();
        }
        Some(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_for_whoever_asks() {
        for (asked, is) in [(9, 3), (1, 2), (3, 3), (0, 2)] {
            let app = json!({ "instances": asked, "autoscale": { "minInstances": 2, "maxInstances": 3, "cpu": 0.5 } });
            let mut app = app.as_object().unwrap().clone();
            keep_bounds(&mut app);
            assert_eq!(app["instances"], is);
        }
        let mut free = json!({ "instances": 9 }).as_object().unwrap().clone();
        keep_bounds(&mut free);
        assert_eq!(free["instances"], 9);
    }

    #[test]
    fn how_many_by_table() {
        // cpu, memory, requests; now; wanted, and a word of the reason
        for (cpu, mem, requests, current, count, word) in [
            (None, None, None, 3, 3, "nothing was measured"),
            (None, None, None, 1, 2, "at least 2"),
            (None, None, None, 30, 10, "at most 10"),
            (Some(0.52), None, None, 4, 4, "cpu 0.52"),
            (Some(0.75), None, None, 4, 6, "cpu 0.75"),
            (Some(0.2), None, None, 4, 2, "cpu"),
            (Some(0.01), None, None, 9, 2, "at least 2"),
            (Some(0.2), Some(0.8), None, 4, 4, "mem 0.80"),
            (Some(0.2), None, Some(730.0), 4, 8, "requests 730.00"),
            (Some(9.0), None, Some(1.0), 4, 10, "at most 10"),
        ] {
            // what nothing is known of is not asked for
            let rule = Rule {
                min: 2,
                max: 10,
                cpu: cpu.map(|_| 0.5),
                mem: mem.map(|_| 0.8),
                requests: requests.map(|_: f64| 100.0),
                ..Rule::default()
            };
            let (to, reason) = wanted(&rule, current, current, Load { cpu, mem, requests });
            assert_eq!(to, count, "{cpu:?} {mem:?} {requests:?} {current}: {reason}");
            assert!(reason.contains(word), "{reason}");
        }
        let both = Rule { min: 1, max: 9, cpu: Some(0.5), mem: Some(0.8), ..Rule::default() };
        let idle = wanted(&both, 4, 4, Load { cpu: Some(0.1), ..Load::default() });
        assert_eq!(idle.0, 4);
        assert!(idle.1.contains("nothing is known of mem"), "{}", idle.1);
        assert_eq!(wanted(&both, 4, 4, Load { cpu: Some(1.0), ..Load::default() }).0, 8, "growing is safe");
        let none = Rule { min: 0, max: 5, requests: Some(10.0), ..Rule::default() };
        let asked = |requests| Load { requests: Some(requests), ..Load::default() };
        // six of fifteen run, and each has twice what it should
        let six =
            wanted(&Rule { max: 40, mem: None, ..both }, 15, 6, Load { cpu: Some(1.0), ..Load::default() });
        assert_eq!(six.0, 12, "{six:?}");
        assert_eq!((wanted(&none, 3, 3, asked(0.0)).0, wanted(&none, 0, 0, asked(11.0)).0), (0, 2));
    }
}
