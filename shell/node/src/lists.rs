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
use tokio::task::JoinError;
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
            let look = tokio::task::spawn_blocking(move || {
                let mut drawing = Drawing::begin(ask, before);
                loop {
                    let turn = drawing.go_on(&driven.read(), now());
                    match turn {
                        Ok(all) => return all,
                        Err(more) => drawing = more,
                    }
                }
            });
            let (mut all, fresh) = look.await?;
            all.extend(draw(fresh).await?);
            let sheet = Arc::new(Sheet::of(all));
            let answer = sheet.answer(&self.who);
            Ok::<_, JoinError>((sheet, answer))
        };
        Reply::Parts(self.drawn.answer(ask, make).await.map_or_else(|_| failed(), |(_, answer)| answer))
    }
}

/// Draws all of it, a share at a time.
async fn draw(fresh: Vec<Sketch>) -> Result<Vec<Drawn>, JoinError> {
    let (mut shares, mut share, mut bytes) = (Vec::new(), Vec::new(), 0);
    for sketch in fresh {
        if bytes >= SHARE_BYTES {
            shares.push(std::mem::take(&mut share));
            bytes = 0;
        }
        bytes += sketch.bytes();
        share.push(sketch);
    }
    shares.push(share);
    let work =
        |share: Vec<Sketch>| web::reading::work(|| share.into_iter().map(Sketch::draw).collect::<Vec<_>>());
    // All of them are begun before one is waited for.
    let drawn: Vec<_> =
        shares.into_iter().filter(|share| !share.is_empty()).map(|share| tokio::spawn(work(share))).collect();
    let mut all = Vec::new();
    for share in drawn {
        all.extend(share.await??);
    }
    Ok(all)
}

/// The drawing broke off.
pub(crate) fn failed() -> Response<Arc<Parts>> {
    let mut failed = Response::new(Arc::default());
    *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    failed
}
