//! `run -- CMD`: a framework with one task. It waits for an offer, prints the output, exits with the command's status.
//!
//! Never: restarting the command, or leaving it behind; its framework is torn down at the end.

use crate::{
    Cluster, Failure, Output, Run,
    logs::{FOLLOW_PAUSE, Reader},
};
use model::{
    mesos::{
        AgentId, CommandInfo, Environment, Filters, FrameworkId, FrameworkInfo, Offer, Resource, TaskId,
        TaskInfo, TaskState, TaskStatus, environment, offer, scheduler, scheduler::Call, scheduler::call,
        scheduler::event, value,
    },
    request::Codec,
};
use std::{
    io::Write as _,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::mpsc;
use web::scheduler::{Caller, Received};

/// How long a killed command may take to end after Ctrl-C.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

struct OneOff<'a> {
    run: Run,
    cluster: &'a Cluster,
    output: &'a Output,
    caller: Caller,
    framework: Option<FrameworkId>,
    task: TaskId,
    agent: Option<AgentId>,
    files: Option<[Reader; 2]>,
    /// What was written so far, where JSON is printed at the end.
    written: [Vec<u8>; 2],
}

/// The user that asks, by name if it has one here.
fn who() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(uid) = std::fs::metadata("/proc/self").map(|me| me.uid().to_string()) else {
        return "root".to_owned();
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    named.and_then(|line| line.split(':').next()).map_or(uid, str::to_owned)
}

/// Runs it.
pub async fn perform(run: Run, cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    if let Some(bad) = run.env.iter().find(|pair| !pair.contains('=')) {
        return Err(Failure::Usage(format!("--env {bad}: this is not NAME=VALUE")));
    }
    let user = run.user.clone().unwrap_or_else(who);
    let framework_info = FrameworkInfo {
        user,
        name: "mesolite run".to_owned(),
        roles: vec![run.role.clone()],
        capabilities: vec![model::mesos::framework_info::Capability {
            r#type: Some(model::mesos::framework_info::capability::Type::MultiRole as i32),
        }],
        ..Default::default()
    };
    let subscribe = Call {
        r#type: Some(call::Type::Subscribe as i32),
        subscribe: Some(call::Subscribe { framework_info, ..Default::default() }),
        ..Default::default()
    };
    let (caller, events) = web::scheduler::connect(cluster.master_url(), subscribe, Codec::Protobuf).await?;
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let task = TaskId { value: format!("run-{:x}-{:x}", began.as_millis(), std::process::id()) };
    let mut this = OneOff {
        run,
        cluster,
        output,
        caller,
        framework: None,
        task,
        agent: None,
        files: None,
        written: Default::default(),
    };
    this.follow(events).await
}

