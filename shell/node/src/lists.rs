//! Lists of all apps for many clients: one drawing at a time, shared by all who asked before it began, a turn on the
//! machine's lock after the other. Never: what a list says (`endpoints`).

use crate::driver::{Driven, now};
use endpoints::orchestrator::{
    Identity,
    lists::{Ask, Drawing, Sheet},
};
use http::{Response, StatusCode};
use model::document::Parts;
use orchestrator::Orchestrator;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use web::Reply;

/// Lists that nobody asks for during this are forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// A list as it was drawn last.
struct Drawn {
    /// Who came before this number may not be given it: it may not show what was said to them.
    began: u64,
    sheet: Arc<Sheet>,
    answer: Response<Arc<Parts>>,
}

type Room = Arc<tokio::sync::Mutex<Option<Drawn>>>;

/// All lists of an orchestrator; there are as many as ways to ask for all apps.
#[derive(Clone)]
pub struct Lists {
    driven: Driven<Orchestrator>,
    who: Arc<Identity>,
    rooms: Arc<Mutex<HashMap<Ask, Room>>>,
    numbers: Arc<AtomicU64>,
}

impl Lists {
    /// None is drawn yet. Must be called inside a tokio runtime.
    pub fn of(driven: Driven<Orchestrator>, who: Arc<Identity>) -> Self {
        let all = Self { driven, who, rooms: Arc::default(), numbers: Arc::new(AtomicU64::new(1)) };
        let (numbers, rooms) = (Arc::downgrade(&all.numbers), Arc::downgrade(&all.rooms));
        tokio::spawn(async move {
            let mut last = 0;
            loop {
                tokio::time::sleep(IDLE).await;
                let (Some(numbers), Some(rooms)) = (numbers.upgrade(), rooms.upgrade()) else { return };
                let now = numbers.load(Ordering::Relaxed);
                if now == std::mem::replace(&mut last, now) {
                    rooms.lock().unwrap_or_else(PoisonError::into_inner).clear();
                }
            }
        });
        all
    }

    /// Answers with a list that shows everything that had happened when it was asked for.
    pub async fn answer(&self, ask: Ask) -> Reply {
        let came = self.numbers.fetch_add(1, Ordering::Relaxed);
        let room = {
            let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            rooms.entry(ask).or_default().clone()
        };
        let mut drawn = room.lock().await;
        if let Some(drawn) = drawn.as_ref().filter(|drawn| drawn.began > came) {
            return Reply::Parts(drawn.answer.clone());
        }
        let began = self.numbers.fetch_add(1, Ordering::Relaxed);
        let before = drawn.as_ref().map(|drawn| drawn.sheet.clone()).unwrap_or_default();
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
        let Ok(sheet) = sheet.await else {
            let mut failed = Response::new(Arc::default());
            *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Reply::Parts(failed);
        };
        let answer = sheet.answer(&self.who);
        *drawn = Some(Drawn { began, sheet, answer: answer.clone() });
        Reply::Parts(answer)
    }
}
