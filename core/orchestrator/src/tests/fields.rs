//! Every field of an app acts: what it becomes in the task, or which test shows what else it does. A field that is in
//! the table of definitions and not here fails the test.

use super::{World, create};
use api::json::ToJson as _;
use serde_json::{Value, json};

enum Acts {
    /// With these fields this is at this place of the task.
    Task(Value, &'static str, Value),
    /// This test shows it: file below `core/` or `tests/`, and function.
    Test(&'static str, &'static str),
    /// It is refused at launch, for this is not there yet.
    Refused(Value, &'static str),
}
use Acts::{Refused, Task, Test};

fn fields() -> Vec<(&'static str, Acts)> {
    let check = json!({ "protocol": "COMMAND", "command": { "value": "true" }, "intervalSeconds": 7 });
    let orchestrator = "core/orchestrator/src/tests.rs";
    let rollout = "core/orchestrator/src/tests/rollout.rs";
    let outcome = "core/orchestrator/src/tests/outcome.rs";
    let forms = "core/api/src/marathon/tests.rs";
    vec![
        ("id", Task(json!({}), "/discovery/name", json!("f"))),
        (
            "acceptedResourceRoles",
            Refused(
                json!({ "id": "/dev/f", "role": "dev", "acceptedResourceRoles": ["dev"] }),
                "UnfulfilledRole",
            ),
        ),
        ("args", Task(json!({ "cmd": null, "args": ["a", "b"] }), "/command/arguments", json!(["a", "b"]))),
        ("backoffFactor", Test(orchestrator, "a_failing_task_backs_off")),
        ("backoffSeconds", Test(orchestrator, "a_failing_task_backs_off")),
        ("cmd", Task(json!({ "cmd": "run me" }), "/command/value", json!("run me"))),
        (
            "constraints",
            Test(
                "core/orchestrator/src/tests/fields.rs",
                "each_operator_of_a_constraint_acts_on_each_kind_of_field",
            ),
        ),
        (
            "container",
            Task(
                json!({ "container": { "type": "MESOS",
                    "volumes": [{ "hostPath": "/h", "containerPath": "/c", "mode": "RO" }] } }),
                "/container/volumes/0/host_path",
                json!("/h"),
            ),
        ),
        ("cpus", Task(json!({ "cpus": 0.7 }), "/resources/0/scalar/value", json!(0.7))),
        ("dependencies", Test(rollout, "what_others_need_comes_first_and_is_healthy_first")),
        ("disk", Task(json!({ "disk": 9 }), "/resources/2/scalar/value", json!(9.0))),
        (
            "env",
            Task(
                json!({ "env": { "AAA": "b" } }),
                "/command/environment/variables/0",
                json!({ "name": "AAA", "type": "VALUE", "value": "b" }),
            ),
        ),
        ("executor", Refused(json!({ "executor": "/x/y" }), "custom executors")),
        (
            "executorResources",
            Test("core/orchestrator/src/tests/pods.rs", "a_pod_is_launched_as_a_group_and_seen_whole"),
        ),
        (
            "fetch",
            Task(
                json!({ "fetch": [{ "uri": "http://h/x", "destPath": "y" }] }),
                "/command/uris/0/output_file",
                json!("y"),
            ),
        ),
        (
            "healthChecks",
            Task(json!({ "healthChecks": [check] }), "/health_check/interval_seconds", json!(7.0)),
        ),
        ("check", Task(json!({ "check": { "tcp": { "port": 5 } } }), "/check/tcp/port", json!(5))),
        ("instances", Test(orchestrator, "scales_up_and_down")),
        ("labels", Task(json!({ "labels": { "l": "v" } }), "/labels/labels/0/value", json!("v"))),
        (
            "maxLaunchDelaySeconds",
            Test("core/orchestrator/src/backoff.rs", "grows_to_its_bound_and_starts_again"),
        ),
        ("mem", Task(json!({ "mem": 33 }), "/resources/1/scalar/value", json!(33.0))),
        ("gpus", Test(rollout, "offers_of_other_regions_under_maintenance_or_with_gpus_are_left")),
        ("ipAddress", Test(forms, "old_forms_become_new_ones_and_stay_so")),
        (
            "networks",
            Refused(
                json!({ "networks": [{ "mode": "container", "name": "n" }], "portDefinitions": null }),
                "networks",
            ),
        ),
        ("ports", Test(forms, "old_forms_become_new_ones_and_stay_so")),
        (
            "portDefinitions",
            Task(
                json!({ "portDefinitions": [{ "port": 0, "name": "web", "protocol": "udp" }] }),
                "/discovery/ports/ports/0/protocol",
                json!("udp"),
            ),
        ),
        ("readinessChecks", Test(rollout, "old_tasks_stay_until_new_ones_are_ready")),
        (
            "residency",
            Test(
                "core/orchestrator/src/tests/residents.rs",
                "a_volume_is_given_up_after_a_timeout_if_its_app_says_so",
            ),
        ),
        (
            "resourceLimits",
            Task(json!({ "resourceLimits": { "mem": 64 } }), "/limits/mem/value", json!(64.0)),
        ),
        (
            "requirePorts",
            Task(
                json!({ "requirePorts": true, "portDefinitions": [{ "port": 31007, "protocol": "tcp" }] }),
                "/discovery/ports/ports/0/number",
                json!(31007),
            ),
        ),
        (
            "secrets",
            Test(
                "core/orchestrator/src/tests/fields.rs",
                "what_has_no_machinery_is_refused_at_launch_by_name",
            ),
        ),
        (
            "taskKillGracePeriodSeconds",
            Task(
                json!({ "taskKillGracePeriodSeconds": 7 }),
                "/kill_policy/grace_period/nanoseconds",
                json!(7_000_000_000_u64),
            ),
        ),
        ("upgradeStrategy", Test(orchestrator, "an_upgrade_keeps_its_bounds")),
        ("uris", Test(orchestrator, "a_definition_in_old_forms_runs")),
        ("user", Task(json!({ "user": "nobody" }), "/command/user", json!("nobody"))),
        ("version", Test("core/endpoints/tests/marathon.rs", "an_app_goes_back_to_a_version")),
        (
            "versionInfo",
            Test("core/endpoints/tests/marathon.rs", "versions_are_instants_however_they_are_written"),
        ),
        (
            "killSelection",
            Test("core/orchestrator/src/tests/fields.rs", "kill_selection_says_who_goes_first"),
        ),
        (
            "unreachableStrategy",
            Test(orchestrator, "an_unreachable_instance_is_replaced_and_comes_back_unwanted"),
        ),
        ("tty", Task(json!({ "tty": true }), "/container/tty_info", json!({}))),
        ("role", Test("tests/pods.rs", "an_app_may_have_the_role_of_its_group")),
        ("deploymentTimeoutSeconds", Test(outcome, "what_fits_nowhere_pauses_in_time_and_goes_on_when_told")),
        (
            "everyNode",
            Test(
                "core/orchestrator/src/tests/placement.rs",
                "one_runs_on_every_agent_and_on_those_that_join",
            ),
        ),
        (
            "preferences",
            Test(
                "core/orchestrator/src/tests/placement.rs",
                "liked_places_are_taken_first_and_others_when_they_are_full",
            ),
        ),
        ("maxFailures", Test(outcome, "a_broken_version_is_rolled_back_and_good_tasks_stay")),
        ("onFailure", Test(outcome, "a_broken_version_is_rolled_back_and_good_tasks_stay")),
        ("stagingTimeoutSeconds", Test(outcome, "sick_and_slow_tasks_count_and_lost_agents_do_not")),
        (
            "settleSeconds",
            Test("core/orchestrator/src/tests/fields.rs", "a_new_task_counts_once_it_has_settled"),
        ),
        (
            "autoscale",
            Test(
                "core/orchestrator/src/tests/autoscale.rs",
                "it_follows_what_is_reported_within_its_bounds_and_cools_down",
            ),
        ),
        (
            "runOnce",
            Test(
                "core/orchestrator/src/tests/runs.rs",
                "what_is_done_is_not_started_again_and_its_result_is_kept",
            ),
        ),
    ]
}

#[test]
fn every_field_of_an_app_acts() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let all = fields();
    let names: std::collections::BTreeSet<_> = all.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), all.len(), "a field stands twice");
    let told = std::fs::read_to_string(format!("{root}/COMPAT.md")).expect("COMPAT.md");
    let told = told.split("\n## ").find(|part| part.starts_with("Fields of an app")).expect("the table");
    for name in api::marathon::app_fields() {
        assert!(all.iter().any(|(field, _)| *field == name), "nothing shows that '{name}' acts");
        let rows = told.matches(&format!("\n| `{name}` |")).count();
        assert_eq!(rows, 1, "COMPAT.md has {rows} rows for '{name}'");
    }
    for (field, acts) in all {
        match acts {
            Test(file, function) => {
                let text = std::fs::read_to_string(format!("{root}/{file}")).expect(file);
                assert!(text.contains(&format!("fn {function}")), "{field}: {file} has no test {function}");
            }
            Task(more, place, expected) => {
                let mut world = World::new(1);
                let answer = world.command(create("/f", more));
                assert_eq!(answer.status, 201, "{field}: {answer:?}");
                world.run(5);
                let ids = world.task_ids();
                assert_eq!(ids.len(), 1, "{field}: it is not launched");
                let info: Value = serde_json::from_str(&world.info(&ids[0]).to_json()).expect("JSON");
                assert_eq!(info.pointer(place), Some(&expected), "{field}: {info:#}");
            }
            Refused(more, why) => {
                let id = more["id"].as_str().unwrap_or("/f").to_owned();
                let mut world = World::new(1);
                let answer = world.command(create("/f", more));
                assert_eq!(answer.status, 201, "{field}: {answer:?}");
                world.run(5);
                assert!(world.task_ids().is_empty(), "{field}: it is launched");
                let said = world.machine().why(&id, world.now()).expect("why it waits");
                assert!(format!("{said:?}").contains(why), "{field}: {said:?}");
            }
        }
    }
}

