//! Probes of running tasks: HTTP, TCP, a command in the container. Never what an outcome means.

use crate::Launcher;
use model::container::{Page, Probe, Probed};
use std::time::Duration;

/// Asks once.
pub async fn probe(probe: Probe, timeout: Duration, launcher: Option<&Launcher>) -> Probed {
    if let Probe::Command { container, program, environment, user } = probe {
        let Some(launcher) = launcher else { return Probed::Failed("there is no launcher".to_owned()) };
        return match launcher.execute(container, program, environment, user, timeout).await {
            Ok(Some(status)) => Probed::Exited(status),
            Ok(None) => Probed::TimedOut(timeout),
            Err(why) => Probed::Failed(why),
        };
    }
    match tokio::time::timeout(timeout, ask(probe)).await {
        Ok(outcome) => outcome,
        Err(_) => Probed::TimedOut(timeout),
    }
}

async fn ask(probe: Probe) -> Probed {
    match probe {
        Probe::Tcp { host, port } => match tokio::net::TcpStream::connect((host.as_str(), port)).await {
            Ok(_) => Probed::Connected,
            Err(error) => Probed::Failed(format!("{host}:{port}: {error}")),
        },
        Probe::Http { https, host, port, path, redirects_max } => {
            match get(https, &host, port, &path, redirects_max).await {
                Ok(response) => Probed::Http(response.status().as_u16()),
                Err(error) => Probed::Failed(format!("{host}:{port}: {}", innermost(&error))),
            }
        }
        Probe::Page { https, host, port, path, bytes_max } => match get(https, &host, port, &path, 0).await {
            Ok(response) => Probed::Page(page(response, bytes_max).await),
            Err(error) => Probed::Failed(format!("{host}:{port}: {}", innermost(&error))),
        },
        Probe::Command { .. } => Probed::Failed("a command is asked of the launcher".to_owned()),
    }
}

/// What went wrong, without what that was part of.
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

async fn get(
    https: bool,
    host: &str,
    port: u16,
    path: &str,
    redirects_max: usize,
) -> reqwest::Result<reqwest::Response> {
    let scheme = if https { "https" } else { "http" };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    // A task's certificate names the service, not this address: upstream never verifies it.
    let redirects = match redirects_max {
        0 => reqwest::redirect::Policy::none(),
        max => reqwest::redirect::Policy::limited(max),
    };
    let client = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .redirect(redirects)
        .no_proxy()
        .build()?;
    client.get(format!("{scheme}://{host}:{port}{path}")).send().await
}

/// An answer with what its body begins with.
async fn page(mut response: reqwest::Response, bytes_max: usize) -> Page {
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").map(|value| value.as_bytes().to_vec());
    let mut body = Vec::new();
    while body.len() < bytes_max {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            // what came is kept, however it ended
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(bytes_max);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Page {
        status,
        content_type: content_type.map_or_else(String::new, |value| text(&value)),
        body: text(&body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    /// Answers `/N` with a redirect to the path one lower, and `/0` with 500.
    async fn serve(listener: TcpListener) {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = socket.read(&mut head).await.unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
            let answer = match path.parse::<u32>() {
                Ok(0) | Err(_) => "HTTP/1.1 500 No\r\n".to_owned(),
                Ok(left) => format!("HTTP/1.1 302 Found\r\nLocation: /{}\r\n", left - 1),
            };
            let answer = format!("{answer}Content-Length: 0\r\nConnection: close\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap_or_default();
        }
    }

    #[tokio::test]
    async fn as_many_redirects_are_followed_as_are_asked_for_and_ipv6_is_asked_too() {
        for host in ["127.0.0.1", "::1"] {
            let ip = host.parse().expect("an address");
            let Ok(listener) = TcpListener::bind(SocketAddr::new(ip, 0)).await else {
                eprintln!("SKIPPED: this machine has no {host}");
                continue;
            };
            let port = listener.local_addr().expect("an address").port();
            let server = tokio::spawn(serve(listener));
            let ask = |redirects: u32, redirects_max| {
                let path = format!("/{redirects}");
                let asked = Probe::Http { https: false, host: host.to_owned(), port, path, redirects_max };
                probe(asked, Duration::from_secs(10), None)
            };
            assert_eq!(ask(0, 0).await, Probed::Http(500));
            assert_eq!(ask(1, 0).await, Probed::Http(302), "none are followed: it is the answer");
            assert_eq!(ask(3, 3).await, Probed::Http(500), "what answers last counts");
            assert!(matches!(ask(4, 3).await, Probed::Failed(_)), "too many");
            let tcp = Probe::Tcp { host: host.to_owned(), port };
            assert_eq!(probe(tcp, Duration::from_secs(10), None).await, Probed::Connected);
            server.abort();
        }
    }

    #[tokio::test]
    async fn nobody_who_answers_is_told_by_name() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let host = "127.0.0.1".to_owned();
        let http = Probe::Http { https: false, host: host.clone(), port, path: "/".into(), redirects_max: 0 };
        for asked in [http, Probe::Tcp { host, port }] {
            let outcome = probe(asked, Duration::from_secs(10), None).await;
            let Probed::Failed(why) = outcome else { panic!("{outcome:?}") };
            assert_eq!(why, format!("127.0.0.1:{port}: Connection refused (os error 111)"));
        }
    }

    #[tokio::test]
    async fn an_answer_is_kept_as_far_as_it_is_to_be() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let body = "x".repeat(100_000);
        let answer = format!(
            "HTTP/1.1 503 Busy\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\nwait{body}",
            body.len() + 4
        );
        let server = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let read = socket.read(&mut head).await.unwrap_or_default();
                assert!(head[..read].starts_with(b"GET /ready "));
                // who has enough may go
                socket.write_all(answer.as_bytes()).await.unwrap_or_default();
            }
        });
        let ask = |bytes_max| {
            let path = "/ready".to_owned();
            let asked = Probe::Page { https: false, host: "127.0.0.1".to_owned(), port, path, bytes_max };
            probe(asked, Duration::from_secs(10), None)
        };
        let kept = |body: &str| {
            let page = Page { status: 503, content_type: "text/plain".to_owned(), body: body.to_owned() };
            Probed::Page(page)
        };
        assert_eq!(ask(6).await, kept("waitxx"));
        assert_eq!(ask(0).await, kept(""));
        assert_eq!(ask(1_000_000).await, kept(&format!("wait{}", "x".repeat(100_000))));
        server.abort();
    }
}
