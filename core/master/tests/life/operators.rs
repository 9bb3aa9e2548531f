//! What operators do while frameworks hold offers and operations are open.

use crate::{operations::*, world::*};
use base::Duration;
use master::{Input, OperatorCall};
use model::{
    mesos::{
        AgentId, DrainConfig, FrameworkInfo, MachineId, OperationId, OperationState, Resource, TaskState,
        TimeInfo, Unavailability,
        maintenance::{Schedule, Window},
        offer::Operation,
        quota::{QuotaConfig, QuotaRequest},
        resource::{AllocationInfo, SharedInfo},
        scheduler::call,
        value::Scalar,
    },
    request::{Answer, RequestId},
    resources::Resources,
};

fn operator(w: &mut World, call: OperatorCall) -> Answer {
    w.requests += 1;
    let request = RequestId(w.requests);
    w.step(Input::Operator { request, call });
    w.answers.iter().rev().find(|(r, _)| *r == request).expect("an answer").1.clone()
}

fn operation(w: &mut World, agent: &AgentId, operation: Operation) -> Answer {
    w.requests += 1;
    let request = RequestId(w.requests);
    let agent_id = agent.value.clone();
    w.step(Input::Operation { request, agent_id, operation: Box::new(operation), principal: None });
    w.answers.iter().rev().find(|(r, _)| *r == request).expect("an answer").1.clone()
}

fn rescinded(w: &mut World, client: &Client) -> usize {
    w.take(client.stream).iter().filter(|e| e.rescind.is_some()).count()
}

fn drain(agent: &AgentId, gone: bool) -> OperatorCall {
    let config = DrainConfig { max_grace_period: None, mark_gone: Some(gone) };
    OperatorCall::Drain { agent: agent.value.clone(), config }
}

fn shared(volume: Resource) -> Resource {
    Resource { shared: Some(SharedInfo {}), ..volume }
}

fn roles(names: &[&str]) -> FrameworkInfo {
    FrameworkInfo { roles: names.iter().map(|r| (*r).to_owned()).collect(), ..full() }
}

#[test]
fn an_agent_is_drained_once_its_last_operation_is_acknowledged() {
    for gone in [false, true] {
        let mut w = World::new();
        let pid = able_agent(&mut w, 5051);
        let client = w.subscribe(full());
        let offer = w.offers(&client).remove(0);
        let agent = offer.agent_id.clone();
        accept(&mut w, &client, &offer, vec![named("r", reserve(vec![scalar("cpus", 1.0, &["web"])]))]);
        let sent = applied(&mut w);
        assert_eq!(operator(&mut w, drain(&agent, gone)).status, 200);
        assert!(w.master.policy().is_draining(&agent.value));
        ended(&mut w, &pid, &agent, &sent[0], OperationState::OperationFinished);
        assert!(w.master.policy().is_draining(&agent.value), "its framework has yet to acknowledge");
        let acknowledge = call::AcknowledgeOperationStatus {
            agent_id: Some(agent.clone()),
            operation_id: OperationId { value: "r".into() },
            uuid: vec![0x41; 16],
            ..Default::default()
        };
        w.call(&client, call::Type::AcknowledgeOperationStatus, |call| {
            call.acknowledge_operation_status = Some(acknowledge);
        });
        assert!(!w.master.policy().is_draining(&agent.value));
        assert_eq!(w.master.agents().is_empty(), gone);
        if !gone {
            continue;
        }
        feedback(&mut w, &client);
        let asked = call::reconcile_operations::Operation {
            operation_id: OperationId { value: "r".into() },
            agent_id: Some(agent),
            ..Default::default()
        };
        w.call(&client, call::Type::ReconcileOperations, |call| {
            call.reconcile_operations = Some(call::ReconcileOperations { operations: vec![asked] });
        });
        let told = feedback(&mut w, &client).remove(0);
        assert_eq!(told.state(), OperationState::OperationGoneByOperator);
        assert_eq!(told.message(), "Reconciliation: Agent marked gone by operator");
    }
}

