//! Where a role listens, and the address that it tells others. Never: names of hosts (`--hostname`).

use crate::flags::{Refused, Values};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// Which address leads to others when no peer is known yet: from the range that is set apart for documentation. Nothing
/// is sent there.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// The address to listen on, of these two flags.
pub fn listen(
    values: &Values,
    ip_flag: &str,
    port_flag: &str,
    port_default: u16,
) -> anyhow::Result<SocketAddr> {
    let ip = values.get(ip_flag).unwrap_or("127.0.0.1");
    let ip: IpAddr = ip.parse().map_err(|_| {
        Refused(format!("{}: '{ip}' is not an IP address, such as 127.0.0.1", values.flag(ip_flag)))
    })?;
    let port = values.number(port_flag).unwrap_or(u64::from(port_default));
    let port = u16::try_from(port).map_err(|_| {
        Refused(format!("{}: {port} is no port: 0 to 65535 is right", values.flag(port_flag)))
    })?;
    Ok(SocketAddr::new(ip, port))
}

/// The address that others are told: `--advertise_ip`, else where we listen. Who listens everywhere tells the address
/// that leads to its peer.
pub fn advertised(
    values: &Values,
    bound: SocketAddr,
    peer: Option<SocketAddr>,
) -> anyhow::Result<SocketAddr> {
    if let Some(ip) = values.get("advertise_ip") {
        let parsed: IpAddr = ip
            .parse()
            .map_err(|_| Refused(format!("{}: '{ip}' is not an IP address", values.flag("advertise_ip"))))?;
        if parsed.is_unspecified() {
            return Err(
                Refused(format!("{}: nobody can be reached at {ip}", values.flag("advertise_ip"))).into()
            );
        }
        return Ok(SocketAddr::new(parsed, bound.port()));
    }
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let own = outward(peer.unwrap_or(ANYWHERE)).unwrap_or_else(|| {
        tracing::warn!(
            "no address leads to other machines: others are told 127.0.0.1; name another with --advertise_ip"
        );
        Ipv4Addr::LOCALHOST.into()
    });
    Ok(SocketAddr::new(own, bound.port()))
}

/// The address of a master, of `--master`: HOST:PORT, alone or in a URL or the name of a libprocess.
pub async fn resolve(master: &str) -> anyhow::Result<SocketAddr> {
    let plain = master.trim_start_matches("http://").trim_end_matches('/');
    let plain = plain.strip_prefix("master@").unwrap_or(plain);
    let right = "HOST:PORT of a master is right";
    let port =
        plain.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>()));
    if !matches!(port, Some(Ok(1..))) {
        return Err(Refused(format!("--master: '{master}' is wrong: {right}")).into());
    }
    let found = tokio::net::lookup_host(plain).await;
    let found =
        found.map_err(|e| anyhow::anyhow!("--master: no address is found for '{master}' ({right}): {e}"))?;
    found.into_iter().next().ok_or_else(|| anyhow::anyhow!("--master: '{plain}' has no address"))
}

/// Our address on the way to a peer.
fn outward(peer: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { "::".parse().ok()? };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(peer).ok()?;
    socket.local_addr().ok().map(|a| a.ip()).filter(|ip| !ip.is_unspecified())
}

/// `host:port` as URLs have it.
pub fn authority(host: &str, port: u16) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(host) => format!("[{host}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        let mut values = Values::default();
        pairs.iter().for_each(|(name, value)| values.set(name, (*value).to_owned()));
        values
    }

    #[test]
    fn addresses_of_version_6_stand_in_brackets() {
        let said = ["::1", "10.0.0.1", "host.example"].map(|host| authority(host, 80));
        assert_eq!(said, ["[::1]:80", "10.0.0.1:80", "host.example:80"]);
    }

    #[test]
    fn each_wrong_flag_is_named() {
        let refused = |pairs: &[_]| listen(&values(pairs), "ip", "port", 5050).unwrap_err().to_string();
        assert!(
            refused(&[("port", "99999")]).contains("port: 99999 is no port"),
            "{}",
            refused(&[("port", "99999")])
        );
        assert!(refused(&[("ip", "here")]).contains("ip: 'here' is not an IP address"));
        assert_eq!(listen(&values(&[]), "ip", "port", 5050).unwrap(), "127.0.0.1:5050".parse().unwrap());
    }

    #[tokio::test]
    async fn what_is_no_master_is_refused() {
        for wrong in ["garbage::::", "here", ":5050", "here:", "here:x", "here:0", "zk://a:2181/mesos"] {
            let why = resolve(wrong).await.unwrap_err();
            assert!(why.downcast_ref::<Refused>().is_some() && why.to_string().contains(wrong), "{why}");
        }
        for right in ["127.0.0.1:5050", "http://127.0.0.1:5050/", "master@127.0.0.1:5050"] {
            assert_eq!(resolve(right).await.unwrap(), "127.0.0.1:5050".parse().unwrap());
        }
    }

    #[test]
    fn who_listens_everywhere_never_says_so() {
        let bound = "0.0.0.0:5051".parse().unwrap();
        let told = advertised(&values(&[]), bound, Some("127.0.0.1:5050".parse().unwrap())).unwrap();
        assert_eq!(told, "127.0.0.1:5051".parse().unwrap());
        assert!(!advertised(&values(&[]), bound, None).unwrap().ip().is_unspecified());
        let named = advertised(&values(&[("advertise_ip", "10.1.2.3")]), bound, None).unwrap();
        assert_eq!(named, "10.1.2.3:5051".parse().unwrap());
        assert!(advertised(&values(&[("advertise_ip", "0.0.0.0")]), bound, None).is_err());
    }
}
