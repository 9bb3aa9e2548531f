//! Between a machine and its clients: requests that wait for their answer, streams that are open. Never decides either.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};
use model::request::{Codec, Http, RequestId, StreamId};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use web::{Bounds, Patience, Promise, Reply, SendError, StreamHandle};

/// Bytes that may wait for one slow reader; then it is cut, or has to read on.
const STREAM_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Events that may wait for one slow reader; then it is cut, or has to read on.
const STREAM_EVENTS_MAX: usize = 16_384;
/// A framework or executor with more than that waiting for it is cut once it has read nothing for so long.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// Bytes that may wait for one framework or executor that reads on.
const PATIENT_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Bytes that may wait for all of them together.
const ALL_PATIENT_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// So many bytes are sent between two looks at what waits for all of them.
const LOOK_BYTES: usize = 16 * 1024 * 1024;

/// Events that may wait for all readers of a role together: 64 MiB of places in their queues.
const ALL_EVENTS_MAX: usize = 2_000_000;

/// How a role's events are written.
#[derive(Debug)]
pub struct Style<E> {
    /// One event, framed.
    pub frame: fn(&E, Codec) -> Bytes,
    /// Content-Type of a stream.
    pub media_type: fn(Codec) -> &'static str,
    /// What a client hears at last that is cut, and why; none = its connection is cut without a word.
    pub last_words: fn(&str, Codec) -> Option<Bytes>,
    /// Who reads them.
    pub readers: Readers,
}

/// Who reads the streams of a role: what becomes of those who are slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// They look on: who falls behind is cut, and comes back to the whole picture.
    Spectators,
    /// Frameworks and executors, which answer for tasks: one burst, as of a large reconciliation, is no reason to cut
    /// them. They are cut for reading nothing, or when memory would end.
    Partners,
}

impl Readers {
    fn bounds(self) -> Bounds {
        let patience = Patience { stalled: STALLED_MAX, bytes_max: PATIENT_BYTES_MAX };
        let patience = (self == Self::Partners).then_some(patience);
        Bounds { bytes_max: STREAM_BYTES_MAX, events_max: STREAM_EVENTS_MAX, patience }
    }
    fn too_slow(self) -> String {
        let much = format!(
            "more than {STREAM_EVENTS_MAX} events (STREAM_EVENTS_MAX) or {STREAM_BYTES_MAX} bytes (STREAM_BYTES_MAX) wait \
             for it"
        );
        match self {
            Self::Spectators => much,
            Self::Partners => format!(
                "{much} and it read nothing for {STALLED_MAX:?} (STALLED_MAX), or more than {PATIENT_BYTES_MAX} bytes \
                 (PATIENT_BYTES_MAX) wait"
            ),
        }
    }
}

/// Waiting requests and open streams of one machine.
pub struct Hub<E> {
    waiting: Mutex<HashMap<RequestId, oneshot::Sender<Reply>>>,
    streams: Mutex<HashMap<StreamId, (StreamHandle, Codec)>>,
    /// Streams that were cut and have not ended yet.
    cut: Mutex<HashSet<StreamId>>,
    style: Style<E>,
    /// Bytes sent since the last look at what waits for all.
    sent: AtomicUsize,
    closed: mpsc::UnboundedSender<StreamId>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E: 'static> Hub<E> {
    /// A hub, and the streams whose clients have gone. That queue is bounded by the number of open streams.
    pub fn new(style: Style<E>) -> (Arc<Self>, mpsc::UnboundedReceiver<StreamId>) {
        let (closed, ends) = mpsc::unbounded_channel();
        let hub = Self {
            waiting: Mutex::default(),
            streams: Mutex::default(),
            cut: Mutex::default(),
            style,
            sent: AtomicUsize::new(0),
            closed,
        };
        (Arc::new(hub), ends)
    }

    /// The answer to a request, once the machine gives it.
    pub fn expect(&self, request: RequestId) -> oneshot::Receiver<Reply> {
        let (tell, told) = oneshot::channel();
        locked(&self.waiting).insert(request, tell);
        told
    }

    /// An answer that is rendered already.
    pub fn respond(&self, request: RequestId, response: Response<Bytes>) {
        self.reply(request, Reply::Full(response));
    }

