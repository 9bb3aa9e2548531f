//! Marathon's API, route by route: statuses, bodies, headers, and what a restart keeps.

mod surface;

use model::{
    mesos::{
        self,
        scheduler::{Event, event},
    },
    resources::{Format, Resources},
};
use orchestrator::{Config, Input};
use serde_json::{Value, json};
use surface::{Said, Surface};

fn new() -> Surface {
    Surface::new(Config::default())
}

fn app(id: &str) -> Value {
    json!({ "id": id, "cmd": "sleep 1" })
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// `path error` of everything that was refused.
fn wrong(said: &Said) -> Vec<String> {
    assert_eq!(said.status, 422, "{}", said.text);
    let details = said.body["details"].as_array().unwrap();
    let one = |d: &Value| {
        let errors = d["errors"].as_array().unwrap().clone();
        let path = d["path"].as_str().unwrap().to_owned();
        errors.into_iter().map(move |error| format!("{path} {}", error.as_str().unwrap()))
    };
    details.iter().flat_map(one).collect()
}

#[test]
fn every_route_has_its_status() {
    let mut surface = new();
    assert_eq!(surface.ask("POST", "/v2/apps", &app("/a").to_string()).status, 201);
    assert_eq!(surface.ask("POST", "/v2/groups", r#"{"id":"/g"}"#).status, 201);
    for (method, path, body, status) in [
        ("GET", "/", "", 302),
        ("GET", "/ping", "", 200),
        ("GET", "/config", "", 200),
        ("GET", "/metrics", "", 200),
        ("GET", "/v2/apps/", "", 200),
        ("GET", "/v2/apps/?embed=apps.tasks", "", 200),
        ("HEAD", "/v2/apps", "", 200),
        ("HEAD", "/v2/apps/a", "", 200),
        ("HEAD", "/v2/pods", "", 200),
        ("HEAD", "/v2/events", "", 200),
        ("HEAD", "/v2/apps/none", "", 404),
        ("GET", "/v2/apps/none", "", 404),
        ("GET", "/v2/apps/a/versions/2020-01-01T00:00:00.000Z", "", 404),
        ("GET", "/v2/apps/a/versions/yesterday", "", 422),
        ("GET", "/v2/apps?label=a%3Db", "", 422),
        ("GET", "/v2/apps//a", "", 200),
        ("GET", "/v2/apps/*", "", 200),
        ("GET", "/v2/apps/a/tasks/", "", 200),
        ("DELETE", "/v2/apps/a/tasks?scale=true&wipe=true", "", 400),
        ("DELETE", "/v2/apps/a/tasks/nope", "", 404),
        ("POST", "/v2/tasks/delete", r#"{"ids":["nope"]}"#, 400),
        ("POST", "/v2/tasks/delete", r#"{"ids":["a.instance-1._app.1"]}"#, 200),
        (
            "PUT",
            "/v2/apps/a?maxFailures=x&onFailure=explode&deploymentTimeoutSeconds=0",
            r#"{"cmd":"x"}"#,
            422,
        ),
        ("GET", "/v2/deployments/none", "", 404),
        ("POST", "/v2/apps/none/load", r#"{"cpu":1}"#, 404),
        ("POST", "/v2/apps/a/load", r#"{"cpu":1}"#, 409),
        ("POST", "/v2/apps/a/load", r#"{"cpu":"x"}"#, 422),
        ("POST", "/v2/apps/a/load", "{}", 422),
        ("POST", "/v2/deployments/none/resume", "", 404),
        ("PUT", "/v2/deployments/none", "{}", 405),
        ("PATCH", "/v2/apps/none", r#"{"cmd":"x"}"#, 404),
        ("PUT", "/v2/apps", r#"[{"cmd":"x"}]"#, 422),
        ("POST", "/v2/apps", "{", 400),
        ("TRACE", "/v2/apps", "", 405),
        ("PUT", "/v2/info", "{}", 405),
        ("POST", "/v2/apps/a/versions", "{}", 405),
        ("GET", "/v2/apps/a/restart", "", 404),
        ("GET", "/v2/tasks/delete", "", 405),
        ("GET", "/v2/groups/none", "", 404),
        ("GET", "/v2/groups/none/apps", "", 200),
        ("GET", "/v2/groups/none/versions", "", 404),
        ("GET", "/v2/groups/g", "", 200),
        ("DELETE", "/v2/groups/none", "", 404),
        ("PATCH", "/v2/groups/none", "{}", 404),
        ("PATCH", "/v2/groups/g/h", "{}", 422),
        ("PUT", "/v2/groups/g", r#"{"version":"2020-01-01T00:00:00.000Z"}"#, 404),
        ("PUT", "/v2/groups/nope", r#"{"scaleBy":2}"#, 404),
        ("GET", "/v2/pods/none", "", 404),
        ("GET", "/v2/pods/none::status", "", 404),
        ("GET", "/v2/pods::status", "", 200),
        ("GET", "/v2/pods/::status", "", 200),
        ("GET", "/v2/pods/none::nothing", "", 404),
        ("POST", "/v2/pods/none::status", "{}", 405),
        ("DELETE", "/v2/pods/none", "", 404),
        ("DELETE", "/v2/pods/p::instances/p.instance-1", "", 404),
        ("DELETE", "/v2/pods/p::instances/odd", "", 422),
        ("DELETE", "/v2/pods/p::instances", r#"["odd"]"#, 422),
        ("DELETE", "/v2/pods/p::instances", r#"["p.instance-1"]"#, 404),
        ("DELETE", "/v2/pods/p::instances", "[]", 404),
        ("GET", "/v2/pods/none::versions/2020-01-01T00:00:00.000Z", "", 404),
        ("DELETE", "/v2/deployments/none", "", 404),
        ("GET", "/v2/queue?embed=lastUnusedOffers", "", 200),
        ("DELETE", "/v2/queue/none/delay", "", 404),
        ("DELETE", "/v2/queue/a/delay", "", 204),
        ("GET", "/v2/plugins", "", 200),
        ("GET", "/v2/plugins/x/y", "", 404),
        ("GET", "/v2/leader", "", 200),
        ("DELETE", "/v2/leader?backup=file:x&restore=s3://b/k", "", 422),
        ("DELETE", "/v2/leader", "", 200),
        ("GET", "/logging", "", 200),
        ("HEAD", "/logging/", "", 200),
        ("POST", "/logging", r#"{"logger":"web","level":"DEBUG","durationSeconds":5}"#, 200),
        ("POST", "/logging", r#"{"logger":"","level":"debug"}"#, 422),
        ("POST", "/logging", r#"{"logger":"a b","level":"debug"}"#, 422),
        ("POST", "/logging", r#"{"logger":"web","level":"loud"}"#, 422),
        ("POST", "/logging", r#"{"level":"debug"}"#, 422),
        ("POST", "/logging", r#"{"logger":"web","level":"debug","durationSeconds":-1}"#, 422),
        ("POST", "/logging", "{", 400),
        ("DELETE", "/logging", "", 405),
        ("GET", "/help", "", 404),
        ("GET", "/ui", "", 200),
        ("GET", "/v2/artifacts", "", 404),
        ("GET", "/v2/eventSubscriptions", "", 404),
        ("GET", "/v2/schemas", "", 404),
        ("GET", "/v2/nothing", "", 404),
    ] {
        let said = surface.ask(method, path, body);
        assert_eq!(said.status, status, "{method} {path}: {}", said.text);
        assert!(said.headers.contains_key("x-marathon-leader"), "{method} {path}");
        if status >= 400 {
            assert!(said.body["message"].is_string(), "{method} {path}: {}", said.text);
        }
    }
    assert_eq!(surface.ask_as("POST", "/v2/apps", "a=b", "application/x-www-form-urlencoded").status, 415);
    assert_eq!(surface.ask_as("POST", "/v2/apps", "{", "application/json;charset=utf-8").status, 400);
}

#[test]
fn a_locked_app_and_one_that_is_there_are_conflicts() {
    let mut surface = new();
    let made = surface.ask("POST", "/v2/apps", &app("web").to_string());
    assert_eq!(made.headers["location"], "/v2/apps/web");
    assert_eq!(made.headers["marathon-deployment-id"], made.body["deployments"][0]["id"]);
    assert_eq!((&made.body["tasksStaged"], &made.body["id"]), (&json!(0), &json!("/web")));
    let again = surface.ask("POST", "/v2/apps", &app("/web").to_string());
    assert_eq!(
        (again.status, &again.body["message"]),
        (409, &json!("An app with id [/web] already exists."))
    );
    let locked = surface.ask("PUT", "/v2/apps/web", r#"{"instances":2}"#);
    assert_eq!(locked.status, 409);
    assert_eq!(locked.body["deployments"], made.body["deployments"]);
    let forced = surface.ask("PUT", "/v2/apps/web?force=true", r#"{"instances":2,"id":"/ignored"}"#);
    assert_eq!((forced.status, surface.machine.app("/web").unwrap().spec.instances), (200, 2));
    assert_eq!(surface.ask("PUT", "/v2/apps/new", r#"{"cmd":"x"}"#).headers["location"], "/v2/apps/new");
    let many = surface.ask("PUT", "/v2/apps?force=true", r#"[{"id":"a","cmd":"x"},{"id":"/web","cpus":2}]"#);
    assert_eq!(many.status, 200);
    assert_eq!(surface.machine.app("/web").unwrap().spec.cpus, 2.0);
    let whole = surface.ask("PUT", "/v2/apps/web?force=true&partialUpdate=false", r#"{"args":["x"]}"#);
    assert_eq!((whole.status, surface.machine.app("/web").unwrap().spec.cpus), (200, 1.0));
    let versions = surface.get("/v2/apps/web/versions").body["versions"].as_array().unwrap().clone();
    assert_eq!(versions.len(), 4);
    let first = versions.last().unwrap().as_str().unwrap();
    assert_eq!(surface.get(&format!("/v2/apps/web/versions/{first}")).body["cmd"], "sleep 1");
    let both = format!(r#"{{"version":"{first}","cpus":1}}"#);
    assert!(wrong(&surface.ask("PUT", "/v2/apps/web?force=true", &both))[0].contains("may only be combined"));
    let back =
        surface.ask("PUT", "/v2/apps/web?force=true", &format!(r#"{{"version":"{first}","id":"/web"}}"#));
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(surface.machine.app("/web").unwrap().spec.cmd.as_deref(), Some("sleep 1"));
    // executorResources and resourceLimits stay when they are not named, as all else (upstream drops them)
    surface.ask("PUT", "/v2/apps/web?force=true", r#"{"resourceLimits":{"cpus":2}}"#);
    surface.ask("PUT", "/v2/apps/web?force=true", r#"{"instances":3}"#);
    assert_eq!(surface.machine.app("/web").unwrap().app["resourceLimits"], json!({ "cpus": 2 }));
    assert_eq!(surface.ask("DELETE", "/v2/apps/web", "").status, 200, "force is the default of DELETE");
    assert_eq!(surface.get("/v2/apps/web").body["message"], "App '/web' does not exist");
}

#[test]
fn service_ports_are_given_kept_and_used_up() {
    let config = Config { local_port_min: 10, local_port_max: 14, ..Config::default() };
    let mut surface = Surface::new(config);
    let ports = |surface: &mut Surface, method: &str, path: &str, body: Value| {
        let said = surface.ask(method, path, &body.to_string());
        assert!(said.status < 300, "{}", said.text);
        let app = body["id"].as_str().unwrap().to_owned();
        surface.machine.app(&app).unwrap().spec.service_ports.clone()
    };
    let two = json!([{ "port": 0 }, { "port": 0 }]);
    assert_eq!(ports(&mut surface, "POST", "/v2/apps", app("/a")), [10]);
    let b = json!({ "id": "/b", "cmd": "x", "portDefinitions": two });
    assert_eq!(ports(&mut surface, "POST", "/v2/apps", b), [11, 12]);
    // an update keeps what the app has, and adds
    let more = json!({ "id": "/a", "portDefinitions": two });
    assert_eq!(ports(&mut surface, "PUT", "/v2/apps/a?force=true", more), [10, 13]);
    let said = surface.ask("POST", "/v2/apps", &app("/c").to_string());
    assert_eq!(
        (said.status, &said.body["message"]),
        (422, &json!("All ports in the range [10-14) are already in use"))
    );
    // a fixed one may be there twice
    let same = json!({ "id": "/d", "cmd": "x", "ports": [10] });
    assert_eq!(ports(&mut surface, "POST", "/v2/apps", same), [10]);
    let mapped = json!({ "id": "/e", "cmd": "x", "container": { "type": "DOCKER", "docker": { "image": "i",
        "network": "BRIDGE", "portMappings": [{ "containerPort": 80, "servicePort": 9999 }] } } });
    assert_eq!(ports(&mut surface, "POST", "/v2/apps", mapped), [9999]);
    let shown = surface.get("/v2/apps/e").body["app"].clone();
    assert_eq!(shown["networks"], json!([{ "mode": "container/bridge" }]));
    assert_eq!(shown["container"]["portMappings"][0]["hostPort"], 0);
    surface.restart();
    let said = surface.ask("POST", "/v2/apps", &app("/c").to_string());
    assert_eq!(said.status, 422, "what is taken is known after a restart: {}", said.text);
    surface.ask("DELETE", "/v2/apps/b", "");
    assert_eq!(ports(&mut surface, "POST", "/v2/apps", app("/c")), [11]);
}

#[test]
fn what_is_asked_for_comes_with_an_app_and_nothing_else() {
    let mut surface = new();
    surface.ask("POST", "/v2/apps", &app("/a").to_string());
    let keys = |app: &Value| -> Vec<&'static str> {
        let all = [
            "tasksRunning",
            "deployments",
            "tasks",
            "tasksStats",
            "lastTaskFailure",
            "readinessCheckResults",
        ];
        all.into_iter().filter(|key| app.get(key).is_some()).collect()
    };
    let always = ["tasksRunning", "deployments"];
    for (query, more) in [
        ("", vec![]),
        ("?embed=apps.tasks", vec!["tasks"]),
        ("?embed=tasks&embed=app.taskStats", vec!["tasks", "tasksStats"]),
        ("?embed=group.apps.readiness&embed=nothing", vec!["readinessCheckResults"]),
        ("?embed=failures", vec!["tasks"]),
    ] {
        let apps = surface.get(&format!("/v2/apps{query}")).body["apps"].clone();
        assert_eq!(keys(&apps[0]), [&always[..], &more].concat(), "{query}");
    }
    assert_eq!(keys(&surface.get("/v2/apps/a").body["app"]), ["tasksRunning", "deployments", "tasks"]);
    let group = surface.get("/v2/groups").body;
    assert_eq!(keys(&group["apps"][0]), Vec::<&str>::new());
    let group = surface.get("/v2/groups?embed=group.apps&embed=group.apps.counts").body;
    assert_eq!(keys(&group["apps"][0]), ["tasksRunning"]);
    assert!(group.get("groups").is_none() && group.get("pods").is_none());
}

#[test]
fn apps_are_filtered() {
    let mut surface = new();
    for (id, cmd, labels) in
        [("/Web".to_lowercase(), "python x", json!({ "a": "1" })), ("/db".into(), "POSTGRES", json!({}))]
    {
        let body = json!({ "id": id, "cmd": cmd, "labels": labels });
        assert_eq!(surface.ask("POST", "/v2/apps", &body.to_string()).status, 201);
    }
    for (query, found) in [
        ("id=WE", vec!["/web"]),
        ("cmd=postgres", vec!["/db"]),
        ("label=a%3D%3D1", vec!["/web"]),
        ("label=a!%3D1", vec![]),
        ("label=a%20in%20(1,2)&id=web", vec!["/web"]),
        ("id=b", vec!["/db", "/web"]),
    ] {
        assert_eq!(ids(&surface.get(&format!("/v2/apps?{query}")).body["apps"]), found, "{query}");
    }
}

#[test]
fn groups_nest_change_and_go_back() {
    let mut surface = new();
    let tree = json!({ "id": "prod", "dependencies": ["/base"], "groups": [
        { "id": "db", "apps": [{ "id": "pg", "cmd": "x", "instances": 2 }] },
        { "id": "/prod/web", "dependencies": ["../db"], "apps": [{ "id": "a", "cmd": "x" }, { "id": "b", "cmd": "x" }] }] });
    let steps = surface.ask("PUT", "/v2/groups?dryRun=true", &tree.to_string());
    assert_eq!(steps.status, 200);
    let actions = |said: &Said| -> Vec<Vec<String>> {
        let steps = said.body["steps"].as_array().unwrap();
        let one = |a: &Value| format!("{} {}", a["action"].as_str().unwrap(), a["app"].as_str().unwrap());
        steps.iter().map(|s| s["actions"].as_array().unwrap().iter().map(one).collect()).collect()
    };
    let starts =
        ["/prod/db/pg", "/prod/web/a", "/prod/web/b"].map(|app| format!("StartApplication {app}")).to_vec();
    assert_eq!(
        actions(&steps),
        [
            starts,
            vec!["ScaleApplication /prod/db/pg".into()],
            vec!["ScaleApplication /prod/web/a".into(), "ScaleApplication /prod/web/b".into()]
        ]
    );
    assert_eq!(surface.get("/v2/groups/prod").status, 404, "a dry run changes nothing");
    let made = surface.ask("POST", "/v2/groups", &tree.to_string());
    assert_eq!((made.status, made.headers["location"].as_str()), (201, "/v2/groups/prod"));
    let first = made.body["version"].as_str().unwrap().to_owned();
    let again = surface.ask("POST", "/v2/groups", &tree.to_string());
    assert_eq!(
        (again.status, &again.body["message"]),
        (409, &json!("Group /prod is already created. Use PUT to change this group."))
    );
    let prod = surface.get("/v2/groups/prod").body;
    assert_eq!(ids(&prod["groups"]), ["/prod/db", "/prod/web"]);
    assert_eq!(ids(&prod["groups"][1]["apps"]), ["/prod/web/a", "/prod/web/b"]);
    assert_eq!(prod["groups"][1]["dependencies"], json!(["/prod/db"]));
    assert_eq!(prod["dependencies"], json!(["/base"]));
    assert!(prod.get("enforceRole").is_none(), "left out until it is said");
    assert_eq!(ids(&surface.get("/v2/groups/prod/apps").body), ["/prod/db/pg", "/prod/web/a", "/prod/web/b"]);
    assert_eq!(ids(&surface.get("/v2/apps/prod/web/*").body["*"]), ["/prod/web/a", "/prod/web/b"]);
    // what the body does not name goes; what it does not speak of stays
    let update = json!({ "groups": [{ "id": "web", "apps": [{ "id": "a", "cmd": "y" }] }] });
    let changed = surface.ask("PUT", "/v2/groups/prod?force=true", &update.to_string());
    assert_eq!(changed.status, 200, "{}", changed.text);
    let prod = surface.get("/v2/groups/prod").body;
    assert_eq!(ids(&prod["groups"]), ["/prod/web"]);
    assert_eq!(ids(&prod["groups"][0]["apps"]), ["/prod/web/a"]);
    assert_eq!(prod["dependencies"], json!(["/base"]));
    // a restart, then back to the first version
    surface.restart();
    let versions = surface.get("/v2/groups/prod/versions").body;
    assert_eq!(versions.as_array().unwrap().len(), 2);
    let then = surface.get(&format!("/v2/groups/prod/versions/{first}")).body;
    assert_eq!(ids(&then["groups"][1]["apps"]), ["/prod/web/a", "/prod/web/b"]);
    let back = surface.ask("PUT", "/v2/groups/prod?force=true", &json!({ "version": first }).to_string());
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(surface.machine.app("/prod/web/a").unwrap().spec.cmd.as_deref(), Some("x"));
    assert_eq!(ids(&surface.get("/v2/groups/prod/apps").body).len(), 3);
    // half of each, rounded up
    let scaled = surface.ask("PUT", "/v2/groups/prod?force=true", r#"{"scaleBy":1.5}"#);
    assert_eq!(scaled.status, 200);
    let instances = |surface: &Surface, id: &str| surface.machine.app(id).unwrap().spec.instances;
    assert_eq!((instances(&surface, "/prod/db/pg"), instances(&surface, "/prod/web/a")), (3, 2));
    assert_eq!(surface.ask("DELETE", "/v2/groups/prod", "").status, 409, "force is not the default here");
    assert_eq!(surface.ask("DELETE", "/v2/groups/prod?force=true", "").status, 200);
    assert_eq!(surface.get("/v2/groups/prod").status, 404);
    assert_eq!(surface.get("/v2/groups").body["groups"], json!([]));
}

#[test]
fn what_is_wrong_with_a_group_is_said_with_its_place() {
    let mut surface = new();
    surface.ask("POST", "/v2/apps", &app("/one").to_string());
    let mut refused = |path: &str, body: Value| wrong(&surface.ask("PUT", path, &body.to_string()));
    for (path, body, said) in [
        (
            "/v2/groups/g",
            json!({ "apps": [{ "id": "a" }, { "id": "b", "cmd": "x", "cpus": "many" }] }),
            "/apps(1)/cpus error",
        ),
        ("/v2/groups/g", json!({ "apps": [{ "id": "a" }] }), "/apps(0) AppDefinition must either"),
        (
            "/v2/groups/g",
            json!({ "groups": [{ "id": "h", "apps": [{ "id": "a", "cmd": "x", "cpus": -1 }] }] }),
            "/groups(0)/apps(0)/cpus error.min",
        ),
        (
            "/v2/groups/g",
            json!({ "apps": [{ "id": "/elsewhere", "cmd": "x" }] }),
            "/apps(0)/id Identifier is not child",
        ),
        (
            "/v2/groups/g",
            json!({ "groups": [{ "id": "/elsewhere" }] }),
            "/groups(0)/id Identifier is not child",
        ),
        ("/v2/groups/g", json!({ "groups": [{ "id": "restart" }] }), "/groups(0)/id must not end with"),
        ("/v2/groups/g", json!({ "scaleBy": 2, "apps": [] }), "/scaleBy not allowed in conjunction"),
        (
            "/v2/groups/g",
            json!({ "version": "2020-01-01T00:00:00.000Z", "groups": [] }),
            "/version not allowed",
        ),
        ("/v2/groups/g", json!({ "scaleBy": -2 }), "/scaleBy error.min"),
        (
            "/v2/groups/one",
            json!({ "apps": [] }),
            "/ Groups and Applications may not have the same identifier.",
        ),
        (
            "/v2/groups/g",
            json!({ "apps": [{ "id": "a", "cmd": "x", "dependencies": ["b"] },
            { "id": "b", "cmd": "x", "dependencies": ["a"] }] }),
            "/ Dependency graph has cyclic dependencies.",
        ),
        (
            "/v2/groups/g/h",
            json!({ "enforceRole": true }),
            "/enforceRole enforceRole can only be set for top-level",
        ),
    ] {
        let found = refused(path, body.clone());
        assert!(found.iter().any(|found| found.starts_with(said)), "{body}: {found:?}");
    }
    let clash = surface.ask("POST", "/v2/groups", r#"{"id":"/one"}"#);
    assert_eq!(
        (clash.status, &clash.body["message"]),
        (409, &json!("An app with the path /one already exists."))
    );
}

#[test]
fn a_group_may_enforce_its_name_as_role() {
    let mut surface = new();
    let role = |surface: &Surface, id: &str| surface.machine.app(id).unwrap().spec.role.clone().unwrap();
    surface.ask("POST", "/v2/groups", r#"{"id":"/dev","apps":[{"id":"a","cmd":"x"}]}"#);
    assert_eq!(role(&surface, "/dev/a"), "*");
    let both = r#"{"enforceRole":true,"apps":[]}"#;
    assert!(wrong(&surface.ask("PUT", "/v2/groups/dev?force=true", both))[0].starts_with("/enforceRole"));
    assert_eq!(surface.ask("PATCH", "/v2/groups/dev", r#"{"enforceRole":true}"#).status, 200);
    assert_eq!(surface.get("/v2/groups/dev").body["enforceRole"], true);
    surface.restart();
    surface.ask("POST", "/v2/apps", &app("/dev/b").to_string());
    assert_eq!((role(&surface, "/dev/a"), role(&surface, "/dev/b")), ("*".into(), "dev".into()));
    let other = json!({ "id": "/dev/c", "cmd": "x", "role": "*" });
    assert!(wrong(&surface.ask("POST", "/v2/apps", &other.to_string()))[0].starts_with("/role"));
    surface.ask("PATCH", "/v2/groups/dev", "{}");
    assert_eq!(surface.get("/v2/groups/dev").body["enforceRole"], false, "as new groups have it");
    assert_eq!(surface.ask("POST", "/v2/apps", &other.to_string()).status, 201);
    // who forces may take any role
    let forced = surface.ask("PUT", "/v2/apps/dev/c?force=true", r#"{"role":"other"}"#);
    assert_eq!((forced.status, role(&surface, "/dev/c")), (200, "other".into()));
    assert_eq!(surface.ask("PUT", "/v2/apps/dev/a", r#"{"role":"other"}"#).status, 422);
}

fn pod(id: &str) -> Value {
    json!({ "id": id, "containers": [{ "name": "web", "exec": { "command": { "shell": "sleep 1" } },
        "resources": { "cpus": 0.1, "mem": 32 }, "endpoints": [{ "name": "http", "hostPort": 0 }] }] })
}

#[test]
fn pods_live_beside_apps() {
    let mut surface = new();
    let made = surface.ask("POST", "/v2/pods", &pod("/p").to_string());
    assert_eq!((made.status, made.headers["location"].as_str()), (201, "/v2/pods/p"), "{}", made.text);
    assert!(made.headers.contains_key("marathon-deployment-id"));
    assert_eq!(made.body["scaling"], json!({ "kind": "fixed", "instances": 1 }));
    assert_eq!(made.body["executorResources"], json!({ "cpus": 0.1, "mem": 32, "disk": 10 }));
    assert_eq!(
        made.body["scheduling"]["backoff"],
        json!({ "backoff": 1, "backoffFactor": 1.15, "maxLaunchDelay": 300 })
    );
    assert!(made.body.get("versionInfo").is_none());
    let again = surface.ask("POST", "/v2/pods", &pod("/p").to_string());
    assert_eq!((again.status, &again.body["message"]), (409, &json!("A pod with id [/p] already exists.")));
    assert!(
        wrong(&surface.ask("POST", "/v2/apps", &app("/p").to_string()))[0]
            .contains("may not share the same id")
    );
    assert_eq!(surface.get("/v2/apps").body["apps"], json!([]), "a pod is no app");
    assert_eq!(surface.get("/v2/pods/p").body["id"], "/p");
    assert_eq!(ids(&surface.get("/v2/pods").body), ["/p"]);
    for path in ["/v2/pods/p::status", "/v2/pods/p/::status", "/v2/pods//p::status"] {
        let status = surface.get(path).body;
        assert_eq!((&status["id"], &status["status"]), (&json!("/p"), &json!("DEGRADED")), "{path}");
        assert_eq!(status["terminationHistory"], json!([]));
    }
    assert_eq!(surface.get("/v2/pods::status").body[0]["spec"]["id"], "/p");
    let deployment = surface.get("/v2/deployments").body;
    assert_eq!(
        (&deployment[0]["affectedPods"], &deployment[0]["affectedApps"]),
        (&json!(["/p"]), &json!([]))
    );
    assert_eq!(
        deployment[0]["currentActions"][0],
        json!({ "action": "ScalePod", "pod": "/p", "readinessCheckResults": [] })
    );
    let queue = surface.get("/v2/queue").body;
    assert_eq!((&queue["queue"][0]["pod"]["id"], queue["queue"][0].get("app")), (&json!("/p"), None));
    let mismatch = surface.ask("PUT", "/v2/pods/p?force=true", &pod("/q").to_string());
    assert_eq!(
        (mismatch.status, &mismatch.body["message"]),
        (400, &json!("'/p' does not match definition's id ('/q')"))
    );
    let mut bigger = pod("/p");
    bigger["scaling"] = json!({ "instances": 3 });
    assert_eq!(surface.ask("PUT", "/v2/pods/p?force=true", &bigger.to_string()).status, 200);
    let made = surface.ask("PUT", "/v2/pods/made", &pod("/made").to_string());
    assert_eq!((made.status, surface.get("/v2/pods/made").status), (200, 200), "{}", made.text);
    assert!(made.headers.contains_key("marathon-deployment-id"));
    surface.ask("DELETE", "/v2/pods/made?force=true", "");
    let versions = surface.get("/v2/pods/p::versions").body;
    let oldest = versions.as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
    assert_eq!(surface.get(&format!("/v2/pods/p::versions/{oldest}")).body["scaling"]["instances"], 1);
    surface.restart();
    assert_eq!(surface.get("/v2/pods/p").body["scaling"]["instances"], 3);
    // a change of its group leaves a pod alone
    assert_eq!(surface.ask("PUT", "/v2/groups", r#"{"apps":[]}"#).status, 200);
    assert_eq!(surface.get("/v2/groups").body["pods"][0]["id"], "/p");
    let gone = surface.ask("DELETE", "/v2/pods/p?force=true", "");
    assert_eq!(gone.status, 202);
    assert_eq!(
        gone.headers["location"],
        format!("/v2/deployments/{}", gone.headers["marathon-deployment-id"])
    );
    assert_eq!(surface.get("/v2/pods/p").status, 404);
}

#[test]
fn changes_are_told_in_order() {
    let mut surface = new();
    surface.listen();
    let checked =
        json!({ "id": "/g/a", "cmd": "x", "healthChecks": [{ "protocol": "TCP", "portIndex": 0 }] });
    surface.ask("POST", "/v2/apps", &checked.to_string());
    let kinds: Vec<_> = surface.events.drain(..).map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            "event_stream_attached",
            "api_post_event",
            "group_change_success",
            "deployment_info",
            "add_health_check_event",
            "deployment_step_success",
            "deployment_info"
        ]
    );
    surface.ask("PUT", "/v2/apps/g/a", r#"{"cmd":"y"}"#);
    let failed = surface.events.pop().unwrap();
    assert_eq!(failed.kind, "group_change_failed");
    let said: Value = serde_json::from_str(&failed.data).unwrap();
    assert_eq!(said["groupId"], "/g");
    assert!(said["reason"].as_str().unwrap().starts_with("App is locked"));
    surface.events.clear();
    surface.ask("POST", "/v2/pods", &pod("/p").to_string());
    assert!(surface.events.iter().any(|event| event.kind == "pod_created_event"));
    surface.events.clear();
    surface.ask("DELETE", "/v2/apps/g/a", "");
    let kinds: Vec<_> = surface.events.drain(..).map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            "deployment_step_failure",
            "deployment_failed",
            "group_change_success",
            "deployment_info",
            "remove_health_check_event",
            "app_terminated_event",
            "deployment_step_success",
            "deployment_success"
        ]
    );
}

#[test]
fn an_app_goes_back_to_a_version() {
    let mut surface = new();
    assert_eq!(surface.ask("POST", "/v2/apps", &app("/a").to_string()).status, 201);
    let first = surface.get("/v2/apps/a").body["app"].clone();
    let put = "/v2/apps/a?force=true";
    assert_eq!(surface.ask("PUT", put, r#"{"cmd":"other","cpus":2}"#).status, 200);
    assert_eq!(surface.get("/v2/apps/a").body["app"]["cmd"], "other");
    let back = json!({ "version": first["version"] });
    assert_eq!(surface.ask("PUT", put, &back.to_string()).status, 200);
    let now = surface.get("/v2/apps/a").body["app"].clone();
    assert_eq!((&now["cmd"], &now["cpus"]), (&first["cmd"], &first["cpus"]));
    assert_ne!(now["version"], first["version"], "it is a new version of its own");
    assert_eq!(surface.ask("PUT", put, r#"{"version":"2001-01-01T00:00:00.000Z"}"#).status, 404);
}

#[test]
fn all_elements_of_a_list_are_answered_with_their_numbers() {
    let mut surface = new();
    assert_eq!(surface.ask("POST", "/v2/apps", &app("/a").to_string()).status, 201);
    let both = json!([{ "id": "/a", "cpus": "x" }, { "id": "/b", "cmd": "y", "mem": [] }, { "id": "/c", "cmd": "z" }]);
    let said = surface.ask("PUT", "/v2/apps?force=true", &both.to_string());
    assert_eq!(wrong(&said), ["(0)/cpus error.expected.jsnumber", "(1)/mem error.expected.jsnumber"]);
    assert_eq!(said.body["message"], "Invalid JSON");
    assert_eq!(surface.get("/v2/apps/c").status, 404, "all or nothing");
    let values =
        json!([{ "id": "/a", "args": ["x"], "cmd": "y" }, { "id": "/A_b", "cmd": "y" }, { "id": "/b" }]);
    let said = surface.ask("PUT", "/v2/apps?force=true&partialUpdate=false", &values.to_string());
    let said = wrong(&said);
    for path in ["(0) AppDefinition must either", "(1)/id error.pattern", "(2) AppDefinition must either"] {
        assert!(said.iter().any(|s| s.starts_with(path)), "{path} is not in {said:?}");
    }
    assert_eq!(surface.ask("POST", "/v2/apps", &app("/b").to_string()).status, 201);
    let both =
        json!([{ "id": "/a", "cpus": "x" }, { "id": "/b", "mem": "y", "constraints": [["a", "NEAR"]] }]);
    let said = wrong(&surface.ask("PATCH", "/v2/apps?force=true", &both.to_string()));
    assert_eq!(
        said[..2],
        [
            "(0)/cpus error.expected.jsnumber",
            "(1)/constraints(0) operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, UNLIKE or IS"
        ]
    );
    assert_eq!(said[2..], ["(1)/mem error.expected.jsnumber"]);
    let odd = wrong(&surface.ask("PATCH", "/v2/apps", r#"[{"id":"/a"},{"id":"/A_b"},{"id":7}]"#));
    assert!(odd[0].starts_with("(1)/id ") && odd[1].starts_with("(2)/id error.expected.jsstring"), "{odd:?}");
    // one by its own path has no number
    assert_eq!(
        wrong(&surface.ask("PUT", "/v2/apps/a?force=true", r#"{"cpus":"x"}"#)),
        ["/cpus error.expected.jsnumber"]
    );
}

#[test]
fn versions_are_instants_however_they_are_written() {
    let mut surface = new();
    surface.ask("POST", "/v2/apps", &json!({ "id": "/g/a", "cmd": "one" }).to_string());
    let first = surface.get("/v2/apps/g/a/versions").body["versions"][0].as_str().unwrap().to_owned();
    surface.ask("PUT", "/v2/apps/g/a?force=true", r#"{"cmd":"two"}"#);
    let plain = first.trim_end_matches('Z');
    for same in [first.clone(), format!("{plain}+00:00"), format!("{plain}000Z"), format!("{plain}%2B00:00")]
    {
        let app = surface.get(&format!("/v2/apps/g/a/versions/{same}"));
        assert_eq!((app.status, &app.body["cmd"]), (200, &json!("one")), "{same}: {}", app.text);
        let group = surface.get(&format!("/v2/groups/g/versions/{same}"));
        assert_eq!(
            (group.status, &group.body["apps"][0]["cmd"]),
            (200, &json!("one")),
            "{same}: {}",
            group.text
        );
    }
    for same in [format!("{plain}+00:00"), format!("{plain}000000Z")] {
        for (path, reset) in [("/v2/apps/g/a", json!({ "cmd": "two" })), ("/v2/groups/g", Value::Null)] {
            if !reset.is_null() {
                assert_eq!(surface.ask("PUT", "/v2/apps/g/a?force=true", &reset.to_string()).status, 200);
            }
            let back =
                surface.ask("PUT", &format!("{path}?force=true"), &json!({ "version": same }).to_string());
            assert_eq!(back.status, 200, "{same}: {}", back.text);
            assert_eq!(surface.get("/v2/apps/g/a").body["app"]["cmd"], "one", "{path} {same}");
        }
    }
    assert_eq!(surface.get("/v2/apps/g/a/versions/2020-01-01T00:00:00%2B00:00").status, 404);
    for (method, path, body, at) in [
        (
            "POST",
            "/v2/apps",
            r#"{"id":"/v","cmd":"x","version":"foo"}"#,
            "/version error.expected.date.isoformat",
        ),
        ("PUT", "/v2/apps/g/a", r#"{"version":"foo"}"#, "/version error.expected.date.isoformat"),
        (
            "PUT",
            "/v2/apps/v?partialUpdate=false",
            r#"{"cmd":"x","version":"2020-01-01"}"#,
            "/version error.expected.date.isoformat",
        ),
        ("PUT", "/v2/groups/g", r#"{"version":"bogus"}"#, "/version error.expected.date.isoformat"),
        (
            "POST",
            "/v2/apps",
            r#"{"id":"/v","cmd":"x","versionInfo":{}}"#,
            "/versionInfo/lastConfigChangeAt error.path.missing",
        ),
        (
            "POST",
            "/v2/apps",
            r#"{"id":"/v","cmd":"x","versionInfo":{"lastScalingAt":"x"}}"#,
            "/versionInfo/lastScalingAt error.expected.date.isoformat",
        ),
        (
            "POST",
            "/v2/pods",
            r#"{"id":"/v","version":"foo","containers":[{"name":"c","resources":{}}]}"#,
            "/version error.expected.date.isoformat",
        ),
    ] {
        let said = wrong(&surface.ask(method, path, body));
        assert!(said.contains(&at.to_owned()), "{method} {path} {body}: {said:?}");
    }
    let pod = json!({ "id": "/p", "containers": [{ "name": "c", "resources": {}, "exec": { "command": { "shell": "x" } } }] });
    assert_eq!(surface.ask("POST", "/v2/pods", &pod.to_string()).status, 201);
    let version = surface.get("/v2/pods/p::versions").body[0].as_str().unwrap().replace('Z', "000Z");
    assert_eq!(surface.get(&format!("/v2/pods/p::versions/{version}")).status, 200);
    let bogus = surface.get("/v2/pods/p::versions/bogus");
    let of_app = surface.get("/v2/apps/g/a/versions/bogus");
    assert_eq!((bogus.status, bogus.body), (422, of_app.body));
    // what a reader was shown is taken as it is
    let shown = surface.get("/v2/apps/g/a").body["app"].clone();
    assert_eq!(
        surface.ask("PUT", "/v2/apps/g/a?partialUpdate=false&force=true", &shown.to_string()).status,
        200
    );
}

#[test]
fn what_is_wrong_in_a_tree_is_named_where_it_is() {
    let mut surface = new();
    for (body, said) in [
        (
            json!({ "groups": [{ "id": "h" }, { "id": "/q/z" }] }),
            "/groups(1)/id Identifier is not child of '/g1': '/q/z'",
        ),
        (
            json!({ "apps": [{ "id": "/q", "cmd": "x" }] }),
            "/apps(0)/id Identifier is not child of '/g1': '/q'",
        ),
        (
            json!({ "groups": [{ "id": "h", "groups": [{ "id": "i", "apps": [{ "id": "a" }] }] }, { "id": "j", "apps": [{ "id": "b" }] }] }),
            "/groups(0)/groups(0)/apps(0) AppDefinition must either",
        ),
        (
            json!({ "groups": [{ "id": "h", "apps": [{ "id": "a" }] }, { "id": "j", "apps": [{ "id": "b" }] }] }),
            "/groups(1)/apps(0) AppDefinition must either",
        ),
        (
            json!({ "apps": [{ "id": "a", "cmd": "x" }, { "id": "/g1/a", "cmd": "y" }] }),
            "/apps(1)/id '/g1/a' is defined twice",
        ),
        (
            json!({ "groups": [{ "id": "a" }, { "id": "a", "dependencies": ["/g1/b"] }] }),
            "/groups(1)/id '/g1/a' is defined twice",
        ),
        (
            json!({ "groups": [{ "id": "h", "enforceRole": true }] }),
            "/groups(0)/enforceRole enforceRole can only",
        ),
    ] {
        let all = wrong(&surface.ask("PUT", "/v2/groups/g1", &body.to_string()));
        assert!(all.iter().any(|one| one.starts_with(said)), "{body}: {all:?}");
    }
    let twice = json!({ "apps": [{ "id": "a", "cmd": "x" }, { "id": "/g1/a", "cmd": "x" }] });
    assert_eq!(surface.ask("PUT", "/v2/groups/g1", &twice.to_string()).status, 200, "a set has it once");
}

#[test]
fn loggers_are_listed_and_changed() {
    let mut surface = new();
    assert_eq!(surface.get("/logging").body, json!({ "ROOT": "INFO" }));
    let change = json!({ "level": "debug", "logger": "web", "durationSeconds": 5 });
    assert_eq!(surface.ask("POST", "/logging", &change.to_string()).body, change);
    let both = surface.ask("POST", "/logging", r#"{"logger":7,"level":"loud"}"#);
    let said = wrong(&both);
    assert_eq!(said[0], "/level error.unknown.enum.literal");
    assert!(said.contains(&"/logger error.expected.jsstring".to_owned()), "{said:?}");
    assert_eq!(surface.ask_as("POST", "/logging", "a=b", "text/plain").status, 415);
}

/// Creates an app, and one of its tasks is staged.
fn launch(surface: &mut Surface, app: &Value) {
    assert_eq!(surface.ask("POST", "/v2/apps", &app.to_string()).status, 201);
    let tell = |surface: &mut Surface, kind: event::Type, event: Event| {
        surface.tell(Input::Event(Box::new(Event { r#type: Some(kind as i32), ..event })));
    };
    surface.tell(Input::Connected);
    let framework_id = mesos::FrameworkId { value: "f".into() };
    let subscribed = Some(event::Subscribed { framework_id: framework_id.clone(), ..Default::default() });
    tell(surface, event::Type::Subscribed, Event { subscribed, ..Default::default() });
    let all =
        Resources::scalars([("cpus", 8.0), ("mem", 8192.0), ("disk", 1000.0)]).with_ports([(31000, 31999)]);
    let offer = mesos::Offer {
        id: mesos::OfferId { value: "o".into() },
        framework_id,
        agent_id: mesos::AgentId { value: "s".into() },
        hostname: "h".into(),
        resources: all.allocate("*", Format::Stacked),
        allocation_info: Some(mesos::resource::AllocationInfo { role: Some("*".into()) }),
        ..Default::default()
    };
    let offers = Some(event::Offers { offers: vec![offer] });
    tell(surface, event::Type::Offers, Event { offers, ..Default::default() });
}

#[test]
fn tasks_are_asked_for_by_their_state() {
    let mut surface = new();
    launch(&mut surface, &json!({ "id": "/a", "cmd": "sleep 1", "cpus": 0.1, "mem": 16, "role": "*" }));
    for (query, count) in [
        ("", 1),
        ("?status=staging", 1),
        ("?status=STAGING", 1),
        ("?status=running", 0),
        ("?status%5B%5D=Running", 0),
        ("?status%5B%5D=running&status%5B%5D=staging", 1),
        ("?status=bogus", 1),
        ("?status=", 1),
        ("?status=bogus&status%5B%5D=running", 0),
    ] {
        let tasks = surface.get(&format!("/v2/tasks{query}")).body["tasks"].as_array().unwrap().len();
        assert_eq!(tasks, count, "{query}");
    }
}

#[test]
fn groups_may_be_called_as_what_is_below_apps() {
    let mut surface = new();
    for id in ["/tasks/web", "/versions/web", "/x/tasks/web", "/x/versions/web"] {
        assert_eq!(surface.ask("POST", "/v2/apps", &app(id).to_string()).status, 201, "{id}");
    }
    for id in ["/tasks/web", "/versions/web"] {
        assert_eq!(surface.ask("GET", &format!("/v2/apps{id}"), "").body["app"]["id"], id);
    }
    // as in Marathon what is below an app comes first, but with more behind it the app is meant
    for id in ["/tasks/web", "/versions/web", "/x/tasks/web", "/x/versions/web"] {
        for below in ["tasks", "versions"] {
            let said = surface.ask("GET", &format!("/v2/apps{id}/{below}"), "");
            assert_eq!(said.status, 200, "{id}/{below}: {}", said.text);
        }
    }
    assert_eq!(surface.ask("DELETE", "/v2/apps/tasks/web?force=true", "").status, 200);
}
