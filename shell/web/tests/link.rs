//! The two carriers of the link, and a framework's connection, on real sockets.

use bytes::Bytes;
use http::{HeaderValue, Response};
use model::{
    link::{Envelope, Upid},
    mesos::{
        internal::{PingSlaveMessage, PongSlaveMessage},
        scheduler::{self, Call, Event},
    },
    request::Codec,
};
use prost::Message as _;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use web::{
    Incoming, Limits, Reply, bind,
    link::{Exited, Link, Local},
    scheduler::Received,
    serve, stream,
};

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// A daemon that hands over the messages it gets.
async fn daemon() -> (SocketAddr, mpsc::UnboundedReceiver<Envelope>, watch::Sender<bool>) {
    let listener = bind("127.0.0.1:0".parse().unwrap(), "--port").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let (got, messages) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, Limits::default(), stopped, move |incoming: Incoming| {
        let got = got.clone();
        async move {
            let request = &incoming.request;
            let parsed = api::libprocess::parse(
                request.uri().path(),
                request.headers(),
                request.body(),
                incoming.local,
            );
            let api::libprocess::Parsed::Message(envelope) = parsed else {
                panic!("not a message: {parsed:?}")
            };
            got.send(*envelope).unwrap();
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = http::StatusCode::ACCEPTED;
            Reply::Full(answer)
        }
    }));
    (address, messages, stop)
}

fn ping(from: &Link, to: SocketAddr, connected: bool) -> Envelope {
    let message = PingSlaveMessage { connected };
    Envelope { from: from.upid("slave-observer(1)"), to: Upid::new("slave(1)", to), message: message.into() }
}

#[tokio::test]
async fn messages_go_in_order_over_one_connection_and_its_end_is_told() {
    let (address, mut messages, stop) = daemon().await;
    let (link, mut exits) = Link::new("127.0.0.1:5050".parse().unwrap(), Local::default());
    for i in 0..1000 {
        link.send(ping(&link, address, i % 3 == 0));
    }
    let empty = PongSlaveMessage {}.into();
    link.send(Envelope { from: link.upid("a"), to: Upid::new("b", address), message: empty });
    for i in 0..1000 {
        assert_eq!(soon(messages.recv()).await.unwrap(), ping(&link, address, i % 3 == 0));
    }
    assert_eq!(soon(messages.recv()).await.unwrap().message.name(), "mesos.internal.PongSlaveMessage");
    assert!(exits.is_empty());
    stop.send(true).unwrap();
    assert_eq!(soon(exits.recv()).await, Some(Exited { peer: address }));
    // nobody listens there any more: told again, once per attempt
    link.send(ping(&link, address, true));
    assert_eq!(soon(exits.recv()).await, Some(Exited { peer: address }));
}

#[tokio::test]
async fn a_link_without_messages_notices_the_end_too() {
    let (address, _messages, stop) = daemon().await;
    let (link, mut exits) = Link::new("127.0.0.1:5050".parse().unwrap(), Local::default());
    link.link(address);
    link.link(address);
    link.send(ping(&link, address, true));
    stop.send(true).unwrap();
    assert_eq!(soon(exits.recv()).await, Some(Exited { peer: address }));
    link.link(address);
    link.unlink(address);
    assert_eq!(soon(exits.recv()).await, Some(Exited { peer: address }));
    assert!(exits.is_empty());
}

#[tokio::test]
async fn daemons_of_one_process_need_no_socket() {
    let here = Local::default();
    let (a, b) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
    let mut inbox = here.register(b);
    let (link, mut exits) = Link::new(a, here.clone());
    for connected in [true, false] {
        link.send(ping(&link, b, connected));
        assert_eq!(inbox.recv().await.unwrap(), ping(&link, b, connected));
    }
    here.unregister(b);
    assert_eq!(soon(exits.recv()).await, Some(Exited { peer: b }));
}

