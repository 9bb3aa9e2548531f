//! Definitions made from the tables of fields by seeds: no answer is an error of ours, everything that is wrong is named
//! with its path, and what is taken is kept, comes back in a form that is taken again as it is, and survives a restart.

mod surface;

use api::marathon::sample::{Kind, Sample, sample};
use base::Rng;
use orchestrator::Config;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use surface::{Said, Surface};

const ROUNDS: u64 = 800;
/// How many places of a right definition are made wrong, one at a time.
const PLACES: usize = 6;
/// What readers are told beside the definition.
const READ_ONLY: [&str; 9] = [
    "why",
    "version",
    "versionInfo",
    "deployments",
    "tasksStaged",
    "tasksRunning",
    "tasksHealthy",
    "tasksUnhealthy",
    "lastTaskFailure",
];
/// What these definitions may be answered with.
const ANSWERS: [u16; 6] = [200, 201, 400, 404, 409, 422];

/// Seeds: `SEEDS=20000-60000 cargo test --release -p mesolite-endpoints --test definitions` takes others.
fn rounds() -> std::ops::Range<u64> {
    let asked = std::env::var("SEEDS").ok().and_then(|s| {
        let (from, to) = s.split_once('-')?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    asked.unwrap_or(0..ROUNDS)
}

fn configs() -> [Config; 2] {
    let rich = Config {
        role: "dev".into(),
        default_network_name: Some("net".into()),
        features: ["secrets", "external_volumes", "gpu_resources"].map(str::to_owned).into(),
        ..Config::default()
    };
    [Config::default(), rich]
}

fn paths(said: &Said) -> BTreeSet<String> {
    let details = said.body["details"].as_array().expect("details");
    details.iter().map(|d| d["path"].as_str().expect("a path").to_owned()).collect()
}

fn definition(body: &Value) -> Map<String, Value> {
    let mut map = body.as_object().expect("a definition").clone();
    map.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
    map
}

/// A definition with one or two fields more than it needs is often right.
fn near(kind: Kind, rng: &mut Rng) -> Sample {
    let mut made = sample(kind, rng, 0.06, 0.0);
    if kind == Kind::App
        && let Some(map) = made.value.as_object_mut()
        && !map.contains_key("args")
        && !map.contains_key("container")
    {
        map.insert("cmd".into(), json!("sleep 1"));
    }
    made.value["id"] = json!("/sample");
    made
}

fn check_answer(said: &Said, sent: &Value) {
    assert!(ANSWERS.contains(&said.status), "{} {} for {sent}", said.status, said.text);
    if said.status == 422 {
        assert!(!paths(said).is_empty(), "{} for {sent}", said.text);
        for detail in said.body["details"].as_array().expect("details") {
            let errors = detail["errors"].as_array().expect("errors");
            assert!(!errors.is_empty() && errors.iter().all(|e| e.as_str().is_some_and(|e| !e.is_empty())));
        }
    } else if said.status >= 400 {
        assert!(said.body["message"].is_string(), "{} for {sent}", said.text);
    }
}

#[test]
fn everything_that_is_wrong_is_named() {
    let mut named = 0;
    for round in rounds() {
        let mut rng = Rng::from_number(round);
        for (kind, route) in [(Kind::App, "/v2/apps"), (Kind::Pod, "/v2/pods")] {
            let made = sample(kind, &mut rng, 0.15, 0.08);
            let said = Surface::new(Config::default()).ask("POST", route, &made.value.to_string());
            check_answer(&said, &made.value);
            if !made.wrong.is_empty() {
                assert_eq!(said.status, 422, "seed {round}: {} for {}", said.text, made.value);
                let said_paths = paths(&said);
                let missing: Vec<_> = made.wrong.iter().filter(|path| !said_paths.contains(*path)).collect();
                assert!(
                    missing.is_empty(),
                    "seed {round}: {missing:?} not named by {} for {}",
                    said.text,
                    made.value
                );
                named += made.wrong.len();
            }
        }
    }
    assert!(named > ROUNDS as usize, "only {named} faults were made");
}

/// All places of a value, with their paths.
fn places(value: &Value, path: &str, pointer: &str, all: &mut Vec<(String, String)>) {
    if !path.is_empty() {
        all.push((path.to_owned(), pointer.to_owned()));
    }
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            places(value, &format!("{path}/{key}"), &format!("{pointer}/{key}"), all)
        }),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(i, value)| places(value, &format!("{path}({i})"), &format!("{pointer}/{i}"), all)),
        _ => {}
    }
}

/// Whether one path is another or stands above or below it.
fn near_by(one: &str, other: &str) -> bool {
    let below = |upper: &str, path: &str| {
        path.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '(']))
    };
    below(one, other) || below(other, one)
}

