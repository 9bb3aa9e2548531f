//! Apps that grow and shrink with what is asked of them.

use super::{World, create, update};
use crate::{Command, Embed, autoscale::Load};
use serde_json::{Value, json};

fn scaled(more: Value) -> Command {
    let mut autoscale = json!({ "minInstances": 1, "maxInstances": 6, "cooldownSeconds": 30 });
    more.as_object().unwrap().iter().for_each(|(key, value)| autoscale[key] = value.clone());
    create("/a", json!({ "autoscale": autoscale, "cpus": 0.5, "mem": 64 }))
}

fn report(world: &mut World, requests: f64) -> u16 {
    let load = Load { requests: Some(requests), ..Load::default() };
    world.command(Command::ReportLoad { id: "/a".into(), load }).status
}

fn info(world: &World) -> Value {
    world.machine().app_info("/a", Embed::default(), world.now()).unwrap()["autoscaling"].clone()
}

#[test]
fn it_follows_what_is_reported_within_its_bounds_and_cools_down() {
    let mut world = World::new(2);
    world.listen();
    world.command(scaled(json!({ "requests": 100 })));
    world.run(35);
    assert_eq!(world.running("/a"), 1);
    assert_eq!(report(&mut world, 370.0), 200);
    world.run(5);
    assert_eq!((world.running("/a"), world.machine().deployments().len()), (4, 0));
    let event = world.said.iter().find(|(kind, _)| kind == "app_autoscaled_event").unwrap().1.clone();
    assert_eq!(
        (&event["from"], &event["to"], &event["load"]["requests"]),
        (&json!(1), &json!(4), &json!(370.0))
    );
    assert!(event["reason"].as_str().unwrap().contains("requests 370.00, 100.00 is right"), "{event}");
    // it would shrink at once, but cools down
    report(&mut world, 10.0);
    world.run(10);
    assert_eq!(world.running("/a"), 4);
    assert!(info(&world)["held"].as_str().unwrap().contains("it cools down until"), "{}", info(&world));
    world.restart();
    assert_eq!(info(&world)["last"], without(&event), "what was decided is known");
    report(&mut world, 10.0);
    world.run(5);
    assert_eq!(world.running("/a"), 4, "also over a restart");
    assert!(info(&world)["held"].as_str().unwrap().contains("it cools down until"), "{}", info(&world));
    world.run(30);
    assert_eq!(world.running("/a"), 1);
    report(&mut world, 1e9);
    world.run(40);
    assert_eq!(world.running("/a"), 6);
    assert_eq!(info(&world)["last"]["to"], 6);
    // what was reported long ago says nothing
    world.run(120);
    assert_eq!((world.running("/a"), info(&world)["load"].clone()), (6, json!({})));
    // bounds are kept at once, whoever sets what
    let bounds = json!({ "minInstances": 2, "maxInstances": 3, "requests": 100 });
    let before: Vec<_> = world.machine().instances().map(|i| i.id.clone()).collect();
    world.command(update("/a", json!({ "autoscale": bounds }), false));
    world.run(15);
    assert_eq!(world.running("/a"), 3);
    assert!(world.machine().instances().all(|i| before.contains(&i.id)), "a rule replaces nothing");
    // without a rule there is nothing to report for
    let whole = crate::AppUpdate {
        id: "/a".into(),
        fields: super::app("/a", json!({ "instances": 2 })),
        partial: false,
    };
    world.command(Command::UpdateApps { updates: vec![whole], force: true, create: true, single: true });
    world.run(30);
    assert_eq!((report(&mut world, 1.0), info(&world)), (409, Value::Null));
    assert!(world.keys().iter().all(|key| !key.starts_with("scaled")), "{:?}", world.keys());
}

/// A decision as it is kept, from its event.
fn without(event: &Value) -> Value {
    let mut said = event.clone();
    for name in ["eventType", "timestamp"] {
        said.as_object_mut().unwrap().remove(name);
    }
    said
}