#[test]
fn agents_of_the_maintenance_schedule_and_those_that_cannot_are_not_drained() {
    let mut w = World::new();
    w.agent(5051);
    let agent = w.master.agents().keys().next().cloned().unwrap();
    let agent = AgentId { value: agent };
    let refused = operator(&mut w, drain(&agent, false));
    let why = format!("Agent {} is not capable of draining", agent.value);
    assert_eq!(refused, Answer::text(400, why));
    let mut w = World::new();
    able_agent(&mut w, 5051);
    let machine = w.master.agents().values().next().unwrap().machine();
    let unavailability =
        Unavailability { start: TimeInfo { nanoseconds: 2_000_000_000_000_000 }, duration: None };
    let windows = vec![Window { machine_ids: vec![machine], unavailability }];
    assert_eq!(operator(&mut w, OperatorCall::UpdateSchedule(Schedule { windows })).status, 200);
    let refused = operator(&mut w, drain(&agent, false));
    let why =
        format!("Agent {} is part of a maintenance schedule under Machine host (127.0.0.1)", agent.value);
    assert_eq!(refused, Answer::text(400, why));
    let none = OperatorCall::UpdateSchedule(Schedule::default());
    assert_eq!(operator(&mut w, none).status, 200);
    assert_eq!(operator(&mut w, drain(&agent, false)).status, 200);
}

#[test]
fn a_guarantee_takes_back_what_others_hold() {
    let mut w = World::new();
    able_agent(&mut w, 5051);
    able_agent(&mut w, 5052);
    let greedy = w.subscribe(roles(&["greedy"]));
    assert_eq!(w.offers(&greedy).len(), 2);
    w.subscribe(roles(&["due"]));
    let guarantees = [("cpus".to_owned(), Scalar { value: 3.0 })].into();
    let config = QuotaConfig { role: "due".into(), guarantees, ..Default::default() };
    let configs = vec![config.clone()];
    let update = OperatorCall::UpdateQuota { force: false, configs };
    assert_eq!(operator(&mut w, update).status, 200);
    assert_eq!(rescinded(&mut w, &greedy), 1, "one agent is enough");
    let due: f64 =
        w.master.offers().values().filter(|o| &*o.role == "due").map(|o| o.resources.scalar("cpus")).sum();
    assert!(due >= 3.0, "{due}");
    // What it holds counts: nothing more is taken back.
    let configs = vec![config];
    assert_eq!(operator(&mut w, OperatorCall::UpdateQuota { force: false, configs }).status, 200);
    assert_eq!(rescinded(&mut w, &greedy), 0);
}

#[test]
fn a_quota_that_is_set_frees_an_agent_for_each_framework_of_its_role() {
    let mut w = World::new();
    for port in 5051..5055 {
        able_agent(&mut w, port);
    }
    let greedy = w.subscribe(roles(&["greedy"]));
    assert_eq!(w.offers(&greedy).len(), 4);
    for _ in 0..2 {
        w.subscribe(roles(&["due"]));
    }
    let guarantee = Resources::scalars([("cpus", 1.0)]).to_messages();
    let set = QuotaRequest { role: Some("due".into()), guarantee, ..Default::default() };
    assert_eq!(operator(&mut w, OperatorCall::SetQuota(set)).status, 200);
    assert_eq!(rescinded(&mut w, &greedy), 2);
}

