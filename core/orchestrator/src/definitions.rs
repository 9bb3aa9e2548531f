//! What a definition becomes when it is changed: merged, read, versioned, given service ports. Never what follows.

use crate::{
    Orchestrator,
    commands::{AppUpdate, message},
    groups::Changes,
    read::service_port_list,
};
use api::marathon::{self, INHERITED, Violation};
use model::request::{Answer, Body};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// Bytes of a definition in its normal form, which is a record in the store: about Marathon's `--zk_max_node_size`.
const DEFINITION_BYTES_MAX: usize = 1024 * 1024;

/// A change in the making: one version, and service ports that no two of its apps get.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub version: String,
    pub changes: Changes,
    /// Deployments that end when this is taken, whatever they have locked.
    pub breaks: BTreeSet<String>,
    /// Whether only the load of an app asks for it.
    pub by_load: bool,
    /// The deployment that this undoes, and why.
    pub undoes: Option<(String, String)>,
    given: BTreeSet<u16>,
    /// No port below this one is free any more.
    ports_from: u16,
}

impl Draft {
    pub fn new(version: &str) -> Self {
        Self { version: version.to_owned(), ..Self::default() }
    }
}

/// What a pod says of its scheduling, without those.
fn without_rules(scheduling: Option<&Value>) -> Option<Value> {
    let mut scheduling = scheduling?.clone();
    if let Some(fields) = scheduling.as_object_mut() {
        marathon::RULES.iter().for_each(|rule| drop(fields.remove(*rule)));
    }
    Some(scheduling)
}

/// What is wrong with several definitions that came in one request, each under its place in it.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: Vec<Violation>,
    unreadable: bool,
}

impl Faults {
    pub fn push(&mut self, path: String, error: String) {
        self.found.push(Violation { path, error });
    }
    /// Keeps a refusal that names fields; another one stands for all, and is given back.
    pub fn note(&mut self, at: &str, result: Result<(), Answer>) -> Result<(), Answer> {
        let Err(refusal) = result else { return Ok(()) };
        let named = match &refusal.body {
            Body::Json(text) if refusal.status == 422 => marathon::named(text),
            _ => None,
        };
        let Some((unreadable, found)) = named else { return Err(refusal) };
        self.unreadable |= unreadable;
        self.note_all(at, found);
        Ok(())
    }
    pub fn note_all(&mut self, at: &str, found: Vec<Violation>) {
        for Violation { path, error } in found {
            let below = if path == "/" && !at.is_empty() { "" } else { &path };
            self.push(format!("{at}{below}"), error);
        }
    }
    /// The refusal of all, if anything is wrong.
    pub fn into_answer(self) -> Result<(), Answer> {
        match (self.found.is_empty(), self.unreadable) {
            (true, _) => Ok(()),
            (false, true) => Err(refuse(marathon::wrong_shape(&self.found))),
            (false, false) => Err(not_valid(self.found)),
        }
    }
}

pub(crate) fn refuse((status, body): marathon::Refusal) -> Answer {
    Answer::json(status, body)
}

pub(crate) fn not_valid(found: Vec<Violation>) -> Answer {
    refuse(marathon::not_valid(&found))
}

/// Whether a definition can be read at all, and what is wrong with its fields.
pub(crate) fn readable(app: Map<String, Value>) -> Result<(), Answer> {
    marathon::app(app).map(drop).map_err(refuse)
}

impl Orchestrator {
    /// A new app, or one in place of another.
    pub(crate) fn replaced(
        &self,
        id: &str,
        fields: Map<String, Value>,
        draft: &mut Draft,
    ) -> Result<(), Answer> {
        let mut fields = fields;
        fields.insert("id".into(), id.into());
        self.keep_scale(id, &mut fields);
        let mut fields = self.with_defaults(id, fields, draft);
        let inherited = fields.remove(INHERITED);
        let fields = marathon::app(fields).map_err(refuse)?;
        let mut app = marathon::complete(fields, "/", &self.context(id, None)).map_err(not_valid)?;
        app.extend(inherited.map(|inherited| (INHERITED.to_owned(), inherited)));
        self.put(id, app, draft)
    }

    /// How many instances an app has that scales itself is not forgotten where a definition does not say how many.
    pub(crate) fn keep_scale(&self, id: &str, fields: &mut Map<String, Value>) {
        let said = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
        let (scales, counts) = (said("autoscale"), said("instances"));
        let now =
            self.apps.get(id).filter(|state| state.app.get("autoscale").is_some_and(|rule| !rule.is_null()));
        if let Some(state) = now.filter(|_| scales && !counts) {
            fields.insert("instances".into(), state.spec.instances.into());
        }
    }

