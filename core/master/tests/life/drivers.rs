//! libmesos frameworks as they were recorded with Apache Mesos: registration, launches, volumes, loss, and the messages
//! that drivers said before there were calls. See `recordings` for what is compared.

use crate::{recordings::Play, world::World};
use base::Duration;
use model::{
    link::{Message, Upid},
    mesos::{FrameworkId, FrameworkInfo, internal},
};

const AGENT: &str = "127.0.0.1:28051";
const FRAMEWORK: &str = "127.0.0.1:28060";

fn whole_life(name: &str, to_framework: usize, to_agent: usize) {
    let mut play = Play::new(name, |_| {});
    play.play();
    play.check_first_offer();
    assert_eq!(play.check("framework", FRAMEWORK), to_framework, "{name}");
    assert_eq!(play.check("agent", AGENT), to_agent, "{name}");
}

#[test]
fn command_tasks_run_to_their_end() {
    whole_life("15-v0-framework-command-tasks", 7, 9);
}

#[test]
fn an_executor_of_its_own_runs_five_tasks() {
    whole_life("11-v0-framework-and-executor", 11, 16);
}

#[test]
fn persistent_volumes_are_made_used_and_left() {
    whole_life("14-v0-persistent-volumes", 19, 37);
}

#[test]
fn a_framework_that_disappears_is_told_so_and_ended() {
    whole_life("16-v0-framework-disappears", 4, 5);
}

#[test]
fn tasks_without_checkpoints_are_lost_with_their_agent() {
    whole_life("18-v0-framework-agent-killed", 4, 5);
}

#[test]
fn an_agent_that_becomes_unreachable_is_lost_and_comes_back_without_the_task() {
    let mut play = Play::new("21-v0-framework-agent-unreachable", |config| {
        config.ping_timeout = Duration::from_secs(1);
        config.pings_missed_max = 2;
    });
    play.play();
    assert_eq!((play.check("framework", FRAMEWORK), play.check("agent", AGENT)), (5, 6));
}

#[test]
fn what_drivers_said_before_there_were_calls_is_still_taken() {
    let mut play = Play::new("19-v0-legacy-messages", |_| {});
    play.play();
    play.check_first_offer();
    play.check("framework", FRAMEWORK);
    play.check("framework", "127.0.0.1:28061");
    assert_eq!(play.check("agent", AGENT), 7);
}

#[test]
fn only_the_driver_that_registered_speaks_for_its_framework() {
    let mut w = World::new();
    let driver = |port: u16| Upid::new("scheduler-x", format!("127.0.0.1:{port}").parse().unwrap());
    let framework = FrameworkInfo { user: "u".into(), name: "n".into(), ..Default::default() };
    w.agent_says(&driver(28060), internal::RegisterFrameworkMessage { framework: framework.clone() });
    let Message::FrameworkRegisteredMessage(m) = &w.sent.last().unwrap().message else {
        panic!("registered")
    };
    let id: FrameworkId = m.framework_id.clone();
    let dropped = w.master.counters().messages_dropped;
    let forged: [Message; 4] = [
        internal::UnregisterFrameworkMessage { framework_id: id.clone() }.into(),
        internal::DeactivateFrameworkMessage { framework_id: id.clone() }.into(),
        internal::ReviveOffersMessage { framework_id: id.clone(), roles: Vec::new() }.into(),
        internal::LaunchTasksMessage { framework_id: id.clone(), ..Default::default() }.into(),
    ];
    let said = w.sent.len();
    for message in forged {
        w.agent_says(&driver(6666), message);
    }
    assert_eq!(w.master.counters().messages_dropped, dropped + 4);
    assert_eq!(w.master.counters().named("messages_deactivate_framework"), 1);
    // Nor does it take the framework over unless it says that it failed over.
    let framework = FrameworkInfo { id: Some(id.clone()), ..framework };
    w.agent_says(&driver(6666), internal::ReregisterFrameworkMessage { framework, failover: false });
    let Message::FrameworkErrorMessage(m) = &w.sent.last().unwrap().message else { panic!("refused") };
    assert_eq!((m.message.as_str(), w.sent.len()), ("Framework failed over", said + 1));
    assert!(w.master.frameworks()[&id.value].is_active());
    w.pass(Duration::from_secs(1));
}
