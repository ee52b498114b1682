//! The stored body of a checkpoint: which messages one pop took (RocketMQ `PopCheckPoint`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body_error::{self, BodyError};
use crate::sabotage;

/// Tag of a checkpoint message.
pub const TAG: &str = "ck";
/// Most messages one checkpoint covers: the bits of its ack map.
pub const COUNT_MAX: u8 = 32;
/// Attempt count of a checkpoint whose `rp` member is not a number.
pub const ATTEMPTS_UNKNOWN: u32 = 127;

/// Body of a checkpoint. Messages are numbered from 0 in the order of the pop; bit *i* of the ack map is message *i*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointBody {
    /// `bm`: messages already acknowledged, one bit each.
    pub bit_map: i32,
    /// `bn`: broker that holds the messages; checkpoints of old brokers lack it.
    pub broker_name: Option<String>,
    /// `c`: consumer group.
    pub consumer_group: String,
    /// `d`: distance of each message from the start offset. Empty in very old checkpoints: then the messages follow
    /// each other from the start offset.
    pub differences: Vec<i32>,
    /// `it`: how long the messages stay invisible, milliseconds.
    pub invisible_time: i64,
    /// `n`: number of messages, at most [`COUNT_MAX`].
    pub count: u8,
    /// `pt`: time of the pop, Unix milliseconds.
    pub pop_time: i64,
    /// `q`: queue of the messages.
    pub queue_id: i32,
    /// `ro`: offset of the checkpoint in its revive queue; 0 as written, its reader knows better.
    pub revive_offset: i64,
    /// `rp`: decimal number of times the checkpoint was put again; absent in a first checkpoint.
    pub re_put: Option<String>,
    /// `so`: offset the pop started to read at.
    pub start_offset: i64,
    /// `t`: topic that was read, which may be a retry topic.
    pub topic: String,
    /// `x`: what this broker adds. RocketMQ ignores it, and drops it when it puts the checkpoint again.
    pub extension: Option<CheckpointExtension>,
}

/// The term under which a slave acts for its master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActingTerm {
    /// The group that both are members of.
    pub group: String,
    /// The term, as the group that keeps the chains has given it.
    pub term: u64,
}

/// State of a chain that RocketMQ's checkpoint has no place for. Nothing may depend on its presence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CheckpointExtension {
    /// For which group, and under which of its terms, an acting member hands it over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acting: Option<ActingTerm>,
    /// Put attempts within the round.
    pub attempt: u32,
    /// Times the client renewed its receipt handle.
    pub generation: u32,
    /// Broker groups the chain moved through.
    pub hop: u32,
    /// How often the owner's group table lets the message be redelivered; 0 when not told.
    pub reconsume_limit: i32,
    /// Milliseconds left to the deadline when the body was written.
    pub remaining_ms: i64,
    /// Rounds of revive the chain went through.
    pub round: u32,
    /// Term the chain was born in.
    pub term: u64,
    /// Log index at which the topic was created.
    pub topic_epoch_index: u64,
    /// Term in which the topic was created.
    pub topic_epoch_term: u64,
}

