//! Passes requests on to another server and its answers back, bodies as they come. Never: to which, or whether twice.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::{Frame, Incoming};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, Sleep},
};

const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Headers that speak of one connection, not of what is passed on over it (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The bounds of a relay.
#[derive(Clone, Copy, Debug)]
pub struct RelayLimits {
    /// Until there is a connection.
    pub connect_timeout: Duration,
    /// During which something must be heard.
    pub read_timeout: Duration,
    /// Requests that wait at once for their answers to begin; the others wait for their turn, as long as for an answer.
    pub connections_max: usize,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// No connection was made, so nothing was asked.
    #[error("no connection: {0}")]
    NotAsked(String),
    /// Too many wait for an answer already, so nothing was asked.
    #[error("too many requests wait for their answers")]
    Busy,
    /// It was asked and said nothing in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke before there was an answer; what was asked may have been done.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// Connections to other servers, kept between requests.
#[derive(Clone, Debug)]
pub struct Relay {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    slots: Arc<Semaphore>,
    limits: RelayLimits,
}

impl Relay {
    /// A relay without connections.
    pub fn new(limits: RelayLimits) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits.connect_timeout));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT);
        let slots = Arc::new(Semaphore::new(limits.connections_max));
        Self { http: builder.build(connector), slots, limits }
    }

    /// Passes a request on to a server, `host:port`, with these headers in place of its own.
    pub async fn pass(
        &self,
        to: &str,
        request: Request<Bytes>,
        added: HeaderMap,
    ) -> Result<Response<RelayBody>, RelayError> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        // `OPTIONS *` has no path
        let slash = if path.starts_with('/') { "" } else { "/" };
        let uri: Uri = format!("http://{to}{slash}{path}")
            .parse()
            .map_err(|error: http::uri::InvalidUri| RelayError::NotAsked(error.to_string()))?;
        let mut passed = request.map(Full::new);
        *passed.uri_mut() = uri;
        *passed.headers_mut() = end_to_end(passed.headers());
        // the other server has another name
        passed.headers_mut().remove(header::HOST);
        // last: what a client calls its connection's own takes nothing of these away
        passed.headers_mut().extend(added);
        let turn = tokio::time::timeout(self.limits.read_timeout, self.slots.acquire()).await;
        // until the answer begins: a body that its client does not read keeps nobody else waiting
        let Ok(Ok(_slot)) = turn else { return Err(RelayError::Busy) };
        let most = self.limits.connect_timeout + self.limits.read_timeout;
        let asked = tokio::time::timeout(most, self.http.request(passed)).await;
        let answer = asked.map_err(|_| RelayError::Timeout)?;
        let mut answer = answer.map_err(|error| {
            let why = crate::client::chain(&error);
            if error.is_connect() { RelayError::NotAsked(why) } else { RelayError::Broken(why) }
        })?;
        *answer.headers_mut() = end_to_end(answer.headers());
        let read_timeout = self.limits.read_timeout;
        Ok(answer.map(|body| RelayBody {
            body,
            silence: Box::pin(tokio::time::sleep(read_timeout)),
            read_timeout,
        }))
    }
}

fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let mut kept = headers.clone();
    for name in HOP_BY_HOP.iter().chain(&named) {
        kept.remove(name);
    }
    kept
}

/// The body of an answer that is passed back while it comes.
#[derive(Debug)]
pub struct RelayBody {
    body: Incoming,
    silence: Pin<Box<Sleep>>,
    read_timeout: Duration,
}

