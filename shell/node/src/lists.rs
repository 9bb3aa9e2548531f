//! Lists of all apps for many clients: one drawing at a time. The machine is looked at one turn on its lock after the
//! other, by a thread that nothing makes wait while it has the lock; what has changed is drawn without it, by those that
//! stand behind. Never: what a list says (`endpoints`), or who shares one (`latest`).

use crate::{
    driver::{Driven, now},
    latest::Latest,
};
use endpoints::orchestrator::{
    Identity,
    lists::{Ask, Drawing, Drawn, Sheet, Sketch},
};
use http::{Response, StatusCode};
use model::document::Parts;
use orchestrator::Orchestrator;
use std::sync::Arc;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use web::Reply;

/// Bytes that one thread draws at a time; there are several (`web::reading`).
const SHARE_BYTES: usize = 1024 * 1024;

/// All lists of an orchestrator; there are as many as ways to ask for all apps.
#[derive(Clone)]
pub struct Lists {
    driven: Driven<Orchestrator>,
    who: Arc<Identity>,
    drawn: Latest<Ask, (Arc<Sheet>, Response<Arc<Parts>>)>,
}

impl Lists {
    /// None is drawn yet. Must be called inside a tokio runtime.
    pub fn of(driven: Driven<Orchestrator>, who: Arc<Identity>) -> Self {
        Self { driven, who, drawn: Latest::new(|| {}) }
    }

    /// Answers with a list that shows everything that had happened when it was asked for.
    pub async fn answer(&self, ask: Ask) -> Reply {
        let make = async |before: Option<(Arc<Sheet>, _)>| {
            let before = before.map(|(sheet, _)| sheet).unwrap_or_default();
            let driven = self.driven.clone();
            let sheet = Arc::new(Sheet::of(drawn(driven, ask, before).await?));
            let answer = sheet.answer(&self.who);
            Ok::<_, JoinError>((sheet, answer))
        };
        Reply::Parts(self.drawn.answer(ask, make).await.map_or_else(|_| failed(), |(_, answer)| answer))
    }
}

/// All of a list: what has to be drawn is drawn while the rest is looked at.
async fn drawn(driven: Driven<Orchestrator>, ask: Ask, before: Arc<Sheet>) -> Result<Vec<Drawn>, JoinError> {
    let (hand, mut handed) = mpsc::unbounded_channel();
    // A turn has no more than a few shares, and all of them are some hundred.
    let look = tokio::task::spawn_blocking(move || {
        let (mut kept, mut share, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut more = Some(Drawing::begin(ask, before));
        while let Some(drawing) = more {
            let turn = drawing.go_on(&driven.read(), now());
            kept.extend(turn.kept);
            for sketch in turn.fresh {
                bytes += sketch.bytes();
                share.push(sketch);
                if bytes >= SHARE_BYTES {
                    bytes = 0;
                    // Nobody takes it once nobody waits for the list.
                    hand.send(std::mem::take(&mut share)).unwrap_or_default();
                }
            }
            more = turn.more;
        }
        hand.send(share).unwrap_or_default();
        kept
    });
    let mut drawing = JoinSet::new();
    while let Some(share) = handed.recv().await.filter(|share: &Vec<Sketch>| !share.is_empty()) {
        let draw = || share.into_iter().map(Sketch::draw).collect::<Vec<_>>();
        drawing.spawn(web::reading::work(draw));
    }
    let mut all = look.await?;
    while let Some(share) = drawing.join_next().await {
        all.extend(share??);
    }
    Ok(all)
}

/// The drawing broke off.
pub(crate) fn failed() -> Response<Arc<Parts>> {
    let mut failed = Response::new(Arc::default());
    *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    failed
}