    fn reply(&self, request: RequestId, reply: Reply) {
        if let Some(tell) = locked(&self.waiting).remove(&request)
            && tell.send(reply).is_err()
        {
            tracing::debug!(?request, "a client did not wait for its answer");
        }
    }

    /// Carries out what the machine asks of its surface.
    pub fn perform(&self, http: Http<E>) {
        match http {
            Http::Reply { request, answer } => self.reply(request, Reply::Full(endpoints::render(answer))),
            Http::Open { request, headers, codec } => {
                let (handle, body) = web::bounded(self.style.readers.bounds());
                let mut head = Response::new(());
                let media_type = HeaderValue::from_static((self.style.media_type)(codec));
                head.headers_mut().insert(header::CONTENT_TYPE, media_type);
                for (name, value) in headers {
                    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
                    {
                        head.headers_mut().insert(name, value);
                    }
                }
                let stream = StreamId(request.0);
                let (ended, closed) = (handle.ended(), self.closed.clone());
                tokio::spawn(async move {
                    ended.await;
                    // The receiver goes away only when the role stops.
                    closed.send(stream).unwrap_or_default();
                });
                locked(&self.streams).insert(stream, (handle, codec));
                self.reply(request, Reply::Stream(head, body));
            }
            Http::Send { stream, event } => self.send(&[stream], &event),
            Http::SendAll { streams, event } => self.send(&streams, &event),
            Http::Close { stream } => {
                if let Some((handle, _)) = locked(&self.streams).remove(&stream) {
                    handle.close();
                }
            }
        }
    }

    /// One event, written once for each way of writing it.
    fn send(&self, to: &[StreamId], event: &E) {
        let mut written: Vec<(Codec, Bytes)> = Vec::new();
        let mut streams = locked(&self.streams);
        for stream in to {
            let Some((handle, codec)) = streams.get(stream) else { continue };
            let bytes = match written.iter().find(|(known, _)| known == codec) {
                Some((_, bytes)) => bytes.clone(),
                None => {
                    let bytes = (self.style.frame)(event, *codec);
                    written.push((*codec, bytes.clone()));
                    bytes
                }
            };
            self.sent.fetch_add(bytes.len(), Ordering::Relaxed);
            if !self.put(*stream, handle, *codec, bytes) {
                streams.remove(stream);
            }
        }
        match self.style.readers {
            Readers::Spectators if to.len() > 1 => self.relieve(&mut streams),
            Readers::Partners if self.sent.load(Ordering::Relaxed) >= LOOK_BYTES => {
                self.sent.store(0, Ordering::Relaxed);
                self.relieve(&mut streams);
            }
            _ => {}
        }
    }

    /// What is sent on a stream from now on waits for something that is not there yet.
    pub fn promise(&self, stream: StreamId) -> Option<(Promise, Codec)> {
        locked(&self.streams).get(&stream).map(|(handle, codec)| (handle.promise(), *codec))
    }

    /// Sends bytes that mean nothing to all streams, so that proxies keep them and clients that have gone are noticed.
    pub fn beat(&self, bytes: &Bytes) {
        locked(&self.streams)
            .retain(|stream, (handle, codec)| self.put(*stream, handle, *codec, bytes.clone()));
    }

    /// Ends all streams.
    pub fn close_all(&self) {
        for (_, (handle, _)) in locked(&self.streams).drain() {
            handle.close();
        }
    }

    /// Forgets a stream whose client has gone; true if it was cut.
    pub fn forget(&self, stream: StreamId) -> bool {
        locked(&self.streams).remove(&stream);
        locked(&self.cut).remove(&stream)
    }

    /// False if the stream is over.
    fn put(&self, stream: StreamId, handle: &StreamHandle, codec: Codec, bytes: Bytes) -> bool {
        match handle.send_or(bytes, || self.gives_up(stream, codec, &self.style.readers.too_slow())) {
            Ok(()) => true,
            Err(SendError::Slow) => false,
            Err(SendError::Gone) => {
                tracing::debug!(%stream, "the client of a stream has gone");
                false
            }
        }
    }

