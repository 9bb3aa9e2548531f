//! Lists of all apps for many clients: one drawing at a time, a turn on the machine's lock after the other. Never: what a
//! list says (`endpoints`), or who shares one (`latest`).

use crate::{
    driver::{Driven, now},
    latest::Latest,
};
use endpoints::orchestrator::{
    Identity,
    lists::{Ask, Drawing, Sheet},
};
use http::{Response, StatusCode};
use model::document::Parts;
use orchestrator::Orchestrator;
use std::sync::Arc;
use web::Reply;

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
        let draw = async |before: Option<(Arc<Sheet>, _)>| {
            let before = before.map(|(sheet, _)| sheet).unwrap_or_default();
            let driven = self.driven.clone();
            let sheet = tokio::task::spawn_blocking(move || {
                let mut drawing = Drawing::begin(ask, before);
                loop {
                    let turn = drawing.go_on(&driven.read(), now());
                    match turn {
                        Ok(sheet) => return Arc::new(sheet),
                        Err(more) => drawing = more,
                    }
                }
            });
            let sheet = sheet.await?;
            let answer = sheet.answer(&self.who);
            Ok::<_, tokio::task::JoinError>((sheet, answer))
        };
        Reply::Parts(self.drawn.answer(ask, draw).await.map_or_else(|_| failed(), |(_, answer)| answer))
    }
}

/// The drawing broke off.
pub(crate) fn failed() -> Response<Arc<Parts>> {
    let mut failed = Response::new(Arc::default());
    *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    failed
}
