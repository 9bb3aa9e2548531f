//! Deployments that fail: when, what follows, what is said of it, and what a restart in between changes (nothing).

use super::{World, create, update};
use crate::{
    Command, Embed, How,
    terms::{OnFailure, Terms},
};
use serde_json::{Value, json};

fn four(more: Value) -> Value {
    let mut all = json!({ "instances": 4, "backoffSeconds": 1, "backoffFactor": 1, "maxLaunchDelaySeconds": 1,
        "upgradeStrategy": { "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0 } });
    more.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
    all
}

fn tasks(world: &World) -> Vec<String> {
    world.machine().instances().map(|i| i.task.clone()).collect()
}

fn said(world: &World, kind: &str) -> Value {
    let mut all = world.said.iter().filter(|(said, _)| said == kind);
    all.next_back().map(|(_, fields)| fields.clone()).unwrap_or_default()
}

#[test]
fn a_broken_version_is_rolled_back_and_good_tasks_stay() {
    for restart in [false, true] {
        let mut world = World::new(2);
        world.command(create("/a", four(json!({ "maxFailures": 3, "onFailure": "rollback" }))));
        world.run(10);
        let before = tasks(&world);
        let version = world.machine().app("/a").unwrap().spec.version.clone();
        world.broken.insert("bad".into());
        world.listen();
        world.command(update("/a", json!({ "cmd": "bad" }), false));
        let id = world.machine().deployments()[0].id.clone();
        let mut least = 4;
        world.each_step(1, |machine| least = least.min(machine.tally("/a").running));
        if restart {
            world.restart();
            world.listen();
        }
        world.each_step(60, |machine| least = least.min(machine.tally("/a").running));
        assert_eq!((world.running("/a"), world.machine().deployments().len()), (4, 0));
        assert_eq!(world.machine().app("/a").unwrap().spec.cmd.as_deref(), Some("sleep 100"));
        assert!(least >= 2, "the minimum was kept");
        let kept = tasks(&world).iter().filter(|task| before.contains(task)).count();
        assert_eq!(kept, 2, "those that did not have to go are still there");
        let failed = said(&world, "deployment_failed");
        assert_eq!(failed["id"], id.as_str());
        let reason = failed["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("4 tasks of /a failed, at most 3 may; the last: TASK_FAILED, it is broken"),
            "{reason}"
        );
        assert_eq!(failed["progress"][0]["wanted"], 4);
        let ended = world.machine().deployment_named(&id).unwrap();
        assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!(reason)));
        assert!(ended["rollback"].is_string());
        assert!(world.machine().app("/a").unwrap().spec.version > version);
        assert!(!world.keys().iter().any(|key| key.starts_with("progress/")), "{:?}", world.keys());
    }
}

#[test]
fn what_fits_nowhere_pauses_in_time_and_goes_on_when_told() {
    let mut world = World::new(2);
    world.listen();
    world.how = How { terms: Terms { timeout_s: Some(30), ..Terms::default() }, ..How::default() };
    world.command(create("/a", json!({ "cpus": 9.0 })));
    world.how = How::default();
    world.run(20);
    let shown = world.machine().deployments_info();
    assert_eq!((&shown[0]["state"], &shown[0]["deploymentTimeoutSeconds"]), (&json!("running"), &json!(30)));
    assert_eq!(shown[0]["progress"][0]["waiting"]["instances"], 1);
    world.restart();
    world.listen();
    world.run(16);
    let shown = world.machine().deployments_info();
    assert_eq!(shown[0]["state"], "paused", "the clock goes on over a restart");
    let reason = shown[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("not done within 30 s (/a: 0 of 1 are of the new version"), "{reason}");
    assert_eq!(said(&world, "deployment_paused")["reason"], reason.as_str());
    assert_eq!(world.machine().queue().count(), 0, "nothing waits while it is paused");
    let id = world.machine().deployments()[0].id.clone();
    world.restart();
    world.run(1);
    assert_eq!(world.machine().deployments_info()[0]["state"], "paused", "still, after a restart");
    assert_eq!(world.command(update("/a", json!({ "cpus": 1 }), false)).status, 409, "it has its lock");
    assert_eq!(world.command(Command::ResumeDeployment { id: id.clone() }).status, 200);
    assert_eq!(world.command(Command::ResumeDeployment { id: id.clone() }).status, 409);
    world.run(5);
    assert_eq!(world.machine().deployments_info()[0]["state"], "running");
    assert_eq!(world.machine().queue().count(), 1);
    assert_eq!(world.command(Command::CancelDeployment { id: id.clone(), force: false }).status, 200);
    world.run(5);
    assert!(world.machine().app("/a").is_none() && world.machine().deployments().is_empty());
    assert_eq!(world.machine().deployment_named(&id).unwrap()["state"], "cancelled");
    assert_eq!(world.command(Command::ResumeDeployment { id }).status, 404);
}

#[test]
fn while_it_is_paused_what_dies_is_replaced_by_the_version_before() {
    let mut world = World::new(2);
    world.command(create("/a", four(json!({ "maxFailures": 0 }))));
    world.run(10);
    world.broken.insert("bad".into());
    world.command(update("/a", json!({ "cmd": "bad" }), false));
    world.run(5);
    assert_eq!(world.machine().deployments_info()[0]["state"], "paused");
    let old = world.machine().app("/a").unwrap().versions.keys().next().unwrap().clone();
    world.run(10);
    assert_eq!(world.running("/a"), 4);
    let task = tasks(&world)[0].clone();
    world.fail(&task);
    world.run(10);
    assert_eq!(world.running("/a"), 4);
    assert!(world.machine().instances().all(|i| i.config == old), "nothing of the bad version");
    // a good version goes over it by force
    world.command(update("/a", json!({ "cmd": "good" }), true));
    world.run(40);
    assert_eq!((world.running("/a"), world.machine().deployments().len()), (4, 0));
}

#[test]
fn sick_and_slow_tasks_count_and_lost_agents_do_not() {
    let mut world = World::new(2);
    world.how = How {
        terms: Terms { failures_max: Some(0), on_failure: Some(OnFailure::Pause), ..Terms::default() },
        ..How::default()
    };
    world.all_sick = true;
    let check = json!([{ "protocol": "HTTP", "portIndex": 0, "gracePeriodSeconds": 1, "intervalSeconds": 1,
        "timeoutSeconds": 1, "maxConsecutiveFailures": 2 }]);
    world.command(create("/sick", json!({ "healthChecks": check })));
    world.run(20);
    let of =
        |world: &World| world.machine().deployments_info()[0]["reason"].as_str().unwrap_or("").to_owned();
    assert!(of(&world).contains("failed its health check"), "{}", of(&world));
    let mut world = World::new(2);
    world.slow = true;
    world.command(create("/slow", json!({ "stagingTimeoutSeconds": 20, "maxFailures": 0 })));
    world.run(19);
    assert_eq!((of(&world).as_str(), world.machine().instances().count()), ("", 1));
    world.run(3);
    assert!(of(&world).contains("did not start within 20 s"), "{}", of(&world));
    let mut world = World::new(2);
    world.slow = true;
    world.command(create("/patient", json!({ "stagingTimeoutSeconds": 2000 })));
    world.run(1900);
    assert_eq!(world.machine().instances().count(), 1, "as patient as it was told, not 300 s");
    world.run(120);
    assert!(
        world.machine().instances().all(|i| i.staged_at > 1_600_000_000_000 + 1_900_000),
        "another was tried"
    );
}

#[test]
fn a_change_of_the_rules_replaces_nothing() {
    let mut world = World::new(1);
    world.command(create("/a", json!({})));
    world.run(5);
    let before = tasks(&world);
    let rules = json!({ "deploymentTimeoutSeconds": 60, "maxFailures": 3, "onFailure": "ROLLBACK", "stagingTimeoutSeconds": 600 });
    assert_eq!(world.command(update("/a", rules, false)).status, 200);
    world.run(5);
    assert_eq!((tasks(&world), world.machine().deployments().len()), (before, 0));
    let app = world.machine().app("/a").unwrap().app.clone();
    assert_eq!((&app["onFailure"], &app["maxFailures"]), (&json!("rollback"), &json!(3)));
}

#[test]
fn what_was_ended_for_its_checks_is_the_last_failure() {
    let mut world = World::new(2);
    let check = json!({ "protocol": "HTTP", "gracePeriodSeconds": 1, "intervalSeconds": 1, "timeoutSeconds": 1,
        "maxConsecutiveFailures": 2, "portIndex": 0 });
    world.all_sick = true;
    world.command(create("/sick", json!({ "healthChecks": [check] })));
    world.run(30);
    let failure = world.machine().last_failure("/sick").unwrap().clone();
    assert_eq!(failure.state, "TASK_KILLED");
    assert!(
        failure.message.starts_with("Task was killed since health check failed. Reason: no answer within"),
        "{}",
        failure.message
    );
    world.restart();
    assert_eq!(world.machine().last_failure("/sick").unwrap().message, failure.message);
    // by its agent
    let check =
        json!({ "protocol": "MESOS_HTTP", "path": "/up", "portIndex": 0, "maxConsecutiveFailures": 2 });
    world.command(create("/agent", json!({ "healthChecks": [check] })));
    world.run(10);
    let instance = world.machine().instances_of("/agent").next().unwrap().clone();
    let task = instance.task.clone();
    world.healthy(&task, true);
    let results = |world: &World| {
        world.machine().app_info("/agent", Embed::of(["apps.tasks"]), world.now()).unwrap()["tasks"][0]["healthCheckResults"].clone()
    };
    let well = results(&world)[0].clone();
    assert_eq!((&well["alive"], &well["consecutiveFailures"]), (&json!(true), &json!(0)));
    for _ in 0..2 {
        world.sees(&task, "Unexpected HTTP response code: 503 Service Unavailable");
    }
    let seen = results(&world);
    assert_eq!(seen.as_array().map(Vec::len), Some(1), "{seen}");
    assert_eq!((&seen[0]["alive"], &seen[0]["consecutiveFailures"]), (&json!(false), &json!(2)));
    assert_eq!(seen[0]["lastFailureCause"], "Unexpected HTTP response code: 503 Service Unavailable");
    assert_eq!(seen[0]["firstSuccess"], well["firstSuccess"]);
    assert!(seen[0]["lastFailure"].is_string(), "{seen}");
    world.end_sick(&task);
    let failure = world.machine().last_failure("/agent").unwrap();
    assert_eq!((failure.task.as_str(), failure.state.as_str()), (task.as_str(), "TASK_KILLED"));
    let check = format!(
        "MESOS_HTTP check of port {}, /up, failed 2 times in a row (Unexpected HTTP response code: 503 Service Unavailable)",
        instance.ports[0]
    );
    assert_eq!(
        failure.message,
        format!(
            "Task was killed since health check failed. Reason: {check}: Command terminated with signal Terminated"
        )
    );
}

#[test]
fn what_marathons_own_check_saw_is_the_reason() {
    let mut world = World::new(1);
    let check = json!({ "protocol": "HTTP", "gracePeriodSeconds": 1, "intervalSeconds": 1, "timeoutSeconds": 1,
        "maxConsecutiveFailures": 1, "portIndex": 0 });
    world.unready = true;
    world.command(create("/busy", json!({ "healthChecks": [check] })));
    world.run(30);
    let failure = world.machine().last_failure("/busy").unwrap();
    let said = "Task was killed since health check failed. Reason: 503 Service Unavailable";
    assert_eq!(failure.message, said);
}

#[test]
fn a_deletion_that_is_paused_starts_nothing() {
    let mut world = World::new(2);
    world.command(create("/a", json!({ "instances": 2 })));
    world.run(5);
    world.stubborn = true;
    world.how = How { terms: Terms { timeout_s: Some(2), ..Terms::default() }, ..How::default() };
    world.command(Command::DeleteApp { id: "/a".into(), force: true });
    world.how = How::default();
    world.run(5);
    assert_eq!(world.machine().deployments_info()[0]["state"], "paused");
    world.stubborn = false;
    world.restart();
    world.run(15);
    assert_eq!((world.tasks(), world.machine().queue().count()), (0, 0), "what ends has ended");
    let id = world.machine().deployments()[0].id.clone();
    assert_eq!(world.command(Command::ResumeDeployment { id }).status, 200);
    world.run(5);
    assert_eq!((world.tasks(), world.machine().deployments().len()), (0, 0));
    // nor does one that makes it smaller
    world.command(create("/b", json!({ "instances": 4 })));
    world.run(5);
    world.stubborn = true;
    world.how = How { terms: Terms { timeout_s: Some(2), ..Terms::default() }, ..How::default() };
    world.command(update("/b", json!({ "instances": 1 }), false));
    world.how = How::default();
    world.run(5);
    assert_eq!(world.machine().deployments_info()[0]["state"], "paused");
    world.stubborn = false;
    world.run(15);
    assert_eq!((world.running("/b"), world.machine().queue().count()), (1, 0));
}

#[test]
fn what_is_gone_back_to_after_force_is_what_was_reached() {
    for by_hand in [false, true] {
        let mut world = World::new(2);
        let strategy = json!({ "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0 });
        world.command(create("/s", json!({ "instances": 4, "upgradeStrategy": strategy, "cmd": "good" })));
        world.run(10);
        let good = world.machine().app("/s").unwrap().spec.config_version.clone();
        let mut put = |cmd: &str, on_failure: OnFailure, force: bool| {
            let terms = Terms { failures_max: Some(1), on_failure: Some(on_failure), ..Terms::default() };
            world.how = How { terms, queue: false };
            assert_eq!(world.command(update("/s", json!({ "cmd": cmd }), force)).status, 200);
            world.how = How::default();
            for _ in 0..20 {
                let bad = |i: &&crate::instances::Instance| i.config != good && !i.ending;
                let bad: Vec<_> =
                    world.machine().instances_of("/s").filter(bad).map(|i| i.task.clone()).collect();
                bad.iter().for_each(|task| world.fail(task));
                world.run(2);
            }
        };
        put("bad", OnFailure::Pause, false);
        put("worse", if by_hand { OnFailure::Pause } else { OnFailure::Rollback }, true);
        if by_hand {
            let id = world.machine().deployments()[0].id.clone();
            assert_eq!(world.command(Command::CancelDeployment { id, force: false }).status, 200);
        }
        world.run(60);
        let app = world.machine().app("/s").unwrap().app.clone();
        assert_eq!((&app["cmd"], world.machine().deployments().len()), (&json!("good"), 0), "{by_hand}");
        assert!(
            world.machine().instances_of("/s").all(|i| i.config == good),
            "its tasks are those of before"
        );
    }
}