#[test]
fn what_is_known_of_an_app_goes_with_it() {
    for restart in [false, true] {
        let mut world = World::new(2);
        world.command(scaled(json!({ "requests": 100, "cooldownSeconds": 0 })));
        world.run(5);
        report(&mut world, 370.0);
        world.run(5);
        assert!(world.keys().contains(&"scaled/a".to_owned()));
        world.command(Command::DeleteApp { id: "/a".into(), force: true });
        if restart {
            world.restart();
        }
        world.run(20);
        assert!(!world.keys().contains(&"scaled/a".to_owned()), "{restart}");
    }
}

#[test]
fn it_follows_what_agents_measure() {
    let mut world = World::new(2);
    world.command(scaled(json!({ "cpu": 0.5, "mem": 0.9 })));
    world.run(35);
    world.burn = 0.9;
    world.run(20);
    // 0.9 of 0.5 cpus at one instance: 1.8 times what is right... of each
    assert_eq!(world.running("/a"), 4, "{}", info(&world));
    assert!(
        info(&world)["last"]["reason"].as_str().unwrap().contains("cpu 1.80, 0.50 is right"),
        "{}",
        info(&world)
    );
    world.burn = 0.01;
    world.run(60);
    assert_eq!(world.running("/a"), 1, "{}", info(&world));
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    for (autoscale, more) in [
        (json!({ "minInstances": 3, "maxInstances": 2, "cpu": 0.5 }), json!({})),
        (json!({ "minInstances": 1, "maxInstances": 2 }), json!({})),
        (json!({ "minInstances": 0, "maxInstances": 2, "cpu": 0.5 }), json!({})),
        (json!({ "maxInstances": 2, "cpu": 0.5 }), json!({ "runOnce": true })),
        (json!({ "maxInstances": 2, "cpu": 0.5 }), json!({ "instances": "every" })),
        (json!({ "maxInstances": 2, "cpu": -1 }), json!({})),
    ] {
        let mut world = World::new(1);
        let mut app = more.clone();
        app["autoscale"] = autoscale.clone();
        assert_eq!(world.command(create("/a", app)).status, 422, "{autoscale} {more}");
    }
}

#[test]
fn a_new_release_that_does_not_say_how_many_keeps_how_many_there_are() {
    let mut world = World::new(3);
    world.command(scaled(json!({ "requests": 100 })));
    world.run(35);
    assert_eq!(report(&mut world, 490.0), 200);
    world.run(5);
    assert_eq!(world.running("/a"), 5);
    let definition = json!({ "cmd": "x", "cpus": 0.5, "mem": 64, "env": { "RELEASE": "2" },
        "autoscale": { "minInstances": 1, "maxInstances": 6, "requests": 100, "cooldownSeconds": 30 } });
    let whole = |fields: &Value| {
        let fields = fields.as_object().unwrap().clone();
        let update = crate::AppUpdate { id: "/a".into(), fields, partial: false };
        Command::UpdateApps { updates: vec![update], force: false, create: true, single: true }
    };
    assert_eq!(world.command(whole(&definition)).status, 200);
    world.each_step(60, |machine| {
        let tally = machine.tally("/a");
        assert!(tally.running >= 5, "the load is there all the time: {tally:?}");
    });
    assert_eq!(world.running("/a"), 5);
    let mut tree = definition.clone();
    (tree["id"], tree["env"]["RELEASE"]) = ("/a".into(), "3".into());
    let tree = json!({ "id": "/", "apps": [tree] });
    let group = api::marathon::group_update(tree.as_object().unwrap().clone(), "/").unwrap();
    let put = Command::PutGroup { base: "/".into(), update: group, force: false, create: false };
    assert_eq!(world.command(put).status, 200);
    world.run(60);
    assert_eq!(world.running("/a"), 5, "in a group too");
    let first = world.machine().app("/a").unwrap().versions.keys().next().cloned().unwrap();
    assert_eq!(world.command(update("/a", json!({ "version": first }), false)).status, 200);
    world.run(60);
    assert_eq!(world.running("/a"), 5, "the first release with the count of now");
    // who says how many is taken at the word
    let mut fewer = definition;
    fewer["instances"] = 2.into();
    assert_eq!(world.command(whole(&fewer)).status, 200);
    world.run(5);
    assert_eq!(world.machine().app("/a").unwrap().spec.instances, 2);
}

