//! One on every agent, company that is wanted or not, places that are liked.

use super::{World, app, create, update};
use crate::{Command, Embed};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn hosts(world: &World, app: &str) -> Vec<String> {
    let mut all: Vec<_> = world.machine().instances_of(app).map(|i| i.host.clone()).collect();
    all.sort();
    all
}

#[test]
fn one_runs_on_every_agent_and_on_those_that_join() {
    let mut world = World::new(3);
    assert_eq!(world.command(create("/log", json!({ "instances": "every" }))).status, 201);
    world.run(5);
    assert_eq!(hosts(&world, "/log"), ["host-0", "host-1", "host-2"]);
    let shown = world.machine().app_info("/log", Embed::default(), world.now()).unwrap();
    assert_eq!((&shown["instances"], &shown["everyNode"]), (&json!(3), &json!(true)));
    assert_eq!((world.machine().deployments().len(), world.machine().queue().count()), (0, 0));
    world.join();
    world.run(5);
    assert_eq!(hosts(&world, "/log"), ["host-0", "host-1", "host-2", "host-3"]);
    let task = world.machine().instances_of("/log").next().unwrap().task.clone();
    world.fail(&task);
    world.run(10);
    assert_eq!(hosts(&world, "/log").len(), 4, "where it failed it is started again");
    // an upgrade has one of each version on an agent at most, and ends on all of them
    world.command(update("/log", json!({ "cmd": "two" }), false));
    world.join();
    world.each_step(30, |machine| {
        let mut held: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for instance in machine.instances() {
            *held.entry((&instance.agent, &instance.config)).or_default() += 1;
        }
        assert!(held.values().all(|count| *count == 1), "{held:?}");
    });
    let config = world.machine().app("/log").unwrap().spec.config_version.clone();
    assert_eq!(hosts(&world, "/log").len(), 5);
    assert!(world.machine().instances().all(|i| i.config == config));
    world.restart();
    world.run(5);
    assert_eq!((hosts(&world, "/log").len(), world.machine().deployments().len()), (5, 0));
    // a number ends it, and replaces nothing
    world.command(update("/log", json!({ "instances": 2 }), false));
    world.run(10);
    assert_eq!((hosts(&world, "/log").len(), world.machine().deployments().len()), (2, 0));
    assert!(world.machine().app("/log").unwrap().app.get("everyNode").is_none());
    world.command(update("/log", json!({ "instances": "every" }), false));
    world.run(10);
    assert_eq!(hosts(&world, "/log").len(), 5);
    world.command(Command::DeleteApp { id: "/log".into(), force: false });
    world.run(10);
    assert_eq!((world.tasks(), world.machine().deployments().len()), (0, 0));
}

#[test]
fn every_agent_means_those_that_constraints_allow_and_pods_can_too() {
    let mut world = World::new(4);
    world.command(create("/log", json!({ "instances": "every", "constraints": [["rack", "IS", "r1"]] })));
    let pod = json!({ "id": "/pod", "scaling": { "kind": "every" }, "containers": [
        { "name": "c", "resources": { "cpus": 0.1, "mem": 16 }, "exec": { "command": { "shell": "x" } } }] });
    assert_eq!(
        world.command(Command::CreatePod { pod: pod.as_object().unwrap().clone(), force: false }).status,
        201
    );
    world.run(5);
    assert_eq!(
        (hosts(&world, "/log"), hosts(&world, "/pod").len()),
        (vec!["host-1".to_owned(), "host-3".into()], 4)
    );
    assert_eq!(world.machine().deployments().len(), 0);
    let none = world
        .command(create("/none", json!({ "instances": "every", "constraints": [["rack", "IS", "r9"]] })));
    world.run(5);
    assert_eq!((none.status, world.machine().deployments().len()), (201, 1), "it waits for the first");
    assert_eq!(world.machine().queue_info(world.now(), false, false)["queue"][0]["count"], 1);
    let bad = world.command(create("/bad", json!({ "instances": "some" })));
    assert_eq!(bad.status, 422);
}

