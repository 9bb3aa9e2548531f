//! The way to the agent: words wait here, never in front of a lock. An agent that does not read is cut; it comes back and
//! hears everything anew.

use std::{
    io::{self, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

/// Words that may wait for the agent.
const WORDS_MAX: usize = 65_536;
/// Bytes that are written at once.
const GATHER_BYTES_MAX: usize = 64 * 1024;

pub struct Outbox {
    /// Which of the agents that have come.
    pub number: u64,
    stream: UnixStream,
    words: SyncSender<Vec<u8>>,
}

impl Outbox {
    pub fn new(number: u64, stream: UnixStream) -> io::Result<Self> {
        let writing = stream.try_clone()?;
        let (words, waiting) = sync_channel(WORDS_MAX);
        thread::Builder::new().spawn(move || write(writing, &waiting))?;
        Ok(Self { number, stream, words })
    }

    /// Queues a line; false = nobody reads them.
    pub fn say(&self, line: Vec<u8>) -> bool {
        self.words.try_send(line).is_ok()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // Whoever is there hears that it is not heard any more. Not being connected is as good.
        self.stream.shutdown(Shutdown::Both).unwrap_or_default();
    }
}

fn write(mut stream: UnixStream, waiting: &Receiver<Vec<u8>>) {
    while let Ok(mut bytes) = waiting.recv() {
        while bytes.len() < GATHER_BYTES_MAX
            && let Ok(more) = waiting.try_recv()
        {
            bytes.extend(more);
        }
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}
