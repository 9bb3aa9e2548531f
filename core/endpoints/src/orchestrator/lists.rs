//! `GET /v2/apps` of everything: looked at a stretch of apps at a time, so that the machine goes on in between, and drawn
//! without the machine, out of stretches that are kept while nothing in them has changed.
//!
//! Never a part of the apps, nor what takes more than a definition, counts, tasks and the last failure: see `reads`.

use super::{Identity, finish, reads};
use crate::{
    Arrived,
    answer::{decode_path, parameters},
    render,
};
use base::Time;
use http::{Method, Response};
use model::{
    document::{Part, Parts},
    request::Answer,
};
use orchestrator::{Embed, Orchestrator, Outline, Stamp};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

/// Apps and tasks that are looked at before others may have the machine: about a millisecond.
const TURN_LOOKS_MAX: usize = 4_000;
/// Bytes that have to be drawn at once, since they look different each time, before others may have the machine: a few
/// milliseconds.
const TURN_BYTES_MAX: usize = 512 * 1024;
/// Where a stretch ends is decided by the name of its last app, about one in so many: so that one more app moves no end
/// but its neighbours'.
const STRETCH_APPS: u64 = 32;
/// A stretch ends here however its apps are called.
const STRETCH_APPS_MAX: usize = 256;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask(Embed);

/// The list that a request asks for, if it is one of these.
pub fn asked(arrived: &Arrived) -> Option<Ask> {
    let request = &arrived.request;
    let path = decode_path(request.uri().path());
    if request.method() != Method::GET || path.trim_end_matches('/') != "/v2/apps" {
        return None;
    }
    let query = request.uri().query();
    let picks = |name: &&str| !parameters(query, name).is_empty();
    if ["cmd", "id", "label"].iter().any(picks) {
        return None;
    }
    let embed = reads::embed_of(query, &[]);
    Orchestrator::stamps(embed).then_some(Ask(embed))
}

/// Apps that follow each other, as they were drawn.
#[derive(Debug)]
struct Stretch {
    about: About,
    part: Arc<Part>,
}

/// What a stretch is made of.
#[derive(Debug)]
struct About {
    /// None of an app that looks different each time.
    stamps: Vec<(String, Option<Stamp>)>,
    /// Whether it is the first: the others begin with a comma.
    first: bool,
    /// Whether it ends where it does whatever follows.
    ended: bool,
}

/// A list that was drawn.
#[derive(Debug, Default)]
pub struct Sheet {
    /// By their first app.
    stretches: BTreeMap<String, Arc<Stretch>>,
}

impl Sheet {
    /// A list that is whole.
    pub fn of(all: impl IntoIterator<Item = Drawn>) -> Self {
        Self { stretches: all.into_iter().map(|Drawn(first, stretch)| (first, stretch)).collect() }
    }

    /// The answer.
    pub fn answer(&self, who: &Identity) -> Response<Arc<Parts>> {
        let mut parts = vec![Part::new("{\"apps\":[")];
        parts.extend(self.stretches.values().map(|stretch| stretch.part.clone()));
        parts.push(Part::new("]}"));
        finish(render(Answer::json(200, "")), who).map(|_| Arc::new(parts))
    }
}

/// A stretch in its place: named by its first app.
#[derive(Debug)]
pub struct Drawn(String, Arc<Stretch>);

/// A stretch that has to be drawn.
#[derive(Debug)]
pub struct Sketch {
    key: String,
    about: About,
    apps: Vec<Outline>,
}

impl Sketch {
    /// Draws it, which takes the longest of all and needs no machine.
    pub fn draw(self) -> Drawn {
        let mut text = Vec::with_capacity(self.bytes());
        for (at, app) in self.apps.iter().enumerate() {
            if !self.about.first || at > 0 {
                text.push(b',');
            }
            app.write(&mut text);
        }
        Drawn(self.key, Arc::new(Stretch { about: self.about, part: Part::new(text) }))
    }
    /// How long its text will be, about.
    pub fn bytes(&self) -> usize {
        self.apps.iter().map(|app| app.bytes() + 1).sum()
    }
}

