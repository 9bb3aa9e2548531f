//! Inverse offers: who is asked for an agent that goes away, what is kept of the answer, when the question is put again.

use crate::world::{Client, ME, World, aware, info};
use base::Duration;
use master::{Config, Input, OperatorCall, Tables as _};
use model::{
    driver::SchedulerCall,
    link::{Message, Upid},
    mesos::{
        Filters, FrameworkId, FrameworkInfo, InverseOffer, MachineId, OfferId, TimeInfo, Unavailability,
        allocator::inverse_offer_status::Status,
        internal,
        maintenance::{Schedule, Window},
        scheduler::{call, event},
    },
    request::RequestId,
    save::Records,
};

fn plan(w: &mut World, start: i64) {
    let machine = MachineId { hostname: Some("HOST".into()), ip: Some("127.0.0.1".into()) };
    let unavailability = Unavailability { start: TimeInfo { nanoseconds: start }, duration: None };
    let windows = vec![Window { machine_ids: vec![machine], unavailability }];
    schedule(w, Schedule { windows });
}

fn schedule(w: &mut World, schedule: Schedule) {
    let request = RequestId(1_000_000 + w.answers.len() as u64);
    w.step(Input::Operator { request, call: OperatorCall::UpdateSchedule(schedule) });
    let answer = w.answers.iter().find(|(r, _)| *r == request).expect("an answer");
    assert_eq!(answer.1.status, 200);
}

fn asked(w: &mut World, client: &Client) -> Vec<InverseOffer> {
    let events = w.take(client.stream).into_iter();
    events.filter_map(|e| e.inverse_offers).flat_map(|o| o.inverse_offers).collect()
}

fn refuse(seconds: f64) -> Option<Filters> {
    Some(Filters { refuse_seconds: Some(seconds) })
}

fn take(w: &mut World, client: &Client, id: &OfferId, filters: Option<Filters>) {
    let inverse_offer_ids = vec![id.clone()];
    let answer = w.call(client, call::Type::AcceptInverseOffers, |call| {
        call.accept_inverse_offers = Some(call::AcceptInverseOffers { inverse_offer_ids, filters });
    });
    assert_eq!(answer.status, 202);
}

fn decline(w: &mut World, client: &Client, id: &OfferId, filters: Option<Filters>) {
    let inverse_offer_ids = vec![id.clone()];
    let answer = w.call(client, call::Type::DeclineInverseOffers, |call| {
        call.decline_inverse_offers = Some(call::DeclineInverseOffers { inverse_offer_ids, filters });
    });
    assert_eq!(answer.status, 202);
}

fn said(w: &World) -> Vec<(Status, String)> {
    let machines = w.master.maintenance_status().draining_machines;
    let all = machines.into_iter().flat_map(|machine| machine.statuses);
    all.map(|s| (s.status(), s.framework_id.value)).collect()
}