impl hyper::body::Body for RelayBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let until = Instant::now() + self.read_timeout;
            self.silence.as_mut().reset(until);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.silence.as_mut().poll(context));
        Poll::Ready(Some(Err("nothing more was heard in time".into())))
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Reply, bind, serve};
    use http::HeaderValue;
    use http_body_util::BodyExt as _;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    const LIMITS: RelayLimits = RelayLimits {
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_millis(300),
        connections_max: 2,
    };

    /// A server that says what it was asked; `/silent` never answers, `/half` stops in the middle of a body.
    async fn server() -> (String, tokio::sync::watch::Sender<bool>) {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let listener = bind(any, "--port").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, stop) = tokio::sync::watch::channel(false);
        let handler = |incoming: crate::Incoming| async move {
            match incoming.request.uri().path() {
                "/silent" => std::future::pending().await,
                "/half" => {
                    let (handle, body) = crate::stream(1024, 8);
                    handle.send(Bytes::from_static(b"half")).unwrap();
                    tokio::spawn(async move {
                        std::future::pending::<()>().await;
                        drop(handle);
                    });
                    Reply::Stream(Response::new(()), body)
                }
                _ => {
                    let said = format!("{:?}", incoming.request);
                    Reply::Full(
                        Response::builder().status(201).header("x-its", "own").body(said.into()).unwrap(),
                    )
                }
            }
        };
        tokio::spawn(serve(listener, Limits::default(), stop, handler));
        (address, tell)
    }

    fn ask(path: &str) -> Request<Bytes> {
        let mut request = Request::new(Bytes::from_static(b"body"));
        *request.method_mut() = http::Method::PUT;
        *request.uri_mut() = path.parse().unwrap();
        for (name, value) in
            [("connection", "x-hop"), ("x-hop", "hop"), ("x-end", "end"), ("host", "me"), ("te", "trailers")]
        {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        request
    }

    #[tokio::test]
    async fn requests_and_answers_are_passed_on_but_for_what_is_of_the_connection() {
        let (address, _tell) = server().await;
        let relay = Relay::new(LIMITS);
        // more than there are slots: each is given back with its body
        for _ in 0..5 {
            let answer = relay.pass(&address, ask("/a%20b?c=d"), HeaderMap::new()).await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["x-its"]),
                (201, &HeaderValue::from_static("own"))
            );
            let said = answer.into_body().collect().await.unwrap().to_bytes();
            let said = String::from_utf8_lossy(&said).into_owned();
            for part in ["PUT", "/a%20b?c=d", "\"x-end\": \"end\"", "b\"body\""] {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert!(
                !said.contains("hop") && !said.contains("trailers") && !said.contains("\"me\""),
                "{said}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_added_stands_whatever_the_client_says_of_it() {
        let (address, _tell) = server().await;
        let relay = Relay::new(LIMITS);
        for path in ["*", "/x"] {
            let mut request = ask(path);
            request.headers_mut().insert("connection", HeaderValue::from_static("x-hop, x-added"));
            request.headers_mut().insert("x-added", HeaderValue::from_static("forged"));
            let added =
                HeaderMap::from_iter([("x-added".parse().unwrap(), HeaderValue::from_static("true"))]);
            let answer = relay.pass(&address, request, added).await.unwrap();
            let said = answer.into_body().collect().await.unwrap().to_bytes();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(said.contains("\"x-added\": \"true\"") && !said.contains("forged"), "{path}: {said}");
        }
    }

    #[tokio::test]
    async fn silence_has_a_bound_before_the_answer_and_in_it() {
        let (address, _tell) = server().await;
        let relay = Relay::new(RelayLimits { connect_timeout: Duration::from_millis(10), ..LIMITS });
        assert_eq!(
            relay.pass(&address, ask("/silent"), HeaderMap::new()).await.unwrap_err(),
            RelayError::Timeout
        );
        let mut half = relay.pass(&address, ask("/half"), HeaderMap::new()).await.unwrap().into_body();
        let first = half.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "half");
        assert!(half.frame().await.unwrap().is_err(), "it is not taken for a whole body");
    }

    #[tokio::test]
    async fn who_finds_no_place_is_told_that_nothing_was_asked_and_bodies_take_none() {
        let (address, _tell) = server().await;
        let relay = Relay::new(RelayLimits { read_timeout: Duration::from_secs(1), ..LIMITS });
        let mut bodies = Vec::new();
        for _ in 0..5 {
            bodies.push(relay.pass(&address, ask("/half"), HeaderMap::new()).await.unwrap());
        }
        let brief =
            Relay::new(RelayLimits { connections_max: 0, read_timeout: Duration::from_millis(10), ..LIMITS });
        assert_eq!(brief.pass(&address, ask("/x"), HeaderMap::new()).await.unwrap_err(), RelayError::Busy);
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_was_asked() {
        let relay = Relay::new(LIMITS);
        let nobody = relay.pass("127.0.0.1:1", ask("/"), HeaderMap::new()).await.unwrap_err();
        assert!(matches!(nobody, RelayError::NotAsked(_)), "{nobody}");
        let wrong = relay.pass("no host", ask("/"), HeaderMap::new()).await.unwrap_err();
        assert!(matches!(wrong, RelayError::NotAsked(_)), "{wrong}");
    }
}
