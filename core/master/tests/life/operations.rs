//! Operations on resources, with and without feedback, by frameworks and operators, in both formats.

use crate::world::*;
use base::Duration;
use model::{
    link::{Message, Upid},
    mesos::{
        AgentId, FrameworkInfo, OperationId, OperationState, OperationStatus, Resource, Uuid, Volume,
        agent_info, framework_info, internal,
        offer::{Operation, operation},
        resource::{DiskInfo, ReservationInfo, disk_info::Persistence, reservation_info},
        scheduler::{call, event},
        value, volume,
    },
};

fn reservation(role: &str) -> ReservationInfo {
    let mut reservation = ReservationInfo { role: Some(role.into()), ..Default::default() };
    reservation.set_type(reservation_info::Type::Dynamic);
    reservation
}

pub(crate) fn scalar(name: &str, value: f64, roles: &[&str]) -> Resource {
    let mut resource = Resource {
        name: name.into(),
        scalar: Some(value::Scalar { value }),
        reservations: roles.iter().map(|r| reservation(r)).collect(),
        ..Default::default()
    };
    resource.set_type(value::Type::Scalar);
    resource
}

pub(crate) fn volume_of(size: f64, id: &str) -> Resource {
    let mut volume = Volume { container_path: "data".into(), ..Default::default() };
    volume.set_mode(volume::Mode::Rw);
    let persistence = Persistence { id: id.into(), principal: None };
    let disk = DiskInfo { persistence: Some(persistence), volume: Some(volume), source: None };
    Resource { disk: Some(Box::new(disk)), ..scalar("disk", size, &["web"]) }
}

pub(crate) fn reserve(resources: Vec<Resource>) -> Operation {
    let mut operation = Operation {
        reserve: Some(operation::Reserve { resources, source: Vec::new() }),
        ..Default::default()
    };
    operation.set_type(operation::Type::Reserve);
    operation
}

pub(crate) fn unreserve(resources: Vec<Resource>) -> Operation {
    let mut operation =
        Operation { unreserve: Some(operation::Unreserve { resources }), ..Default::default() };
    operation.set_type(operation::Type::Unreserve);
    operation
}

pub(crate) fn create(volumes: Vec<Resource>) -> Operation {
    let mut operation = Operation { create: Some(operation::Create { volumes }), ..Default::default() };
    operation.set_type(operation::Type::Create);
    operation
}

pub(crate) fn destroy(volumes: Vec<Resource>) -> Operation {
    let mut operation = Operation { destroy: Some(operation::Destroy { volumes }), ..Default::default() };
    operation.set_type(operation::Type::Destroy);
    operation
}

pub(crate) fn named(id: &str, operation: Operation) -> Operation {
    Operation { id: Some(OperationId { value: id.into() }), ..operation }
}

