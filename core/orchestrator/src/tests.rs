//! Whole lives of apps in virtual time, against a master, a store and a network that fit in one screen.

mod autoscale;
mod defaults;
mod faults;
mod fields;
mod line;
mod listed;
mod nested_fields;
mod outages;
mod outcome;
mod placement;
mod pod_fields;
mod pods;
mod requests;
mod residents;
mod rollout;
mod runs;
mod world;

use crate::{AppUpdate, Command, instances::Condition};
use base::Duration;
use serde_json::{Map, Value, json};
use world::World;

fn app(id: &str, more: Value) -> Map<String, Value> {
    let mut all = json!({ "id": id, "cmd": "sleep 100", "instances": 1, "cpus": 0.1, "mem": 16.0, "role": "*",
        "portDefinitions": [{ "port": 0, "protocol": "tcp", "name": "default" }] });
    more.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
    all.as_object().unwrap().clone()
}

fn create(id: &str, more: Value) -> Command {
    Command::CreateApp { app: app(id, more), force: false }
}

fn update(id: &str, fields: Value, force: bool) -> Command {
    let fields = fields.as_object().unwrap().clone();
    let updates = vec![AppUpdate { id: id.into(), fields, partial: true }];
    Command::UpdateApps { updates, force, create: true, single: true }
}

#[test]
fn an_app_is_created_and_its_deployment_ends() {
    let mut world = World::new(2);
    world.listen();
    let answer = world.command(create("/a", json!({ "instances": 3 })));
    assert_eq!(answer.status, 201);
    world.run(20);
    assert_eq!(world.running("/a"), 3);
    assert_eq!(world.machine().deployments().len(), 0);
    assert_eq!(world.machine().queue().count(), 0);
    let ports: std::collections::BTreeSet<_> =
        world.machine().instances().map(|i| (i.agent.clone(), i.ports.clone())).collect();
    assert_eq!(ports.len(), 3);
    let mut kinds = world.event_kinds();
    kinds.dedup();
    assert_eq!(
        kinds[..4],
        ["event_stream_attached", "api_post_event", "group_change_success", "deployment_info"]
    );
    assert_eq!(kinds.last().unwrap(), "deployment_success");
    assert!(kinds.contains(&"status_update_event".to_owned()));
    assert_eq!(world.command(create("/a", json!({}))).status, 409);
}

#[test]
fn scales_up_and_down() {
    let mut world = World::new(3);
    world.command(create("/a", json!({ "instances": 1 })));
    world.run(10);
    let first = world.machine().instances().next().unwrap().task.clone();
    for wanted in [5, 2, 0, 1] {
        assert_eq!(world.command(update("/a", json!({ "instances": wanted }), false)).status, 200);
        world.run(30);
        assert_eq!(world.running("/a"), wanted);
        assert_eq!(world.machine().deployments().len(), 0);
        if wanted == 2 {
            assert!(world.machine().task(&first).is_some(), "the youngest goes first");
        }
    }
}