async fn master(
    codec: Codec,
) -> (String, mpsc::UnboundedReceiver<(Option<HeaderValue>, Call)>, watch::Sender<bool>) {
    let listener = bind("127.0.0.1:0".parse().unwrap(), "--port").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = watch::channel(false);
    let (got, calls) = mpsc::unbounded_channel();
    let together = Arc::new(tokio::sync::Barrier::new(3));
    tokio::spawn(serve(listener, Limits::default(), stopped, move |incoming: Incoming| {
        let (got, together) = (got.clone(), together.clone());
        async move {
            let request = incoming.request;
            let call: Call = api::call::decode(request.headers(), request.body()).unwrap();
            got.send((request.headers().get("mesos-stream-id").cloned(), call.clone())).unwrap();
            if call.r#type() == scheduler::call::Type::Subscribe {
                let (handle, body) = stream(1 << 20, 1000);
                let mut head = Response::new(());
                head.headers_mut().insert("mesos-stream-id", HeaderValue::from_static("an-id"));
                let heartbeat =
                    Event { r#type: Some(scheduler::event::Type::Heartbeat as i32), ..Event::default() };
                let bytes = match codec {
                    Codec::Json => api::json::ToJson::to_json(&heartbeat).into_bytes(),
                    Codec::Protobuf => heartbeat.encode_to_vec(),
                };
                for _ in 0..2 {
                    handle.send(api::recordio::frame(&bytes).into()).unwrap();
                }
                tokio::spawn(async move { handle.ended().await });
                return Reply::Stream(head, body);
            }
            if call.r#type() == scheduler::call::Type::Acknowledge {
                together.wait().await;
            }
            let refused = call.r#type() == scheduler::call::Type::Teardown;
            let mut answer = Response::new(Bytes::from(if refused { "no" } else { "" }));
            *answer.status_mut() = http::StatusCode::from_u16(if refused { 403 } else { 202 }).unwrap();
            Reply::Full(answer)
        }
    }));
    (url, calls, stop)
}

#[tokio::test]
async fn a_framework_gets_events_calls_in_order_and_acknowledges_side_by_side() {
    for codec in [Codec::Json, Codec::Protobuf] {
        let (url, mut calls, stop) = master(codec).await;
        let call = |kind: scheduler::call::Type| Call { r#type: Some(kind as i32), ..Call::default() };
        let subscribe = call(scheduler::call::Type::Subscribe);
        let (caller, mut events) = web::scheduler::connect(&url, subscribe, codec).await.unwrap();
        for _ in 0..2 {
            let Some(Received::Event(event)) = soon(events.recv()).await else { panic!("no event") };
            assert_eq!(event.r#type(), scheduler::event::Type::Heartbeat);
        }
        assert_eq!(soon(calls.recv()).await.unwrap().0, None);
        for i in 0..50 {
            caller.call(call([scheduler::call::Type::Revive, scheduler::call::Type::Suppress][i % 2]));
        }
        // the master answers none of them before it has three
        for _ in 0..3 {
            caller.call(call(scheduler::call::Type::Acknowledge));
        }
        for i in 0..50 {
            let (id, call) = soon(calls.recv()).await.unwrap();
            assert_eq!(id.unwrap(), "an-id");
            assert_eq!(
                call.r#type(),
                [scheduler::call::Type::Revive, scheduler::call::Type::Suppress][i % 2]
            );
        }
        for _ in 0..3 {
            let (_, call) = soon(calls.recv()).await.unwrap();
            assert_eq!(call.r#type(), scheduler::call::Type::Acknowledge);
        }
        caller.call(call(scheduler::call::Type::Teardown));
        let Some(Received::Refused { status: 403, text, .. }) = soon(events.recv()).await else {
            panic!("not refused")
        };
        assert_eq!(text, "no");
        stop.send(true).unwrap();
        assert!(matches!(soon(events.recv()).await, Some(Received::Disconnected(_))));
        assert!(soon(events.recv()).await.is_none());
    }
}

#[tokio::test]
async fn a_silent_master_is_a_lost_one() {
    let listener = bind("127.0.0.1:0".parse().unwrap(), "--port").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, Limits::default(), stopped, move |_| async move {
        let (handle, body) = stream(1 << 20, 1000);
        let mut head = Response::new(());
        head.headers_mut().insert("mesos-stream-id", HeaderValue::from_static("an-id"));
        let subscribed = Event {
            r#type: Some(scheduler::event::Type::Subscribed as i32),
            subscribed: Some(scheduler::event::Subscribed {
                heartbeat_interval_seconds: Some(0.02),
                ..Default::default()
            }),
            ..Event::default()
        };
        handle.send(api::recordio::frame(&subscribed.encode_to_vec()).into()).unwrap();
        tokio::spawn(async move { handle.ended().await });
        Reply::Stream(head, body)
    }));
    let subscribe = Call { r#type: Some(scheduler::call::Type::Subscribe as i32), ..Call::default() };
    let (_caller, mut events) = web::scheduler::connect(&url, subscribe, Codec::Protobuf).await.unwrap();
    assert!(matches!(soon(events.recv()).await, Some(Received::Event(_))));
    match soon(events.recv()).await {
        Some(Received::Disconnected(why)) => assert_eq!(why, "the master said nothing for 100ms"),
        other => panic!("{other:?}"),
    }
}
