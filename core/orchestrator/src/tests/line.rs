//! Changes that line up behind a lock, and clients that come back for the events that they missed.

use super::{World, create, update};
use crate::{Command, How};
use serde_json::{Value, json};

fn queue(world: &mut World, command: Command) -> (u16, Value) {
    world.how = How { queue: true, ..How::default() };
    let answer = world.command(command);
    world.how = How::default();
    let body = world.json(&answer);
    (answer.status, body)
}

/// An app whose deployment waits for room.
fn stuck(world: &mut World) {
    world.command(create("/a", json!({ "cpus": 100.0 })));
    world.run(2);
}

#[test]
fn queued_changes_merge_wait_their_turn_and_survive_a_restart() {
    for restart in [false, true] {
        let mut world = World::new(2);
        stuck(&mut world);
        assert_eq!(world.command(update("/a", json!({ "cpus": 0.1 }), false)).status, 409);
        let (status, first) = queue(&mut world, update("/a", json!({ "cpus": 0.1 }), false));
        assert_eq!((status, &first["queued"]), (202, &json!(true)));
        let (_, second) = queue(&mut world, update("/a", json!({ "mem": 17 }), false));
        assert_eq!(first["deploymentId"], second["deploymentId"], "two changes of one app are one");
        let wrong = queue(&mut world, update("/a", json!({ "cpus": -1 }), false));
        assert_eq!(wrong.0, 422, "what is wrong is said at once");
        let shown = world.machine().deployments_info();
        assert_eq!(shown.as_array().unwrap().len(), 2);
        assert_eq!((&shown[1]["state"], &shown[1]["affectedApps"]), (&json!("queued"), &json!(["/a"])));
        assert_eq!(shown[1]["behind"], json!([shown[0]["id"]]));
        if restart {
            world.restart();
        }
        world.run(5);
        assert_eq!(world.machine().deployments_info().as_array().unwrap().len(), 2, "it waits");
        let ahead = world.machine().deployments()[0].id.clone();
        world.listen();
        world.command(Command::CancelDeployment { id: ahead, force: true });
        assert_eq!(
            world.machine().deployments()[0].id,
            first["deploymentId"],
            "with the id that was promised"
        );
        world.run(20);
        let spec = world.machine().app("/a").unwrap().spec.clone();
        assert_eq!((spec.cpus, spec.mem), (0.1, 17.0));
        assert_eq!((world.running("/a"), world.machine().deployments().len()), (1, 0));
        assert!(!world.keys().iter().any(|key| key.starts_with("line/")), "{:?}", world.keys());
        let posts = world.said.iter().filter(|(kind, _)| kind == "api_post_event").count();
        assert_eq!(posts, 0, "told when they came, and not again");
    }
}

#[test]
fn who_comes_first_goes_first_also_where_only_part_of_it_is_locked() {
    let mut world = World::new(2);
    world.command(create("/b", json!({})));
    stuck(&mut world);
    let both = |cmd: &str| {
        let one = |id: &str| crate::AppUpdate {
            id: id.into(),
            fields: json!({ "cmd": cmd, "cpus": 0.1 }).as_object().unwrap().clone(),
            partial: true,
        };
        Command::UpdateApps {
            updates: vec![one("/a"), one("/b")],
            force: false,
            create: false,
            single: false,
        }
    };
    let (_, first) = queue(&mut world, both("one"));
    let (status, second) = queue(&mut world, update("/b", json!({ "cmd": "two" }), false));
    assert_eq!(status, 202, "/b is free, but somebody waits for it");
    assert_ne!(first["deploymentId"], second["deploymentId"]);
    let (_, gone) = queue(&mut world, Command::RestartApp { id: "/a".into(), force: false });
    let gone = gone["deploymentId"].as_str().unwrap().to_owned();
    assert_eq!(world.command(Command::CancelDeployment { id: gone.clone(), force: false }).status, 202);
    assert_eq!(world.machine().deployment_named(&gone).unwrap()["state"], "cancelled");
    let ahead = world.machine().deployments()[0].id.clone();
    world.command(Command::CancelDeployment { id: ahead, force: true });
    world.run(30);
    let cmd = |world: &World, id: &str| world.machine().app(id).unwrap().spec.cmd.clone().unwrap();
    assert_eq!((cmd(&world, "/a").as_str(), cmd(&world, "/b").as_str()), ("one", "two"));
    assert_eq!((world.running("/a"), world.running("/b"), world.machine().deployments().len()), (1, 1, 0));
}

