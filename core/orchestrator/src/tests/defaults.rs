//! What groups say for all apps below them.

use super::{World, create, update};
use crate::Command;
use serde_json::{Value, json};

fn group(base: &str, tree: Value) -> Command {
    let update = api::marathon::group_update(tree.as_object().unwrap().clone(), base).expect("right");
    Command::PutGroup { base: base.into(), update, force: false, create: false }
}

fn shown(world: &World, id: &str) -> Value {
    (*world.machine().app(id).unwrap().app).clone()
}

#[test]
fn apps_have_what_their_groups_say_and_get_what_changes_of_it() {
    let mut world = World::new(2);
    let tree = json!({ "id": "/g", "defaults": { "env": { "TIER": "prod", "LOG": "info" }, "cpus": 0.25, "mem": 20 },
        "apps": [{ "id": "a", "cmd": "x", "env": { "LOG": "debug" } }],
        "groups": [{ "id": "h", "defaults": { "labels": { "team": "h" }, "mem": 24 }, "apps": [{ "id": "b", "cmd": "x" }] }] });
    assert_eq!(world.command(group("/", tree)).status, 200);
    world.run(10);
    let (a, b) = (shown(&world, "/g/a"), shown(&world, "/g/h/b"));
    assert_eq!(
        (&a["env"], &a["cpus"], &a["mem"]),
        (&json!({ "TIER": "prod", "LOG": "debug" }), &json!(0.25), &json!(20))
    );
    assert_eq!((&b["cpus"], &b["mem"], &b["labels"]), (&json!(0.25), &json!(24), &json!({ "team": "h" })));
    assert_eq!(a["inherited"], json!({ "env": { "TIER": "prod" }, "cpus": 0.25, "mem": 20 }));
    assert_eq!(world.machine().app("/g/a").unwrap().spec.env["TIER"], "prod");
    // one by one as well
    world.command(create("/g/c", json!({ "cpus": null, "mem": 16 })));
    let c = shown(&world, "/g/c");
    assert_eq!((&c["cpus"], &c["mem"]), (&json!(0.25), &json!(16)));
    world.run(10);
    assert_eq!((world.tasks(), world.machine().deployments().len()), (3, 0));
    // another default: who has it gets it, who says otherwise stays, and runs on
    let stays = world.machine().instances_of("/g/h/b").next().unwrap().id.clone();
    let default =
        json!({ "defaults": { "env": { "TIER": "test", "LOG": "info" }, "cpus": 0.25, "mem": 20 } });
    assert_eq!(world.command(group("/g", default)).status, 200);
    world.run(30);
    assert_eq!(shown(&world, "/g/a")["env"], json!({ "TIER": "test", "LOG": "debug" }));
    assert_eq!(shown(&world, "/g/h/b")["env"]["TIER"], "test");
    assert!(world.machine().instances_of("/g/h/b").all(|i| i.id != stays));
    assert_eq!((world.tasks(), world.machine().deployments().len()), (3, 0));
    world.restart();
    assert_eq!(world.machine().group("/g").unwrap().defaults["cpus"], 0.25);
    // what is shown can be sent back, and changes nothing
    let whole = shown(&world, "/g/a");
    let before = world.machine().instances_of("/g/a").next().unwrap().id.clone();
    let again =
        crate::AppUpdate { id: "/g/a".into(), fields: whole.as_object().unwrap().clone(), partial: false };
    let put = Command::UpdateApps { updates: vec![again], force: false, create: true, single: true };
    assert_eq!(world.command(put).status, 200);
    world.command(update("/g/a", json!({ "instances": 2 }), false));
    world.run(10);
    assert!(world.machine().instances_of("/g/a").any(|i| i.id == before));
    assert_eq!(shown(&world, "/g/a")["inherited"]["env"], json!({ "TIER": "test" }));
    // without defaults everything is as if nobody had ever said it
    world.command(group("/g", json!({ "defaults": {} })));
    world.run(30);
    let (a, b) = (shown(&world, "/g/a"), shown(&world, "/g/h/b"));
    assert_eq!((&a["env"], &a["cpus"], &a["mem"]), (&json!({ "LOG": "debug" }), &json!(1), &json!(128)));
    assert_eq!((&b["mem"], b.get("env")), (&json!(24), None));
    assert!(a.get("inherited").is_none());
}

