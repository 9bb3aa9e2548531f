//! Upgrades while everything fails: tasks, agents, the master, the orchestrator itself. The promise of capacity is kept
//! at every instant, and all of it converges.

use super::{World, create, update};
use crate::instances::Condition;
use base::Rng;
use serde_json::json;
use std::collections::BTreeSet;

const WANTED: u64 = 6;
/// Share that stays, share on top, and what both mean for so many: the floor and the ceiling.
const STRATEGIES: [(f64, f64, u64, u64); 4] =
    [(0.5, 0.5, 3, 9), (1.0, 0.5, 6, 9), (0.5, 0.0, 3, 6), (1.0, 0.0, 6, 7)];

fn well(world_running: &crate::Orchestrator) -> BTreeSet<String> {
    let running = |i: &&crate::instances::Instance| i.condition == Condition::Running && !i.ending;
    world_running.instances().filter(running).map(|i| i.id.clone()).collect()
}

/// Lets time pass and looks after each step: nobody who is well is ended below the floor, nothing exceeds the ceiling.
fn watch(world: &mut World, seconds: u64, seed: u64) {
    let (_, _, floor, ceiling) = STRATEGIES[seed as usize % STRATEGIES.len()];
    let mut before = well(world.machine());
    world.each_step(seconds, |machine| {
        let now = well(machine);
        let ended = machine.instances().filter(|i| i.ending && before.contains(&i.id)).count();
        if ended > 0 {
            assert!(
                now.len() as u64 >= floor,
                "seed {seed}: {} well ones left after {ended} were ended",
                now.len()
            );
        }
        let given_up =
            machine.instances().filter(|i| i.condition == Condition::UnreachableInactive).count() as u64;
        let all = machine.tally("/a").all - given_up;
        assert!(all <= ceiling, "seed {seed}: {all} instances");
        before = now;
    });
}

#[test]
fn the_promise_is_kept_whatever_fails() {
    for seed in 0..60 {
        let mut rng = Rng::from_number(seed);
        let mut world = World::new(4);
        let (minimum, over, ..) = STRATEGIES[seed as usize % STRATEGIES.len()];
        let more = json!({ "instances": WANTED, "backoffSeconds": 1, "maxLaunchDelaySeconds": 2,
            "upgradeStrategy": { "minimumHealthCapacity": minimum, "maximumOverCapacity": over },
            "unreachableStrategy": { "inactiveAfterSeconds": 5, "expungeAfterSeconds": 30 } });
        world.command(create("/a", more));
        world.run(10);
        assert_eq!(world.running("/a"), WANTED);
        for version in 0..3 {
            let answer = world.command(update("/a", json!({ "cmd": format!("v{version}") }), true));
            assert_eq!(answer.status, 200);
            for _ in 0..8 {
                let tasks: Vec<_> = world.machine().instances().map(|i| i.task.clone()).collect();
                let one = (!tasks.is_empty()).then(|| tasks[rng.below(tasks.len() as u64) as usize].clone());
                match (rng.below(6), one) {
                    (0, Some(task)) => world.fail(&task),
                    (1, Some(task)) => world.unreachable(&task),
                    (2, Some(task)) => {
                        world.unreachable(&task);
                        watch(&mut world, 2, seed);
                        world.back(&task);
                    }
                    (3, _) => world.restart(),
                    (4, _) => {
                        world.disconnect();
                        watch(&mut world, 1, seed);
                        world.connect();
                    }
                    _ => {}
                }
                watch(&mut world, 1 + rng.below(3), seed);
            }
        }
        world.run(120);
        let spec = world.machine().app("/a").unwrap().spec.clone();
        assert_eq!((world.running("/a"), world.machine().deployments().len()), (WANTED, 0), "seed {seed}");
        assert_eq!(spec.cmd.as_deref(), Some("v2"));
        assert!(world.machine().instances().all(|i| i.config == spec.config_version), "seed {seed}");
        assert_eq!(world.tasks() as u64, WANTED, "seed {seed}: nothing runs that nobody knows");
    }
}

fn healthy(world: &World) -> u64 {
    world.machine().tally("/a").healthy
}

/// An app of three with checks and its tasks, the oldest first.
fn checked(world: &mut World, more: serde_json::Value) -> Vec<String> {
    let check = json!({ "protocol": "HTTP", "portIndex": 0, "intervalSeconds": 1, "gracePeriodSeconds": 60, "maxConsecutiveFailures": 0 });
    let mut app = json!({ "instances": 1, "healthChecks": [check] });
    more.as_object().unwrap().iter().for_each(|(key, value)| app[key] = value.clone());
    world.command(create("/a", app));
    for instances in 1..4 {
        world.command(update("/a", json!({ "instances": instances }), false));
        world.run(5);
    }
    assert_eq!(healthy(world), 3);
    let mut all: Vec<_> = world.machine().instances().map(|i| (i.started_at, i.task.clone())).collect();
    all.sort();
    all.into_iter().map(|(_, task)| task).collect()
}

