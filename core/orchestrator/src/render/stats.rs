//! `embed=apps.taskStats`: counts and ages of an app's tasks, by what version they run (TaskStatsByVersion). Read-only.

use crate::{
    Orchestrator,
    instances::{Condition, Instance},
};
use base::Time;
use serde_json::{Map, Value, json};

impl Orchestrator {
    pub(super) fn stats_info(&self, id: &str, now: Time) -> Value {
        let Some(state) = self.app(id) else { return json!({}) };
        let scaled =
            state.app.pointer("/versionInfo/lastScalingAt").and_then(Value::as_str).unwrap_or_default();
        let config = &state.spec.config_version;
        let all: Vec<&Instance> = self.instances_of(id).filter(|i| !i.rests()).collect();
        let of = |keep: &dyn Fn(&Instance) -> bool| -> Option<Value> {
            let some: Vec<&Instance> = all.iter().copied().filter(|instance| keep(instance)).collect();
            (!some.is_empty()).then(|| stats(&some, now))
        };
        let parts = [
            ("startedAfterLastScaling", of(&|i| i.version.as_str() >= scaled)),
            ("withLatestConfig", of(&|i| i.config == *config)),
            ("withOutdatedConfig", of(&|i| i.config != *config)),
            ("totalSummary", of(&|_| true)),
        ];
        let said = parts.into_iter().filter_map(|(name, stats)| Some((name.to_owned(), stats?)));
        Value::Object(said.collect::<Map<_, _>>())
    }
}

fn stats(some: &[&Instance], now: Time) -> Value {
    let count = |keep: &dyn Fn(&Instance) -> bool| some.iter().filter(|i| keep(i)).count();
    let running = |i: &Instance| i.condition == Condition::Running;
    let counts = json!({
        "staged": count(&|i| i.condition < Condition::Running), "running": count(&running),
        "healthy": count(&|i| running(i) && i.healthy == Some(true)),
        "unhealthy": count(&|i| running(i) && i.healthy == Some(false)),
    });
    let mut stats = json!({ "counts": counts });
    let mut ages: Vec<f64> = some
        .iter()
        .filter_map(|i| i.started_at)
        .map(|at| now.as_millis().saturating_sub(at) as f64 / 1000.0)
        .collect();
    ages.sort_by(f64::total_cmp);
    if let Some(median) = ages.get(ages.len() / 2) {
        let average = ages.iter().sum::<f64>() / ages.len() as f64;
        stats["lifeTime"] = json!({ "averageSeconds": average, "medianSeconds": median });
    }
    json!({ "stats": stats })
}
