//! Reservations and volumes on an agent, driven by hand in virtual time.

mod world;

use agent::Input;
use base::{Duration, Machine as _};
use model::{
    link::Message,
    mesos::{
        AgentId, FrameworkId, OperationId, OperationState, OperationStatus, Resource, Uuid,
        internal::{self, reconcile_operations_message},
        offer::{Operation, operation},
        resource::{DiskInfo, ReservationInfo, disk_info::Persistence, reservation_info},
        volume,
    },
    resources::Resources,
};
use world::{World, master};

fn reserved(name: &str, amount: f64) -> Resource {
    let mut one = Resources::scalars([(name, amount)]).to_messages().remove(0);
    let mut reservation = ReservationInfo { role: Some("db".into()), ..Default::default() };
    reservation.set_type(reservation_info::Type::Dynamic);
    (one.role, one.reservations) = (None, vec![reservation]);
    one
}

fn a_volume(id: &str, amount: f64) -> Resource {
    let mut volume = model::mesos::Volume { container_path: "data".into(), ..Default::default() };
    volume.set_mode(volume::Mode::Rw);
    let persistence = Some(Persistence { id: id.into(), ..Default::default() });
    let disk = DiskInfo { persistence, volume: Some(volume), ..Default::default() };
    Resource { disk: Some(Box::new(disk)), ..reserved("disk", amount) }
}

fn reserve(resources: Vec<Resource>) -> Operation {
    let mut operation = Operation {
        reserve: Some(operation::Reserve { resources, source: Vec::new() }),
        ..Default::default()
    };
    operation.set_type(operation::Type::Reserve);
    operation
}

fn create(volumes: Vec<Resource>) -> Operation {
    let mut operation = Operation { create: Some(operation::Create { volumes }), ..Default::default() };
    operation.set_type(operation::Type::Create);
    operation
}

fn destroy(volumes: Vec<Resource>) -> Operation {
    let mut operation = Operation { destroy: Some(operation::Destroy { volumes }), ..Default::default() };
    operation.set_type(operation::Type::Destroy);
    operation
}

fn apply(w: &mut World, number: u8, operation: Operation) {
    let id = Some(OperationId { value: format!("op-{number}") });
    w.hear(internal::ApplyOperationMessage {
        framework_id: Some(FrameworkId { value: "F".into() }),
        operation_info: Operation { id, ..operation },
        operation_uuid: Uuid { value: vec![number; 16] },
        ..Default::default()
    });
}

/// Statuses of operations said since the last look.
fn said(w: &mut World) -> Vec<internal::UpdateOperationStatusMessage> {
    let of = |m: Message| match m {
        Message::UpdateOperationStatusMessage(m) => Some(*m),
        _ => None,
    };
    std::mem::take(&mut w.sent).into_iter().filter_map(of).collect()
}

fn only(w: &mut World) -> OperationStatus {
    let mut said = said(w);
    assert_eq!(said.len(), 1, "{said:?}");
    said.remove(0).status
}

fn acknowledge(w: &mut World, number: u8, status: &OperationStatus) {
    w.hear(internal::AcknowledgeOperationStatusMessage {
        status_uuid: status.uuid.clone().unwrap(),
        operation_uuid: Uuid { value: vec![number; 16] },
        resource_provider_id: None,
    });
}

fn world() -> World {
    World::fresh_with(|config| {
        config.resources =
            Resources::scalars([("cpus", 4.0), ("mem", 1024.0), ("disk", 1000.0)]).to_messages();
    })
}

