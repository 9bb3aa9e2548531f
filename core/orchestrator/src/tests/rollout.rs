//! What holds a deployment up and what it leaves alone: readiness, going back, dependencies, whose turn it is.

use super::{World, create, update};
use crate::Command;
use serde_json::{Value, json};

fn upgrade(minimum: f64, over: f64) -> Value {
    json!({ "minimumHealthCapacity": minimum, "maximumOverCapacity": over })
}

#[test]
fn old_tasks_stay_until_new_ones_are_ready() {
    let mut world = World::new(2);
    let check = json!([{ "portName": "default", "intervalSeconds": 2, "timeoutSeconds": 1, "preserveLastResponse": true,
        "httpStatusCodesForReady": [204, 200] }]);
    let more = json!({ "instances": 2, "readinessChecks": check, "upgradeStrategy": upgrade(1.0, 1.0) });
    world.command(create("/a", more));
    world.run(10);
    assert_eq!(world.machine().deployments().len(), 0, "ready at once");
    let old: Vec<_> = world.machine().instances().map(|i| i.task.clone()).collect();
    world.unready = true;
    world.command(update("/a", json!({ "cmd": "two" }), false));
    world.run(20);
    assert_eq!(world.running("/a"), 4, "both versions run");
    assert!(old.iter().all(|task| world.machine().task(task).is_some_and(|i| !i.ending)));
    let shown = world.machine().deployments_info();
    let results = shown[0]["currentActions"][0]["readinessCheckResults"].as_array().unwrap().clone();
    let said = json!({ "status": 503, "contentType": "text/plain", "body": "warming up" });
    assert!(results.iter().any(|r| r["ready"] == false && r["lastResponse"] == said), "{results:?}");
    let embed = crate::Embed::of(["apps.readiness"]);
    let app = world.machine().app_info("/a", embed, world.now()).unwrap();
    assert_eq!(app["readinessCheckResults"].as_array().unwrap().len(), results.len());
    // a restart in between forgets nothing that was ready
    world.restart();
    world.unready = false;
    world.run(20);
    assert_eq!((world.running("/a"), world.machine().deployments().len()), (2, 0));
    assert!(old.iter().all(|task| world.machine().task(task).is_none()));
    // once ready is ready for good
    world.unready = true;
    world.run(60);
    assert_eq!(world.running("/a"), 2);
}

#[test]
fn going_back_leaves_good_tasks_alone() {
    let mut world = World::new(2);
    world.command(create("/a", json!({ "instances": 4, "upgradeStrategy": upgrade(0.5, 0.0) })));
    world.run(10);
    let before: Vec<_> = world.machine().instances().map(|i| i.task.clone()).collect();
    world.command(update("/a", json!({ "cpus": 500.0 }), false));
    world.run(10);
    let kept: Vec<_> = world.machine().instances().map(|i| i.task.clone()).collect();
    assert_eq!(kept.len(), 2, "two had to go for the new version, which fits nowhere");
    let id = world.machine().deployments()[0].id.clone();
    assert_eq!(world.command(Command::CancelDeployment { id, force: false }).status, 200);
    world.run(20);
    assert_eq!((world.running("/a"), world.machine().deployments().len()), (4, 0));
    assert!(kept.iter().all(|task| before.contains(task) && world.machine().task(task).is_some()));
}

fn checked() -> Value {
    json!([{ "protocol": "HTTP", "portIndex": 0, "intervalSeconds": 1, "gracePeriodSeconds": 60 }])
}

#[test]
fn what_a_broken_upgrade_left_counts_by_its_own_checks() {
    let mut world = World::new(2);
    world.command(create("/a", json!({ "instances": 2, "upgradeStrategy": upgrade(1.0, 0.5) })));
    world.run(10);
    // instances of a version without checks stay beside those of one with checks
    world.all_sick = true;
    world.command(update("/a", json!({ "healthChecks": checked(), "cmd": "two" }), false));
    world.run(5);
    let id = world.machine().deployments()[0].id.clone();
    assert_eq!(world.command(Command::CancelDeployment { id, force: true }).status, 202);
    world.all_sick = false;
    assert_eq!(world.command(update("/a", json!({ "instances": 4 }), false)).status, 200);
    world.run(20);
    assert_eq!((world.running("/a"), world.machine().tally("/a").healthy), (4, 2));
    assert_eq!(
        world.machine().deployments().len(),
        0,
        "the old ones are never looked at, and count all the same"
    );
    // an upgrade of both: neither is taken for sick
    let before: Vec<_> = world.machine().instances().map(|i| i.id.clone()).collect();
    let next = json!({ "cmd": "three", "cpus": 500.0, "upgradeStrategy": upgrade(1.0, 1.0) });
    world.command(update("/a", next, false));
    world.run(5);
    let left = world.machine().instances().filter(|i| before.contains(&i.id) && !i.ending).count();
    assert_eq!(left, 4, "all stay while no new one fits");
    world.command(update("/a", json!({ "cpus": 0.1 }), true));
    world.run(60);
    assert_eq!((world.machine().tally("/a").healthy, world.machine().deployments().len()), (4, 0));
}

