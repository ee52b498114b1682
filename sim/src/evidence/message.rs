//! A stored message (RocketMQ's commit-log record), read independently of the broker.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::history::LedgerId;

/// Magic of a record whose topic length takes one byte.
const MAGIC_V1: i32 = -626_843_481;
/// Magic of a record whose topic length takes two bytes.
const MAGIC_V2: i32 = -626_843_477;
/// System flag: the born host is IPv6.
const BORN_HOST_V6: i32 = 0x10;
/// System flag: the store host is IPv6.
const STORE_HOST_V6: i32 = 0x20;

/// A message as it is stored, and as pull and pop answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredMessage {
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue: i32,
    /// Offset in the queue.
    pub offset: i64,
    /// How often it was revived before.
    pub reconsume: i32,
    /// Body; listed as `length:checksum` where the message is printed.
    #[serde(serialize_with = "summary")]
    pub body: Bytes,
    /// Properties, sorted by name.
    pub properties: Vec<(String, String)>,
    /// When the producer made it, Unix ms.
    pub born_timestamp: i64,
    /// Address and port of the producer, as stored.
    pub born_host: String,
    /// The application's flag.
    pub flag: i32,
    /// System flag bits.
    pub sys_flag: i32,
    /// When the broker stored it, Unix ms.
    pub store_timestamp: i64,
    /// The producer's stamp in the body.
    pub ledger: Option<LedgerId>,
    /// RocketMQ's offset message id: who stored it, and at which place of its log.
    #[serde(skip_serializing)]
    pub offset_id: String,
}

fn summary<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}:{:08x}", body.len(), crc32fast::hash(body)))
}

/// Bytes that are no stored message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MessageError {
    /// They end too early.
    #[error("the message is cut short at byte {at}")]
    Short {
        /// Where more was expected.
        at: usize,
    },
    /// They do not begin as a message does.
    #[error("magic {magic:#010x} is not that of a message")]
    Magic {
        /// What was found.
        magic: i32,
    },
    /// A text is not UTF-8.
    #[error("the {what} is not UTF-8")]
    Text {
        /// Which.
        what: &'static str,
    },
    /// The body's checksum is not the stored one.
    #[error("the body's checksum is {found:08x}, the record says {expected:08x}")]
    Checksum {
        /// Of the bytes.
        found: u32,
        /// In the record.
        expected: u32,
    },
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], MessageError> {
        let end = self.at.checked_add(length).ok_or(MessageError::Short { at: self.at })?;
        let taken = self.bytes.get(self.at..end).ok_or(MessageError::Short { at: self.at })?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| MessageError::Short { at })
    }

    fn i32(&mut self) -> Result<i32, MessageError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, MessageError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn sized(&mut self, length: i64) -> Result<&'a [u8], MessageError> {
        let length = usize::try_from(length).map_err(|_| MessageError::Short { at: self.at })?;
        self.take(length)
    }

    fn host(&mut self, v6: bool) -> Result<String, MessageError> {
        let ip =
            if v6 { std::net::IpAddr::from(self.array::<16>()?) } else { std::net::IpAddr::from(self.array::<4>()?) };
        Ok(format!("{ip}:{}", self.i32()?))
    }

    /// The bytes of an address and its port, in hexadecimal.
    fn host_digits(&mut self, v6: bool) -> Result<String, MessageError> {
        let length = if v6 { 20 } else { 8 };
        Ok(self.sized(length)?.iter().map(|byte| format!("{byte:02X}")).collect())
    }
}

