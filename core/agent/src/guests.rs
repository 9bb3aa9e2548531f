//! Containers that clients of the agent's API ask for: nested in others, alone, or sessions inside others. Launched,
//! waited for, killed, removed. Never which bytes they say (the shell carries those), nor tasks.
//!
//! Answers: apache/mesos@c1b42f79:src/slave/http.cpp (`_launchContainer` and on), and recordings of the original.

mod ends;

pub(crate) use ends::{reply, said};

use crate::{Agent, Effect, Launch, launch, records, saves::Then, state::Task};
use base::Effects;
use model::{
    container::{ContainerId, ContainerSpec, Io, Termination},
    mesos::ContainerInfo,
    request::{Answer, Body, Codec, RequestId},
    resources::Resources,
};

/// Containers of this kind that one agent keeps, ended ones included.
pub(crate) const GUESTS_MAX: usize = 4096;
/// Calls that wait for the end of one container.
const WAITS_MAX: usize = 1024;
const SIGKILL: i32 = 9;
const SIGNAL_MAX: i32 = 64;
const WINDOW: (u16, u16) = (24, 80);

/// A container that a client asked for.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its container.
    pub container: ContainerId,
    /// Its sandbox; of a session that of the container around it.
    pub directory: String,
    /// Its first process; none before it runs.
    pub pid: Option<u32>,
    /// What was asked for.
    pub launch: Launch,
    /// It runs inside the container around it, for as long as its client listens.
    pub session: bool,
    launching: Option<RequestId>,
    pub(crate) ordered: bool,
    ended: Option<Termination>,
    /// The container around it is gone: nobody will ask.
    abandoned: bool,
}

impl Guest {
    pub(crate) fn new(container: ContainerId, directory: String, launch: Launch, session: bool) -> Self {
        Self {
            container,
            directory,
            pid: None,
            launch,
            session,
            launching: None,
            ordered: false,
            ended: None,
            abandoned: false,
        }
    }
    /// Whether it may still run.
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }
}

/// A call about one container.
#[derive(Clone, Debug)]
pub enum ContainerCall {
    /// Make it and start what runs in it.
    Launch {
        /// What is asked for.
        launch: Box<Launch>,
        /// Inside the container around it, and until the client hangs up.
        session: bool,
    },
    /// Answered once it has ended.
    Wait {
        /// Answered in the form of WAIT_NESTED_CONTAINER.
        nested: bool,
    },
    /// A signal to its processes.
    Kill {
        /// Which.
        signal: i32,
    },
    /// Forget it and its sandbox.
    Remove,
}

/// A call that waits for the end of a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    request: RequestId,
    codec: Codec,
    nested: bool,
}

/// Whether clients may attach to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachable {
    /// There is no such container.
    Unknown,
    /// It writes files only.
    Disabled,
    /// They may.
    Yes,
}

/// What a container gives to those inside it.
struct Around {
    directory: String,
    user: Option<String>,
    environment: Vec<(String, String)>,
    runs: bool,
}

/// Input and output by what a container asks for.
pub(crate) fn io(container: Option<&ContainerInfo>, otherwise: Io) -> Io {
    let Some(terminal) = container.and_then(|c| c.tty_info.as_ref()) else { return otherwise };
    let size = terminal.window_size.as_ref();
    let fit = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    let (rows, columns) = size.map_or(WINDOW, |s| (fit(s.rows), fit(s.columns)));
    Io::Terminal { rows, columns }
}

