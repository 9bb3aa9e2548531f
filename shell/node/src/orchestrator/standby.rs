//! What an orchestrator that does not lead answers: what the leader answers, to whom requests are passed on.
//!
//! As upstream's `LeaderProxyFilter` and `AsyncUrlConnectionRequestForwarder`. Never: who leads.

use crate::flags::Values;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use model::request::{Answer, Body};
use std::time::Duration;
use web::{Incoming, Relay, RelayError, RelayLimits, Reply};

const VIA: HeaderName = HeaderName::from_static("x-marathon-via");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Words of upstream's.
const LOOP: &str = "Detected proxying loop.";
const REFUSED: &str = "Connection to leader refused.";
const NO_LEADER: &str = "Could not determine the current leader";

/// The way to the leader.
pub struct Standby {
    relay: Relay,
    /// What requests carry that came by here.
    via: HeaderValue,
}

impl Standby {
    /// For the orchestrator at `me`, `host:port`.
    pub fn new(me: &str, values: &Values) -> anyhow::Result<Self> {
        let millis = |name: &str| Duration::from_millis(values.number(name).unwrap_or_default());
        let most = values.number("leader_proxy_max_open_connections").unwrap_or_default();
        let relay = Relay::new(RelayLimits {
            connect_timeout: millis("leader_proxy_connection_timeout"),
            read_timeout: millis("leader_proxy_read_timeout"),
            connections_max: usize::try_from(most).unwrap_or(usize::MAX).clamp(1, CONNECTIONS_MAX),
        });
        Ok(Self { relay, via: HeaderValue::try_from(format!("1.1 {me}"))? })
    }

    /// Passes a request on. None = the leader could not be reached and was not asked: it may be another one soon.
    pub async fn pass(&self, leader: &str, incoming: &Incoming) -> Option<Reply> {
        let headers = incoming.request.headers();
        if headers.get_all(&VIA).iter().any(|via| *via == self.via) {
            tracing::warn!(leader, "a request came back that was passed on: the leader's address leads here");
            return Some(refused(502, LOOP));
        }
        let path = incoming.request.uri().path_and_query().map_or("/", |path| path.as_str());
        if path.starts_with("/v2/events") {
            // as upstream: a stream that lasts goes to the leader itself
            let mut answer = Answer::new(302, Body::Empty);
            answer.headers.push(("location", format!("http://{leader}{path}")));
            return Some(Reply::Full(endpoints::render(answer)));
        }
        let mut added: HeaderMap =
            headers.get_all(&VIA).iter().chain([&self.via]).map(|via| (VIA, via.clone())).collect();
        let said = headers.get(&FORWARDED_FOR).and_then(|said| said.to_str().ok());
        let mut chain: Vec<String> = said.into_iter().map(str::to_owned).collect();
        chain.push(incoming.peer.ip().to_string());
        if let Ok(chain) = HeaderValue::try_from(chain.join(",")) {
            added.insert(FORWARDED_FOR, chain);
        }
        match self.relay.pass(leader, incoming.request.clone(), added).await {
            Ok(mut answer) => {
                answer.headers_mut().append(VIA, self.via.clone());
                Some(Reply::Relay(answer))
            }
            Err(RelayError::NotAsked(why)) => {
                tracing::debug!(leader, why, "the leader can't be reached");
                None
            }
            Err(RelayError::Busy) => {
                let text = "Too many requests wait for the leader (leader_proxy_max_open_connections): nothing was asked";
                Some(refused(503, text))
            }
            Err(error) => {
                tracing::warn!(leader, %error, "the leader did not answer what was passed on to it");
                let text = format!("Failed to successfully establish a connection to the leader: {error}");
                Some(refused(500, &text))
            }
        }
    }
}

/// Connections to the leader, whatever the flag says.
const CONNECTIONS_MAX: usize = 16_384;

/// The answer where no leader can be asked; `known` = there is one.
pub fn no_leader(known: bool) -> Reply {
    refused(502, if known { REFUSED } else { NO_LEADER })
}

fn refused(status: u16, text: &str) -> Reply {
    let mut answer: Response<_> =
        endpoints::render(Answer::json(status, serde_json::json!({ "message": text }).to_string()));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Reply::Full(answer)
}
