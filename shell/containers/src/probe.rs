//! Probes of running tasks: HTTP, TCP, a command in the container. Never what an outcome means.

use crate::Launcher;
use model::container::{Probe, Probed};
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
            Err(error) => Probed::Failed(error.to_string()),
        },
        Probe::Http { https, host, port, path } => {
            let scheme = if https { "https" } else { "http" };
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            // A task's certificate names the service, not this address: upstream never verifies it.
            let client = reqwest::Client::builder()
                .danger_accept_invalid_certs(true)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build();
            let client = match client {
                Ok(client) => client,
                Err(error) => return Probed::Failed(error.to_string()),
            };
            match client.get(format!("{scheme}://{host}:{port}{path}")).send().await {
                Ok(response) => Probed::Http(response.status().as_u16()),
                Err(error) => Probed::Failed(error.to_string()),
            }
        }
        Probe::Command { .. } => Probed::Failed("a command is asked of the launcher".to_owned()),
    }
}