pub(crate) fn feedback(w: &mut World, client: &Client) -> Vec<OperationStatus> {
    let events = w.take(client.stream).into_iter();
    let (feedback, other): (Vec<_>, Vec<_>) =
        events.partition(|e| e.r#type() == event::Type::UpdateOperationStatus);
    other.into_iter().for_each(|e| w.events.push((client.stream, e)));
    feedback.into_iter().filter_map(|e| e.update_operation_status).map(|u| u.status).collect()
}

/// The operations that agents were sent since the last look.
pub(crate) fn applied(w: &mut World) -> Vec<internal::ApplyOperationMessage> {
    let (own, other) = std::mem::take(&mut w.sent)
        .into_iter()
        .partition(|e| matches!(e.message, Message::ApplyOperationMessage(_)));
    w.sent = other;
    let own: Vec<model::link::Envelope> = own;
    own.into_iter()
        .map(|e| match e.message {
            Message::ApplyOperationMessage(m) => *m,
            other => panic!("{other:?}"),
        })
        .collect()
}

pub(crate) fn ended(
    w: &mut World,
    pid: &Upid,
    agent: &AgentId,
    of: &internal::ApplyOperationMessage,
    state: OperationState,
) {
    let mut status = OperationStatus { uuid: Some(Uuid { value: vec![0x41; 16] }), ..Default::default() };
    status.operation_id.clone_from(&of.operation_info.id);
    status.set_state(state);
    let update = internal::UpdateOperationStatusMessage {
        framework_id: of.framework_id.clone(),
        slave_id: Some(agent.clone()),
        latest_status: Some(status.clone()),
        status,
        operation_uuid: Some(of.operation_uuid.clone()),
    };
    w.agent_says(pid, update);
}

#[test]
fn a_volume_is_made_of_a_reservation_used_and_given_back_with_feedback() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    let agent = offer.agent_id.clone();
    let disk = scalar("disk", 64.0, &["web"]);
    let ops = vec![named("r", reserve(vec![disk.clone()])), named("c", create(vec![volume_of(64.0, "v")]))];
    accept(&mut w, &client, &offer, ops);
    let sent = applied(&mut w);
    assert_eq!(sent.len(), 2, "one message for each operation");
    assert_eq!(sent[0].resource_version_uuid.uuid.value, [7; 16]);
    assert!(sent[0].framework_id.is_some() && feedback(&mut w, &client).is_empty());
    // What came of it is offered at once.
    let again = w.offers(&client).remove(0);
    let shown = text(&again.resources);
    assert!(
        shown.contains("(reservations: [(DYNAMIC,web)])[v:data]:64") && shown.contains("disk:936"),
        "{shown}"
    );
    for one in &sent {
        ended(&mut w, &pid, &agent, one, OperationState::OperationFinished);
    }
    let told = feedback(&mut w, &client);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|s| s.uuid.is_some() && s.state() == OperationState::OperationFinished));
    // Not acknowledged: a question about it has the same answer, without a uuid.
    let ask = |w: &mut World, ids: &[&str], agent: Option<&AgentId>| {
        let operations = ids
            .iter()
            .map(|id| call::reconcile_operations::Operation {
                operation_id: OperationId { value: (*id).into() },
                agent_id: agent.cloned(),
                ..Default::default()
            })
            .collect();
        w.call(&client, call::Type::ReconcileOperations, |call| {
            call.reconcile_operations = Some(call::ReconcileOperations { operations });
        });
        feedback(w, &client)
    };
    assert_eq!(ask(&mut w, &[], None).len(), 2);
    for id in ["r", "c"] {
        let acknowledge = call::AcknowledgeOperationStatus {
            agent_id: Some(agent.clone()),
            operation_id: OperationId { value: id.into() },
            uuid: vec![0x41; 16],
            ..Default::default()
        };
        w.call(&client, call::Type::AcknowledgeOperationStatus, |call| {
            call.acknowledge_operation_status = Some(acknowledge);
        });
        assert!(matches!(w.sent.last().unwrap().message, Message::AcknowledgeOperationStatusMessage(_)));
    }
    assert!(ask(&mut w, &[], None).is_empty(), "what is acknowledged is forgotten");
    let unknown = ask(&mut w, &["r"], Some(&agent));
    assert_eq!(unknown[0].message(), "Reconciliation: Operation is unknown");
    // Back again, without a name: the master acknowledges by itself.
    accept(&mut w, &client, &again, vec![destroy(vec![volume_of(64.0, "v")]), unreserve(vec![disk])]);
    let sent = applied(&mut w);
    assert_eq!(text(&w.offers(&client).remove(0).resources), "cpus:4; mem:1024; disk:1000");
    for one in &sent {
        ended(&mut w, &pid, &agent, one, OperationState::OperationFinished);
        assert!(matches!(w.sent.last().unwrap().message, Message::AcknowledgeOperationStatusMessage(_)));
    }
    assert!(feedback(&mut w, &client).is_empty() && w.master.agents()[&agent.value].operations.is_empty());
}

