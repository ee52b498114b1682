//! Frames on the wire, read independently of the broker: the JSON form, which is all that POP codes fit into.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use thiserror::Error;

/// Request codes the oracles know.
pub mod code {
    /// SEND_MESSAGE.
    pub const SEND: i32 = 10;
    /// PULL_MESSAGE: how one broker reads from another.
    pub const PULL: i32 = 11;
    /// REPLICATE: how a slave asks its master for the log. RocketMQ has no such request.
    pub const REPLICATE: i32 = 900_004;
    /// SEAL: how a slave takes a term. RocketMQ has no such request.
    pub const SEAL: i32 = 900_005;
    /// MERGED: how a master tells that it has merged what was done under a term. RocketMQ has no such request.
    pub const MERGED: i32 = 900_007;
    /// TAKE_TIMERS: how a slave that acts hands delayed messages over. RocketMQ has no such request.
    pub const TAKE_TIMERS: i32 = 900_008;
    /// VOTE: how a slave that wants to act asks the other one. RocketMQ has no such request.
    pub const VOTE: i32 = 900_011;
    /// RESUME_PARKED: how an operator has parked chains go on. RocketMQ has no such request.
    pub const RESUME_PARKED: i32 = 900_002;
    /// UPDATE_AND_CREATE_TOPIC.
    pub const CREATE_TOPIC: i32 = 17;
    /// DELETE_TOPIC_IN_BROKER.
    pub const DELETE_TOPIC: i32 = 215;
    /// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP.
    pub const CREATE_GROUP: i32 = 200;
    /// INVOKE_BROKER_TO_RESET_OFFSET.
    pub const RESET_OFFSET: i32 = 222;
    /// REGISTER_BROKER.
    pub const REGISTER_BROKER: i32 = 103;
    /// UNREGISTER_BROKER.
    pub const UNREGISTER_BROKER: i32 = 104;
    /// GET_ROUTEINFO_BY_TOPIC.
    pub const GET_ROUTEINFO_BY_TOPIC: i32 = 105;
    /// GET_BROKER_CLUSTER_INFO.
    pub const GET_BROKER_CLUSTER_INFO: i32 = 106;
    /// SEND_MESSAGE_V2.
    pub const SEND_V2: i32 = 310;
    /// POP_MESSAGE.
    pub const POP: i32 = 200_050;
    /// ACK_MESSAGE.
    pub const ACK: i32 = 200_051;
    /// CHANGE_MESSAGE_INVISIBLETIME.
    pub const CHANGE_INVISIBLE: i32 = 200_053;
    /// BATCH_ACK_MESSAGE.
    pub const BATCH_ACK: i32 = 200_151;
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFrame<'a> {
    /// Request or response code.
    pub code: i32,
    /// Correlates a response with its request.
    pub opaque: i32,
    /// Bit 0: a response. Bit 1: one-way.
    pub flag: i32,
    /// Named fields.
    pub ext: Ext<'a>,
    /// Body.
    pub body: &'a [u8],
}

/// Bytes that are no frame.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The lengths do not fit together.
    #[error("a frame of {length} bytes cannot hold what its prefix says")]
    Length {
        /// Bytes there are.
        length: usize,
    },
    /// Not the JSON form.
    #[error("serialize type {0} is not JSON")]
    SerializeType(u8),
    /// The header is no JSON object of the known form.
    #[error("the frame's header is not understood")]
    Header(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Header<'a> {
    code: i32,
    #[serde(default)]
    opaque: i32,
    #[serde(default)]
    flag: i32,
    #[serde(default, borrow, rename = "extFields")]
    ext: Option<Ext<'a>>,
}

impl<'a> WireFrame<'a> {
    /// Reads a whole frame, its length prefix included.
    ///
    /// # Errors
    /// The lengths are wrong, or the header is not JSON.
    pub fn read(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let wrong = || FrameError::Length { length: bytes.len() };
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        let (length, header_word) = word(0).zip(word(4)).ok_or_else(wrong)?;
        let serialize_type = header_word.to_be_bytes()[0];
        if serialize_type != 0 {
            return Err(FrameError::SerializeType(serialize_type));
        }
        let whole = bytes.get(..length as usize + 4).ok_or_else(wrong)?;
        let body_at = 8 + (header_word & 0x00ff_ffff) as usize;
        let (head, body) = whole.split_at_checked(body_at).ok_or_else(wrong)?;
        let header: Header<'a> = serde_json::from_slice(&head[8..])?;
        let Header { code, opaque, flag, ext } = header;
        Ok(Self { code, opaque, flag, ext: ext.unwrap_or_default(), body })
    }

