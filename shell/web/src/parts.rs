//! Bodies in parts: sent without being put together, compressed part by part and only once each.
//!
//! Never: what is in them, nor who shares them.

use crate::reading;
use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use http::{HeaderValue, Response, header};
use hyper::body::{Body, Frame, SizeHint};
use model::document::{Packed, Part};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};
use tokio::sync::watch;

/// After so much the others that wait for this thread come first: a client that reads as fast as it can would hold it up
/// for as long as its body is.
const TURN_BYTES: usize = 128 * 1024;
/// Parts shorter than this are sent together with their neighbours.
const ALONE_BYTES_MIN: usize = 4096;
/// A gzip member's head: no name, no time, no system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty block that is the last.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A body whose bytes are all there, in several pieces.
#[derive(Debug)]
pub struct PartsBody {
    pieces: vec::IntoIter<Bytes>,
    left: u64,
    turn: usize,
    /// Tells where it is sent from that it is over.
    sending: Option<Sending>,
}

/// True while a large body is sent on a connection.
#[derive(Debug)]
struct Sending(watch::Sender<bool>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl PartsBody {
    fn new(all: impl Iterator<Item = Bytes>) -> Self {
        let (mut pieces, mut small, mut left) = (Vec::new(), BytesMut::new(), 0);
        for mut piece in all {
            left += piece.len() as u64;
            if piece.len() < ALONE_BYTES_MIN {
                small.extend_from_slice(&piece);
            } else {
                if !small.is_empty() {
                    pieces.push(small.split().freeze());
                }
                while piece.len() > TURN_BYTES {
                    pieces.push(piece.split_to(TURN_BYTES));
                }
                pieces.push(piece);
            }
        }
        if !small.is_empty() {
            pieces.push(small.freeze());
        }
        Self { pieces: pieces.into_iter(), left, turn: 0, sending: None }
    }
    /// The same; where it is large, `large` is true until it has been handed over or dropped, and nothing is handed over
    /// before who waits for that has had its turn.
    pub fn telling(mut self, large: &watch::Sender<bool>) -> Self {
        if self.left >= reading::LARGE_BYTES_MIN as u64 {
            large.send_replace(true);
            self.sending = Some(Sending(large.clone()));
            self.turn = TURN_BYTES;
        }
        self
    }
}

/// A body that stands in one piece.
pub fn one(body: Bytes) -> PartsBody {
    PartsBody::new(std::iter::once(body))
}

impl Body for PartsBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.pieces.next();
        self.turn += next.as_ref().map_or(0, Bytes::len);
        self.left -= next.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.left == 0 {
            self.sending = None;
        }
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }
    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// As they are.
pub fn plain(answer: Response<Arc<Vec<Arc<Part>>>>) -> Response<PartsBody> {
    answer.map(|parts| PartsBody::new(parts.iter().map(|part| part.plain.clone())))
}

/// As one gzip member. Takes as long as it takes to compress those parts that never were.
pub fn gzip(answer: Response<Arc<Vec<Arc<Part>>>>) -> Response<PartsBody> {
    let mut deflate = Compress::new(Compression::fast(), false);
    let mut sum = crc32fast::Hasher::new();
    let mut blocks = Vec::with_capacity(answer.body().len() + 2);
    blocks.push(Bytes::from_static(&GZIP_HEAD));
    let mut length = 0_u64;
    for part in answer.body().iter() {
        let packed = part.packed.get_or_init(|| pack(&mut deflate, &part.plain));
        sum.combine(&crc32fast::Hasher::new_with_initial_len(packed.crc, part.plain.len() as u64));
        length += part.plain.len() as u64;
        blocks.push(packed.blocks.clone());
    }
    let mut end = BytesMut::from(&LAST_BLOCK[..]);
    end.put_u32_le(sum.finalize());
    // Its length as far as 32 bits go: that is what gzip says.
    end.put_u32_le(length as u32);
    blocks.push(end.freeze());
    let mut answer = answer.map(|_| PartsBody::new(blocks.into_iter()));
    answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}

/// Compresses without looking back beyond the beginning, and ends at a whole byte.
fn pack(deflate: &mut Compress, plain: &[u8]) -> Packed {
    deflate.reset();
    let mut blocks = Vec::with_capacity(plain.len() / 4 + 64);
    loop {
        let taken = deflate.total_in() as usize;
        // The only error is a stream that has ended, which this one never does.
        let compressed = deflate.compress_vec(&plain[taken..], &mut blocks, FlushCompress::Full);
        if compressed.is_err()
            || (deflate.total_in() as usize == plain.len() && blocks.len() < blocks.capacity())
        {
            break;
        }
        blocks.reserve(blocks.capacity());
    }
    let mut sum = crc32fast::Hasher::new();
    sum.update(plain);
    Packed { blocks: blocks.into(), crc: sum.finalize() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::io::Read as _;

    fn answer(parts: &[&str]) -> Response<Arc<Vec<Arc<Part>>>> {
        Response::new(Arc::new(parts.iter().map(|text| Part::new((*text).to_owned())).collect()))
    }

    async fn body(answer: Response<PartsBody>) -> Vec<u8> {
        let exact = answer.body().size_hint().exact();
        let all = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(exact, Some(all.len() as u64));
        all.to_vec()
    }

    #[tokio::test]
    async fn parts_make_one_body_and_one_gzip_member() {
        let long = "abc,".repeat(50_000);
        let noise: String = (0..40_000_u32)
            .map(|n| char::from(b' ' + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 90))
            .collect();
        for parts in [&["[", &long, ",", &noise, "]"][..], &[], &[""], &["x"]] {
            let wanted = parts.concat();
            assert_eq!(body(plain(answer(parts))).await, wanted.as_bytes());
            let made = answer(parts);
            for again in 0..2 {
                let packed = gzip(made.clone());
                assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
                let bytes = body(packed).await;
                let mut unpacked = Vec::new();
                flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
                assert_eq!(unpacked, wanted.as_bytes(), "round {again}");
            }
        }
    }
}
