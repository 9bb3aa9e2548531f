//! The master's operator API, `POST /api/v1`: which call is a read, what a change is handed to the machine as.

use super::{
    documents::{Artist, Ask, What},
    metrics, resources,
};
use crate::{
    Arrived, Perform, Routed, Said,
    answer::{bad_request, render},
    files::{self, Attached, READ_BYTES_MAX, Role},
    logging, nouns,
    operator::{self, respond},
};
use bytes::Bytes;
use http::Response;
use master::{Held, Input, Master, OperatorCall, Tables as _, Told, VERSION, View};
use model::{
    document,
    mesos::{
        DrainConfig, WeightInfo,
        master::{
            Call, Response as Said1,
            call::Type as Of,
            response::{self, Type},
        },
    },
    request::{Answer, Codec},
};

type To = Routed<Input, Perform>;

pub(super) fn route(arrived: &Arrived, master: &Master, attached: &[Attached]) -> To {
    let (call, codec) = match operator::take::<Call>(&arrived.request, missing) {
        Ok(taken) => taken,
        Err(refusal) => return Routed::Respond(refusal),
    };
    let kind = call.r#type();
    match kind {
        Of::GetState | Of::GetAgents | Of::GetFrameworks | Of::GetExecutors | Of::GetTasks | Of::GetRoles => {
            Routed::Perform(Perform::Document(Ask { what: What::Large(kind, codec), jsonp: None }))
        }
        Of::GetMetrics => operator_metrics(master, codec),
        Of::GetLoggingLevel => logging::ask(None, Role::Master, codec),
        Of::SetLoggingLevel => {
            let asked = call.set_logging_level.unwrap_or_default();
            logging::ask(Some((asked.level, asked.duration.nanoseconds)), Role::Master, codec)
        }
        Of::ListFiles => {
            let path = call.list_files.unwrap_or_default().path;
            files::ask(files::What::Browse, path, Role::Master, Said::V1(codec), attached)
        }
        Of::ReadFile => {
            let asked = call.read_file.unwrap_or_default();
            let length = asked.length.unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX);
            let what = files::What::Read { offset: Some(asked.offset), length };
            files::ask(what, asked.path, Role::Master, Said::V1(codec), attached)
        }
        Of::Unknown => Routed::Respond(render(Answer::text(501, "501 Not Implemented."))),
        Of::Teardown => {
            let framework_id = call.teardown.unwrap_or_default().framework_id.value;
            Routed::Step(Input::Teardown { request: arrived.id, framework_id })
        }
        _ => match read(kind, master) {
            Some(answer) => Routed::Respond(respond(&answer, codec)),
            None => change(arrived, call, codec),
        },
    }
}

fn operator_metrics(master: &Master, codec: Codec) -> To {
    match crate::metrics::ask(Role::Master, master.started(), metrics::all(master), codec) {
        Routed::Perform(Perform::Metrics(ask)) => Routed::Perform(Perform::Metrics(ask.with(master.view()))),
        routed => routed,
    }
}

/// Reads whose answers are small.
fn read(kind: Of, master: &Master) -> Option<Said1> {
    let of = |kind: Type, answer: Said1| Some(operator::of_master(kind, answer));
    let none = Said1::default;
    match kind {
        Of::GetHealth => {
            let get_health = Some(response::GetHealth { healthy: true });
            of(Type::GetHealth, Said1 { get_health, ..none() })
        }
        Of::GetFlags => {
            let get_flags = Some(response::GetFlags { flags: operator::flags(&master.config().flags) });
            of(Type::GetFlags, Said1 { get_flags, ..none() })
        }
        Of::GetVersion => {
            let get_version = Some(response::GetVersion { version_info: nouns::version_info(VERSION) });
            of(Type::GetVersion, Said1 { get_version, ..none() })
        }
        Of::GetOperations => {
            let get_operations = Some(master.operations_message());
            of(Type::GetOperations, Said1 { get_operations, ..none() })
        }
        Of::GetWeights => {
            let infos = weights(master);
            let get_weights = (!infos.is_empty()).then_some(response::GetWeights { weight_infos: infos });
            of(Type::GetWeights, Said1 { get_weights, ..none() })
        }
        Of::GetMaster => {
            let get_master = Some(response::GetMaster {
                master_info: Some(master.info()),
                start_time: Some(master.started().as_secs_f64()),
                elected_time: Some(master.started().as_secs_f64()),
            });
            of(Type::GetMaster, Said1 { get_master, ..none() })
        }
        Of::GetMaintenanceStatus => {
            let status = master.maintenance_status();
            let get_maintenance_status = Some(response::GetMaintenanceStatus { status });
            of(Type::GetMaintenanceStatus, Said1 { get_maintenance_status, ..none() })
        }
        Of::GetMaintenanceSchedule => {
            let schedule = master.policy().schedule.clone();
            let get_maintenance_schedule = Some(response::GetMaintenanceSchedule { schedule });
            of(Type::GetMaintenanceSchedule, Said1 { get_maintenance_schedule, ..none() })
        }
        Of::GetQuota => {
            let get_quota = Some(response::GetQuota { status: master.quota_status() });
            of(Type::GetQuota, Said1 { get_quota, ..none() })
        }
        _ => None,
    }
}

