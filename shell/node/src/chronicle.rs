//! What the log says of a cluster, a line each: read off what machines ask for and where they stand. Never changes either.

use model::{
    link::Message,
    mesos::{TaskState, scheduler::event::Type},
    request::{Http, StreamId},
    save::{Change, Records},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The subscribed frameworks of a master by their streams. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Chronicle(Arc<Mutex<BTreeMap<StreamId, String>>>);

impl Chronicle {
    /// What a master's effect means to people.
    pub fn of(&self, effect: &master::Effect) -> Vec<String> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match effect {
            master::Effect::Send(envelope) => {
                let peer = envelope.to.address;
                let line = match &envelope.message {
                    Message::SlaveRegisteredMessage(m) => {
                        format!("agent {} admitted, at {peer}", m.slave_id.value)
                    }
                    Message::SlaveReregisteredMessage(m) => {
                        format!("agent {} is back, at {peer}", m.slave_id.value)
                    }
                    Message::ShutdownMessage(_) => format!("agent at {peer} is told to shut down"),
                    Message::FrameworkRegisteredMessage(m) => {
                        format!("framework {} subscribed, by a driver at {peer}", m.framework_id.value)
                    }
                    Message::FrameworkReregisteredMessage(m) => {
                        format!("framework {} subscribed anew, by a driver at {peer}", m.framework_id.value)
                    }
                    _ => return Vec::new(),
                };
                vec![line]
            }
            master::Effect::Save { batch, .. } => batch.iter().filter_map(changed).collect(),
            master::Effect::Http(Http::Send { stream, event }) if event.r#type() == Type::Subscribed => {
                let id = event.subscribed.as_ref().map(|s| s.framework_id.value.clone()).unwrap_or_default();
                let before: Vec<_> =
                    open.iter().filter(|(_, other)| **other == id).map(|(s, _)| *s).collect();
                before.iter().for_each(|stream| drop(open.remove(stream)));
                open.insert(*stream, id.clone());
                let how = if before.is_empty() { "subscribed" } else { "failed over: subscribed anew" };
                vec![format!("framework {id} {how}")]
            }
            _ => Vec::new(),
        }
    }

    /// What the end of a stream means.
    pub fn closed(&self, stream: StreamId) -> Option<String> {
        let id = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream)?;
        Some(format!("framework {id} disconnected"))
    }
}

fn changed(change: &Change) -> Option<String> {
    match change {
        Change::Put { key, .. } => {
            let id = |prefix: &str| key.strip_prefix(prefix);
            let unreachable = id("unreachable/").map(|id| format!("agent {id} is unreachable"));
            unreachable.or_else(|| id("completed/").map(|id| format!("framework {id} removed")))
        }
        Change::Delete { key } => {
            key.strip_prefix("agents/").map(|id| format!("agent {id} is gone for good"))
        }
    }
}

/// What a master or an agent found at its start.
pub fn recovered(records: &Records, kinds: &[&str]) -> String {
    let count = |kind: &&str| {
        let prefix = format!("{kind}/");
        format!("{} {kind}", records.keys().filter(|key| key.starts_with(&prefix)).count())
    };
    kinds.iter().map(count).collect::<Vec<_>>().join(", ")
}

/// How much of what became of an agent's tasks was told.
#[derive(Debug, Default)]
pub struct Tasks {
    told: u64,
}

impl Tasks {
    /// What is new with them. It is asked after each batch of steps, so it costs nothing that grows with the tasks.
    pub fn of(&mut self, agent: &agent::Agent) -> Vec<String> {
        let (news, count) = agent.news_since(self.told);
        self.told = count;
        let line = |((framework, id), state): &((String, String), TaskState)| {
            format!("task {id} of framework {framework}: {}", state.as_str_name())
        };
        news.map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{mesos::scheduler, save::SaveId};

    #[test]
    fn frameworks_come_fail_over_and_go() {
        let chronicle = Chronicle::default();
        let subscribed = |stream: u64| {
            let id = model::mesos::FrameworkId { value: "f-1".into() };
            let said = scheduler::event::Subscribed { framework_id: id, ..Default::default() };
            let mut event = scheduler::Event { subscribed: Some(said), ..Default::default() };
            event.set_type(Type::Subscribed);
            master::Effect::Http(Http::Send { stream: StreamId(stream), event })
        };
        assert_eq!(chronicle.of(&subscribed(1)), ["framework f-1 subscribed"]);
        assert_eq!(chronicle.of(&subscribed(2)), ["framework f-1 failed over: subscribed anew"]);
        assert_eq!(chronicle.closed(StreamId(1)), None, "the earlier stream is nobody's");
        assert_eq!(chronicle.closed(StreamId(2)).unwrap(), "framework f-1 disconnected");
        let put = |key: &str| Change::Put { key: key.into(), value: Vec::new() };
        let gone = Change::Delete { key: "agents/a-2".into() };
        let batch = vec![put("agents/a-1"), put("unreachable/a-1"), gone, put("completed/f-1")];
        let said = chronicle.of(&master::Effect::Save { save: SaveId(1), batch });
        assert_eq!(said, ["agent a-1 is unreachable", "agent a-2 is gone for good", "framework f-1 removed"]);
    }

    #[test]
    fn frameworks_with_drivers_come_too() {
        use model::{link::Envelope, mesos::internal};
        let driver = "scheduler-1@10.0.0.7:9000".parse::<model::link::Upid>().unwrap();
        let master = "master@10.0.0.1:5050".parse::<model::link::Upid>().unwrap();
        let said = |message: Message| {
            let envelope = Envelope { from: master.clone(), to: driver.clone(), message };
            Chronicle::default().of(&master::Effect::Send(Box::new(envelope)))
        };
        let framework_id = model::mesos::FrameworkId { value: "f-2".into() };
        let m =
            internal::FrameworkRegisteredMessage { framework_id: framework_id.clone(), ..Default::default() };
        assert_eq!(said(m.into()), ["framework f-2 subscribed, by a driver at 10.0.0.7:9000"]);
        let m = internal::FrameworkReregisteredMessage { framework_id, ..Default::default() };
        assert_eq!(said(m.into()), ["framework f-2 subscribed anew, by a driver at 10.0.0.7:9000"]);
    }

    #[test]
    fn what_was_recovered_is_counted() {
        let keys = ["agents/1", "agents/2", "frameworks/1", "other"];
        let records: Records = keys.into_iter().map(|k| (k.to_owned(), Vec::new())).collect();
        assert_eq!(recovered(&records, &["agents", "frameworks"]), "2 agents, 1 frameworks");
    }
}
