//! What this machine has: processors, memory, disk, and what flags say of it.

use api::json::FromJson as _;
use model::{
    mesos::{
        Attribute, Resource,
        resource::{ReservationInfo, reservation_info},
        value,
    },
    resources::Resources,
};
use std::{collections::BTreeSet, path::Path};

const MIB: u64 = 1024 * 1024;
/// Kept for the system: memory 1 GiB, disk 5 GiB, at most half of each.
const MEMORY_KEPT_MIB: u64 = 1024;
const DISK_KEPT_MIB: u64 = 5 * 1024;

/// Ports that an agent offers unless it is told otherwise, as upstream.
const PORTS: (u64, u64) = (31_000, 32_000);

/// Which part of this machine is meant, where several agents run on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// From 0.
    pub number: u64,
    /// Of so many; at least 1.
    pub of: u64,
}

impl Share {
    /// `NUMBER/OF`, as the flag has it; unset or wrong = all of it.
    pub fn read(text: Option<&str>) -> Self {
        let read = || {
            let (number, of) = text?.split_once('/')?;
            Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
        };
        read().filter(|share| share.number < share.of).unwrap_or(Self { number: 0, of: 1 })
    }
}

/// What an agent offers: what it is told, and of kinds that it is told nothing of what the machine has, as upstream.
/// What names no role is the default role's.
pub fn resources(told: &str, default_role: &str, work_dir: &Path, share: Share) -> Result<Resources, String> {
    let all = told_in(told, default_role).and_then(|all| divided(&all, share));
    let mut all = all.map_err(|why| format!("--resources: {why}"))?;
    let named = names(told);
    let found =
        of_role(found(work_dir, share), default_role).map_err(|why| format!("--default_role: {why}"))?;
    for item in found.iter().filter(|item| !named.contains(item.kind.name().as_str())) {
        all.add_item(item.clone());
    }
    Ok(all)
}

/// `cpus:4;mem:64`, or Mesos' messages as a JSON list.
fn told_in(told: &str, default_role: &str) -> Result<Resources, String> {
    if !told.trim_start().starts_with('[') {
        return Resources::parse(told, default_role).map_err(|e| e.to_string());
    }
    let list: Vec<serde_json::Value> =
        serde_json::from_str(told).map_err(|e| format!("not a JSON list: {e}"))?;
    let mut messages = Vec::with_capacity(list.len());
    for one in &list {
        let mut message = Resource::from_json(one)?;
        let dynamic = |r: &ReservationInfo| r.r#type() == reservation_info::Type::Dynamic;
        if message.reservations.iter().any(dynamic) || message.disk.iter().any(|d| d.persistence.is_some()) {
            let name = &message.name;
            return Err(format!(
                "'{name}': a flag makes no dynamic reservations and no volumes; operators and frameworks do"
            ));
        }
        reserve(&mut message, default_role);
        messages.push(message);
    }
    Resources::from_messages(&messages).map_err(|e| e.to_string())
}

/// Ports that several agents of one machine are told are divided among them: two tasks can't have the same one. The rest
/// is what each of them has.
fn divided(told: &Resources, share: Share) -> Result<Resources, String> {
    let mut messages = told.to_messages();
    for message in messages.iter_mut().filter(|m| m.name == "ports" && share.of > 1) {
        let ranges = message.ranges.get_or_insert_default();
        let count = |r: &value::Range| r.end.saturating_add(1).saturating_sub(r.begin);
        let all: u64 = ranges.range.iter().map(count).sum();
        let part = all / share.of;
        if part == 0 {
            return Err(format!("ports: {all} ports can't be divided among {} agents", share.of));
        }
        let (mut skipped, mut wanted) = (share.number * part, part);
        let mut mine = Vec::new();
        for range in &ranges.range {
            let skip = skipped.min(count(range));
            skipped -= skip;
            let take = wanted.min(count(range) - skip);
            wanted -= take;
            if take > 0 {
                let begin = range.begin + skip;
                mine.push(value::Range { begin, end: begin + take - 1 });
            }
        }
        ranges.range = mine;
    }
    Resources::from_messages(&messages).map_err(|e| e.to_string())
}

