//! How much is logged, for the whole process: the level that it started with, a higher one for a while, and levels of
//! single loggers.

use crate::flags::Refused;
use api::marathon::LoggerChange;
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::AbortHandle;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

type Handle = reload::Handle<EnvFilter, tracing_subscriber::Registry>;

static FILTER: OnceLock<(Handle, String)> = OnceLock::new();
/// 0 = as it started; more is more.
static LEVEL: AtomicU32 = AtomicU32::new(0);
/// Which setting is the latest: an older one does not end it.
static SETTING: AtomicU64 = AtomicU64::new(0);

/// Reads the level that a flag names, in upstream's names or ours.
pub fn read(flag: &str, level: &str) -> Result<&'static str, Refused> {
    match level.to_ascii_lowercase().as_str() {
        "off" => Ok("off"),
        "fatal" | "error" => Ok("error"),
        "warning" | "warn" => Ok("warn"),
        "info" => Ok("info"),
        "debug" => Ok("debug"),
        "trace" => Ok("trace"),
        _ => Err(Refused(format!(
            "{flag}: '{level}' is no level: error, warning, info, debug, trace or off is right"
        ))),
    }
}

/// Starts logging to stderr at a level, and to a file too.
pub fn begin(level: &str, quiet: bool, file: Option<File>) {
    let text = if quiet { "off".to_owned() } else { level.to_owned() };
    let (filter, handle) = reload::Layer::new(filter(&text));
    // No escape sequences in files.
    let colour = cli::Output::detect(false).progress && std::env::var_os("NO_COLOR").is_none();
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colour);
    // A second role in this process uses the first one's.
    let also = file.map(|file| {
        tracing_subscriber::fmt::layer().with_writer(Mutex::new(file)).with_target(false).with_ansi(false)
    });
    if tracing_subscriber::registry().with(filter).with(lines).with(also).try_init().is_ok() {
        FILTER.set((handle, text)).unwrap_or_default();
    }
}

/// The file of a role in the directory of logs, as upstream names it.
pub fn path(dir: &str, role: &str) -> PathBuf {
    Path::new(dir).join(format!("mesos-{role}.INFO"))
}

/// Opens it, with its directory.
pub fn open(path: &Path) -> std::io::Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    File::options().create(true).append(true).open(path)
}

/// The names under which the log of a role can be read.
pub fn attached(dir: Option<&str>, role: &str) -> Vec<endpoints::files::Attached> {
    let name = if role == "master" { "/master/log" } else { "/slave/log" };
    dir.map(|dir| (name.to_owned(), path(dir, role).display().to_string())).into_iter().collect()
}

fn filter(text: &str) -> EnvFilter {
    EnvFilter::try_new(text).unwrap_or_else(|_| "info".into())
}

/// The level now.
pub fn level() -> u32 {
    LEVEL.load(Ordering::Relaxed)
}

/// Sets a level, and back to 0 after a time.
pub fn set(level: u32, hold: Duration) {
    let setting = SETTING.fetch_add(1, Ordering::Relaxed) + 1;
    apply(level);
    if level != 0 {
        tokio::spawn(async move {
            tokio::time::sleep(hold).await;
            if SETTING.load(Ordering::Relaxed) == setting {
                apply(0);
            }
        });
    }
}

fn apply(level: u32) {
    LEVEL.store(level, Ordering::Relaxed);
    reload();
}

fn reload() {
    let Some((handle, start)) = FILTER.get() else { return };
    let text = named().text(level(), start);
    if let Err(error) = handle.reload(filter(&text)) {
        tracing::warn!(%error, "the log level could not be changed");
    }
}

/// Loggers with a level of their own, at most.
const LOGGERS_MAX: usize = 100;
/// Levels for a time of one logger at once; beyond it the oldest ends.
const TIMED_MAX: usize = 100;
/// What all others inherit.
const ROOT: &str = "ROOT";
/// Loggers that are there: the parts of this program that say something.
const PARTS: [&str; 4] = ["containers", "node", "store", "web"];

static NAMED: Mutex<Named> = Mutex::new(Named { levels: BTreeMap::new(), changes: 0 });

fn named() -> std::sync::MutexGuard<'static, Named> {
    NAMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What ends levels for a time, by the number of their change.
static TIMERS: Mutex<BTreeMap<u64, AbortHandle>> = Mutex::new(BTreeMap::new());

fn timers() -> std::sync::MutexGuard<'static, BTreeMap<u64, AbortHandle>> {
    TIMERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A logger's levels: the one for good, and those for a time by the number of their change.
#[derive(Debug, Default)]
struct Levels {
    lasting: Option<&'static str>,
    timed: BTreeMap<u64, &'static str>,
}

impl Levels {
    /// The one of the latest change that is not over.
    fn now(&self) -> Option<&'static str> {
        self.timed.values().next_back().copied().or(self.lasting)
    }
}

/// Levels of single loggers.
#[derive(Debug, Default)]
struct Named {
    levels: BTreeMap<String, Levels>,
    changes: u64,
}

