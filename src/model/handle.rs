//! The receipt handle of a popped message (RocketMQ `ExtraInfoUtil`, `ReceiptHandle`).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::chain::{Chain, ChainId};
use super::clip::clip;
use super::topic;

/// Revive queue number that marks an ordered pop.
pub const ORDERED_REVIVE_QUEUE: i32 = 999;

/// Which kind of topic a message was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetryFlag {
    /// The topic the client asked for.
    Normal,
    /// A retry topic with the name form `%RETRY%group_topic`, and every other retry topic.
    V1,
    /// A retry topic with the name form `%RETRY%group+topic`.
    V2,
}

impl RetryFlag {
    /// Number on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// The flag of a number on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Normal),
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    /// The flag of a topic name.
    pub fn of_topic(name: &str) -> Self {
        match topic::is_retry(name) {
            false => Self::Normal,
            true if name.contains(topic::RETRY_SEPARATOR_V2) => Self::V2,
            true => Self::V1,
        }
    }

    /// The flag of its text on the wire: exactly `0`, `1` or `2`.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::Normal),
            "1" => Some(Self::V1),
            "2" => Some(Self::V2),
            _ => None,
        }
    }
}

impl fmt::Display for RetryFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())
    }
}

/// Names one delivery of one message; the client gives it back to acknowledge or renew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptHandle {
    /// Offset the checkpoint starts at.
    pub start_offset: i64,
    /// When the message was popped, Unix milliseconds of the serving broker.
    pub pop_time: i64,
    /// How long the message stays invisible, milliseconds.
    pub invisible_time: i64,
    /// Revive queue of the checkpoint; [`ORDERED_REVIVE_QUEUE`] for an ordered pop.
    pub revive_queue: i32,
    /// Kind of topic the message was read from.
    pub retry: RetryFlag,
    /// Broker that served the pop.
    pub broker: String,
    /// Queue of the message.
    pub queue_id: i32,
    /// Queue offset of the message.
    pub offset: i64,
    /// Commit-log offset, which only proxies add.
    pub commit_log_offset: Option<i64>,
}

/// Why a text is not a receipt handle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandleError {
    /// The number of fields is wrong.
    #[error("a receipt handle has 8 or 9 fields separated by single spaces, not {found}: {text:?}")]
    FieldCount {
        /// Number of fields found.
        found: usize,
        /// The whole text, shortened.
        text: String,
    },
    /// One field is malformed.
    #[error("field `{field}` of a receipt handle is {text:?}, expected {expected}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// Text of the field, shortened.
        text: String,
        /// What the field must be.
        expected: &'static str,
    },
}

/// Revive queues from here on carry a term: RocketMQ's own are few, and clients echo the number unread.
const FIRST_TERM_QUEUE: i32 = 1000;

impl ReceiptHandle {
    /// The handle of a chain.
    pub fn of_chain(chain: &Chain) -> Self {
        Self {
            start_offset: chain.start_offset,
            pop_time: chain.id.pop_time,
            invisible_time: chain.invisible_ms,
            revive_queue: Self::revive_queue_of(chain.id.term),
            retry: RetryFlag::of_topic(&chain.id.topic),
            broker: chain.id.broker.clone(),
            queue_id: chain.id.queue,
            offset: chain.id.offset,
            commit_log_offset: None,
        }
    }

    /// The chain it names, for a message that was popped from `topic` (the retry topic if it came from there).
    pub fn chain_id(&self, topic: &str, group: &str) -> ChainId {
        ChainId {
            broker: self.broker.clone(),
            topic: topic.into(),
            queue: self.queue_id,
            offset: self.offset,
            group: group.into(),
            pop_time: self.pop_time,
            term: Self::term_of(self.revive_queue),
        }
    }

    /// The revive queue that carries a term.
    pub fn revive_queue_of(term: u64) -> i32 {
        i32::try_from(term).map_or(i32::MAX, |term| term.saturating_add(FIRST_TERM_QUEUE))
    }

    /// The term that a revive queue carries; 0 for one of RocketMQ's own.
    pub fn term_of(revive_queue: i32) -> u64 {
        u64::try_from(revive_queue.saturating_sub(FIRST_TERM_QUEUE)).unwrap_or(0)
    }
}

impl fmt::Display for ReceiptHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start_offset, pop_time, invisible_time, revive_queue, retry, broker, queue_id, offset, .. } = self;
        write!(f, "{start_offset} {pop_time} {invisible_time} {revive_queue} {retry} {broker} {queue_id} {offset}")?;
        match self.commit_log_offset {
            Some(commit_log_offset) => write!(f, " {commit_log_offset}"),
            None => Ok(()),
        }
    }
}

