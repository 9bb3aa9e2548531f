//! The master's large documents: which one a request asks for, drawn from a copy of its tables while it goes on, in
//! pages that are kept as long as what they show has not changed.
//!
//! Never: which members a noun has (`state`, `messages`, `nouns`), nor who waits for whose drawing (`shell/node`).

use super::{messages, operator, reads, state};
use crate::{answer, nouns, pages};
use api::json::Writer;
use base::{Page, Table};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use master::{Agent, Held, Tables as _, View, usage};
use model::{
    document::{self, Part, Parts},
    mesos::{Task, master::call::Type as Of},
    request::Codec,
    resources::Resources,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Which document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    pub(super) what: What,
    /// The function that the client wants it wrapped in.
    pub(super) jsonp: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// `/state`.
    State,
    /// `/state-summary`.
    Summary,
    /// `/slaves`: all of them, or one.
    Slaves(Option<String>),
    /// `/frameworks`: all of them, or one.
    Frameworks(Option<String>),
    /// `/roles`.
    Roles,
    /// `/tasks` with its query.
    Tasks(Option<String>),
    /// A large answer of the operator API.
    Large(Of, Codec),
    /// The page for browsers.
    Page,
}

/// What of tasks that stand together those hold that run.
#[derive(Debug)]
struct Sums {
    /// By role.
    used: BTreeMap<String, Resources>,
    held: Held,
}

/// Agents that stand together, and where in the text each one ends.
#[derive(Debug)]
pub(super) struct Agents {
    pub part: Arc<Part>,
    pub ends: Vec<usize>,
}

/// A page, held so that its place stays its own; what was drawn of it; the walk that came by last.
#[derive(Debug)]
struct Kept<K, V, T> {
    page: Arc<Page<K, V>>,
    drawn: T,
    turn: u64,
}

/// What was drawn of pages. A page is known by its place in memory, which it keeps as long as it is kept here.
#[derive(Debug)]
struct Drawn<K, V, T> {
    kept: HashMap<usize, Kept<K, V, T>>,
    turn: u64,
}

impl<K, V, T> Default for Drawn<K, V, T> {
    fn default() -> Self {
        Self { kept: HashMap::new(), turn: 0 }
    }
}

impl<K, V, T> Drawn<K, V, T> {
    fn of(&mut self, page: &Arc<Page<K, V>>, draw: impl FnOnce(&Page<K, V>) -> T) -> &T {
        let known = self.kept.entry(Arc::as_ptr(page) as usize);
        let kept = known.or_insert_with(|| Kept { page: page.clone(), drawn: draw(page), turn: 0 });
        debug_assert!(Arc::ptr_eq(&kept.page, page));
        kept.turn = self.turn;
        &kept.drawn
    }
    /// A walk over all pages is over: those that it did not come by are gone.
    fn turn(&mut self) {
        self.kept.retain(|_, kept| kept.turn == self.turn);
        self.turn += 1;
    }
}

/// One way to say tasks.
#[derive(Debug, Default)]
pub(super) struct OfTasks {
    live: Drawn<String, Task, Arc<Part>>,
    ended: Drawn<u64, Task, Arc<Part>>,
}

/// Writes documents, and keeps what it wrote of pages that did not change since.
#[derive(Debug, Default)]
pub struct Artist {
    pub(super) tasks: OfTasks,
    pub(super) tasks_v1: OfTasks,
    sums: Drawn<String, Task, Sums>,
    state_agents: Drawn<String, Agent, Agents>,
    full_agents: Drawn<String, Agent, Agents>,
    agents_v1: Drawn<String, Agent, Agents>,
}

/// How one is written.
pub(super) type Write<T> = fn(&mut Writer, &T);

/// A document in the making.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub w: Writer,
    parts: Parts,
    comma: Arc<Part>,
}

impl Sheet {
    pub(super) fn new() -> Self {
        Self { comma: Part::new(","), ..Self::default() }
    }
    /// Items of a list that are written already.
    pub(super) fn items(&mut self, part: &Arc<Part>) {
        self.w.item();
        self.cut();
        self.parts.push(part.clone());
        self.w.raw("");
    }
    fn cut(&mut self) {
        match self.w.take() {
            text if text == "," => self.parts.push(self.comma.clone()),
            text if text.is_empty() => {}
            text => self.parts.push(Part::new(text)),
        }
    }
    pub(super) fn finish(mut self) -> Parts {
        self.cut();
        self.parts
    }
}