/// Weights that were set.
pub(super) fn weights(master: &Master) -> Vec<WeightInfo> {
    let set = master.policy().weights.iter();
    set.map(|(role, weight)| WeightInfo { role: Some(role.clone()), weight: *weight }).collect()
}

/// All roles, where it is known what tasks hold.
pub(super) fn roles_message(view: &View, held: Held) -> Said1 {
    let get_roles = Some(response::GetRoles { roles: master::role_messages(view, held) });
    operator::of_master(Type::GetRoles, Said1 { get_roles, ..Said1::default() })
}

/// A large answer as a message.
pub(super) fn large_message(kind: Of, master: &View) -> Said1 {
    let none = Said1::default;
    match kind {
        Of::GetTasks => {
            let get_tasks = Some(master.tasks_message());
            operator::of_master(Type::GetTasks, Said1 { get_tasks, ..none() })
        }
        Of::GetAgents => {
            let get_agents = Some(without_checkpoint(master.agents_message()));
            operator::of_master(Type::GetAgents, Said1 { get_agents, ..none() })
        }
        Of::GetFrameworks => {
            let get_frameworks = Some(master.frameworks_message());
            operator::of_master(Type::GetFrameworks, Said1 { get_frameworks, ..none() })
        }
        Of::GetExecutors => {
            let get_executors = Some(master.executors_message());
            operator::of_master(Type::GetExecutors, Said1 { get_executors, ..none() })
        }
        _ => {
            let mut state = master.state_message();
            state.get_agents = state.get_agents.map(without_checkpoint);
            let get_state = Some(state);
            operator::of_master(Type::GetState, Said1 { get_state, ..none() })
        }
    }
}

/// The newer API has no such field; only the JSON of the older one shows it.
fn without_checkpoint(mut all: response::GetAgents) -> response::GetAgents {
    let infos = all.agents.iter_mut().map(|a| &mut a.agent_info).chain(&mut all.recovered_agents);
    infos.for_each(|info| info.checkpoint = None);
    all
}

/// Calls that the machine decides.
fn change(arrived: &Arrived, mut call: Call, codec: Codec) -> To {
    if let Some((agent_id, operation)) = resources::of_call(&mut call) {
        let (request, operation) = (arrived.id, Box::new(operation));
        return Routed::Step(Input::Operation { request, agent_id, operation, principal: None });
    }
    let step = |call| Routed::Step(Input::Operator { request: arrived.id, call });
    match call.r#type() {
        Of::Subscribe => step(OperatorCall::Subscribe(codec)),
        Of::UpdateWeights => {
            step(OperatorCall::UpdateWeights(call.update_weights.unwrap_or_default().weight_infos))
        }
        Of::SetQuota => step(OperatorCall::SetQuota(call.set_quota.unwrap_or_default().quota_request)),
        Of::RemoveQuota => {
            let role = call.remove_quota.unwrap_or_default().role;
            step(OperatorCall::RemoveQuota { role, path: None })
        }
        Of::UpdateQuota => {
            let asked = call.update_quota.unwrap_or_default();
            step(OperatorCall::UpdateQuota { force: asked.force(), configs: asked.quota_configs })
        }
        Of::UpdateMaintenanceSchedule => {
            step(OperatorCall::UpdateSchedule(call.update_maintenance_schedule.unwrap_or_default().schedule))
        }
        Of::StartMaintenance => {
            step(OperatorCall::StartMaintenance(call.start_maintenance.unwrap_or_default().machines))
        }
        Of::StopMaintenance => {
            step(OperatorCall::StopMaintenance(call.stop_maintenance.unwrap_or_default().machines))
        }
        Of::DrainAgent => {
            let asked = call.drain_agent.unwrap_or_default();
            let config = DrainConfig {
                max_grace_period: asked
                    .max_grace_period
                    .map(|d| model::mesos::DurationInfo { nanoseconds: nanoseconds(&d) }),
                mark_gone: asked.mark_gone,
            };
            step(OperatorCall::Drain { agent: asked.agent_id.value, config })
        }
        Of::DeactivateAgent => {
            step(OperatorCall::Deactivate(call.deactivate_agent.unwrap_or_default().agent_id.value))
        }
        Of::ReactivateAgent => {
            step(OperatorCall::Reactivate(call.reactivate_agent.unwrap_or_default().agent_id.value))
        }
        Of::MarkAgentGone => {
            step(OperatorCall::MarkGone(call.mark_agent_gone.unwrap_or_default().agent_id.value))
        }
        other => Routed::Respond(unsupported(other.as_str_name())),
    }
}