#[test]
fn apps_that_keep_away_from_each_other_do_whichever_comes_first() {
    for first in ["/db", "/web"] {
        let mut world = World::new(2);
        let of = |id: &str| match id {
            "/db" => create("/db", json!({ "constraints": [["@app", "UNLIKE", "/web.*"]] })),
            _ => create("/web", json!({ "constraints": [["hostname", "LIKE", "host-0"]] })),
        };
        let second = if first == "/db" { "/web" } else { "/db" };
        if first == "/db" {
            // it is put where /web wants to go
            world.command(create(
                "/db",
                json!({
                "constraints": [["@app", "UNLIKE", "/web.*"], ["hostname", "LIKE", "host-0"]] }),
            ));
        } else {
            world.command(of(first));
        }
        world.run(5);
        world.command(of(second));
        world.run(5);
        let both = (hosts(&world, "/db"), hosts(&world, "/web"));
        if first == "/web" {
            assert_eq!(both, (vec!["host-1".to_owned()], vec!["host-0".to_owned()]));
        } else {
            assert_eq!(both, (vec!["host-0".to_owned()], vec![]));
            let why = world.machine().why("/web", world.now()).unwrap();
            assert!(why.summary.contains("keeps away from /web"), "{}", why.summary);
        }
    }
    let mut world = World::new(3);
    world.command(create("/cache", json!({ "constraints": [["hostname", "LIKE", "host-2"]] })));
    world.run(5);
    world.command(create("/near", json!({ "instances": 2, "constraints": [["@app", "LIKE", "/cache"]] })));
    world.run(5);
    assert_eq!(hosts(&world, "/near"), ["host-2", "host-2"]);
}

#[test]
fn liked_places_are_taken_first_and_others_when_they_are_full() {
    let mut world = World::new(4);
    let like = |all: Value| json!({ "instances": 4, "cpus": 3, "preferences": all });
    world.command(create(
        "/a",
        like(json!([{ "field": "rack", "operator": "is", "value": "r1", "weight": 10 },
        { "field": "hostname", "operator": "LIKE", "value": "host-3" }])),
    ));
    world.run(5);
    assert_eq!(hosts(&world, "/a"), ["host-1", "host-1", "host-3", "host-3"]);
    world.command(update("/a", json!({ "instances": 6 }), false));
    world.run(5);
    assert_eq!(world.running("/a"), 6, "what does not fit there goes elsewhere");
    // spread by an attribute without a count, as a wish
    let mut world = World::new(4);
    let wish = json!([{ "field": "rack", "operator": "GROUP_BY" }]);
    world.command(create("/b", json!({ "instances": 6, "preferences": wish })));
    world.run(5);
    let racks = |world: &World| {
        let even =
            hosts(world, "/b").iter().filter(|host| ["host-0", "host-2"].contains(&host.as_str())).count();
        (even, hosts(world, "/b").len() - even)
    };
    assert_eq!(racks(&world), (3, 3));
    world.command(update("/b", json!({ "instances": 2 }), false));
    world.run(10);
    assert_eq!(racks(&world), (1, 1), "and so they go");
    let before: Vec<_> = world.machine().instances().map(|i| i.id.clone()).collect();
    world.command(update("/b", json!({ "preferences": [] }), false));
    world.run(5);
    assert!(world.machine().instances().all(|i| before.contains(&i.id)), "a wish replaces nothing");
    let bad = json!([{ "field": "rack", "operator": "MAX_PER" }, { "operator": "IS" }]);
    assert_eq!(
        world
            .command(Command::CreateApp { app: app("/c", json!({ "preferences": bad })), force: false })
            .status,
        422
    );
}