#[test]
fn an_upgrade_keeps_its_bounds() {
    let mut world = World::new(4);
    let strategy = json!({ "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.25 });
    world.command(create("/a", json!({ "instances": 8, "upgradeStrategy": strategy })));
    world.run(30);
    assert_eq!(world.command(update("/a", json!({ "cmd": "other" }), false)).status, 200);
    let version = world.machine().app("/a").unwrap().spec.version.clone();
    world.each_step(40, |machine| {
        let tally = machine.tally("/a");
        assert!(tally.all <= 10, "{tally:?}");
        assert!(tally.running >= 4, "{tally:?}");
    });
    assert_eq!(world.running("/a"), 8);
    assert!(world.machine().instances().all(|i| i.version == version));
    assert_eq!(world.machine().deployments().len(), 0);
}

#[test]
fn a_failing_task_backs_off() {
    let mut world = World::new(1);
    world.command(create("/a", json!({ "backoffSeconds": 2, "backoffFactor": 2 })));
    world.run(5);
    let mut starts = Vec::new();
    for _ in 0..3 {
        let task = world.machine().instances().next().unwrap().task.clone();
        world.fail(&task);
        let at = world.now();
        world.run_until(|machine| machine.instances().next().is_some());
        starts.push((world.now() - at).as_secs());
        world.run(1);
    }
    assert_eq!(starts, [2, 4, 8]);
    let failure = world.machine().last_failure("/a").unwrap();
    assert_eq!((failure.state.as_str(), failure.message.as_str()), ("TASK_FAILED", "made to fail"));
}

#[test]
fn a_locked_app_is_refused_and_force_breaks_the_lock() {
    let mut world = World::new(1);
    world.command(create("/a", json!({ "cpus": 1000.0 })));
    world.run(3);
    let id = world.machine().deployments()[0].id.clone();
    let answer = world.command(update("/a", json!({ "cpus": 0.1 }), false));
    assert_eq!(answer.status, 409);
    assert_eq!(world.json(&answer)["deployments"], json!([{ "id": id }]));
    let why = world.machine().why("/a", world.now()).unwrap();
    assert_eq!(why.agents[0].refusals[0].stage, "InsufficientCpus");
    assert_eq!((why.waiting, why.agents[0].refusals[0].wanted), (1, Some(1000.0)));
    assert_eq!(world.command(update("/a", json!({ "cpus": 0.1 }), true)).status, 200);
    world.run(10);
    assert_eq!(world.running("/a"), 1);
    assert_eq!(world.machine().deployments().len(), 0);
}

#[test]
fn an_app_is_deleted_with_its_tasks() {
    let mut world = World::new(1);
    world.command(create("/a", json!({ "instances": 2 })));
    world.run(10);
    assert_eq!(world.command(Command::DeleteApp { id: "/a".into(), force: true }).status, 200);
    world.run(10);
    assert!(world.machine().app("/a").is_none());
    assert_eq!((world.tasks(), world.machine().instances().count()), (0, 0));
    let kept = |key: &String| {
        ["framework", "groups/", "worked"].contains(&key.as_str()) || key.starts_with("history/")
    };
    assert!(world.keys().iter().all(kept), "{:?}", world.keys());
    assert_eq!(world.command(Command::DeleteApp { id: "/a".into(), force: true }).status, 404);
}

#[test]
fn a_cancelled_upgrade_is_undone() {
    let mut world = World::new(2);
    world.command(create("/a", json!({ "instances": 2 })));
    world.run(10);
    world.command(update("/a", json!({ "cpus": 500.0 }), false));
    world.run(5);
    let id = world.machine().deployments()[0].id.clone();
    assert_eq!(world.command(Command::CancelDeployment { id: id.clone(), force: false }).status, 200);
    world.run(40);
    assert_eq!(world.machine().deployments().len(), 0);
    assert_eq!(world.machine().app("/a").unwrap().spec.cpus, 0.1);
    assert_eq!(world.running("/a"), 2);
    assert_eq!(world.command(Command::CancelDeployment { id, force: true }).status, 404);
}

#[test]
fn an_unhealthy_task_is_killed_and_replaced() {
    let mut world = World::new(1);
    let check = json!({ "protocol": "HTTP", "portIndex": 0, "gracePeriodSeconds": 5, "intervalSeconds": 1,
        "timeoutSeconds": 1, "maxConsecutiveFailures": 3 });
    world.command(create("/a", json!({ "healthChecks": [check] })));
    world.run(20);
    assert_eq!(world.machine().tally("/a").healthy, 1);
    assert_eq!(world.machine().deployments().len(), 0);
    let task = world.machine().instances().next().unwrap().task.clone();
    world.sick.insert(task.clone());
    world.run(20);
    assert!(world.machine().task(&task).is_none());
    assert_eq!(world.machine().tally("/a").healthy, 1);
}

#[test]
fn tasks_that_are_never_well_back_off() {
    let check = json!({ "protocol": "HTTP", "portIndex": 0, "gracePeriodSeconds": 0, "intervalSeconds": 3,
        "timeoutSeconds": 1, "maxConsecutiveFailures": 1 });
    let more = json!({ "healthChecks": [check], "backoffSeconds": 2, "backoffFactor": 2 });
    let mut world = World::new(1);
    world.all_sick = true;
    world.command(create("/a", more));
    let mut lives = Vec::new();
    for _ in 0..3 {
        world.run_until(|machine| machine.instances().next().is_some());
        let began = world.now();
        world.run_until(|machine| machine.instances().next().is_none());
        let ended = world.now();
        world.run_until(|machine| machine.instances().next().is_some());
        lives.push(((ended - began).as_secs(), (world.now() - ended).as_secs()));
    }
    // an answer before the first regular look counts for nothing; then it is ended, and the next one waits
    assert_eq!(lives, [(3, 2), (3, 4), (3, 8)]);
}

#[test]
fn a_task_that_its_agent_ends_as_sick_backs_off() {
    let check = json!({ "protocol": "COMMAND", "command": { "value": "false" } });
    let mut world = World::new(1);
    world.command(create("/a", json!({ "healthChecks": [check], "backoffSeconds": 5 })));
    world.run(5);
    let task = world.machine().instances().next().unwrap().task.clone();
    world.end_sick(&task);
    assert_eq!(world.machine().waits_until("/a", world.now()), Some(world.now() + Duration::from_secs(5)));
}

#[test]
fn an_unreachable_instance_is_replaced_and_comes_back_unwanted() {
    let mut world = World::new(2);
    let strategy = json!({ "inactiveAfterSeconds": 10, "expungeAfterSeconds": 60 });
    world.command(create("/a", json!({ "unreachableStrategy": strategy })));
    world.run(10);
    let task = world.machine().instances().next().unwrap().task.clone();
    world.unreachable(&task);
    world.run(5);
    assert_eq!(world.machine().task(&task).unwrap().condition, Condition::Unreachable);
    assert_eq!(world.machine().instances().count(), 1);
    world.run(10);
    assert_eq!(world.machine().task(&task).unwrap().condition, Condition::UnreachableInactive);
    assert_eq!(world.running("/a"), 1);
    world.run(60);
    assert!(world.machine().task(&task).is_none());
    world.back(&task);
    world.run(5);
    assert_eq!((world.tasks(), world.running("/a")), (1, 1));
}

#[test]
fn a_unique_host_is_kept() {
    let mut world = World::new(3);
    world.command(create("/a", json!({ "instances": 4, "constraints": [["hostname", "UNIQUE"]] })));
    world.run(20);
    assert_eq!(world.running("/a"), 3);
    let why = world.machine().why("/a", world.now()).unwrap();
    assert!(!why.agents.is_empty());
    assert!(why.agents.iter().all(|agent| agent.refusals[0].stage == "UnfulfilledConstraint"), "{why:?}");
    world.run(200);
    assert_eq!(world.running("/a"), 3);
}

#[test]
fn what_cannot_run_says_so() {
    let mut world = World::new(1);
    world.command(create("/a", json!({ "container": { "type": "DOCKER", "docker": { "image": "x" } } })));
    world.run(5);
    assert_eq!(world.running("/a"), 0);
    let why = world.machine().why("/a", world.now()).unwrap();
    assert_eq!(why.summary, "container images are not supported yet");
}

#[test]
fn a_crash_after_any_write_loses_nothing() {
    for crash_at in 0..60 {
        let mut world = World::new(3);
        world.crash_after_saves(crash_at);
        if world.try_command(create("/a", json!({ "instances": 3 }))).is_none() {
            world.run(1);
            // the client does not know whether it was taken, and asks again
            let again = world.command(create("/a", json!({ "instances": 3 })));
            assert!([201, 409].contains(&again.status), "{again:?}");
        }
        world.run(20);
        assert_eq!((world.running("/a"), world.tasks()), (3, 3), "crash after {crash_at}");
        let changed = world.try_command(update("/a", json!({ "cmd": "two" }), false));
        world.run(60);
        if changed.is_none() {
            world.command(update("/a", json!({ "cmd": "two" }), true));
            world.run(60);
        }
        assert_eq!((world.running("/a"), world.tasks()), (3, 3), "crash after {crash_at}");
        assert_eq!(world.machine().deployments().len(), 0, "crash after {crash_at}");
        assert_eq!(world.machine().app("/a").unwrap().spec.cmd.as_deref(), Some("two"));
        let config = world.machine().app("/a").unwrap().spec.config_version.clone();
        assert!(world.machine().instances().all(|i| i.version >= config), "crash after {crash_at}");
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    let mut world = World::new(1);
    world.full = true;
    assert_eq!(world.command(create("/a", json!({}))).status, 503);
    assert_eq!(world.command(create("/b", json!({}))).status, 503);
    world.run(3);
    assert_eq!(world.tasks(), 0, "nothing is launched that is not durable");
    world.full = false;
    world.run(10);
    assert_eq!(world.running("/a"), 1);
    assert_eq!(world.command(create("/b", json!({}))).status, 201);
}

#[test]
fn what_is_read_has_its_shape() {
    let mut world = World::new(1);
    let check = json!({ "protocol": "HTTP", "portIndex": 0, "intervalSeconds": 1 });
    world.command(create("/a", json!({ "healthChecks": [check] })));
    world.command(create("/big", json!({ "cpus": 100.0 })));
    world.run(10);
    let (machine, now) = (world.machine(), world.now());
    let embed = crate::Embed::of(["apps.tasks", "apps.counts", "lastTaskFailure"]);
    let info = machine.app_info("/a", embed, now).unwrap();
    assert_eq!((&info["tasksRunning"], &info["tasksHealthy"]), (&json!(1), &json!(1)));
    assert_eq!(info["tasks"][0]["healthCheckResults"][0]["alive"], true);
    assert_eq!(info["tasks"][0]["servicePorts"], json!([10_000]));
    let queue = machine.queue_info(now, true, true);
    let item = &queue["queue"][0];
    assert_eq!((&item["app"]["id"], &item["count"]), (&json!("/big"), &json!(1)));
    let steps = item["processedOffersSummary"]["rejectSummaryLastOffers"].as_array().unwrap();
    assert_eq!(steps.len(), 10);
    assert_eq!(steps[4], json!({ "reason": "InsufficientCpus", "declined": 1, "processed": 1 }));
    assert_eq!(steps[5], json!({ "reason": "InsufficientMemory", "declined": 0, "processed": 0 }));
    assert_eq!(item["lastUnusedOffers"][0]["offer"]["hostname"], "host-0");
    let deployments = machine.deployments_info();
    assert_eq!(deployments[0]["affectedApps"], json!(["/big"]));
    assert_eq!(deployments[0]["currentActions"][0]["action"], "ScaleApplication");
    assert_eq!((&deployments[0]["currentStep"], &deployments[0]["totalSteps"]), (&json!(2), &json!(2)));
}

#[test]
fn what_is_written_at_once_is_what_is_shown_as_a_value() {
    let mut world = World::new(2);
    let check = json!([{ "protocol": "HTTP", "portIndex": 0, "intervalSeconds": 1 }]);
    let by_agent = json!([{ "protocol": "MESOS_TCP", "portIndex": 0 }]);
    let ready = json!([{ "portName": "default", "intervalSeconds": 2, "timeoutSeconds": 1 }]);
    world.well = true;
    world.command(create(
        "/a",
        json!({ "instances": 3, "healthChecks": check, "labels": { "é\"\n": "<&>" } }),
    ));
    world.command(create("/b", json!({ "healthChecks": by_agent, "readinessChecks": ready })));
    world.command(create("/once", json!({ "runOnce": true })));
    world.command(create("/every", json!({ "everyNode": true })));
    world.command(create("/none", json!({ "instances": 0 })));
    world.run(10);
    let task = world.machine().instances_of("/a").next().unwrap().task.clone();
    world.fail(&task);
    world.sick.insert(world.machine().instances_of("/a").last().unwrap().task.clone());
    world.command(create("/big", json!({ "cpus": 100.0, "deploymentTimeoutSeconds": 600 })));
    world.unready = true;
    world.command(update("/b", json!({ "cmd": "other" }), false));
    world.run(3);
    let (machine, now) = (world.machine(), world.now());
    let read = |text: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&text).unwrap();
    for embed in [
        &["apps.tasks", "apps.counts", "apps.lastTaskFailure"][..],
        &["apps.counts"],
        &["apps.deployments", "apps.readiness", "apps.taskStats", "apps.why"],
        &[],
    ] {
        let embed = crate::Embed::of(embed.iter().copied());
        for id in ["/a", "/b", "/once", "/every", "/none", "/big"] {
            let mut text = Vec::new();
            assert!(machine.app_text(id, embed, now, &mut text), "{id}");
            assert_eq!(Some(read(text)), machine.app_info(id, embed, now), "{id} {embed:?}");
        }
        assert!(!machine.app_text("/nobody", embed, now, &mut Vec::new()));
    }
    let mut text = Vec::new();
    machine.tasks_text(machine.instances_of("/a"), &mut text);
    let shown = machine.tasks_info("/a");
    assert_eq!(text, shown.to_string().into_bytes(), "also in the order of names");
    assert!(shown.to_string().contains("healthCheckResults"), "{shown}");
    assert!(machine.last_failure("/a").is_some());
    let shown = machine.deployments_info();
    assert_eq!(read(machine.deployments_text()), shown);
    assert!(shown.as_array().unwrap().len() >= 2, "{shown}");
    assert!(shown.to_string().contains("readinessCheckResults"));
}

#[test]
fn ten_thousand_instances_stay_linear() {
    let mut world = World::new(50);
    world.checks = false;
    let tiny = json!({ "instances": 10_000, "cpus": 0.001, "mem": 0.1, "portDefinitions": [] });
    world.command(create("/a", tiny));
    let mut most = 0;
    world.each_step(30, |machine| most = most.max(machine.instances.unheard()));
    assert_eq!(world.running("/a"), 10_000);
    assert_eq!(most, crate::config::LAUNCHES_UNHEARD_MAX, "not all of them at once");
    assert_eq!(world.machine().deployments().len(), 0);
}

#[test]
fn a_lost_master_is_found_again_and_lost_tasks_are_replaced() {
    let mut world = World::new(2);
    world.command(create("/a", json!({ "instances": 2 })));
    world.run(10);
    let task = world.machine().instances().next().unwrap().task.clone();
    world.disconnect();
    world.vanish(&task);
    world.command(update("/a", json!({ "instances": 1 }), false));
    world.run(3);
    world.connect();
    world.run(10);
    assert!(world.machine().task(&task).is_none());
    assert_eq!((world.running("/a"), world.tasks()), (1, 1));
}

#[test]
fn tasks_that_nobody_ordered_are_killed() {
    let mut world = World::new(1);
    world.stray("old.instance-1._app.1");
    assert_eq!(world.tasks(), 1);
    world.back("old.instance-1._app.1");
    world.run(2);
    assert_eq!(world.tasks(), 0);
}

#[test]
fn killed_tasks_are_replaced_or_the_app_shrinks() {
    let mut world = World::new(2);
    world.command(create("/a", json!({ "instances": 3 })));
    world.run(10);
    let tasks: Vec<_> = world.machine().instances().map(|i| i.task.clone()).collect();
    let kill = |task: &String, scale| Command::KillTasks {
        tasks: vec![task.clone()],
        scale,
        wipe: false,
        force: false,
        single: true,
    };
    assert_eq!(world.command(kill(&tasks[0], false)).status, 200);
    world.run(10);
    assert_eq!(world.running("/a"), 3);
    assert!(world.machine().task(&tasks[0]).is_none());
    assert_eq!(world.command(kill(&tasks[1], true)).status, 200);
    world.run(10);
    assert_eq!(world.running("/a"), 2);
    assert_eq!(world.machine().app("/a").unwrap().spec.instances, 2);
    assert_eq!(world.command(kill(&tasks[1], true)).status, 404);
}

#[test]
fn a_definition_in_old_forms_runs() {
    let body = br#"{ "id": "old", "cmd": "sleep $PORT0", "ports": [0, 9000], "uris": ["http://x/a.tgz"], "mem": 16,
        "constraints": [["hostname", "like", "host-1"]], "cpus": 0.1, "healthChecks": [{ "protocol": "tcp" }] }"#;
    let app = api::marathon::object(body).expect("an object");
    let mut world = World::new(2);
    assert_eq!(world.command(Command::CreateApp { app, force: false }).status, 201);
    let spec = world.machine().app("/old").expect("made absolute").spec.clone();
    assert_eq!(spec.unsupported, None);
    assert_eq!(spec.ports.iter().map(|port| port.port).collect::<Vec<_>>(), [10_000, 9000]);
    assert!(spec.fetch[0].extract);
    assert_eq!(spec.checks[0].protocol, "TCP");
    world.run(5);
    let instance = world.machine().instances().next().expect("launched");
    assert_eq!((instance.host.as_str(), instance.ports.len()), ("host-1", 2));
}

#[test]
fn a_clock_that_went_back_makes_no_older_versions() {
    for ms in [0, 951_782_400_123, 1_600_000_000_000, 1_709_164_800_000, 4_102_444_799_999] {
        assert_eq!(crate::millis(&crate::when(ms)), Some(ms));
    }
    for text in ["", "yesterday", "2014-00-00T00:00:00.000Z", "2014-09-12"] {
        assert_eq!(crate::millis(text), None, "{text}");
    }
    let mut world = World::new(2);
    world.command(create("/a", json!({ "instances": 2 })));
    world.run(10);
    world.back_to(Duration::from_secs(3600));
    assert_eq!(world.command(update("/a", json!({ "cmd": "other" }), false)).status, 200);
    world.run(30);
    let version = world.machine().app("/a").unwrap().spec.version.clone();
    assert!(world.machine().instances().all(|i| i.version == version), "all are of the later version");
    assert_eq!((world.running("/a"), world.machine().deployments().len()), (2, 0));
}

#[test]
fn what_came_last_stays_last_though_the_clock_goes_back() {
    let group = |text: &str| {
        let tree = json!({ "defaults": { "env": { "E": text } } });
        let update = api::marathon::group_update(tree.as_object().unwrap().clone(), "/g").unwrap();
        Command::PutGroup { base: "/g".into(), update, force: false, create: false }
    };
    let mut world = World::new(1);
    for n in ["one", "two"] {
        assert!(world.command(group(n)).status < 300);
        world.run(1);
    }
    world.back_to(Duration::from_secs(3600));
    world.run(1);
    assert!(world.command(group("three")).status < 300);
    let newest = world.machine().group_versions("/g");
    let is = &world.machine().groups["/g"];
    assert_eq!((newest[0], is.defaults["env"]["E"].as_str()), (is.version.as_str(), Some("three")));
    assert_eq!(newest.len(), 3);
    // nor does a change that waits lose its place, or its record
    let mut world = World::new(1);
    world.command(create("/a", json!({ "cpus": 100 })));
    let wait = |world: &mut World, command| {
        world.how = crate::How { queue: true, ..crate::How::default() };
        let answer = world.command(command);
        world.how = crate::How::default();
        let said = world.json(&answer);
        assert_eq!(answer.status, 202, "{said}");
        said["version"].as_str().unwrap().to_owned()
    };
    let first = wait(&mut world, update("/a", json!({ "cpus": 1 }), false));
    world.back_to(Duration::from_secs(3600));
    let restart = Command::RestartApp { id: "/a".into(), force: false };
    assert!(wait(&mut world, restart) > first);
}
