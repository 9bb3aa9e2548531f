//! Threads for large documents: few, and behind all others, so that a machine's own work and its small answers go first
//! however many read. Started when the first large document is asked for.
//!
//! Never: what is read, nor how it is cut into pieces (`parts`).

use std::{
    sync::OnceLock,
    thread::{self, available_parallelism},
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::{JoinError, JoinHandle},
};

/// A body of so many bytes is a large document.
pub const LARGE_BYTES_MIN: usize = 256 * 1024;
/// At most so many threads send, and so many draw and compress; at most half of the processors each.
const THREADS_MAX: usize = 4;
/// How far they stand behind: with this a thread that wants a processor they have gets it at once, and nine tenths of it.
const NICE: i32 = 10;

/// Half of the processors, so that as many are left for what may not wait.
fn threads() -> usize {
    (available_parallelism().map_or(1, usize::from) / 2).clamp(1, THREADS_MAX)
}

fn handle() -> Option<Handle> {
    static ROOM: OnceLock<Option<Runtime>> = OnceLock::new();
    let room = ROOM.get_or_init(|| {
        let stand_back = || {
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::debug!(%error, thread = thread::current().name(), "readers do not stand back");
            }
        };
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads()).max_blocking_threads(threads()).thread_name("reading");
        let built = builder.on_thread_start(stand_back).enable_all().build();
        built
            .inspect_err(|error| tracing::warn!(%error, "large documents are sent by the threads of all"))
            .ok()
    });
    room.as_ref().map(|room| room.handle().clone())
}

/// Does something that takes long on one of these threads.
pub async fn work<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    match handle() {
        Some(room) => room.spawn_blocking(job).await,
        None => tokio::task::spawn_blocking(job).await,
    }
}

/// Goes on with something on these threads until it is done or who waits for it is gone.
pub(crate) async fn go_on<T: Send + 'static>(
    what: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    let Some(room) = handle() else { return Ok(what.await) };
    let mut there = Elsewhere(room.spawn(what));
    (&mut there.0).await
}

/// A task that ends with who waits for it.
struct Elsewhere<T>(JoinHandle<T>);

impl<T> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
