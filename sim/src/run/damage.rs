//! Answers of RocketMQ's remoting protocol that are not what they should be.

use bytes::{BufMut, Bytes, BytesMut};
use pop_revive::remoting::BODY_CHECKSUM;

use crate::plan::Damage;

/// Bytes of the length prefix and the header word.
const PREFIX: usize = 8;
/// What a proxy says whose server is gone: no frame at all, and as a length beyond every limit.
const GARBAGE: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";

/// Where a stored message has the checksum of its body, its queue and its offset.
const CHECKSUM_AT: usize = 8;
const QUEUE_AT: usize = 12;
const OFFSET_AT: usize = 20;
/// Where it has its length of 4 bytes, and where there is certainly more of it.
const LEAST: usize = OFFSET_AT + 8;
/// Further than a queue of a simulated run is long.
const BEYOND: i64 = 1_000_000;

/// The answer with that damage; `None` when nothing in it can have it.
pub(super) fn damage(answer: &Bytes, damage: Damage, roll: u64) -> Option<Bytes> {
    if damage == Damage::Garbage {
        return Some(Bytes::from_static(GARBAGE));
    }
    let word = u32::from_be_bytes(answer.get(4..PREFIX)?.try_into().ok()?);
    let body_at = PREFIX + usize::try_from(word & 0x00ff_ffff).ok()?;
    let (header, body) = (answer.get(PREFIX..body_at)?, answer.get(body_at..).filter(|body| !body.is_empty())?);
    let damaged = match damage {
        Damage::FlippedBit => return Some(frame(word, header, &flipped(body, roll))),
        Damage::Cut => return Some(frame(word, header, &body[..body.len() / 2])),
        Damage::Garbage | Damage::Empty => Vec::new(),
        Damage::DamagedMessage => damaged_message(body, roll)?,
        Damage::LaterMessage => later_message(body)?,
        Damage::OtherQueue => other_queue(body)?,
    };
    // The peer itself is wrong: what it sends is what it meant to send.
    let header = meant(header, &damaged)?;
    let word = u32::try_from(header.len()).ok()?;
    Some(frame(word, &header, &damaged))
}

fn frame(word: u32, header: &[u8], body: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + header.len() + body.len());
    frame.put_u32(u32::try_from(4 + header.len() + body.len()).unwrap_or(u32::MAX)); // what was one frame is no longer now
    frame.put_u32(word);
    frame.put_slice(header);
    frame.put_slice(body);
    frame.freeze()
}

/// The header with the checksum of that body; `None` unless it is JSON.
fn meant(header: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let mut header: serde_json::Value = serde_json::from_slice(header).ok()?;
    if let Some(fields) = header.get_mut("extFields").and_then(serde_json::Value::as_object_mut) {
        match body {
            [] => fields.remove(BODY_CHECKSUM),
            body => fields.insert(BODY_CHECKSUM.to_owned(), format!("{:08x}", crc32fast::hash(body)).into()),
        };
    }
    serde_json::to_vec(&header).ok()
}

/// A bit of it is flipped, another one for each roll.
fn flipped(body: &[u8], roll: u64) -> Vec<u8> {
    let bits = body.len() as u64 * 8;
    let bit = roll.wrapping_mul(0x9e37_79b9_7f4a_7c15) % bits;
    let mut body = body.to_vec();
    body[(bit / 8) as usize] ^= 1 << (bit % 8);
    body
}

/// The length of the message at the front of these.
fn first_message(messages: &[u8]) -> Option<usize> {
    let length = usize::try_from(u32::from_be_bytes(messages.get(..4)?.try_into().ok()?)).ok()?;
    (LEAST..=messages.len()).contains(&length).then_some(length)
}

/// The body of the first message is not what its checksum says; or not even its length makes sense.
fn damaged_message(messages: &[u8], roll: u64) -> Option<Vec<u8>> {
    first_message(messages)?;
    let mut messages = messages.to_vec();
    messages[if roll.is_multiple_of(2) { CHECKSUM_AT } else { 0 }] ^= 0x40;
    Some(messages)
}

