//! What the simulator found: late, doubled and lost words, each as the shortest story that shows it.

use crate::world::{Client, World, aware, frameworks_of, info};
use base::Duration;
use model::{
    link::{Message, Upid},
    mesos::{
        AgentId, FrameworkInfo, Task, TaskId, TaskState, internal,
        scheduler::{Call, call},
    },
    request::StreamId,
};

struct Running {
    w: World,
    pid: Upid,
    client: Client,
    agent: AgentId,
}

/// A framework with one running task.
fn running(framework: FrameworkInfo) -> Running {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(framework);
    let offer = w.offers(&client).remove(0);
    let agent = offer.agent_id.clone();
    w.launch(&client, &offer, "t", 1.0);
    let mut r = Running { w, pid, client, agent };
    r.says(TaskState::TaskRunning, 0x40);
    r.w.acknowledge(&r.client, &r.agent, "t", 0x40);
    r.w.take(r.client.stream);
    r
}

impl Running {
    fn says(&mut self, state: TaskState, uuid: u8) {
        self.w.update(&self.pid, &self.client, &self.agent, "t", state, uuid);
    }
    fn hears(&mut self) -> Vec<TaskState> {
        self.w.updates(&self.client).iter().map(|s| s.state()).collect()
    }
    fn task(&self) -> Option<&Task> {
        self.w.master.frameworks()[&self.client.id.value].tasks.get("t")
    }
    fn comes_back(&mut self, tasks: Vec<Task>) {
        let slave = info(Some(&self.agent));
        self.w.agent_says(
            &self.pid,
            internal::ReregisterSlaveMessage {
                version: Some("1.11.0".to_owned()),
                slave,
                frameworks: frameworks_of(&tasks),
                tasks,
                ..Default::default()
            },
        );
    }
    fn told(&mut self, what: fn(&Message) -> bool) -> usize {
        std::mem::take(&mut self.w.sent).iter().filter(|e| what(&e.message)).count()
    }
    fn asks(&mut self) -> Vec<TaskState> {
        self.asks_of(Some(self.agent.clone()))
    }
    fn asks_of(&mut self, agent_id: Option<AgentId>) -> Vec<TaskState> {
        let task_id = TaskId { value: "t".into() };
        let tasks = vec![call::reconcile::Task { task_id, agent_id }];
        self.w.call(&self.client, call::Type::Reconcile, |c| c.reconcile = Some(call::Reconcile { tasks }));
        self.hears()
    }
}

#[test]
fn an_update_that_was_overtaken_is_not_handed_on() {
    let mut r = running(aware(60.0));
    r.says(TaskState::TaskFinished, 0x41);
    r.says(TaskState::TaskRunning, 0x40);
    assert_eq!(r.hears(), [TaskState::TaskFinished]);
    r.w.acknowledge(&r.client, &r.agent, "t", 0x41);
    r.says(TaskState::TaskRunning, 0x40);
    assert!(r.hears().is_empty() && r.task().is_none());
    r.says(TaskState::TaskFinished, 0x41);
    assert_eq!(r.hears(), [TaskState::TaskFinished], "its acknowledgement may have been lost");
}

#[test]
fn a_list_that_was_overtaken_brings_nothing_back() {
    let mut r = running(aware(60.0));
    let old = r.task().cloned().unwrap();
    r.says(TaskState::TaskFinished, 0x41);
    r.comes_back(vec![old.clone()]);
    assert_eq!(r.task().map(Task::state), Some(TaskState::TaskFinished));
    r.w.acknowledge(&r.client, &r.agent, "t", 0x41);
    assert!(r.task().is_none());
    r.comes_back(vec![old]);
    assert!(r.task().is_none(), "acknowledged is over, whatever an older list says");
}

#[test]
fn what_an_agent_has_forgotten_was_acknowledged() {
    let mut r = running(aware(60.0));
    r.says(TaskState::TaskFinished, 0x41);
    r.comes_back(Vec::new());
    assert!(r.task().is_none());
}

