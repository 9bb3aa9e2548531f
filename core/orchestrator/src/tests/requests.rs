//! Requests that name one thing more than once, or take back what was said.

use super::{World, create, update};
use crate::Command;
use serde_json::json;

#[test]
fn the_same_app_twice_in_one_request_is_changed_twice() {
    let mut world = World::new(1);
    world.command(create("/a", json!({ "cpus": 0.05, "mem": 16 })));
    world.run(5);
    let part = |fields: serde_json::Value| crate::AppUpdate {
        id: "/a".into(),
        fields: fields.as_object().unwrap().clone(),
        partial: true,
    };
    let many = |updates| Command::UpdateApps { updates, force: false, create: true, single: false };
    let both = many(vec![part(json!({ "cpus": 0.06 })), part(json!({ "mem": 20 }))]);
    assert_eq!(world.command(both).status, 200);
    let app = world.machine().app("/a").unwrap().app.clone();
    assert_eq!((&app["cpus"], &app["mem"]), (&json!(0.06), &json!(20)));
    world.run(10);
    let version = world.machine().app("/a").unwrap().spec.version.clone();
    let there_and_back = many(vec![part(json!({ "mem": 30 })), part(json!({ "mem": 20 }))]);
    assert_eq!(world.command(there_and_back).status, 200);
    assert_eq!(world.machine().app("/a").unwrap().spec.version, version, "nothing changed");
}

#[test]
fn an_instance_that_is_named_twice_counts_once() {
    let mut world = World::new(1);
    world.command(create("/a", json!({ "instances": 4 })));
    world.run(5);
    let task = world.task_ids()[0].clone();
    let kill = Command::KillTasks {
        tasks: vec![task.clone(), task.clone(), task],
        scale: true,
        wipe: false,
        force: false,
        single: false,
    };
    assert_eq!(world.command(kill).status, 200);
    world.run(10);
    assert_eq!((world.machine().app("/a").unwrap().spec.instances, world.running("/a")), (3, 3));
}

#[test]
fn null_takes_an_addition_back() {
    let mut world = World::new(1);
    let bounds = json!({ "maxFailures": 1, "onFailure": "rollback", "deploymentTimeoutSeconds": 9, "settleSeconds": 1,
        "stagingTimeoutSeconds": 9, "preferences": [{ "field": "rack", "operator": "GROUP_BY" }],
        "autoscale": { "maxInstances": 3, "cpu": 0.5 } });
    assert_eq!(world.command(create("/a", bounds.clone())).status, 201);
    world.run(5);
    let task = world.task_ids();
    for field in bounds.as_object().unwrap().keys() {
        assert_eq!(world.command(update("/a", json!({ field: null }), false)).status, 200, "{field}");
        assert_eq!(world.machine().app("/a").unwrap().app.get(field), None, "{field}");
        world.run(5);
    }
    // of Marathon's fields null says nothing
    assert_eq!(world.command(update("/a", json!({ "cmd": null, "cpus": null }), false)).status, 200);
    let app = world.machine().app("/a").unwrap().app.clone();
    assert!(app["cmd"].is_string() && app["cpus"].is_number());
    assert_eq!(world.task_ids(), task, "no task was replaced");
}

#[test]
fn what_runs_once_leaves_nothing_behind_where_it_stays_and_the_other_way_round() {
    let mut world = World::new(1);
    let fields = |world: &World| {
        let app = world.machine().app("/a").unwrap().app.clone();
        (app.get("maxFailures").cloned(), app["unreachableStrategy"].clone())
    };
    let stays = (None, json!({ "inactiveAfterSeconds": 0, "expungeAfterSeconds": 0 }));
    let once = (Some(json!(0)), json!("disabled"));
    world.command(create("/a", json!({ "runOnce": true })));
    assert_eq!(fields(&world), once);
    world.command(update("/a", json!({ "runOnce": false }), true));
    assert_eq!(fields(&world), stays);
    world.command(update("/a", json!({ "runOnce": true }), true));
    assert_eq!(fields(&world), once);
    let own = json!({ "runOnce": false, "maxFailures": 0, "unreachableStrategy": "disabled" });
    world.command(update("/a", own, true));
    assert_eq!(fields(&world), once, "what is said is kept");
}

#[test]
fn a_definition_that_grows_too_large_is_refused_and_the_next_one_is_taken() {
    let mut world = World::new(1);
    let fetch = |count: usize| json!({ "fetch": vec![json!({ "uri": "http://a/b" }); count] });
    let refused = world.command(create("/a", fetch(300_000)));
    let said = world.json(&refused);
    assert!(refused.status == 422 && said.to_string().contains("DEFINITION_BYTES_MAX"), "{}", refused.status);
    assert_eq!(world.command(create("/a", fetch(1_000))).status, 201);
    assert_eq!(world.command(update("/a", fetch(300_000), true)).status, 422);
}
