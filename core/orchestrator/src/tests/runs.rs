//! Apps and pods that run once, and what waiting apps are told of themselves.

use super::{World, create, update};
use crate::{Command, Embed};
use serde_json::{Value, json};

fn run_of(world: &World, app: &str) -> Value {
    world.machine().app_info(app, Embed::default(), world.now()).unwrap()["run"].clone()
}

fn finish_all(world: &mut World) {
    for task in world.task_ids() {
        world.done(&task);
    }
}

#[test]
fn what_is_done_is_not_started_again_and_its_result_is_kept() {
    let mut world = World::new(2);
    world.listen();
    world.command(create("/job", json!({ "runOnce": true, "instances": 3 })));
    world.run(5);
    assert_eq!((world.running("/job"), world.machine().deployments().len()), (3, 0));
    let first = world.task_ids()[0].clone();
    world.done(&first);
    world.run(5);
    assert_eq!((world.running("/job"), world.tasks()), (2, 2), "no other in its place");
    assert_eq!(run_of(&world, "/job")["state"], "running");
    world.restart();
    world.listen();
    world.run(5);
    assert_eq!(world.tasks(), 2);
    finish_all(&mut world);
    world.run(60);
    assert_eq!((world.tasks(), world.machine().queue().count()), (0, 0));
    let run = run_of(&world, "/job");
    assert_eq!(
        (&run["state"], &run["finished"], &run["failures"]),
        (&json!("succeeded"), &json!(3), &json!(0))
    );
    assert_eq!(run["results"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&run["results"][0]["taskId"], &run["results"][0]["state"]),
        (&json!(first), &json!("TASK_FINISHED"))
    );
    let ended: Vec<_> = world.said.iter().filter(|(kind, _)| kind == "run_ended_event").collect();
    assert_eq!((ended.len(), &ended[0].1["state"]), (1, &json!("succeeded")));
    // two more are two more to run; a restart is another run of all
    world.command(update("/job", json!({ "instances": 5 }), false));
    world.run(5);
    assert_eq!((world.tasks(), world.machine().deployments().len()), (2, 0));
    finish_all(&mut world);
    world.command(Command::RestartApp { id: "/job".into(), force: false });
    world.run(5);
    assert_eq!((world.tasks(), world.machine().deployments().len()), (5, 0));
    assert_eq!(run_of(&world, "/job")["finished"], 0);
    world.command(Command::DeleteApp { id: "/job".into(), force: true });
    world.run(5);
    assert!(!world.keys().iter().any(|key| key.starts_with("runs")), "{:?}", world.keys());
}

#[test]
fn what_fails_is_tried_as_often_as_it_may() {
    for (most, tries) in [(None, 1), (Some(2), 3)] {
        let mut world = World::new(2);
        world.broken.insert("bad".into());
        let mut job = json!({ "runOnce": true, "cmd": "bad", "backoffSeconds": 1, "backoffFactor": 1 });
        if let Some(most) = most {
            job["maxFailures"] = most.into();
        }
        world.command(create("/job", job));
        world.run(60);
        let run = run_of(&world, "/job");
        assert_eq!((&run["state"], &run["failures"]), (&json!("failed"), &json!(tries)));
        assert_eq!(run["results"][0]["message"], "it is broken");
        assert_eq!((world.tasks(), world.machine().deployments().len()), (0, 0));
        // mended, it runs
        world.command(update("/job", json!({ "cmd": "good" }), false));
        world.run(10);
        finish_all(&mut world);
        world.run(5);
        assert_eq!((run_of(&world, "/job")["state"].clone(), world.tasks()), (json!("succeeded"), 0));
    }
}

#[test]
fn a_killed_or_lost_run_is_not_a_result() {
    let mut world = World::new(2);
    world.command(create("/job", json!({ "runOnce": true })));
    world.run(5);
    let task = world.task_ids()[0].clone();
    world.unreachable(&task);
    world.run(600);
    assert_eq!(world.machine().instances().count(), 1, "it may still run: none beside it");
    world.back(&task);
    let kill =
        Command::KillTasks { tasks: vec![task], scale: false, wipe: false, force: false, single: true };
    world.command(kill);
    world.run(10);
    assert_eq!((world.tasks(), run_of(&world, "/job")["results"].clone()), (1, json!([])));
}

/// A pod of two containers that is to run once, and runs.
fn with_pod() -> World {
    let mut world = World::new(2);
    let container = |name: &str| {
        json!({ "name": name, "resources": { "cpus": 0.1, "mem": 16 },
        "exec": { "command": { "shell": "true" } } })
    };
    let pod = json!({ "id": "/pod", "containers": [container("a"), container("b")], "scheduling": { "runOnce": true } });
    let pod = pod.as_object().unwrap().clone();
    assert_eq!(world.command(Command::CreatePod { pod, force: false }).status, 201);
    world.run(5);
    world
}

