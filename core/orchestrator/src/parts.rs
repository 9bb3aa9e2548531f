//! The containers of a pod's instance: what each does, and what that makes of the whole. Pure.

use crate::instances::{Condition, Instance};
use serde::{Deserialize, Serialize};

/// One container of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub container: String,
    /// Its task.
    pub task: String,
    /// What it does, or did last.
    pub condition: Condition,
    /// How it ended.
    pub ended: Option<String>,
    /// What was said of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// What is known of its health.
    pub healthy: Option<bool>,
    /// When it was first seen running, in ms since 1970.
    pub started_at: Option<u64>,
    /// The id that its agent gave.
    pub container_id: Option<String>,
    /// What its agent's check saw when it last failed; not in the record.
    #[serde(skip)]
    pub saw: Option<String>,
}

/// The end of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// `TASK_FAILED` and so on.
    pub state: String,
    /// What was said, cut at `runs::MESSAGE_MAX`.
    pub message: String,
    /// When, in ms since 1970.
    pub at: u64,
}

impl Part {
    /// One that is just ordered.
    pub fn new(container: &str, task: String) -> Self {
        Self {
            container: container.to_owned(),
            task,
            condition: Condition::Provisioned,
            ended: None,
            end: None,
            healthy: None,
            started_at: None,
            container_id: None,
            saw: None,
        }
    }
}

/// What an instance does whose containers do this: what is least far, or lost, decides (InstanceState).
pub fn condition_of(parts: &[Part]) -> Option<Condition> {
    use Condition::{Killing, Provisioned, Running, Staging, Starting, Unreachable, UnreachableInactive};
    let order = [Unreachable, UnreachableInactive, Killing, Starting, Staging, Provisioned, Running];
    let alive = || parts.iter().filter(|part| part.ended.is_none());
    order.into_iter().find(|condition| alive().any(|part| part.condition == *condition))
}

/// How an instance ended whose containers all have: as its worst did.
pub fn end_of(parts: &[Part]) -> Option<&'static str> {
    if parts.iter().any(|part| part.ended.is_none()) {
        return None;
    }
    let order = ["Error", "Failed", "Gone", "Dropped", "Unknown", "Killed"];
    let worst = order.into_iter().find(|end| parts.iter().any(|part| part.ended.as_deref() == Some(*end)));
    Some(worst.unwrap_or("Finished"))
}

/// Health of the whole: sick if one is, well if all that are looked at are.
pub fn health_of(parts: &[Part], looked_at: &[&str]) -> Option<bool> {
    let known =
        || parts.iter().filter(|part| looked_at.contains(&part.container.as_str())).map(|part| part.healthy);
    if known().any(|healthy| healthy == Some(false)) {
        return Some(false);
    }
    (!looked_at.is_empty() && known().all(|healthy| healthy == Some(true))).then_some(true)
}

impl Instance {
    /// Tasks that have not ended.
    pub fn tasks(&self) -> Vec<&String> {
        if self.rests() {
            return Vec::new();
        }
        if self.parts.is_empty() {
            return vec![&self.task];
        }
        self.parts.iter().filter(|part| part.ended.is_none()).map(|part| &part.task).collect()
    }
    /// Whether it has this task.
    pub fn has_task(&self, task: &str) -> bool {
        self.task == task || self.parts.iter().any(|part| part.task == task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_far_and_the_worst_decide() {
        let part = |condition, ended: Option<&str>| Part {
            condition,
            ended: ended.map(str::to_owned),
            ..Part::new("a", "t".into())
        };
        use Condition::{Killing, Running, Staging};
        assert_eq!(condition_of(&[part(Running, None), part(Staging, None)]), Some(Staging));
        assert_eq!(condition_of(&[part(Running, None), part(Staging, Some("Finished"))]), Some(Running));
        assert_eq!(condition_of(&[part(Running, None), part(Killing, None)]), Some(Killing));
        assert_eq!(end_of(&[part(Running, None), part(Running, Some("Failed"))]), None);
        assert_eq!(end_of(&[part(Running, Some("Killed")), part(Running, Some("Failed"))]), Some("Failed"));
        assert_eq!(end_of(&[part(Running, Some("Finished"))]), Some("Finished"));
        let healthy = |healthy| Part { healthy, ..part(Running, None) };
        assert_eq!(health_of(&[healthy(Some(true)), healthy(None)], &["a"]), None);
        assert_eq!(health_of(&[healthy(Some(true))], &[]), None);
        assert_eq!(health_of(&[healthy(Some(true)), healthy(Some(false))], &["a"]), Some(false));
    }
}