    /// A definition as it was once. Where its groups say something else by now, what it had of them is its own.
    pub(crate) fn reinstated(&self, id: &str, was: &Value, draft: &mut Draft) -> Result<(), Answer> {
        let mut was = was.as_object().cloned().unwrap_or_default();
        // how many there are of one that scales itself is what the load made of it
        if was.get("autoscale").is_some_and(|rule| !rule.is_null()) {
            let said = was.remove("instances");
            self.keep_scale(id, &mut was);
            was.entry("instances").or_insert(said.unwrap_or_else(|| 1.into()));
        }
        let again = |fields: Map<String, Value>, draft: &Draft| {
            if fields.contains_key("containers") {
                return self.read_pod(id, fields, draft);
            }
            let fields = self.with_defaults(id, fields, draft);
            marathon::complete(fields, "/", &self.context(id, None)).map_err(not_valid)
        };
        let runs = |fields: &Map<String, Value>| {
            let rules = ["id", "version", "versionInfo", INHERITED];
            let kept = fields.iter().filter(|(name, _)| !rules.contains(&name.as_str()));
            kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
        };
        let inherits = again(was.clone(), draft)?;
        if runs(&inherits) == runs(&was) {
            return self.put(id, inherits, draft);
        }
        let mut own = was;
        own.remove(INHERITED);
        let own = again(own, draft)?;
        self.put(id, own, draft)
    }

    /// A definition as it is after an update, also after one that came before it in the same request.
    pub(crate) fn updated(&self, update: &AppUpdate, force: bool, draft: &mut Draft) -> Result<(), Answer> {
        let (id, mut fields) = (&update.id, update.fields.clone());
        let drafted = draft.changes.apps.get(id).cloned();
        let current = drafted.unwrap_or_else(|| self.apps.get(id).map(|state| state.app.clone()));
        let Some(current) = current.filter(|_| update.partial) else {
            // read as an update where it may become one, so that the version has to stand alone here too
            if update.partial
                && fields.contains_key("version")
                && fields.keys().any(|name| name != "version" && name != "id")
            {
                return Err(not_valid(vec![Violation::new(
                    "/",
                    "The 'version' field may only be combined with the 'id' field.",
                )]));
            }
            return self.replaced(id, fields, draft);
        };
        fields.remove("id");
        // null says nothing of Marathon's fields; of ours it takes back what was said
        let taken_back: Vec<String> = fields
            .iter()
            .filter(|(name, value)| value.is_null() && marathon::RULES.contains(&name.as_str()))
            .filter(|(name, _)| !["everyNode", INHERITED].contains(&name.as_str()))
            .map(|(name, _)| name.clone())
            .collect();
        let current = current.as_object().cloned().unwrap_or_default();
        let fields = marathon::app_part(fields, &current).map_err(refuse)?;
        if let Some(back) = fields.get("version").and_then(Value::as_str).and_then(crate::version_of) {
            if fields.len() > 1 {
                return Err(not_valid(vec![Violation::new(
                    "/",
                    "The 'version' field may only be combined with the 'id' field.",
                )]));
            }
            let old = self.apps.get(id).and_then(|state| state.versions.get(&back)).cloned();
            let old =
                old.ok_or_else(|| message(404, format!("App '{id}' does not exist in version '{back}'")))?;
            return self.reinstated(id, &crate::apps::read(&old), draft);
        }
        let mut context = self.context(id, None);
        if let (true, Some(Value::String(role))) = (force, fields.get("role")) {
            // who forces may change the role whatever its group says (RoleSettings, forceRoleUpdate)
            context.roles.insert(role.clone());
        }
        let fields = marathon::complete_update(fields, &context).map_err(not_valid)?;
        let mut whole = current;
        marathon::own(&mut whole);
        marathon::merge(&mut whole, fields);
        taken_back.iter().for_each(|name| drop(whole.remove(name)));
        let whole = self.with_defaults(id, whole, draft);
        let app = marathon::complete(whole, "/", &context).map_err(not_valid)?;
        self.put(id, app, draft)
    }

    /// Puts a normal definition into a draft: with its versions and ports; unless it is what is there already.
    pub(crate) fn put(&self, id: &str, fields: Map<String, Value>, draft: &mut Draft) -> Result<(), Answer> {
        self.put_as(id, fields, None, draft)
    }

