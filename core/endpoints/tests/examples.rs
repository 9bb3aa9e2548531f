//! Real definitions of Marathon's users, where they are at hand: each accepted or refused as Marathon does.

mod surface;

use orchestrator::Config;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use surface::Surface;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/marathon");

/// File, where it is sent, and the status with default flags and with all that a definition may need.
const EXPECTED: [(&str, &str, &str, u16, u16); 18] = [
    ("apps/sleep-app.json", "POST", "/v2/apps", 201, 201),
    ("apps/mesos-app.json", "POST", "/v2/apps", 201, 201),
    ("apps/app-check-http-example.json", "POST", "/v2/apps", 201, 201),
    ("apps/apps_create.json", "PUT", "/v2/apps", 200, 200),
    ("apps/docker-http-server.json", "POST", "/v2/apps", 201, 201),
    ("apps/app-with-https-readiness-checks.json", "POST", "/v2/apps", 201, 201),
    ("apps/pinger-bridge-app.json", "POST", "/v2/apps", 201, 201),
    ("apps/pinger-container-app.json", "POST", "/v2/apps", 201, 201),
    ("apps/ipv6-healthcheck.json", "POST", "/v2/apps", 201, 201),
    ("apps/fake-framework.json", "POST", "/v2/apps", 201, 201),
    // nobody's role * can keep a volume
    ("apps/persistent-volume-app.json", "POST", "/v2/apps", 422, 201),
    ("apps/private-ucr-docker-app.json", "POST", "/v2/apps", 422, 201),
    ("groups/sleep-group.json", "POST", "/v2/groups", 201, 201),
    ("pods/ephemeral-volume-pod.json", "POST", "/v2/pods", 201, 201),
    ("pods/ports-pod.json", "POST", "/v2/pods", 201, 201),
    ("pods/container-net-pod.json", "POST", "/v2/pods", 422, 201),
    ("pods/persistent-volume-pod.json", "POST", "/v2/pods", 422, 201),
    // its health check may take the default 20 s and is due every 2 s
    ("pods/pod.json", "POST", "/v2/pods", 422, 422),
];

fn rich() -> Config {
    Config {
        role: "dev".into(),
        default_network_name: Some("net".into()),
        features: ["secrets", "external_volumes", "gpu_resources"].map(str::to_owned).into(),
        ..Config::default()
    }
}

#[test]
fn each_example_is_taken_or_refused_as_marathon_does() {
    let mut seen = BTreeSet::new();
    for (file, method, path, plain, with_all) in EXPECTED {
        let Ok(body) = std::fs::read_to_string(format!("{DATA}/examples/{file}")) else {
            println!("SKIPPED: {file} is not at hand");
            continue;
        };
        seen.insert(file);
        for (config, status) in [(Config::default(), plain), (rich(), with_all)] {
            let mut surface = Surface::new(config);
            let said = surface.ask(method, path, &body);
            assert_eq!(said.status, status, "{file}: {}", said.text);
            if status == 422 {
                assert!(said.body["details"][0]["path"].is_string(), "{file}: {}", said.text);
                continue;
            }
            // what is shown is a normal form: sent again it changes nothing
            for app in surface.get("/v2/apps").body["apps"].as_array().unwrap().clone() {
                let id = app["id"].as_str().unwrap();
                let before = surface.machine.app(id).unwrap().app.clone();
                let said =
                    surface.ask("PUT", &format!("/v2/apps{id}?force=true"), &definition(&app).to_string());
                assert_eq!(said.status, 200, "{file}: {}", said.text);
                assert_eq!(surface.machine.app(id).unwrap().app, before, "{file}");
            }
        }
    }
    if seen.is_empty() {
        return;
    }
    for of in ["apps", "groups", "pods"] {
        for entry in std::fs::read_dir(format!("{DATA}/examples/{of}")).unwrap() {
            let name = format!("{of}/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(seen.contains(name.as_str()), "{name} has no expectation");
        }
    }
}

/// An app as it is read, without what is only shown.
fn definition(app: &Value) -> Value {
    let mut app = app.clone();
    let shown = [
        "version",
        "versionInfo",
        "tasksStaged",
        "tasksRunning",
        "tasksHealthy",
        "tasksUnhealthy",
        "deployments",
    ];
    shown.iter().for_each(|field| drop(app.as_object_mut().unwrap().remove(*field)));
    app
}

#[test]
fn a_hundred_real_apps_come_out_as_marathon_listed_them() {
    let Ok(listed) = std::fs::read_to_string(format!("{DATA}/real-apps-100.json")) else {
        println!("SKIPPED: the real apps are not at hand");
        return;
    };
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let features = ["secrets", "external_volumes", "gpu_resources"].map(str::to_owned).into();
    let mut surface = Surface::new(Config { features, ..Config::default() });
    let apps = listed["apps"].as_array().unwrap();
    for app in apps {
        let said = surface.ask("PUT", "/v2/apps?force=true", &json!([definition(app)]).to_string());
        assert_eq!(said.status, 200, "{}: {}", app["id"], said.text);
        let id = app["id"].as_str().unwrap();
        let now = surface.get(&format!("/v2/apps{id}")).body["app"].clone();
        for (field, value) in definition(app).as_object().unwrap() {
            assert_eq!(&now[field], value, "{id}: {field}");
        }
    }
    assert_eq!(surface.get("/v2/apps").body["apps"].as_array().unwrap().len(), apps.len());
}
