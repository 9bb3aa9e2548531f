//! Apache agents at this master, as they were recorded: registration, tasks, groups, operations, death and return of
//! either side. See `recordings` for what is compared.

use crate::recordings::Play;
use base::Duration;
use master::Config;

const AGENT: &str = "127.0.0.1:28051";

/// How many messages to the agent and how many events were the same.
fn played(name: &str, config: impl FnOnce(&mut Config)) -> (usize, usize) {
    let mut play = Play::new(name, config);
    play.play();
    (play.check("agent", AGENT), play.check_heard())
}

#[test]
fn a_command_task_runs_to_its_end() {
    assert_eq!(played("02-command-task-finishes", |_| {}), (5, 3));
}

#[test]
fn a_task_is_killed() {
    assert_eq!(played("03-task-killed", |_| {}), (7, 4));
}

#[test]
fn a_group_runs_in_the_default_executor() {
    assert_eq!(played("04-task-group-default-executor", |_| {}), (8, 7));
}

#[test]
fn an_agent_is_killed_and_comes_back_with_its_task() {
    assert_eq!(played("05-agent-killed-and-restarted", |_| {}), (8, 4));
}

#[test]
fn a_master_is_killed_and_learns_of_the_task_from_the_agent() {
    let fast = |config: &mut Config| {
        config.ping_timeout = Duration::from_secs(1);
        config.pings_missed_max = 3;
    };
    assert_eq!(played("06-master-restarts", fast), (8, 4));
}

#[test]
fn an_agent_becomes_unreachable_and_comes_back() {
    let fast = |config: &mut Config| {
        config.ping_timeout = Duration::from_secs(1);
        config.pings_missed_max = 2;
    };
    assert_eq!(played("07-agent-unreachable-and-back", fast), (8, 7));
}

#[test]
fn operations_of_a_framework_and_of_an_operator() {
    assert_eq!(played("08-operations", |_| {}), (21, 7));
}

#[test]
fn an_agent_lacks_a_task_and_an_operation() {
    assert_eq!(played("09-reconciliation", |_| {}), (10, 5));
}

#[test]
fn a_teardown_a_shutdown_and_an_agent_that_leaves() {
    assert_eq!(played("10-teardown-and-agent-shutdown", |_| {}), (11, 7));
}