    /// The same; `config` is the version whose tasks run what this says, where there are some.
    pub(crate) fn put_as(
        &self,
        id: &str,
        mut fields: Map<String, Value>,
        config: Option<String>,
        draft: &mut Draft,
    ) -> Result<(), Answer> {
        let current = self.apps.get(id);
        let pod = fields.contains_key("containers");
        if current.is_some_and(|state| state.spec.pod.is_some() != pod) {
            return Err(not_valid(vec![Violation::new(
                "/",
                "Applications and Pods may not share the same id",
            )]));
        }
        fields.insert("id".into(), id.into());
        for key in ["version", "versionInfo"] {
            fields.remove(key);
        }
        crate::autoscale::keep_bounds(&mut fields);
        if !pod {
            self.assign_ports(id, &mut fields, draft)?;
        }
        let old = current.and_then(|state| state.app.as_object());
        let differs = |old: &Map<String, Value>, key: &str| old.get(key) != fields.get(key);
        let changed: BTreeSet<&str> = old
            .into_iter()
            .flat_map(|old| {
                old.keys().chain(fields.keys()).map(String::as_str).filter(|key| differs(old, key))
            })
            .filter(|key| !matches!(*key, "version" | "versionInfo"))
            .collect();
        let scale = if pod { "scaling" } else { "instances" };
        let only_scaled = changed.iter().all(|key| {
            let rules =
                || old.map(|old| without_rules(old.get(*key))) == Some(without_rules(fields.get(*key)));
            *key == scale || marathon::RULES.contains(key) || (pod && *key == "scheduling" && rules())
        });
        // what its load asks for and there is no room for is not asked of others
        let got = if changed.contains(scale) { None } else { self.got(id) };
        if let Some(state) = current {
            if changed.is_empty() {
                // what came before it in the same request is undone by it
                draft.changes.apps.remove(id);
                return Ok(());
            }
            let between = if pod { marathon::violations_between_pods } else { marathon::violations_between };
            let found = between(&state.app, &Value::Object(fields.clone()));
            if !found.is_empty() {
                return Err(not_valid(found));
            }
        }
        if let Some(got) = got {
            fields.insert(scale.into(), got.into());
            crate::autoscale::keep_bounds(&mut fields);
        }
        let version = draft.version.as_str();
        let config = match (&config, current) {
            (Some(config), _) => config.as_str(),
            (None, Some(state)) if only_scaled => state.spec.config_version.as_str(),
            (None, _) => version,
        };
        let info = json!({ "lastScalingAt": version, "lastConfigChangeAt": config });
        fields.insert("version".into(), version.into());
        fields.insert("versionInfo".into(), info);
        let bytes = serde_json::to_vec(&fields).map_or(0, |text| text.len());
        if bytes > DEFINITION_BYTES_MAX {
            let text = format!(
                "has {bytes} bytes once all that it does not say is filled in, must not have more than \
                 {DEFINITION_BYTES_MAX} (DEFINITION_BYTES_MAX)"
            );
            return Err(not_valid(vec![Violation::new("/", text)]));
        }
        draft.changes.apps.insert(id.to_owned(), Some(Arc::new(Value::Object(fields))));
        Ok(())
    }

    /// Ports of 0 become the app's earlier service ports, then the first that no app has (AssignDynamicServiceLogic).
    fn assign_ports(
        &self,
        id: &str,
        fields: &mut Map<String, Value>,
        draft: &mut Draft,
    ) -> Result<(), Answer> {
        let config = &self.config;
        let (least, most) = (config.local_port_min, config.local_port_max);
        let mut app = Value::Object(std::mem::take(fields));
        let (at, name) = service_port_list(&app);
        let result = (|| {
            let Some(ports) = app.pointer_mut(at).and_then(Value::as_array_mut) else { return Ok(()) };
            let number =
                |port: &Value| port.get(name).and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok());
            let asked: BTreeSet<u16> = ports.iter().filter_map(number).filter(|port| *port != 0).collect();
            let mine = self.apps.get(id).map(|state| state.spec.service_ports.clone()).unwrap_or_default();
            let mut earlier =
                mine.iter().copied().filter(|p| (least..most).contains(p) && !asked.contains(p));
            for port in ports.iter_mut().filter(|port| number(port).unwrap_or(0) == 0) {
                let free = earlier.next().or_else(|| {
                    let free = self.free_port(&asked, draft)?;
                    draft.given.insert(free);
                    Some(free)
                });
                let Some(free) = free else {
                    let text = format!("All ports in the range [{least}-{most}) are already in use");
                    return Err(message(422, text));
                };
                port[name] = free.into();
            }
            Ok(())
        })();
        if let Value::Object(whole) = app {
            *fields = whole;
        }
        result
    }

    /// The first service port that nobody has. Ports that are known to be taken are not looked at again.
    fn free_port(&self, asked: &BTreeSet<u16>, draft: &mut Draft) -> Option<u16> {
        let (least, most) = (self.config.local_port_min, self.config.local_port_max);
        let mut from = draft.ports_from.max(self.index.full_below).max(least);
        let taken = |port: &u16| self.index.service_ports.contains_key(port) || draft.given.contains(port);
        while from < most && taken(&from) {
            from += 1;
        }
        draft.ports_from = from;
        (from..most).find(|port| !taken(port) && !asked.contains(port))
    }
}