impl OneOff<'_> {
    async fn follow(&mut self, mut events: mpsc::Receiver<Received>) -> Result<u8, Failure> {
        let patience = Duration::from_secs(self.run.offer_timeout);
        let mut give_up = Instant::now() + patience;
        let mut interrupted = false;
        loop {
            tokio::select! {
                received = events.recv() => match received {
                    Some(Received::Event(event)) => {
                        if let Some(status) = self.take(*event) {
                            self.print().await;
                            self.call(Call { r#type: Some(call::Type::Teardown as i32), ..Default::default() });
                            // the connection ends once the master has seen that
                            while tokio::time::timeout(Duration::from_secs(2), events.recv()).await.is_ok_and(|e| e.is_some()) {}
                            return self.outcome(&status, interrupted);
                        }
                    }
                    Some(Received::Refused { text, status, .. }) => {
                        return Err(Failure::Failed(format!("the master refused ({status}): {text}")));
                    }
                    Some(Received::Disconnected(why)) => return Err(Failure::Failed(why)),
                    None => return Err(Failure::Failed("the master has gone".to_owned())),
                },
                () = tokio::time::sleep(FOLLOW_PAUSE) => self.print().await,
                _ = tokio::signal::ctrl_c() => {
                    if interrupted || self.agent.is_none() {
                        return Ok(130);
                    }
                    interrupted = true;
                    give_up = Instant::now() + KILL_PATIENCE;
                    let kill = call::Kill { task_id: self.task.clone(), agent_id: self.agent.clone(), ..Default::default() };
                    self.call(Call { r#type: Some(call::Type::Kill as i32), kill: Some(kill), ..Default::default() });
                }
            }
            if Instant::now() >= give_up {
                if interrupted {
                    return Ok(130);
                }
                if self.agent.is_none() {
                    return Err(Failure::Unfinished(format!(
                        "no node offered {} cpus, {} MB of memory and {} MB of disk within {} s; `mesolite node list` shows what there is",
                        self.run.cpus,
                        self.run.mem,
                        self.run.disk,
                        patience.as_secs()
                    )));
                }
            }
        }
    }

    fn call(&self, call: Call) {
        self.caller.call(Call { framework_id: self.framework.clone(), ..call });
    }

    /// Gives the last status once the command has ended.
    fn take(&mut self, event: scheduler::Event) -> Option<TaskStatus> {
        match event.r#type() {
            event::Type::Subscribed => {
                self.framework = event.subscribed.map(|subscribed| subscribed.framework_id)
            }
            event::Type::Offers => event.offers?.offers.into_iter().for_each(|offer| self.consider(offer)),
            event::Type::Update => {
                let status = event.update?.status;
                if let (Some(uuid), Some(agent_id)) = (status.uuid.clone(), status.agent_id.clone()) {
                    let acknowledge = call::Acknowledge { agent_id, task_id: status.task_id.clone(), uuid };
                    let kind = Some(call::Type::Acknowledge as i32);
                    self.call(Call { r#type: kind, acknowledge: Some(acknowledge), ..Default::default() });
                }
                let live = [
                    TaskState::TaskStaging,
                    TaskState::TaskStarting,
                    TaskState::TaskRunning,
                    TaskState::TaskKilling,
                ];
                if !live.contains(&status.state()) {
                    return Some(status);
                }
            }
            event::Type::Error => self.output.error(&event.error?.message),
            _ => {}
        }
        None
    }

    fn consider(&mut self, offer: Offer) {
        let has = |name: &str| -> f64 {
            let of_name =
                offer.resources.iter().filter(|resource| resource.name == name && resource.disk.is_none());
            of_name.filter_map(|resource| resource.scalar.as_ref()).map(|scalar| scalar.value).sum()
        };
        let wanted = [("cpus", self.run.cpus), ("mem", self.run.mem), ("disk", self.run.disk)];
        if self.agent.is_some() || wanted.iter().any(|(name, amount)| has(name) < *amount) {
            let filters = Some(Filters { refuse_seconds: Some(5.0) });
            let decline = call::Decline { offer_ids: vec![offer.id], filters };
            return self.call(Call {
                r#type: Some(call::Type::Decline as i32),
                decline: Some(decline),
                ..Default::default()
            });
        }
        let info = self.info(&offer);
        self.agent = Some(offer.agent_id.clone());
        let launch = offer::Operation {
            r#type: Some(offer::operation::Type::Launch as i32),
            launch: Some(offer::operation::Launch { task_infos: vec![info] }),
            ..Default::default()
        };
        let accept =
            call::Accept { offer_ids: vec![offer.id], operations: vec![launch], ..Default::default() };
        self.call(Call {
            r#type: Some(call::Type::Accept as i32),
            accept: Some(accept),
            ..Default::default()
        });
        self.call(Call { r#type: Some(call::Type::Suppress as i32), ..Default::default() });
    }

    fn info(&self, offer: &Offer) -> TaskInfo {
        let resources = [("cpus", self.run.cpus), ("mem", self.run.mem), ("disk", self.run.disk)]
            .into_iter()
            .filter(|(_, amount)| *amount > 0.0)
            .map(|(name, amount)| Resource {
                name: name.to_owned(),
                r#type: value::Type::Scalar as i32,
                scalar: Some(value::Scalar { value: amount }),
                allocation_info: offer.allocation_info.clone(),
                ..Default::default()
            })
            .collect();
        let variables = self.run.env.iter().filter_map(|pair| pair.split_once('=')).map(|(name, value)| {
            environment::Variable {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                ..Default::default()
            }
        });
        let command = match &self.run.command[..] {
            [line] => CommandInfo { shell: Some(true), value: Some(line.clone()), ..Default::default() },
            words => CommandInfo {
                shell: Some(false),
                value: words.first().cloned(),
                arguments: words.to_vec(),
                ..Default::default()
            },
        };
        let environment = Some(Environment { variables: variables.collect() });
        TaskInfo {
            name: self.run.command.join(" "),
            task_id: self.task.clone(),
            agent_id: offer.agent_id.clone(),
            resources,
            command: Some(CommandInfo { environment, user: self.run.user.clone(), ..command }),
            ..Default::default()
        }
    }

    /// Prints what the command has written since. Before its sandbox is known there is nothing to print.
    async fn print(&mut self) {
        let Some(agent) = &self.agent else { return };
        if self.files.is_none() {
            let Ok(sandbox) = self.cluster.sandbox(&self.task.value, &agent.value).await else { return };
            self.files = Some([Reader::new(sandbox.clone(), "stdout"), Reader::new(sandbox, "stderr")]);
        }
        let Some([out, err]) = &mut self.files else { return };
        if let Ok(bytes) = out.rest(self.cluster).await {
            if self.output.json {
                self.written[0].extend(bytes);
            } else {
                self.output.raw(&bytes);
            }
        }
        if let Ok(bytes) = err.rest(self.cluster).await {
            if self.output.json {
                self.written[1].extend(bytes);
            } else {
                drop(std::io::stderr().write_all(&bytes));
            }
        }
    }

    fn outcome(&self, status: &TaskStatus, interrupted: bool) -> Result<u8, Failure> {
        let message = status.message.clone().unwrap_or_default();
        if self.output.json {
            self.output.value(&serde_json::json!({
                "task": self.task.value, "agent": self.agent.as_ref().map(|id| &id.value),
                "state": status.state().as_str_name(), "message": message,
                "stdout": String::from_utf8_lossy(&self.written[0]), "stderr": String::from_utf8_lossy(&self.written[1]),
            }));
        }
        match (status.state(), exit_status(&message)) {
            _ if interrupted => Ok(130),
            (TaskState::TaskFinished, _) => Ok(0),
            (TaskState::TaskFailed, Some(code)) => Ok(code),
            (state, _) => {
                Err(Failure::Failed(format!("the command ended as {}: {message}", state.as_str_name())))
            }
        }
    }
}

/// The status that a shell would give, from the agent's message.
fn exit_status(message: &str) -> Option<u8> {
    if let Some((_, code)) = message.split_once("exited with status ") {
        return code.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    }
    let (_, name) = message.split_once("terminated with signal ")?;
    let number = match name.split(['(', ',', ';', '.']).next()?.trim() {
        "Hangup" => 1,
        "Interrupt" => 2,
        "Quit" => 3,
        "Illegal instruction" => 4,
        "Aborted" => 6,
        "Killed" => 9,
        "Segmentation fault" => 11,
        "Broken pipe" => 13,
        "Terminated" => 15,
        _ => return None,
    };
    Some(128 + number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        assert_eq!(exit_status("Command exited with status 3"), Some(3));
        assert_eq!(exit_status("Command terminated with signal Killed"), Some(137));
        assert_eq!(exit_status("Command terminated with signal Terminated"), Some(143));
        assert_eq!(exit_status("Memory limit exceeded"), None);
    }
}