#[test]
fn a_delete_replaces_all_that_waits_for_its_app() {
    let mut world = World::new(2);
    stuck(&mut world);
    let (_, first) = queue(&mut world, update("/a", json!({ "cpus": 0.1 }), false));
    let (_, second) = queue(&mut world, Command::RestartApp { id: "/a".into(), force: false });
    let (_, last) = queue(&mut world, Command::DeleteApp { id: "/a".into(), force: false });
    assert_eq!(second["deploymentId"], last["deploymentId"], "it goes into the one that waited last");
    let gone = world.machine().deployment_named(first["deploymentId"].as_str().unwrap()).unwrap();
    assert_eq!(gone["state"], "cancelled");
    assert!(gone["reason"].as_str().unwrap().contains("removes its app"), "{gone}");
    assert_eq!(world.machine().deployments_info().as_array().unwrap().len(), 2);
    let ahead = world.machine().deployments()[0].id.clone();
    world.command(Command::CancelDeployment { id: ahead, force: true });
    world.run(10);
    assert!(world.machine().app("/a").is_none() && !world.keys().iter().any(|key| key.starts_with("line/")));
}

#[test]
fn what_is_wrong_when_its_turn_comes_is_told() {
    let mut world = World::new(2);
    world.command(create("/b", json!({})));
    world.run(5);
    stuck(&mut world);
    let needs = |id: &str, on: &str| update(id, json!({ "cpus": 0.1, "dependencies": [on] }), false);
    let (status, queued) = queue(&mut world, needs("/a", "/b"));
    assert_eq!(status, 202);
    world.listen();
    // meanwhile it is the other way round
    assert_eq!(world.command(needs("/b", "/a")).status, 200);
    free(&mut world);
    let id = queued["deploymentId"].as_str().unwrap();
    let ended = world.machine().deployment_named(id).unwrap();
    assert_eq!(ended["state"], "failed");
    let failed = world.said.iter().rfind(|(kind, _)| kind == "deployment_failed").unwrap();
    assert_eq!(failed.1["id"], id);
    assert!(failed.1["reason"].as_str().unwrap().contains("cyclic"), "{failed:?}");
}

/// Whoever is first leaves what it has locked.
fn free(world: &mut World) {
    let ahead = world.machine().deployments()[0].id.clone();
    assert_eq!(world.command(Command::CancelDeployment { id: ahead, force: true }).status, 202);
    world.run(20);
}

fn app(world: &World) -> Value {
    (*world.machine().app("/a").unwrap().app).clone()
}

#[test]
fn what_is_wrong_is_refused_whoever_was_locked_out_before() {
    let mut world = World::new(2);
    stuck(&mut world);
    assert_eq!(world.command(update("/a", json!({ "mem": 17 }), false)).status, 409);
    let (status, body) = queue(&mut world, update("/z", json!({ "cmd": "x", "cpus": -1 }), false));
    assert_eq!(status, 422, "{body}");
    let (status, _) = queue(&mut world, Command::DeleteApp { id: "/z".into(), force: false });
    assert_eq!(status, 404);
    assert_eq!(world.machine().deployments_info().as_array().unwrap().len(), 1, "nobody waits");
}

