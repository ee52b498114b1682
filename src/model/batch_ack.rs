//! The body of a `BATCH_ACK_MESSAGE` request (RocketMQ `BatchAckMessageRequestBody`, `BatchAck`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ack::OFFSETS_MAX;
use super::body_error::{self, BodyError};
use super::clip::clip;
use super::handle::RetryFlag;
use super::topic;

/// Acks of a client that belong to one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchAckBody {
    /// One entry for each checkpoint.
    pub acks: Vec<BatchAck>,
    /// Broker the first handle names.
    pub broker_name: Option<String>,
}

/// Acks that belong to one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchAck {
    /// `b`: the acknowledged messages.
    pub bit_set: AckBits,
    /// `c`: consumer group.
    pub consumer_group: String,
    /// `it`: how long the messages stay invisible, milliseconds.
    pub invisible_time: i64,
    /// `pt`: time of the pop, Unix milliseconds.
    pub pop_time: i64,
    /// `q`: queue of the messages.
    pub queue_id: i32,
    /// `r`: kind of topic that was read.
    pub retry: RetryFlag,
    /// `rq`: revive queue of the checkpoint.
    pub revive_queue: i32,
    /// `so`: start offset of the checkpoint.
    pub start_offset: i64,
    /// `t`: topic the client asked for, never a retry topic.
    pub topic: String,
}

/// Distances of acknowledged messages from a start offset: bit *n* of byte *k* stands for distance 8 *k* + *n*.
///
/// Holds at most [`OFFSETS_MAX`] bits and no trailing zero byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AckBits {
    bytes: Vec<u8>,
}

impl AckBits {
    /// The set of these distances.
    ///
    /// # Errors
    /// When one lies beyond [`OFFSETS_MAX`].
    pub fn from_distances(distances: impl IntoIterator<Item = usize>) -> Result<Self, BodyError> {
        let mut bytes = Vec::new();
        for distance in distances {
            if distance >= OFFSETS_MAX {
                return Err(BodyError::TooManyOffsets { found: distance.saturating_add(1), max: OFFSETS_MAX });
            }
            if bytes.len() <= distance / 8 {
                bytes.resize(distance / 8 + 1, 0u8);
            }
            bytes[distance / 8] |= 1 << (distance % 8);
        }
        Ok(Self { bytes })
    }

    /// The distances in ascending order.
    pub fn distances(&self) -> impl Iterator<Item = i64> {
        (0i64..)
            .zip(&self.bytes)
            .flat_map(|(index, byte)| (0i64..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| index * 8 + bit))
    }

    fn from_bytes(mut bytes: Vec<u8>) -> Result<Self, BodyError> {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        if bytes.len() > OFFSETS_MAX / 8 {
            return Err(BodyError::TooManyOffsets { found: bytes.len() * 8, max: OFFSETS_MAX });
        }
        Ok(Self { bytes })
    }
}

impl Serialize for AckBits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.bytes))
    }
}

/// The two forms RocketMQ reads; the bytes of the list are signed in Java.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawBits {
    Base64(String),
    Bytes(Vec<i16>),
}

impl<'de> Deserialize<'de> for AckBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = match RawBits::deserialize(deserializer)? {
            RawBits::Base64(text) => STANDARD.decode(text).map_err(de::Error::custom)?,
            RawBits::Bytes(list) => {
                list.into_iter().map(java_byte).collect::<Result<_, _>>().map_err(de::Error::custom)?
            }
        };
        Self::from_bytes(bytes).map_err(de::Error::custom)
    }
}

fn java_byte(value: i16) -> Result<u8, String> {
    match value {
        0..=255 => Ok(value as u8),
        -128..=-1 => Ok(value as i8 as u8),
        _ => Err(format!("{value} is not a byte of a bit set")),
    }
}

impl BatchAck {
    /// Queue offsets of the acknowledged messages, in ascending order.
    pub fn offsets(&self) -> Vec<i64> {
        self.bit_set.distances().map(|distance| self.start_offset.saturating_add(distance)).collect()
    }

    /// Name of the topic the messages were read from.
    pub fn real_topic(&self) -> String {
        match self.retry {
            RetryFlag::Normal => self.topic.clone(),
            RetryFlag::V1 => topic::retry_topic_v1(&self.consumer_group, &self.topic),
            RetryFlag::V2 => topic::retry_topic_v2(&self.consumer_group, &self.topic),
        }
    }

    fn from_raw(raw: RawBatchAck) -> Result<Self, BodyError> {
        let retry = body_error::text("r", raw.r)?;
        Ok(Self {
            bit_set: raw.b.ok_or(BodyError::MissingField("b"))?,
            consumer_group: body_error::text("c", raw.c)?,
            invisible_time: body_error::natural("it", raw.it)?,
            pop_time: body_error::natural("pt", raw.pt)?,
            queue_id: body_error::queue("q", raw.q)?,
            retry: RetryFlag::from_text(&retry).ok_or_else(|| BodyError::UnknownRetryFlag(clip(&retry)))?,
            revive_queue: body_error::queue("rq", raw.rq)?,
            start_offset: body_error::natural("so", raw.so)?,
            topic: body_error::text("t", raw.t)?,
        })
    }
}

