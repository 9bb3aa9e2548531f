//! The reads of the agent's API, `POST /api/v1`. Calls that change containers are in `calls`.

use super::{
    containers, metrics,
    shown::{self, Shown},
};
use crate::{
    Perform, Routed, Said,
    answer::render,
    files::{self, Attached, READ_BYTES_MAX, Role, What},
    logging, nouns,
    operator::{self, respond, respond_with},
};
use agent::{Agent, Input, VERSION};
use api::json::Writer;
use model::{
    mesos::{
        self,
        agent::{
            Call, Response as Said1,
            call::Type as Of,
            response::{self, Type, get_executors, get_frameworks},
        },
    },
    request::{Answer, Codec},
};

type To = Routed<Input, Perform>;

/// Answers a call that changes nothing.
pub(super) fn read(call: Call, codec: Codec, agent: &Agent, attached: &[Attached]) -> To {
    let kind = call.r#type();
    match kind {
        Of::GetState | Of::GetTasks | Of::GetExecutors | Of::GetFrameworks => {
            let answer = large(kind, agent);
            let json = || large_text(&answer);
            Routed::Respond(respond_with(codec, json, || answer.clone()))
        }
        Of::GetMetrics => crate::metrics::ask(Role::Agent, agent.started(), metrics::all(agent), codec),
        Of::GetLoggingLevel => logging::ask(None, Role::Agent, codec),
        Of::SetLoggingLevel => {
            let asked = call.set_logging_level.unwrap_or_default();
            logging::ask(Some((asked.level, asked.duration.nanoseconds)), Role::Agent, codec)
        }
        Of::ListFiles => {
            let path = call.list_files.unwrap_or_default().path;
            files::ask(What::Browse, path, Role::Agent, Said::V1(codec), attached)
        }
        Of::ReadFile => {
            let asked = call.read_file.unwrap_or_default();
            let length = asked.length.unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX);
            let what = What::Read { offset: Some(asked.offset), length };
            files::ask(what, asked.path, Role::Agent, Said::V1(codec), attached)
        }
        Of::GetContainers => containers::get(agent, &call.get_containers.unwrap_or_default(), codec),
        Of::Unknown => Routed::Respond(render(Answer::text(501, "501 Not Implemented."))),
        _ => Routed::Respond(match small(kind, agent) {
            Some(answer) => respond(&answer, codec),
            None => render(Answer::text(501, format!("{} is not supported yet", kind.as_str_name()))),
        }),
    }
}

fn small(kind: Of, agent: &Agent) -> Option<Said1> {
    let of = |kind: Type, answer: Said1| Some(operator::of_agent(kind, answer));
    let none = Said1::default;
    match kind {
        Of::GetHealth => {
            let get_health = Some(response::GetHealth { healthy: true });
            of(Type::GetHealth, Said1 { get_health, ..none() })
        }
        Of::GetFlags => {
            let get_flags = Some(response::GetFlags { flags: operator::flags(&agent.config().flags) });
            of(Type::GetFlags, Said1 { get_flags, ..none() })
        }
        Of::GetVersion => {
            let get_version = Some(response::GetVersion { version_info: nouns::version_info(VERSION) });
            of(Type::GetVersion, Said1 { get_version, ..none() })
        }
        Of::GetAgent => {
            let get_agent = Some(response::GetAgent {
                // A field that only the oldest API has.
                agent_info: Some(mesos::AgentInfo { checkpoint: None, ..agent.info().clone() }),
                drain_config: agent.draining().map(|d| d.config),
                estimated_drain_start_time: agent
                    .draining()
                    .map(|d| mesos::TimeInfo { nanoseconds: d.since.as_nanos() as i64 }),
            });
            of(Type::GetAgent, Said1 { get_agent, ..none() })
        }
        Of::GetOperations => {
            let operations = agent.operations().cloned().collect();
            let get_operations = Some(response::GetOperations { operations });
            of(Type::GetOperations, Said1 { get_operations, ..none() })
        }
        Of::GetResourceProviders => {
            let get_resource_providers = Some(response::GetResourceProviders::default());
            of(Type::GetResourceProviders, Said1 { get_resource_providers, ..none() })
        }
        _ => None,
    }
}

fn tasks(agent: &Agent) -> response::GetTasks {
    let mut all = response::GetTasks::default();
    for task in agent.tasks().values().filter(|t| t.is_real()) {
        let place = if !task.is_live() {
            &mut all.terminated_tasks
        } else if task.state == mesos::TaskState::TaskStaging {
            &mut all.queued_tasks
        } else {
            &mut all.launched_tasks
        };
        place.push(shown::message(task));
    }
    all.completed_tasks = agent.completed().iter().filter(|t| t.is_real()).map(shown::message).collect();
    all
}

fn executors(agent: &Agent) -> response::GetExecutors {
    let one = |shown: Shown<'_>| get_executors::Executor { executor_info: shown.info.into_owned() };
    response::GetExecutors {
        executors: shown::live(agent).into_iter().map(one).collect(),
        completed_executors: shown::completed(agent).into_iter().map(one).collect(),
    }
}

fn frameworks(agent: &Agent) -> response::GetFrameworks {
    let framework = |info: &mesos::FrameworkInfo| get_frameworks::Framework { framework_info: info.clone() };
    let over = |info: &&mesos::FrameworkInfo| {
        info.id.as_ref().is_none_or(|id| !agent.frameworks().contains_key(&id.value))
    };
    response::GetFrameworks {
        frameworks: agent.frameworks().values().map(|f| framework(&f.info)).collect(),
        completed_frameworks: agent.completed_frameworks().iter().filter(over).map(framework).collect(),
    }
}