/// A list that is being looked at.
#[derive(Debug)]
pub struct Drawing {
    ask: Ask,
    before: Arc<Sheet>,
    /// The last app that was looked at.
    last: Option<String>,
}

/// What one look came to.
#[derive(Debug)]
pub struct Turn {
    /// What is as it was.
    pub kept: Vec<Drawn>,
    /// What has to be drawn.
    pub fresh: Vec<Sketch>,
    /// The list, where it is not through.
    pub more: Option<Drawing>,
}

impl Drawing {
    /// Begins with what was drawn before, of which everything is kept that is as it was.
    pub fn begin(ask: Ask, before: Arc<Sheet>) -> Self {
        Self { ask, before, last: None }
    }

    /// Looks on for a while. Each app is as it is in the turn that looks at it.
    pub fn go_on(mut self, machine: &Orchestrator, now: Time) -> Turn {
        let (mut looks, mut bytes) = (0, 0);
        let (mut kept, mut fresh) = (Vec::new(), Vec::new());
        let (from, mut last) = (self.last.take(), None);
        let mut apps = machine.listed(from.as_deref().map_or(Unbounded, Excluded)).peekable();
        while let Some(key) = apps.peek().map(|app| app.id) {
            if looks > TURN_LOOKS_MAX || bytes > TURN_BYTES_MAX {
                self.last = last;
                return Turn { kept, fresh, more: Some(self) };
            }
            let first = from.is_none() && last.is_none();
            if let Some(known) = self.before.stretches.get(key).filter(|known| known.about.first == first) {
                let mut ahead = apps.clone();
                let is_still = |(id, stamp): &(String, Option<Stamp>)| {
                    let app = ahead.next().filter(|app| app.id == id).zip(stamp.as_ref());
                    app.is_some_and(|(app, stamp)| machine.is_still(app, self.ask.0, stamp))
                };
                looks += known.about.stamps.len();
                if known.about.stamps.iter().all(is_still) && (known.about.ended || ahead.peek().is_none()) {
                    last = known.about.stamps.last().map(|(id, _)| id.clone());
                    kept.push(Drawn(key.clone(), known.clone()));
                    apps = ahead;
                    continue;
                }
            }
            let mut sketch = Sketch {
                key: key.clone(),
                about: About { stamps: Vec::new(), first, ended: false },
                apps: Vec::new(),
            };
            while let Some(app) = apps.next_if(|_| !sketch.about.ended) {
                let stamp = machine.stamp(app, self.ask.0);
                let outline = machine.outline(app, self.ask.0, now);
                if stamp.is_none() {
                    bytes += outline.bytes();
                }
                looks += 1 + outline.tasks();
                sketch.about.stamps.push((app.id.clone(), stamp));
                sketch.about.ended = ends(app.id) || sketch.about.stamps.len() == STRETCH_APPS_MAX;
                sketch.apps.push(outline);
            }
            last = sketch.about.stamps.last().map(|(id, _)| id.clone());
            fresh.push(sketch);
        }
        Turn { kept, fresh, more: None }
    }
}

