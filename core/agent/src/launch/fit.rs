//! What this agent can not run, and how that is said. Never what it can (`launch`).

use model::mesos::{CommandInfo, ContainerInfo, ExecutorInfo, TaskInfo, container_info, task_status::Reason};

/// A container that another containerizer would make, or an image: refused as upstream does without those.
pub(crate) fn of_other_containerizers(container: &ContainerInfo) -> Option<(Reason, String)> {
    if container.r#type == container_info::Type::Docker as i32 {
        let why = "Abnormal executor termination: unknown container";
        return Some((Reason::ExecutorTerminated, why.to_owned()));
    }
    let image = container.mesos.as_ref()?.image.as_ref()?;
    let kind = image.r#type().as_str_name();
    let why = format!("Failed to launch container: Unsupported container image type: {kind}");
    Some((Reason::ContainerLaunchFailed, why))
}

/// What this agent can't run, said as people need it. `played`: the agent itself runs the task's command.
pub(crate) fn unsupported(info: &TaskInfo, played: bool) -> Option<&'static str> {
    if played && info.command.is_none() {
        return Some("The task has no command");
    }
    if !played {
        return None;
    }
    unfit(info.command.as_ref(), info.container.as_deref())
}

/// The same for an executor.
pub(crate) fn unsupported_executor(info: &ExecutorInfo, is_default: bool) -> Option<&'static str> {
    if !is_default && info.command.is_none() {
        return Some("The executor has no command");
    }
    unfit(info.command.as_ref(), info.container.as_deref())
}

pub(crate) fn unfit(
    command: Option<&CommandInfo>,
    container: Option<&ContainerInfo>,
) -> Option<&'static str> {
    let variables = command.iter().flat_map(|c| &c.environment).flat_map(|e| &e.variables);
    if variables.clone().any(|v| v.secret.is_some()) {
        return Some("This agent does not resolve secrets yet");
    }
    let container = container?;
    let image = container.docker.is_some() || container.mesos.as_ref().is_some_and(|m| m.image.is_some());
    if image {
        return Some("This agent does not run images yet");
    }
    if container.network_infos.iter().any(|n| n.name.is_some()) {
        return Some("This agent does not join container networks yet");
    }
    for volume in &container.volumes {
        let known = match &volume.source {
            Some(source) => source.host_path.is_some() || source.sandbox_path.is_some(),
            None => volume.host_path.is_some(),
        };
        if !known {
            return Some("This agent mounts HOST_PATH and SANDBOX_PATH volumes only");
        }
        let sandbox_path = volume.source.as_ref().and_then(|s| s.sandbox_path.as_ref());
        let leaves = |path: &str| path.starts_with('/') || path.split('/').any(|part| part == "..");
        if sandbox_path.is_some_and(|p| leaves(&p.path)) {
            return Some("The path of a SANDBOX_PATH volume must stay in the sandbox");
        }
        if volume.container_path.split('/').any(|part| part == "..") {
            return Some("The container_path of a volume must not contain '..'");
        }
    }
    None
}