impl Agent {
    pub(crate) fn container_call(
        &mut self,
        (request, codec): (RequestId, Codec),
        container: ContainerId,
        call: ContainerCall,
        out: &mut Effects<Effect>,
    ) {
        if !self.registration.recovered {
            out.push(reply(request, Answer::text(503, "Agent has not finished recovery")));
            return;
        }
        match call {
            ContainerCall::Launch { launch, session } => {
                if let Err(answer) = self.launch_guest(request, container, *launch, session) {
                    out.push(reply(request, answer));
                }
            }
            ContainerCall::Wait { nested } => {
                let wait = Wait { request, codec, nested };
                let ended = self.guests.get(&container).and_then(|g| g.ended.clone());
                if let Some(how) = ended {
                    out.push(said(wait, &how));
                } else if self.is_running(&container).is_some() {
                    let waits = self.waits.entry(container).or_default();
                    if waits.len() < WAITS_MAX {
                        waits.push(wait);
                    } else {
                        let why = format!("{WAITS_MAX} calls wait for this container (WAITS_MAX)");
                        out.push(reply(request, Answer::text(503, why)));
                    }
                } else {
                    let why = format!("Container {container} cannot be found");
                    out.push(reply(request, Answer::text(404, why)));
                }
            }
            ContainerCall::Kill { signal } => {
                let answer = self.kill_container(&container, signal, out);
                out.push(reply(request, answer));
            }
            ContainerCall::Remove => {
                let answer = match self.guests.get(&container) {
                    Some(guest) if guest.is_live() => {
                        let kind =
                            if container.parent().is_some() { "Nested container" } else { "Container" };
                        Answer::text(500, format!("{kind} has not terminated yet"))
                    }
                    Some(_) => {
                        self.forget_guest(&container, true, out);
                        Answer::new(200, Body::Empty)
                    }
                    None => Answer::new(200, Body::Empty),
                };
                out.push(reply(request, answer));
            }
        }
    }

    /// Whether a container is there and lives; inside, whether its process runs already.
    fn is_running(&self, container: &ContainerId) -> Option<bool> {
        if let Some(guest) = self.guests.get(container) {
            return guest.is_live().then_some(guest.pid.is_some());
        }
        if let Some(executor) = self.executor_containers.get(container).and_then(|k| self.executors.get(k)) {
            return executor.is_live().then_some(executor.pid.is_some());
        }
        let task = self.containers.get(container).and_then(|k| self.tasks.get(k))?;
        task.is_live().then_some(task.pid.is_some())
    }

    fn kill_container(&self, container: &ContainerId, signal: i32, out: &mut Effects<Effect>) -> Answer {
        let Some(runs) = self.is_running(container) else {
            let why = format!("Container '{container}' cannot be found (or is already killed)");
            return Answer::text(404, why);
        };
        if !(1..=SIGNAL_MAX).contains(&signal) {
            return Answer::text(400, format!("{signal} is no signal: 1 to {SIGNAL_MAX} are"));
        }
        if signal == SIGKILL || !runs {
            out.push(Effect::Destroy { container: container.clone() });
        } else {
            out.push(Effect::Signal { container: container.clone(), signal });
        }
        Answer::new(200, Body::Empty)
    }

    fn launch_guest(
        &mut self,
        request: RequestId,
        container: ContainerId,
        launch: Launch,
        session: bool,
    ) -> Result<(), Answer> {
        if self.guests.contains_key(&container) || self.is_running(&container).is_some() {
            return Err(Answer::accepted());
        }
        let directory = match container.parent() {
            None => format!("{}/containers/{container}", self.config.work_dir),
            Some(parent) => {
                let Some(around) = self.around(&parent).filter(|a| a.runs) else {
                    return Err(Answer::text(400, format!("Parent container {parent} does not exist")));
                };
                if session {
                    around.directory
                } else {
                    format!("{}/containers/{}", around.directory, container.last())
                }
            }
        };
        if let Some(why) = launch::unfit(launch.command.as_ref(), launch.container.as_ref()) {
            return Err(Answer::text(400, format!("The provided ContainerInfo is not supported: {why}")));
        }
        if self.guests.len() >= GUESTS_MAX {
            let why = format!("{GUESTS_MAX} containers are kept already (GUESTS_MAX): remove ended ones");
            return Err(Answer::text(503, why));
        }
        let mut guest = Guest::new(container.clone(), directory, launch, session);
        guest.launching = Some(request);
        self.saves.push(records::guest(&guest));
        self.saves.then(Then::Invite { container: container.clone() });
        self.guests.insert(container, guest);
        Ok(())
    }