/// Reserves for a role what is for everybody.
fn of_role(resources: Resources, role: &str) -> Result<Resources, String> {
    let mut messages = resources.to_messages();
    messages.iter_mut().for_each(|message| reserve(message, role));
    Resources::from_messages(&messages).map_err(|e| e.to_string())
}

#[allow(deprecated)] // Whether the flat form names a role.
fn reserve(message: &mut Resource, role: &str) {
    if role == "*" || !message.reservations.is_empty() || message.role.as_ref().is_some_and(|r| r != "*") {
        return;
    }
    message.role = None;
    let mut reservation = ReservationInfo { role: Some(role.to_owned()), ..Default::default() };
    reservation.set_type(reservation_info::Type::Static);
    message.reservations.push(reservation);
}

/// Names that a list of resources has; `cpus:0` is one, though nothing is left of it.
fn names(told: &str) -> BTreeSet<String> {
    match serde_json::from_str::<Vec<serde_json::Value>>(told) {
        Ok(list) => list.iter().filter_map(|r| r["name"].as_str()).map(str::to_owned).collect(),
        Err(_) => {
            told.split(';').filter_map(|r| r.split(['(', ':']).next()).map(|n| n.trim().to_owned()).collect()
        }
    }
}

fn found(work_dir: &Path, share: Share) -> Resources {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:")?.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let memory = total.map_or(1024, |kib| keep(kib / 1024, MEMORY_KEPT_MIB));
    let disk = rustix::fs::statvfs(work_dir)
        .map_or(10 * 1024, |s| keep(s.f_blocks * s.f_frsize / MIB, DISK_KEPT_MIB));
    let part = |whole: u64| whole / share.of;
    let milli_cpus = part(cpus * 1000);
    let scalars =
        [("cpus", milli_cpus as f64 / 1000.0), ("mem", part(memory) as f64), ("disk", part(disk) as f64)];
    let ports = part(PORTS.1 - PORTS.0 + 1);
    let first = PORTS.0 + share.number * ports;
    Resources::scalars(scalars).with_ports([(first, first + ports - 1)])
}

fn keep(total: u64, kept: u64) -> u64 {
    total - kept.min(total / 2)
}

/// The name of an address as the table of hosts has it, else the address.
pub fn name_of(ip: std::net::IpAddr) -> String {
    let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        (words.next()?.parse() == Ok(ip)).then(|| words.next().map(str::to_owned))?
    });
    named.unwrap_or_else(|| ip.to_string())
}

/// The name of this boot; differs after each.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// `rack:abc;level:10;keys:[1000-1500]`
pub fn attributes(text: &str) -> Result<Vec<Attribute>, String> {
    let mut all = Vec::new();
    for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let Some((name, value)) = part.split_once(':') else {
            return Err(format!("--attributes: '{part}' is not name:value"));
        };
        let mut attribute = Attribute { name: name.trim().to_owned(), ..Default::default() };
        let value = value.trim();
        if let Some(inner) = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')) {
            let mut ranges = value::Ranges::default();
            for range in inner.split(',') {
                let ends = range.split_once('-').map(|(b, e)| (b.trim().parse(), e.trim().parse()));
                let Some((Ok(begin), Ok(end))) = ends else {
                    return Err(format!("--attributes: '{range}' of '{name}' is not BEGIN-END"));
                };
                ranges.range.push(value::Range { begin, end });
            }
            attribute.ranges = Some(ranges);
            attribute.set_type(value::Type::Ranges);
        } else if let Ok(number) = value.parse::<f64>() {
            attribute.scalar = Some(value::Scalar { value: number });
            attribute.set_type(value::Type::Scalar);
        } else {
            attribute.text = Some(value::Text { value: value.to_owned() });
            attribute.set_type(value::Type::Text);
        }
        all.push(attribute);
    }
    Ok(all)
}

