//! What attached clients and containers exchange: the records of ATTACH_CONTAINER_INPUT, and those of what a container
//! says. Never their transport.

use super::calls::{self, DISABLED, Style};
use crate::render;
use agent::{Agent, Attachable};
use api::{call, recordio};
use bytes::Bytes;
use http::{HeaderMap, Response, header};
use model::{
    container::ContainerId,
    mesos::agent::{
        Call, ProcessIo,
        call::{Type, attach_container_input},
        process_io,
    },
    request::{Answer, Codec},
};

/// What a client says to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Bytes for its stdin; none = the end of it.
    Input(Vec<u8>),
    /// Another size of its terminal.
    Window {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
    /// It is still there.
    Heartbeat,
}

fn refuse(status: u16, why: impl Into<String>) -> Response<Bytes> {
    render(Answer::text(status, why))
}

/// Whether a path is that of the agent's API.
pub fn is_api(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    path.strip_prefix("/slave(1)").or_else(|| path.strip_prefix("/slave%281%29")).unwrap_or(path) == "/api/v1"
}

/// The head of a request whose body is records: how they are written.
pub fn input_codec(request: &http::Request<Bytes>, agent: &Agent) -> Result<Codec, Response<Bytes>> {
    if !agent.is_recovered() {
        return Err(refuse(503, "Agent has not finished recovery"));
    }
    if request.method() != http::Method::POST {
        return Err(crate::answer::wrong_method(&["POST"], request.method()));
    }
    let headers = request.headers();
    let Some(messages) = headers.get("message-content-type") else {
        return Err(refuse(400, "Expecting 'Message-Content-Type' to be set for streaming requests"));
    };
    let codec = match messages.as_bytes() {
        b"application/json" => Codec::Json,
        b"application/x-protobuf" => Codec::Protobuf,
        _ => {
            let why = format!("Expecting 'Message-Content-Type' of {} or {}", call::JSON, call::PROTOBUF);
            return Err(refuse(415, why));
        }
    };
    calls::style(headers).map_err(|(status, why)| refuse(status, why))?;
    Ok(codec)
}

fn decode(record: &[u8], codec: Codec) -> Result<Call, String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(call::media_type(codec)));
    call::decode::<Call>(&headers, record).map_err(|(_, why)| why)
}

/// The first record: which container is meant, if clients may attach to it.
pub fn input_container(record: &[u8], codec: Codec, agent: &Agent) -> Result<ContainerId, Response<Bytes>> {
    let call = decode(record, codec).map_err(|why| refuse(400, why))?;
    if call.r#type() != Type::AttachContainerInput {
        let why = format!(
            "Streaming 'Content-Type' application/recordio is not supported for {} call",
            call.r#type().as_str_name()
        );
        return Err(refuse(415, why));
    }
    let part = call.attach_container_input.unwrap_or_default();
    if part.r#type() != attach_container_input::Type::ContainerId {
        return Err(refuse(400, "Expecting 'attach_container_input.type' to be CONTAINER_ID"));
    }
    let Some(id) = part.container_id else {
        let why =
            "Failed to validate agent::Call: Expecting 'attach_container_input.container_id' to be present";
        return Err(refuse(400, why));
    };
    let container = ContainerId::of_message(&id);
    match agent.attachable(&container) {
        Attachable::Yes => Ok(container),
        Attachable::Unknown => Err(refuse(404, format!("Container {container} cannot be found"))),
        Attachable::Disabled => Err(refuse(500, DISABLED)),
    }
}

/// A later record: what the container hears.
pub fn input(record: &[u8], codec: Codec) -> Result<Heard, String> {
    let call = decode(record, codec)?;
    let part = call.attach_container_input.unwrap_or_default();
    let is_io = part.r#type() == attach_container_input::Type::ProcessIo;
    let Some(said) = part.process_io.filter(|_| is_io) else {
        return Err("Expecting 'attach_container_input.type' to be PROCESS_IO".to_owned());
    };
    match said.r#type() {
        process_io::Type::Data => {
            let data = said.data.unwrap_or_default();
            if data.r#type() != process_io::data::Type::Stdin {
                return Err("Expecting 'process_io.data.type' to be STDIN".to_owned());
            }
            Ok(Heard::Input(data.data.unwrap_or_default()))
        }
        process_io::Type::Control => {
            let control = said.control.unwrap_or_default();
            let size = control.tty_info.and_then(|t| t.window_size);
            let fit = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
            match (control.r#type(), size) {
                (process_io::control::Type::TtyInfo, Some(size)) => {
                    Ok(Heard::Window { rows: fit(size.rows), columns: fit(size.columns) })
                }
                (process_io::control::Type::TtyInfo, None) => {
                    Err("Expecting 'process_io.control.tty_info.window_size' to be present".to_owned())
                }
                _ => Ok(Heard::Heartbeat),
            }
        }
        process_io::Type::Unknown => Err("Expecting 'process_io.type' to be DATA or CONTROL".to_owned()),
    }
}

/// What a container says, as one record of a stream.
pub fn output(bytes: Vec<u8>, error: bool, style: Style) -> Bytes {
    let mut data = process_io::Data { data: Some(bytes), ..Default::default() };
    data.set_type(if error { process_io::data::Type::Stderr } else { process_io::data::Type::Stdout });
    let mut said = ProcessIo { data: Some(data), ..Default::default() };
    said.set_type(process_io::Type::Data);
    recordio::frame(&call::encode(&said, style.codec)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_records_say_bytes_windows_and_heartbeats() {
        let read = |text: &str| input(text.as_bytes(), Codec::Json);
        let io = |io: &str| {
            format!(
                r#"{{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{{"type":"PROCESS_IO","process_io":{io}}}}}"#
            )
        };
        let data = io(r#"{"type":"DATA","data":{"type":"STDIN","data":"aGk="}}"#);
        assert_eq!(read(&data), Ok(Heard::Input(b"hi".to_vec())));
        let end = io(r#"{"type":"DATA","data":{"type":"STDIN"}}"#);
        assert_eq!(read(&end), Ok(Heard::Input(Vec::new())));
        let window = io(
            r#"{"type":"CONTROL","control":{"type":"TTY_INFO","tty_info":{"window_size":{"rows":5,"columns":70000}}}}"#,
        );
        assert_eq!(read(&window), Ok(Heard::Window { rows: 5, columns: u16::MAX }));
        let beat = io(
            r#"{"type":"CONTROL","control":{"type":"HEARTBEAT","heartbeat":{"interval":{"nanoseconds":30}}}}"#,
        );
        assert_eq!(read(&beat), Ok(Heard::Heartbeat));
        assert!(read(&io(r#"{"type":"DATA","data":{"type":"STDOUT","data":"aGk="}}"#)).is_err());
        assert!(read("{}").is_err() && read("x").is_err());
    }

    #[test]
    fn output_is_one_record() {
        let style = Style { codec: Codec::Json, recordio: true };
        let record = output(b"hi".to_vec(), true, style);
        let text = r#"{"type":"DATA","data":{"type":"STDERR","data":"aGk="}}"#;
        assert_eq!(record, format!("{}\n{text}", text.len()).into_bytes());
    }
}
