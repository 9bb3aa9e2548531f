//! How tasks reach an executor and leave it: launches, kills, the group rule. The default executor's tasks run in
//! containers under the executor's, started and ended here. Never the executor's own container (`executors`).

use crate::{
    Agent, Effect,
    calls::Word,
    launch,
    state::{Phase, Runner, Speaker, Task, is_terminal},
};
use base::{Effects, Now};
use model::{
    container::{ContainerSpec, Io, Program},
    mesos::{
        CommandInfo, TaskGroupInfo, TaskState, internal,
        task_status::{Reason, Source},
    },
};

type Key = (String, String);

impl Agent {
    /// The queued tasks of this number are durable.
    pub(crate) fn queued_is_durable(
        &mut self,
        now: &mut Now<'_>,
        key: &Key,
        number: u64,
        out: &mut Effects<Effect>,
    ) {
        if let Some(executor) = self.executors.get_mut(key) {
            executor.queue.iter_mut().filter(|q| q.number == number).for_each(|q| q.durable = true);
        }
        self.deliver(now, key, out);
    }

    /// Hands over what is queued and durable, in order, if the executor takes it.
    pub(crate) fn deliver(&mut self, now: &mut Now<'_>, key: &Key, out: &mut Effects<Effect>) {
        let Some(executor) = self.executors.get_mut(key) else { return };
        let played = executor.is_default();
        if executor.phase != Phase::Running || (!played && executor.speaker == Speaker::Nobody) {
            return;
        }
        let ready = executor.queue.iter().take_while(|q| q.durable).count();
        let queued: Vec<_> = executor.queue.drain(..ready).collect();
        if queued.is_empty() {
            return;
        }
        executor.sent = true;
        let container = executor.container.clone();
        out.push(Effect::Limit { container, limits: self.executor_limits(key) });
        for one in queued {
            let tasks = one.tasks.iter().filter_map(|id| self.tasks.get(&(key.0.clone(), id.clone())));
            if played {
                let keys: Vec<_> = tasks.map(|t| (key.0.clone(), t.id().to_owned())).collect();
                keys.iter().for_each(|task| self.launch_nested(now, task, out));
                continue;
            }
            let infos: Vec<_> = tasks.map(|t| t.info.clone()).collect();
            if one.group {
                self.tell(key, Word::LaunchGroup(TaskGroupInfo { tasks: infos }), out);
            } else {
                infos.into_iter().for_each(|info| self.tell(key, Word::Launch(Box::new(info)), out));
            }
        }
    }

    pub(crate) fn launch_nested(&mut self, now: &mut Now<'_>, key: &Key, out: &mut Effects<Effect>) {
        if self.ended_before_its_launch(key, now, out) {
            return;
        }
        if let Some(why) = self
            .tasks
            .get(key)
            .and_then(|task| launch::unfit(task.info.command.as_ref(), task.info.container.as_deref()))
        {
            self.report(now, key, |s| s.set_state(TaskState::TaskStarting));
            self.conclude(now, key, TaskState::TaskFailed, |s| {
                s.set_reason(Reason::ContainerLaunchFailed);
                s.message = Some(why.to_owned());
            });
            self.group_member_over(key, now, out);
            return;
        }
        let (Some(task), Some(framework)) = (self.tasks.get(key), self.frameworks.get(&key.0)) else {
            return;
        };
        let Runner::Group { executor, .. } = &task.runner else { return };
        let Some(executor) = self.executors.get(&(key.0.clone(), executor.clone())) else { return };
        let command = task.info.command.clone().unwrap_or_else(no_command);
        let from_executor = executor.info.command.as_ref().and_then(|c| c.user.clone());
        let user = command.user.clone().or(from_executor).unwrap_or_else(|| framework.info.user.clone());
        let program: Program = launch::program(&command);
        let mut spec = ContainerSpec::new(task.container.clone(), task.directory.clone(), program);
        spec.environment = self.environment(task, framework.info.checkpoint(), &command);
        spec.user = self.config.users.choose(Some(user));
        spec.fetch = command.uris.iter().map(launch::fetch).collect();
        spec.limits = launch::task_limits(&task.info, self.config.cpu_quota);
        spec.io = crate::guests::io(task.info.container.as_deref(), Io::Files);
        // Unless it says otherwise a task may use what its group has together.
        spec.shares_memory =
            task.info.limits.is_empty() && launch::shares_cgroups(task.info.container.as_deref());
        spec.links.push((format!("{}/tasks/{}", executor.directory, task.id()), task.directory.clone()));
        let container = task.info.container.as_deref();
        launch::volumes(&mut spec, &task.info.resources, container, Some(&executor.directory), self);
        out.push(Effect::Launch(Box::new(spec)));
    }

