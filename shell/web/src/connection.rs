//! One connection's socket, watched: a request head must be whole a while after its first byte, an idle connection may
//! stay (links between daemons are idle for long, and a new one says nothing at first). Never: HTTP.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::Instant,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet.
    Silent,
    /// Between requests.
    Idle,
    /// A head has begun to arrive.
    Head(Instant),
    /// A request is being answered.
    Busy,
}

/// What a connection is doing.
#[derive(Debug)]
pub struct Watch {
    phase: Mutex<Phase>,
    head_began: Notify,
    cut: Notify,
}

impl Watch {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { phase: Mutex::new(Phase::Silent), head_began: Notify::new(), cut: Notify::new() })
    }
    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn set(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
    /// A head is whole.
    pub fn busy(&self) {
        self.set(Phase::Busy);
    }
    /// A request is answered.
    pub fn idle(&self) {
        self.set(Phase::Idle);
    }
    fn bytes_came(&self) {
        if matches!(self.phase(), Phase::Silent | Phase::Idle) {
            self.set(Phase::Head(Instant::now()));
            self.head_began.notify_one();
        }
    }
    /// Whether nothing came yet.
    pub fn is_silent(&self) -> bool {
        self.phase() == Phase::Silent
    }
    /// Ends the connection.
    pub fn cut(&self) {
        self.cut.notify_one();
    }
    /// Completes when it was cut.
    pub async fn was_cut(&self) {
        self.cut.notified().await;
    }
    /// Completes when a head has been arriving for too long.
    pub async fn head_overdue(&self, timeout: Duration) {
        loop {
            match self.phase() {
                Phase::Head(since) if since.elapsed() >= timeout => return,
                Phase::Head(since) => tokio::time::sleep_until(since + timeout).await,
                _ => self.head_began.notified().await,
            }
        }
    }
}

/// A socket that tells its watch when bytes come.
pub struct Socket {
    stream: TcpStream,
    watch: Arc<Watch>,
}

impl Socket {
    pub fn new(stream: TcpStream, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buf);
        if outcome.is_ready() && buf.filled().len() != before {
            self.watch.bytes_came();
        }
        outcome
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }
}