#[test]
fn changes_that_become_one_are_all_there_whatever_form_they_have() {
    let mut world = World::new(2);
    stuck(&mut world);
    let fetch = json!({ "fetch": [{ "uri": "http://x/y" }], "cpus": 0.1 });
    let parts = [
        fetch,
        json!({ "uris": ["http://x/z"] }),
        json!({ "instances": 2 }),
        json!({ "portDefinitions": [{ "port": 0, "name": "p" }] }),
        json!({ "ports": [0, 0] }),
        json!({ "cpus": 0.2 }),
    ];
    let ids: Vec<_> = parts
        .into_iter()
        .map(|part| queue(&mut world, update("/a", part, false)))
        .map(|(status, body)| (status, body["deploymentId"].clone()))
        .collect();
    assert!(ids.iter().all(|id| id.0 == 202 && *id == ids[0]), "{ids:?}");
    // checked as what they will be together: each alone, and with what waits
    let (status, _) = queue(&mut world, update("/a", json!({ "labels": { "a": 1 } }), false));
    assert_eq!(status, 422);
    let docker = json!({ "container": { "type": "DOCKER", "docker": { "image": "x" } } });
    assert_eq!(queue(&mut world, update("/a", docker, false)).0, 202);
    let mapped = json!({ "container": { "type": "DOCKER", "docker": { "image": "x" }, "portMappings": [{ "containerPort": 1 }] } });
    assert_eq!(queue(&mut world, update("/a", mapped, false)).0, 202);
    // what goes back to what is there now is a word too
    assert_eq!(queue(&mut world, update("/a", json!({ "mem": 64 }), false)).0, 202);
    let mem = app(&world)["mem"].clone();
    assert_eq!(queue(&mut world, update("/a", json!({ "mem": mem }), false)).0, 202);
    free(&mut world);
    let app = app(&world);
    assert_eq!((&app["cpus"], &app["instances"], &app["mem"]), (&json!(0.2), &json!(2), &mem));
    assert_eq!(app["fetch"][0]["uri"], "http://x/z");
    assert_eq!(app["portDefinitions"].as_array().map(Vec::len), Some(2), "{app}");
    assert!(!world.keys().iter().any(|key| key.starts_with("line/")), "{:?}", world.keys());
}

fn whole(id: &str, fields: Value) -> Command {
    let fields = fields.as_object().unwrap().clone();
    let updates = vec![crate::AppUpdate { id: id.into(), fields, partial: false }];
    Command::UpdateApps { updates, force: false, create: true, single: true }
}

#[test]
fn nothing_that_waits_brings_back_what_is_removed() {
    let group = |id: &str| Command::DeleteGroup { id: id.into(), force: true };
    let app = |id: &str| Command::DeleteApp { id: id.into(), force: true };
    let tree = |tree: Value| {
        let update = api::marathon::group_update(tree.as_object().unwrap().clone(), "/g").expect("right");
        Command::PutGroup { base: "/g".into(), update, force: true, create: false }
    };
    for by in [app("/g/a"), group("/g"), tree(json!({ "apps": [{ "id": "b", "cmd": "x" }] }))] {
        let mut world = World::new(2);
        world.command(create("/g/a", json!({ "cpus": 100.0 })));
        world.run(2);
        let again = json!({ "cmd": "x", "cpus": 0.1, "mem": 16 });
        let (status, queued) = queue(&mut world, whole("/g/a", again));
        assert_eq!(status, 202);
        assert_eq!(world.command(by.clone()).status, 200);
        let ended = world.machine().deployment_named(queued["deploymentId"].as_str().unwrap()).unwrap();
        assert_eq!(ended["state"], "cancelled", "{by:?}");
        for restart in [false, true] {
            if restart {
                world.restart();
            }
            world.run(20);
            assert!(world.machine().app("/g/a").is_none(), "{by:?}");
        }
    }
}

