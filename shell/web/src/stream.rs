//! An open response: events put in on one side, bytes flushed to the client on the other, bounded between.
//!
//! A client that reads too slowly is cut, and hears why if it still takes that: at once when more waits than its bounds
//! allow, or, where it is given time, when it has read nothing for a while and much waits. Never: what is sent.

use crate::reading;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// What an event takes beside its bytes: its place in the queue and what it was allocated with.
const EVENT_BYTES: usize = 64;

/// What may wait for one client.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes.
    pub bytes_max: usize,
    /// Events.
    pub events_max: usize,
    /// Time for those who read on; without it a bound that is reached cuts at once.
    pub patience: Option<Patience>,
}

/// A client that reads on may fall behind further than its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Beyond its bounds it is cut when it has taken nothing for so long.
    pub stalled: Duration,
    /// Beyond so many bytes, those of events' places included, it is cut though it reads.
    pub bytes_max: usize,
}

/// A client that is given up may take so long to hear why; then its connection is cut.
const LAST_WORDS_MAX: Duration = Duration::from_secs(10);

/// Why bytes were not taken. The stream is over in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The client read so slowly that its bound was reached; it is given up.
    #[error("the client reads too slowly")]
    Slow,
    /// The client has gone, or the stream was closed.
    #[error("the client has gone")]
    Gone,
}

#[derive(Debug)]
struct State {
    /// What goes out before everything else, in pieces; not there yet = the queue waits for it.
    first: VecDeque<Bytes>,
    awaited: bool,
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// When the client took something last, or nothing waited for it.
    moved: Instant,
    /// No more is put in; what is queued still goes out.
    closed: bool,
    /// It is given up: nothing goes out but last words.
    given_up: bool,
    /// Nothing goes out any more.
    over: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    bounds: Bounds,
    ended: Notify,
    taken: Notify,
    cut: Mutex<Option<Arc<Notify>>>,
    /// True while what goes out first is large.
    large: Mutex<Option<watch::Sender<bool>>>,
}

impl Shared {
    fn large(&self, so: bool) {
        if let Some(large) = &*self.large.lock().unwrap_or_else(PoisonError::into_inner) {
            large.send_replace(so);
        }
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn end(&self, mut state: MutexGuard<'_, State>) {
        state.over = true;
        state.first = VecDeque::new();
        state.queue = VecDeque::new();
        state.bytes = 0;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.ended.notify_waiters();
        self.taken.notify_waiters();
    }
    /// Gives the client up: what waits for it goes, and nothing comes out any more but the last words.
    fn give_up(self: &Arc<Self>, mut state: MutexGuard<'_, State>, words: Option<Bytes>) {
        let Some(words) = words.filter(|_| !state.over) else {
            self.end(state);
            return self.cut();
        };
        (state.first, state.awaited) = (VecDeque::new(), false);
        state.bytes = words.len();
        state.queue = VecDeque::from([words]);
        (state.closed, state.given_up) = (true, true);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.taken.notify_waiters();
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            if tokio::time::timeout(LAST_WORDS_MAX, ended(shared.clone())).await.is_err() {
                shared.end(shared.state());
                shared.cut();
            }
        });
    }
    fn cut(&self) {
        if let Some(cut) = &*self.cut.lock().unwrap_or_else(PoisonError::into_inner) {
            cut.notify_one();
        }
    }
}

/// The side that sends. Dropping it ends the stream after what was put in.
#[derive(Debug)]
pub struct StreamHandle(Arc<Shared>);

/// The side that the server writes to the client.
#[derive(Debug)]
pub struct StreamBody(Arc<Shared>);

/// A stream with at most so many bytes and events waiting for its client.
pub fn stream(bytes_max: usize, events_max: usize) -> (StreamHandle, StreamBody) {
    bounded(Bounds { bytes_max, events_max, patience: None })
}

/// A stream with these bounds.
pub fn bounded(bounds: Bounds) -> (StreamHandle, StreamBody) {
    let state = State {
        first: VecDeque::new(),
        awaited: false,
        queue: VecDeque::new(),
        bytes: 0,
        moved: Instant::now(),
        closed: false,
        given_up: false,
        over: false,
        waker: None,
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        bounds,
        ended: Notify::new(),
        taken: Notify::new(),
        cut: Mutex::new(None),
        large: Mutex::new(None),
    });
    (StreamHandle(shared.clone()), StreamBody(shared))
}

/// What a stream begins with, once it is there. What is dropped without it cuts the stream.
#[derive(Debug)]
pub struct Promise(Option<Arc<Shared>>);

impl Promise {
    /// Here it is, in pieces. However large, it is one event.
    pub fn keep(mut self, pieces: Vec<Bytes>) {
        let Some(shared) = self.0.take() else { return };
        shared.large(pieces.iter().map(Bytes::len).sum::<usize>() >= reading::LARGE_BYTES_MIN);
        let mut state = shared.state();
        state.awaited = false;
        if !state.over && !state.given_up {
            state.first = pieces.into();
        }
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.end(shared.state());
            shared.cut();
        }
    }
}