#[test]
fn going_back_takes_the_defaults_back_too() {
    let mut world = World::new(2);
    let tree =
        json!({ "id": "/g", "defaults": { "cpus": 0.25 }, "apps": [{ "id": "a", "cmd": "x", "mem": 16 }] });
    world.command(group("/", tree));
    world.run(10);
    let before = world.machine().instances_of("/g/a").next().unwrap().id.clone();
    world.command(group("/g", json!({ "defaults": { "cpus": 900 } })));
    world.run(5);
    let id = world.machine().deployments()[0].id.clone();
    assert_eq!(world.command(Command::CancelDeployment { id, force: false }).status, 200);
    world.run(10);
    assert_eq!(world.machine().group("/g").unwrap().defaults["cpus"], 0.25);
    assert_eq!(world.machine().app("/g/a").unwrap().spec.cpus, 0.25);
    assert_eq!(world.machine().instances_of("/g/a").next().unwrap().id, before);
    let wrong = json!({ "defaults": { "cpus": "much", "constraints": [["hostname", "NEAR"]] } });
    let (status, body) = api::marathon::group_update(wrong.as_object().unwrap().clone(), "/g").unwrap_err();
    assert!(
        status == 422 && body.contains("/defaults/cpus") && body.contains("/defaults/constraints(0)"),
        "{body}"
    );
}

fn pod(more: Value) -> serde_json::Map<String, Value> {
    let mut pod = json!({ "id": "/g/p", "containers": [
        { "name": "a", "exec": { "command": { "shell": "x" } }, "resources": { "mem": 33 } },
        { "name": "b", "exec": { "command": { "shell": "y" } }, "resources": { "cpus": 0.1, "mem": 34 }, "environment": { "LOG": "own" } }] });
    more.as_object().unwrap().iter().for_each(|(key, value)| pod[key] = value.clone());
    pod.as_object().unwrap().clone()
}

#[test]
fn pods_have_what_their_groups_say_and_get_what_changes_of_it() {
    let mut world = World::new(2);
    let said = json!({ "id": "/g", "defaults": { "env": { "TIER": "prod", "LOG": "info" }, "labels": { "team": "g" }, "cpus": 0.25,
        "constraints": [["hostname", "UNLIKE", "host-0"]], "maxFailures": 3 } });
    assert_eq!(world.command(group("/", said)).status, 200);
    let answer = world
        .command(Command::CreatePod { pod: pod(json!({ "environment": { "LOG": "debug" } })), force: false });
    assert_eq!(answer.status, 201, "{answer:?}");
    world.run(10);
    let p = shown_pod(&world);
    assert_eq!(
        (&p["environment"], &p["labels"]),
        (&json!({ "TIER": "prod", "LOG": "debug" }), &json!({ "team": "g" }))
    );
    assert_eq!(
        (&p["containers"][0]["resources"]["cpus"], &p["containers"][1]["resources"]["cpus"]),
        (&json!(0.25), &json!(0.1))
    );
    let rule = json!({ "fieldName": "hostname", "operator": "UNLIKE", "value": "host-0" });
    assert_eq!(
        p["inherited"],
        json!({ "environment": { "TIER": "prod" }, "labels": { "team": "g" },
            "scheduling": { "maxFailures": 3, "placement": { "constraints": [rule] } },
            "containers": [{ "name": "a", "resources": { "cpus": 0.25 } }] })
    );
    // all of it acts
    let instance = world.machine().instances_of("/g/p").next().expect("it runs").clone();
    assert_eq!(instance.host, "host-1");
    let info = world.info(&format!("{}.a.1", instance.id));
    let variables = &info.command.as_ref().unwrap().environment.as_ref().unwrap().variables;
    let value = |name: &str| variables.iter().find(|v| v.name == name).and_then(|v| v.value.as_deref());
    assert_eq!(
        (value("TIER"), value("LOG"), value("MARATHON_APP_LABEL_TEAM")),
        (Some("prod"), Some("debug"), Some("g"))
    );
    assert_eq!(value("MARATHON_CONTAINER_RESOURCE_CPUS"), Some("0.25"));
    // sent back as it is shown, nothing changes
    let again = Command::UpdatePod { id: "/g/p".into(), pod: p.as_object().unwrap().clone(), force: false };
    assert_eq!(world.command(again).status, 200);
    world.run(5);
    assert_eq!(world.machine().instances_of("/g/p").next().unwrap().id, instance.id);
    // another default, which only one container has
    let said = json!({ "defaults": { "env": { "TIER": "test" }, "cpus": 0.5 } });
    assert_eq!(world.command(group("/g", said)).status, 200);
    world.run(30);
    let p = shown_pod(&world);
    assert_eq!(p["environment"], json!({ "TIER": "test", "LOG": "debug" }));
    assert_eq!(
        (&p["containers"][0]["resources"]["cpus"], &p["containers"][1]["resources"]["cpus"]),
        (&json!(0.5), &json!(0.1))
    );
    assert!(p["scheduling"]["placement"].get("constraints").is_none() && p.get("labels").is_none(), "{p}");
    assert!(world.machine().instances_of("/g/p").all(|i| i.id != instance.id));
    world.restart();
    // a rule alone replaces nothing
    let stays = world.machine().instances_of("/g/p").next().unwrap().id.clone();
    let said = json!({ "defaults": { "env": { "TIER": "test" }, "cpus": 0.5, "maxFailures": 5 } });
    assert_eq!(world.command(group("/g", said)).status, 200);
    world.run(10);
    assert_eq!(shown_pod(&world)["scheduling"]["maxFailures"], 5);
    assert_eq!(world.machine().instances_of("/g/p").next().unwrap().id, stays);
    // and none
    assert_eq!(world.command(group("/g", json!({ "defaults": {} }))).status, 200);
    world.run(30);
    let p = shown_pod(&world);
    assert_eq!(
        (&p["environment"], &p["containers"][0]["resources"]["cpus"], p.get("inherited")),
        (&json!({ "LOG": "debug" }), &json!(1), None)
    );
    assert_eq!((world.tasks(), world.machine().deployments().len()), (2, 0));
}