impl Named {
    /// The number of the change, and those that it ends; none = there are too many. One for good ends those for a time.
    fn set(&mut self, logger: &str, level: &'static str, timed: bool) -> Option<(u64, Vec<u64>)> {
        if self.levels.len() >= LOGGERS_MAX && !self.levels.contains_key(logger) {
            return None;
        }
        self.changes += 1;
        let own = self.levels.entry(logger.to_owned()).or_default();
        let ended = if timed {
            let full = own.timed.len() >= TIMED_MAX;
            let oldest = own.timed.first_key_value().map(|(number, _)| *number).filter(|_| full);
            own.timed.retain(|number, _| Some(*number) != oldest);
            own.timed.insert(self.changes, level);
            oldest.into_iter().collect()
        } else {
            own.lasting = Some(level);
            std::mem::take(&mut own.timed).into_keys().collect()
        };
        Some((self.changes, ended))
    }
    /// The time of a change is over.
    fn end(&mut self, logger: &str, change: u64) {
        let Some(own) = self.levels.get_mut(logger) else { return };
        own.timed.remove(&change);
        if own.now().is_none() {
            self.levels.remove(logger);
        }
    }
    /// The level of a logger, if it has one of its own.
    fn own(&self, logger: &str) -> Option<&'static str> {
        self.levels.get(logger).and_then(Levels::now)
    }
    fn root<'a>(&self, level: u32, start: &'a str) -> &'a str {
        match level {
            0 => self.own(ROOT).unwrap_or(start),
            1 => "debug",
            _ => "trace",
        }
    }
    /// As directives of the filter.
    fn text(&self, level: u32, start: &str) -> String {
        let others = self.levels.iter().filter(|(name, _)| *name != ROOT);
        let others = others.filter_map(|(name, own)| Some((name, own.now()?)));
        let others = others.map(|(name, level)| format!(",{}={level}", name.replace('.', "::")));
        self.root(level, start).to_owned() + &others.collect::<String>()
    }
    fn all(&self, level: u32, start: &str) -> BTreeMap<String, String> {
        let root = self.root(level, start).to_uppercase();
        let mut all: BTreeMap<String, String> =
            PARTS.iter().map(|part| ((*part).to_owned(), format!("{root} (inherited)"))).collect();
        let own =
            self.levels.iter().filter_map(|(name, own)| Some((name.clone(), own.now()?.to_uppercase())));
        all.extend(own);
        all.insert(ROOT.to_owned(), root);
        all
    }
}

/// Gives a logger a level, for a time or for good; false = too many have one.
pub fn change(change: &LoggerChange) -> bool {
    let Some((number, ended)) = named().set(&change.logger, change.level, change.seconds.is_some()) else {
        return false;
    };
    for number in ended {
        if let Some(timer) = timers().remove(&number) {
            timer.abort();
        }
    }
    reload();
    if let Some(seconds) = change.seconds {
        let logger = change.logger.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
            timers().remove(&number);
            named().end(&logger, number);
            reload();
        });
        timers().insert(number, timer.abort_handle());
    }
    true
}

/// The levels of all loggers, as Marathon writes them.
pub fn all() -> BTreeMap<String, String> {
    let start = FILTER.get().map_or("off", |(_, start)| start.as_str());
    named().all(level(), start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loggers_have_levels_of_their_own_and_go_back() {
        let mut named = Named::default();
        assert_eq!(named.text(0, "info"), "info");
        assert_eq!(named.all(0, "info")["web"], "INFO (inherited)");
        let (first, _) = named.set("web", "debug", true).unwrap();
        assert_eq!(
            (named.text(0, "info"), named.text(2, "info")),
            ("info,web=debug".into(), "trace,web=debug".into())
        );
        // the later one holds until it is over, and the earlier until then if it still may
        let (second, _) = named.set("web", "trace", true).unwrap();
        named.end("web", second);
        assert_eq!(named.own("web"), Some("debug"));
        named.end("web", first);
        assert_eq!(named.text(0, "info"), "info");
        let (first, _) = named.set("web", "debug", true).unwrap();
        let (second, _) = named.set("web", "trace", true).unwrap();
        named.end("web", first);
        assert_eq!(named.own("web"), Some("trace"));
        named.end("web", second);
        assert_eq!(named.own("web"), None);
        // one for good ends those for a time, and what ends after it changes nothing
        let (timed, _) = named.set("web", "trace", true).unwrap();
        assert_eq!(named.set("web", "debug", false).unwrap().1, [timed]);
        named.end("web", timed);
        assert_eq!(named.all(0, "info")["web"], "DEBUG");
        named.set(ROOT, "error", false).unwrap();
        named.set("a.b", "warn", false).unwrap();
        assert_eq!(named.text(0, "info"), "error,a::b=warn,web=debug");
        assert_eq!(
            (&*named.all(0, "info")[ROOT], &*named.all(0, "info")["node"]),
            ("ERROR", "ERROR (inherited)")
        );
        assert!(EnvFilter::try_new(named.text(0, "info")).is_ok());
        for i in 0..LOGGERS_MAX {
            named.set(&format!("l{i}"), "info", false);
        }
        assert_eq!(named.levels.len(), LOGGERS_MAX);
        assert!(named.set("one-more", "info", false).is_none() && named.set("web", "info", false).is_some());
    }

    #[test]
    fn a_level_that_is_none_is_refused_with_those_that_are() {
        assert_eq!((read("--l", "WARNING").unwrap(), read("--l", "info").unwrap()), ("warn", "info"));
        let why = read("--logging-level", "foo").unwrap_err().0;
        assert!(
            why.starts_with("--logging-level: 'foo'") && why.contains("error, warning, info, debug"),
            "{why}"
        );
    }
}
