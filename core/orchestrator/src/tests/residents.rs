//! Apps with persistent volumes: where their data is, they run.

use super::{World, create, update};
use crate::{Command, volumes::persistence_of};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn volume(more: Value) -> Value {
    let mut all = json!({
        "role": "dev", "upgradeStrategy": { "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0 },
        "container": { "type": "MESOS", "volumes": [
            { "containerPath": "data", "mode": "RW", "persistent": { "size": 64 } }] },
    });
    more.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
    all
}

fn world(agents: usize) -> World {
    let mut world = World::new(agents);
    world.role = "dev".into();
    world
}

/// Volumes in use, by task; panics if two use one.
fn used(world: &World) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for task in world.task_ids() {
        let resources = world.info(&task).resources.iter();
        all.extend(resources.filter_map(|r| Some((persistence_of(r)?.to_owned(), task.clone()))));
    }
    let distinct: BTreeSet<_> = all.iter().map(|(id, _)| id).collect();
    assert_eq!(distinct.len(), all.len(), "a volume is used by two: {all:?}");
    all
}

fn settle(world: &mut World) {
    world.run_until(|machine| machine.deployments().is_empty() && machine.queue().count() == 0);
    world.run(5);
}

fn wipe(world: &mut World, id: &str) {
    let tasks = world.machine().instances_of(id).map(|i| i.task.clone()).collect();
    let command = Command::KillTasks { tasks, scale: false, wipe: true, force: false, single: false };
    assert_eq!(world.command(command).status, 200);
}

#[test]
fn a_task_that_ends_starts_again_with_its_volume() {
    let mut world = world(3);
    let answer = world.command(create("/dev/db", volume(json!({}))));
    assert_eq!(answer.status, 201, "{answer:?}");
    settle(&mut world);
    let (id, task) = used(&world).remove(0);
    let shown = world.machine().tasks_info("/dev/db")[0].clone();
    assert_eq!(shown["localVolumes"][0]["persistenceId"], id);
    assert_eq!(shown["localVolumes"][0]["containerPath"], "data");
    assert!(id.starts_with("dev_db#data#"), "{id}");
    assert!(task.ends_with("._app.1"), "{task}");
    let agent = world.info(&task).agent_id.clone();
    for incarnation in 2..5 {
        let (_, task) = used(&world).remove(0);
        world.fail(&task);
        settle(&mut world);
        let (again, task) = used(&world).remove(0);
        assert_eq!((&again, &world.info(&task).agent_id), (&id, &agent));
        assert!(task.ends_with(&format!("._app.{incarnation}")), "{task}");
    }
    assert_eq!(world.machine().instances().count(), 1);
    // another configuration takes over the volume too
    let answer = world.command(update("/dev/db", json!({ "cmd": "sleep 200" }), false));
    assert_eq!(answer.status, 200, "{answer:?}");
    settle(&mut world);
    let (again, task) = used(&world).remove(0);
    assert_eq!(again, id);
    assert_eq!(world.info(&task).command.as_ref().unwrap().value.as_deref(), Some("sleep 200"));
    assert_eq!(world.machine().instances().count(), 1);
}

#[test]
fn what_was_ordered_and_never_done_is_not_waited_for() {
    let mut world = world(1);
    world.slow = true;
    world.command(create("/dev/db", volume(json!({}))));
    world.run(5);
    let task = world.task_ids().remove(0);
    // the master lists what it ordered, done or not
    world.disconnect();
    world.connect();
    world.run(5);
    world.disconnect();
    world.lose_order(&task);
    world.slow = false;
    world.connect();
    settle(&mut world);
    let (_, again) = used(&world).remove(0);
    assert_ne!(again, task);
    assert_eq!((world.machine().instances().count(), world.running("/dev/db")), (1, 1));
}

#[test]
fn it_waits_for_its_agent_and_says_so() {
    let mut world = world(2);
    world.command(create("/dev/db", volume(json!({}))));
    settle(&mut world);
    let (id, task) = used(&world).remove(0);
    let agent: usize = world.info(&task).agent_id.value.trim_start_matches("agent-").parse().unwrap();
    world.away.insert(agent);
    world.fail(&task);
    world.run(300);
    assert!(used(&world).is_empty(), "it may run nowhere else");
    let why = world.machine().why("/dev/db", world.now()).unwrap();
    assert_eq!(why.stage, "NoCorrespondingReservationFound");
    assert!(why.summary.contains(&format!("host-{agent}")), "{why:?}");
    assert_eq!(why.agents[0].refusals[0].stage, "NoCorrespondingReservationFound", "{why:?}");
    assert_eq!(world.machine().tasks_info("/dev/db")[0]["state"], "TASK_FAILED");
    // a restart forgets nothing of it
    world.restart();
    world.run(30);
    assert!(used(&world).is_empty());
    world.away.clear();
    settle(&mut world);
    assert_eq!(used(&world)[0].0, id);
}

