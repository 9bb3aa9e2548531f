//! The HTTP/1.1 server: requests of one connection in order, each read whole, answered or streamed, all within limits.
//!
//! Never: what is answered. Links between daemons arrive here too, as ordinary requests.

use crate::{
    body::{self, Unread},
    connection::{Socket, Watch},
    parts::{self, PartsBody},
    reading,
    relay::RelayBody,
    stream::StreamBody,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use model::{document::Part, request::RequestId};
use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
};

/// How long open requests may take to finish once the server stops; what is left is cut.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// How long a new connection waits for one to end that is cut for it.
const SLOT_PATIENCE: Duration = Duration::from_millis(200);
/// Pause after a failed accept, which comes from having too few file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request's body, also after decompression.
    pub body_bytes_max: usize,
    /// From the first byte of a request until its head is whole.
    pub head_timeout: Duration,
    /// From the end of the head until the body is whole.
    pub body_timeout: Duration,
    /// Open connections. For one more the oldest that never said anything is closed; where all have, it is answered 503.
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 * 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            connections_max: 16_384,
        }
    }
}

/// A request that arrived whole.
#[derive(Debug)]
pub struct Incoming {
    /// Its number, unique in this process.
    pub id: RequestId,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The address it came to.
    pub local: SocketAddr,
    /// The request with its whole body; empty where it is an upload.
    pub request: Request<Bytes>,
    /// A body of records, which may go on for as long as the client likes.
    pub upload: Option<Upload>,
}

/// A body that is read while it comes.
#[derive(Debug)]
pub struct Upload(hyper::body::Incoming);

impl Upload {
    /// The next part; none = its end, or the client has gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.0.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                return Some(data);
            }
        }
    }
}

/// The media type of uploads.
const RECORDS: &[u8] = b"application/recordio";

/// What a request is answered.
#[derive(Debug)]
pub enum Reply {
    /// An answer with its whole body.
    Full(Response<Bytes>),
    /// An answer whose body is there in parts.
    Parts(Response<Arc<Vec<Arc<Part>>>>),
    /// A head now, and bytes as they come.
    Stream(Response<()>, StreamBody),
    /// What another server answers, as it is.
    Relay(Response<RelayBody>),
}

/// A port could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has it.
    #[error("{address} is in use by another process: stop it, or choose another port with {flag}")]
    InUse {
        /// The address.
        address: SocketAddr,
        /// The flag that chooses it.
        flag: String,
    },
    /// The system refuses.
    #[error("cannot listen on {address} ({flag}): {error}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The flag that chooses it.
        flag: String,
        /// What the system says.
        error: io::Error,
    },
}

/// Listens on an address; port 0 picks one. `flag` is named in the error.
pub async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| {
        let flag = flag.to_owned();
        match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address, flag },
            _ => BindError::Refused { address, flag, error },
        }
    })
}