#[test]
fn a_wrong_type_is_named_alone() {
    let mut made_wrong = 0;
    // many requests for each
    for round in rounds().step_by(3).take(ROUNDS as usize / 6) {
        let (mut rng, mut choice) = (Rng::from_number(round), Rng::from_number(round + 1));
        for (kind, route) in [(Kind::App, "/v2/apps"), (Kind::Pod, "/v2/pods")] {
            let right = near(kind, &mut rng).value;
            let config = configs()[1].clone();
            if Surface::new(config.clone()).ask("POST", route, &right.to_string()).status != 201 {
                continue;
            }
            let mut all = Vec::new();
            places(&right, "", "", &mut all);
            for _ in 0..PLACES {
                let (path, pointer) = &all[choice.below(all.len() as u64) as usize];
                let mut wrong = right.clone();
                let place = wrong.pointer_mut(pointer).expect("a place");
                *place = if place.is_array() || place.is_object() { json!(7) } else { json!([[]]) };
                let said = Surface::new(config.clone()).ask("POST", route, &wrong.to_string());
                // an id of another type is no id, and a number may be a number elsewhere
                if said.status == 201 {
                    continue;
                }
                assert_eq!(said.status, 422, "seed {round}, {path}: {} for {wrong}", said.text);
                for other in paths(&said) {
                    assert!(
                        near_by(&other, path),
                        "seed {round}: {other} is said to be wrong, and only {path} is: {} for {wrong}",
                        said.text
                    );
                }
                made_wrong += 1;
            }
        }
    }
    assert!(made_wrong > ROUNDS / 8, "only {made_wrong} were made wrong");
}

#[test]
fn what_is_taken_is_normal_and_kept() {
    let mut taken = [0, 0];
    for round in rounds() {
        let mut rng = Rng::from_number(round);
        for (which, (kind, route)) in
            [(Kind::App, "/v2/apps"), (Kind::Pod, "/v2/pods")].into_iter().enumerate()
        {
            let made = near(kind, &mut rng);
            let mut surface = Surface::new(configs()[round as usize % 2].clone());
            let said = surface.ask("POST", route, &made.value.to_string());
            check_answer(&said, &made.value);
            if said.status != 201 {
                continue;
            }
            taken[which] += 1;
            let own = format!("{route}/sample");
            let read = |surface: &mut Surface| {
                let said = surface.get(&own);
                assert_eq!(said.status, 200, "seed {round}: {}", said.text);
                definition(if kind == Kind::App { &said.body["app"] } else { &said.body })
            };
            let first = read(&mut surface);
            let again =
                surface.ask("PUT", &format!("{own}?force=true"), &Value::from(first.clone()).to_string());
            assert!(
                matches!(again.status, 200 | 201),
                "seed {round}: {} for its own form {}",
                again.text,
                Value::from(first)
            );
            assert_eq!(read(&mut surface), first, "seed {round}: another form of {}", made.value);
            surface.restart();
            assert_eq!(read(&mut surface), first, "seed {round}: another form after a restart");
        }
    }
    assert!(taken.iter().all(|n| *n > ROUNDS / 10), "only {taken:?} were taken");
}

#[test]
fn updates_in_part_and_groups_are_answered_too() {
    for round in rounds().step_by(3) {
        let mut rng = Rng::from_number(round);
        let mut surface = Surface::new(configs()[round as usize % 2].clone());
        assert_eq!(surface.ask("POST", "/v2/apps", r#"{"id":"/sample","cmd":"sleep 1"}"#).status, 201);
        for (method, query) in
            [("PUT", "?force=true"), ("PATCH", "?force=true"), ("PUT", "?force=true&partialUpdate=false")]
        {
            let mut made = sample(Kind::App, &mut rng, 0.05, 0.01).value;
            made.as_object_mut()
                .expect("an object")
                .retain(|key, _| !matches!(key.as_str(), "id" | "version"));
            let said = surface.ask(method, &format!("/v2/apps/sample{query}"), &made.to_string());
            check_answer(&said, &made);
        }
        let mut apps = [near(Kind::App, &mut rng).value, near(Kind::App, &mut rng).value];
        apps[0]["id"] = json!("one");
        apps[1]["id"] = json!("two");
        let pod = near(Kind::Pod, &mut rng).value;
        let group = json!({ "id": "/g", "apps": apps, "groups": [{ "id": "inner", "pods": [pod] }] });
        for (method, path) in [("POST", "/v2/groups"), ("PUT", "/v2/groups/g?force=true")] {
            let said = surface.ask(method, path, &group.to_string());
            check_answer(&said, &group);
        }
        let read = |surface: &mut Surface| {
            let embeds = "group.apps&embed=group.groups&embed=group.pods&embed=group.apps.deployments";
            let said = surface.get(&format!("/v2/groups?embed={embeds}"));
            assert_eq!(said.status, 200, "{}", said.text);
            said.body
        };
        let before = read(&mut surface);
        surface.restart();
        assert_eq!(read(&mut surface), before, "seed {round}: a restart changes the groups");
    }
}
