//! Large documents for many clients: one drawing at a time, shared by all who asked before it began, off the machine's
//! lock. Never: what a document says (`endpoints`).

use crate::driver::Driven;
use endpoints::master::{Artist, Ask};
use http::{Response, StatusCode};
use master::{Master, View};
use model::{document::Parts, request::Codec};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use web::{Promise, Reply};

/// Documents that are kept; when more are asked for, those that nobody waits for are forgotten.
const KEPT_MAX: usize = 32;
/// Documents that nobody asks for during this are forgotten, and what they were made of.
const IDLE: Duration = Duration::from_secs(60);

type Sheet = Response<Arc<Parts>>;

/// A document as it was drawn last.
struct Drawn {
    /// Who came before this number may not be given it: it may not show what was said to them.
    began: u64,
    view: View,
    sheet: Sheet,
}

type Room = Arc<tokio::sync::Mutex<Option<Drawn>>>;

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
    rooms: Arc<Mutex<HashMap<Ask, Room>>>,
    numbers: Arc<AtomicU64>,
}

impl Documents {
    /// None is drawn yet.
    pub fn of(driven: Driven<Master>, artist: Arc<Mutex<Artist>>) -> Self {
        let all = Self { driven, artist, rooms: Arc::default(), numbers: Arc::new(AtomicU64::new(1)) };
        let (numbers, artist, rooms) =
            (Arc::downgrade(&all.numbers), all.artist.clone(), Arc::downgrade(&all.rooms));
        tokio::spawn(async move {
            let mut last = 0;
            loop {
                tokio::time::sleep(IDLE).await;
                let (Some(numbers), Some(rooms)) = (numbers.upgrade(), rooms.upgrade()) else { return };
                let now = numbers.load(Ordering::Relaxed);
                if now == std::mem::replace(&mut last, now) {
                    rooms.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    artist.lock().unwrap_or_else(PoisonError::into_inner).forget();
                }
            }
        });
        all
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
        let came = self.numbers.fetch_add(1, Ordering::Relaxed);
        let room = {
            let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            if rooms.len() >= KEPT_MAX {
                rooms.retain(|_, room| Arc::strong_count(room) > 1);
            }
            rooms.entry(ask.clone()).or_default().clone()
        };
        let mut drawn = room.lock().await;
        if let Some(drawn) = drawn.as_ref().filter(|drawn| drawn.began > came) {
            return Reply::Parts(drawn.sheet.clone());
        }
        let began = self.numbers.fetch_add(1, Ordering::Relaxed);
        let view = self.driven.read().view();
        if let Some(drawn) = drawn.as_mut().filter(|drawn| drawn.view.same(&view)) {
            drawn.began = began;
            return Reply::Parts(drawn.sheet.clone());
        }
        let (artist, seen) = (self.artist.clone(), view.clone());
        let sheet = web::reading::work(move || free(&artist).draw(&ask, &seen).map(Arc::new));
        let Ok(sheet) = sheet.await else {
            let mut failed = Response::new(Arc::default());
            *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Reply::Parts(failed);
        };
        *drawn = Some(Drawn { began, view, sheet: sheet.clone() });
        Reply::Parts(sheet)
    }
}