#[test]
fn operations_that_may_not_be_are_refused_by_name() {
    let mut w = World::new();
    able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    let on = format!("; on agent {} at slave(1)@127.0.0.1:5051 (host)", offer.agent_id.value);
    let ops = vec![
        named("role", reserve(vec![scalar("cpus", 1.0, &["other"])])),
        named("much", reserve(vec![scalar("cpus", 100.0, &["web"])])),
        named("plain", unreserve(vec![scalar("cpus", 1.0, &[])])),
        named("none", destroy(vec![volume_of(1.0, "v")])),
        named("bad", reserve(vec![scalar("cpus", -1.0, &["web"])])),
        reserve(vec![scalar("cpus", 100.0, &["web"])]),
    ];
    accept(&mut w, &client, &offer, ops);
    let told = feedback(&mut w, &client);
    // What is wrong with the resources themselves is found before anything is tried.
    let ids: Vec<_> = told.iter().map(|s| s.operation_id.as_ref().unwrap().value.as_str()).collect();
    assert_eq!(ids, ["bad", "role", "much", "plain", "none"]);
    assert!(told.iter().all(|s| s.state() == OperationState::OperationError && s.uuid.is_none()));
    assert_eq!(
        told[1].message(),
        format!(
            "A reserve operation was attempted for a resource with role 'other', but the resource was allocated to \
             role 'web'{on}"
        )
    );
    assert!(told[2].message().contains("does not contain cpus(allocated: web):100"), "{}", told[2].message());
    assert!(
        told[3].message().ends_with(&format!("is not dynamically reserved{on}")),
        "{}",
        told[3].message()
    );
    assert_eq!(told[4].message(), format!("Persistent volumes not found{on}"));
    assert!(applied(&mut w).is_empty());
}

#[test]
fn operations_survive_a_master_and_are_asked_about_when_an_agent_lacks_them() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    accept(&mut w, &client, &offer, vec![named("r", reserve(vec![scalar("cpus", 1.0, &["web"])]))]);
    let sent = applied(&mut w);
    let known = w.master.agents()[&offer.agent_id.value].operations.values().next().unwrap().clone();
    let update = |operations: Vec<model::mesos::Operation>| internal::UpdateSlaveMessage {
        slave_id: offer.agent_id.clone(),
        update_oversubscribed_resources: Some(false),
        operations: Some(internal::update_slave_message::Operations { operations }),
        ..Default::default()
    };
    w.agent_says(&pid, update(Vec::new()));
    let Message::ReconcileOperationsMessage(asked) = &w.sent.last().unwrap().message else {
        panic!("the agent is asked")
    };
    assert_eq!(asked.operations[0].operation_uuid, Some(sent[0].operation_uuid.clone()));
    // A new master learns of it from the agent, and its framework finds it there.
    let mut w = World::from(w.records.clone(), w.now);
    let again = internal::ReregisterSlaveMessage {
        checkpointed_resources: vec![scalar("cpus", 1.0, &["web"])],
        agent_capabilities: capable(&[agent_info::capability::Type::AgentOperationFeedback]),
        ..returning(&offer.agent_id, Vec::new())
    };
    w.agent_says(&pid, again);
    w.agent_says(&pid, update(vec![known]));
    let client = w.subscribe(FrameworkInfo { id: Some(client.id.clone()), ..full() });
    w.call(&client, call::Type::ReconcileOperations, |call| {
        call.reconcile_operations = Some(Default::default())
    });
    let told = feedback(&mut w, &client);
    assert_eq!((told.len(), told[0].state()), (1, OperationState::OperationPending));
    assert!(
        text(&w.offers(&client).remove(0).resources).contains("(DYNAMIC,web)"),
        "checkpointed resources count"
    );
}