/// A JSON object of variables.
pub fn environment(text: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let map: std::collections::BTreeMap<String, String> = serde_json::from_str(text)
        .map_err(|e| format!("--executor_environment_variables: not a JSON object of texts: {e}"))?;
    Ok(map.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_and_wrong_ones_named() {
        let all = attributes("rack:abc;level:10; keys:[1-5,7-9]").unwrap();
        assert_eq!(all[0].text.as_ref().unwrap().value, "abc");
        assert_eq!(all[1].scalar.as_ref().unwrap().value, 10.0);
        assert_eq!(all[2].ranges.as_ref().unwrap().range.len(), 2);
        assert!(attributes("rack").unwrap_err().contains("'rack' is not name:value"));
        assert!(attributes("k:[1-x]").is_err());
        assert!(environment(Some("[]")).is_err());
    }

    #[test]
    fn what_is_not_told_is_found() {
        let whole = Share::read(None);
        let all = resources("", "*", Path::new("/"), whole).unwrap();
        assert!(all.scalar("cpus") >= 1.0 && all.scalar("mem") >= 1.0, "{all}");
        assert_eq!(all.ports().as_slice(), [(31_000, 32_000)]);
        let told = resources("cpus:0;mem(ads):64", "*", Path::new("/"), whole).unwrap();
        assert_eq!((told.scalar("cpus"), told.scalar("mem")), (0.0, 64.0), "{told}");
        assert!(told.scalar("disk") >= 1.0 && !told.ports().is_empty(), "{told}");
        let json = r#"[{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":5,"end":6}]}}]"#;
        assert_eq!(resources(json, "*", Path::new("/"), whole).unwrap().ports().as_slice(), [(5, 6)]);
        let dynamic = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"reservations":[
            {"type":"STATIC","role":"eng"},{"type":"DYNAMIC","role":"eng/web"}]}]"#;
        let why = resources(dynamic, "*", Path::new("/"), whole).unwrap_err();
        assert!(why.starts_with("--resources: 'cpus': a flag makes no dynamic reservations"), "{why}");
        let of_web = resources("mem(*):64;cpus:2", "web", Path::new("/"), whole).unwrap();
        let text = of_web.to_string();
        assert!(text.contains("cpus(reservations: [(STATIC,web)]):2") && text.contains("mem:64"), "{text}");
        assert!(text.contains("ports(reservations: [(STATIC,web)])"), "{text}");
        assert!(resources("cpus:x", "*", Path::new("/"), whole).unwrap_err().contains("--resources"));
    }

    #[test]
    fn ports_that_are_told_are_divided_and_the_rest_is_each_ones() {
        let of = |n: u64, told: &str| resources(told, "*", Path::new("/"), Share { number: n, of: 3 });
        let told = "cpus:2;ports:[31000-31003,32000-32004]";
        let all = [0, 1, 2].map(|n| of(n, told).unwrap());
        let ports = all.each_ref().map(|r| r.ports().as_slice().to_vec());
        assert_eq!(
            ports,
            [vec![(31_000, 31_002)], vec![(31_003, 31_003), (32_000, 32_001)], vec![(32_002, 32_004)]]
        );
        assert!(all.iter().all(|r| r.scalar("cpus") == 2.0));
        assert!(of(0, "ports:[1-2]").unwrap_err().contains("2 ports can't be divided among 3 agents"));
        let json = r#"[{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":3}]}}]"#;
        assert_eq!(of(1, json).unwrap().ports().as_slice(), [(2, 2)]);
    }

    #[test]
    fn shares_do_not_overlap() {
        let shares = [0, 1, 2].map(|n| Share::read(Some(&format!("{n}/3"))));
        let all = shares.map(|share| resources("", "*", Path::new("/"), share).unwrap());
        let whole = resources("", "*", Path::new("/"), Share::read(None)).unwrap();
        let ports: Vec<_> = all.iter().flat_map(|r| r.ports().as_slice().to_vec()).collect();
        assert!(ports.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ports:?}");
        for name in ["cpus", "mem", "disk"] {
            let sum: f64 = all.iter().map(|r| r.scalar(name)).sum();
            assert!(sum <= whole.scalar(name) + 0.000_5 && sum > whole.scalar(name) - 3.0, "{name}: {sum}");
        }
    }
}
