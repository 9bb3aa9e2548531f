//! Nobody worked for a while: nothing is given up for that alone.

use super::{World, create, update};
use crate::{
    How,
    terms::{OnFailure, Terms},
};
use serde_json::{Value, json};

fn ids(world: &World) -> Vec<String> {
    world.machine().instances().map(|i| i.id.clone()).collect()
}

fn with_timeout(world: &mut World, seconds: u64, then: OnFailure) {
    let terms = Terms { timeout_s: Some(seconds), on_failure: Some(then), ..Terms::default() };
    world.how = How { terms, ..How::default() };
}

#[test]
fn what_was_nearly_done_is_finished_and_not_undone() {
    for then in [OnFailure::Pause, OnFailure::Rollback] {
        let mut world = World::new(2);
        world.command(create("/t", json!({ "instances": 2 })));
        world.run(5);
        with_timeout(&mut world, 8, then);
        world.slow = true;
        let two = json!({ "cmd": "two", "upgradeStrategy":
            { "minimumHealthCapacity": 1, "maximumOverCapacity": 1 } });
        let answer = world.command(update("/t", two, false));
        assert_eq!(answer.status, 200, "{answer:?}");
        world.how = How::default();
        world.run(2);
        let new: Vec<_> = world.machine().instances_of("/t").map(|i| i.task.clone()).collect();
        world.slow = false;
        // what starts meanwhile says so when somebody listens again
        world.disconnect();
        new.iter().for_each(|task| world.back(task));
        world.sleep(60);
        world.run(20);
        world.connect();
        world.run(10);
        assert_eq!((world.running("/t"), world.machine().deployments().len()), (2, 0), "{then:?}");
        assert!(world.machine().ended.is_empty(), "{then:?}");
        let cmd = &world.machine().app("/t").unwrap().app["cmd"];
        assert_eq!(cmd, "two");
    }
}

#[test]
fn time_that_was_worked_counts() {
    let mut world = World::new(1);
    with_timeout(&mut world, 30, OnFailure::Pause);
    world.command(create("/big", json!({ "cpus": 100 })));
    world.how = How::default();
    for _ in 0..2 {
        world.run(10);
        world.sleep(1000);
    }
    let state = |world: &World| world.machine().deployments_info()[0]["state"].clone();
    world.run(9);
    assert_eq!(state(&world), "running");
    world.run(12);
    assert_eq!(state(&world), "paused", "of each stay a few seconds at most are forgotten");
}

#[test]
fn who_started_meanwhile_is_not_too_late() {
    for (more, down) in [(json!({ "stagingTimeoutSeconds": 6 }), 11), (json!({}), 400)] {
        let mut world = World::new(2);
        world.slow = true;
        let mut app: Value = json!({ "instances": 2 });
        more.as_object().unwrap().iter().for_each(|(key, value)| app[key] = value.clone());
        world.command(create("/slow", app));
        world.run(2);
        let before = ids(&world);
        let tasks = world.task_ids();
        world.slow = false;
        world.disconnect();
        tasks.iter().for_each(|task| world.back(task));
        world.sleep(down);
        // also while there is no master
        world.run(down);
        world.connect();
        world.run(10);
        assert_eq!((ids(&world), world.running("/slow")), (before, 2), "{more}");
    }
}

#[test]
fn who_did_not_start_has_the_time_that_is_left() {
    let mut world = World::new(1);
    world.slow = true;
    world.command(create("/slow", json!({ "stagingTimeoutSeconds": 30 })));
    world.run(20);
    world.sleep(1000);
    let before = ids(&world);
    world.run(5);
    assert_eq!(ids(&world), before);
    world.run(20);
    assert_ne!(ids(&world), before, "then it is replaced");
}

#[test]
fn who_is_reachable_again_is_not_given_up() {
    let mut world = World::new(2);
    let strategy = json!({ "inactiveAfterSeconds": 30, "expungeAfterSeconds": 60 });
    world.command(create("/u", json!({ "instances": 2, "unreachableStrategy": strategy })));
    world.run(5);
    let before = ids(&world);
    let task = world.task_ids()[0].clone();
    world.unreachable(&task);
    world.run(2);
    world.disconnect();
    world.back(&task);
    world.sleep(3600);
    world.connect();
    world.run(10);
    assert_eq!((ids(&world), world.running("/u")), (before.clone(), 2));
    // one that stays away is given up in its time
    world.unreachable(&task);
    world.sleep(3600);
    world.run(20);
    assert_eq!(world.machine().instances_of("/u").count(), 2, "not at once");
    world.run(60);
    assert!(!ids(&world).contains(&task[..task.rfind("._app").unwrap()].to_owned()), "{:?}", ids(&world));
    assert_eq!(world.running("/u"), 2);
}

#[test]
fn a_master_that_does_not_answer_is_not_waited_for_without_end() {
    let mut world = World::new(1);
    world.slow = true;
    world.command(create("/slow", json!({ "stagingTimeoutSeconds": 10 })));
    world.run(2);
    let before = ids(&world);
    world.mute = true;
    world.sleep(100);
    world.run(25);
    assert_eq!(ids(&world), before);
    world.run(30);
    assert_ne!(ids(&world), before);
}
