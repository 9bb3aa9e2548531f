//! Protobuf messages as JSON of their set fields, by reflection. Never the server's own codec.

use anyhow::Context as _;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;
use std::sync::OnceLock;

const FILES: [&str; 4] = ["scheduler.proto", "executor.proto", "master.proto", "agent.proto"];
const PROTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../core/model/proto");

fn pool() -> anyhow::Result<&'static DescriptorPool> {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    if let Some(pool) = POOL.get() {
        return Ok(pool);
    }
    let pool = DescriptorPool::from_file_descriptor_set(protox::compile(FILES, [PROTO])?)?;
    Ok(POOL.get_or_init(|| pool))
}

fn descriptor(message: &str) -> anyhow::Result<prost_reflect::MessageDescriptor> {
    let name = message.replacen("mesos.v1.", "mesos.", 1);
    pool()?.get_message_by_name(&name).with_context(|| format!("no message is called {message}"))
}

/// The bytes of a message.
pub fn encode(message: &str, fields: &Value) -> anyhow::Result<Vec<u8>> {
    let message = DynamicMessage::deserialize(descriptor(message)?, fields)?;
    Ok(message.encode_to_vec())
}

/// The set fields of a message.
pub fn decode(message: &str, bytes: &[u8]) -> anyhow::Result<Value> {
    let decoded = DynamicMessage::decode(descriptor(message)?, bytes)
        .with_context(|| format!("{} bytes are no {message}", bytes.len()))?;
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(false)
        .use_proto_field_name(true)
        .skip_default_fields(true);
    Ok(decoded.serialize_with_options(serde_json::value::Serializer, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_survives_both_ways() {
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info":
            {"user": "root", "name": "fw", "failover_timeout": 3.5, "roles": ["a"]}}});
        let bytes = encode("mesos.v1.scheduler.Call", &call).unwrap();
        assert_eq!(decode("mesos.v1.scheduler.Call", &bytes).unwrap(), call);
        assert!(encode("mesos.v1.Nothing", &call).is_err());
    }
}