#[test]
fn feedback_of_operations_on_a_stale_agent_ends_nothing() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    able_agent(&mut w, 5052);
    let client = w.subscribe(full());
    let offers = w.offers(&client);
    let offer = offers.iter().find(|o| o.url.as_ref().unwrap().address.port == 5051).unwrap();
    let other = offers.iter().find(|o| o.agent_id != offer.agent_id).unwrap();
    accept(&mut w, &client, offer, vec![named("r", reserve(vec![scalar("cpus", 1.0, &["web"])]))]);
    let sent = applied(&mut w);
    ended(&mut w, &pid, &offer.agent_id, &sent[0], OperationState::OperationFinished);
    // The original's master ends itself on an acknowledgement that names another agent.
    for agent in [other.agent_id.clone(), AgentId { value: "nobody".into() }] {
        let acknowledge = call::AcknowledgeOperationStatus {
            agent_id: Some(agent),
            operation_id: OperationId { value: "r".into() },
            uuid: vec![0x41; 16],
            ..Default::default()
        };
        let answer = w.call(&client, call::Type::AcknowledgeOperationStatus, |call| {
            call.acknowledge_operation_status = Some(acknowledge);
        });
        assert_eq!(answer.status, 202);
    }
    assert_eq!(w.master.agents()[&offer.agent_id.value].operations.len(), 1, "it is not acknowledged");
    // Gone with its agent: who named it hears so, and a late word about it is dropped.
    w.pass(Duration::from_secs(91));
    let told = feedback(&mut w, &client);
    let last = told.last().expect("news of the operation");
    assert_eq!(
        (last.state(), last.message()),
        (OperationState::OperationUnreachable, "Agent was marked unreachable")
    );
    ended(&mut w, &pid, &offer.agent_id, &sent[0], OperationState::OperationFinished);
}

#[test]
fn an_operator_reserves_what_is_offered_and_is_refused_what_is_used() {
    let mut w = World::new();
    able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    let ask = |w: &mut World, operation: Operation| {
        w.requests += 1;
        let request = model::request::RequestId(w.requests);
        w.step(master::Input::Operation {
            request,
            agent_id: offer.agent_id.value.clone(),
            operation: Box::new(operation),
            principal: None,
        });
        w.answers.last().unwrap().1.clone()
    };
    assert_eq!(ask(&mut w, reserve(vec![scalar("mem", 64.0, &["other"])])).status, 202);
    assert_eq!(applied(&mut w)[0].framework_id, None);
    let events = w.take(client.stream);
    assert!(events.iter().any(|e| e.rescind.is_some()), "the offer in its way is taken back");
    let offers = events.into_iter().filter_map(|e| e.offers).flat_map(|o| o.offers).collect::<Vec<_>>();
    assert_eq!(text(&offers[0].resources), "cpus:4; mem:960; disk:1000");
    w.launch(&client, &offers[0], "t", 4.0);
    let refused = ask(&mut w, reserve(vec![scalar("cpus", 1.0, &["other"])]));
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(ask(&mut w, unreserve(vec![scalar("mem", 64.0, &["other"])])).status, 202);
    let refused = ask(&mut w, unreserve(vec![scalar("mem", 64.0, &[])]));
    assert_eq!(refused.status, 400, "{refused:?}");
}

#[test]
fn frameworks_without_refinement_get_and_give_the_flat_format() {
    let mut w = World::new();
    able_agent(&mut w, 5051);
    let mut plain = full();
    plain.capabilities.retain(|c| c.r#type() != framework_info::capability::Type::ReservationRefinement);
    let client = w.subscribe(plain);
    let offer = w.offers(&client).remove(0);
    assert!(offer.resources.iter().all(|r| r.reservations.is_empty() && flat_role(r) == "*"));
    let mut cpus = scalar("cpus", 1.0, &[]);
    set_flat(&mut cpus, "web");
    accept(&mut w, &client, &offer, vec![reserve(vec![cpus])]);
    let sent = applied(&mut w);
    let resources = &sent[0].operation_info.reserve.as_ref().unwrap().resources;
    assert_eq!(
        resources[0].reservations,
        [reservation("web")],
        "agents with refinement get the stacked format"
    );
    let offer = w.offers(&client).remove(0);
    assert!(offer.resources.iter().any(|r| flat_role(r) == "web" && r.reservations.is_empty()));
}

#[allow(deprecated)] // The flat format is what is shown here.
fn flat_role(resource: &Resource) -> &str {
    resource.role()
}

#[allow(deprecated)] // The flat format is what is shown here.
fn set_flat(resource: &mut Resource, role: &str) {
    resource.role = Some(role.into());
    resource.reservation = Some(Box::new(ReservationInfo::default()));
}