fn items<'a, T: 'a>(all: impl Iterator<Item = &'a T>, write: Write<T>) -> Arc<Part> {
    let mut w = Writer::default();
    for one in all {
        w.item();
        write(&mut w, one);
    }
    Part::new(w.finish())
}

impl OfTasks {
    /// A list of tasks that are not forgotten.
    pub(super) fn list(&mut self, sheet: &mut Sheet, all: &Table<String, Task>, write: Write<Task>) {
        for page in all.pages() {
            sheet.items(self.live.of(page, |page| items(page.iter().map(|(_, task)| task), write)));
        }
    }
    /// A list of ended tasks.
    pub(super) fn ended(&mut self, sheet: &mut Sheet, all: &Table<u64, Task>, write: Write<Task>) {
        for page in all.pages() {
            sheet.items(self.ended.of(page, |page| items(page.iter().map(|(_, task)| task), write)));
        }
    }
    fn turn(&mut self) {
        self.live.turn();
        self.ended.turn();
    }
}

fn sums(page: &Page<String, Task>) -> Sums {
    let tasks = || page.iter().map(|(_, task)| task);
    Sums { used: usage(tasks()), held: Held::of(tasks()) }
}

fn draw_agents(
    page: &Page<String, Agent>,
    view: &View,
    write: impl Fn(&mut Writer, &View, &Agent),
) -> Agents {
    let mut w = Writer::default();
    let mut ends = Vec::with_capacity(page.entries());
    for (_, agent) in page.iter() {
        w.item();
        write(&mut w, view, agent);
        ends.push(w.len());
    }
    Agents { part: Part::new(w.finish()), ends }
}

impl Artist {
    /// Forgets what it kept.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Agents as `/state` has them, page by page.
    pub(super) fn state_agents(&mut self, view: &View, mut each: impl FnMut(&Page<String, Agent>, &Agents)) {
        for page in view.agents().pages() {
            each(page, self.state_agents.of(page, |page| draw_agents(page, view, state::agent)));
        }
        self.state_agents.turn();
    }
    /// A list of agents as `/slaves` has them.
    pub(super) fn full_agents(&mut self, sheet: &mut Sheet, view: &View) {
        for page in view.agents().pages() {
            let drawn = self.full_agents.of(page, |page| draw_agents(page, view, state::full_agent));
            sheet.items(&drawn.part);
        }
        self.full_agents.turn();
    }
    /// A list of agents as the operator API has them.
    pub(super) fn agents_v1(&mut self, sheet: &mut Sheet, view: &View) {
        for page in view.agents().pages() {
            let write = |w: &mut Writer, view: &View, agent: &Agent| {
                messages::agent(w, &view.agent_message(agent));
            };
            let drawn = self.agents_v1.of(page, |page| draw_agents(page, view, write));
            sheet.items(&drawn.part);
        }
        self.agents_v1.turn();
    }
    /// What the tasks that run use, by role.
    pub(super) fn used(&mut self, all: &Table<String, Task>) -> BTreeMap<String, Resources> {
        let mut used: BTreeMap<String, Resources> = BTreeMap::new();
        for page in all.pages() {
            for (role, more) in &self.sums.of(page, sums).used {
                *used.entry(role.clone()).or_default() += more;
            }
        }
        used
    }
    /// What all tasks hold.
    pub(super) fn held(&mut self, view: &View) -> Held {
        let mut held = Held::default();
        for page in view.frameworks().values().flat_map(|framework| framework.tasks.pages()) {
            held.add_all(&self.sums.of(page, sums).held);
        }
        self.sums.turn();
        held
    }
    /// What the tasks of all frameworks use was asked for.
    pub(super) fn used_done(&mut self) {
        self.sums.turn();
    }
    /// All tasks were come by.
    pub(super) fn tasks_done(&mut self) {
        self.tasks.turn();
        self.used_done();
    }
    /// All tasks were come by, in the operator API's way to say them.
    pub(super) fn tasks_v1_done(&mut self) {
        self.tasks_v1.turn();
    }

