//! A v1 scheduler of our own: HTTP and protobuf on plain sockets, calls pipelined, so that it costs little beside what it
//! measures. Acknowledges by itself. Never decides what is launched.

use api::recordio::Decoder;
use model::mesos::{
    AgentId, Filters, FrameworkId, FrameworkInfo, OfferId, TaskId, TaskInfo, TaskState,
    offer::{Operation, operation},
    scheduler::{Call, Event, call, event},
};
use prost::Message as _;
use std::{
    io::{Read, Write as _},
    net::TcpStream,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

const HEAD_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 256 * 1024;
/// An answer may take this long; then the run does not count.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a scheduler hears.
#[derive(Debug)]
pub enum Seen {
    /// Resources.
    Offer {
        /// Its id.
        id: OfferId,
        /// Of which agent.
        agent: AgentId,
        /// Thousandths of a processor in it.
        millicpus: u64,
    },
    /// A task changed.
    Update {
        /// Which.
        task: String,
        /// To what.
        state: TaskState,
        /// Why, for people.
        message: String,
        /// When its bytes were here.
        at: Instant,
    },
    /// Anything that must not happen, or the end.
    Wrong(String),
}

/// A subscribed framework.
#[derive(Debug)]
pub struct Scheduler {
    calls: Arc<Calls>,
    /// Events in order.
    pub seen: Receiver<Seen>,
}

#[derive(Debug)]
struct Calls {
    socket: Mutex<TcpStream>,
    head: String,
    framework: FrameworkId,
    made: AtomicUsize,
    answered: AtomicUsize,
}

impl Calls {
    fn append(&self, bytes: &mut Vec<u8>, mut call: Call) {
        call.framework_id = Some(self.framework.clone());
        append(bytes, &self.head, &call);
        self.made.fetch_add(1, Ordering::Relaxed);
    }
    fn send(&self, bytes: &[u8]) -> Result<(), String> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.write_all(bytes).map_err(|e| format!("calls can't be made: {e}"))
    }
}

fn append(bytes: &mut Vec<u8>, head: &str, call: &Call) {
    bytes.extend_from_slice(format!("{head}Content-Length: {}\r\n\r\n", call.encoded_len()).as_bytes());
    bytes.extend_from_slice(&call.encode_to_vec());
}

fn connect(master: &str) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(master).map_err(|e| format!("{master} can't be reached: {e}"))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    Ok(stream)
}

/// A plain GET; the body.
pub fn get(host: &str, path: &str) -> Result<Vec<u8>, String> {
    let mut stream = connect(host)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut http = Http { stream, buffer: Vec::new(), start: 0 };
    let head = http.head()?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("{path} was answered {}", head.lines().next().unwrap_or_default()));
    }
    http.whole(&head)
}

/// The reading side of a connection.
#[derive(Debug)]
struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

