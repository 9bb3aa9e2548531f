//! Flags of the roles under their upstream names: command line over environment over a TOML file.
//!
//! One table per role is the definition; help, parsing and `/flags` come from it. Never: what a flag leads to.

use clap::{Arg, ArgAction, Command, builder::Styles, parser::ValueSource};
use std::{collections::BTreeMap, path::PathBuf};

/// What a flag holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `--name`, `--name=true|false`, `--no-name`.
    Switch,
    /// A whole number.
    Number,
    /// `10secs`, `1mins`, `500ms` (Mesos), or plain milliseconds where the table says so.
    Duration,
}

/// One row of a role's table.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The upstream name, without dashes.
    pub name: &'static str,
    /// Other names of it.
    pub aliases: &'static [&'static str],
    /// What it holds.
    pub kind: Kind,
    /// Its default; none = unset.
    pub default: Option<&'static str>,
    /// One line for people.
    pub help: &'static str,
}

/// The flags of one role.
#[derive(Debug)]
pub struct Table {
    /// `master`, `agent`, `orchestrator`.
    pub role: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// Prefix of its environment variables: `MESOS_` or `MARATHON_`.
    pub env_prefix: &'static str,
    /// What it takes.
    pub flags: &'static [Flag],
    /// Upstream flags that it does not take, and what to use instead.
    pub refused: &'static [(&'static str, &'static str)],
}

/// The values of a role's flags after all layers.
#[derive(Clone, Debug, Default)]
pub struct Values {
    set: BTreeMap<String, String>,
    /// Under which flags people know them here, where that is another name.
    said: BTreeMap<&'static str, &'static str>,
}

/// A flag, variable or file line that can't be taken; says which, what it held and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl Values {
    /// The value, if it is set or has a default.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.set.get(name).map(String::as_str)
    }
    /// A switch; unset = false.
    pub fn on(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
    /// A whole number; the kind was checked when it was read.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(|v| v.parse().ok())
    }
    /// A duration; the kind was checked when it was read.
    pub fn duration(&self, name: &str) -> Option<std::time::Duration> {
        self.get(name).and_then(|v| duration(v).ok())
    }
    /// All of them, for `/flags`.
    pub fn all(&self) -> &BTreeMap<String, String> {
        &self.set
    }
    /// Sets one, for roles that another role starts (`dev`).
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.set.insert(name.to_owned(), value.into());
    }
    /// Has errors about a flag name another one, by which people gave it (`dev`).
    pub fn say(&mut self, name: &'static str, flag: &'static str) {
        self.said.insert(name, flag);
    }
    /// How errors name a flag.
    pub fn flag(&self, name: &str) -> String {
        self.said.get(name).map_or_else(|| format!("--{name}"), |flag| (*flag).to_owned())
    }
}

/// Reads Mesos' durations: a number with `ns us ms secs mins hrs days weeks`.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    api::duration::parse(text)
        .map_err(|_| format!("'{text}' is not a duration; write for example 10secs, 500ms or 1.5mins"))
}

impl Table {
    /// The defaults alone.
    pub fn defaults(&self) -> Values {
        let pairs = self.flags.iter().filter_map(|f| Some((f.name.to_owned(), f.default?.to_owned())));
        Values { set: pairs.collect(), ..Values::default() }
    }