#[test]
fn a_forced_scaling_finishes_the_upgrade_that_it_breaks() {
    let mut world = World::new(2);
    world.command(create("/a", json!({ "instances": 1 })));
    world.run(10);
    world.all_sick = true;
    world.command(update("/a", json!({ "healthChecks": checked(), "cmd": "two" }), false));
    world.run(5);
    assert_eq!(world.command(update("/a", json!({ "instances": 3 }), true)).status, 200);
    world.all_sick = false;
    world.run(30);
    let spec = world.machine().app("/a").unwrap().spec.clone();
    assert_eq!((world.running("/a"), world.machine().deployments().len()), (3, 0));
    assert!(world.machine().instances().all(|i| i.config == spec.config_version));
}

#[test]
fn a_cancelled_creation_leaves_nothing() {
    let mut world = World::new(1);
    let tree = json!({ "groups": [{ "id": "g", "dependencies": ["/x"], "apps": [{ "id": "a", "cmd": "x", "cpus": 500 }] }] });
    world.command(group("/", &tree));
    world.run(3);
    let id = world.machine().deployments()[0].id.clone();
    assert_eq!(world.command(Command::CancelDeployment { id, force: false }).status, 200);
    world.run(3);
    assert!(world.machine().app("/g/a").is_none() && world.machine().group("/g").is_none());
    assert_eq!(world.machine().deployments().len(), 0);
}

fn group(base: &str, tree: &Value) -> Command {
    let update = api::marathon::group_update(tree.as_object().unwrap().clone(), base).expect("right");
    Command::PutGroup { base: base.into(), update, force: false, create: false }
}

#[test]
fn what_others_need_comes_first_and_is_healthy_first() {
    let mut world = World::new(2);
    let check =
        json!([{ "protocol": "HTTP", "portIndex": 0, "intervalSeconds": 1, "gracePeriodSeconds": 60 }]);
    let one = |id: &str, on: Value| json!({ "id": id, "cmd": "x", "cpus": 0.1, "mem": 16, "dependencies": on, "healthChecks": check });
    let tree = json!({ "id": "/g", "apps": [one("web", json!(["api"])), one("api", json!(["db"])), one("db", json!([]))] });
    world.all_sick = true;
    world.command(group("/", &tree));
    world.run(5);
    let apps =
        |world: &World| -> Vec<String> { world.machine().instances().map(|i| i.app.clone()).collect() };
    assert_eq!(apps(&world), ["/g/db"], "it is not healthy yet");
    world.all_sick = false;
    let mut order: Vec<String> = Vec::new();
    world.each_step(60, |machine| {
        for instance in machine.instances() {
            if !order.contains(&instance.app) {
                order.push(instance.app.clone());
            }
        }
    });
    assert_eq!(order, ["/g/db", "/g/api", "/g/web"]);
    assert_eq!(world.machine().deployments().len(), 0);
}

#[test]
fn a_restart_amid_a_deployment_ends_nothing_that_it_launched() {
    // the first can't be finished; what the others launched stays through a restart, which begins with the first step
    let mut world = World::new(2);
    let one = |id: &str, cpus: f64| json!({ "id": id, "cmd": "x", "cpus": cpus, "mem": 16, "instances": 2 });
    world
        .command(group("/", &json!({ "id": "/g", "apps": [one("a", 0.1), one("b", 500.0), one("c", 0.1)] })));
    world.run(5);
    let stay = |world: &mut World, apps: &[&str]| {
        let of = |i: &&crate::instances::Instance| apps.contains(&i.app.as_str()) && !i.ending;
        let ids: Vec<_> = world.machine().instances().filter(of).map(|i| i.id.clone()).collect();
        world.restart();
        world.each_step(20, |machine| {
            let left = machine.instances().filter(|i| ids.contains(&i.id) && !i.ending).count();
            assert_eq!(left, ids.len(), "of {apps:?}");
        });
    };
    stay(&mut world, &["/g/a", "/g/c"]);
    let id = world.machine().deployments()[0].id.clone();
    assert_eq!(world.command(Command::CancelDeployment { id, force: true }).status, 202);
    world.command(Command::DeleteApp { id: "/g/b".into(), force: true });
    world.run(10);
    // c grows after a was changed; then a loses its tasks, so that its step is not done any more
    let c = json!({ "id": "c", "cmd": "x", "cpus": 4, "mem": 16, "instances": 10, "dependencies": ["a"] });
    let a = json!({ "id": "a", "cmd": "y", "cpus": 0.1, "mem": 16, "instances": 2 });
    world.command(group("/", &json!({ "id": "/g", "apps": [a, c] })));
    world.run(20);
    let grown = world.running("/g/c");
    assert!(grown > 1 && world.machine().deployments().len() == 1, "{grown} run, and more don't fit");
    let tasks: Vec<_> = world.machine().instances_of("/g/a").map(|i| i.task.clone()).collect();
    tasks.iter().for_each(|task| world.fail(task));
    stay(&mut world, &["/g/c"]);
}

