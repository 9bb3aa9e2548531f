//! Large documents for many clients: one drawing at a time, off the machine's lock. Never: what a document says
//! (`endpoints`), or who shares one (`latest`).

use crate::{driver::Driven, latest::Latest, lists::failed};
use endpoints::master::{Artist, Ask};
use http::Response;
use master::{Master, View};
use model::{document::Parts, request::Codec};
use std::sync::{Arc, Mutex, MutexGuard};
use web::{Promise, Reply};

type Sheet = Response<Arc<Parts>>;

/// Waits until nobody else draws.
fn free(artist: &Mutex<Artist>) -> MutexGuard<'_, Artist> {
    artist.lock().unwrap_or_else(|poisoned| {
        // What broke in the middle of a drawing is not gone on with.
        let mut artist = poisoned.into_inner();
        artist.forget();
        artist
    })
}

/// All documents of a master.
#[derive(Clone)]
pub struct Documents {
    driven: Driven<Master>,
    artist: Arc<Mutex<Artist>>,
    drawn: Latest<Ask, (View, Sheet)>,
}

impl Documents {
    /// None is drawn yet. Must be called inside a tokio runtime.
    pub fn of(driven: Driven<Master>, artist: Arc<Mutex<Artist>>) -> Self {
        let made_of = artist.clone();
        Self { driven, artist, drawn: Latest::new(move || free(&made_of).forget()) }
    }

    /// Begins a stream of the operator's with all that there was when it was opened.
    pub fn begin(artist: &Arc<Mutex<Artist>>, view: Arc<View>, promise: Promise, codec: Codec) {
        let artist = artist.clone();
        tokio::spawn(web::reading::work(move || {
            let parts = free(&artist).everything(&view, codec);
            promise.keep(parts.iter().map(|part| part.plain.clone()).collect());
        }));
    }

    /// Answers with a document that shows everything that had happened when it was asked for.
    pub async fn answer(&self, ask: Ask) -> Reply {
        let asked = ask.clone();
        let draw = async |before: Option<(View, Sheet)>| {
            let view = self.driven.read().view();
            if let Some((_, sheet)) = before.filter(|(seen, _)| seen.same(&view)) {
                return Ok((view, sheet));
            }
            let (artist, seen) = (self.artist.clone(), view.clone());
            let sheet = web::reading::work(move || free(&artist).draw(&asked, &seen).map(Arc::new)).await?;
            Ok((view, sheet))
        };
        let drawn: Result<_, tokio::task::JoinError> = self.drawn.answer(ask, draw).await;
        Reply::Parts(drawn.map_or_else(|_| failed(), |(_, sheet)| sheet))
    }
}