impl FromStr for ReceiptHandle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, HandleError> {
        let count_error = || HandleError::FieldCount { found: text.split(' ').count(), text: clip(text) };
        let mut fields = text.split(' ');
        let mut next = || fields.next().ok_or_else(count_error);
        let handle = Self {
            start_offset: long("start offset", next()?)?,
            pop_time: long("pop time", next()?)?,
            invisible_time: long("invisible time", next()?)?,
            revive_queue: int("revive queue", next()?)?,
            retry: retry_flag(next()?)?,
            broker: broker_name(next()?)?,
            queue_id: int("queue id", next()?)?,
            offset: long("offset", next()?)?,
            // A proxy that does not know the commit-log offset writes -1.
            commit_log_offset: match next() {
                Ok(field) => Some(long("commit-log offset", field)?).filter(|offset| *offset >= 0),
                Err(_) => None,
            },
        };
        if fields.next().is_some() { Err(count_error()) } else { Ok(handle) }
    }
}

fn long(field: &'static str, text: &str) -> Result<i64, HandleError> {
    text.parse().map_err(|_| HandleError::Field { field, text: clip(text), expected: "a 64-bit decimal integer" })
}

fn int(field: &'static str, text: &str) -> Result<i32, HandleError> {
    text.parse().map_err(|_| HandleError::Field { field, text: clip(text), expected: "a 32-bit decimal integer" })
}

fn retry_flag(text: &str) -> Result<RetryFlag, HandleError> {
    RetryFlag::from_text(text).ok_or_else(|| HandleError::Field {
        field: "retry flag",
        text: clip(text),
        expected: "0 (normal), 1 (retry V1) or 2 (retry V2)",
    })
}

fn broker_name(text: &str) -> Result<String, HandleError> {
    if text.is_empty() {
        return Err(HandleError::Field { field: "broker name", text: String::new(), expected: "a non-empty name" });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retry_topics_give_the_verified_handles() {
        for (name, text) in [("%RETRY%g_t", "100 1 60000 2 1 b 0 101"), ("%RETRY%g+t", "100 1 60000 2 2 b 0 101")] {
            let handle = ReceiptHandle {
                start_offset: 100,
                pop_time: 1,
                invisible_time: 60_000,
                revive_queue: 2,
                retry: RetryFlag::of_topic(name),
                broker: "b".into(),
                queue_id: 0,
                offset: 101,
                commit_log_offset: None,
            };
            assert_eq!(handle.to_string(), text);
            assert_eq!(text.parse(), Ok(handle));
        }
        assert_eq!(RetryFlag::of_topic("a+b"), RetryFlag::Normal);
    }

    #[test]
    fn the_ninth_field_is_optional() {
        let parse = |text: &str| text.parse::<ReceiptHandle>().unwrap().commit_log_offset;
        assert_eq!(parse("100 1 60000 2 0 broker-a 3 101 5678"), Some(5678));
        assert_eq!(parse("100 1 60000 2 0 broker-a 3 101 -1"), None);
    }

    #[test]
    fn errors_name_the_field() {
        let refused = |text: &str| text.parse::<ReceiptHandle>().unwrap_err().to_string();
        insta::assert_snapshot!(refused("100 1 60000 2 0 b 3"), @r#"a receipt handle has 8 or 9 fields separated by single spaces, not 7: "100 1 60000 2 0 b 3""#);
        insta::assert_snapshot!(refused("100 1 60000 2 0 b 3 4 5 6"), @r#"a receipt handle has 8 or 9 fields separated by single spaces, not 10: "100 1 60000 2 0 b 3 4 5 6""#);
        insta::assert_snapshot!(refused("100 x 60000 2 0 b 3 4"), @r#"field `pop time` of a receipt handle is "x", expected a 64-bit decimal integer"#);
        insta::assert_snapshot!(refused("100 1 60000 2 3 b 3 4"), @r#"field `retry flag` of a receipt handle is "3", expected 0 (normal), 1 (retry V1) or 2 (retry V2)"#);
        insta::assert_snapshot!(refused("100 1 60000 2 0  3 4"), @r#"field `broker name` of a receipt handle is "", expected a non-empty name"#);
        insta::assert_snapshot!(refused("100 1 60000 2 0 b 3 4 "), @r#"field `commit-log offset` of a receipt handle is "", expected a 64-bit decimal integer"#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (start_offset, pop_time, invisible_time, offset) in any::<(i64, i64, i64, i64)>(),
            (revive_queue, queue_id, code) in (any::<i32>(), any::<i32>(), 0u8..3),
            broker in "[^ ]{1,20}",
            commit_log_offset in proptest::option::of(0..i64::MAX),
        ) {
            let retry = RetryFlag::from_code(code).unwrap();
            let handle = ReceiptHandle {
                start_offset, pop_time, invisible_time, revive_queue, retry, broker, queue_id, offset, commit_log_offset,
            };
            prop_assert_eq!(handle.to_string().parse(), Ok(handle));
        }

        #[test]
        fn any_text_is_answered(text in any::<String>(), digits in "[0-9 -]{0,60}") {
            let _ = text.parse::<ReceiptHandle>();
            let _ = digits.parse::<ReceiptHandle>();
        }
    }
}
