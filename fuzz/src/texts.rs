//! Texts of operators and events of servers: flags, offer constraints, what a stream brings.

use crate::parsers::said_again;
use api::json::FromJson;
use endpoints::agent::heard;
use master::allocator::{Constraints, Traits};
use model::{
    mesos::{
        Attribute, agent as agent_api, executor, master as master_api, scheduler,
        scheduler::OfferConstraints, value,
    },
    request::Codec,
};

/// The command line of a role: first line the role, then an argument on each.
pub fn flags(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines().map(str::to_owned);
    let Some(role) = lines.next() else { return };
    let arguments: Vec<String> = lines.collect();
    // a file of the machine is the same to every run only if none is read
    if !["file:", "config", "@"].iter().any(|reads| text.contains(reads))
        && let Err(why) = node::understood(&role, &arguments)
    {
        assert!(!why.is_empty());
    }
}

/// Offer constraints in JSON; before them, on a line, the attributes of an agent as `name=text`, by blanks.
pub fn constraints(data: &[u8]) {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let line = String::from_utf8_lossy(&data[..end]);
    let Ok(said) = serde_json::from_slice(data.get(end + 1..).unwrap_or_default()) else { return };
    let Ok(said) = OfferConstraints::from_json(&said) else { return };
    let Ok(read) = Constraints::new(&said) else { return };
    let mut agent = Traits { hostname: "localhost".to_owned(), ..Traits::default() };
    for (name, text) in line.split(' ').filter_map(|pair| pair.split_once('=')) {
        let mut attribute = Attribute { name: name.to_owned(), ..Attribute::default() };
        attribute.set_type(value::Type::Text);
        attribute.text = Some(value::Text { value: text.to_owned() });
        agent.attributes.push(attribute);
    }
    for role in said.role_constraints.keys() {
        let admitted = read.admit(role, &agent);
        assert_eq!(admitted, Constraints::new(read.said()).is_ok_and(|again| again.admit(role, &agent)));
    }
    assert!(read.admit("a role of which nothing is said\n", &agent));
}

/// What the other side of a stream says: events of masters and agents, and what a client tells a container.
pub fn events(data: &[u8]) {
    let Some((pick, body)) = data.split_first() else { return };
    let codec = if pick & 1 == 0 { Codec::Json } else { Codec::Protobuf };
    match (pick >> 1) % 7 {
        0 => said_again::<scheduler::Event>(codec, body),
        1 => said_again::<executor::Event>(codec, body),
        2 => said_again::<master_api::Event>(codec, body),
        3 => said_again::<master_api::Response>(codec, body),
        4 => said_again::<agent_api::Response>(codec, body),
        5 => said_again::<agent_api::ProcessIo>(codec, body),
        _ => drop(heard(body, codec)),
    }
}