fn later_message(messages: &[u8]) -> Option<Vec<u8>> {
    let first = first_message(messages)?;
    if first < messages.len() {
        return Some(messages[first..].to_vec());
    }
    let mut message = messages.to_vec();
    let offset = i64::from_be_bytes(message[OFFSET_AT..LEAST].try_into().ok()?);
    message[OFFSET_AT..LEAST].copy_from_slice(&(offset + BEYOND).to_be_bytes());
    Some(message)
}

fn other_queue(messages: &[u8]) -> Option<Vec<u8>> {
    let mut messages = messages.to_vec();
    let mut at = 0;
    while at < messages.len() {
        let length = first_message(&messages[at..])?;
        messages[at + QUEUE_AT + 3] ^= 1;
        at += length;
    }
    Some(messages)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use bytes::BytesMut;
    use pop_revive::{
        model::message::Message,
        remoting::{Command, FrameCodec, FrameError},
    };
    use tokio_util::codec::{Decoder, Encoder};

    use super::*;
    use crate::workload::fake_broker;

    fn message(offset: i64) -> Message {
        fake_broker::message("orders", 0, offset, "body")
    }

    fn answer(messages: &[Message]) -> Bytes {
        let body: Vec<u8> = messages.iter().flat_map(|message| message.encode().unwrap()).collect();
        let mut frame = BytesMut::new();
        FrameCodec::default().encode(Command::response(0).with_body(body), &mut frame).unwrap();
        frame.freeze()
    }

    fn read(frame: &Bytes) -> Result<Command, FrameError> {
        Ok(FrameCodec::default().decode_eof(&mut BytesMut::from(&frame[..]))?.unwrap())
    }

    /// Offset and queue of what can be read, until something cannot.
    fn messages(frame: &Bytes) -> Vec<(i64, i32)> {
        let mut body = read(frame).unwrap().body;
        let next = || Message::decode(&mut body).ok().map(|message| (message.queue_offset, message.queue_id));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_is_damaged_on_its_way_is_refused_as_a_frame() {
        let sound = answer(&[message(1), message(2)]);
        for roll in 0..200 {
            let flipped = damage(&sound, Damage::FlippedBit, roll).unwrap();
            assert!(matches!(read(&flipped), Err(FrameError::BadChecksum { .. })), "{roll}");
        }
        assert!(matches!(read(&damage(&sound, Damage::Cut, 0).unwrap()), Err(FrameError::BadChecksum { .. })));
        assert!(matches!(read(&damage(&sound, Damage::Garbage, 0).unwrap()), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn what_a_peer_means_to_send_is_a_frame_with_other_messages() {
        let sound = answer(&[message(1), message(2)]);
        assert_eq!(messages(&sound), [(1, 0), (2, 0)]);
        let damaged = |answer: &Bytes, kind| messages(&damage(answer, kind, 0).unwrap());
        assert_eq!(damaged(&sound, Damage::Empty), []);
        assert_eq!(damaged(&sound, Damage::DamagedMessage), []);
        let envelope = |roll| {
            u32::from_be_bytes(
                read(&damage(&sound, Damage::DamagedMessage, roll).unwrap()).unwrap().body[..4].try_into().unwrap(),
            )
        };
        assert_eq!(envelope(0), 101);
        assert!(envelope(1) > 1 << 30);
        assert_eq!(damaged(&sound, Damage::LaterMessage), [(2, 0)]);
        assert_eq!(damaged(&answer(&[message(1)]), Damage::LaterMessage), [(1_000_001, 0)]);
        assert_eq!(damaged(&sound, Damage::OtherQueue), [(1, 1), (2, 1)]);
    }

    #[test]
    fn what_has_no_body_has_nothing_to_damage() {
        let empty = answer(&[]);
        for kind in Damage::ALL.into_iter().filter(|kind| *kind != Damage::Garbage) {
            assert_eq!(damage(&empty, kind, 0), None, "{kind:?}");
        }
    }
}