fn ends(id: &str) -> bool {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish().is_multiple_of(STRETCH_APPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Effects, Machine as _, Now, Rng};
    use model::{document::whole, save::Records};
    use orchestrator::{Client, Command, Config, How, Input};
    use serde_json::{Value, json};

    struct World(Orchestrator, Rng, u64);

    impl World {
        fn step(&mut self, input: Input) {
            let mut inputs = vec![input];
            while let Some(input) = inputs.pop() {
                let mut out = Effects::default();
                self.0.step(Now::new(Time::from_millis(self.2), &mut self.1), input, &mut out);
                for effect in out.drain() {
                    if let orchestrator::Effect::Save { save, .. } = effect {
                        inputs.insert(0, Input::Saved { save });
                    }
                }
            }
        }
        fn command(&mut self, command: Command) {
            self.2 += 1;
            let request = model::request::RequestId(self.2);
            let (how, client) = (How::default(), Client::default());
            self.step(Input::Command { request, command: Box::new(command), how, client });
        }
        fn create(&mut self, id: &str) {
            let Value::Object(app) = json!({ "id": id, "cmd": "true", "instances": 0 }) else { return };
            self.command(Command::CreateApp { app, force: false });
        }
    }

    fn draw(world: &World, ask: Ask, before: &Arc<Sheet>) -> (Arc<Sheet>, usize) {
        let (mut turns, mut all) = (0, Vec::new());
        let mut more = Some(Drawing::begin(ask, before.clone()));
        while let Some(drawing) = more {
            let turn = drawing.go_on(&world.0, Time::from_millis(world.2));
            all.extend(turn.kept.into_iter().chain(turn.fresh.into_iter().map(Sketch::draw)));
            more = turn.more;
            turns += 1;
        }
        (Arc::new(Sheet::of(all)), turns)
    }

    fn fresh(now: &Sheet, before: &Sheet) -> usize {
        let known = |s: &Arc<Stretch>| before.stretches.values().any(|b| Arc::ptr_eq(&b.part, &s.part));
        now.stretches.values().filter(|s| !known(s)).count()
    }

    fn check(world: &World, ask: Ask, sheet: &Sheet) {
        let who = Identity { leader: "here:80".to_owned(), flags: Default::default() };
        let answer = sheet.answer(&who);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert!(answer.headers().contains_key("x-marathon-leader"));
        let shown: Value = serde_json::from_slice(&whole(answer.body())).unwrap();
        let now = Time::from_millis(world.2);
        let wanted: Vec<_> = world.0.apps().filter_map(|(id, _)| world.0.app_info(id, ask.0, now)).collect();
        assert_eq!(shown, json!({ "apps": wanted }));
    }

    #[test]
    fn what_has_not_changed_is_drawn_once() {
        let machine = Orchestrator::new(Config::default(), Records::new(), Time::from_millis(1));
        let mut world = World(machine, Rng::from_number(1), 1);
        let ask = |query: &str| {
            let request = http::Request::get(format!("/v2/apps{query}")).body(Default::default()).unwrap();
            asked(&Arrived { id: model::request::RequestId(0), peer: None, request })
        };
        let plain = ask("").unwrap();
        assert_eq!(ask("/"), Some(plain));
        let tasks = ask("?embed=apps.tasks").unwrap();
        assert!(tasks != plain);
        for other in
            ["?id=a", "?label=a==b", "?cmd=x", "?embed=apps.taskStats", "/a", "?embed=apps.readiness"]
        {
            assert_eq!(ask(other), None, "{other}");
        }
        let (empty, _) = draw(&world, plain, &Arc::default());
        check(&world, plain, &empty);
        for n in 0..500 {
            world.create(&format!("/many/a{n}"));
        }
        let (all, _) = draw(&world, plain, &empty);
        check(&world, plain, &all);
        assert!(all.stretches.len() > 5, "{}", all.stretches.len());
        let (again, _) = draw(&world, plain, &all);
        assert_eq!(fresh(&again, &all), 0);
        // one more, one changed, one gone
        world.create("/many/a250x");
        let (more, _) = draw(&world, plain, &all);
        check(&world, plain, &more);
        assert!((1..=2).contains(&fresh(&more, &all)));
        let Value::Object(fields) = json!({ "cmd": "other" }) else { return };
        let updates = vec![orchestrator::AppUpdate { id: "/many/a77".into(), fields, partial: true }];
        world.command(Command::UpdateApps { updates, force: true, create: false, single: true });
        let (changed, _) = draw(&world, plain, &more);
        check(&world, plain, &changed);
        assert_eq!(fresh(&changed, &more), 1);
        world.command(Command::DeleteApp { id: "/many/a0".into(), force: true });
        let (fewer, _) = draw(&world, plain, &changed);
        check(&world, plain, &fewer);
        let (with_tasks, _) = draw(&world, tasks, &Arc::default());
        check(&world, tasks, &with_tasks);
        for n in 0..TURN_LOOKS_MAX {
            world.create(&format!("/others/a{n}"));
        }
        let (long, turns) = draw(&world, plain, &fewer);
        assert!(turns > 1, "the machine is left to others in between");
        check(&world, plain, &long);
    }
}