fn unsupported(name: &str) -> Response<Bytes> {
    render(Answer::text(501, format!("{name} is not supported yet")))
}

fn nanoseconds(d: &model::mesos::Duration) -> i64 {
    d.seconds().saturating_mul(1_000_000_000).saturating_add(i64::from(d.nanos()))
}

/// Which payload a call lacks: apache/mesos@c1b42f79:src/master/validation.cpp.
fn missing(call: &Call) -> Option<String> {
    let Some(Ok(kind)) = call.r#type.map(Of::try_from) else {
        return Some("Expecting 'type' to be present".to_owned());
    };
    let (has, field) = match kind {
        Of::GetMetrics => (call.get_metrics.is_some(), "get_metrics"),
        Of::SetLoggingLevel => (call.set_logging_level.is_some(), "set_logging_level"),
        Of::ListFiles => (call.list_files.is_some(), "list_files"),
        Of::ReadFile => (call.read_file.is_some(), "read_file"),
        Of::UpdateWeights => (call.update_weights.is_some(), "update_weights"),
        Of::ReserveResources => (call.reserve_resources.is_some(), "reserve_resources"),
        Of::UnreserveResources => (call.unreserve_resources.is_some(), "unreserve_resources"),
        Of::CreateVolumes => (call.create_volumes.is_some(), "create_volumes"),
        Of::DestroyVolumes => (call.destroy_volumes.is_some(), "destroy_volumes"),
        Of::GrowVolume => (call.grow_volume.is_some(), "grow_volume"),
        Of::ShrinkVolume => (call.shrink_volume.is_some(), "shrink_volume"),
        Of::UpdateMaintenanceSchedule => {
            (call.update_maintenance_schedule.is_some(), "update_maintenance_schedule")
        }
        Of::StartMaintenance => (call.start_maintenance.is_some(), "start_maintenance"),
        Of::StopMaintenance => (call.stop_maintenance.is_some(), "stop_maintenance"),
        Of::DrainAgent => (call.drain_agent.is_some(), "drain_agent"),
        Of::DeactivateAgent => (call.deactivate_agent.is_some(), "deactivate_agent"),
        Of::ReactivateAgent => (call.reactivate_agent.is_some(), "reactivate_agent"),
        Of::UpdateQuota => (call.update_quota.is_some(), "update_quota"),
        Of::SetQuota => (call.set_quota.is_some(), "set_quota"),
        Of::RemoveQuota => (call.remove_quota.is_some(), "remove_quota"),
        Of::Teardown => (call.teardown.is_some(), "teardown"),
        Of::MarkAgentGone => (call.mark_agent_gone.is_some(), "mark_agent_gone"),
        _ => (true, ""),
    };
    if has { resources::fault(call) } else { Some(format!("Expecting '{field}' to be present")) }
}

/// One event as a record of an operator's stream.
pub(super) fn frame(told: &Told, codec: Codec) -> Bytes {
    let record = match told {
        Told::Everything(view) => return document::whole(&Artist::default().everything(view, codec)),
        Told::Event(event) => api::call::encode(&**event, codec),
    };
    api::recordio::frame(&record).into()
}

/// A refusal of one of the older endpoints.
pub(super) fn refused(why: impl Into<String>) -> To {
    Routed::Respond(bad_request(why))
}