impl CheckpointBody {
    /// Reads a body. The members `bm`, `bn`, `d`, `ro`, `rp` and `x` may be missing or null; unknown ones are ignored.
    ///
    /// # Errors
    /// When the body is not JSON, lacks a member, or its members contradict each other.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let raw: RawCheckpoint = serde_json::from_slice(body)?;
        let differences = raw.d.unwrap_or_default();
        let start_offset = body_error::natural("so", raw.so)?;
        let count = body_error::number("n", raw.n, 0..=i64::from(COUNT_MAX), "a count from 0 to 32")?;
        if !differences.is_empty() && differences.len() != usize::from(count) {
            return Err(BodyError::CountMismatch { count: i64::from(count), differences: differences.len() });
        }
        if let Some(negative) = differences.iter().find(|difference| **difference < 0) {
            let value = i64::from(*negative);
            return Err(BodyError::OutOfRange { field: "d", value, expected: "distances of 0 or more" });
        }
        let farthest = differences.iter().copied().max().map_or(i64::from(count), i64::from);
        if start_offset.checked_add(farthest).is_none() {
            let expected = "an offset whose last message still fits 64 bits";
            return Err(BodyError::OutOfRange { field: "so", value: start_offset, expected });
        }
        Ok(Self {
            bit_map: raw.bm.unwrap_or_default(),
            broker_name: raw.bn,
            consumer_group: body_error::text("c", raw.c)?,
            differences,
            invisible_time: body_error::natural("it", raw.it)?,
            count,
            pop_time: body_error::natural("pt", raw.pt)?,
            queue_id: body_error::queue("q", raw.q)?,
            revive_offset: raw.ro.unwrap_or_default(),
            re_put: raw.rp.and_then(text_of),
            start_offset,
            topic: body_error::text("t", raw.t)?,
            // Whatever another writer keeps under our key must not make a sound checkpoint unreadable.
            extension: raw.x.and_then(|extension| serde_json::from_value(extension).ok()),
        })
    }

    /// The body as RocketMQ writes it, keys in alphabetical order.
    pub fn to_json(&self) -> Vec<u8> {
        let written = WrittenCheckpoint {
            bm: self.bit_map,
            bn: self.broker_name.as_deref(),
            c: &self.consumer_group,
            d: &self.differences,
            it: self.invisible_time,
            n: self.count,
            pt: self.pop_time,
            q: self.queue_id,
            revive_time: self.revive_time(),
            ro: self.revive_offset,
            rp: self.re_put.as_deref(),
            so: self.start_offset,
            t: &self.topic,
            x: self.extension.as_ref(),
        };
        serde_json::to_vec(&written).expect("numbers, texts and lists of them always have a JSON form")
    }

    /// When unacknowledged messages become visible again, Unix milliseconds of the broker that popped.
    pub fn revive_time(&self) -> i64 {
        self.pop_time.saturating_add(self.invisible_time)
    }

    /// Queue offset of each message.
    pub fn offsets(&self) -> Vec<i64> {
        let from_start = |distance: i64| self.start_offset.saturating_add(distance);
        if self.differences.is_empty() {
            let count = if sabotage!("old-form-names-one") { self.count.min(1) } else { self.count };
            (0..count).map(|index| from_start(i64::from(index))).collect()
        } else {
            self.differences.iter().map(|difference| from_start(i64::from(*difference))).collect()
        }
    }

    /// Queue offsets of the messages whose ack bit is not set.
    pub fn unacked_offsets(&self) -> Vec<i64> {
        let bit_map = if sabotage!("bit-map-ignored") { 0 } else { self.bit_map };
        let is_acked = |index: usize| index < 32 && bit_map >> index & 1 == 1;
        let offsets = self.offsets().into_iter().enumerate();
        offsets.filter(|(index, _)| !is_acked(*index)).map(|(_, offset)| offset).collect()
    }

    /// Number of the message with this queue offset, which is its ack bit.
    pub fn index_of(&self, offset: i64) -> Option<usize> {
        self.offsets().iter().position(|candidate| *candidate == offset)
    }

    /// How often the checkpoint was put again; [`ATTEMPTS_UNKNOWN`] when `rp` is not a number.
    pub fn attempts(&self) -> u32 {
        match &self.re_put {
            None => 0,
            // RocketMQ keeps the count in a signed byte.
            Some(text) => {
                text.parse::<i8>().map_or(ATTEMPTS_UNKNOWN, |attempts| u32::from(attempts.max(0).unsigned_abs()))
            }
        }
    }

    /// The `UNIQ_KEY` of the checkpoint's message.
    pub fn unique_key(&self) -> String {
        let Self { topic, queue_id, start_offset, consumer_group, pop_time, .. } = self;
        let broker_name = self.broker_name.as_deref().unwrap_or_default();
        format!("{topic}@{queue_id}@{start_offset}@{consumer_group}@{pop_time}@{broker_name}@{TAG}")
    }
}

