//! The carrier of the master-agent link: one outgoing connection per peer, messages in order, its end reported.
//!
//! Daemons in one process meet through `Local` instead of a socket, by the same interface. Incoming messages of other
//! processes arrive at `serve` as POSTs. Never: reconnecting by itself, nor what a lost peer means.

use model::link::{Envelope, Upid};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Notify, mpsc},
};

/// Messages that may wait for one peer. A peer that takes them more slowly is cut, as if it had gone.
pub const PEER_QUEUE_MAX: usize = 65_536;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_MESSAGES_MAX: usize = 256;

/// The link to a peer is gone: everything sent since it was last heard from may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exited {
    /// The daemon that it led to.
    pub peer: SocketAddr,
}

type Peers = Mutex<BTreeMap<SocketAddr, Peer>>;

#[derive(Debug)]
struct Peer {
    number: u64,
    queue: mpsc::Sender<Envelope>,
    cut: Arc<Notify>,
}

/// One daemon's way to its peers. Clones share it.
#[derive(Clone, Debug)]
pub struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    local: SocketAddr,
    here: Local,
    linked_here: Mutex<BTreeSet<SocketAddr>>,
    peers: Peers,
    next: Mutex<u64>,
    exited: mpsc::UnboundedSender<Exited>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// The link of the daemon that listens on `local`. Peers registered in `here` are reached without a socket.
    /// Must be used inside a tokio runtime.
    pub fn new(local: SocketAddr, here: Local) -> (Self, mpsc::UnboundedReceiver<Exited>) {
        let (exited, exits) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            local,
            here,
            linked_here: Mutex::default(),
            peers: Peers::default(),
            next: Mutex::new(0),
            exited,
        });
        locked(&inner.here.0).links.push(Arc::downgrade(&inner));
        (Self(inner), exits)
    }
    /// Where this daemon listens.
    pub fn local(&self) -> SocketAddr {
        self.0.local
    }
    /// The address of a process of this daemon.
    pub fn upid(&self, id: &str) -> Upid {
        Upid::new(id, self.0.local)
    }

    /// Sends a message, after all before it to the same peer. Never blocks. A peer that cannot be reached, or that is
    /// too slow, is reported as exited.
    pub fn send(&self, envelope: Envelope) {
        let peer = envelope.to.address;
        let Some(envelope) = self.0.here.deliver(envelope) else {
            locked(&self.0.linked_here).insert(peer);
            return;
        };
        let sender = self.connection(peer);
        match sender.try_send(envelope) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::warn!(%peer, "PEER_QUEUE_MAX messages wait for a peer; its link is cut");
                self.unlink(peer);
            }
            // its end is being reported
            Err(mpsc::error::TrySendError::Closed(_)) => {
                tracing::debug!(%peer, "a message met the end of its link")
            }
        }
    }

    /// Holds a connection to a peer though nothing is sent, so that its end is noticed.
    pub fn link(&self, peer: SocketAddr) {
        if self.0.here.knows(peer) {
            locked(&self.0.linked_here).insert(peer);
        } else {
            drop(self.connection(peer));
        }
    }

    /// Drops the connection to a peer, which is reported as exited.
    pub fn unlink(&self, peer: SocketAddr) {
        if let Some(peer) = locked(&self.0.peers).remove(&peer) {
            peer.cut.notify_one();
        }
    }

    fn connection(&self, peer: SocketAddr) -> mpsc::Sender<Envelope> {
        let mut peers = locked(&self.0.peers);
        if let Some(known) = peers.get(&peer)
            && !known.queue.is_closed()
        {
            return known.queue.clone();
        }
        let (sender, queue) = mpsc::channel(PEER_QUEUE_MAX);
        let number = {
            let mut next = locked(&self.0.next);
            *next += 1;
            *next
        };
        let cut = Arc::new(Notify::new());
        peers.insert(peer, Peer { number, queue: sender.clone(), cut: cut.clone() });
        let weak = Arc::downgrade(&self.0);
        let exited = self.0.exited.clone();
        tokio::spawn(async move {
            if let Err(error) = carry(peer, queue, &cut).await {
                tracing::debug!(%peer, %error, "a link ended");
            }
            if let Some(inner) = weak.upgrade() {
                let mut peers = locked(&inner.peers);
                if peers.get(&peer).is_some_and(|current| current.number == number) {
                    peers.remove(&peer);
                }
            }
            if exited.send(Exited { peer }).is_err() {
                tracing::trace!(%peer, "nobody listens for ends of links");
            }
        });
        sender
    }
}

/// Moves messages until the peer closes, the link is cut, or the socket fails. Answers are read and ignored.
async fn carry(peer: SocketAddr, mut queue: mpsc::Receiver<Envelope>, cut: &Notify) -> std::io::Result<()> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(peer)).await??;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        let mut batch = Vec::with_capacity(WRITE_MESSAGES_MAX);
        let mut bytes = Vec::new();
        while queue.recv_many(&mut batch, WRITE_MESSAGES_MAX).await > 0 {
            bytes.clear();
            batch
                .drain(..)
                .for_each(|envelope| bytes.extend_from_slice(&api::libprocess::request(&envelope)));
            writer.write_all(&bytes).await?;
        }
        Ok(())
    };
    let read = async {
        let mut ignored = vec![0; 4096];
        while reader.read(&mut ignored).await? > 0 {}
        Ok(())
    };
    tokio::select! {
        ended = write => ended,
        ended = read => ended,
        () = cut.notified() => Ok(()),
    }
}

/// The daemons of this process by their addresses. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Local(Arc<Mutex<Here>>);

#[derive(Debug, Default)]
struct Here {
    inboxes: BTreeMap<SocketAddr, mpsc::UnboundedSender<Envelope>>,
    links: Vec<Weak<Inner>>,
}

impl Local {
    /// Registers a daemon: messages to its address come out here instead of its socket. The queue is bounded by its
    /// senders, which are machines with bounds of their own.
    pub fn register(&self, address: SocketAddr) -> mpsc::UnboundedReceiver<Envelope> {
        let (inbox, messages) = mpsc::unbounded_channel();
        locked(&self.0).inboxes.insert(address, inbox);
        messages
    }
    /// Forgets a daemon, and reports it as exited to all that have sent to it.
    pub fn unregister(&self, address: SocketAddr) {
        let mut here = locked(&self.0);
        if here.inboxes.remove(&address).is_some() {
            here.links.retain(|link| link.strong_count() > 0);
            let linked: Vec<_> = here.links.iter().filter_map(Weak::upgrade).collect();
            drop(here);
            for link in linked {
                if locked(&link.linked_here).remove(&address)
                    && link.exited.send(Exited { peer: address }).is_err()
                {
                    tracing::trace!(%address, "nobody listens for ends of links");
                }
            }
        }
    }
    fn knows(&self, address: SocketAddr) -> bool {
        locked(&self.0).inboxes.contains_key(&address)
    }
    /// Gives the envelope back if its receiver is not here.
    fn deliver(&self, envelope: Envelope) -> Option<Envelope> {
        let address = envelope.to.address;
        let inbox = locked(&self.0).inboxes.get(&address).cloned();
        let Some(inbox) = inbox else { return Some(envelope) };
        let mpsc::error::SendError(envelope) = inbox.send(envelope).err()?;
        self.unregister(address);
        Some(envelope)
    }
}