#[test]
fn a_reservation_is_kept_and_its_status_repeated_until_acknowledged() {
    let mut w = world();
    apply(&mut w, 1, reserve(vec![reserved("cpus", 1.0)]));
    let status = only(&mut w);
    assert_eq!(status.state(), OperationState::OperationFinished);
    assert_eq!(status.operation_id.as_ref().unwrap().value, "op-1");
    assert_eq!(w.agent.total().reserved_to("db").scalar("cpus"), 1.0);
    assert_eq!(w.agent.total().scalar("cpus"), 4.0);
    w.pass(Duration::from_secs(11));
    w.pass(Duration::from_secs(21));
    let again = said(&mut w);
    assert!(again.len() == 2 && again.iter().all(|m| m.status == status), "{again:?}");
    apply(&mut w, 1, reserve(vec![reserved("cpus", 1.0)]));
    assert_eq!(w.agent.total().reserved_to("db").scalar("cpus"), 1.0, "said twice, done once");
    // Without a master there is nobody to tell, and nothing to look at again and again.
    w.step(Input::MasterDetected(None));
    w.pass(Duration::from_secs(3600));
    let due = w.agent.deadline().map(|(at, what)| (at, what.to_owned()));
    assert!(due.as_ref().is_none_or(|(at, _)| *at > w.now), "{due:?}");
    // A restart forgets neither the reservation nor who has yet to acknowledge it.
    let mut w = w.restarted();
    w.step(Input::Recovered { running: Vec::new(), starting: Vec::new(), ended: Vec::new() });
    w.step(Input::MasterDetected(Some(master())));
    let Message::ReregisterSlaveMessage(message) = &w.sent[0] else { panic!("{:?}", w.sent) };
    assert_eq!(message.checkpointed_resources.len(), 1);
    w.sent.clear();
    let slave_id = AgentId { value: "S0".into() };
    w.hear(internal::SlaveReregisteredMessage { slave_id, ..Default::default() });
    let told = w.sent.iter().find_map(|m| match m {
        Message::UpdateSlaveMessage(m) => m.operations.clone(),
        _ => None,
    });
    assert_eq!(told.unwrap().operations.len(), 1);
    assert_eq!(only(&mut w), status);
    acknowledge(&mut w, 1, &status);
    w.pass(Duration::from_secs(60));
    assert!(said(&mut w).is_empty());
    apply(&mut w, 1, reserve(vec![reserved("cpus", 1.0)]));
    assert_eq!(w.agent.total().reserved_to("db").scalar("cpus"), 1.0, "nor is it done again");
    assert!(!w.records.keys().any(|k| k.starts_with("operations/")), "{:?}", w.records.keys());
}

#[test]
fn volumes_are_made_before_tasks_use_them_and_removed_with_what_is_in_them() {
    let mut w = world();
    apply(&mut w, 1, reserve(vec![reserved("disk", 64.0)]));
    apply(&mut w, 2, create(vec![a_volume("v1", 64.0)]));
    let path = "/w/volumes/roles/db/v1".to_owned();
    assert_eq!(w.volumes, [(vec![path.clone()], Vec::new())]);
    w.run("t", |task| task.resources.push(a_volume("v1", 64.0)));
    let mount = &w.launches[0].volumes[0];
    assert_eq!((&mount.source, mount.target.as_str(), mount.own), (&path, "data", true));
    for (number, message) in (1..).zip(said(&mut w)) {
        assert_eq!(message.status.state(), OperationState::OperationFinished);
        acknowledge(&mut w, number, &message.status);
    }
    apply(&mut w, 3, destroy(vec![a_volume("v1", 64.0)]));
    let (made, removed) = w.volumes.pop().unwrap();
    assert!(made.is_empty() && removed.len() == 1 && removed[0].path == path && !removed[0].keep_root);
    assert_eq!(only(&mut w).state(), OperationState::OperationFinished);
    assert_eq!(w.agent.total().reserved_to("db").scalar("disk"), 64.0, "the reservation stays");
}

#[test]
fn what_fails_changes_nothing_and_says_so() {
    let mut w = world();
    apply(&mut w, 1, reserve(vec![reserved("cpus", 99.0)]));
    let status = only(&mut w);
    assert_eq!(status.state(), OperationState::OperationDropped);
    acknowledge(&mut w, 1, &status);
    apply(&mut w, 2, reserve(vec![reserved("disk", 64.0)]));
    let status = only(&mut w);
    acknowledge(&mut w, 2, &status);
    w.volumes_refused = Some("no space left on the device".into());
    apply(&mut w, 3, create(vec![a_volume("v1", 64.0)]));
    let status = only(&mut w);
    assert_eq!(status.state(), OperationState::OperationFailed);
    assert_eq!(status.message(), "no space left on the device");
    assert!(w.agent.total().iter().all(|item| !item.kind.is_persistent_volume()), "{}", w.agent.total());
    assert_eq!(w.agent.total().reserved_to("db").scalar("disk"), 64.0);
}