/// RocketMQ holds `rp` as text but reads a bare number too.
fn text_of(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[derive(Deserialize)]
struct RawCheckpoint {
    bm: Option<i32>,
    bn: Option<String>,
    c: Option<String>,
    d: Option<Vec<i32>>,
    it: Option<i64>,
    n: Option<i64>,
    pt: Option<i64>,
    q: Option<i64>,
    ro: Option<i64>,
    rp: Option<Value>,
    so: Option<i64>,
    t: Option<String>,
    x: Option<Value>,
}

#[derive(Serialize)]
struct WrittenCheckpoint<'a> {
    bm: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    bn: Option<&'a str>,
    c: &'a str,
    #[serde(skip_serializing_if = "<[i32]>::is_empty")]
    d: &'a [i32],
    it: i64,
    n: u8,
    pt: i64,
    q: i32,
    #[serde(rename = "reviveTime")]
    revive_time: i64,
    ro: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rp: Option<&'a str>,
    so: i64,
    t: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<&'a CheckpointExtension>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    const VERIFIED: &str = r#"{"bm":0,"bn":"broker-a","c":"g","d":[0,2],"it":60000,"n":2,"pt":1700000000000,"q":3,"reviveTime":1700000060000,"ro":0,"so":100,"t":"t"}"#;

    fn parse(body: &str) -> Result<CheckpointBody, BodyError> {
        CheckpointBody::parse(body.as_bytes())
    }

    #[test]
    fn verified_body() {
        let body = parse(VERIFIED).unwrap();
        assert_eq!(body.to_json(), VERIFIED.as_bytes());
        assert_eq!(body.offsets(), [100, 102]);
        assert_eq!(body.index_of(102), Some(1));
        assert_eq!((body.index_of(101), body.index_of(99)), (None, None));
        assert_eq!(body.unique_key(), "t@3@100@g@1700000000000@broker-a@ck");
        let acked = CheckpointBody { bit_map: 0b01, ..body };
        assert_eq!(acked.unacked_offsets(), [102]);
    }

    /// Known defect C08.
    #[test]
    fn old_and_foreign_bodies_are_read() {
        let old =
            parse(r#"{"bn":null,"c":"g","it":1,"n":3,"pt":1,"q":0,"so":5,"t":"t","x":"not ours","y":[1]}"#).unwrap();
        assert_eq!((old.offsets(), old.broker_name, old.extension), (vec![5, 6, 7], None, None));
    }

    #[test]
    fn attempts_follow_the_re_put_text() {
        let attempts = |rp: &str| {
            parse(&format!(r#"{{"c":"g","it":1,"n":1,"pt":1,"q":0,"so":5,"t":"t","rp":{rp}}}"#)).unwrap().attempts()
        };
        assert_eq!([attempts("null"), attempts("\"3\""), attempts("4")], [0, 3, 4]);
        assert_eq!([attempts("\"many\""), attempts("\"200\""), attempts("\"-1\"")], [127, 127, 0]);
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |from: &str, to: &str| parse(&VERIFIED.replacen(from, to, 1)).unwrap_err();
        assert!(matches!(parse("{"), Err(BodyError::BadJson { .. })));
        assert!(matches!(refused("\"t\":\"t\"", "\"topic\":\"t\""), BodyError::MissingField("t")));
        assert!(matches!(refused("\"c\":\"g\"", "\"c\":\"\""), BodyError::MissingField("c")));
        assert!(matches!(refused("\"so\":100", "\"so\":null"), BodyError::MissingField("so")));
        assert!(matches!(refused("\"q\":3", "\"q\":-3"), BodyError::OutOfRange { field: "q", value: -3, .. }));
        assert!(matches!(refused("\"n\":2", "\"n\":33"), BodyError::OutOfRange { field: "n", value: 33, .. }));
        assert!(matches!(refused("\"n\":2", "\"n\":3"), BodyError::CountMismatch { count: 3, differences: 2 }));
        assert!(matches!(refused("[0,2]", "[0,-2]"), BodyError::OutOfRange { field: "d", value: -2, .. }));
        let last = i64::MAX.to_string();
        assert!(matches!(refused("100", &last), BodyError::OutOfRange { field: "so", .. }));
        insta::assert_snapshot!(refused("\"n\":2", "\"n\":1"), @"the checkpoint counts 1 messages but lists 2 offset differences");
    }

    prop_compose! {
        fn checkpoint()(
            (bit_map, revive_offset, queue_id) in (any::<i32>(), any::<i64>(), 0..i32::MAX),
            (broker_name, consumer_group, topic) in (any::<Option<String>>(), ".{1,9}", ".{1,9}"),
            (differences, bare_count) in (proptest::collection::vec(0..i32::MAX, 0..=32), 0u8..=32),
            (invisible_time, pop_time, start_offset) in (0..i64::MAX, 0..i64::MAX, 0..i64::MAX / 2),
            (re_put, ours) in (any::<Option<String>>(), any::<Option<(u32, u32, u64, i64)>>()),
        ) -> CheckpointBody {
            let count = if differences.is_empty() { bare_count } else { differences.len() as u8 };
            let extension = ours.map(|(hop, round, term, remaining_ms)| {
                CheckpointExtension { hop, round, term, remaining_ms, ..CheckpointExtension::default() }
            });
            CheckpointBody {
                bit_map, broker_name, consumer_group, differences, invisible_time, count, pop_time, queue_id,
                revive_offset, re_put, start_offset, topic, extension,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(body in checkpoint()) {
            prop_assert_eq!(CheckpointBody::parse(&body.to_json()).unwrap(), body);
        }

        #[test]
        fn any_bytes_are_answered(bytes in any::<Vec<u8>>(), cut in 0..VERIFIED.len(), byte in any::<u8>()) {
            let _ = CheckpointBody::parse(&bytes);
            let mut damaged = VERIFIED.as_bytes().to_vec();
            damaged[cut] = byte;
            if let Ok(read) = CheckpointBody::parse(&damaged) {
                let _ = (read.unacked_offsets(), read.attempts(), read.to_json());
            }
        }
    }
}
