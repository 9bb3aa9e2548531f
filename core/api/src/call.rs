//! Bodies of calls: which Content-Type they may have, how they are decoded, how answers are encoded.
//!
//! The order of checks and their texts follow apache/mesos@c1b42f79:src/master/http.cpp.

use crate::{
    json::{FromJson, ToJson},
    shape::{self, Shaped},
};
use http::{HeaderMap, header};
use model::request::Codec;

/// The media type of JSON bodies.
pub const JSON: &str = "application/json";
/// The media type of protobuf bodies.
pub const PROTOBUF: &str = "application/x-protobuf";

/// A refused request: status and text.
pub type Refusal = (u16, String);

/// Decodes a body by its Content-Type, which must be exactly one of the two.
pub fn decode<T>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal>
where
    T: FromJson + Shaped + prost::Message + Default,
{
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return Err((400, "Expecting 'Content-Type' to be present".to_owned()));
    };
    match content_type.as_bytes() {
        b"application/json" => decode_json(body).map_err(|why| (400, why)),
        b"application/x-protobuf" => match T::decode(body) {
            Ok(call) if shape::missing::<T>(body).is_empty() => Ok(call),
            _ => Err((400, "Failed to parse body into Call protobuf".to_owned())),
        },
        _ => Err((415, format!("Expecting 'Content-Type' of {JSON} or {PROTOBUF}"))),
    }
}

fn decode_json<T: FromJson>(body: &[u8]) -> Result<T, String> {
    let value = parse(body).map_err(|why| format!("Failed to parse body into JSON: {why}"))?;
    T::from_json(&value).map_err(|why| format!("Failed to convert JSON into Call protobuf: {why}"))
}

/// Parses JSON with upstream's error texts: what is left over after a whole value, or what follows the first wrong
/// character.
pub fn parse(body: &[u8]) -> Result<serde_json::Value, String> {
    let mut stream = serde_json::Deserializer::from_slice(body).into_iter::<serde_json::Value>();
    match stream.next() {
        Some(Ok(value)) => {
            let rest = &body[stream.byte_offset()..];
            if rest.iter().all(u8::is_ascii_whitespace) {
                Ok(value)
            } else {
                let rest = String::from_utf8_lossy(rest);
                Err(format!("Parsed JSON included non-whitespace trailing characters: {rest}"))
            }
        }
        Some(Err(error)) if !error.is_eof() => {
            let line = error.line().max(1);
            let text = String::from_utf8_lossy(body);
            let near: String = text
                .lines()
                .nth(line - 1)
                .unwrap_or("")
                .chars()
                .skip(error.column().saturating_sub(1))
                .collect();
            Err(format!("syntax error at line {line} near: {near}"))
        }
        _ => Err("syntax error at line 1 near: ".to_owned()),
    }
}

/// What the client accepts: JSON where it does not say or takes both.
pub fn accepts(headers: &HeaderMap) -> Result<Codec, Refusal> {
    let values: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    if values.is_empty() {
        return Ok(Codec::Json);
    }
    let mut protobuf = false;
    for part in values.iter().flat_map(|v| v.split(',')) {
        let mut pieces = part.split(';').map(str::trim);
        let media = pieces.next().unwrap_or_default().to_ascii_lowercase();
        if pieces.any(|p| matches!(p.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")) {
            continue;
        }
        match media.as_str() {
            "*/*" | "application/*" | JSON => return Ok(Codec::Json),
            PROTOBUF => protobuf = true,
            _ => {}
        }
    }
    if protobuf {
        Ok(Codec::Protobuf)
    } else {
        Err((406, format!("Expecting 'Accept' to allow '{PROTOBUF}' or '{JSON}'")))
    }
}

/// A message in the codec that the client accepts.
pub fn encode(message: &(impl ToJson + prost::Message), codec: Codec) -> Vec<u8> {
    match codec {
        Codec::Json => message.to_json().into_bytes(),
        Codec::Protobuf => message.encode_to_vec(),
    }
}

/// The media type of a codec.
pub fn media_type(codec: Codec) -> &'static str {
    match codec {
        Codec::Json => JSON,
        Codec::Protobuf => PROTOBUF,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::mesos::{FrameworkInfo, scheduler};
    use prost::Message as _;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (http::HeaderName::from_static(k), v.parse().unwrap())).collect()
    }

    fn json(body: &str) -> Result<scheduler::Call, Refusal> {
        decode(&headers(&[("content-type", JSON)]), body.as_bytes())
    }

    #[test]
    fn bodies_are_refused_with_upstreams_texts() {
        let no_type = decode::<scheduler::Call>(&HeaderMap::new(), b"{}").unwrap_err();
        assert_eq!(no_type, (400, "Expecting 'Content-Type' to be present".to_owned()));
        let charset = headers(&[("content-type", "application/json; charset=utf-8")]);
        assert_eq!(decode::<scheduler::Call>(&charset, b"{}").unwrap_err().0, 415);
        for (body, near) in
            [("not json", "syntax error at line 1 near: ot json"), ("", "syntax error at line 1 near: ")]
        {
            assert_eq!(json(body).unwrap_err(), (400, format!("Failed to parse body into JSON: {near}")));
        }
        assert_eq!(
            json("{\"type\":\"SUBSCRIBE\"} x").unwrap_err().1,
            "Failed to parse body into JSON: Parsed JSON included non-whitespace trailing characters:  x"
        );
    }

    #[test]
    fn a_protobuf_body_without_its_required_fields_is_refused() {
        let headers = headers(&[("content-type", PROTOBUF)]);
        let mut call = scheduler::Call { r#type: Some(1), ..Default::default() };
        call.subscribe = Some(scheduler::call::Subscribe {
            framework_info: FrameworkInfo { user: "u".into(), name: "n".into(), ..Default::default() },
            ..Default::default()
        });
        let whole = call.encode_to_vec();
        assert_eq!(decode::<scheduler::Call>(&headers, &whole).unwrap(), call);
        // type = SUBSCRIBE, subscribe = an empty message: framework_info is absent.
        let lacking = [0x10, 0x01, 0x1a, 0x00];
        let refused = decode::<scheduler::Call>(&headers, &lacking).unwrap_err();
        assert_eq!(refused, (400, "Failed to parse body into Call protobuf".to_owned()));
        assert_eq!(shape::missing::<scheduler::Call>(&lacking), ["subscribe.framework_info"]);
    }

    #[test]
    fn accept_prefers_json() {
        for (accept, codec) in [
            ("*/*", Some(Codec::Json)),
            ("application/*", Some(Codec::Json)),
            ("application/x-protobuf", Some(Codec::Protobuf)),
            ("application/x-protobuf, application/json", Some(Codec::Json)),
            ("application/recordio", None),
        ] {
            assert_eq!(accepts(&headers(&[("accept", accept)])).ok(), codec, "{accept}");
        }
        assert_eq!(accepts(&HeaderMap::new()).unwrap(), Codec::Json);
    }
}