    /// A kill of a task that an executor has, or is about to get.
    pub(crate) fn kill_in_executor(
        &mut self,
        now: &mut Now<'_>,
        key: &Key,
        kill: &internal::KillTaskMessage,
        out: &mut Effects<Effect>,
    ) {
        let Some(task) = self.tasks.get(key) else { return };
        let executor_key = (key.0.clone(), task.executor_id().to_owned());
        let Some(executor) = self.executors.get_mut(&executor_key) else { return };
        if matches!(executor.phase, Phase::Ending { .. } | Phase::Forced | Phase::Ended) {
            return;
        }
        let registered = executor.phase == Phase::Running;
        if let Some(place) = executor.queue.iter().position(|q| q.tasks.contains(&key.1)) {
            let queued = executor.queue.remove(place);
            let message = if queued.group && !registered {
                "A task within the task group was killed before delivery to the executor"
            } else {
                "Killed before delivery to the executor"
            };
            for id in queued.tasks {
                self.conclude(now, &(key.0.clone(), id), TaskState::TaskKilled, |s| {
                    s.set_source(Source::Agent);
                    s.set_reason(Reason::TaskKilledDuringLaunch);
                    s.message = Some(message.to_owned());
                    s.container_status = None;
                });
            }
            self.end_if_idle(&executor_key, now, out);
            return;
        }
        let word = Word::Kill { task: kill.task_id.clone(), policy: kill.kill_policy };
        self.tell(&executor_key, word, out);
    }

    /// Whether a task of the same default executor was ended for its health.
    ///
    /// apache/mesos@c1b42f79:src/launcher/default_executor.cpp (`waited`, MESOS-8543): not only in its own group.
    pub(crate) fn is_among_unhealthy(&self, key: &Key) -> bool {
        let Some(Runner::Group { executor, .. }) = self.tasks.get(key).map(|task| &task.runner) else {
            return false;
        };
        self.executors.get(&(key.0.clone(), executor.clone())).is_some_and(|e| e.unhealthy)
    }

    /// One task of a group is over: unless it finished, the others are killed; with the last task the executor ends.
    pub(crate) fn group_member_over(&mut self, key: &Key, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get(key) else { return };
        let Runner::Group { executor, number, .. } = task.runner.clone() else { return };
        let state = task.state;
        let executor_key = (key.0.clone(), executor);
        if state != TaskState::TaskFinished && is_terminal(state) {
            let same = |t: &Task| matches!(&t.runner, Runner::Group { number: n, .. } if *n == number);
            for other in self.tasks_of(&executor_key) {
                if self.tasks.get(&other).is_some_and(|t| same(t) && t.is_live()) {
                    self.end_with_others(&other, now, out);
                }
            }
        }
        self.end_if_idle(&executor_key, now, out);
    }
}

/// A group's task without a command would run what its image says; without an image it fails when it runs.
fn no_command() -> CommandInfo {
    let value = "echo 'The task has no command, and no image that has one' >&2; exit 1";
    CommandInfo { value: Some(value.to_owned()), ..Default::default() }
}