    /// The clap definition, from which help and completions come.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.role).about(self.about).styles(Styles::plain());
        command = command.version(env!("CARGO_PKG_VERSION")).display_name("mesolite").arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .env("MESOLITE_CONFIG")
                .help("TOML file with flags of this role, below command line and environment"),
        );
        for flag in self.flags {
            let mut arg = Arg::new(flag.name)
                .long(flag.name)
                .aliases(flag.aliases.iter().copied())
                .help(flag.help)
                .overrides_with(flag.name)
                .env(self.variable(flag.name));
            if let Some(default) = flag.default {
                arg = arg.default_value(default);
            }
            if flag.kind == Kind::Switch {
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
                let no: &'static str = Box::leak(format!("no-{}", flag.name).into_boxed_str());
                // Marathon says --disable_ha where Mesos says --no-quiet
                let disable: &'static str = Box::leak(format!("disable_{}", flag.name).into_boxed_str());
                let off = Arg::new(no).long(no).alias(disable).action(ArgAction::SetTrue);
                command = command.arg(off.hide(true).overrides_with(flag.name));
            } else {
                arg = arg.allow_hyphen_values(true).value_name("VALUE");
            }
            command = command.arg(arg);
        }
        command
    }

    fn variable(&self, name: &str) -> String {
        format!("{}{}", self.env_prefix, name.to_ascii_uppercase().replace('-', "_"))
    }

    /// Values from the parsed command line (which saw the environment), then the file, then defaults.
    pub fn values(&self, matches: &clap::ArgMatches) -> Result<Values, Refused> {
        let file = match matches.get_one::<String>("config") {
            Some(path) => self.read_file(&PathBuf::from(path))?,
            None => BTreeMap::new(),
        };
        let mut values = BTreeMap::new();
        for flag in self.flags {
            let from = matches.value_source(flag.name);
            // Options of the whole command line have defaults of their own, `--master` for one.
            let other = from == Some(ValueSource::DefaultValue) && flag.default.is_none();
            let given = matches.get_one::<String>(flag.name).filter(|_| !other).cloned();
            let chosen = match from {
                Some(ValueSource::CommandLine | ValueSource::EnvVariable) => given,
                _ => file.get(flag.name).cloned().or(given),
            };
            let negated = flag.kind == Kind::Switch && matches.get_flag(&format!("no-{}", flag.name));
            let chosen = if negated { Some("false".to_owned()) } else { chosen };
            if let Some(value) = chosen {
                let value = resolve_file(flag.name, &value)?;
                check(flag, &value)?;
                values.insert(flag.name.to_owned(), value);
            }
        }
        Ok(Values { set: values, ..Values::default() })
    }

    /// Refuses, by name and with advice, upstream flags that this role does not take.
    pub fn refuse_unknown(&self, arguments: &[String]) -> Result<(), Refused> {
        for argument in arguments {
            let Some(name) = argument.strip_prefix("--") else { continue };
            let name = name.split('=').next().unwrap_or(name);
            let name = name.strip_prefix("no-").unwrap_or(name);
            if let Some(instead) = self.instead(name) {
                return Err(Refused(format!("mesolite {} does not take --{name}: {instead}", self.role)));
            }
        }
        Ok(())
    }

    /// Refuses variables that set such flags: a daemon that ignored them would run as nobody meant it to.
    pub fn refuse_variables(&self, all: impl Iterator<Item = (String, String)>) -> Result<(), Refused> {
        let all: BTreeMap<_, _> = all.filter(|(_, value)| !value.is_empty()).collect();
        let within = all.contains_key("MESOS_FRAMEWORK_ID");
        for variable in all.keys().filter(|variable| !crate::upstream::is_given(variable, within)) {
            let Some(name) = variable.strip_prefix(self.env_prefix) else { continue };
            if let Some(instead) = self.instead_of_setting(&name.to_ascii_lowercase()) {
                let role = self.role;
                return Err(Refused(format!(
                    "mesolite {role} does not take the variable {variable}: {instead}; unset it"
                )));
            }
        }
        Ok(())
    }

    /// What to use instead of an upstream flag that this role does not take.
    fn instead(&self, name: &str) -> Option<&'static str> {
        if self.flags.iter().any(|f| f.name == name || f.aliases.contains(&name)) {
            return None;
        }
        let refused = |name| self.refused.iter().find(|(n, _)| *n == name).map(|(_, instead)| *instead);
        let of = |name| refused(name).or_else(|| crate::upstream::advice(self.role, name));
        // Marathon's camel case is lost in a variable.
        let camel = |name: &str| match name {
            "killbatchduration" => of("killBatchDuration"),
            "killsperbatch" => of("killsPerBatch"),
            _ => None,
        };
        of(name).or_else(|| camel(name)).or_else(|| of(name.strip_prefix("disable_")?))
    }

    /// The same for what is set by name: only the command line has a word that switches off.
    fn instead_of_setting(&self, name: &str) -> Option<&'static str> {
        let ours = |off: &&str| self.flags.iter().any(|f| f.kind == Kind::Switch && f.name == *off);
        let off = name.strip_prefix("disable_").filter(ours);
        off.map(|_| "set what is switched, without disable_, to false").or_else(|| self.instead(name))
    }

    fn read_file(&self, path: &PathBuf) -> Result<BTreeMap<String, String>, Refused> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Refused(format!("--config: can't read {}: {e}", path.display())))?;
        let table: toml::Table =
            text.parse().map_err(|e| Refused(format!("--config: {} is not TOML: {e}", path.display())))?;
        let mut values = BTreeMap::new();
        for (name, value) in table {
            let row = self.flags.iter().find(|f| f.name == name || f.aliases.contains(&name.as_str()));
            if let (None, Some(instead)) = (row, self.instead_of_setting(&name)) {
                let (path, role) = (path.display(), self.role);
                return Err(Refused(format!(
                    "--config: {path}: mesolite {role} does not take {name}: {instead}"
                )));
            }
            let Some(row) = row else {
                let known: Vec<_> = self.flags.iter().map(|f| f.name).collect();
                return Err(Refused(format!(
                    "--config: {}: unknown flag '{name}' of {}; known: {}",
                    path.display(),
                    self.role,
                    known.join(" ")
                )));
            };
            let value = match value {
                toml::Value::String(s) => s,
                other => other.to_string(),
            };
            values.insert(row.name.to_owned(), value);
        }
        Ok(values)
    }
}