#[test]
fn a_group_goes_with_all_that_runs_in_it() {
    let mut world = World::new(2);
    let apps: Vec<_> =
        (0..20).map(|n| json!({ "id": format!("a{n}"), "cmd": "x", "cpus": 0.1, "mem": 16 })).collect();
    world.command(group("/", &json!({ "id": "/g", "apps": apps })));
    world.run(20);
    assert_eq!(world.tasks(), 20);
    assert_eq!(world.command(Command::DeleteGroup { id: "/".into(), force: false }).status, 200);
    world.run(20);
    assert_eq!((world.tasks(), world.machine().apps().count()), (0, 0));
    assert!(world.machine().group("/g").is_none() && world.machine().group("/").is_some());
}

#[test]
fn a_crash_in_a_large_change_loses_nothing() {
    // a change of 200 apps takes several batches; whatever was durable of it is finished
    for crash_at in 0..24 {
        let mut world = World::new(4);
        world.checks = false;
        world.command(create("/other", json!({})));
        world.run(5);
        let apps: Vec<_> =
            (0..200).map(|n| json!({ "id": format!("a{n}"), "cmd": "x", "cpus": 0.01, "mem": 1 })).collect();
        world.crash_after_saves(crash_at);
        let answer = world.try_command(group("/", &json!({ "id": "/g", "apps": apps })));
        world.run(30);
        base::Machine::check(world.machine());
        let there = world.machine().apps().count() - 1;
        assert!(there == 200 || (there == 0 && answer.is_none()), "{there} apps, crash after {crash_at}");
        assert_eq!(world.tasks(), 1 + there, "crash after {crash_at}");
        assert_eq!(world.machine().deployments().len(), 0, "crash after {crash_at}");
        let stray = world.keys().into_iter().find(|key| key.starts_with("deployments/"));
        assert_eq!(stray, None, "crash after {crash_at}");
    }
}

#[test]
fn offers_of_other_regions_under_maintenance_or_with_gpus_are_left() {
    for (what, stage) in [
        ("region", "UnfulfilledConstraint"),
        ("maintenance", "AgentMaintenance"),
        ("gpus", "DeclinedScarceResources"),
    ] {
        let mut world = World::new(1);
        world.odd_offers = Some(what);
        world.restart();
        world.command(create("/a", json!({})));
        world.run(5);
        let why = world.machine().why("/a", world.now()).unwrap();
        assert_eq!(why.agents[0].refusals[0].stage, stage, "{why:?}");
        let asks = match what {
            "region" => json!({ "constraints": [["@region", "IS", "away"]] }),
            "gpus" => json!({ "gpus": 1 }),
            _ => continue,
        };
        let mut more = asks.clone();
        more["id"] = "/b".into();
        let answer = world.command(create("/b", asks));
        world.run(5);
        assert_eq!(world.running("/b"), u64::from(answer.status == 201 && what == "region"), "{what}");
    }
}

