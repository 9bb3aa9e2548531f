//! Compares what came with what was recorded, and says where they differ.
//!
//! Rules (`data/transcripts/README.md`): the order of keys never matters, that of lists only where the server keeps
//! one; `flags` are compared for the flags that the server names, without those that steered the recording.

use crate::placeholders::Bindings;
use serde_json::{Map, Value};

/// Differences that are listed for one comparison; more are not of use.
const DIFFERENCES_MAX: usize = 12;

/// Lists that stand for sets.
const SETS: [&str; 27] = [
    "tasks",
    "executors",
    "frameworks",
    "slaves",
    "agents",
    "weight_infos",
    "infos",
    "configs",
    "draining_machines",
    "machines",
    "metrics",
    "containers",
    "operations",
    "framework_ids",
    "slave_ids",
    "offers",
    "resources",
    "completed_tasks",
    "completed_executors",
    "completed_frameworks",
    "down_machines",
    "recovered_slaves",
    "roles",
    "launched_tasks",
    "terminated_tasks",
    "queued_tasks",
    "flags",
];
/// Flags that only steered the recording, or steer its replay.
const STEERING: [&str; 16] = [
    "allocation_interval",
    "ip",
    "port",
    "hostname",
    "registry",
    "work_dir",
    "runtime_dir",
    "launcher_dir",
    "launcher",
    "isolation",
    "systemd_enable_support",
    "registration_backoff_factor",
    "advertise_ip",
    "master",
    "log_dir",
    "resources",
];

/// Flags of upstream's that it leaves unset and that have a value here, as COMPAT.md says.
const SET_HERE: [&str; 1] = ["offer_timeout"];

/// Metrics of a registry that lasts: recordings were made with one in memory, which has no log.
const OF_THE_LOG: [&str; 2] = ["registrar/log/recovered", "registrar/log/ensemble_size"];

/// A comparison under way.
pub struct Comparison<'b> {
    pub bound: &'b mut Bindings,
    /// The recorded body lists only some keys.
    pub subset: bool,
    pub differences: Vec<String>,
}

impl<'b> Comparison<'b> {
    pub fn new(bound: &'b mut Bindings) -> Self {
        Self { bound, subset: false, differences: Vec::new() }
    }

