//! The stored body of an ack: which messages of one checkpoint are done (RocketMQ `AckMsg`, `BatchAckMsg`).

use serde::{Deserialize, Serialize};

use super::body_error::{self, BodyError};

/// Tag of an ack of one message.
pub const TAG: &str = "ack";
/// Tag of an ack of several messages.
pub const BATCH_TAG: &str = "bAck";
/// Most offsets one ack may name. A checkpoint holds 32, so this leaves ample room for other writers.
pub const OFFSETS_MAX: usize = 4096;

/// Body of an ack, single or batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckBody {
    /// `ao`: offset of the message; without meaning (-1 or 0) in a batch.
    pub ack_offset: i64,
    /// `aol`: offsets of the messages, present in a batch only.
    pub ack_offset_list: Option<Vec<i64>>,
    /// `bn`: broker that holds the messages; blank or absent means the broker that reads the ack.
    pub broker_name: Option<String>,
    /// `c`: consumer group.
    pub consumer_group: String,
    /// `pt`: time of the pop, Unix milliseconds.
    pub pop_time: i64,
    /// `q`: queue of the messages.
    pub queue_id: i32,
    /// `so`: start offset of the checkpoint.
    pub start_offset: i64,
    /// `t`: topic that was read, which may be a retry topic.
    pub topic: String,
    /// `term`: our own member, which other readers ignore: the term under which the message was popped; 0 is none.
    pub term: u64,
}

impl AckBody {
    /// Reads a body; the long names of the members are read too.
    ///
    /// # Errors
    /// When the body is not JSON, lacks a member, holds a number out of range or too many offsets.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let raw: RawAck = serde_json::from_slice(body)?;
        if let Some(list) = &raw.aol {
            if list.len() > OFFSETS_MAX {
                return Err(BodyError::TooManyOffsets { found: list.len(), max: OFFSETS_MAX });
            }
            for offset in list {
                body_error::natural("aol", Some(*offset))?;
            }
        }
        let ack_offset = match raw.aol {
            // The member means nothing in a batch, which RocketMQ fills with -1 or 0.
            Some(_) => raw.ao.unwrap_or_default(),
            None => body_error::natural("ao", raw.ao)?,
        };
        Ok(Self {
            ack_offset,
            ack_offset_list: raw.aol,
            broker_name: raw.bn,
            consumer_group: body_error::text("c", raw.c)?,
            pop_time: body_error::natural("pt", raw.pt)?,
            queue_id: body_error::queue("q", raw.q)?,
            start_offset: body_error::natural("so", raw.so)?,
            topic: body_error::text("t", raw.t)?,
            term: raw.term.unwrap_or_default(),
        })
    }

    /// The body as RocketMQ writes it, keys in alphabetical order.
    pub fn to_json(&self) -> Vec<u8> {
        let written = WrittenAck {
            ao: self.ack_offset,
            aol: self.ack_offset_list.as_deref(),
            bn: self.broker_name.as_deref(),
            c: &self.consumer_group,
            pt: self.pop_time,
            q: self.queue_id,
            so: self.start_offset,
            t: &self.topic,
            term: (self.term > 0).then_some(self.term),
        };
        serde_json::to_vec(&written).expect("numbers, texts and lists of them always have a JSON form")
    }

    /// Offsets of the messages that are done: the list of a batch, otherwise the single offset.
    pub fn acked_offsets(&self) -> Vec<i64> {
        match &self.ack_offset_list {
            Some(list) => list.clone(),
            None => vec![self.ack_offset],
        }
    }

    /// Tag of the ack's message.
    pub fn tag(&self) -> &'static str {
        if self.ack_offset_list.is_some() { BATCH_TAG } else { TAG }
    }

    /// The `UNIQ_KEY` of the ack's message. That of a batch has no broker name.
    pub fn unique_key(&self) -> String {
        let Self { topic, queue_id, consumer_group, pop_time, ack_offset, .. } = self;
        match &self.ack_offset_list {
            // The text of a Java list is the debug text of a Rust one.
            Some(list) => format!("{topic}@{queue_id}@{list:?}@{consumer_group}@{pop_time}@{BATCH_TAG}"),
            None => {
                let broker_name = self.broker_name.as_deref().unwrap_or_default();
                format!("{topic}@{queue_id}@{ack_offset}@{consumer_group}@{pop_time}@{broker_name}@{TAG}")
            }
        }
    }
}