#[test]
fn who_turns_sick_amid_an_upgrade_goes_before_a_well_one() {
    let mut world = World::new(2);
    let tasks = checked(
        &mut world,
        json!({ "upgradeStrategy": { "minimumHealthCapacity": 0.6, "maximumOverCapacity": 0 } }),
    );
    // the new version fits nowhere: one old one, the youngest, had to go for it
    world.command(update("/a", json!({ "cpus": 500.0 }), false));
    world.run(10);
    assert_eq!((healthy(&world), world.running("/a")), (2, 2));
    assert!(world.machine().task(&tasks[2]).is_none());
    world.sick.insert(tasks[0].clone());
    world.run(10);
    assert!(world.machine().task(&tasks[1]).is_some_and(|i| !i.ending), "it is the last that serves");
    assert!(world.machine().task(&tasks[0]).is_some_and(|i| !i.ending), "it may be well again any moment");
    assert_eq!(healthy(&world), 1);
    // now the new version comes up
    world.command(update("/a", json!({ "cpus": 0.1, "cmd": "two" }), true));
    let left = |machine: &crate::Orchestrator, task: &str| machine.task(task).is_some_and(|i| !i.ending);
    world.each_step(30, |machine| assert!(!left(machine, &tasks[0]) || left(machine, &tasks[1])));
    assert_eq!((healthy(&world), world.running("/a"), world.machine().deployments().len()), (3, 3, 0));
}

#[test]
fn what_fails_for_a_moment_amid_an_upgrade_stays() {
    let check = json!({ "protocol": "HTTP", "portIndex": 0, "intervalSeconds": 3, "gracePeriodSeconds": 60,
        "maxConsecutiveFailures": 5 });
    for (minimum, over, kept) in [(1.0, 0.25, 4), (1.0, 0.0, 4), (0.5, 0.0, 2)] {
        for away in [false, true] {
            let mut world = World::new(2);
            let strategy = json!({ "minimumHealthCapacity": minimum, "maximumOverCapacity": over });
            let patient = json!({ "inactiveAfterSeconds": 300, "expungeAfterSeconds": 600 });
            world.command(create(
                "/a",
                json!({ "instances": 4, "healthChecks": [check], "upgradeStrategy": strategy,
                "unreachableStrategy": patient }),
            ));
            world.run(10);
            world.all_new_sick = world.machine().instances().map(|i| i.task.clone()).collect();
            world.command(update("/a", json!({ "cmd": "two" }), false));
            world.run(10);
            let old: Vec<_> = world
                .machine()
                .instances()
                .filter(|i| i.healthy == Some(true))
                .map(|i| i.task.clone())
                .collect();
            assert_eq!(old.len(), kept, "the new ones are not well yet");
            // one check fails, or their agents can't be reached for a moment
            if away {
                old.iter().for_each(|task| world.unreachable(task));
                world.run(3);
                old.iter().for_each(|task| world.back(task));
            } else {
                world.all_sick = true;
                world.run(4);
                assert_eq!(healthy(&world), 0);
                world.all_sick = false;
            }
            world.run(5);
            assert_eq!(healthy(&world), kept as u64, "{minimum} {over} {away}");
            assert!(old.iter().all(|task| world.machine().task(task).is_some_and(|i| !i.ending)));
            world.all_new_sick.clear();
            world.run(60);
            assert_eq!((healthy(&world), world.machine().deployments().len()), (4, 0));
            assert!(old.iter().all(|task| world.machine().task(task).is_none()));
        }
    }
}

#[test]
fn what_stays_sick_holds_no_upgrade_up() {
    for (minimum, over) in [(1.0, 0.0), (1.0, 1.0), (0.6, 0.0), (0.0, 0.0)] {
        let mut world = World::new(2);
        let strategy = json!({ "minimumHealthCapacity": minimum, "maximumOverCapacity": over });
        let tasks = checked(&mut world, json!({ "upgradeStrategy": strategy }));
        world.sick = tasks.iter().cloned().collect();
        world.run(5);
        assert_eq!((healthy(&world), world.running("/a")), (0, 3), "never ended for it");
        world.command(update("/a", json!({ "cmd": "two" }), false));
        let floor = f64::ceil(3.0 * minimum) as u64;
        // whoever may be well again stays until a new one serves in its place
        world.each_step(60, |machine| {
            let left = machine.instances().filter(|i| i.condition == Condition::Running && !i.ending).count();
            assert!(left as u64 >= floor, "{left} of {floor}");
        });
        assert_eq!((healthy(&world), world.machine().deployments().len()), (3, 0), "{minimum} {over}");
        assert!(tasks.iter().all(|task| world.machine().task(task).is_none()));
    }
}

