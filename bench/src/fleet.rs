//! Many agents in this process: each the real agent's decisions on a socket of its own and real protocol bytes, over
//! containers that are only said to run. Never what the cluster does with them.

use agent::{Agent, Effect, Input};
use api::libprocess::{Parsed, parse};
use base::{Effects, Machine, Now, Rng, Time};
use bytes::Bytes;
use http::Response;
use model::{container::Termination, link::Upid, resources::Resources, save::Records};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use web::{
    Limits, Reply,
    link::{Exited, Link, Local},
};

/// What each of them has: enough for everything that is asked for.
const CPUS: f64 = 1_000.0;
const MEM: f64 = 1_000_000.0;
/// Inputs that may wait for one agent; its senders wait then.
const INBOX_MAX: usize = 65_536;

/// Agents that run as long as this is kept.
#[derive(Debug)]
pub struct Fleet {
    stop: watch::Sender<bool>,
}

impl Fleet {
    /// Starts agents that register with a master. Must be called inside a tokio runtime.
    pub async fn start(agents: usize, master: &str) -> Result<Self, String> {
        let master: SocketAddr = master.parse().map_err(|e| format!("the master's address {master}: {e}"))?;
        let (stop, stopped) = watch::channel(false);
        for number in 0..agents {
            let listener =
                TcpListener::bind("127.0.0.1:0").await.map_err(|e| format!("no port for an agent: {e}"))?;
            let address = listener.local_addr().map_err(|e| e.to_string())?;
            tokio::spawn(run(number as u64, address, master, listener, stopped.clone()));
        }
        Ok(Self { stop })
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(since.as_millis() as u64)
}

async fn run(
    number: u64,
    address: SocketAddr,
    master: SocketAddr,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    let (inbox, mut inputs) = mpsc::channel(INBOX_MAX);
    let (link, mut exits) = Link::new(address, Local::default());
    let arriving = inbox.clone();
    let handler = move |incoming: web::Incoming| {
        let inbox = arriving.clone();
        async move {
            let request = &incoming.request;
            let parsed = parse(request.uri().path(), request.headers(), request.body(), incoming.local);
            let status = match parsed {
                Parsed::Message(envelope) => inbox.send(Input::Message(envelope)).await.map_or(503, |()| 202),
                Parsed::Unknown { .. } => 202,
                Parsed::NotAMessage => 404,
            };
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
            Reply::Full(response)
        }
    };
    tokio::spawn(web::serve(listener, Limits::default(), stop.clone(), handler));
    let config = agent::Config {
        address,
        hostname: format!("sim{number}"),
        work_dir: "/nowhere".to_owned(),
        resources: Resources::scalars([("cpus", CPUS), ("mem", MEM)]).to_messages(),
        attributes: Vec::new(),
        domain: None,
        flags: Default::default(),
        registration_backoff: Duration::from_millis(100),
        environment: Vec::new(),
        users: agent::Users::Own,
        cpu_quota: false,
        boot_id: "boot".to_owned(),
        completed_tasks_max: 10,
        keep: agent::Keep::default(),
        executors: Default::default(),
        master_hostname: "localhost".to_owned(),
    };
    let mut rng = Rng::from_number(number);
    let mut machine = Agent::new(config, &Records::new(), Now::new(now(), &mut rng));
    let mut queue = VecDeque::from([
        Input::Recovered { running: Vec::new(), starting: Vec::new(), ended: Vec::new() },
        Input::MasterDetected(Some(Upid::new("master", master))),
    ]);
    let mut out = Effects::default();
    loop {
        while let Some(input) = queue.pop_front() {
            machine.step(Now::new(now(), &mut rng), input, &mut out);
            for effect in out.drain() {
                perform(effect, &link, &mut queue);
            }
        }
        let wait = machine.deadline().map_or(Duration::from_secs(60), |(at, _)| at.since(now()));
        tokio::select! {
            Some(input) = inputs.recv() => {
                queue.push_back(input);
                while let Ok(more) = inputs.try_recv() {
                    queue.push_back(more);
                }
            }
            Some(Exited { peer }) = exits.recv() => queue.push_back(Input::Exited { peer }),
            () = tokio::time::sleep(wait) => queue.push_back(Input::Tick),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Everything succeeds at once, and nothing is kept.
fn perform(effect: Effect, link: &Link, queue: &mut VecDeque<Input>) {
    match effect {
        Effect::Send(envelope) => link.send(*envelope),
        Effect::Link(Upid { address, .. }) => link.link(address),
        Effect::Save { save, .. } => queue.push_back(Input::Saved { save }),
        Effect::Launch(spec) => queue.push_back(Input::Launched { container: spec.id, pid: 1 }),
        Effect::Signal { container, signal } => {
            queue.push_back(Input::Terminated { container, how: Termination::Signaled(signal) });
        }
        Effect::Destroy { container } => {
            queue.push_back(Input::Terminated { container, how: Termination::Signaled(9) });
        }
        Effect::Volumes { operation, .. } => {
            queue.push_back(Input::VolumesChanged { operation, outcome: Ok(()) });
        }
        Effect::Discard { directory } => queue.push_back(Input::Discarded { directory, gone: true }),
        Effect::Limit { .. }
        | Effect::Http(_)
        | Effect::Respond { .. }
        | Effect::Forget { .. }
        | Effect::Probe { .. } => {}
    }
}