#[test]
fn kill_selection_says_who_goes_first() {
    for (selection, survivor) in [("YOUNGEST_FIRST", 0), ("OLDEST_FIRST", 2)] {
        let mut world = World::new(1);
        world.command(create("/k", json!({ "killSelection": selection })));
        let mut born = Vec::new();
        for instances in 1..=3 {
            world.command(super::update("/k", json!({ "instances": instances }), true));
            world.run(30);
            born.extend(world.task_ids().into_iter().filter(|id| !born.contains(id)).collect::<Vec<_>>());
        }
        assert_eq!(born.len(), 3);
        world.command(super::update("/k", json!({ "instances": 1 }), true));
        world.run(30);
        let left: Vec<String> = world.machine().instances().map(|i| i.task.clone()).collect();
        assert_eq!(left, [born[survivor].clone()], "{selection} of {born:?}");
    }
}

#[test]
fn a_new_task_counts_once_it_has_settled() {
    let mut world = World::new(1);
    let begun = world.now();
    world.command(create("/s", json!({ "settleSeconds": 40 })));
    world.run(30);
    assert_eq!(
        (world.running("/s"), world.machine().deployments().len()),
        (1, 1),
        "it runs and is not settled"
    );
    world.run_until(|machine| machine.deployments().is_empty());
    let took = world.now().since(begun).as_secs();
    assert!((40..60).contains(&took), "settled after {took} s");
}

