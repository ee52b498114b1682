//! RocketMQ's remoting protocol, as far as the network has to know it.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;

use crate::plan::Damage;
use crate::world::{End, FrameKind, Header, Protocol};

/// Bytes of the length prefix and the header word.
const PREFIX: usize = 8;

/// RocketMQ's frames: a length, a header word, a header in JSON or binary, a body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Remoting;

impl Protocol for Remoting {
    fn split_first(&self, flushed: &mut BytesMut) -> Bytes {
        let whole = flushed.first_chunk::<4>().map(|length| u32::from_be_bytes(*length));
        let end = whole.and_then(|length| usize::try_from(length).ok()?.checked_add(4));
        match end.filter(|end| *end <= flushed.len()) {
            Some(end) => flushed.split_to(end).freeze(),
            None => flushed.split().freeze(),
        }
    }

    fn read(&self, frame: &[u8], _: End) -> Option<Header> {
        let Peek { code, flag, opaque } = Peek::read(frame)?;
        let kind = match (flag & 1 != 0, flag & 2 != 0) {
            (true, _) => FrameKind::Response,
            (false, true) => FrameKind::OneWay,
            (false, false) => FrameKind::Request,
        };
        Some(Header { kind, code, opaque })
    }

    fn answer(&self, code: i32, opaque: i32) -> Option<Bytes> {
        Some(response(code, opaque))
    }

    fn damage(&self, answer: &Bytes, damage: Damage, roll: u64) -> Option<Bytes> {
        super::damage::damage(answer, damage, roll)
    }
}

/// The three header fields by which requests and responses are told apart and matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Peek {
    code: i32,
    #[serde(default)]
    flag: i32,
    opaque: i32,
}

impl Peek {
    /// Reads the header of one whole frame; `None` for bytes that are no frame.
    fn read(frame: &[u8]) -> Option<Self> {
        let word = u32::from_be_bytes(frame.get(4..PREFIX)?.try_into().ok()?);
        let length = usize::try_from(word & 0x00ff_ffff).ok()?;
        let header = frame.get(PREFIX..PREFIX.checked_add(length)?)?;
        match word >> 24 {
            0 => serde_json::from_slice(header).ok(),
            1 => Self::read_binary(header),
            _ => None,
        }
    }

    /// Binary layout: code 2, language 1, version 2, opaque 4, flag 4, and what does not matter here.
    fn read_binary(header: &[u8]) -> Option<Self> {
        let code = i16::from_be_bytes(header.get(0..2)?.try_into().ok()?);
        let opaque = i32::from_be_bytes(header.get(5..9)?.try_into().ok()?);
        let flag = i32::from_be_bytes(header.get(9..13)?.try_into().ok()?);
        Some(Self { code: code.into(), flag, opaque })
    }
}

/// A response frame with an empty body that answers the request `opaque` with `code`.
fn response(code: i32, opaque: i32) -> Bytes {
    let header = format!(
        r#"{{"code":{code},"flag":1,"language":"OTHER","opaque":{opaque},"remark":"injected","serializeTypeCurrentRPC":"JSON","version":479}}"#
    );
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX); // about 120 bytes
    let mut frame = BytesMut::with_capacity(PREFIX + header.len());
    frame.put_u32(length + 4);
    frame.put_u32(length);
    frame.put_slice(header.as_bytes());
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_json_and_binary_headers() {
        let read = |frame: &[u8]| Remoting.read(frame, End::Dialling);
        let answer = Header { kind: FrameKind::Response, code: -7, opaque: 42 };
        assert_eq!(read(&response(-7, 42)), Some(answer));
        let binary: Vec<u8> = vec![
            0, 0, 0, 0x22, 1, 0, 0, 0x1e, 0, 0x0a, 0x0c, 1, 0xdf, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 1, b'r', 0, 0, 0, 8,
            0, 1, b'k', 0, 0, 0, 1, b'v',
        ];
        assert_eq!(read(&binary), Some(Header { kind: FrameKind::OneWay, code: 10, opaque: 7 }));
        assert_eq!(read(b"ping"), None);
    }

    #[test]
    fn splits_frames_flushed_together_and_keeps_other_bytes_whole() {
        let mut two = BytesMut::new();
        two.extend_from_slice(&response(0, 1));
        two.extend_from_slice(&response(0, 2));
        assert_eq!(Remoting.split_first(&mut two), response(0, 1));
        assert_eq!(Remoting.split_first(&mut two), response(0, 2));
        let mut other = BytesMut::from(&b"ping pong"[..]);
        assert_eq!(Remoting.split_first(&mut other), "ping pong");
    }
}