    /// What the container of a task, an executor or another guest gives to those inside it.
    fn around(&self, container: &ContainerId) -> Option<Around> {
        let command_of = |framework: &str, own: Option<String>| {
            let framework = self.frameworks.get(framework);
            own.or_else(|| framework.map(|f| f.info.user.clone())).filter(|u| !u.is_empty())
        };
        if let Some(guest) = self.guests.get(container).filter(|g| g.is_live()) {
            let parent = container.parent().and_then(|p| self.around(&p));
            let own = guest.launch.command.as_ref().and_then(|c| c.user.clone());
            return Some(Around {
                directory: guest.directory.clone(),
                user: own.or_else(|| parent.and_then(|p| p.user)),
                environment: self.guest_environment(guest),
                runs: guest.pid.is_some(),
            });
        }
        if let Some(executor) = self.executor_containers.get(container).and_then(|k| self.executors.get(k)) {
            let command = executor.info.command.clone().unwrap_or_default();
            let checkpoint = self.frameworks.get(&executor.framework).is_some_and(|f| f.info.checkpoint());
            return executor.is_live().then(|| Around {
                directory: executor.directory.clone(),
                user: command_of(&executor.framework, command.user.clone()),
                environment: self.executor_environment(executor, checkpoint, &command),
                runs: executor.pid.is_some(),
            });
        }
        let task: &Task = self.containers.get(container).and_then(|k| self.tasks.get(k))?;
        let command = task.info.command.clone().unwrap_or_default();
        let checkpoint = self.frameworks.get(&task.framework).is_some_and(|f| f.info.checkpoint());
        task.is_live().then(|| Around {
            directory: task.directory.clone(),
            user: command_of(&task.framework, command.user.clone()),
            environment: self.environment(task, checkpoint, &command),
            runs: task.pid.is_some(),
        })
    }

    fn guest_environment(&self, guest: &Guest) -> Vec<(String, String)> {
        let command = guest.launch.command.clone().unwrap_or_default();
        let around = guest.container.parent().filter(|_| guest.session).and_then(|p| self.around(&p));
        let all = around.map(|a| a.environment).unwrap_or_else(|| {
            vec![
                ("PATH".into(), launch::PATH.into()),
                ("MESOS_SANDBOX".into(), guest.directory.clone()),
                ("MESOS_CONTAINER_IP".into(), self.config.address.ip().to_string()),
            ]
        });
        self.with_own(all, &command)
    }

    /// The guest is durable: its container is ordered.
    pub(crate) fn invite(&mut self, container: &ContainerId, out: &mut Effects<Effect>) {
        if let Some(guest) = self.guests.get_mut(container) {
            guest.ordered = true;
        }
        let Some(guest) = self.guests.get(container).filter(|g| g.is_live() && g.pid.is_none()) else {
            return;
        };
        let command = guest.launch.command.clone().unwrap_or_default();
        let info = guest.launch.container.as_ref();
        let parent = container.parent();
        let around = parent.as_ref().and_then(|p| self.around(p));
        let mut spec =
            ContainerSpec::new(container.clone(), guest.directory.clone(), launch::program(&command));
        spec.environment = self.guest_environment(guest);
        let user = command.user.clone().or_else(|| around.as_ref().and_then(|a| a.user.clone()));
        spec.user = self.config.users.choose(user);
        spec.fetch = command.uris.iter().map(launch::fetch).collect();
        spec.session = guest.session;
        spec.io = io(info, if guest.session { Io::Pipes } else { Io::Files });
        let asked = Resources::from_messages(&guest.launch.resources).unwrap_or_default();
        spec.limits = launch::limits(&asked, &guest.launch.limits, self.config.cpu_quota);
        // Without anything of its own it uses what the container around it has.
        spec.shares_groups =
            parent.is_some() && guest.launch.resources.is_empty() && launch::shares_cgroups(info);
        let root = around.as_ref().map(|a| a.directory.as_str());
        launch::volumes(&mut spec, &guest.launch.resources, info, root, self);
        out.push(Effect::Launch(Box::new(spec)));
    }

    /// Whether clients may attach to a container.
    pub fn attachable(&self, container: &ContainerId) -> Attachable {
        let of = |io: Io| if io == Io::Files { Attachable::Disabled } else { Attachable::Yes };
        if let Some(guest) = self.guests.get(container).filter(|g| g.is_live()) {
            let otherwise = if guest.session { Io::Pipes } else { Io::Files };
            return of(io(guest.launch.container.as_ref(), otherwise));
        }
        if self.is_running(container).is_none() {
            return Attachable::Unknown;
        }
        let task = self.containers.get(container).and_then(|k| self.tasks.get(k));
        of(io(task.and_then(|t| t.info.container.as_deref()), Io::Files))
    }
}