#[derive(Deserialize)]
struct RawAck {
    #[serde(alias = "ackOffset")]
    ao: Option<i64>,
    #[serde(alias = "ackOffsetList")]
    aol: Option<Vec<i64>>,
    #[serde(alias = "brokerName")]
    bn: Option<String>,
    #[serde(alias = "consumerGroup")]
    c: Option<String>,
    #[serde(alias = "popTime")]
    pt: Option<i64>,
    #[serde(alias = "queueId")]
    q: Option<i64>,
    #[serde(alias = "startOffset")]
    so: Option<i64>,
    #[serde(alias = "topic")]
    t: Option<String>,
    term: Option<u64>,
}

#[derive(Serialize)]
struct WrittenAck<'a> {
    ao: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aol: Option<&'a [i64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bn: Option<&'a str>,
    c: &'a str,
    pt: i64,
    q: i32,
    so: i64,
    t: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    term: Option<u64>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> Result<AckBody, BodyError> {
        AckBody::parse(body.as_bytes())
    }

    #[test]
    fn short_and_long_names_are_read() {
        let short = parse(r#"{"ao":101,"bn":"b","c":"g","pt":1,"q":3,"so":100,"t":"t"}"#).unwrap();
        let long = r#"{"ackOffset":101,"brokerName":"b","consumerGroup":"g","popTime":1,"queueId":3,"startOffset":100,"topic":"t"}"#;
        assert_eq!(parse(long).unwrap(), short);
        assert_eq!(short.to_json(), br#"{"ao":101,"bn":"b","c":"g","pt":1,"q":3,"so":100,"t":"t"}"#);
        assert_eq!((short.acked_offsets(), short.tag()), (vec![101], "ack"));
        assert_eq!(short.unique_key(), "t@3@101@g@1@b@ack");
    }

    #[test]
    fn batches_ignore_the_single_offset() {
        let batch = parse(r#"{"ao":-1,"aol":[100,102],"c":"g","pt":1,"q":3,"so":100,"t":"t"}"#).unwrap();
        assert_eq!((batch.acked_offsets(), batch.tag()), (vec![100, 102], "bAck"));
        assert_eq!(batch.unique_key(), "t@3@[100, 102]@g@1@bAck");
    }

    #[test]
    fn malformed_acks_are_refused() {
        assert!(matches!(parse("[]x"), Err(BodyError::BadJson { .. })));
        assert!(matches!(parse(r#"{"c":"g","pt":1,"q":3,"so":1,"t":"t"}"#), Err(BodyError::MissingField("ao"))));
        assert!(matches!(parse(r#"{"ao":1,"pt":1,"q":3,"so":1,"t":"t"}"#), Err(BodyError::MissingField("c"))));
        let negative = parse(r#"{"ao":-1,"c":"g","pt":1,"q":3,"so":1,"t":"t"}"#);
        assert!(matches!(negative, Err(BodyError::OutOfRange { field: "ao", value: -1, .. })));
        let many = format!(r#"{{"aol":{:?},"c":"g","pt":1,"q":3,"so":1,"t":"t"}}"#, vec![1; OFFSETS_MAX + 1]);
        assert!(matches!(parse(&many), Err(BodyError::TooManyOffsets { found: 4097, max: 4096 })));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (ack_offset, pop_time, start_offset, queue_id) in (0..i64::MAX, 0..i64::MAX, 0..i64::MAX, 0..i32::MAX),
            ack_offset_list in proptest::option::of(proptest::collection::vec(0..i64::MAX, 0..40)),
            (broker_name, consumer_group, topic) in (any::<Option<String>>(), ".{1,9}", ".{1,9}"),
        ) {
            let body = AckBody {
                ack_offset, ack_offset_list, broker_name, consumer_group, pop_time, queue_id, start_offset, topic,
                term: 0,
            };
            prop_assert_eq!(AckBody::parse(&body.to_json()).unwrap(), body);
        }

        #[test]
        fn any_bytes_are_answered(bytes in any::<Vec<u8>>()) {
            let _ = AckBody::parse(&bytes);
        }
    }
}