fn shown_pod(world: &World) -> Value {
    (*world.machine().pod("/g/p").unwrap().app).clone()
}

#[test]
fn an_earlier_version_runs_again_whatever_its_group_says_by_now() {
    let mut world = World::new(2);
    let said = |tier: &str| json!({ "defaults": { "env": { "E": tier, "SAME": "1" } } });
    let mut tree = said("one");
    tree["id"] = "/d".into();
    tree["apps"] = json!([{ "id": "a", "cmd": "x" }]);
    assert_eq!(world.command(group("/", tree)).status, 200);
    world.run(10);
    let first = shown(&world, "/d/a");
    world.command(group("/d", said("two")));
    world.run(20);
    let back = |version: &Value| update("/d/a", json!({ "version": version }), false);
    assert_eq!(world.command(back(&first["version"])).status, 200);
    world.run(20);
    let again = shown(&world, "/d/a");
    assert_eq!(again["env"], json!({ "E": "one", "SAME": "1" }), "it runs as it did");
    assert_eq!(again.get("inherited"), None, "and what its group does not say any more is its own");
    let task = world.task_ids();
    assert_eq!(world.command(update("/d/a", json!({ "instances": 2 }), false)).status, 200);
    world.run(10);
    assert_eq!(shown(&world, "/d/a")["env"], again["env"]);
    assert!(task.iter().all(|task| world.task_ids().contains(task)), "to be scaled ends nothing");
    // what the group says again is inherited again
    world.command(group("/d", said("one")));
    world.run(20);
    let third = world.machine().app("/d/a").unwrap().versions.keys().next().cloned().unwrap();
    assert_eq!(world.command(back(&json!(third))).status, 200);
    world.run(20);
    assert_eq!(shown(&world, "/d/a")["inherited"]["env"], json!({ "E": "one", "SAME": "1" }));
}

#[test]
fn what_is_cancelled_is_taken_from_apps_that_came_meanwhile_too() {
    let mut world = World::new(1);
    let said = |tier: &str| {
        json!({ "id": "/d", "defaults": { "env": { "E": tier } },
        "apps": [{ "id": "a", "cmd": "x", "constraints": [["hostname", "LIKE", "nowhere"]] }] })
    };
    world.command(group("/", json!({ "id": "/d", "defaults": { "env": { "E": "1" } } })));
    let changed = world.command(group("/", said("2")));
    assert_eq!(changed.status, 200);
    let deployment = world.json(&changed)["deploymentId"].as_str().unwrap().to_owned();
    assert_eq!(world.command(create("/d/new", json!({}))).status, 201);
    world.run(10);
    assert_eq!(shown(&world, "/d/new")["env"]["E"], "2");
    let cancel = Command::CancelDeployment { id: deployment, force: false };
    assert_eq!(world.command(cancel).status, 200);
    world.run(20);
    assert_eq!(world.machine().group("/d").unwrap().defaults["env"]["E"], "1");
    let new = shown(&world, "/d/new");
    assert_eq!((&new["env"]["E"], &new["inherited"]["env"]["E"]), (&json!("1"), &json!("1")));
}

#[test]
fn what_no_group_can_say_is_refused_where_it_is_said() {
    for (defaults, place) in [
        (json!({ "instances": 3 }), "/defaults/instances"),
        (json!({ "bogus": 1 }), "/defaults/bogus"),
        (json!({ "env": { "": "x" } }), "/defaults/env()"),
        (json!({ "env": { "A": { "secret": "x" } } }), "/defaults/env(A)"),
    ] {
        let tree = json!({ "id": "/g", "defaults": defaults });
        let (status, body) = api::marathon::group_update(tree.as_object().unwrap().clone(), "/").unwrap_err();
        assert!(status == 422 && body.contains(place), "{place}: {status} {body}");
    }
}