#[test]
fn the_later_word_holds_over_what_waits() {
    let part = |fields: Value| update("/a", fields, true);
    let old = json!({ "cmd": "old", "cpus": 0.1, "mem": 16, "instances": 3 });
    let new = |fields: Value| match whole("/a", fields) {
        Command::UpdateApps { updates, create, single, .. } => {
            Command::UpdateApps { updates, force: true, create, single }
        }
        _ => unreachable!(),
    };
    // a whole definition leaves nothing of it
    let mut world = World::new(2);
    stuck(&mut world);
    let (_, queued) = queue(&mut world, whole("/a", old.clone()));
    assert_eq!(world.command(new(json!({ "cmd": "new", "cpus": 0.1, "mem": 16 }))).status, 200);
    let ended = world.machine().deployment_named(queued["deploymentId"].as_str().unwrap()).unwrap();
    assert_eq!(ended["state"], "cancelled");
    assert!(ended["reason"].as_str().unwrap().contains("went ahead"), "{ended}");
    world.run(20);
    assert_eq!((&app(&world)["cmd"], &app(&world)["instances"]), (&json!("new"), &json!(1)));
    // a partial one holds for what it says; a restart and a kill say nothing
    let mut world = World::new(2);
    stuck(&mut world);
    let (_, queued) = queue(&mut world, whole("/a", old));
    assert_eq!(world.command(part(json!({ "instances": 2 }))).status, 200);
    assert_eq!(world.command(Command::RestartApp { id: "/a".into(), force: true }).status, 200);
    world.restart();
    free(&mut world);
    assert_eq!((&app(&world)["cmd"], &app(&world)["instances"]), (&json!("old"), &json!(2)));
    assert!(
        world.machine().deployment_named(queued["deploymentId"].as_str().unwrap()).is_none(),
        "it is done"
    );
    // a delete that waits does not take what was said since
    let mut world = World::new(2);
    stuck(&mut world);
    assert_eq!(queue(&mut world, Command::DeleteApp { id: "/a".into(), force: false }).0, 202);
    assert_eq!(world.command(part(json!({ "cpus": 0.1 }))).status, 200);
    world.run(20);
    assert_eq!((world.running("/a"), world.machine().deployments().len()), (1, 0));
}

#[test]
fn a_client_that_comes_back_misses_nothing() {
    let mut world = World::new(1);
    let stream = world.listen();
    world.command(create("/a", json!({})));
    world.run(5);
    assert!(world.ids.iter().all(Option::is_some));
    let heard = world.ids.len();
    let last = world.ids[heard - 1].clone();
    world.hang_up(stream);
    world.command(update("/a", json!({ "instances": 2 }), false));
    world.run(5);
    assert_eq!(world.ids.len(), heard, "nobody listens");
    world.after = last.clone();
    let stream = world.listen();
    let missed: Vec<_> = world.said[heard..].iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!((missed[0], missed[missed.len() - 1]), ("event_stream_detached", "event_stream_attached"));
    assert!(missed.contains(&"deployment_info") && missed.contains(&"deployment_success"), "{missed:?}");
    let number =
        |id: &Option<String>| id.as_ref().unwrap().split_once('-').unwrap().1.parse::<u64>().unwrap();
    let numbers: Vec<_> = world.ids.iter().map(number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "without a gap: {numbers:?}");
    // after a long time alone, and after a restart, it is told that there is a gap
    world.hang_up(stream);
    for restart in [false, true] {
        if restart {
            world.restart();
        } else {
            world.run(700);
        }
        let heard = world.said.len();
        world.after = last.clone();
        let stream = world.listen();
        assert_eq!(world.said[heard].0, "events_lost");
        assert_eq!(world.said[heard].1["lastEventId"], last.clone().unwrap());
        world.hang_up(stream);
    }
}

#[test]
fn no_event_has_the_id_of_another_though_the_clock_goes_back() {
    let mut world = World::new(1);
    let begun = world.now();
    world.listen();
    world.command(create("/a", json!({})));
    world.run(5);
    let mut seen = std::collections::BTreeSet::new();
    // twice to the very instant at which the first began
    for _ in 0..3 {
        let new: Vec<_> = world.ids.drain(..).map(|id| id.expect("an id")).collect();
        let last = new.last().expect("events").clone();
        assert!(!new.is_empty() && new.into_iter().all(|id| seen.insert(id)), "an id twice");
        world.back_to(world.now().since(begun));
        world.after = Some(last.clone());
        world.listen();
        assert_eq!(world.said[world.said.len() - 2].0, "events_lost");
        assert_eq!(world.said[world.said.len() - 2].1["lastEventId"], last);
        assert_eq!(world.ids.remove(0), None, "a gap is no event of the world");
        world.run(5);
    }
}

