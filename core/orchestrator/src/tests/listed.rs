//! Lists that keep what was written: whatever happens, what is kept is what would be written.

use super::{World, create, update};
use crate::{Command, Embed, Stamp};
use serde_json::json;
use std::{collections::BTreeMap, ops::Bound};

/// By app: what it was made of, and its text.
type Kept = BTreeMap<String, (Option<Stamp>, String)>;

const EMBEDS: [&[&str]; 4] = [&[], &["apps.tasks", "apps.counts"], &["apps.failures"], &["apps.deployments"]];

fn look(world: &World, embed: Embed) -> Kept {
    let machine = world.machine();
    let one = |app: crate::Listed<'_>| {
        let mut text = Vec::new();
        machine.outline(app, embed, world.now()).write(&mut text);
        (app.id.clone(), (machine.stamp(app, embed), String::from_utf8(text).unwrap()))
    };
    machine.listed(Bound::Unbounded).map(one).collect()
}

/// How many of the apps look as they did, of those that a list may keep.
fn check(world: &World, kept: &[Kept]) -> Vec<usize> {
    let mut still = Vec::new();
    for (names, kept) in EMBEDS.iter().zip(kept) {
        let embed = Embed::of(names.iter().copied());
        let now = look(world, embed);
        let mut same = 0;
        for app in world.machine().listed(Bound::Unbounded) {
            let Some((Some(stamp), text)) = kept.get(app.id) else { continue };
            if world.machine().is_still(app, embed, stamp) {
                assert_eq!(Some(text), now.get(app.id).map(|(_, text)| text), "{} {names:?}", app.id);
                same += 1;
            }
        }
        still.push(same);
    }
    still
}

#[test]
fn what_is_kept_of_a_list_is_what_would_be_written() {
    let mut world = World::new(3);
    world.well = true;
    let checks = json!([{ "protocol": "HTTP", "portIndex": 0, "intervalSeconds": 1 }]);
    for (id, more) in [
        ("/a", json!({ "instances": 3 })),
        ("/g/b", json!({ "instances": 2, "healthChecks": checks })),
        ("/none", json!({ "instances": 0 })),
        ("/still", json!({ "instances": 1 })),
    ] {
        assert_eq!(world.command(create(id, more)).status, 201);
    }
    world.run(10);
    let keep = |world: &World| EMBEDS.map(|names| look(world, Embed::of(names.iter().copied())));
    let mut kept = keep(&world);
    assert_eq!(check(&world, &kept), [4; 4], "nothing has happened");
    let task = |world: &World, app: &str| world.machine().instances_of(app).next().unwrap().task.clone();
    type Act = fn(&mut World, String);
    let acts: [(&str, Act); 9] = [
        ("/a", |world, task| world.fail(&task)),
        ("/a", |world, task| world.unreachable(&task)),
        ("/a", |world, task| world.back(&task)),
        ("/a", |world, _| drop(world.command(update("/a", json!({ "instances": 1 }), true)))),
        ("/a", |world, _| drop(world.command(update("/a", json!({ "cmd": "other" }), true)))),
        ("/g/b", |world, task| assert!(world.sick.insert(task))),
        ("/g/b", |world, _| drop(world.command(update("/g/b", json!({ "cpus": 500.0 }), true)))),
        ("/none", |world, _| drop(world.command(update("/none", json!({ "instances": 1 }), true)))),
        ("/a", |world, _| drop(world.command(Command::DeleteApp { id: "/a".into(), force: true }))),
    ];
    for (app, act) in acts {
        // an app without instances yet has none that it is done to
        let task = if app == "/none" { String::new() } else { task(&world, app) };
        act(&mut world, task);
        check(&world, &kept);
        for _ in 0..8 {
            let before = keep(&world);
            world.run(1);
            let still = check(&world, &before);
            assert!(still.iter().all(|same| *same >= 1), "{still:?}: what nothing happens to is kept");
            check(&world, &kept);
        }
        kept = keep(&world);
    }
    world.restart();
    world.run(5);
    check(&world, &keep(&world));
    assert!(world.machine().app("/a").is_none());
}