impl StreamHandle {
    /// What is put in from now on waits for something that is not there yet.
    pub fn promise(&self) -> Promise {
        self.0.state().awaited = true;
        Promise(Some(self.0.clone()))
    }
    /// Events that wait for the client.
    pub fn waiting(&self) -> usize {
        self.0.state().queue.len()
    }
    /// What waits for the client takes so many bytes, those of events' places included.
    pub fn held(&self) -> usize {
        let state = self.0.state();
        state.bytes + state.queue.len() * EVENT_BYTES
    }
    /// Gives the client up, as one that reads too slowly. With last words it hears them, if it reads again soon; without, its
    /// connection is cut at once.
    pub fn cut(&self, words: Option<Bytes>) {
        self.0.give_up(self.0.state(), words);
    }
    /// Puts bytes in; they are flushed at once. Never blocks.
    pub fn send(&self, bytes: Bytes) -> Result<(), SendError> {
        self.send_or(bytes, || None)
    }
    /// The same; a client that is cut for it hears these last words, as with `cut`.
    pub fn send_or(&self, bytes: Bytes, words: impl FnOnce() -> Option<Bytes>) -> Result<(), SendError> {
        let mut state = self.0.state();
        if state.over || state.closed {
            return Err(SendError::Gone);
        }
        // One event may be larger than the bound, when nothing else waits: a snapshot of all that there is.
        let Bounds { bytes_max, events_max, patience } = self.0.bounds;
        let (waiting, after) = (state.queue.len(), state.bytes + bytes.len());
        let beyond = (after > bytes_max && waiting > 0) || waiting >= events_max;
        let over = beyond
            && patience.is_none_or(|patience| {
                state.moved.elapsed() >= patience.stalled
                    || after + waiting * EVENT_BYTES > patience.bytes_max
            });
        if over {
            self.0.give_up(state, words());
            return Err(SendError::Slow);
        }
        if waiting == 0 {
            state.moved = Instant::now();
        }
        state.bytes = after;
        state.queue.push_back(bytes);
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
        Ok(())
    }
    /// Waits until fewer than so many bytes wait for the client, or it has gone: for senders that can wait.
    pub async fn room(&self, bytes: usize) {
        loop {
            let mut taken = pin!(self.0.taken.notified());
            taken.as_mut().enable();
            {
                let state = self.0.state();
                if state.over || state.bytes < bytes {
                    return;
                }
            }
            taken.await;
        }
    }
    /// Ends the stream after what was put in.
    pub fn close(&self) {
        let mut state = self.0.state();
        state.closed = true;
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }
    /// Completes when the client has gone, was cut, or has got everything of a closed stream.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        ended(self.0.clone())
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.close();
    }
}

async fn ended(shared: Arc<Shared>) {
    loop {
        let mut notified = pin!(shared.ended.notified());
        notified.as_mut().enable();
        if shared.state().over {
            return;
        }
        notified.await;
    }
}

impl StreamBody {
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        ended(self.0.clone())
    }
    /// What is told when the connection must be cut though nothing can be written to it.
    pub(crate) fn cut_by(&self, cut: Arc<Notify>) {
        *self.0.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
    }
}

impl StreamBody {
    /// Who is told that it is large what is sent now.
    pub(crate) fn telling(&self, large: watch::Sender<bool>) {
        *self.0.large.lock().unwrap_or_else(PoisonError::into_inner) = Some(large);
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.0.end(self.0.state());
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut state = self.0.state();
        if let Some(bytes) = state.first.pop_front() {
            let last = state.first.is_empty();
            drop(state);
            if last {
                self.0.large(false);
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if state.awaited && !state.over {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        if let Some(bytes) = state.queue.pop_front() {
            state.bytes -= bytes.len();
            state.moved = Instant::now();
            drop(state);
            self.0.taken.notify_waiters();
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if state.closed || state.over {
            self.0.end(state);
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn who_reads_on_may_fall_behind_and_who_reads_nothing_for_a_while_may_not() {
        let patience = Some(Patience { stalled: Duration::from_millis(100), bytes_max: 100_000 });
        let (handle, mut body) = bounded(Bounds { bytes_max: 1000, events_max: 10, patience });
        let event = Bytes::from_static(b"event");
        for _ in 0..100 {
            handle.send(event.clone()).expect("a burst is no reason to cut");
        }
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            body.frame().await.expect("it is open").expect("bytes");
            handle.send(event.clone()).expect("it reads on");
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(handle.send(event.clone()), Err(SendError::Slow));
        assert!(body.frame().await.is_none());

        let (handle, _body) = bounded(Bounds { bytes_max: 1000, events_max: 10, patience });
        handle.send(event.clone()).expect("room");
        tokio::time::sleep(Duration::from_millis(150)).await;
        handle.send(event.clone()).expect("little waits: no reason to cut");
        let sent = (0..).take_while(|_| handle.held() < 90_000 && handle.send(event.clone()).is_ok()).count();
        assert!(sent < 10, "{sent}: nothing was read, and now much waits");
    }
}