#[test]
fn all_kinds_of_health_checks_act() {
    let port = |world: &World| world.machine().instances().next().unwrap().ports[0];
    // asked by the orchestrator; a path is asked from the root, whether it says so or not
    for (protocol, path) in [("HTTP", "health"), ("HTTP", "/health"), ("HTTPS", "health"), ("TCP", "")] {
        let mut check =
            json!({ "protocol": protocol, "portIndex": 0, "intervalSeconds": 1, "gracePeriodSeconds": 1 });
        if !path.is_empty() {
            check["path"] = path.into();
        }
        let mut world = World::new(1);
        assert_eq!(world.command(create("/h", json!({ "healthChecks": [check] }))).status, 201);
        world.run(10);
        assert_eq!(world.machine().tally("/h").healthy, 1, "{protocol} {path}");
        let shown = world.machine().app("/h").unwrap().app["healthChecks"][0]["path"].clone();
        let kept = if path.is_empty() { Value::Null } else { json!(path) };
        assert_eq!(shown, kept, "it is shown as it was written");
        world.all_sick = true;
        world.run(10);
        assert_ne!(world.machine().tally("/h").healthy, 1, "{protocol} {path}: nobody noticed");
    }
    // by Mesos
    for (protocol, more, place, expected) in [
        ("COMMAND", json!({ "command": { "value": "test -e x" } }), "/command/value", json!("test -e x")),
        ("MESOS_HTTP", json!({ "path": "health", "portIndex": 0 }), "/http/path", json!("/health")),
        ("MESOS_HTTPS", json!({ "path": "/health", "portIndex": 0 }), "/http/scheme", json!("https")),
        ("MESOS_TCP", json!({ "portIndex": 0 }), "/tcp/port", Value::Null),
    ] {
        let mut check = more;
        check["protocol"] = protocol.into();
        let mut world = World::new(1);
        assert_eq!(world.command(create("/h", json!({ "healthChecks": [check] }))).status, 201);
        world.run(5);
        let info: Value = serde_json::from_str(&world.info(&world.task_ids()[0]).to_json()).expect("JSON");
        let expected = if expected.is_null() { json!(port(&world)) } else { expected };
        assert_eq!(info["health_check"].pointer(place), Some(&expected), "{protocol}: {info:#}");
        assert_eq!(world.machine().tally("/h").healthy, 0, "{protocol}: nobody has said so");
        let task = world.task_ids()[0].clone();
        world.healthy(&task, true);
        assert_eq!(world.machine().tally("/h").healthy, 1, "{protocol}");
    }
    // a check without judgement asks from the root too
    let mut world = World::new(1);
    world.command(create("/c", json!({ "check": { "http": { "portIndex": 0, "path": "up" } } })));
    world.run(5);
    let info: Value = serde_json::from_str(&world.info(&world.task_ids()[0]).to_json()).expect("JSON");
    assert_eq!(info["check"]["http"]["path"], "/up");
}

