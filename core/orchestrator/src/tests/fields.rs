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
        ("constraints", Test(orchestrator, "a_unique_host_is_kept")),
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
        ("residency", Test(forms, "what_is_refused_and_where")),
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
        ("secrets", Test(forms, "features_and_networks_hang_on_settings")),
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
    let told = std::fs::read_to_string(format!("{root}/COMPAT.md")).expect("COMPAT.md");
    for name in api::marathon::app_fields() {
        assert!(all.iter().any(|(field, _)| *field == name), "nothing shows that '{name}' acts");
        assert!(told.contains(&format!("\n| `{name}` |")), "COMPAT.md has no row for '{name}'");
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