#[test]
fn who_holds_something_of_an_agent_that_goes_away_is_asked_and_the_answer_is_kept() {
    let mut w = World::new();
    w.agent(5051);
    let holder = w.subscribe(aware(60.0));
    let offer = w.offers(&holder).remove(0);
    w.launch(&holder, &offer, "t", 4.0);
    let other = w.subscribe(aware(60.0));
    for client in [&other, &holder] {
        let offer_ids = w.offers(client).into_iter().map(|o| o.id).collect();
        w.call(client, call::Type::Decline, |call| {
            call.decline = Some(call::Decline { offer_ids, filters: refuse(1e6) });
        });
    }
    for client in [&holder, &other] {
        let offer_ids = w.offers(client).into_iter().map(|o| o.id).collect();
        w.call(client, call::Type::Decline, |call| {
            call.decline = Some(call::Decline { offer_ids, filters: refuse(1e6) });
        });
    }
    plan(&mut w, 7);
    let inverse = asked(&mut w, &holder);
    assert_eq!(inverse.len(), 1);
    let url = inverse[0].url.as_ref().expect("where the agent is");
    assert_eq!((url.address.port, url.path.as_deref()), (5051, Some("/slave(1)")));
    assert_eq!(inverse[0].framework_id, holder.id);
    assert_eq!(
        (inverse[0].agent_id.as_ref(), inverse[0].unavailability.start.nanoseconds),
        (Some(&offer.agent_id), 7)
    );
    assert!(inverse[0].resources.is_empty(), "the machine goes, not this or that of it");
    assert!(w.take(other.stream).iter().all(|e| e.inverse_offers.is_none()), "it holds nothing there");
    assert_eq!(said(&w), []);
    let shown = w.master.view().frameworks_message();
    assert_eq!(shown.frameworks.iter().map(|f| f.inverse_offers.len()).collect::<Vec<_>>(), [1, 0]);

    // Somebody else's answer, and one to nothing, are passed over.
    decline(&mut w, &other, &inverse[0].id, None);
    decline(&mut w, &holder, &OfferId { value: "nope".into() }, None);
    assert_eq!(said(&w), []);
    w.pass(Duration::from_secs(30));
    assert_eq!(asked(&mut w, &holder), [], "one question at a time");

    take(&mut w, &holder, &inverse[0].id, refuse(20.0));
    assert_eq!(said(&w), [(Status::Accept, holder.id.value.clone())]);
    w.pass(Duration::from_secs(19));
    assert_eq!(asked(&mut w, &holder), []);
    w.pass(Duration::from_secs(2));
    let again = asked(&mut w, &holder);
    assert_eq!(again.len(), 1, "the refusal has ended");
    assert_ne!(again[0].id, inverse[0].id);
    decline(&mut w, &holder, &again[0].id, None);
    assert_eq!(said(&w), [(Status::Decline, holder.id.value.clone())], "the last answer counts");
    w.pass(Duration::from_secs(6));
    assert_eq!(asked(&mut w, &holder).len(), 1, "5 seconds unless it says otherwise");
}

#[test]
fn a_new_plan_is_a_new_question_and_none_is_none() {
    let mut w = World::new();
    w.agent(5051);
    let client = w.subscribe(aware(60.0));
    let offer = w.offers(&client).remove(0);
    plan(&mut w, 7);
    let kinds: Vec<_> = w.take(client.stream);
    let order: Vec<_> = kinds.iter().map(|e| e.r#type()).collect();
    assert_eq!(order, [event::Type::Rescind, event::Type::Offers, event::Type::InverseOffers]);
    let first = kinds[2].inverse_offers.as_ref().expect("asked").inverse_offers[0].clone();
    take(&mut w, &client, &first.id, refuse(1e6));
    plan(&mut w, 8);
    let second = asked(&mut w, &client);
    assert_eq!(second.len(), 1, "what it refused was another plan");
    assert_eq!(said(&w), [], "and so was what it accepted");
    schedule(&mut w, Schedule::default());
    let events = w.take(client.stream);
    let rescinded: Vec<_> = events.iter().filter_map(|e| e.rescind_inverse_offer.as_ref()).collect();
    assert_eq!(rescinded.iter().map(|r| &r.inverse_offer_id).collect::<Vec<_>>(), [&second[0].id]);
    assert!(events.iter().all(|e| e.inverse_offers.is_none()));
    take(&mut w, &client, &second[0].id, None);
    assert_eq!(said(&w), [], "too late");
    assert_ne!(w.master.offers().len(), 0, "{}", offer.id.value);
}

#[test]
fn the_question_goes_with_the_agent_and_comes_back_with_it_and_with_the_framework() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(60.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.0);
    plan(&mut w, 7);
    let first = asked(&mut w, &client);
    take(&mut w, &client, &first[0].id, refuse(0.0));
    w.pass(Duration::from_secs(1));
    let second = asked(&mut w, &client);
    assert_eq!(second.len(), 1, "it refuses nothing, and is asked again after a moment");
    w.step(Input::Exited { peer: pid.address });
    let told: Vec<_> = w.take(client.stream).into_iter().filter_map(|e| e.rescind_inverse_offer).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(said(&w).len(), 1, "its answer stands");
    let back = internal::ReregisterSlaveMessage {
        version: Some("1.11.0".to_owned()),
        slave: info(Some(&offer.agent_id)),
        frameworks: vec![FrameworkInfo { id: Some(client.id.clone()), ..aware(60.0) }],
        tasks: w.master.frameworks()[&client.id.value].tasks.values().cloned().collect(),
        ..Default::default()
    };
    w.agent_says(&pid, back);
    let third = asked(&mut w, &client);
    assert_eq!(third.len(), 1);
    // It fails over: the new one knows nothing of what the old one was asked.
    let again = FrameworkInfo { id: Some(client.id.clone()), ..aware(60.0) };
    let failed_over = w.subscribe(again);
    let fourth = asked(&mut w, &failed_over);
    assert_eq!(fourth.len(), 1);
    assert_ne!(fourth[0].id, third[0].id);
    decline(&mut w, &failed_over, &fourth[0].id, refuse(1e6));
    assert_eq!(asked(&mut w, &failed_over), []);
    w.call(&failed_over, call::Type::Revive, |_| {});
    assert_eq!(asked(&mut w, &failed_over).len(), 1, "REVIVE forgets what was refused");
}

