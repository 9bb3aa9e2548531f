//! Request bodies read whole within their bounds, gzip both ways. Never: what is in them.

use bytes::{Bytes, BytesMut};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use std::io::{Read as _, Write as _};

/// A body that is too large is still read and dropped up to this many times its bound, so that its sender sees the
/// answer instead of a broken connection.
const DISCARD_FACTOR: usize = 32;
/// Answers shorter than this are not worth compressing.
const GZIP_BYTES_MIN: usize = 256;

/// Why there is no body: an answer, or nobody to answer.
pub enum Unread {
    /// Answer this, and close.
    Refuse(StatusCode, String),
    /// The connection broke.
    Broken,
}

/// Reads a body of at most so many bytes.
pub async fn read(
    headers: &HeaderMap,
    mut body: hyper::body::Incoming,
    bytes_max: usize,
) -> Result<Bytes, Unread> {
    let said =
        headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let too_large = || {
        let text = format!(
            "The request body is larger than {bytes_max} bytes, which is the most that is taken (BODY_BYTES_MAX)"
        );
        Unread::Refuse(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    if said.is_some_and(|n| n > bytes_max as u64) && headers.contains_key(header::EXPECT) {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        length += data.len();
        if length <= bytes_max {
            whole.extend_from_slice(&data);
        } else {
            whole = BytesMut::new();
            if length > bytes_max.saturating_mul(DISCARD_FACTOR) {
                break;
            }
        }
    }
    if length > bytes_max {
        return Err(too_large());
    }
    let whole = whole.freeze();
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Ok(whole),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            let decoder = GzDecoder::new(&whole[..]);
            match decoder.take(bytes_max as u64 + 1).read_to_end(&mut plain) {
                Ok(n) if n > bytes_max => Err(too_large()),
                Ok(_) => Ok(plain.into()),
                Err(_) => {
                    Err(Unread::Refuse(StatusCode::INTERNAL_SERVER_ERROR, "failed to decode body".to_owned()))
                }
            }
        }
        Some(_) => {
            let text = "The request body is encoded in a way that is not understood; gzip is".to_owned();
            Err(Unread::Refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
    }
}

/// Whether the client takes gzip.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    let codings = values.flat_map(|v| v.split(',')).map(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0f32));
        (name.trim(), !refused)
    });
    let codings: Vec<_> = codings.collect();
    let says =
        |names: &[&str]| codings.iter().find(|(name, _)| names.contains(name)).map(|(_, takes)| *takes);
    says(&["gzip", "x-gzip"]).or_else(|| says(&["*"])).unwrap_or(false)
}

/// Compresses an answer that is worth it.
pub fn compress(mut answer: Response<Bytes>) -> Response<Bytes> {
    if answer.body().len() < GZIP_BYTES_MIN || answer.headers().contains_key(header::CONTENT_ENCODING) {
        return answer;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(answer.body().len() / 4), Compression::fast());
    let small = encoder.write_all(answer.body()).and_then(|()| encoder.finish());
    if let Ok(small) = small {
        *answer.body_mut() = small.into();
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_only_if_asked() {
        for (value, takes) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(takes_gzip(&headers), takes, "{value:?}");
        }
    }
}