#[test]
fn a_crash_when_its_turn_comes_runs_a_change_once() {
    let group = |tree: Value| {
        let update = api::marathon::group_update(tree.as_object().unwrap().clone(), "/g").unwrap();
        Command::PutGroup { base: "/g".into(), update, force: false, create: false }
    };
    let mut crashed = 0;
    for at in 0..16 {
        let mut world = World::new(2);
        world.checks = false;
        let app = |n: u64| json!({ "id": format!("a{n}"), "cmd": "x", "cpus": 0.001, "mem": 1 });
        let apps: Vec<_> = (0..60).map(app).collect();
        world.command(group(json!({ "apps": apps })));
        world.run(5);
        world.command(update("/g/a7", json!({ "constraints": [["hostname", "LIKE", "nowhere"]] }), false));
        let (status, said) = queue(&mut world, group(json!({ "scaleBy": 2 })));
        assert_eq!(status, 202, "{said}");
        let ahead = world.machine().deployments()[0].id.clone();
        let kills = at + 1;
        world.crash_after_saves(kills);
        let answer = world.try_command(Command::CancelDeployment { id: ahead.clone(), force: true });
        crashed += u64::from(answer.is_none());
        world.no_crash();
        if world.machine().deployments().iter().any(|deployment| deployment.id == ahead) {
            world.command(Command::CancelDeployment { id: ahead, force: true });
        }
        world.run(10);
        for n in (0..60).filter(|n| *n != 7) {
            let spec = world.machine().app(&format!("/g/a{n}")).unwrap().spec.clone();
            assert_eq!(spec.instances, 2, "{} after {at} saves", spec.id);
        }
        assert!(!world.keys().iter().any(|key| key.starts_with("line/")), "{at}: {:?}", world.keys());
    }
    assert!(crashed > 0, "none was in the midst of it");
}

#[test]
fn merged_changes_keep_what_each_of_them_asked_for() {
    use crate::terms::{OnFailure, Terms};
    let mut world = World::new(1);
    stuck(&mut world);
    let mut line_up = |terms: Terms, fields: Value| {
        world.how = How { queue: true, terms };
        let answer = world.command(update("/a", fields, false));
        world.how = How::default();
        assert_eq!(answer.status, 202);
    };
    let first = Terms { failures_max: Some(1), on_failure: Some(OnFailure::Rollback), ..Terms::default() };
    line_up(first, json!({ "cpus": 0.1 }));
    line_up(Terms { settle_s: Some(2), failures_max: Some(2), ..Terms::default() }, json!({ "mem": 17 }));
    line_up(Terms::default(), json!({ "mem": 18 }));
    let ahead = world.machine().deployments()[0].id.clone();
    world.command(Command::CancelDeployment { id: ahead, force: true });
    let terms = world.machine().deployments()[0].terms;
    let both = Terms { settle_s: Some(2), failures_max: Some(2), ..first };
    assert_eq!(terms, both, "what is said later holds, and the rest of what was said first");
}

#[test]
fn whoever_waits_in_front_is_named_too() {
    let mut world = World::new(2);
    world.command(create("/b", json!({})));
    stuck(&mut world);
    let part = |id: &str| crate::AppUpdate {
        id: id.into(),
        fields: json!({ "cpus": 0.1 }).as_object().unwrap().clone(),
        partial: true,
    };
    let both = Command::UpdateApps {
        updates: vec![part("/a"), part("/b")],
        force: false,
        create: false,
        single: false,
    };
    let (_, first) = queue(&mut world, both);
    // free itself, but a change that waits is to change it first
    let (status, _) = queue(&mut world, update("/b", json!({ "mem": 20 }), false));
    assert_eq!(status, 202);
    let shown = world.machine().deployments_info();
    assert_eq!(shown[2]["behind"], json!([first["deploymentId"]]));
}
