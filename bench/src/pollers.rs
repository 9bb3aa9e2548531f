//! Clients that read large answers as fast as they can and keep nothing of them, and what the same bytes cost where
//! nothing of them is mesolite's. Never what is measured beside them.

use crate::daemon::Cores;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const POLLERS_NICE: i32 = 15;
const PATIENCE: Duration = Duration::from_secs(120);
const PIECE_BYTES: usize = 64 * 1024;

/// A connection whose answers do not take for ever.
pub(crate) fn connect(host: &str) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(host).map_err(|e| format!("{host} can't be reached: {e}"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    Ok(stream)
}

/// Asks and reads the answer to its end without keeping it; how long its body is.
pub(crate) fn get(stream: &mut TcpStream, host: &str, path: &str, gzip: bool) -> Result<usize, String> {
    let accept = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{accept}\r\n");
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut buffer = vec![0; PIECE_BYTES];
    let mut filled = 0;
    let end = loop {
        let read = stream.read(&mut buffer[filled..]).map_err(|e| format!("{path}: {e}"))?;
        filled += read;
        if let Some(at) = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if read == 0 || filled == buffer.len() {
            return Err(format!("{path}: the head does not end"));
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let length =
        length.filter(|_| head.starts_with("http/1.1 200")).ok_or_else(|| format!("{path}: {head}"))?;
    let mut left = length - (filled - end);
    while left > 0 {
        let read = stream.read(&mut buffer).map_err(|e| format!("{path}: {e}"))?;
        if read == 0 {
            return Err(format!("{path} ends {left} bytes early"));
        }
        left -= read;
    }
    Ok(length)
}

/// Milliseconds that so many bytes take from one thread to another over a bare socket.
pub(crate) fn loopback(bytes: usize) -> Result<f64, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let begun = Instant::now();
    let sent = thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let piece = vec![7; PIECE_BYTES];
        let mut left = bytes;
        while left > 0 {
            let length = left.min(PIECE_BYTES);
            stream.write_all(&piece[..length])?;
            left -= length;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
    let (mut buffer, mut left) = (vec![0; PIECE_BYTES], bytes);
    while left > 0 {
        let read = stream.read(&mut buffer).map_err(|e| e.to_string())?;
        left = left.checked_sub(read.max(1)).ok_or("the probe's bytes do not add up")?;
    }
    sent.join().map_err(|_| "the probe panicked".to_owned())?.map_err(|e| e.to_string())?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// A server that does nothing but send so many bytes, on as many threads as it has cores.
pub(crate) struct Plain {
    pub(crate) address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Plain {
    /// Who waits inside a runtime may not wait for another one to end.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Plain {
    pub(crate) fn start(cores: Vec<usize>, bytes: usize) -> Result<Self, String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let threads = cores.len();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .on_thread_start(move || {
                if let Err(why) = Cores::bind(&cores) {
                    eprintln!("   the plain server: {why}");
                }
            })
            .enable_all()
            .build()
            .map_err(|e| format!("no runtime: {e}"))?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        listener.set_nonblocking(true).map_err(|e| e.to_string())?;
        let inside = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(|e| e.to_string())?;
        drop(inside);
        runtime.spawn(async move {
            let piece = Arc::new(vec![b'x'; PIECE_BYTES]);
            while let Ok((mut stream, _)) = listener.accept().await {
                let piece = piece.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; PIECE_BYTES];
                    // Its clients send one small request at a time.
                    while stream.read(&mut buffer).await? > 0 {
                        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
                        stream.write_all(head.as_bytes()).await?;
                        let mut left = bytes;
                        while left > 0 {
                            let length = left.min(PIECE_BYTES);
                            stream.write_all(&piece[..length]).await?;
                            left -= length;
                        }
                    }
                    std::io::Result::Ok(())
                });
            }
        });
        Ok(Self { address, runtime: Some(runtime) })
    }
}

/// What one poller saw: milliseconds of every answer, and all their bytes.
type Polled = Result<(Vec<f64>, usize), String>;

/// Clients that ask for a path again as soon as they have it.
pub(crate) struct Polls {
    stop: Arc<AtomicBool>,
    begun: Instant,
    all: Vec<thread::JoinHandle<Polled>>,
}

impl Polls {
    pub(crate) fn start(host: &str, path: &str, pollers: usize, gzip: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let all = (0..pollers).map(|_| {
            let (stop, host, path) = (stop.clone(), host.to_owned(), path.to_owned());
            thread::spawn(move || {
                // Behind who measures on the same cores: what is looked for is what the server does.
                rustix::process::nice(POLLERS_NICE).map_err(|e| format!("pollers can't stand back: {e}"))?;
                let mut stream = connect(&host)?;
                let (mut times, mut bytes) = (Vec::new(), 0);
                while times.is_empty() || !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    bytes += get(&mut stream, &host, &path, gzip)?;
                    times.push(begun.elapsed().as_secs_f64() * 1e3);
                }
                Ok((times, bytes))
            })
        });
        Self { all: all.collect(), begun: Instant::now(), stop }
    }
    /// Milliseconds of every answer, and bytes per second of all of them.
    pub(crate) fn end(self) -> Result<(Vec<f64>, f64), String> {
        self.stop.store(true, Ordering::Relaxed);
        let (mut times, mut bytes) = (Vec::new(), 0);
        for one in self.all {
            let (own, read) = one.join().map_err(|_| "a poller panicked".to_owned())??;
            times.extend(own);
            bytes += read;
        }
        Ok((times, bytes as f64 / self.begun.elapsed().as_secs_f64()))
    }
}