/// Twelve processors, of which each instance takes nearly two.
fn crowded(more: Value) -> World {
    let mut world = World::new(3);
    world.command(create(
        "/full",
        json!({ "instances": 3, "cpus": 4, "constraints": [["hostname", "UNIQUE"]] }),
    ));
    world.run(5);
    let mut app = json!({ "cpus": 1.9, "mem": 64,
        "upgradeStrategy": { "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0 },
        "autoscale": { "minInstances": 1, "maxInstances": 20, "requests": 10, "cooldownSeconds": 10 } });
    more.as_object().unwrap().iter().for_each(|(key, value)| app[key] = value.clone());
    world.command(create("/a", app));
    world.run(15);
    report(&mut world, 150.0);
    world.run(5);
    assert_eq!((world.machine().app("/a").unwrap().spec.instances, world.running("/a")), (15, 6));
    world
}

#[test]
fn what_it_could_not_get_locks_nobody_out() {
    // itself
    let mut world = crowded(json!({}));
    world.run(10);
    report(&mut world, 5.0);
    world.run(10);
    assert_eq!((world.running("/a"), world.machine().deployments().len()), (1, 0), "{}", info(&world));
    // a user, who does not wait for what nobody gets either
    for restart in [false, true] {
        let mut world = crowded(json!({}));
        if restart {
            world.restart();
        }
        world.listen();
        assert_eq!(world.command(update("/a", json!({ "env": { "RELEASE": "2" } }), false)).status, 200);
        assert_eq!(world.machine().app("/a").unwrap().spec.instances, 6, "{restart}");
        let config = world.machine().app("/a").unwrap().spec.config_version.clone();
        world.run(9);
        assert!(world.machine().instances_of("/a").all(|i| i.config == config));
        assert_eq!((world.running("/a"), world.machine().deployments().len()), (6, 0));
        assert!(world.machine().ended.is_empty(), "nothing that a user did has failed");
        report(&mut world, 150.0);
        world.run(20);
        assert_eq!(world.machine().app("/a").unwrap().spec.instances, 15, "it goes on where it was");
        // it changes nothing for nothing
        let version = world.machine().app("/a").unwrap().spec.version.clone();
        assert_eq!(world.command(update("/a", json!({ "cpus": 1.9 }), false)).status, 200);
        assert_eq!(world.machine().app("/a").unwrap().spec.version, version);
        // who waits in line need not
        world.how = crate::How { queue: true, ..crate::How::default() };
        assert_eq!(world.command(update("/a", json!({ "instances": 3 }), false)).status, 200);
        world.how = crate::How::default();
        world.run(5);
        assert_eq!(world.running("/a"), 3);
    }
}

#[test]
fn bounds_of_the_app_do_not_hold_for_its_own_scaling() {
    let mut world = crowded(json!({ "deploymentTimeoutSeconds": 3, "onFailure": "rollback" }));
    world.each_step(40, |machine| {
        assert!(machine.tally("/a").running >= 6, "the load is at its highest");
    });
    assert_eq!(world.machine().app("/a").unwrap().spec.instances, 15);
}

#[test]
fn what_is_measured_is_of_those_that_run() {
    let mut world = World::new(3);
    world.command(create(
        "/full",
        json!({ "instances": 3, "cpus": 4, "constraints": [["hostname", "UNIQUE"]] }),
    ));
    world.run(5);
    world.command(create(
        "/a",
        json!({ "cpus": 1.9, "mem": 64,
        "autoscale": { "maxInstances": 40, "cpu": 0.5, "cooldownSeconds": 5 } }),
    ));
    world.run(15);
    world.burn = 1.85;
    world.run(120);
    // twice what is right at each of six
    assert_eq!((world.running("/a"), world.machine().app("/a").unwrap().spec.instances), (6, 12));
}