#[test]
fn a_task_thought_lost_comes_back_with_its_agent() {
    let mut r = running(FrameworkInfo { capabilities: Vec::new(), ..aware(3600.0) });
    let task = r.task().cloned().unwrap();
    r.w.pass(Duration::from_secs(100));
    assert_eq!(r.hears(), [TaskState::TaskLost]);
    r.comes_back(vec![task]);
    assert_eq!(r.hears(), [TaskState::TaskRunning]);
    assert_eq!(r.task().map(Task::state), Some(TaskState::TaskRunning));
    assert_eq!(r.told(|m| matches!(m, Message::ShutdownFrameworkMessage(_))), 0);
}

#[test]
fn who_asks_for_a_task_on_an_unreachable_agent_need_not_know_which_it_is() {
    let mut r = running(aware(3600.0));
    r.w.pass(Duration::from_secs(100));
    assert_eq!(r.hears(), [TaskState::TaskUnreachable]);
    assert_eq!(r.asks(), [TaskState::TaskUnreachable]);
    assert_eq!(r.asks_of(None), [TaskState::TaskUnreachable]);
    let unknown = AgentId { value: "no-such-agent".into() };
    assert_eq!(r.asks_of(Some(unknown)), [TaskState::TaskUnreachable]);
    // upstream goes by the agent alone where it is known
    r.w.agent(5052);
    let other = r.w.offers(&r.client).remove(0).agent_id;
    assert_eq!(r.asks_of(Some(other)), [TaskState::TaskGone]);
}

#[test]
fn a_task_that_did_not_come_back_with_its_agent_is_gone() {
    let mut r = running(aware(3600.0));
    r.w.pass(Duration::from_secs(100));
    assert_eq!(r.hears(), [TaskState::TaskUnreachable]);
    r.comes_back(Vec::new());
    assert!(r.w.master.frameworks()[&r.client.id.value].unreachable_tasks.is_empty());
    assert_eq!(r.asks(), [TaskState::TaskGone]);
}

#[test]
fn an_agent_that_missed_the_end_of_a_framework_hears_of_it() {
    let mut r = running(aware(60.0));
    r.w.call(&r.client, call::Type::Teardown, |_| {});
    r.w.sent.clear();
    r.says(TaskState::TaskFinished, 0x41);
    assert_eq!(
        r.told(|m| matches!(m, Message::ShutdownFrameworkMessage(_))),
        1,
        "or it repeats this for ever"
    );
}

#[test]
fn an_agent_with_a_task_that_nobody_knows_is_asked_for_its_list() {
    let mut r = running(aware(60.0));
    r.w.sent.clear();
    r.w.update(&r.pid, &r.client, &r.agent, "late", TaskState::TaskRunning, 0x50);
    assert_eq!(r.told(|m| matches!(m, Message::PingSlaveMessage(p) if !p.connected)), 1);
    // Its list does not have it, and the agent repeats the update: an executor made the task up.
    let task = r.task().cloned().unwrap();
    r.comes_back(vec![task]);
    r.w.sent.clear();
    r.w.update(&r.pid, &r.client, &r.agent, "late", TaskState::TaskRunning, 0x50);
    assert_eq!(r.told(|m| matches!(m, Message::PingSlaveMessage(p) if !p.connected)), 0, "or for ever");
    r.w.update(&r.pid, &r.client, &r.agent, "later", TaskState::TaskRunning, 0x51);
    assert_eq!(r.told(|m| matches!(m, Message::PingSlaveMessage(p) if !p.connected)), 1);
}

#[test]
fn a_framework_hears_that_it_is_over_when_a_crash_can_not_undo_it() {
    let mut w = World::new();
    let client = w.subscribe(aware(60.0));
    w.disk_full = true;
    w.call(&client, call::Type::Teardown, |_| {});
    let mut call = Call { framework_id: Some(client.id.clone()), ..Default::default() };
    call.set_type(call::Type::Subscribe);
    let framework_info = FrameworkInfo { id: Some(client.id.clone()), ..aware(60.0) };
    call.subscribe = Some(call::Subscribe { framework_info, ..Default::default() });
    let request = w.request(None, call.clone());
    let answer = w.answers.iter().find(|(r, _)| *r == request).map(|(_, a)| a.status);
    assert_eq!(answer, Some(503), "neither taken nor refused for good");
    w.disk_full = false;
    w.pass(Duration::from_secs(2));
    let request = w.request(None, call);
    let said = w.take(StreamId(request.0));
    assert_eq!(said[0].error.as_ref().unwrap().message, "Framework has been removed");
}
