//! `/v2/groups` and below: groups, their apps, their versions. What a change leads to is the machine's.

use super::{Call, Outcome, fault_of, json_answer, message, reads::version_in, refuse, wrong_method};
use crate::{answer::parameters, render};
use api::marathon;
use http::Method;
use orchestrator::{Command, Embed, InGroup};
use serde_json::{Value, json};

/// `rest` is what follows `/v2/groups`, without a slash at its end.
pub(super) fn route(call: &Call<'_>, rest: &str) -> Outcome {
    let group = |rest: &str| if rest.is_empty() { "/".to_owned() } else { rest.to_owned() };
    if call.method == Method::GET {
        let inside = inside(call);
        if let Some(id) = rest.strip_suffix("/apps") {
            return Err(json_answer(&apps(call, &group(id))));
        }
        if let Some(id) = rest.strip_suffix("/versions") {
            let id = group(id);
            return Err(match call.machine.group(&id) {
                Some(_) => json_answer(&json!(call.machine.group_versions(&id))),
                None => no_group(&id),
            });
        }
        if let Some((id, version)) = rest.split_once("/versions/") {
            let (id, version) = (group(id), version_in(version)?);
            let found = call.machine.group_info_at(&id, &version, inside);
            return Err(found.map_or_else(|| no_group(&id), |group| json_answer(&group)));
        }
        let id = group(rest);
        let found = call.machine.group_info(&id, inside, call.now);
        return Err(found.map_or_else(|| no_group(&id), |group| json_answer(&group)));
    }
    let id = group(rest);
    if let Some(fault) = (id != "/").then(|| fault_of(&id)).flatten() {
        return Err(fault);
    }
    let body = || marathon::object(call.body()).map_err(refuse);
    match *call.method {
        Method::POST => {
            let update = marathon::group_update(body()?, &id).map_err(refuse)?;
            call.command(Command::PutGroup { base: id, update, force: call.force(), create: true })
        }
        Method::PUT => {
            let update = marathon::group_update(body()?, &id).map_err(refuse)?;
            if call.flag("dryRun", false) {
                return Err(render(call.machine.dry_run(&id, &update)));
            }
            call.command(Command::PutGroup { base: id, update, force: call.force(), create: false })
        }
        Method::PATCH if id != "/" => {
            let enforce_role = marathon::patch_group(body()?).map_err(refuse)?;
            call.command(Command::PatchGroup { id, enforce_role })
        }
        Method::DELETE => call.command(Command::DeleteGroup { id, force: call.force() }),
        _ => Err(wrong_method()),
    }
}

fn no_group(id: &str) -> http::Response<bytes::Bytes> {
    message(404, &format!("Group '{id}' does not exist"))
}

/// What is asked for in a group: all definitions, where nothing is.
fn inside(call: &Call<'_>) -> InGroup {
    let asked = parameters(call.query, "embed");
    let all = asked.is_empty();
    let has = |name: &str| all || asked.iter().any(|asked| asked == name);
    let of_apps: Vec<_> =
        asked.iter().map(String::as_str).filter(|name| name.starts_with("group.apps.")).collect();
    let apps = has("group.apps") || !of_apps.is_empty();
    InGroup {
        groups: has("group.groups"),
        apps: apps.then(|| Embed::of(of_apps.iter().copied())),
        pods: has("group.pods"),
    }
}

/// All apps of a group, at any depth; an unknown group has none.
fn apps(call: &Call<'_>, group: &str) -> Value {
    let asked = parameters(call.query, "embed");
    let embed = Embed::of(asked.iter().map(String::as_str).filter(|name| name.starts_with("group.apps.")));
    call.machine.apps_below(group).filter_map(|(id, _)| call.machine.app_info(id, embed, call.now)).collect()
}