    fn differ(&mut self, path: &str, what: impl FnOnce() -> String) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(format!("{path}: {}", what()));
        }
    }

    /// Whether it fits, without traces if it does not.
    pub fn fits(&mut self, recorded: &Value, actual: &Value, path: &str) -> bool {
        let mark = self.bound.mark();
        let mut trial = Comparison { bound: self.bound, subset: self.subset, differences: Vec::new() };
        trial.value(recorded, actual, path);
        let fits = trial.differences.is_empty();
        if !fits {
            self.bound.back_to(mark);
        }
        fits
    }

    pub fn value(&mut self, recorded: &Value, actual: &Value, path: &str) {
        match (recorded, actual) {
            (Value::Object(wanted), Value::Object(got)) => self.object(wanted, got, path),
            (Value::Array(wanted), Value::Array(got)) => self.list(wanted, got, path),
            (Value::String(wanted), Value::String(got)) => {
                let wanted = &here(wanted);
                if !self.bound.matches(wanted, got) && !self.same_resources(wanted, got) {
                    self.differ(path, || format!("recorded {wanted:?}, came {got:?}"));
                }
            }
            (Value::String(wanted), Value::Number(got)) if wanted.starts_with("${") => {
                if !self.bound.matches(wanted, &got.to_string()) {
                    self.differ(path, || format!("recorded {wanted}, came {got}"));
                }
            }
            (Value::String(wanted), _) if wanted == "${any}" => {}
            (Value::Number(wanted), Value::Number(got)) => {
                if wanted.as_f64() != got.as_f64() {
                    self.differ(path, || format!("recorded {wanted}, came {got}"));
                }
            }
            _ if recorded == actual => {}
            _ => self.differ(path, || format!("recorded {}, came {}", short(recorded), short(actual))),
        }
    }

    fn object(&mut self, wanted: &Map<String, Value>, got: &Map<String, Value>, path: &str) {
        let flags = path.ends_with("flags");
        // A container of a container has these or not, by chance.
        let by_chance = wanted
            .get("container_id")
            .is_some_and(|id| id.get("parent").is_some())
            .then_some(["network_infos", "executor_pid"]);
        for (key, value) in wanted {
            let inner = format!("{path}.{key}");
            let chance = by_chance.is_some_and(|names| names.contains(&key.as_str()));
            // Keys hold placeholders too: per-framework metrics are named after ids.
            let found = got.get(key).or_else(|| {
                let key = self.bound.fill(key).ok()?;
                got.get(&key)
            });
            match found {
                Some(_) if flags && STEERING.contains(&key.as_str()) => {}
                Some(other) => self.value(value, other, &inner),
                None if flags || chance => {}
                None if key.contains("${") => {
                    let free = got.keys().find(|k| {
                        let mark = self.bound.mark();
                        let fits = !wanted.contains_key(*k) && self.bound.matches(key, k);
                        if !fits {
                            self.bound.back_to(mark);
                        }
                        fits
                    });
                    match free {
                        Some(k) => self.value(value, &got[k], &inner),
                        None => self.differ(&inner, || "nothing of that name came".to_owned()),
                    }
                }
                None => self.differ(&inner, || format!("missing; recorded {}", short(value))),
            }
        }
        if self.subset {
            return;
        }
        for (key, value) in got {
            let known = wanted.contains_key(key)
                || OF_THE_LOG.contains(&key.as_str())
                || (flags && SET_HERE.contains(&key.as_str()))
                || wanted.keys().any(|k| k.contains("${") && self.bound.fill(k).is_ok_and(|k| k == *key))
                || by_chance.is_some_and(|names| names.contains(&key.as_str()));
            if !known {
                self.differ(&format!("{path}.{key}"), || format!("not recorded; came {}", short(value)));
            }
        }
    }

    fn list(&mut self, wanted: &[Value], got: &[Value], path: &str) {
        let name = path.rsplit('.').next().unwrap_or_default();
        let whole = path.ends_with("body") || path.ends_with("json");
        // `reserved_resources_full` has a list for each role.
        let by_role = path.rsplit('.').nth(1).is_some_and(|outer| outer.ends_with("_full"));
        let set = whole
            || by_role
            || SETS.contains(&name)
            || name.ends_with("_resources")
            || name.ends_with("_full")
            || name.ends_with("_allocated")
            || name.ends_with("_tasks");
        if name == "flags" {
            self.flag_list(wanted, got, path);
        } else if set {
            self.set(wanted, got, path);
        } else {
            for (at, (w, g)) in wanted.iter().zip(got).enumerate() {
                self.value(w, g, &format!("{path}[{at}]"));
            }
            if wanted.len() != got.len() {
                self.differ(path, || format!("recorded {} items, came {}", wanted.len(), got.len()));
            }
        }
    }

    /// `[{name, value}]`: what is known of these is compared, as in the map.
    fn flag_list(&mut self, wanted: &[Value], got: &[Value], path: &str) {
        let map = |all: &[Value]| -> Map<String, Value> {
            let pairs = all.iter().map(|f| {
                let value = f.get("value").cloned().unwrap_or(Value::Null);
                (f["name"].as_str().unwrap_or_default().to_owned(), value)
            });
            pairs.collect()
        };
        self.object(&map(wanted), &map(got), path);
    }

    fn set(&mut self, wanted: &[Value], got: &[Value], path: &str) {
        let mut left: Vec<&Value> = got.iter().collect();
        let mut unmet = Vec::new();
        for (at, item) in wanted.iter().enumerate() {
            let inner = format!("{path}[{at}]");
            let named = |v: &Value| v.get("name").and_then(Value::as_str).map(str::to_owned);
            let name = named(item).filter(|n| !n.contains("${"));
            let found = left.iter().position(|other| {
                let other_name = named(other);
                (name.is_none() || other_name.is_none() || name == other_name)
                    && self.fits(item, other, &inner)
            });
            match found {
                Some(at) => drop(left.remove(at)),
                None => unmet.push((inner, item, name)),
            }
        }
        for (inner, item, name) in unmet {
            let closest = left.iter().position(|other| {
                name.is_none() || other.get("name").and_then(Value::as_str) == name.as_deref()
            });
            match closest {
                Some(at) => {
                    let other = left.remove(at);
                    self.value(item, other, &inner);
                }
                None => self.differ(&inner, || format!("missing; recorded {}", short(item))),
            }
        }
        if !self.subset {
            let of_the_log = |v: &Value| v["name"].as_str().is_some_and(|n| OF_THE_LOG.contains(&n));
            for extra in left.into_iter().filter(|v| !of_the_log(v)) {
                self.differ(path, || format!("not recorded; came {}", short(extra)));
            }
        }
    }

    /// Texts that print resources print them in the order of the server's own tables: compared as sets of words.
    fn same_resources(&mut self, wanted: &str, got: &str) -> bool {
        let printed = |text: &str| text.contains("cpus") || text.contains("mem") || text.contains("ports");
        if !printed(wanted) || !printed(got) || wanted.len() != got.len() {
            return false;
        }
        let words = |text: &str| {
            let mut all: Vec<String> =
                text.split([';', ' ', ',']).filter(|w| !w.is_empty()).map(str::to_owned).collect();
            all.sort();
            all
        };
        words(wanted) == words(got)
    }
}