/// Serves until `stop` turns true, then ends within seconds: open requests get a short grace, streams are closed.
pub async fn serve<H, F>(listener: TcpListener, limits: Limits, mut stop: watch::Receiver<bool>, handler: H)
where
    H: Fn(Incoming) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let mut silent = Newcomers { all: VecDeque::new(), sweep_at: 2 * limits.connections_max };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let slot = slots.clone().try_acquire_owned();
                if slot.is_err() {
                    silent.cut_oldest();
                }
                let watch = silent.add();
                let (slots, stop, handler) = (slots.clone(), stop.clone(), handler.clone());
                connections.spawn(async move {
                    let slot = match slot {
                        Ok(slot) => Ok(Ok(slot)),
                        Err(_) => tokio::time::timeout(SLOT_PATIENCE, slots.acquire_owned()).await,
                    };
                    match slot {
                        Ok(Ok(_slot)) => converse(stream, peer, limits, stop, handler, watch).await,
                        _ => refuse(stream).await,
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
}

/// Connections that may not have said anything yet, oldest first.
struct Newcomers {
    all: VecDeque<Weak<Watch>>,
    /// When so many are listed, those that have spoken or gone are forgotten.
    sweep_at: usize,
}

impl Newcomers {
    fn add(&mut self) -> Arc<Watch> {
        if self.all.len() >= self.sweep_at {
            self.all.retain(|w| w.upgrade().is_some_and(|w| w.is_silent()));
        }
        let watch = Watch::new();
        self.all.push_back(Arc::downgrade(&watch));
        watch
    }
    /// Makes room for one that may have something to say.
    fn cut_oldest(&mut self) {
        while let Some(oldest) = self.all.pop_front() {
            if let Some(oldest) = oldest.upgrade().filter(|w| w.is_silent()) {
                return oldest.cut();
            }
        }
    }
}

async fn refuse(mut stream: TcpStream) {
    let answer = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 47\r\n\r\n\
                  Too many connections are open (connections_max)";
    if let Err(error) = stream.write_all(answer.as_bytes()).await {
        tracing::debug!(%error, "a connection too many went away by itself");
    }
}

async fn converse<H, F>(
    stream: TcpStream,
    peer: SocketAddr,
    limits: Limits,
    stop: watch::Receiver<bool>,
    handler: H,
    watch: Arc<Watch>,
) where
    H: Fn(Incoming) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let local = match stream.local_addr().and_then(|local| stream.set_nodelay(true).map(|()| local)) {
        Ok(local) => local,
        Err(error) => return tracing::debug!(%error, "a connection went away at once"),
    };
    let cut = Arc::new(Notify::new());
    let (large, sends_large) = watch::channel(false);
    let service = {
        let (watch, cut, stopping) = (watch.clone(), cut.clone(), stop.clone());
        service_fn(move |request: Request<hyper::body::Incoming>| {
            watch.busy();
            let (watch, cut, handler) = (watch.clone(), cut.clone(), handler.clone());
            let (mut stopping, large) = (stopping.clone(), large.clone());
            async move {
                let said = answer(request, peer, local, limits, &cut, handler).await;
                Ok::<_, Infallible>(match said {
                    Said::Full(answer) => {
                        watch.idle();
                        answer.map(|bytes| Either::Left(Either::Left(Full::new(bytes))))
                    }
                    Said::Parts(answer) => {
                        watch.idle();
                        answer.map(|body| Either::Left(Either::Right(body.telling(&large))))
                    }
                    // what arrives during a stream is not looked at
                    Said::Stream(head, stream) => {
                        stream.cut_by(cut.clone());
                        stream.telling(large);
                        let ended = stream.ended();
                        tokio::spawn(async move {
                            tokio::select! {
                                _ = stopping.wait_for(|stop| *stop) => cut.notify_one(),
                                () = ended => {}
                            }
                        });
                        head.map(|()| Either::Right(Either::Left(stream)))
                    }
                    Said::Relay(answer) => {
                        watch.idle();
                        answer.map(|body| Either::Right(Either::Right(body)))
                    }
                })
            }
        })
    };
    let mut http = http1::Builder::new();
    // Not pipeline_flush: with it hyper buffers a stream without bound for a client that does not read.
    http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(128 * 1024);
    let connection = http.serve_connection(TokioIo::new(Socket::new(stream, watch.clone())), service);
    let connection = Box::pin(connection);
    let mut talk =
        Talk { connection, peer, limits, stop, watch, cut, sends_large, aside: false, graceful: false };
    // Large bodies are sent by threads that stand behind all others; the next request is read here again.
    while let Some(moved) = talk.go_on().await {
        match reading::go_on(moved.go_on()).await {
            Ok(Some(back)) => talk = back,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%peer, %error, "a connection broke while it was read"),
        }
    }
}

/// A connection that is talked on.
struct Talk<C> {
    connection: Pin<Box<C>>,
    peer: SocketAddr,
    limits: Limits,
    stop: watch::Receiver<bool>,
    watch: Arc<Watch>,
    cut: Arc<Notify>,
    sends_large: watch::Receiver<bool>,
    /// Whether it is where large bodies are sent.
    aside: bool,
    graceful: bool,
}

