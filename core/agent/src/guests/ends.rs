//! What becomes of containers that clients asked for: they run, fail, end, are waited for and found again after a restart.
//! Never how one is launched (`guests`).

use super::{Guest, SIGKILL, Wait};
use crate::{Agent, Effect, Launch, records, saves::Then, tasks::describe};
use base::Effects;
use model::{
    container::{ContainerId, NOT_EXECUTED, Termination},
    mesos::{
        TaskState,
        agent::{Response, response},
        task_status::Reason,
    },
    request::{Answer, Body, Http, RequestId},
};

/// What upstream's containerizer ends with where a program can't be executed (recorded: wait status 256256).
const NOT_EXECUTED_STATUS: i32 = 1001;

impl Agent {
    pub(crate) fn guest_launched(&mut self, container: &ContainerId, pid: u32, out: &mut Effects<Effect>) {
        let Some(guest) = self.guests.get_mut(container) else { return };
        guest.pid = Some(pid);
        if let Some(request) = guest.launching.take() {
            out.push(reply(request, Answer::new(200, Body::Empty)));
        }
        if guest.abandoned {
            out.push(Effect::Destroy { container: container.clone() });
        }
    }

    pub(crate) fn guest_launch_failed(
        &mut self,
        container: &ContainerId,
        why: &str,
        out: &mut Effects<Effect>,
    ) {
        let Some(guest) = self.guests.get_mut(container).filter(|g| g.is_live()) else { return };
        if guest.pid.is_some() {
            // It ran, and the launcher knows nothing of it.
            self.guest_ended(container, &records::UNSEEN, out);
            return;
        }
        let request = guest.launching.take();
        if why.contains(NOT_EXECUTED) {
            // Upstream's container is there by then, and what runs in it fails.
            settle(request, Answer::new(200, Body::Empty), out);
            self.guest_ended(container, &Termination::Exited(NOT_EXECUTED_STATUS), out);
            return;
        }
        settle(request, Answer::text(400, why), out);
        self.container_ended(container, &Termination::Unknown, out);
        self.forget_guest(container, false, out);
    }

    pub(crate) fn guest_ended(
        &mut self,
        container: &ContainerId,
        how: &Termination,
        out: &mut Effects<Effect>,
    ) {
        self.container_ended(container, how, out);
        let Some(guest) = self.guests.get_mut(container) else { return };
        guest.ended = Some(how.clone());
        let request = guest.launching.take();
        settle(request, Answer::new(200, Body::Empty), out);
        out.push(Effect::Destroy { container: container.clone() });
        if guest.abandoned {
            self.forget_guest(container, false, out);
        }
    }

    /// Any container has ended: who waits hears, and what is inside it ends too.
    pub(crate) fn container_ended(
        &mut self,
        container: &ContainerId,
        how: &Termination,
        out: &mut Effects<Effect>,
    ) {
        for wait in self.waits.remove(container).unwrap_or_default() {
            out.push(said(wait, how));
        }
        let inside = |g: &&mut Guest| g.container.parent().as_ref() == Some(container);
        let mut over = Vec::new();
        for guest in self.guests.values_mut().filter(inside) {
            guest.abandoned = true;
            if guest.is_live() {
                out.push(Effect::Destroy { container: guest.container.clone() });
            } else {
                over.push(guest.container.clone());
            }
        }
        for container in over {
            self.forget_guest(&container, false, out);
        }
    }

    pub(crate) fn forget_guest(&mut self, container: &ContainerId, discard: bool, out: &mut Effects<Effect>) {
        let Some(guest) = self.guests.remove(container) else { return };
        self.saves.extend(records::forget_guest(&guest));
        self.saves.then(Then::Forget { container: container.clone() });
        if discard && !guest.session {
            out.push(Effect::Discard { directory: guest.directory });
        }
    }

    /// A guest that was durable.
    pub(crate) fn read_guest(&mut self, container: ContainerId, launch: Launch, session: bool) {
        let directory = match container.parent() {
            None => Some(format!("{}/containers/{container}", self.config.work_dir)),
            Some(parent) => self.around(&parent).map(|around| {
                if session {
                    around.directory
                } else {
                    format!("{}/containers/{}", around.directory, container.last())
                }
            }),
        };
        // Without the container around it there is nothing to come back to.
        let mut guest = Guest::new(container.clone(), directory.clone().unwrap_or_default(), launch, session);
        guest.abandoned = directory.is_none();
        self.guests.insert(container, guest);
    }

    /// The launcher has said what it knows.
    pub(crate) fn guests_recovered(
        &mut self,
        running: &std::collections::BTreeMap<ContainerId, u32>,
        ended: &std::collections::BTreeMap<ContainerId, Termination>,
        out: &mut Effects<Effect>,
    ) {
        let all: Vec<_> = self.guests.keys().cloned().collect();
        for container in all {
            let Some(guest) = self.guests.get_mut(&container) else { continue };
            match running.get(&container) {
                Some(pid) => {
                    guest.pid = Some(*pid);
                    // The client of a session went with the agent.
                    if guest.session || guest.abandoned {
                        guest.abandoned = true;
                        out.push(Effect::Destroy { container });
                    }
                }
                None => {
                    let how = ended.get(&container).cloned().unwrap_or(records::UNSEEN);
                    self.guest_ended(&container, &how, out);
                }
            }
        }
    }
}

pub(crate) fn said(wait: Wait, how: &Termination) -> Effect {
    let exit_status = match how {
        Termination::Exited(status) => Some(status << 8),
        Termination::Signaled(signal) => Some(*signal),
        Termination::OutOfMemory { .. } => Some(SIGKILL),
        Termination::Unknown => None,
    };
    let limited = matches!(how, Termination::OutOfMemory { .. });
    let state = limited.then_some(TaskState::TaskFailed.into());
    let reason = limited.then_some(Reason::ContainerLimitationMemory.into());
    let message = (limited || *how == Termination::Unknown).then(|| describe(how));
    let mut answer = Response::default();
    if wait.nested {
        answer.set_type(response::Type::WaitNestedContainer);
        answer.wait_nested_container =
            Some(response::WaitNestedContainer { exit_status, state, reason, message, ..Default::default() });
    } else {
        answer.set_type(response::Type::WaitContainer);
        answer.wait_container =
            Some(response::WaitContainer { exit_status, state, reason, message, ..Default::default() });
    }
    Effect::Respond { request: wait.request, codec: wait.codec, response: Box::new(answer) }
}

pub(crate) fn reply(request: RequestId, answer: Answer) -> Effect {
    Effect::Http(Http::Reply { request, answer })
}

pub(crate) fn settle(request: Option<RequestId>, answer: Answer, out: &mut Effects<Effect>) {
    if let Some(request) = request {
        out.push(reply(request, answer));
    }
}