    /// Draws a document.
    pub fn draw(&mut self, ask: &Ask, view: &View) -> Response<Parts> {
        let mut sheet = Sheet::new();
        let mut media = api::call::JSON;
        match &ask.what {
            What::State => state::state(&mut sheet, self, view),
            What::Summary => state::summary(&mut sheet, self, view),
            What::Slaves(None) => state::slaves(&mut sheet, self, view),
            What::Slaves(Some(id)) => state::one_slave(&mut sheet.w, view, id),
            What::Frameworks(None) => state::frameworks(&mut sheet, self, view, None),
            // Not all pages are come by: what is kept stays untouched.
            What::Frameworks(id) => {
                state::frameworks(&mut sheet, &mut Self::default(), view, id.as_deref());
            }
            What::Roles => {
                let held = self.held(view);
                state::roles(&mut sheet.w, view, held);
            }
            What::Tasks(query) => reads::tasks(&mut sheet.w, view, query.as_deref()),
            What::Large(Of::GetRoles, codec) => {
                media = api::call::media_type(*codec);
                let roles = operator::roles_message(view, self.held(view));
                return with(vec![Part::new(api::call::encode(&roles, *codec))], media);
            }
            What::Large(kind, Codec::Json) => messages::large(&mut sheet, self, view, kind.as_str_name()),
            What::Large(kind, codec @ Codec::Protobuf) => {
                media = api::call::media_type(*codec);
                let bytes = api::call::encode(&operator::large_message(*kind, view), *codec);
                return with(vec![Part::new(bytes)], media);
            }
            What::Page => return self.page(view),
        }
        let mut parts = sheet.finish();
        if let Some(callback) = &ask.jsonp {
            parts.insert(0, Part::new(format!("{callback}(")));
            parts.push(Part::new(")"));
            media = "text/javascript";
        }
        with(parts, media)
    }

    /// SUBSCRIBED as the first record of an operator's stream.
    pub fn everything(&mut self, view: &View, codec: Codec) -> Parts {
        let record = match codec {
            Codec::Json => {
                let mut sheet = Sheet::new();
                messages::subscribed(&mut sheet, self, view);
                sheet.finish()
            }
            Codec::Protobuf => vec![Part::new(api::call::encode(&view.subscribed(), codec))],
        };
        let length: usize = record.iter().map(|part| part.plain.len()).sum();
        [vec![Part::new(api::recordio::head(length))], record].concat()
    }

    /// Panics unless what is kept says the same as what is drawn anew: of one document at a time, the next at each look.
    pub fn check(&mut self, view: &View, look: u64) {
        let v1 = [Of::GetState, Of::GetTasks, Of::GetAgents, Of::GetFrameworks, Of::GetRoles];
        let v1 = v1.map(|of| What::Large(of, Codec::Json));
        let v0 = [What::State, What::Summary, What::Slaves(None), What::Frameworks(None), What::Roles];
        let all = v0.len() + v1.len();
        for what in v0.into_iter().chain(v1).skip(look as usize % all).take(1) {
            let ask = Ask { what, jsonp: None };
            let kept = document::whole(self.draw(&ask, view).body());
            let anew = document::whole(Self::default().draw(&ask, view).body());
            if kept != anew {
                let at = kept.iter().zip(&anew).take_while(|(a, b)| a == b).count();
                let shown = |all: &Bytes| {
                    let around = at.saturating_sub(200)..(at + 200).min(all.len());
                    String::from_utf8_lossy(&all[around]).into_owned()
                };
                panic!("{:?}: kept …{}…, anew …{}…", ask.what, shown(&kept), shown(&anew));
            }
        }
    }

    fn page(&mut self, view: &View) -> Response<Parts> {
        let artist = std::cell::RefCell::new(self);
        let read = |path: &str| {
            let (name, query) = path.split_once('?').unwrap_or((path, ""));
            let query = Some(query.to_owned()).filter(|q| !q.is_empty());
            let text: Bytes = match name {
                "/version" => nouns::version(master::VERSION).into(),
                "/flags" => nouns::object(|w| state::flags(w, &view.config.flags)).into(),
                _ => {
                    let what = if name == "/state-summary" { What::Summary } else { What::Tasks(query) };
                    let drawn = artist.borrow_mut().draw(&Ask { what, jsonp: None }, view);
                    document::whole(drawn.body())
                }
            };
            serde_json::from_slice(&text).unwrap_or_default()
        };
        pages::master(&read).map(|page| vec![Part::new(page)])
    }
}

fn with(parts: Parts, media: &'static str) -> Response<Parts> {
    let mut response =
        answer::render(model::request::Answer::new(200, model::request::Body::Empty)).map(|_| parts);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