#[test]
fn fewer_instances_keep_their_volumes_until_they_are_wiped() {
    let mut world = world(2);
    world.command(create("/dev/db", volume(json!({ "instances": 3 }))));
    settle(&mut world);
    let before: BTreeSet<_> = used(&world).into_iter().map(|(id, _)| id).collect();
    assert_eq!(before.len(), 3);
    world.command(update("/dev/db", json!({ "instances": 1 }), false));
    settle(&mut world);
    assert_eq!((used(&world).len(), world.machine().instances().count()), (1, 3));
    assert_eq!(world.machine().tally("/dev/db").resting, 2);
    assert_eq!(world.idle_volumes(0).len() + world.idle_volumes(1).len(), 2);
    world.command(update("/dev/db", json!({ "instances": 3 }), false));
    settle(&mut world);
    let after: BTreeSet<_> = used(&world).into_iter().map(|(id, _)| id).collect();
    assert_eq!(after, before, "the same volumes are used again");
    world.command(update("/dev/db", json!({ "instances": 1 }), false));
    settle(&mut world);
    // two at rest and one that runs lose theirs; one with a new volume comes
    wipe(&mut world, "/dev/db");
    settle(&mut world);
    let last = used(&world);
    assert_eq!((last.len(), world.machine().instances().count()), (1, 1));
    assert!(!before.contains(&last[0].0));
    assert_eq!(world.idle_volumes(0).len() + world.idle_volumes(1).len(), 0);
    // the app goes, and everything of it
    world.command(Command::DeleteApp { id: "/dev/db".into(), force: false });
    settle(&mut world);
    assert!(world.is_pristine(0) && world.is_pristine(1));
    world.run(20);
    assert!(!world.keys().iter().any(|key| key.starts_with("freeing/")), "{:?}", world.keys());
}

#[test]
fn what_is_deleted_while_its_agent_is_away_is_freed_when_it_is_back() {
    let mut world = world(1);
    world.command(create("/dev/db", volume(json!({}))));
    settle(&mut world);
    let (_, task) = used(&world).remove(0);
    world.fail(&task);
    world.away.insert(0);
    world.command(Command::DeleteApp { id: "/dev/db".into(), force: false });
    world.run(60);
    assert_eq!(world.machine().instances().count(), 0);
    world.restart();
    world.run(60);
    assert!(world.keys().iter().any(|key| key.starts_with("freeing/")));
    assert!(world.roles.contains(&"dev".to_owned()), "it is still offered: {:?}", world.roles);
    world.away.clear();
    world.run(10);
    assert!(world.is_pristine(0));
    world.run(20);
    assert!(!world.keys().iter().any(|key| key.starts_with("freeing/")));
}

#[test]
fn a_crash_at_any_moment_loses_no_volume_and_leaves_none() {
    for crash in 0..14 {
        let mut world = world(2);
        world.crash_after_saves(crash);
        world.try_command(create("/dev/db", volume(json!({ "instances": 2 }))));
        world.run(30);
        world.no_crash();
        world.try_command(update(
            "/dev/db",
            volume(json!({ "id": "/dev/db", "instances": 2, "cmd": "sleep 9" })),
            true,
        ));
        settle(&mut world);
        assert_eq!(used(&world).len(), 2, "crash {crash}");
        let before = used(&world);
        world.crash_after_saves(crash % 5);
        world.fail(&before[0].1);
        world.run(120);
        world.no_crash();
        settle(&mut world);
        let ids = |all: &[(String, String)]| all.iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>();
        assert_eq!(ids(&used(&world)), ids(&before), "crash {crash}");
        world.command(Command::DeleteApp { id: "/dev/db".into(), force: true });
        settle(&mut world);
        world.run(700);
        assert!(world.is_pristine(0) && world.is_pristine(1), "crash {crash}");
    }
}

#[test]
fn a_volume_is_given_up_after_a_timeout_if_its_app_says_so() {
    let mut world = world(2);
    let residency =
        json!({ "taskLostBehavior": "RELAUNCH_AFTER_TIMEOUT", "relaunchEscalationTimeoutSeconds": 100 });
    world.command(create(
        "/dev/db",
        volume(json!({ "residency": residency, "acceptedResourceRoles": ["*"] })),
    ));
    settle(&mut world);
    let (id, task) = used(&world).remove(0);
    let agent: usize = world.info(&task).agent_id.value.trim_start_matches("agent-").parse().unwrap();
    world.away.insert(agent);
    world.fail(&task);
    world.run(80);
    assert!(used(&world).is_empty());
    world.run(60);
    let (other, _) = used(&world).remove(0);
    assert_ne!(other, id);
    world.away.clear();
    world.run(60);
    assert!(world.is_pristine(agent), "what was given up is freed once it is back");
    // one that can't be reached is given up the same way
    let (_, task) = used(&world).remove(0);
    world.unreachable(&task);
    world.run(90);
    assert_eq!(world.machine().instances().count(), 1);
    world.run(60);
    assert_eq!(world.running("/dev/db"), 1);
}