#[test]
fn many_apps_at_once_and_one_by_one() {
    let scale = std::env::var("APPS").ok().and_then(|n| n.parse().ok()).unwrap_or(300usize);
    let one = |n: usize| json!({ "id": format!("a{n}"), "cmd": "x", "cpus": 0.001, "mem": 0.1, "portDefinitions": [] });
    for n in [scale / 4, scale / 2, scale] {
        let mut world = World::new(20);
        world.checks = false;
        let started = std::time::Instant::now();
        world.command(group("/", &json!({ "id": "/g", "apps": (0..n).map(one).collect::<Vec<_>>() })));
        let put = started.elapsed();
        world.run(20);
        assert_eq!((world.tasks(), world.machine().deployments().len()), (n, 0));
        let all = started.elapsed();
        let started = std::time::Instant::now();
        for at in 0..n {
            let answer = world.command(create(
                "/x",
                json!({ "id": format!("/x{at}"), "cpus": 0.001, "mem": 0.1, "portDefinitions": [] }),
            ));
            assert_eq!(answer.status, 201, "{answer:?}");
            if at % 50 == 0 {
                world.run(1);
            }
        }
        world.run(5);
        assert_eq!((world.tasks(), world.machine().deployments().len()), (2 * n, 0));
        let each = started.elapsed();
        let started = std::time::Instant::now();
        world.command(Command::DeleteGroup { id: "/".into(), force: true });
        world.run(20);
        assert_eq!(world.tasks(), 0);
        println!("{n} apps: put {put:?}, run {all:?}; one by one {each:?}; delete {:?}", started.elapsed());
    }
}

#[test]
fn the_master_is_told_of_every_role() {
    let mut world = World::new(1);
    let tree = |id: &str| json!({ "id": id, "enforceRole": true, "apps": [{ "id": "a", "cmd": "x" }] });
    world.command(group("/", &tree("/ads")));
    assert_eq!(world.roles, ["*", "ads"]);
    // one that comes up while there is no master is told to the next
    world.disconnect();
    world.command(group("/", &tree("/web")));
    world.connect();
    assert_eq!(world.roles, ["*", "ads", "web"]);
    world.restart();
    assert_eq!(world.roles, ["*", "ads", "web"]);
}

#[test]
fn a_restart_brings_back_no_group_that_was_removed_since() {
    let mut world = World::new(1);
    let big = json!({ "id": "big", "cmd": "x", "cpus": 500 });
    let inner =
        json!([{ "id": "sub" }, { "id": "sub2", "defaults": { "env": { "A": "b" } } }, { "id": "kept" }]);
    world.command(group("/", &json!({ "id": "/g", "apps": [big], "groups": inner })));
    world.run(3);
    assert_eq!(world.machine().deployments().len(), 1);
    for id in ["/g/sub", "/g/sub2"] {
        assert_eq!(world.command(Command::DeleteGroup { id: id.into(), force: false }).status, 200);
    }
    for _ in 0..2 {
        world.restart();
        let there = |id: &str| world.machine().group(id).is_some();
        assert_eq!((there("/g/sub"), there("/g/sub2"), there("/g/kept")), (false, false, true));
        assert_eq!(world.machine().deployments().len(), 1, "it goes on");
    }
    // also after so many changes that it is not remembered how they went
    for n in 0..=crate::config::GROUP_VERSIONS_MAX {
        let other = json!({ "id": format!("/h{n}") });
        assert_eq!(world.command(group("/", &other)).status, 200);
    }
    world.restart();
    assert!(world.machine().group("/g/sub").is_none() && world.machine().group("/g/kept").is_some());
}

#[test]
fn an_app_that_is_to_go_keeps_its_versions_until_it_is_gone() {
    let versions = |world: &World| world.machine().app("/db").map_or(0, |state| state.versions.len());
    let records = |world: &World| world.keys().iter().filter(|key| key.starts_with("versions/db@")).count();
    for restart in [false, true] {
        let mut world = World::new(1);
        world.command(create("/db", json!({})));
        world.run(5);
        let first = world.machine().app("/db").unwrap().spec.version.clone();
        for cpus in [0.2, 0.3] {
            world.command(update("/db", json!({ "cpus": cpus }), false));
            world.run(10);
        }
        assert_eq!(versions(&world), 3);
        // nobody hears of the kill, so that it is not gone yet
        world.disconnect();
        let deleted = world.command(Command::DeleteApp { id: "/db".into(), force: true });
        let id = world.json(&deleted)["deploymentId"].as_str().unwrap().to_owned();
        if restart {
            world.restart();
            world.disconnect();
        }
        assert_eq!((versions(&world), records(&world)), (0, 3));
        assert_eq!(world.command(Command::CancelDeployment { id, force: false }).status, 200);
        assert_eq!(versions(&world), 4, "and the one that came back");
        world.connect();
        world.run(20);
        assert_eq!(world.command(update("/db", json!({ "version": first }), false)).status, 200);
        world.run(20);
        assert_eq!(world.running("/db"), 1);
        world.command(Command::DeleteApp { id: "/db".into(), force: true });
        world.run(20);
        assert_eq!((versions(&world), records(&world), world.machine().deployments().len()), (0, 0, 0));
        world.command(create("/db", json!({})));
        assert_eq!(versions(&world), 1, "another one of that name");
    }
}