impl<C: GracefulConnection<Error = hyper::Error>> Talk<C> {
    /// Talks until it is over, or is to go on at the other place: then it comes back.
    async fn go_on(mut self) -> Option<Self> {
        let peer = self.peer;
        loop {
            tokio::select! {
                biased;
                ended = self.connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "a connection broke");
                    }
                    return None;
                }
                true = turned(&mut self.sends_large, !self.aside) => {
                    self.aside = !self.aside;
                    return Some(self);
                }
                () = self.cut.notified() => return None,
                () = self.watch.was_cut() => {
                    tracing::debug!(%peer, "a silent connection made room for others");
                    return None;
                }
                () = self.watch.head_overdue(self.limits.head_timeout) => {
                    tracing::debug!(%peer, "a request head did not arrive in time");
                    return None;
                }
                _ = turned(&mut self.stop, true), if !self.graceful => {
                    self.graceful = true;
                    self.connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Waits until this is so; false if it will never be.
async fn turned(it: &mut watch::Receiver<bool>, so: bool) -> bool {
    it.wait_for(|is| *is == so).await.is_ok()
}

/// What one request is answered.
async fn answer<H, F>(
    request: Request<hyper::body::Incoming>,
    peer: SocketAddr,
    local: SocketAddr,
    limits: Limits,
    cut: &Notify,
    handler: H,
) -> Said
where
    H: Fn(Incoming) -> F,
    F: Future<Output = Reply>,
{
    let records = |value: &HeaderValue| value.as_bytes() == RECORDS;
    let whole = async {
        if request.headers().get(header::CONTENT_TYPE).is_some_and(records) {
            let (head, body) = request.into_parts();
            return Ok((Request::from_parts(head, Bytes::new()), false, Some(Upload(body))));
        }
        whole(request, limits).await.map(|(request, gzip)| (request, gzip, None))
    };
    match tokio::time::timeout(limits.body_timeout, whole).await {
        Ok(Ok((request, gzip, upload))) => {
            match handler(Incoming { id: next_id(), peer, local, request, upload }).await {
                Reply::Full(answer) if answer.body().len() >= reading::LARGE_BYTES_MIN => {
                    said(move || if gzip { body::compress(answer) } else { answer }.map(parts::one)).await
                }
                Reply::Full(answer) if gzip => Said::Full(body::compress(answer)),
                // It takes long for parts that nobody has asked for yet.
                Reply::Parts(answer) if gzip => said(|| parts::gzip(answer)).await,
                Reply::Full(answer) => Said::Full(answer),
                Reply::Parts(answer) => Said::Parts(parts::plain(answer)),
                Reply::Stream(head, stream) => Said::Stream(head, stream),
                Reply::Relay(answer) => Said::Relay(answer),
            }
        }
        Ok(Err(Unread::Refuse(status, text))) => refused(status, text),
        Ok(Err(Unread::Broken)) => {
            cut.notify_one();
            refused(StatusCode::BAD_REQUEST, String::new())
        }
        Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time".to_owned()),
    }
}

async fn said(make: impl FnOnce() -> Response<PartsBody> + Send + 'static) -> Said {
    match reading::work(make).await {
        Ok(answer) => Said::Parts(answer),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    }
}

async fn whole(
    request: Request<hyper::body::Incoming>,
    limits: Limits,
) -> Result<(Request<Bytes>, bool), Unread> {
    let (mut head, incoming) = request.into_parts();
    let bytes = body::read(&head.headers, incoming, limits.body_bytes_max).await?;
    if head.headers.remove(header::CONTENT_ENCODING).is_some() {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    let gzip = body::takes_gzip(&head.headers);
    Ok((Request::from_parts(head, bytes), gzip))
}

/// What is sent.
enum Said {
    Full(Response<Bytes>),
    Parts(Response<PartsBody>),
    Stream(Response<()>, StreamBody),
    Relay(Response<RelayBody>),
}

fn refused(status: StatusCode, text: String) -> Said {
    let mut answer = Response::new(Bytes::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Said::Full(answer)
}

fn next_id() -> RequestId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    RequestId(NEXT.fetch_add(1, Ordering::Relaxed))
}
