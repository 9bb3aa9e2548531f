//! Requests that name one thing more than once.

use super::{World, create};
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