#[test]
fn every_agent_gets_one_also_where_the_app_ran_already() {
    let one_each = |world: &World, app: &str| {
        let hosts = hosts(world, app);
        let distinct: std::collections::BTreeSet<_> = hosts.iter().cloned().collect();
        (hosts.len(), distinct.len())
    };
    for (before, restart) in [(3, false), (3, true), (2, true), (5, false)] {
        let mut world = World::new(3);
        world.command(create("/e", json!({ "instances": before })));
        world.run(5);
        let ids: Vec<_> = world.machine().instances().map(|i| i.id.clone()).collect();
        world.command(update("/e", json!({ "instances": "every" }), false));
        if restart {
            world.restart();
        }
        world.run(10);
        assert_eq!(one_each(&world, "/e"), (3, 3), "{before} {restart}");
        assert_eq!(world.machine().deployments().len(), 0, "{before} {restart}");
        let kept = world.machine().instances().filter(|i| ids.contains(&i.id)).count();
        assert!(kept >= before.min(3) - 1, "{kept} of {before} are left where they were");
    }
    // also a pod
    let mut world = World::new(3);
    let pod = |scaling: Value| {
        let pod = json!({ "id": "/pod", "scaling": scaling, "containers": [
            { "name": "c", "resources": { "cpus": 0.1, "mem": 16 }, "exec": { "command": { "shell": "x" } } }] });
        pod.as_object().unwrap().clone()
    };
    world.command(Command::CreatePod { pod: pod(json!({ "kind": "fixed", "instances": 2 })), force: false });
    world.run(5);
    let every = pod(json!({ "kind": "every" }));
    assert_eq!(world.command(Command::UpdatePod { id: "/pod".into(), pod: every, force: false }).status, 200);
    world.run(10);
    assert_eq!((one_each(&world, "/pod"), world.machine().deployments().len()), ((3, 3), 0));
}

#[test]
fn a_wish_that_comes_later_counts_what_runs() {
    for field in ["rack", "hostname", "@hostname"] {
        let mut world = World::new(2);
        world.command(create(
            "/a",
            json!({ "instances": 3, "constraints": [["hostname", "LIKE", "host-0"]] }),
        ));
        world.run(5);
        world.command(create("/b", json!({ "instances": 3 })));
        world.run(5);
        let before = hosts(&world, "/b").iter().filter(|host| *host == "host-0").count();
        let wish = json!([{ "field": field, "operator": "GROUP_BY" }]);
        world.command(update("/b", json!({ "preferences": wish }), false));
        world.run(5);
        world.restart();
        world.command(update("/b", json!({ "instances": 6 }), false));
        world.run(10);
        let after = hosts(&world, "/b").iter().filter(|host| *host == "host-0").count();
        assert_eq!((after, hosts(&world, "/b").len()), (3, 6), "{field}: there were {before} on host-0");
    }
}

#[test]
fn apps_that_want_each_other_are_refused() {
    let wants = |id: &str, whom: &str| create(id, json!({ "constraints": [["@app", "LIKE", whom]] }));
    let mut world = World::new(2);
    assert_eq!(world.command(wants("/l/x", "/l/y")).status, 201, "/l/y may come");
    let answer = world.command(wants("/l/y", "/l/x"));
    assert_eq!(answer.status, 422);
    assert!(world.json(&answer).to_string().contains("/l/y would wait"), "{answer:?}");
    // over a third, and by a pattern
    assert_eq!(world.command(wants("/l/z", "/l/x")).status, 201);
    assert_eq!(world.command(wants("/l/y", "/l/z")).status, 422);
    assert_eq!(world.command(wants("/l/y", "/l/.*")).status, 422);
    let group = json!({ "apps": [
        { "id": "p", "cmd": "x", "constraints": [["@app", "LIKE", "/m/q"]] },
        { "id": "q", "cmd": "x", "constraints": [["@app", "LIKE", "/m/p"]] } ] });
    let update_of = api::marathon::group_update(group.as_object().unwrap().clone(), "/m").unwrap();
    let put = Command::PutGroup { base: "/m".into(), update: update_of, force: false, create: false };
    assert_eq!(world.command(put).status, 422);
    // one that anybody else would do for, or that wants nobody, is the first
    world.command(create("/db", json!({})));
    assert_eq!(world.command(wants("/l/w", "/l/w2|/db")).status, 201);
    assert_eq!(world.command(wants("/l/w2", "/l/w")).status, 201);
    assert_eq!(world.command(create("/l/y", json!({}))).status, 201);
    world.run(10);
    assert_eq!(world.machine().deployments().len(), 0);
    // what is there may not turn so either
    let turn = json!({ "constraints": [["@app", "LIKE", "/l/z"]] });
    assert_eq!(world.command(update("/l/y", turn, false)).status, 422);
}