#[test]
fn too_many_new_ones_cost_no_old_one() {
    let mut world = World::new(2);
    let keep = json!({ "killSelection": "OLDEST_FIRST", "upgradeStrategy": { "minimumHealthCapacity": 1, "maximumOverCapacity": 1 } });
    let tasks = checked(&mut world, keep);
    world.sick.clear();
    world.command(update("/a", json!({ "cmd": "two" }), false));
    world.all_new_sick = tasks.iter().cloned().collect();
    world.run(10);
    assert_eq!((healthy(&world), world.running("/a")), (3, 6), "the new ones are not well yet");
    // a smaller number breaks that deployment, and finishes the upgrade
    world.command(update("/a", json!({ "instances": 2 }), true));
    world.run(10);
    let old = world.machine().instances().filter(|i| tasks.contains(&i.task) && !i.ending).count();
    assert_eq!((old, world.running("/a")), (2, 4), "one old and one new one are too many");
    world.all_new_sick.clear();
    world.run(30);
    assert_eq!((healthy(&world), world.running("/a"), world.machine().deployments().len()), (2, 2, 0));
}

#[test]
fn what_comes_back_after_an_upgrade_is_the_one_to_go() {
    let mut world = World::new(2);
    let strategy = json!({ "inactiveAfterSeconds": 2, "expungeAfterSeconds": 600 });
    world.command(create("/a", json!({ "instances": 2, "unreachableStrategy": strategy })));
    world.run(10);
    let lost = world.machine().instances().next().unwrap().task.clone();
    world.unreachable(&lost);
    world.run(10);
    assert_eq!(world.running("/a"), 2, "it is replaced");
    world.command(update("/a", json!({ "cmd": "two" }), false));
    world.run(30);
    world.back(&lost);
    world.run(10);
    let spec = world.machine().app("/a").unwrap().spec.clone();
    assert_eq!(world.running("/a"), 2);
    assert!(world.machine().instances().all(|i| i.config == spec.config_version));
}

#[test]
fn what_goes_first_evens_out_groups() {
    let mut world = World::new(3);
    world.command(create("/a", json!({ "instances": 6, "constraints": [["hostname", "GROUP_BY", "3"]] })));
    world.run(20);
    let hosts = |world: &World| -> Vec<usize> {
        (0..3)
            .map(|n| world.machine().instances().filter(|i| i.host == format!("host-{n}")).count())
            .collect()
    };
    assert_eq!(hosts(&world), [2, 2, 2]);
    // those of one host are now the youngest, which would all go
    let of_one: Vec<_> =
        world.machine().instances().filter(|i| i.host == "host-0").map(|i| i.task.clone()).collect();
    of_one.iter().for_each(|task| world.fail(task));
    world.run(10);
    assert_eq!(hosts(&world), [2, 2, 2]);
    world.command(update("/a", json!({ "instances": 4 }), false));
    world.run(20);
    assert!(hosts(&world).iter().all(|held| *held > 0), "{:?}", hosts(&world));
    world.command(update("/a", json!({ "instances": 3 }), false));
    world.run(20);
    assert_eq!(hosts(&world), [1, 1, 1]);
}

#[test]
fn a_version_that_ends_at_once_takes_no_more_than_the_floor_allows() {
    for (settle, kept) in [(None, true), (Some(0), false)] {
        let mut world = World::new(4);
        let strategy = json!({ "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0 });
        let mut more = json!({ "instances": 10, "upgradeStrategy": strategy, "backoffSeconds": 1 });
        if let Some(seconds) = settle {
            more["settleSeconds"] = json!(seconds);
        }
        world.command(create("/a", more));
        world.run(10);
        assert_eq!(world.running("/a"), 10);
        let old: BTreeSet<String> = world.machine().instances().map(|i| i.id.clone()).collect();
        world.broken.insert("bad".into());
        world.command(update("/a", json!({ "cmd": "bad" }), false));
        let mut least = 10;
        world.each_step(60, |machine| {
            least = least.min(machine.instances().filter(|i| old.contains(&i.id) && !i.ending).count());
        });
        assert_eq!(least == 5, kept, "{least} left with settleSeconds {settle:?}");
    }
}

#[test]
fn what_checks_found_outlives_a_restart() {
    let check = json!({ "protocol": "HTTP", "portIndex": 0, "intervalSeconds": 1, "gracePeriodSeconds": 300,
        "maxConsecutiveFailures": 3 });
    let mut world = World::new(1);
    assert_eq!(world.command(create("/h", json!({ "healthChecks": [check] }))).status, 201);
    world.run(10);
    let task = world.task_ids();
    let result = |world: &World| world.machine().instances().next().unwrap().checks[0].clone();
    assert!(result(&world).first_success.is_some());
    world.restart();
    assert!(result(&world).first_success.is_some() && result(&world).alive);
    world.all_sick = true;
    world.run(1);
    let failures = result(&world).failures;
    assert!((1..3).contains(&failures), "a task that was well once has no grace: {failures}");
    world.restart();
    let on = result(&world).failures;
    assert!(on >= failures, "a restart looks again and does not begin anew: {on}");
    world.run(5);
    assert!(!world.task_ids().contains(&task[0]), "the count goes on: it is ended at three");
}