/// What is recorded of an environment, without the variables that Mesos sets only where it finds its own library on the
/// machine.
fn here(recorded: &str) -> String {
    let native = |line: &&str| line.starts_with("MESOS_NATIVE_") && line.contains("libmesos");
    if !recorded.lines().any(|line| native(&line)) {
        return recorded.to_owned();
    }
    recorded.split_inclusive('\n').filter(|line| !native(line)).collect()
}

/// A value on one line, cut.
pub fn short(value: &Value) -> String {
    const CHARACTERS_MAX: usize = 160;
    let text = value.to_string();
    if text.chars().count() <= CHARACTERS_MAX {
        return text;
    }
    text.chars().take(CHARACTERS_MAX).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn differences(recorded: Value, actual: Value) -> Vec<String> {
        let mut bound = Bindings::default();
        let mut comparison = Comparison::new(&mut bound);
        comparison.value(&recorded, &actual, "body");
        comparison.differences
    }

    #[test]
    fn keys_must_be_the_same_on_both_sides() {
        assert_eq!(differences(json!({"a": 1, "b": 2.0}), json!({"b": 2, "a": 1})), Vec::<String>::new());
        assert_eq!(differences(json!({"a": 1}), json!({"a": 1, "b": 2})), ["body.b: not recorded; came 2"]);
        assert_eq!(differences(json!({"a": 1}), json!({})), ["body.a: missing; recorded 1"]);
        assert_eq!(differences(json!({"a": "x"}), json!({"a": 1})), ["body.a: recorded \"x\", came 1"]);
    }

    #[test]
    fn sets_match_in_any_order_and_lists_do_not() {
        let one = |n: &str, v: i64| json!({"name": n, "value": v});
        let wanted = json!({"resources": [one("a", 1), one("b", 2)]});
        assert!(differences(wanted.clone(), json!({"resources": [one("b", 2), one("a", 1)]})).is_empty());
        let wrong = differences(wanted, json!({"resources": [one("b", 3), one("a", 1)]}));
        assert_eq!(wrong, ["body.resources[1].value: recorded 2, came 3"]);
        assert!(!differences(json!({"x": [1, 2]}), json!({"x": [2, 1]})).is_empty());
    }

    #[test]
    fn only_known_flags_are_compared_and_unknown_ones_are_refused() {
        let recorded = json!({"flags": {"a": "1", "port": "5050", "lacking": "x"}});
        assert!(differences(recorded.clone(), json!({"flags": {"a": "1", "port": "1"}})).is_empty());
        assert_eq!(differences(recorded.clone(), json!({"flags": {"a": "2"}})).len(), 1);
        assert_eq!(differences(recorded, json!({"flags": {"ours": "2"}})).len(), 1);
    }
}
