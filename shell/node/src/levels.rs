//! How much is logged, for the whole process: the level that it started with, and a higher one for a while.

use crate::flags::Refused;
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
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
    let Some((handle, start)) = FILTER.get() else { return };
    let text = match level {
        0 => start.as_str(),
        1 => "debug",
        _ => "trace",
    };
    if let Err(error) = handle.reload(filter(text)) {
        tracing::warn!(%error, "the log level could not be changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
