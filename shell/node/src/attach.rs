//! Carries what containers and their clients say, between the launcher's connection and HTTP. Who may attach is decided
//! before (`endpoints::agent`). Never decides anything.

use crate::{answered, driver::Driven, hub::Hub};
use agent::{Agent, ContainerCall, Input};
use api::recordio::Decoder;
use containers::{AttachedInput, AttachedOutput, Frame, Launcher};
use endpoints::agent::{Heard, Style, attach_codec, attach_container, heard, output};
use http::{HeaderValue, Request, Response};
use model::{
    container::ContainerId,
    mesos::executor::Event,
    request::{Answer, Body, Codec, RequestId},
};
use std::sync::Arc;
use tokio::sync::watch;
use web::{Reply, StreamHandle, Upload};

/// Bytes that may wait for a client; then its container waits.
const WAITING_BYTES_MAX: usize = 1024 * 1024;
const STREAM_BYTES_MAX: usize = 4 * WAITING_BYTES_MAX;
const STREAM_EVENTS_MAX: usize = 65_536;
const SIGKILL: i32 = 9;

/// The launcher of now: it is replaced when it was killed.
pub type Current = watch::Receiver<Launcher>;

/// What a call about attaching needs.
#[derive(Clone)]
pub struct Desk {
    pub driven: Driven<Agent>,
    pub hub: Arc<Hub<Event>>,
    pub launcher: Current,
}

fn refuse(status: u16, why: impl Into<String>) -> Reply {
    Reply::Full(endpoints::render(Answer::text(status, why)))
}

impl Desk {
    fn launcher(&self) -> Launcher {
        self.launcher.borrow().clone()
    }

    /// A stream of what a container says.
    pub async fn output(&self, container: ContainerId, style: Style) -> Reply {
        match self.launcher().attach(container, true).await {
            Ok((says, hears)) => stream(style, says, hears, None),
            Err(why) => refuse(500, why),
        }
    }

    /// Launches a session and streams what it says; it ends when its client has gone.
    pub async fn session(
        &self,
        request: RequestId,
        container: ContainerId,
        call: ContainerCall,
        style: Style,
    ) -> Reply {
        let answer = self.hub.expect(request);
        let id = container.clone();
        self.driven.send(Input::Container { request, codec: style.codec, container: id, call }).await;
        match answered(answer).await {
            Reply::Full(launched) if launched.status() == 200 => {}
            refused => return refused,
        }
        let attached = self.launcher().attach(container.clone(), true).await;
        let end = End { driven: self.driven.clone(), request, codec: style.codec, container };
        match attached {
            Ok((says, hears)) => stream(style, says, hears, Some(end)),
            // It ended before anybody could listen, or what it was to run can't be executed: its status says so.
            Err(_) if self.driven.read().has_ended(&end.container) => ended(style),
            Err(why) => {
                end.end().await;
                refuse(500, why)
            }
        }
    }

    /// Takes what a client says to a container until it ends.
    pub async fn input(&self, request: &Request<bytes::Bytes>, mut upload: Upload) -> Reply {
        let codec = match attach_codec(request, &self.driven.read()) {
            Ok(codec) => codec,
            Err(refused) => return Reply::Full(refused),
        };
        let mut decoder = Decoder::default();
        let first = match next(&mut decoder, &mut upload).await {
            Ok(Some(record)) => record,
            Ok(None) => return refuse(400, "Received EOF while reading request body"),
            Err(why) => return refuse(400, why),
        };
        let container = match attach_container(&first, codec, &self.driven.read()) {
            Ok(container) => container,
            Err(refused) => return Reply::Full(refused),
        };
        let (mut says, mut hears) = match self.launcher().attach(container, false).await {
            Ok(attached) => attached,
            Err(why) => return refuse(500, why),
        };
        let pass_on = pass_on(&mut decoder, &mut upload, codec, &mut hears);
        tokio::select! {
            passed = pass_on => match passed {
                Ok(()) => Reply::Full(endpoints::render(Answer::new(200, Body::Empty))),
                Err(why) => refuse(400, why),
            },
            // The container has ended.
            _ = says.next() => Reply::Full(endpoints::render(Answer::new(200, Body::Empty))),
        }
    }
}

async fn next(decoder: &mut Decoder, upload: &mut Upload) -> Result<Option<Vec<u8>>, String> {
    loop {
        if let Some(record) = decoder.next_record().map_err(|broken| broken.to_string())? {
            return Ok(Some(record));
        }
        let Some(bytes) = upload.next().await else { return Ok(None) };
        decoder.push(&bytes);
    }
}

async fn pass_on(
    decoder: &mut Decoder,
    upload: &mut Upload,
    codec: Codec,
    hears: &mut AttachedInput,
) -> Result<(), String> {
    while let Some(record) = next(decoder, upload).await? {
        let frame = match heard(&record, codec)? {
            Heard::Input(bytes) => Frame::In(bytes),
            Heard::Window { rows, columns } => Frame::Window { rows, columns },
            Heard::Heartbeat => continue,
        };
        if !hears.say(&frame).await {
            return Ok(());
        }
    }
    Ok(())
}

/// A session that ends with its client.
struct End {
    driven: Driven<Agent>,
    request: RequestId,
    codec: Codec,
    container: ContainerId,
}

impl End {
    async fn end(self) {
        let call = ContainerCall::Kill { signal: SIGKILL };
        // Nobody waits for the answer: the request has got its own.
        let (request, codec, container) = (self.request, self.codec, self.container);
        self.driven.send(Input::Container { request, codec, container, call }).await;
    }
}

/// A stream that says nothing and is over.
fn ended(style: Style) -> Reply {
    let (handle, body) = web::stream(STREAM_BYTES_MAX, STREAM_EVENTS_MAX);
    handle.close();
    Reply::Stream(head(style), body)
}

fn head(style: Style) -> Response<()> {
    let mut head = Response::new(());
    for (name, value) in style.headers() {
        head.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    head
}

fn stream(style: Style, mut says: AttachedOutput, hears: AttachedInput, end: Option<End>) -> Reply {
    let (handle, body) = web::stream(STREAM_BYTES_MAX, STREAM_EVENTS_MAX);
    let head = head(style);
    tokio::spawn(async move {
        let ended = handle.ended();
        let over = tokio::select! {
            () = carry(&handle, &mut says, style) => true,
            () = ended => false,
        };
        drop(hears);
        handle.close();
        // A container that has ended by itself needs no end.
        if let Some(end) = end.filter(|_| !over) {
            end.end().await;
        }
    });
    Reply::Stream(head, body)
}

async fn carry(handle: &StreamHandle, says: &mut AttachedOutput, style: Style) {
    while let Some(frame) = says.next().await {
        let record = match frame {
            Frame::Out(bytes) => output(bytes, false, style),
            Frame::Err(bytes) => output(bytes, true, style),
            Frame::In(_) | Frame::Window { .. } => continue,
        };
        if handle.send(record).is_err() {
            return;
        }
        handle.room(WAITING_BYTES_MAX).await;
    }
}
