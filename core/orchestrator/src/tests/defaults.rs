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
