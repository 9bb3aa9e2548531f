//! Tasks that clients want ended.

use super::message;
use crate::Orchestrator;
use base::Now;
use model::request::Answer;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

impl Orchestrator {
    pub(super) fn kill_tasks(
        &mut self,
        now: &mut Now<'_>,
        tasks: &[String],
        (scale, wipe): (bool, bool),
        force: bool,
        single: bool,
    ) -> Result<Answer, Answer> {
        // whoever names one twice, or two containers of one pod, means one instance
        let mut named = BTreeSet::new();
        let found = tasks.iter().filter_map(|task| self.instances.of_task(task));
        let found: Vec<_> = found.filter(|instance| named.insert(instance.id.clone())).cloned().collect();
        if single && found.is_empty() {
            let id = tasks.first().map_or("", String::as_str);
            return Err(message(404, format!("Task '{id}' does not exist")));
        }
        if scale {
            let mut fewer = BTreeMap::<String, u64>::new();
            found
                .iter()
                .filter(|i| !i.ending && !i.rests())
                .for_each(|i| *fewer.entry(i.app.clone()).or_default() += 1);
            let mut draft = self.draft(now);
            for (id, count) in fewer {
                let Some(state) = self.apps.get(&id).filter(|state| !state.spec.every) else { continue };
                let mut fields = state.app.as_object().cloned().unwrap_or_default();
                let left = state.spec.instances.saturating_sub(count);
                match fields.get_mut("scaling") {
                    Some(scaling) => scaling["instances"] = left.into(),
                    None => drop(fields.insert("instances".into(), left.into())),
                }
                self.put(&id, fields, &mut draft)?;
            }
            let answer = self.deployed(now, "/", draft, force, None)?;
            found.iter().for_each(|instance| self.kill(now.time, &instance.id));
            return Ok(answer);
        }
        let said: Vec<_> = found.iter().map(|instance| self.task_info(instance)).collect();
        for instance in &found {
            match wipe {
                true => self.wipe(now.time, &instance.id),
                false => self.kill(now.time, &instance.id),
            }
        }
        let body = match said.first() {
            Some(task) if single => json!({ "task": task }),
            _ => json!({ "tasks": said }),
        };
        Ok(Answer::json(200, body.to_string()))
    }
}