#[test]
fn others_leave_what_is_reserved_alone() {
    let mut world = world(1);
    let whole = json!({ "cpus": 4, "mem": 4096, "role": "dev" });
    world.command(create("/dev/db", volume(json!({ "cpus": 4, "mem": 4096 }))));
    settle(&mut world);
    let (_, task) = used(&world).remove(0);
    world.command(create("/dev/one", whole.clone()));
    settle(&mut world);
    world.command(create("/dev/two", whole));
    world.slow = true;
    world.fail(&task);
    world.run(60);
    assert_eq!(world.running("/dev/two"), 0, "it would need what is reserved");
    assert_eq!(used(&world).len(), 1);
}

#[test]
fn a_pod_keeps_its_volumes_too() {
    let mut world = world(2);
    let pod = json!({
        "id": "/dev/pod", "role": "dev", "scaling": { "kind": "fixed", "instances": 1 },
        "volumes": [{ "name": "store", "persistent": { "size": 10 } }],
        "containers": [
            { "name": "a", "exec": { "command": { "shell": "sleep 1" } }, "resources": { "cpus": 0.1, "mem": 32 },
              "volumeMounts": [{ "name": "store", "mountPath": "here" }] },
            { "name": "b", "exec": { "command": { "shell": "sleep 1" } }, "resources": { "cpus": 0.1, "mem": 32 } },
        ],
    });
    let answer = world.command(Command::CreatePod { pod: pod.as_object().unwrap().clone(), force: false });
    assert_eq!(answer.status, 201, "{answer:?}");
    settle(&mut world);
    let volumes = |world: &World| {
        let task = world.task_ids().remove(0);
        let all = world.executor(&task).resources.clone();
        all.iter().filter_map(|r| persistence_of(r).map(str::to_owned)).collect::<Vec<_>>()
    };
    let before = volumes(&world);
    assert_eq!(before.len(), 1);
    assert!(before[0].starts_with("dev_pod#store#"), "{before:?}");
    let tasks = world.task_ids();
    let mounted = &world.info(&tasks[0]).container.as_ref().unwrap().volumes[0];
    assert_eq!(mounted.source.as_ref().unwrap().sandbox_path.as_ref().unwrap().path, "store");
    let status = world.machine().pod_status("/dev/pod", world.now()).unwrap();
    assert_eq!(status["instances"][0]["localVolumes"][0]["persistenceId"], before[0]);
    world.fail(&tasks[0]);
    settle(&mut world);
    assert_eq!(volumes(&world), before);
    assert!(world.task_ids().iter().all(|task| task.ends_with(".2")), "{:?}", world.task_ids());
    let ids = world.machine().instances().map(|i| i.id.clone()).collect();
    let wipe = Command::KillInstances { pod: "/dev/pod".into(), ids, wipe: true, single: true };
    assert_eq!(world.command(wipe).status, 200);
    settle(&mut world);
    assert_ne!(volumes(&world), before);
    world.command(Command::DeletePod { id: "/dev/pod".into(), force: false });
    settle(&mut world);
    assert!(world.is_pristine(0) && world.is_pristine(1));
}

#[test]
fn an_upgrade_of_one_replaces_it_in_its_place_and_of_many_keeps_half() {
    for (instances, least) in [(1, 0), (4, 2)] {
        let mut world = world(2);
        world.command(create("/dev/db", volume(json!({ "instances": instances }))));
        settle(&mut world);
        let before: BTreeSet<_> = used(&world).into_iter().map(|(id, _)| id).collect();
        world.command(update("/dev/db", json!({ "cmd": "sleep 200" }), false));
        let (mut fewest, mut most) = (instances, 0);
        world.each_step(60, |machine| {
            let tally = machine.tally("/dev/db");
            fewest = fewest.min(tally.running);
            most = most.max(tally.active + tally.ending);
        });
        settle(&mut world);
        assert!(fewest >= least && most <= instances, "{fewest} {most} of {instances}");
        let after: BTreeSet<_> = used(&world).into_iter().map(|(id, _)| id).collect();
        assert_eq!(after, before);
    }
}