#[test]
fn wrong_amounts_of_a_quota_are_named_as_upstream_names_them() {
    let mut w = World::new();
    let told = |w: &mut World, value: f64| {
        let limits = [("cpus".to_owned(), Scalar { value })].into();
        let config = QuotaConfig { role: "a".into(), limits, ..Default::default() };
        let answer = operator(w, OperatorCall::UpdateQuota { force: true, configs: vec![config] });
        assert_eq!(answer.status, 400);
        format!("{:?}", answer.body)
    };
    for (value, why) in [
        (-1.0, "Negative values not supported"),
        (f64::NAN, "NaN not supported"),
        (f64::NEG_INFINITY, "Infinite values not supported"),
        (1e-310, "Subnormal values not supported"),
    ] {
        let said = told(&mut w, value);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn what_is_offered_to_one_role_is_not_reserved_for_another() {
    let mut w = World::new();
    able_agent(&mut w, 5051);
    let client = w.subscribe(roles(&["web", "other"]));
    let offer = w.offers(&client).remove(0);
    let own = offer.allocation_info.as_ref().unwrap().role();
    let other = if own == "web" { "other" } else { "web" };
    let mut cpus = scalar("cpus", 1.0, &[other]);
    cpus.allocation_info = Some(AllocationInfo { role: Some(other.into()) });
    accept(&mut w, &client, &offer, vec![named("r", reserve(vec![cpus]))]);
    let told = feedback(&mut w, &client).remove(0);
    assert_eq!(told.state(), OperationState::OperationError);
    assert!(
        told.message().contains(&format!("does not contain cpus(allocated: {other}):1")),
        "{}",
        told.message()
    );
    assert!(applied(&mut w).is_empty());
}

#[test]
fn a_shared_volume_goes_when_nobody_holds_it() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    let volume = || shared(volume_of(64.0, "v"));
    let ops = vec![reserve(vec![scalar("disk", 64.0, &["web"])]), create(vec![volume()])];
    accept(&mut w, &client, &offer, ops);
    for one in applied(&mut w) {
        ended(&mut w, &pid, &offer.agent_id, &one, OperationState::OperationFinished);
    }
    // Two offers that hold it: of what is left beside a task, and of what the task gave back.
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.0);
    let one = w.offers(&client).remove(0);
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskFinished, 0x40);
    let two = w.offers(&client).remove(0);
    assert!([&one, &two].iter().all(|o| text(&o.resources).contains("v:data")), "{one:?} {two:?}");
    let operations = vec![named("d", destroy(vec![volume()]))];
    w.call(&client, call::Type::Accept, |call| {
        let offer_ids = vec![one.id.clone(), two.id.clone()];
        call.accept = Some(call::Accept { offer_ids, operations, filters: None });
    });
    let told = feedback(&mut w, &client).remove(0);
    assert_eq!(told.state(), OperationState::OperationError);
    assert!(told.message().contains("cannot be removed due to additional shared copies"), "{told:?}");
    w.pass(Duration::from_secs(6));
    let before = w.offers(&client);
    assert!(text(&before[0].resources).contains("v:data"), "{}", text(&before[0].resources));
    // It is free however many hold it, and their offers go with it.
    assert_eq!(operation(&mut w, &offer.agent_id, destroy(vec![volume()])).status, 202);
    let events = w.take(client.stream);
    assert!(events.iter().any(|e| e.rescind.is_some()));
    let offers: Vec<_> = events.into_iter().filter_map(|e| e.offers).flat_map(|o| o.offers).collect();
    assert!(!text(&offers[0].resources).contains("v:data"), "{}", text(&offers[0].resources));
}

#[test]
fn a_volume_that_tasks_share_counts_once() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    let volume = || shared(volume_of(64.0, "v"));
    let task = |id: &str| model::mesos::TaskInfo {
        name: id.into(),
        task_id: model::mesos::TaskId { value: id.into() },
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", 1.0, &[]), scalar("mem", 32.0, &[]), volume()],
        command: Some(Default::default()),
        ..Default::default()
    };
    let mut launch = Operation {
        launch: Some(model::mesos::offer::operation::Launch { task_infos: vec![task("a"), task("b")] }),
        ..Default::default()
    };
    launch.set_type(model::mesos::offer::operation::Type::Launch);
    let ops = vec![reserve(vec![scalar("disk", 64.0, &["web"])]), create(vec![volume()]), launch];
    accept(&mut w, &client, &offer, ops);
    for one in applied(&mut w) {
        ended(&mut w, &pid, &offer.agent_id, &one, OperationState::OperationFinished);
    }
    assert_eq!(w.master.frameworks()[&client.id.value].tasks.len(), 2);
    let held = w.master.breakdown("web");
    assert_eq!((held.allocated.0["disk"], held.consumed.0["disk"]), (64_000, 64_000));
    assert_eq!(held.allocated.0["cpus"], 2_000);
}