    /// A named field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.ext.get(name)
    }

    /// A named field that is a number.
    #[must_use]
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// The topic that a send (either form) goes to.
    #[must_use]
    pub fn send_topic(&self) -> Option<&str> {
        self.get(if self.code == code::SEND_V2 { "b" } else { "topic" })
    }

    /// The property string of a send (either form).
    #[must_use]
    pub fn send_properties(&self) -> Option<&str> {
        self.get(if self.code == code::SEND_V2 { "i" } else { "properties" })
    }
}

/// Named fields of a frame; a number or a boolean is taken as its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ext<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Ext<'_> {
    /// A field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Ext<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Ext<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ext<'de>, A::Error> {
                let mut pairs = Vec::with_capacity(16);
                while let Some((Text(name), Text(value))) = map.next_entry()? {
                    pairs.push((name, value));
                }
                Ok(Ext(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl<'de> Visitor<'de> for AnyText {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a boolean")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(flag.to_string())))
            }
            fn visit_unit<E: serde::de::Error>(self) -> Result<Text<'de>, E> {
                Err(E::custom("a field is null"))
            }
        }
        deserializer.deserialize_any(AnyText).map_err(D::Error::custom)
    }
}

/// A receipt handle: start offset, pop time, invisible time, revive queue, retry flag, broker, queue, offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle<'a> {
    /// When the message was popped, Unix ms on the broker's clock.
    pub pop_time: i64,
    /// `0` a normal topic, `1` a retry topic of the first form, `2` of the second.
    pub retry: &'a str,
    /// Who holds the message.
    pub broker: &'a str,
    /// Queue.
    pub queue: i32,
    /// Offset.
    pub offset: i64,
}

impl<'a> Handle<'a> {
    /// Reads a handle of eight or nine fields.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        let mut fields = text.split(' ');
        let (_start, pop_time) = (fields.next()?, fields.next()?.parse().ok()?);
        let (_invisible, _revive) = (fields.next()?, fields.next()?);
        let (retry, broker) = (fields.next()?, fields.next()?);
        let (queue, offset) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { pop_time, retry, broker, queue, offset })
    }

    /// The topic that was really read.
    #[must_use]
    pub fn real_topic(&self, group: &str, normal: &str) -> String {
        match self.retry {
            "1" => format!("%RETRY%{group}_{normal}"),
            "2" => format!("%RETRY%{group}+{normal}"),
            _ => normal.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn frame(header: &str, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(4 + header.len() + body.len()).unwrap();
        let header_length = u32::try_from(header.len()).unwrap();
        [&length.to_be_bytes(), &header_length.to_be_bytes(), header.as_bytes(), body].concat()
    }

    #[test]
    fn frames_are_read() {
        let header =
            r#"{"code":310,"extFields":{"b":"t","e":"3","g":17,"m":true},"flag":0,"language":"RUST","opaque":7}"#;
        let bytes = frame(header, b"body");
        let read = WireFrame::read(&bytes).unwrap();
        assert_eq!((read.code, read.opaque, read.body), (310, 7, &b"body"[..]));
        assert_eq!((read.send_topic(), read.number::<i32>("e"), read.get("m")), (Some("t"), Some(3), Some("true")));
        assert_eq!(read.number::<i64>("g"), Some(17));
        let plain = frame(r#"{"code":0,"opaque":1,"flag":1}"#, b"");
        assert_eq!(WireFrame::read(&plain).unwrap().ext, Ext::default());
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let bytes = frame(r#"{"code":0}"#, b"x");
        for length in 0..bytes.len() {
            assert!(WireFrame::read(&bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(matches!(WireFrame::read(&frame("no json", b"")), Err(FrameError::Header(_))));
        assert!(matches!(WireFrame::read(&[0, 0, 0, 4, 1, 0, 0, 0]), Err(FrameError::SerializeType(1))));
    }

    #[test]
    fn handles_lead_to_the_topic_that_was_read() {
        let handle = Handle::read("100 1700 60000 1001 1 broker-a 3 101 5678").unwrap();
        assert_eq!((handle.pop_time, handle.broker, handle.queue, handle.offset), (1700, "broker-a", 3, 101));
        assert_eq!(handle.real_topic("g", "t"), "%RETRY%g_t");
        assert_eq!(Handle::read("100 1700 60000 2 0 b 3"), None);
    }
}
