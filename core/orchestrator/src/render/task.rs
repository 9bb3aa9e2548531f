//! One task as clients see it, written as text: lists have a hundred thousand of them, and as values they would take a
//! second. Names in their order, so that the text of a value that is read from it is the same. Read-only.

use super::{known, text::write};
use crate::{
    instances::{Checked, Instance},
    spec::{CheckBy, Spec},
    versions::{write_digits, write_when},
};

/// Writes a task; the first member is there always.
pub(super) fn write_task(instance: &Instance, spec: Option<&Spec>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"appId":"#);
    text(&instance.app, out);
    if let Some(found) = &instance.check_result {
        out.extend_from_slice(br#","checkResult":"#);
        write(out, found);
    }
    health(instance, spec, out);
    said(br#","host":"#, &instance.host, out);
    said(br#","id":"#, &instance.task, out);
    out.extend_from_slice(br#","ipAddresses":"#);
    list(&instance.addresses, out, |address, out| {
        out.extend_from_slice(br#"{"ipAddress":"#);
        text(address, out);
        out.extend_from_slice(br#","protocol":"IPv4"}"#);
    });
    out.extend_from_slice(br#","localVolumes":"#);
    list(&instance.volumes, out, |volume, out| write(out, &volume.shown(&instance.app)));
    let port = |port: &u16, out: &mut Vec<u8>| write_digits(u64::from(*port), 1, out);
    out.extend_from_slice(br#","ports":"#);
    list(&instance.ports, out, port);
    perhaps(br#","region":"#, instance.region.as_deref(), out);
    said(br#","role":"#, &instance.role, out);
    out.extend_from_slice(br#","servicePorts":"#);
    list(spec.map_or(&[][..], |spec| &spec.service_ports), out, port);
    said(br#","slaveId":"#, &instance.agent, out);
    instant(br#","stagedAt":""#, Some(instance.staged_at), out);
    instant(br#","startedAt":""#, instance.started_at, out);
    said(
        br#","state":"#,
        instance.rest.as_ref().map_or(instance.condition.task_state(), |rest| &rest.state),
        out,
    );
    said(br#","version":"#, &instance.version, out);
    perhaps(br#","zone":"#, instance.zone.as_deref(), out);
    out.push(b'}');
}

/// What the checks found that have found something.
fn health(instance: &Instance, spec: Option<&Spec>, out: &mut Vec<u8>) {
    // Of what was recorded before results were, only what they came to is known.
    let unseen = |at: usize| instance.checks.get(at).is_none_or(|checked| !known(checked));
    let by_agent = || {
        let mut checks = spec.into_iter().flat_map(|spec| &spec.checks).enumerate();
        checks.any(|(at, check)| check.by == CheckBy::Agent && unseen(at))
    };
    let agents = instance.healthy.filter(|_| by_agent());
    let agents = agents.map(|alive| Checked { alive, ..Checked::default() });
    let mut all = instance.checks.iter().filter(|checked| known(checked)).chain(&agents).peekable();
    if all.peek().is_none() {
        return;
    }
    out.extend_from_slice(br#","healthCheckResults":"#);
    list(all, out, |checked, out| {
        out.extend_from_slice(if checked.alive { br#"{"alive":true"# } else { br#"{"alive":false"# });
        out.extend_from_slice(br#","consecutiveFailures":"#);
        write_digits(u64::from(checked.failures), 1, out);
        instant(br#","firstSuccess":""#, checked.first_success, out);
        said(br#","instanceId":"#, &instance.id, out);
        instant(br#","lastFailure":""#, checked.last_failure, out);
        perhaps(br#","lastFailureCause":"#, checked.cause.as_deref(), out);
        instant(br#","lastSuccess":""#, checked.last_success, out);
        out.push(b'}');
    });
}

/// A name behind other members.
pub(super) fn member(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// `name` comes with all that stands before the value.
fn said(name: &[u8], value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    text(value, out);
}

fn perhaps(name: &[u8], value: Option<&str>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        said(name, value, out);
    }
}

fn instant(name: &[u8], at: Option<u64>, out: &mut Vec<u8>) {
    if let Some(at) = at {
        out.extend_from_slice(name);
        write_when(at, out);
        out.push(b'"');
    }
}

fn list<T>(all: impl IntoIterator<Item = T>, out: &mut Vec<u8>, mut one: impl FnMut(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (at, item) in all.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        one(item, out);
    }
    out.push(b']');
}

/// Text in quotes. Nearly none of ours holds anything that has to be written in another way, and to see that takes less
/// than to look for each.
fn text(value: &str, out: &mut Vec<u8>) {
    let odd = |odd, byte: u8| odd | (byte < b' ') | (byte == b'"') | (byte == b'\\');
    if value.bytes().fold(false, odd) {
        return write(out, &value);
    }
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_it_would_be_in_a_value() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for value in ["", "/a/b-c.d", "\"", "a\\b", "line\nend", "\u{7f}\u{0}", "ü → 𝄞"] {
            text(value, &mut ours);
            write(&mut theirs, &value);
        }
        assert_eq!(String::from_utf8(ours), String::from_utf8(theirs));
    }
}