#[test]
fn a_crash_before_the_volume_was_made_makes_it_afterwards() {
    let mut w = world();
    apply(&mut w, 1, reserve(vec![reserved("disk", 64.0)]));
    w.deaf = true;
    apply(&mut w, 2, create(vec![a_volume("v1", 64.0)]));
    assert_eq!(w.volumes.len(), 1);
    let mut w = w.restarted();
    w.step(Input::Recovered { running: Vec::new(), starting: Vec::new(), ended: Vec::new() });
    assert_eq!(w.volumes, [(vec!["/w/volumes/roles/db/v1".to_owned()], Vec::new())]);
    w.step(Input::MasterDetected(Some(master())));
    let slave_id = AgentId { value: "S0".into() };
    w.hear(internal::SlaveReregisteredMessage { slave_id, ..Default::default() });
    let states: Vec<_> = said(&mut w).iter().map(|m| m.status.state()).collect();
    assert_eq!(states, [OperationState::OperationFinished; 2]);
}

#[test]
fn reconciliation_says_what_is_known_and_what_is_not() {
    let mut w = world();
    apply(&mut w, 1, reserve(vec![reserved("cpus", 1.0)]));
    said(&mut w);
    let asked = |number: u8| reconcile_operations_message::Operation {
        operation_uuid: Some(Uuid { value: vec![number; 16] }),
        ..Default::default()
    };
    w.hear(internal::ReconcileOperationsMessage { operations: vec![asked(1), asked(2)], framework_id: None });
    let answers = said(&mut w);
    assert_eq!(answers.len(), 1, "what both know is not worth a word");
    assert_eq!(answers[0].status.state(), OperationState::OperationDropped);
    let framework_id = Some(FrameworkId { value: "F".into() });
    w.hear(internal::ReconcileOperationsMessage { operations: vec![asked(1), asked(2)], framework_id });
    let answers: Vec<_> = said(&mut w).into_iter().map(|m| (m.status.state(), m.status.uuid)).collect();
    let expected = [(OperationState::OperationFinished, None), (OperationState::OperationUnknown, None)];
    assert_eq!(answers, expected);
}

#[test]
fn an_operation_from_before_the_last_registration_is_not_done() {
    let mut w = world();
    w.hear(internal::ApplyOperationMessage {
        framework_id: Some(FrameworkId { value: "F".into() }),
        operation_info: reserve(vec![reserved("cpus", 1.0)]),
        operation_uuid: Uuid { value: vec![1; 16] },
        resource_version_uuid: internal::ResourceVersionUuid {
            uuid: Uuid { value: vec![9; 16] },
            ..Default::default()
        },
    });
    let status = only(&mut w);
    assert_eq!(status.state(), OperationState::OperationDropped);
    assert_eq!(status.message(), "Operation assumes outdated resource state");
    assert_eq!(w.agent.total().reserved_to("db").scalar("cpus"), 0.0);
}

#[test]
fn for_more_operations_than_anybody_acknowledges_there_is_no_room_and_the_master_hears_it() {
    const OF_ONE: usize = 5_000;
    let mut w = world();
    let apply = |w: &mut World, number: usize, framework: &str| {
        let mut uuid = vec![0; 8];
        uuid.extend(number.to_be_bytes());
        w.hear(internal::ApplyOperationMessage {
            framework_id: Some(FrameworkId { value: framework.into() }),
            operation_info: Operation {
                id: Some(OperationId { value: format!("op-{number}") }),
                ..reserve(vec![reserved("cpus", 0.001)])
            },
            operation_uuid: Uuid { value: uuid },
            ..Default::default()
        });
        said(w).pop().expect("an answer")
    };
    for number in 0..OF_ONE {
        // what it takes beyond the agent's cpus is dropped, and that has to be acknowledged too
        assert!(apply(&mut w, number, "F").status.uuid.is_some());
    }
    let before = w.agent.total();
    let refused = apply(&mut w, OF_ONE, "F");
    assert_eq!(refused.status.state(), OperationState::OperationDropped);
    assert_eq!(refused.status.operation_id.as_ref().unwrap().value, format!("op-{OF_ONE}"));
    assert_eq!(refused.status.uuid, None, "nobody need acknowledge it");
    assert!(refused.status.message.as_ref().unwrap().contains("OPERATIONS_OF_FRAMEWORK_MAX"));
    assert!(refused.operation_uuid.is_some() && refused.latest_status == Some(refused.status.clone()));
    assert_eq!((w.agent.total(), w.agent.operations().count()), (before, OF_ONE));
    assert!(apply(&mut w, OF_ONE + 1, "G").status.uuid.is_some(), "another framework has its own room");
}