impl StoredMessage {
    /// Reads one message from the front of `bytes`; tells how many bytes it took.
    ///
    /// # Errors
    /// The bytes are short, damaged, or not a message.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), MessageError> {
        let mut outer = Cursor { bytes, at: 0 };
        let total = outer.i32()?;
        let whole = usize::try_from(total).ok().filter(|total| *total >= 8);
        let record = whole.and_then(|total| bytes.get(..total)).ok_or(MessageError::Short { at: bytes.len() })?;
        let mut cursor = Cursor { bytes: record, at: 4 };
        let magic = cursor.i32()?;
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(MessageError::Magic { magic });
        }
        let checksum = u32::from_be_bytes(cursor.array()?);
        let (queue, flag) = (cursor.i32()?, cursor.i32()?);
        let (offset, physical) = (cursor.i64()?, cursor.i64()?);
        let sys_flag = cursor.i32()?;
        let born_timestamp = cursor.i64()?;
        let born_host = cursor.host(sys_flag & BORN_HOST_V6 != 0)?;
        let store_timestamp = cursor.i64()?;
        let store_host = cursor.host_digits(sys_flag & STORE_HOST_V6 != 0)?;
        let reconsume = cursor.i32()?;
        let _prepared = cursor.i64()?;
        let body_length = cursor.i32()?;
        let body = cursor.sized(body_length.into())?;
        let found = crc32fast::hash(body) & 0x7fff_ffff;
        if found != checksum {
            return Err(MessageError::Checksum { found, expected: checksum });
        }
        let topic_length = if magic == MAGIC_V1 {
            i64::from(cursor.array::<1>()?[0])
        } else {
            i16::from_be_bytes(cursor.array()?).into()
        };
        let topic = text(cursor.sized(topic_length)?, "topic")?;
        let properties_length = i16::from_be_bytes(cursor.array()?);
        let properties = properties(text(cursor.sized(properties_length.into())?, "properties")?);
        let message = Self {
            topic: topic.to_owned(),
            queue,
            offset,
            reconsume,
            body: Bytes::copy_from_slice(body),
            properties,
            born_timestamp,
            born_host,
            flag,
            sys_flag,
            store_timestamp,
            ledger: stamp(body),
            offset_id: format!("{store_host}{physical:016X}"),
        };
        Ok((message, record.len()))
    }

    /// Reads all messages of a pull's or pop's answer.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn read_all(mut bytes: &[u8]) -> Result<Vec<Self>, MessageError> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let (message, length) = Self::read(bytes)?;
            messages.push(message);
            bytes = &bytes[length..];
        }
        Ok(messages)
    }

    /// A property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn text<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, MessageError> {
    std::str::from_utf8(bytes).map_err(|_| MessageError::Text { what })
}

/// Splits a property string: name, 0x01, value, 0x02, repeated.
#[must_use]
pub fn properties(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('\u{2}').filter_map(|pair| pair.split_once('\u{1}'));
    let kept = pairs.filter(|(name, value)| !name.is_empty() && !value.is_empty());
    let mut list: Vec<_> = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    list.sort();
    list
}

/// The ledger id between `<<` and `>>` at the body's start.
#[must_use]
pub fn stamp(body: &[u8]) -> Option<LedgerId> {
    let tail = body.strip_prefix(b"<<")?;
    let end = memchr::memmem::find(tail, b">>")?;
    std::str::from_utf8(&tail[..end]).ok().map(|id| LedgerId(id.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The test vector of the protocol notes: topic `t`, body `hello`, property A=b.
    const VECTOR: &str = "00000065daa320a73610a6860000000300000009000000000000006400000000000004\
        d2000000000000018bcfe568007f000001000000010000018bcfe568017f0000010000\
        2a9f0000000100000000000000000000000568656c6c6f0174000441016202";

    fn vector() -> Vec<u8> {
        (0..VECTOR.len()).step_by(2).map(|at| u8::from_str_radix(&VECTOR[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn reads_rocketmqs_record() {
        let (message, length) = StoredMessage::read(&vector()).unwrap();
        assert_eq!((length, message.topic.as_str(), &message.body[..]), (101, "t", &b"hello"[..]));
        assert_eq!((message.queue, message.offset, message.reconsume, message.flag), (3, 100, 1, 9));
        assert_eq!((message.born_timestamp, message.store_timestamp), (1_700_000_000_000, 1_700_000_000_001));
        assert_eq!((message.born_host.as_str(), message.property("A")), ("127.0.0.1:1", Some("b")));
        assert_eq!(message.ledger, None);
    }

    #[test]
    fn every_cut_and_a_damaged_body_are_noticed() {
        let bytes = vector();
        for length in 0..bytes.len() {
            assert!(StoredMessage::read(&bytes[..length]).is_err(), "cut at {length}");
        }
        let mut damaged = bytes.clone();
        let body = memchr::memmem::find(&bytes, b"hello").unwrap();
        damaged[body] ^= 1;
        assert!(matches!(StoredMessage::read(&damaged), Err(MessageError::Checksum { .. })));
    }

    #[test]
    fn stamps_are_read() {
        assert_eq!(stamp(b"<<p#7>>rest").unwrap().to_string(), "p#7");
        assert_eq!((stamp(b"p#7>>"), stamp(b"<<p#7")), (None, None));
    }
}