impl Http {
    fn more(&mut self) -> Result<(), String> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let length = self.buffer.len();
        self.buffer.resize(length + READ_BYTES, 0);
        let read = self.stream.read(&mut self.buffer[length..]);
        self.buffer.truncate(length + read.as_ref().copied().unwrap_or_default());
        match read {
            Ok(0) => Err("the connection was closed".to_owned()),
            Ok(_) => Ok(()),
            Err(e) => Err(format!("the connection broke: {e}")),
        }
    }
    fn until(&mut self, end: &[u8]) -> Result<String, String> {
        loop {
            let rest = &self.buffer[self.start..];
            if let Some(at) = rest.windows(end.len()).position(|w| w == end) {
                let text = String::from_utf8_lossy(&rest[..at]).into_owned();
                self.start += at + end.len();
                return Ok(text);
            }
            if rest.len() > HEAD_BYTES_MAX {
                return Err("a head does not end".to_owned());
            }
            self.more()?;
        }
    }
    fn head(&mut self) -> Result<String, String> {
        self.until(b"\r\n\r\n")
    }
    fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.buffer.len() - self.start < length {
            self.more()?;
        }
        let bytes = self.buffer[self.start..self.start + length].to_vec();
        self.start += length;
        Ok(bytes)
    }
    /// The next chunk; none at the end.
    fn chunk(&mut self) -> Result<Option<Vec<u8>>, String> {
        let size = self.until(b"\r\n")?;
        let size =
            usize::from_str_radix(size.trim(), 16).map_err(|_| format!("'{size}' is not a chunk size"))?;
        let bytes = self.take(size)?;
        self.until(b"\r\n")?;
        Ok((size > 0).then_some(bytes))
    }
    fn whole(&mut self, head: &str) -> Result<Vec<u8>, String> {
        match header(head, "content-length") {
            Some(length) => self.take(length.parse().map_err(|_| format!("'{length}' is not a length"))?),
            None if header(head, "transfer-encoding") == Some("chunked") => {
                let mut body = Vec::new();
                while let Some(chunk) = self.chunk()? {
                    body.extend(chunk);
                }
                Ok(body)
            }
            None => Ok(Vec::new()),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

impl Scheduler {
    /// Subscribes at a master (`host:port`).
    pub fn subscribe(master: &str, name: &str) -> Result<Self, String> {
        let media = "Content-Type: application/x-protobuf\r\nAccept: application/x-protobuf\r\n";
        let head = format!("POST /api/v1/scheduler HTTP/1.1\r\nHost: {master}\r\n{media}");
        let user = if rustix::process::geteuid().is_root() {
            "root".to_owned()
        } else {
            std::env::var("USER").unwrap_or_default()
        };
        let info = FrameworkInfo { user, name: name.to_owned(), ..Default::default() };
        let mut call = Call {
            subscribe: Some(call::Subscribe { framework_info: info, ..Default::default() }),
            ..Default::default()
        };
        call.r#type = Some(call::Type::Subscribe.into());
        let mut stream = connect(master)?;
        let mut bytes = Vec::new();
        append(&mut bytes, &head, &call);
        stream.write_all(&bytes).map_err(|e| format!("can't subscribe: {e}"))?;
        let mut events = Http { stream, buffer: Vec::new(), start: 0 };
        let answer = events.head()?;
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(format!("SUBSCRIBE was answered {}", answer.lines().next().unwrap_or_default()));
        }
        let id = header(&answer, "mesos-stream-id").ok_or("there is no Mesos-Stream-Id")?;
        let mut decoder = Decoder::default();
        let first = loop {
            decoder.push(&events.chunk()?.ok_or("the stream ended at once")?);
            if let Some(event) = next(&mut decoder)? {
                break event;
            }
        };
        let framework = first.subscribed.ok_or("the first event is not SUBSCRIBED")?.framework_id;
        let socket = connect(master)?;
        let answers = socket.try_clone().map_err(|e| e.to_string())?;
        let head = format!("{head}Mesos-Stream-Id: {id}\r\n");
        let calls = Arc::new(Calls {
            socket: Mutex::new(socket),
            head,
            framework,
            made: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        });
        let (tell, seen) = channel();
        let (counting, complaints) = (calls.clone(), tell.clone());
        thread::spawn(move || {
            let mut http = Http { stream: answers, buffer: Vec::new(), start: 0 };
            if let Err(why) = count(&mut http, &counting) {
                complaints.send(Seen::Wrong(why)).unwrap_or_default();
            }
        });
        let listening = calls.clone();
        thread::spawn(move || {
            if let Err(why) = listen(events, decoder, &listening, &tell) {
                tell.send(Seen::Wrong(why)).unwrap_or_default();
            }
        });
        Ok(Self { calls, seen })
    }

    /// Launches tasks on offers of one agent.
    pub fn accept(&self, offers: Vec<OfferId>, tasks: Vec<TaskInfo>) -> Result<(), String> {
        let mut operation =
            Operation { launch: Some(operation::Launch { task_infos: tasks }), ..Default::default() };
        operation.r#type = Some(operation::Type::Launch.into());
        let accept = call::Accept { offer_ids: offers, operations: vec![operation], ..Default::default() };
        let mut call = Call { accept: Some(accept), ..Default::default() };
        call.r#type = Some(call::Type::Accept.into());
        let mut bytes = Vec::new();
        self.calls.append(&mut bytes, call);
        self.calls.send(&bytes)
    }

    /// Declines an offer for as long as can be said, and asks for everything again.
    pub fn decline_and_revive(&self, offer: OfferId) -> Result<(), String> {
        let filters = Some(Filters { refuse_seconds: Some(1e6) });
        let mut decline =
            Call { decline: Some(call::Decline { offer_ids: vec![offer], filters }), ..Default::default() };
        decline.r#type = Some(call::Type::Decline.into());
        let mut revive = Call { revive: Some(call::Revive::default()), ..Default::default() };
        revive.r#type = Some(call::Type::Revive.into());
        let mut bytes = Vec::new();
        self.calls.append(&mut bytes, decline);
        self.calls.append(&mut bytes, revive);
        self.calls.send(&bytes)
    }

    /// Whether every call so far was taken.
    pub fn all_answered(&self) -> bool {
        self.calls.made.load(Ordering::Relaxed) == self.calls.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let socket = self.calls.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.shutdown(std::net::Shutdown::Both).unwrap_or_default();
    }
}

fn next(decoder: &mut Decoder) -> Result<Option<Event>, String> {
    let record = decoder.next_record().map_err(|e| e.to_string())?;
    record
        .map(|r| Event::decode(r.as_slice()).map_err(|e| format!("an event does not parse: {e}")))
        .transpose()
}

fn count(http: &mut Http, calls: &Calls) -> Result<(), String> {
    loop {
        while http.buffer.len() == http.start {
            // Quiet times are no fault: a broken run is seen by who waits for events.
            http.stream.set_read_timeout(None).map_err(|e| e.to_string())?;
            http.more()?;
        }
        let head = http.head()?;
        let body = http.whole(&head)?;
        if !head.starts_with("HTTP/1.1 202") {
            let status = head.lines().next().unwrap_or_default();
            return Err(format!("a call was answered {status}: {}", String::from_utf8_lossy(&body)));
        }
        calls.answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn listen(mut events: Http, mut decoder: Decoder, calls: &Calls, tell: &Sender<Seen>) -> Result<(), String> {
    let mut acknowledgements = Vec::new();
    loop {
        let at = Instant::now();
        while let Some(event) = next(&mut decoder)? {
            hear(event, at, calls, &mut acknowledgements, tell);
        }
        // Only when nothing more is here yet, so that what came together is acknowledged together.
        if events.buffer.len() == events.start && !acknowledgements.is_empty() {
            calls.send(&acknowledgements)?;
            acknowledgements.clear();
        }
        decoder.push(&events.chunk()?.ok_or("the master closed the stream")?);
    }
}

fn hear(event: Event, at: Instant, calls: &Calls, bytes: &mut Vec<u8>, tell: &Sender<Seen>) {
    // Nobody listens once the run is over.
    let say = |seen| tell.send(seen).unwrap_or_default();
    match event.r#type() {
        event::Type::Offers => {
            for offer in event.offers.into_iter().flat_map(|o| o.offers) {
                let cpus =
                    offer.resources.iter().filter(|r| r.name == "cpus").filter_map(|r| r.scalar.as_ref());
                let millicpus = cpus.map(|scalar| (scalar.value * 1e3).round() as u64).sum();
                say(Seen::Offer { id: offer.id, agent: offer.agent_id, millicpus });
            }
        }
        event::Type::Update => {
            let Some(status) = event.update.map(|u| u.status) else { return };
            let (state, task) = (status.state(), status.task_id.value.clone());
            say(Seen::Update { task, state, message: status.message.clone().unwrap_or_default(), at });
            if let (Some(uuid), Some(agent_id)) = (status.uuid, status.agent_id) {
                let acknowledge =
                    call::Acknowledge { agent_id, task_id: TaskId { value: status.task_id.value }, uuid };
                let mut call = Call { acknowledge: Some(acknowledge), ..Default::default() };
                call.r#type = Some(call::Type::Acknowledge.into());
                calls.append(bytes, call);
            }
        }
        event::Type::Error | event::Type::Failure | event::Type::Rescind => {
            say(Seen::Wrong(format!("{:?}: {:?}", event.r#type(), event.error)));
        }
        _ => {}
    }
}