#[test]
fn a_schedule_or_quotas_of_many_are_taken_at_once() {
    let mut w = World::new();
    able_agent(&mut w, 5051);
    let id = |n: usize| MachineId { hostname: Some(format!("h{n}")), ip: None };
    let unavailability = Unavailability { start: TimeInfo { nanoseconds: 1 }, duration: None };
    // Quadratic, these would take minutes.
    let windows = vec![Window { machine_ids: (0..100_000).map(id).collect(), unavailability }];
    assert_eq!(operator(&mut w, OperatorCall::UpdateSchedule(Schedule { windows })).status, 200);
    let again = vec![MachineId { hostname: Some("H7".into()), ip: None }];
    assert_eq!(operator(&mut w, OperatorCall::StartMaintenance(again)).status, 200);
    assert!(w.master.policy().is_down(&id(7)));
    assert_eq!(w.master.maintenance_status().draining_machines.len(), 99_999);
    let quota = |n: usize| QuotaConfig {
        role: format!("r{n}"),
        limits: [("cpus".to_owned(), Scalar { value: 1.0 })].into(),
        ..Default::default()
    };
    let configs = (0..20_000).map(quota).collect();
    assert_eq!(operator(&mut w, OperatorCall::UpdateQuota { force: false, configs }).status, 200);
    assert_eq!(w.master.policy().quotas.len(), 20_000);
}

#[test]
fn a_restarted_master_with_quotas_waits_for_its_agents() {
    let mut w = World::new();
    let pids: Vec<_> = (5051..5055).map(|port| able_agent(&mut w, port)).collect();
    let ids: Vec<_> = pids.iter().map(|pid| agent_at(&w, pid)).collect();
    let limits = [("cpus".to_owned(), Scalar { value: 4.0 })].into();
    let configs = vec![QuotaConfig { role: "web".into(), limits, ..Default::default() }];
    assert_eq!(operator(&mut w, OperatorCall::UpdateQuota { force: false, configs }).status, 200);
    let mut w = World::from(w.records, w.now + Duration::from_secs(1));
    let client = w.subscribe(full());
    for (at, (pid, id)) in pids.iter().zip(ids).enumerate() {
        w.agent_says(pid, returning(&id, Vec::new()));
        // four fifths of four are three
        let given: f64 = w.offers(&client).iter().map(cpus).sum();
        assert_eq!(given, if at == 2 { 4.0 } else { 0.0 }, "{at}");
    }
}

fn agent_at(w: &World, pid: &model::link::Upid) -> AgentId {
    let found = w.master.agents().values().find(|a| a.pid == *pid);
    found.and_then(|a| a.info.id.clone()).expect("it registered")
}

#[test]
fn several_quotas_of_one_call_hold_as_they_are_in_the_end() {
    let mut w = World::new();
    able_agent(&mut w, 5051);
    let limits = |names: &[&str], value: f64| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), Scalar { value }))
            .collect::<std::collections::HashMap<_, _>>()
    };
    let quota = |role: &str, limits| QuotaConfig { role: role.into(), limits, ..Default::default() };
    let kinds: Vec<String> = (0..15).map(|n| format!("k{n}")).collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let set = |w: &mut World, configs: Vec<QuotaConfig>| {
        operator(w, OperatorCall::UpdateQuota { force: false, configs }).status
    };
    assert_eq!(set(&mut w, vec![quota("x", limits(&["cpus"], 9.0)), quota("all", limits(&kinds, 9.0))]), 200);
    // one kind more, and fourteen less: as many as can be counted only when both are done
    let both = vec![quota("web", limits(&["mem"], 100.0)), quota("all", limits(&["k1"], 9.0))];
    assert_eq!(set(&mut w, both), 200);
    let client = w.subscribe(full());
    let mem: f64 =
        w.offers(&client).iter().map(|o| Resources::from_messages(&o.resources).unwrap().scalar("mem")).sum();
    assert_eq!(mem, 100.0);
    // named twice, a role is held against what it consumes both times, and the last counts
    let offer = w.master.offers().values().next().unwrap().resources.clone();
    assert!(offer.scalar("cpus") >= 2.0);
    let id = w.master.offers().keys().next().unwrap().clone();
    let agent = w.master.agents().values().next().unwrap().info.id.clone().unwrap();
    let offer = model::mesos::Offer {
        id: model::mesos::OfferId { value: id },
        agent_id: agent,
        ..Default::default()
    };
    w.launch(&client, &offer, "t", 2.0);
    let twice = vec![quota("web", limits(&["cpus"], 10.0)), quota("web", limits(&["cpus"], 1.0))];
    assert_eq!(set(&mut w, twice), 400);
}