#[test]
fn each_operator_of_a_constraint_acts_on_each_kind_of_field() {
    use crate::constraints::{Constraint, Counts, Place};
    let place = |n: usize| Place {
        hostname: format!("v{n}"),
        region: Some(format!("v{n}")),
        zone: Some(format!("v{n}")),
        attributes: [("rack".to_owned(), format!("v{n}"))].into(),
        ..Place::default()
    };
    let three = |counts: [u64; 3]| -> Counts {
        (0..3).filter(|n| counts[*n] > 0).map(|n| (format!("v{n}"), counts[n])).collect()
    };
    for field in ["hostname", "@hostname", "@region", "@zone", "rack"] {
        // operator, value, how many are on v0, v1 and v2 of six, who may take one more
        for (operator, value, placed, free) in [
            ("UNIQUE", None, [1, 0, 0], [false, true, true]),
            ("CLUSTER", None, [0, 2, 0], [false, true, false]),
            ("CLUSTER", Some("v2"), [0, 0, 0], [false, false, true]),
            ("GROUP_BY", Some("3"), [2, 1, 0], [false, true, true]),
            ("GROUP_BY", None, [2, 1, 0], [false, true, true]),
            ("LIKE", Some("v[01]"), [0, 0, 0], [true, true, false]),
            ("LIKE", Some("(?!v1).*"), [0, 0, 0], [true, false, true]),
            ("UNLIKE", Some("v[01]"), [0, 0, 0], [false, false, true]),
            ("MAX_PER", Some("2"), [2, 1, 0], [false, true, true]),
            ("IS", Some("v1"), [0, 0, 0], [false, true, false]),
        ] {
            let constraint = Constraint::parse(field, operator, value);
            let may: Vec<bool> = (0..3)
                .map(|n| constraint.refuses(place(n).value(field), &three(placed), 6).is_none())
                .collect();
            assert_eq!(may, free, "{field} {operator} {value:?}");
        }
    }
    // and in a life of an app: one of two racks, at most two on a host, and not on the first
    let mut world = World::new(4);
    let all = json!([["rack", "LIKE", "r0"], ["hostname", "MAX_PER", "2"], ["hostname", "UNLIKE", "host-0"]]);
    world.command(create("/a", json!({ "instances": 3, "constraints": all })));
    world.run(10);
    let hosts: Vec<_> =
        world.machine().instances_of("/a").filter(|i| !i.host.is_empty()).map(|i| i.host.clone()).collect();
    assert_eq!(hosts, ["host-2", "host-2"]);
}

#[test]
fn what_has_no_machinery_is_refused_at_launch_by_name() {
    let container = |more: Value| {
        let mut container = json!({ "type": "MESOS" });
        more.as_object().unwrap().iter().for_each(|(key, value)| container[key] = value.clone());
        json!({ "container": container })
    };
    let volume = |volume: Value| container(json!({ "volumes": [volume] }));
    let secret = json!({ "s": { "source": "/s" } });
    let with_secret = |mut fields: Value| {
        fields["secrets"] = secret.clone();
        fields
    };
    for (fields, named) in [
        (container(json!({ "docker": { "image": "i" } })), "images"),
        (
            volume(json!({ "containerPath": "/v", "mode": "RW",
                "external": { "name": "n", "provider": "dvdi", "options": { "dvdi/driver": "d" } } })),
            "external",
        ),
        (with_secret(volume(json!({ "containerPath": "/v", "secret": "s" }))), "secret"),
        (with_secret(json!({ "env": { "A": { "secret": "s" } } })), "secret"),
        (container(json!({ "linuxInfo": { "seccomp": { "unconfined": true } } })), "seccomp"),
        (container(json!({ "linuxInfo": { "ipcInfo": { "mode": "PRIVATE" } } })), "IPC"),
        (json!({ "networks": [{ "mode": "container", "name": "n" }], "portDefinitions": null }), "networks"),
        (json!({ "executor": "/x/y" }), "custom executors"),
    ] {
        let features = ["secrets", "external_volumes"].map(str::to_owned).into();
        let mut world =
            World::with(crate::Config { role: "dev".into(), features, ..crate::Config::default() });
        let mut app = fields.clone();
        app["role"] = "dev".into();
        world.listen();
        let answer = world.command(create("/dev/f", app));
        assert_eq!(answer.status, 201, "{fields}: {answer:?}");
        world.run(5);
        assert!(world.task_ids().is_empty(), "{fields} is launched");
        let said = world.machine().why("/dev/f", world.now()).expect("why it waits");
        let said = format!("{said:?}");
        assert!(said.contains("NotSupported") && said.contains(named), "{fields}: {said}");
    }
}