impl BatchAckBody {
    /// Reads a body; the long names of the members are read too.
    ///
    /// # Errors
    /// When the body is not JSON, or an entry lacks a member, has a number out of range or an oversized bit set.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let raw: RawBody = serde_json::from_slice(body)?;
        let acks = raw.acks.unwrap_or_default().into_iter().map(BatchAck::from_raw).collect::<Result<_, _>>()?;
        Ok(Self { acks, broker_name: raw.broker_name })
    }

    /// The body as RocketMQ writes it, keys in alphabetical order.
    pub fn to_json(&self) -> Vec<u8> {
        let acks = self.acks.iter().map(|ack| RawBatchAck {
            b: Some(ack.bit_set.clone()),
            c: Some(ack.consumer_group.clone()),
            it: Some(ack.invisible_time),
            pt: Some(ack.pop_time),
            q: Some(ack.queue_id.into()),
            r: Some(ack.retry.to_string()),
            rq: Some(ack.revive_queue.into()),
            so: Some(ack.start_offset),
            t: Some(ack.topic.clone()),
        });
        let written = RawBody { acks: Some(acks.collect()), broker_name: self.broker_name.clone() };
        serde_json::to_vec(&written).expect("numbers, texts and lists of them always have a JSON form")
    }
}

#[derive(Serialize, Deserialize)]
struct RawBody {
    acks: Option<Vec<RawBatchAck>>,
    #[serde(rename = "brokerName", skip_serializing_if = "Option::is_none")]
    broker_name: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct RawBatchAck {
    #[serde(alias = "bitSet")]
    b: Option<AckBits>,
    #[serde(alias = "consumerGroup")]
    c: Option<String>,
    #[serde(alias = "invisibleTime")]
    it: Option<i64>,
    #[serde(alias = "popTime")]
    pt: Option<i64>,
    #[serde(alias = "queueId")]
    q: Option<i64>,
    #[serde(alias = "retry")]
    r: Option<String>,
    #[serde(alias = "reviveQueueId")]
    rq: Option<i64>,
    #[serde(alias = "startOffset")]
    so: Option<i64>,
    #[serde(alias = "topic")]
    t: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    const VERIFIED: &str = r#"{"acks":[{"b":"BQI=","c":"g","it":60000,"pt":1,"q":3,"r":"0","rq":1,"so":100,"t":"t"}],"brokerName":"broker-a"}"#;

    fn parse(body: &str) -> Result<BatchAckBody, BodyError> {
        BatchAckBody::parse(body.as_bytes())
    }

    #[test]
    fn verified_body() {
        let body = parse(VERIFIED).unwrap();
        assert_eq!(body.to_json(), VERIFIED.as_bytes());
        assert_eq!(body.acks[0].offsets(), [100, 102, 109]);
        assert_eq!(body.acks[0].bit_set, AckBits::from_distances([0, 2, 9]).unwrap());
        let listed =
            VERIFIED.replace("\"BQI=\"", "[5,2,0]").replace("\"t\":", "\"topic\":").replace("\"b\":", "\"bitSet\":");
        assert_eq!(parse(&listed).unwrap(), body);
    }

    #[test]
    fn list_bytes_are_signed_and_the_topic_follows_the_flag() {
        let body = parse(&VERIFIED.replace("\"BQI=\"", "[-128]").replace("\"r\":\"0\"", "\"r\":\"2\"")).unwrap();
        assert_eq!(body.acks[0].offsets(), [107]);
        assert_eq!(body.acks[0].real_topic(), "%RETRY%g+t");
    }

    #[test]
    fn malformed_bodies_are_refused() {
        let refused = |from: &str, to: &str| parse(&VERIFIED.replacen(from, to, 1)).unwrap_err();
        assert!(matches!(refused("\"r\":\"0\"", "\"r\":\"9\""), BodyError::UnknownRetryFlag(_)));
        assert!(matches!(refused("\"BQI=\"", "[256]"), BodyError::BadJson { .. }));
        assert!(matches!(refused("\"BQI=\"", "\"*\""), BodyError::BadJson { .. }));
        assert!(matches!(refused("\"BQI=\"", "null"), BodyError::MissingField("b")));
        assert!(matches!(refused("\"q\":3", "\"q\":-1"), BodyError::OutOfRange { field: "q", .. }));
        let wide = refused("\"BQI=\"", &format!("{:?}", vec![1; 513])).to_string();
        assert!(wide.contains("the ack names 4104 offsets, at most 4096 are allowed"), "{wide}");
        assert!(matches!(AckBits::from_distances([4096]), Err(BodyError::TooManyOffsets { found: 4097, .. })));
        assert_eq!(parse("{}").unwrap(), BatchAckBody::default());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            distances in proptest::collection::btree_set(0usize..OFFSETS_MAX, 0..40),
            (consumer_group, topic, broker_name) in (".{1,9}", ".{1,9}", any::<Option<String>>()),
            (queue_id, revive_queue, code) in (0..i32::MAX, 0..i32::MAX, 0u8..3),
            (invisible_time, pop_time, start_offset) in (0..i64::MAX, 0..i64::MAX, 0..i64::MAX / 2),
        ) {
            let bit_set = AckBits::from_distances(distances.iter().copied()).unwrap();
            prop_assert!(bit_set.distances().map(|distance| distance as usize).eq(distances));
            let retry = RetryFlag::from_code(code).unwrap();
            let ack = BatchAck {
                bit_set, consumer_group, invisible_time, pop_time, queue_id, retry, revive_queue, start_offset, topic,
            };
            let body = BatchAckBody { acks: vec![ack], broker_name };
            prop_assert_eq!(BatchAckBody::parse(&body.to_json()).unwrap(), body);
        }

        #[test]
        fn any_bytes_are_answered(bytes in any::<Vec<u8>>()) {
            let _ = BatchAckBody::parse(&bytes);
        }
    }
}
