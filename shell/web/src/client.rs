//! A small HTTP client: keep-alive, JSON or bytes, streams, redirects to a leader. Plain HTTP only.
//!
//! Never: retries. Who asks knows whether asking twice is safe.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Bytes of an answer that is read whole.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
const REDIRECTS_MAX: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not one that this client can ask.
    #[error("'{url}' is not an http:// address: {why}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// The address.
        url: String,
        /// What went wrong, innermost last.
        why: String,
        /// No connection could be made, so nothing was asked.
        connect: bool,
    },
    /// The answer took too long.
    #[error("{url} did not answer within {seconds} s")]
    Timeout {
        /// The address.
        url: String,
        /// The bound.
        seconds: u64,
    },
    /// It answered that it won't.
    #[error("{url} answered {status}: {}", text.trim())]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: StatusCode,
        /// The body as text.
        text: String,
    },
    /// The answer is not what was expected.
    #[error("{url} gave an answer that is not understood: {why}")]
    Body {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A client that keeps connections open between requests. Clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

impl Default for Client {
    fn default() -> Self {
        Self::new(Duration::from_secs(60))
    }
}

impl Client {
    /// A client that waits so long for an answer.
    pub fn new(timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT);
        Self { http: builder.build(connector), timeout }
    }

    /// Asks, and gives the answer as soon as its head is there. Follows redirects with the same method and body.
    pub async fn open(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<hyper::body::Incoming>, ClientError> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let uri = parse(&url)?;
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            let timeout = || ClientError::Timeout { url: url.clone(), seconds: self.timeout.as_secs() };
            let asked = tokio::time::timeout(self.timeout, self.http.request(request))
                .await
                .map_err(|_| timeout())?;
            let answer = asked.map_err(|error| unreachable(&uri, &error, error.is_connect()))?;
            let location = answer.headers().get(header::LOCATION).and_then(|v| v.to_str().ok());
            match (answer.status(), location) {
                (StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT, Some(to)) => {
                    url = resolve(&uri, to)
                }
                _ => return Ok(answer),
            }
        }
        Err(ClientError::Body { url, why: format!("more than {REDIRECTS_MAX} redirects") })
    }

    /// Asks, and reads the answer whole, whatever its status.
    pub async fn ask(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, ClientError> {
        let whole = async {
            let (head, body) = self.open(method, url, headers, body).await?.into_parts();
            let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let why = |error: Box<dyn std::error::Error + Send + Sync>| error.to_string();
            let bytes =
                read.map_err(|error| ClientError::Body { url: url.to_owned(), why: why(error) })?.to_bytes();
            Ok(Response::from_parts(head, bytes))
        };
        let timeout = || ClientError::Timeout { url: url.to_owned(), seconds: self.timeout.as_secs() };
        tokio::time::timeout(self.timeout, whole).await.map_err(|_| timeout())?
    }

    /// Asks with a JSON body if there is one; the answer must be a success and JSON, `null` if it is empty.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, ClientError> {
        let answer = self.answer(method, url, body).await?;
        let text: &[u8] = if answer.body().is_empty() { b"null" } else { answer.body() };
        serde_json::from_slice(text)
            .map_err(|error| ClientError::Body { url: url.to_owned(), why: error.to_string() })
    }
    /// Asks with JSON; the whole answer, where its status says that it was done.
    pub async fn answer(
        &self,
        method: Method,
        url: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Response<Bytes>, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        success(url, self.ask(method, url, headers, bytes).await?)
    }

    /// Gets JSON.
    pub async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, ClientError> {
        self.json(Method::GET, url, None).await
    }

    /// Gets bytes.
    pub async fn bytes(&self, url: &str) -> Result<Bytes, ClientError> {
        let answer = self.ask(Method::GET, url, HeaderMap::new(), Bytes::new()).await?;
        Ok(success(url, answer)?.into_body())
    }
}

/// A body that comes in parts.
struct Parts(tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|part| part.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}

/// Sends a body while it comes, on a connection of its own, and gives the status of the answer.
pub async fn upload(
    url: &str,
    headers: HeaderMap,
    parts: tokio::sync::mpsc::Receiver<Bytes>,
) -> Result<StatusCode, ClientError> {
    let uri = parse(url)?;
    let authority = uri.authority().map_or(String::new(), |a| a.as_str().to_owned());
    let broken = |error: &dyn std::error::Error| unreachable(&uri, error, false);
    let connect = tokio::net::TcpStream::connect(authority.as_str());
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(|error| broken(&error))?;
    let stream = stream.map_err(|error| unreachable(&uri, &error, true))?;
    stream.set_nodelay(true).map_err(|error| broken(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
    let connection = tokio::spawn(connection);
    let mut request = Request::new(Parts(parts));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.path().parse().unwrap_or_default();
    *request.headers_mut() = headers;
    if let Ok(host) = HeaderValue::from_str(&authority) {
        request.headers_mut().insert(header::HOST, host);
    }
    let answer = sender.send_request(request).await.map_err(|error| broken(&error));
    connection.abort();
    Ok(answer?.status())
}

/// Turns an answer that is not a success into an error.
pub fn success(url: &str, answer: Response<Bytes>) -> Result<Response<Bytes>, ClientError> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    Err(ClientError::Status { url: url.to_owned(), status: answer.status(), text })
}

fn parse(url: &str) -> Result<Uri, ClientError> {
    let wrong = |why: &str| ClientError::Address { url: url.to_owned(), why: why.to_owned() };
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(_)) => Ok(uri),
        (Some(other), _) => Err(wrong(&format!("{other} is not spoken here"))),
        _ => Err(wrong("it must begin with http:// and name a host")),
    }
}

/// Where a Location leads; Mesos' masters redirect to `//host:port/path`.
fn resolve(from: &Uri, to: &str) -> String {
    if to.starts_with("//") {
        format!("http:{to}")
    } else if to.starts_with('/') {
        format!("http://{}{to}", from.authority().map_or("", |a| a.as_str()))
    } else {
        to.to_owned()
    }
}

/// Where nobody listens, the path that was asked for and the layers that tried do not matter.
fn unreachable(uri: &Uri, error: &dyn std::error::Error, connect: bool) -> ClientError {
    if !connect {
        return ClientError::Unreachable { url: uri.to_string(), why: chain(error), connect };
    }
    let mut innermost = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    let authority = uri.authority().map_or("", |a| a.as_str());
    let scheme = uri.scheme_str().unwrap_or("http");
    ClientError::Unreachable { url: format!("{scheme}://{authority}"), why: innermost.to_string(), connect }
}

/// An error with what it came from, innermost last.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_resolved() {
        let from: Uri = "http://a:5050/api".parse().unwrap();
        assert_eq!(resolve(&from, "//b:5050/api"), "http://b:5050/api");
        assert_eq!(resolve(&from, "/other"), "http://a:5050/other");
        assert_eq!(resolve(&from, "http://c/x"), "http://c/x");
    }

    #[test]
    fn only_plain_http_is_spoken() {
        for wrong in ["https://a/", "a:5050", "/path", "", "http://"] {
            assert!(matches!(parse(wrong), Err(ClientError::Address { .. })), "{wrong:?}");
        }
    }
}
