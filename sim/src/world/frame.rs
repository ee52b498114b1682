//! What the network reads of a frame: where it ends, and who answers whom.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;

/// Bytes of the length prefix and the header word.
const PREFIX: usize = 8;

/// The three header fields by which requests and responses are told apart and matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Peek {
    pub(crate) code: i32,
    #[serde(default)]
    pub(crate) flag: i32,
    pub(crate) opaque: i32,
}

impl Peek {
    /// Reads the header of one whole frame; `None` for bytes that are no frame.
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
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

    pub(crate) fn is_response(self) -> bool {
        self.flag & 1 != 0
    }

    pub(crate) fn is_one_way(self) -> bool {
        self.flag & 2 != 0
    }
}

/// Splits off the first whole frame of what was flushed; bytes that are no frame come out in one piece.
pub(crate) fn split_first(flushed: &mut BytesMut) -> Bytes {
    let whole = flushed.first_chunk::<4>().map(|length| u32::from_be_bytes(*length));
    let end = whole.and_then(|length| usize::try_from(length).ok()?.checked_add(4)).filter(|end| *end <= flushed.len());
    match end {
        Some(end) => flushed.split_to(end).freeze(),
        None => flushed.split().freeze(),
    }
}

/// A response frame with an empty body that answers the request `opaque` with `code`.
pub(crate) fn response(code: i32, opaque: i32) -> Bytes {
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
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn reads_json_and_binary_headers() {
        let answer = Peek::read(&response(-7, 42)).unwrap();
        assert_eq!(answer, Peek { code: -7, flag: 1, opaque: 42 });
        assert!(answer.is_response());
        let binary: Vec<u8> = vec![
            0, 0, 0, 0x22, 1, 0, 0, 0x1e, 0, 0x0a, 0x0c, 1, 0xdf, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 1, b'r', 0, 0, 0, 8,
            0, 1, b'k', 0, 0, 0, 1, b'v',
        ];
        let request = Peek::read(&binary).unwrap();
        assert_eq!(request, Peek { code: 10, flag: 2, opaque: 7 });
        assert!(request.is_one_way());
        assert_eq!(Peek::read(b"ping"), None);
    }

    #[test]
    fn splits_frames_flushed_together_and_keeps_other_bytes_whole() {
        let mut two = BytesMut::new();
        two.extend_from_slice(&response(0, 1));
        two.extend_from_slice(&response(0, 2));
        assert_eq!(split_first(&mut two), response(0, 1));
        assert_eq!(split_first(&mut two), response(0, 2));
        let mut other = BytesMut::from(&b"ping pong"[..]);
        assert_eq!(split_first(&mut other), "ping pong");
    }
}
