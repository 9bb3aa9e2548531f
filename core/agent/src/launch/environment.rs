//! The environment of tasks and executors: what upstream hands out, the agent's own additions, the command's.

use crate::{
    Agent,
    state::{Executor, Task},
};
use base::Duration;
use model::mesos::CommandInfo;

/// Where programs are looked for unless a task says otherwise.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Agent {
    /// What upstream hands to executors and tasks, then the agent's own additions, then the command's: the last of a
    /// name counts.
    pub(crate) fn environment(
        &self,
        task: &Task,
        checkpoint: bool,
        command: &CommandInfo,
    ) -> Vec<(String, String)> {
        let mut all = self.basic_environment(
            (&task.framework, task.executor_id()),
            &task.directory,
            checkpoint,
            self.config.executors.shutdown_grace_period,
        );
        let role = model::resources::allocation_role(&task.info.resources).unwrap_or("*").to_owned();
        all.push(("MESOS_ALLOCATION_ROLE".into(), role));
        all.push(("MESOS_CONTAINER_IP".into(), self.config.address.ip().to_string()));
        self.with_own(all, command)
    }

    /// The same for an executor.
    pub(crate) fn executor_environment(
        &self,
        executor: &Executor,
        checkpoint: bool,
        command: &CommandInfo,
    ) -> Vec<(String, String)> {
        let grace = executor.info.shutdown_grace_period.as_ref();
        let grace = grace.and_then(|g| u64::try_from(g.nanoseconds).ok()).map(Duration::from_nanos);
        let grace = grace.unwrap_or(self.config.executors.shutdown_grace_period);
        let ids = (executor.framework.as_str(), executor.id());
        let all = self.basic_environment(ids, &executor.directory, checkpoint, grace);
        self.with_own(all, command)
    }

    pub(crate) fn basic_environment(
        &self,
        (framework, executor): (&str, &str),
        directory: &str,
        checkpoint: bool,
        grace: Duration,
    ) -> Vec<(String, String)> {
        let address = self.config.address;
        let agent_id = self.info.id.as_ref().map_or(String::new(), |id| id.value.clone());
        let mut all: Vec<(String, String)> = vec![
            ("PATH".into(), PATH.into()),
            ("LIBPROCESS_IP".into(), address.ip().to_string()),
            ("LIBPROCESS_PORT".into(), "0".into()),
            ("MESOS_FRAMEWORK_ID".into(), framework.to_owned()),
            ("MESOS_EXECUTOR_ID".into(), executor.to_owned()),
            ("MESOS_DIRECTORY".into(), directory.to_owned()),
            ("MESOS_SANDBOX".into(), directory.to_owned()),
            ("MESOS_SLAVE_ID".into(), agent_id),
            ("MESOS_SLAVE_PID".into(), self.me().to_string()),
            ("MESOS_AGENT_ENDPOINT".into(), address.to_string()),
            ("MESOS_CHECKPOINT".into(), if checkpoint { "1" } else { "0" }.into()),
            (
                "MESOS_HTTP_COMMAND_EXECUTOR".into(),
                if self.policy_of_kills_counts() { "1" } else { "0" }.into(),
            ),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD".into(), duration_text(grace)),
        ];
        if checkpoint {
            all.push(("MESOS_RECOVERY_TIMEOUT".into(), "15mins".into()));
            all.push(("MESOS_SUBSCRIPTION_BACKOFF_MAX".into(), "2secs".into()));
        }
        all
    }

    pub(crate) fn with_own(
        &self,
        mut all: Vec<(String, String)>,
        command: &CommandInfo,
    ) -> Vec<(String, String)> {
        let own = command.environment.iter().flat_map(|e| &e.variables);
        let own = own.map(|v| (v.name.clone(), v.value.clone().unwrap_or_default()));
        for (name, value) in self.config.environment.iter().cloned().chain(own) {
            all.retain(|(n, _)| *n != name);
            all.push((name, value));
        }
        all
    }
}

/// As stout prints a duration: the largest unit that gives a whole number.
pub(crate) fn duration_text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units: [(u128, &str); 8] = [
        (604_800_000_000_000, "weeks"),
        (86_400_000_000_000, "days"),
        (3_600_000_000_000, "hrs"),
        (60_000_000_000, "mins"),
        (1_000_000_000, "secs"),
        (1_000_000, "ms"),
        (1000, "us"),
        (1, "ns"),
    ];
    let fits = units.iter().find(|(unit, _)| nanos >= *unit && nanos.is_multiple_of(*unit));
    let (unit, name) = fits.unwrap_or(&(1, "ns"));
    format!("{}{name}", nanos / unit)
}
