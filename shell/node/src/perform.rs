//! What requests need of the world: files, metrics, the log level, what containers use. What was asked is decided before
//! (`endpoints`), and how it is said after.

use crate::{files, levels, measure};
use bytes::Bytes;
use containers::Meter;
use endpoints::{Perform, agent::containers::render_used, logging::render_level, metrics::render_measured};
use http::Response;
use model::request::Answer;
use std::sync::Arc;
use web::Reply;

/// More metrics of a role, by name.
pub type More = Arc<dyn Fn() -> Vec<(String, f64)> + Send + Sync>;

/// What a role has to do it with.
#[derive(Clone)]
pub struct Tools {
    /// More metrics.
    pub more: More,
    /// Measures containers; none = this role has none.
    pub meter: Option<Meter>,
}

impl Tools {
    /// Does it and renders the answer.
    pub async fn perform(&self, perform: Perform) -> Reply {
        match perform {
            Perform::Files(ask) => files::perform(ask).await,
            perform => Reply::Full(self.respond(perform).await),
        }
    }

    async fn respond(&self, perform: Perform) -> Response<Bytes> {
        match perform {
            Perform::Metrics(ask) => {
                let mut measured = measure::system();
                measured.named = (self.more)();
                let rendered = web::reading::work(move || {
                    let mut ask = ask;
                    ask.read_tables();
                    render_measured(ask, &measured)
                });
                let failed = || endpoints::render(Answer::text(500, "500 Internal Server Error."));
                rendered.await.unwrap_or_else(|_| failed())
            }
            Perform::Logging(ask) => {
                if let Some((level, hold)) = ask.set {
                    levels::set(level, hold);
                }
                render_level(&ask, levels::level())
            }
            Perform::Containers(ask) => {
                let Some(meter) = self.meter.clone() else {
                    return endpoints::render(Answer::text(404, "404 Not Found."));
                };
                let wanted: Vec<_> = ask.containers.iter().map(|c| (c.id.clone(), c.pid)).collect();
                let measured = tokio::task::spawn_blocking(move || meter.measure(&wanted)).await;
                render_used(&ask, measured.unwrap_or_default())
            }
            // The agent streams these itself; a master has no containers. Files and documents were dealt with.
            Perform::Files(_) | Perform::Document(_) | Perform::Session { .. } | Perform::Output { .. } => {
                endpoints::render(Answer::text(404, "404 Not Found."))
            }
        }
    }
}