fn large(kind: Of, agent: &Agent) -> Said1 {
    let none = Said1::default;
    match kind {
        Of::GetTasks => operator::of_agent(Type::GetTasks, Said1 { get_tasks: Some(tasks(agent)), ..none() }),
        Of::GetExecutors => {
            let get_executors = Some(executors(agent));
            operator::of_agent(Type::GetExecutors, Said1 { get_executors, ..none() })
        }
        Of::GetFrameworks => {
            let get_frameworks = Some(frameworks(agent));
            operator::of_agent(Type::GetFrameworks, Said1 { get_frameworks, ..none() })
        }
        _ => {
            let get_state = Some(response::GetState {
                get_tasks: Some(tasks(agent)),
                get_executors: Some(executors(agent)),
                get_frameworks: Some(frameworks(agent)),
            });
            operator::of_agent(Type::GetState, Said1 { get_state, ..none() })
        }
    }
}

/// These list what is empty too.
fn large_text(answer: &Said1) -> String {
    nouns::object(|w| {
        nouns::text(w, "type", answer.r#type().as_str_name());
        if let Some(tasks) = &answer.get_tasks {
            write_tasks(w, tasks);
        }
        if let Some(executors) = &answer.get_executors {
            write_executors(w, executors);
        }
        if let Some(frameworks) = &answer.get_frameworks {
            write_frameworks(w, frameworks);
        }
        if let Some(state) = &answer.get_state {
            w.key("get_state");
            w.open();
            state.get_tasks.iter().for_each(|tasks| write_tasks(w, tasks));
            state.get_executors.iter().for_each(|executors| write_executors(w, executors));
            state.get_frameworks.iter().for_each(|frameworks| write_frameworks(w, frameworks));
            w.close();
        }
    })
}

fn write_tasks(w: &mut Writer, tasks: &response::GetTasks) {
    w.key("get_tasks");
    w.open();
    for (key, all) in [
        ("pending_tasks", &tasks.pending_tasks),
        ("queued_tasks", &tasks.queued_tasks),
        ("launched_tasks", &tasks.launched_tasks),
        ("terminated_tasks", &tasks.terminated_tasks),
        ("completed_tasks", &tasks.completed_tasks),
    ] {
        nouns::list(w, key, all, |w, task| w.message(task));
    }
    w.close();
}

fn write_executors(w: &mut Writer, executors: &response::GetExecutors) {
    w.key("get_executors");
    w.open();
    nouns::list(w, "executors", &executors.executors, |w, e| w.message(e));
    nouns::list(w, "completed_executors", &executors.completed_executors, |w, e| w.message(e));
    w.close();
}

fn write_frameworks(w: &mut Writer, frameworks: &response::GetFrameworks) {
    w.key("get_frameworks");
    w.open();
    nouns::list(w, "frameworks", &frameworks.frameworks, |w, f| w.message(f));
    nouns::list(w, "completed_frameworks", &frameworks.completed_frameworks, |w, f| w.message(f));
    w.close();
}

/// Which payload a call lacks: apache/mesos@c1b42f79:src/slave/validation.cpp.
pub(super) fn missing(call: &Call) -> Option<String> {
    let Some(Ok(kind)) = call.r#type.map(Of::try_from) else {
        return Some("Expecting 'type' to be present".to_owned());
    };
    let (has, field) = match kind {
        Of::GetMetrics => (call.get_metrics.is_some(), "get_metrics"),
        Of::SetLoggingLevel => (call.set_logging_level.is_some(), "set_logging_level"),
        Of::ListFiles => (call.list_files.is_some(), "list_files"),
        Of::ReadFile => (call.read_file.is_some(), "read_file"),
        Of::LaunchNestedContainer => (call.launch_nested_container.is_some(), "launch_nested_container"),
        Of::WaitNestedContainer => (call.wait_nested_container.is_some(), "wait_nested_container"),
        Of::KillNestedContainer => (call.kill_nested_container.is_some(), "kill_nested_container"),
        Of::RemoveNestedContainer => (call.remove_nested_container.is_some(), "remove_nested_container"),
        Of::LaunchNestedContainerSession => {
            (call.launch_nested_container_session.is_some(), "launch_nested_container_session")
        }
        Of::AttachContainerInput => (call.attach_container_input.is_some(), "attach_container_input"),
        Of::AttachContainerOutput => (call.attach_container_output.is_some(), "attach_container_output"),
        Of::LaunchContainer => (call.launch_container.is_some(), "launch_container"),
        Of::WaitContainer => (call.wait_container.is_some(), "wait_container"),
        Of::KillContainer => (call.kill_container.is_some(), "kill_container"),
        Of::RemoveContainer => (call.remove_container.is_some(), "remove_container"),
        Of::AddResourceProviderConfig => {
            (call.add_resource_provider_config.is_some(), "add_resource_provider_config")
        }
        Of::UpdateResourceProviderConfig => {
            (call.update_resource_provider_config.is_some(), "update_resource_provider_config")
        }
        Of::RemoveResourceProviderConfig => {
            (call.remove_resource_provider_config.is_some(), "remove_resource_provider_config")
        }
        Of::MarkResourceProviderGone => {
            (call.mark_resource_provider_gone.is_some(), "mark_resource_provider_gone")
        }
        _ => (true, ""),
    };
    (!has).then(|| format!("Expecting '{field}' to be present"))
}
