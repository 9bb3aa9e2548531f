//! What is durable of a master, in the form of upstream's registry (`/registrar(1)/registry`). Only what is set is listed.

use crate::nouns;
use api::json::{ToJson as _, Writer};
use master::Master;
use model::mesos::AgentInfo;

fn section(w: &mut Writer, key: &str, inner: &str, any: bool, write: impl FnOnce(&mut Writer)) {
    if any {
        w.key(key);
        w.open();
        w.key(inner);
        w.list();
        write(w);
        w.end();
        w.close();
    }
}

pub(super) fn text(master: &Master) -> String {
    let policy = master.policy();
    nouns::object(|w| {
        w.key("master");
        w.open();
        nouns::message(w, "info", &master.info());
        w.close();
        let agents = master.agents().values().map(|agent| &agent.info);
        let agents: Vec<&AgentInfo> = agents.chain(master.recovering().values()).collect();
        section(w, "slaves", "slaves", !agents.is_empty(), |w| {
            for info in &agents {
                w.item();
                agent(w, master, info);
            }
        });
        section(w, "unreachable", "slaves", !master.unreachable().is_empty(), |w| {
            for (id, since) in master.unreachable() {
                w.item();
                dated(w, id, *since);
            }
        });
        section(w, "gone", "slaves", !policy.gone.is_empty(), |w| {
            for (id, since) in &policy.gone {
                w.item();
                dated(w, id, *since);
            }
        });
        let windows =
            || policy.schedule.windows.iter().flat_map(|w| w.machine_ids.iter().map(move |id| (id, w)));
        section(w, "machines", "machines", windows().next().is_some(), |w| {
            for (id, window) in windows() {
                w.item();
                w.open();
                w.key("info");
                w.open();
                nouns::message(w, "id", id);
                nouns::text(w, "mode", if policy.is_down(id) { "DOWN" } else { "DRAINING" });
                nouns::message(w, "unavailability", &window.unavailability);
                w.close();
                w.close();
            }
        });
        if !policy.schedule.windows.is_empty() {
            nouns::list(w, "schedules", [&policy.schedule], |w, schedule| w.message(schedule));
        }
        if !policy.quotas.is_empty() {
            nouns::list(w, "quota_configs", policy.quotas.values(), |w, quota| w.message(quota));
        }
        if !policy.weights.is_empty() {
            nouns::list(w, "weights", &policy.weights, |w, (role, weight)| {
                w.open();
                w.key("info");
                w.open();
                nouns::text(w, "role", role);
                nouns::number(w, "weight", *weight);
                w.close();
                w.close();
            });
        }
        let needed = [
            ("QUOTA_V2", !policy.quotas.is_empty()),
            ("AGENT_DRAINING", !policy.deactivated.is_empty() || !policy.draining.is_empty()),
        ];
        if needed.iter().any(|(_, needed)| *needed) {
            nouns::list(w, "minimum_capabilities", needed.iter().filter(|(_, n)| *n), |w, (name, _)| {
                w.open();
                nouns::text(w, "capability", name);
                w.close();
            });
        }
    })
}

fn agent(w: &mut Writer, master: &Master, info: &AgentInfo) {
    let id = info.id.as_ref().map_or("", |id| id.value.as_str());
    w.open();
    let mut written = info.clone();
    // The registry keeps resources in the format of before reservation refinement.
    if let Ok(all) = model::resources::Resources::from_messages(&info.resources) {
        written.resources = all.to_messages_as(model::resources::Format::Flat);
    }
    let text = written.to_json();
    w.key("info");
    match (info.checkpoint, text.strip_suffix('}')) {
        (Some(checkpoint), Some(open)) => w.raw(&format!("{open},\"checkpoint\":{checkpoint}}}")),
        _ => w.raw(&text),
    }
    if master.policy().is_deactivated(id) {
        nouns::truth(w, "deactivated", true);
    }
    if let Some(info) = master.policy().draining.get(id) {
        nouns::message(w, "drain_info", info);
    }
    w.close();
}

fn dated(w: &mut Writer, id: &str, since: base::Time) {
    w.open();
    w.key("id");
    w.open();
    nouns::text(w, "value", id);
    w.close();
    w.key("timestamp");
    w.open();
    w.key("nanoseconds");
    w.integer(i128::from(since.as_nanos()));
    w.close();
    w.close();
}