#[test]
fn a_pod_runs_once() {
    let mut world = with_pod();
    assert_eq!(world.tasks(), 2);
    finish_all(&mut world);
    world.run(30);
    let status = world.machine().pod_status("/pod", world.now()).unwrap();
    assert_eq!(
        (world.tasks(), &status["run"]["state"], &status["status"]),
        (0, &json!("succeeded"), &json!("STABLE"))
    );
    assert_eq!(status["terminationHistory"].as_array().unwrap().len(), 1);
    assert_eq!(status["spec"]["scheduling"]["maxFailures"], 0);
}

#[test]
fn a_pod_that_fails_says_which_container_did_and_how_all_ended() {
    let mut world = with_pod();
    let bad = world.task_ids().into_iter().find(|id| id.contains(".b.")).unwrap();
    world.fail(&bad);
    world.run(5);
    let status = world.machine().pod_status("/pod", world.now()).unwrap();
    assert_eq!(status["run"]["state"], "failed", "{status}");
    let last = &status["run"]["results"][0];
    assert_eq!((&last["taskId"], &last["state"]), (&json!(bad), &json!("TASK_FAILED")));
    assert!(last["startedAt"].is_string() && last["message"] == "made to fail", "{last}");
    let ended: Vec<_> = last["containers"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(ended, ["a", "b"]);
    let history = &status["terminationHistory"][0];
    assert_eq!(history["containers"][1]["lastKnownState"], "TASK_FAILED", "{history}");
    assert_eq!(history["containers"][1]["termination"]["message"], "made to fail");
}

#[test]
fn what_would_never_be_done_is_refused() {
    let mut world = World::new(2);
    let answer = world.command(create("/job", json!({ "runOnce": true, "instances": "every" })));
    assert_eq!(answer.status, 422);
    assert!(world.json(&answer).to_string().contains("/runOnce"), "{answer:?}");
}

#[test]
fn queue_app_and_event_say_the_same_of_what_waits() {
    let mut world = World::new(2);
    world.listen();
    world.listen_to(&["app_waiting_event"]);
    world.command(create("/a", json!({ "cpus": 9.0, "mem": 1e6 })));
    world.command(create("/b", json!({ "cpus": 9.0 })));
    world.run(5);
    let now = world.now();
    let queue = world.machine().queue_info(now, false, true);
    let app = world.machine().app_info("/b", Embed::of(["app.why"]), now).unwrap();
    let why = app["why"].clone();
    assert_eq!(queue["queue"][1]["why"], why);
    assert_eq!((&why["stage"], &why["waiting"]), (&json!("InsufficientCpus"), &json!(1)));
    assert_eq!(why["agents"][0]["refusals"][0]["wanted"], 9.0);
    let reason = why["reason"].as_str().unwrap();
    assert!(reason.contains("the nearest is host-0: cpus: 9 wanted, 8 offered, 1 missing"), "{reason}");
    let told: Vec<_> = world.said.iter().filter(|(kind, _)| kind == "app_waiting_event").collect();
    let last = told.iter().rfind(|(_, said)| said["runSpecId"] == "/b").unwrap();
    assert_eq!((&last.1["stage"], &last.1["reason"]), (&why["stage"], &why["reason"]));
    let times = told
        .iter()
        .filter(|(_, said)| said["runSpecId"] == "/b" && said["stage"] == "InsufficientCpus")
        .count();
    assert_eq!(times, 1, "once to the one who asked for it, not at every offer, and to nobody else");
    let plain = world.machine().app_info("/b", Embed::default(), now).unwrap();
    assert!(
        plain.get("why").is_none()
            && world.machine().queue_info(now, true, false)["queue"][0].get("why").is_none()
    );
}

#[test]
fn what_can_not_be_started_is_said_unasked() {
    let mut world = World::new(2);
    world.listen();
    world.listen_to(&["app_waiting_event"]);
    let image = json!({ "container": { "type": "MESOS", "docker": { "image": "busybox" } } });
    assert_eq!(world.command(create("/x", image)).status, 201);
    world.run(5);
    let now = world.now();
    let counts = Embed::of(["apps.counts"]);
    let app = world.machine().app_info("/x", counts, now).unwrap();
    assert_eq!(app["why"]["stage"], "NotSupported");
    assert_eq!(world.machine().queue_info(now, false, false)["queue"][0]["why"], app["why"]);
    assert!(
        world.said.iter().any(|(kind, said)| kind == "app_waiting_event" && said["stage"] == "NotSupported")
    );
}

#[test]
fn circles_and_versions_are_refused() {
    let mut world = World::new(1);
    assert_eq!(world.command(create("/self", json!({ "dependencies": ["/self"] }))).status, 422);
    let version = json!({ "version": "2020-01-31T00:00:00.000Z", "cmd": "x" });
    assert_eq!(world.command(update("/new", version.clone(), false)).status, 422);
    world.command(create("/old", json!({})));
    world.run(5);
    assert_eq!(world.command(update("/old", version, false)).status, 422);
    assert_eq!(world.command(update("/old", json!({ "version": "garbage" }), false)).status, 422);
    let unknown = json!({ "version": "2020-01-31T00:00:00.000Z" });
    assert_eq!(world.command(update("/old", unknown, false)).status, 404);
}