#[test]
fn a_question_that_nobody_answers_in_time_is_put_anew() {
    let config = Config { offer_timeout: Some(Duration::from_secs(10)), ..Config::at(ME.parse().unwrap()) };
    let mut w = World::with(config, Records::new(), base::Time::from_millis(1_000_000));
    w.agent(5051);
    let client = w.subscribe(aware(60.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 4.0);
    plan(&mut w, 7);
    let first = asked(&mut w, &client);
    w.pass(Duration::from_secs(10));
    let events = w.take(client.stream);
    let rescinded: Vec<_> = events.iter().filter_map(|e| e.rescind_inverse_offer.as_ref()).collect();
    assert_eq!(rescinded[0].inverse_offer_id, first[0].id);
    let again: Vec<_> = events.iter().filter_map(|e| e.inverse_offers.as_ref()).collect();
    assert_eq!(again.len(), 1);
}

#[test]
fn drivers_are_asked_by_messages_and_answer_by_calls() {
    let mut w = World::new();
    let agent = w.agent(5051);
    let driver = Upid::new("scheduler-x", "127.0.0.1:28060".parse().unwrap());
    let framework = FrameworkInfo { user: "u".into(), name: "n".into(), ..Default::default() };
    w.agent_says(&driver, internal::RegisterFrameworkMessage { framework });
    plan(&mut w, 7);
    let Message::InverseOffersMessage(m) = &w.sent.last().unwrap().message else { panic!("asked") };
    assert_eq!(m.pids, [agent.to_string()]);
    let (id, framework_id): (OfferId, FrameworkId) =
        (m.inverse_offers[0].id.clone(), m.inverse_offers[0].framework_id.clone());
    let accept = call::AcceptInverseOffers { inverse_offer_ids: vec![id.clone()], filters: refuse(1.0) };
    let mut said_by_driver = SchedulerCall {
        framework_id: Some(framework_id.clone()),
        accept_inverse_offers: Some(accept),
        ..Default::default()
    };
    said_by_driver.set_type(call::Type::AcceptInverseOffers);
    w.agent_says(&driver, said_by_driver);
    assert_eq!(said(&w), [(Status::Accept, framework_id.value)]);
    w.pass(Duration::from_secs(2));
    schedule(&mut w, Schedule::default());
    let rescinds = w
        .sent
        .iter()
        .filter(|e| matches!(&e.message, Message::RescindInverseOfferMessage(m) if m.inverse_offer_id != id));
    assert_eq!(rescinds.count(), 1);
}