/// Upstream reads `file:///path` values from that file.
fn resolve_file(name: &str, value: &str) -> Result<String, Refused> {
    match value.strip_prefix("file://") {
        Some(path) => std::fs::read_to_string(path)
            .map(|s| s.trim().to_owned())
            .map_err(|e| Refused(format!("--{name}: can't read {path}: {e}"))),
        None => Ok(value.to_owned()),
    }
}

fn check(flag: &Flag, value: &str) -> Result<(), Refused> {
    let wrong = match flag.kind {
        Kind::Text => None,
        Kind::Switch => (value != "true" && value != "false").then(|| "true or false".to_owned()),
        Kind::Number => value.parse::<u64>().is_err().then(|| "a whole number".to_owned()),
        Kind::Duration => duration(value).err(),
    };
    match wrong {
        Some(right) => Err(Refused(format!("--{}: '{value}' is wrong: {right}", flag.name))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table {
        role: "agent",
        about: "",
        env_prefix: "MESOLITE_TEST_FLAGS_",
        flags: &[
            Flag { name: "port", aliases: &[], kind: Kind::Number, default: Some("5051"), help: "" },
            Flag { name: "switch_user", aliases: &[], kind: Kind::Switch, default: Some("true"), help: "" },
            Flag { name: "gc_delay", aliases: &["old_gc"], kind: Kind::Duration, default: None, help: "" },
        ],
        refused: &[("modules", "modules are not loaded; everything is built in")],
    };

    fn values(arguments: &[&str]) -> Result<Values, Refused> {
        TABLE.values(&TABLE.command().try_get_matches_from(arguments).unwrap())
    }

    #[test]
    fn the_command_line_is_over_the_file_is_over_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent.toml");
        std::fs::write(&file, "port = 1\nswitch_user = false\n").unwrap();
        let config = format!("--config={}", file.display());
        let v = values(&["agent", &config]).unwrap();
        assert_eq!((v.number("port"), v.on("switch_user")), (Some(1), false));
        assert_eq!(values(&["agent", &config, "--port=2"]).unwrap().number("port"), Some(2));
        assert_eq!(values(&["agent"]).unwrap().number("port"), Some(5051));
        std::fs::write(&file, "old_gc = \"1weeks\"\n").unwrap();
        assert!(
            values(&["agent", &config]).unwrap().duration("gc_delay").is_some(),
            "an old name is one too"
        );
        std::fs::write(&file, "prot = 1\n").unwrap();
        let refused = values(&["agent", &config]).unwrap_err().0;
        assert!(refused.contains("unknown flag 'prot'") && refused.contains("port"), "{refused}");
    }

    #[test]
    fn every_variable_is_one_that_a_shell_can_set() {
        assert_eq!(TABLE.variable("ready-file"), "MESOLITE_TEST_FLAGS_READY_FILE");
    }

    #[test]
    fn switches_take_every_upstream_form() {
        assert!(values(&["agent", "--switch_user"]).unwrap().on("switch_user"));
        assert!(!values(&["agent", "--no-switch_user"]).unwrap().on("switch_user"));
        assert!(!values(&["agent", "--switch_user=false"]).unwrap().on("switch_user"));
    }

    #[test]
    fn variables_of_flags_that_are_not_taken_are_refused_and_a_tasks_own_are_not() {
        let refused = |table: &Table, names: &[&str]| {
            table.refuse_variables(names.iter().map(|n| ((*n).to_owned(), "x".to_owned()))).map_err(|r| r.0)
        };
        let (master, agent) = (&crate::tables::MASTER, &crate::tables::AGENT);
        for name in ["MESOS_ZK", "MESOS_AUTHENTICATE_FRAMEWORKS", "MESOS_CREDENTIALS", "MESOS_ACLS"] {
            let why = refused(master, &["MESOS_PORT", name]).unwrap_err();
            assert!(why.contains(&format!("does not take the variable {name}: ")), "{why}");
        }
        let marathon = &crate::tables::ORCHESTRATOR;
        for name in
            ["MARATHON_HTTP_CREDENTIALS", "MARATHON_ZK", "MARATHON_DISABLE_HA", "MARATHON_KILLSPERBATCH"]
        {
            assert!(refused(marathon, &[name]).unwrap_err().contains(name));
        }
        let of_a_task = [
            "MESOS_TASK_ID",
            "MESOS_SANDBOX",
            "MESOS_SLAVE_ID",
            "MESOS_FRAMEWORK_ID",
            "MESOS_HTTP_COMMAND_EXECUTOR",
            "MESOS_RECOVERY_TIMEOUT",
            "MESOS_CHECKPOINT",
            "MARATHON_APP_ID",
        ];
        for table in [master, agent, marathon] {
            refused(table, &of_a_task).unwrap();
        }
        assert!(refused(agent, &["MESOS_RECOVERY_TIMEOUT"]).is_err(), "this process is no task");
        let empty = [("MESOS_ZK".to_owned(), String::new())];
        assert!(master.refuse_variables(empty.into_iter()).is_ok(), "an empty one sets nothing");
    }

    #[test]
    fn a_wrong_value_is_named_with_what_would_be_right() {
        assert!(values(&["agent", "--port=x"]).unwrap_err().0.contains("'x' is wrong: a whole number"));
        assert!(values(&["agent", "--old_gc=1week"]).unwrap_err().0.contains("write for example"));
        assert_eq!(duration("1.5mins").unwrap(), std::time::Duration::from_secs(90));
        let arguments = ["--modules=x".to_owned()];
        let foreign = ["--docker_registry=x".to_owned()];
        let refused = TABLE.refuse_unknown(&foreign).unwrap_err().0;
        assert!(refused.contains("does not take --docker_registry: images"), "{refused}");
        assert!(TABLE.refuse_unknown(&["--no-such-flag-anywhere".to_owned()]).is_ok(), "clap names it");
        assert!(TABLE.refuse_unknown(&arguments).unwrap_err().0.contains("does not take --modules"));
    }
}