    /// Says why a client is cut: to the log, and to itself.
    fn gives_up(&self, stream: StreamId, codec: Codec, why: &str) -> Option<Bytes> {
        tracing::warn!(%stream, "a client does not read its event stream: it is cut, since {why}");
        locked(&self.cut).insert(stream);
        (self.style.last_words)(why, codec)
    }

    /// Cuts those who are furthest behind while too much waits for all together. What waits for one who looks on is always
    /// the last part of what all were sent, and its bytes are shared: so the events are what has to be bounded. Others are
    /// each sent their own.
    fn relieve(&self, streams: &mut HashMap<StreamId, (StreamHandle, Codec)>) {
        let (max, what) = match self.style.readers {
            Readers::Spectators => (ALL_EVENTS_MAX, "events (ALL_EVENTS_MAX)"),
            Readers::Partners => (ALL_PATIENT_BYTES_MAX, "bytes (ALL_PATIENT_BYTES_MAX)"),
        };
        let measure = |handle: &StreamHandle| match self.style.readers {
            Readers::Spectators => handle.waiting(),
            Readers::Partners => handle.held(),
        };
        let mut behind: Vec<(usize, StreamId)> =
            streams.iter().map(|(stream, (handle, _))| (measure(handle), *stream)).collect();
        let mut all: usize = behind.iter().map(|(waiting, _)| waiting).sum();
        if all <= max {
            return;
        }
        behind.sort_unstable();
        while let Some((waiting, stream)) = behind.pop().filter(|_| all > max / 2) {
            if let Some((handle, codec)) = streams.remove(&stream) {
                let why = format!(
                    "more than {max} {what} wait for all clients together, and {waiting} of them for this one"
                );
                handle.cut(self.gives_up(stream, codec, &why));
            }
            all -= waiting;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_beat_reaches_open_streams_alone() {
        let style = Style {
            frame: |(), _| Bytes::from_static(b"event"),
            media_type: |_| "text/event-stream",
            last_words: |_, _| None,
            readers: Readers::Spectators,
        };
        let (hub, _closed) = Hub::new(style);
        let answer = hub.expect(RequestId(7));
        hub.perform(Http::Open { request: RequestId(7), headers: Vec::new(), codec: Codec::Json });
        let Ok(Reply::Stream(_, mut body)) = answer.await else { panic!("no stream") };
        hub.beat(&Bytes::from_static(b"\r\n"));
        hub.perform(Http::Send { stream: StreamId(7), event: () });
        for bytes in ["\r\n", "event"] {
            let frame = body.frame().await.expect("a frame").expect("bytes");
            assert_eq!(frame.into_data().expect("data"), bytes);
        }
        drop(body);
        hub.beat(&Bytes::from_static(b"\r\n"));
        assert!(locked(&hub.streams).is_empty());
    }

    /// A hub whose events are their own bytes, and the bodies of so many streams of it.
    async fn opened(readers: Readers, streams: u64) -> (Arc<Hub<Vec<u8>>>, Vec<web::StreamBody>) {
        let style = Style {
            frame: |event: &Vec<u8>, _| Bytes::copy_from_slice(event),
            media_type: |_| "application/json",
            last_words: |_, _| None,
            readers,
        };
        let (hub, _closed) = Hub::new(style);
        let mut bodies = Vec::new();
        for stream in 0..streams {
            let answer = hub.expect(RequestId(stream));
            hub.perform(Http::Open { request: RequestId(stream), headers: Vec::new(), codec: Codec::Json });
            let Ok(Reply::Stream(_, body)) = answer.await else { panic!("no stream") };
            bodies.push(body);
        }
        (hub, bodies)
    }

    #[tokio::test]
    async fn a_burst_cuts_no_framework() {
        const BURST: usize = 4 * STREAM_EVENTS_MAX;
        let (hub, mut bodies) = opened(Readers::Partners, 1).await;
        let send =
            |n: usize| hub.perform(Http::Send { stream: StreamId(0), event: n.to_be_bytes().to_vec() });
        (0..BURST).for_each(send);
        for n in 0..BURST {
            if n.is_multiple_of(BURST / 8) {
                send(BURST + n / (BURST / 8));
            }
            let frame = bodies[0].frame().await.expect("it is not cut").expect("bytes");
            assert_eq!(frame.into_data().expect("data"), n.to_be_bytes()[..], "nothing is lost");
        }
        assert_eq!(Readers::Partners.bounds().patience.map(|p| p.stalled), Some(STALLED_MAX));
        let (hub, _bodies) = opened(Readers::Spectators, 1).await;
        (0..=STREAM_EVENTS_MAX).for_each(|_| hub.perform(Http::Send { stream: StreamId(0), event: vec![1] }));
        assert!(locked(&hub.streams).is_empty(), "who looks on is cut at once");
    }

    #[tokio::test]
    async fn what_waits_for_frameworks_has_a_bound_in_bytes_for_one_and_for_all() {
        let (hub, _bodies) = opened(Readers::Partners, 4).await;
        // the bytes of an event are shared here, so that the test needs none of what it counts
        let event = Bytes::from(vec![7; 1024 * 1024]);
        let held = |hub: &Hub<Vec<u8>>| locked(&hub.streams).values().map(|(h, _)| h.held()).sum::<usize>();
        let put = |stream: u64| {
            let mut streams = locked(&hub.streams);
            let Some((handle, codec)) = streams.get(&StreamId(stream)) else { return false };
            let taken = hub.put(StreamId(stream), handle, *codec, event.clone());
            if !taken {
                streams.remove(&StreamId(stream));
            }
            taken
        };
        let most = (0..).take_while(|_| put(0)).count();
        assert_eq!(most, PATIENT_BYTES_MAX / event.len() - 1, "places count too");
        for stream in 1..4 {
            (0..400).for_each(|_| assert!(put(stream)));
        }
        assert!(held(&hub) > ALL_PATIENT_BYTES_MAX);
        hub.relieve(&mut locked(&hub.streams));
        assert!(held(&hub) <= ALL_PATIENT_BYTES_MAX / 2);
        assert_eq!(locked(&hub.streams).len(), 1);
    }

    #[tokio::test]
    async fn an_event_for_many_is_written_once_and_those_far_behind_are_cut() {
        let style = Style {
            frame: |event: &Vec<u8>, _| Bytes::copy_from_slice(event),
            media_type: |_| "text/event-stream",
            last_words: |why, _| Some(Bytes::copy_from_slice(why.as_bytes())),
            readers: Readers::Spectators,
        };
        let (hub, _closed) = Hub::new(style);
        let mut bodies = Vec::new();
        let many: Vec<StreamId> = (0..200).map(StreamId).collect();
        for stream in &many {
            let answer = hub.expect(RequestId(stream.0));
            hub.perform(Http::Open { request: RequestId(stream.0), headers: Vec::new(), codec: Codec::Json });
            let Ok(Reply::Stream(_, body)) = answer.await else { panic!("no stream") };
            bodies.push(body);
        }
        hub.perform(Http::SendAll { streams: many.clone(), event: vec![7; 1000] });
        let mut places = std::collections::BTreeSet::new();
        for body in &mut bodies {
            let frame = body.frame().await.expect("a frame").expect("bytes").into_data().expect("data");
            places.insert(frame.as_ptr() as usize);
        }
        assert_eq!(places.len(), 1, "its bytes are shared");
        // the first reads, nobody else does
        for n in 0..ALL_EVENTS_MAX / 150 {
            hub.perform(Http::SendAll { streams: many.clone(), event: vec![n as u8] });
            bodies[0].frame().await.expect("a frame").expect("bytes");
        }
        let left = locked(&hub.streams).len();
        assert!((2..200).contains(&left), "{left} streams are left");
        assert!(locked(&hub.streams).contains_key(&StreamId(0)), "who reads stays");
        // one that was cut hears why, and nothing that waited for it
        let gone =
            many.iter().position(|stream| !locked(&hub.streams).contains_key(stream)).expect("one was cut");
        let frame =
            bodies[gone].frame().await.expect("last words").expect("bytes").into_data().expect("data");
        let said = String::from_utf8_lossy(&frame).into_owned();
        assert!(said.contains("ALL_EVENTS_MAX") && said.contains("of them for this one"), "{said}");
        assert!(bodies[gone].frame().await.is_none(), "then it ends");
        assert!(hub.forget(many[gone]) && !hub.forget(many[gone]) && !hub.forget(StreamId(0)));
    }
}
