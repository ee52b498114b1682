//! A chain: one popped message's checkpoint and all its rewrites, from the pop to its outcome.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{cause::ReadFailure, checkpoint::ActingTerm};
use crate::sabotage;

/// A place in a group's log: entries are ordered by term, then by index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogPosition {
    /// The term under which the entry was written.
    pub term: u64,
    /// The entry's number in the log, from 1.
    pub index: u64,
}

/// Names one popped message for ever: which message, popped by whom, when, and under which term.
///
/// Round, hop, attempt and generation are state of the chain, never part of its identity. The topic's epoch belongs to
/// the identity too but rides in [`Chain`]: a receipt handle cannot carry it, and pop time and term already make the
/// other fields unique, because a pop bumps its pop time until none of its chains exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChainId {
    /// The group (RocketMQ: broker name) that holds the message.
    pub broker: String,
    /// The topic that was read: a retry topic's own name when the message came from one.
    pub topic: String,
    /// The queue of that topic.
    pub queue: i32,
    /// The message's offset in the queue.
    pub offset: i64,
    /// The consumer group.
    pub group: String,
    /// When it was popped, Unix ms on the popping broker's clock.
    pub pop_time: i64,
    /// The term under which it was popped; 0 for a checkpoint made by a broker that has no terms.
    pub term: u64,
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broker, topic, queue, offset, group, pop_time, term } = self;
        write!(f, "{broker}/{topic}/{queue}/{offset}/{group}/{pop_time}/{term}")
    }
}

/// A text that is no chain id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no chain id: expected broker/topic/queue/offset/group/pop-time/term")]
pub struct ChainIdError {
    /// The text.
    pub text: String,
}

impl FromStr for ChainId {
    type Err = ChainIdError;

    fn from_str(text: &str) -> Result<Self, ChainIdError> {
        let error = || ChainIdError { text: text.into() };
        let fields: Vec<&str> = text.split('/').collect();
        let [broker, topic, queue, offset, group, pop_time, term] = fields[..] else { return Err(error()) };
        Ok(Self {
            broker: broker.into(),
            topic: topic.into(),
            queue: queue.parse().map_err(|_| error())?,
            offset: offset.parse().map_err(|_| error())?,
            group: group.into(),
            pop_time: pop_time.parse().map_err(|_| error())?,
            term: term.parse().map_err(|_| error())?,
        })
    }
}

/// Everything the chain's home knows about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Its identity.
    pub id: ChainId,
    /// The topic's creation, so that a recreated topic's message is never taken for this one.
    #[serde(default)]
    pub topic_epoch: LogPosition,
    /// First offset of the popped batch: field 0 of the receipt handle.
    pub start_offset: i64,
    /// How long the message is invisible after the pop, ms.
    pub invisible_ms: i64,
    /// How often the message may be redelivered before it is a dead letter, by its owner's group table.
    #[serde(default = "default_reconsume_limit")]
    pub reconsume_limit: i32,
    /// How often an operator has resumed it.
    #[serde(default)]
    pub round: u32,
    /// When it was resumed last at this home, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_ms: Option<i64>,
    /// How often it changed its home.
    #[serde(default)]
    pub hop: u32,
    /// How often its handle was renewed.
    #[serde(default)]
    pub generation: u32,
    /// Attempts begun in this round; counted before they start.
    #[serde(default)]
    pub attempt: u32,
    /// When the first attempt of this round began, Unix ms; moved on by the time it lay down between attempts, which
    /// does not count for the policy's total.
    #[serde(default)]
    pub round_began_ms: Option<i64>,
    /// For which group, and under which of its terms, an acting member handed it over, if it came so: that group's master
    /// asks for such chains when it is back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted_for: Option<ActingTerm>,
    /// How many failures its history had when its handle was renewed last: its attempts are numbered anew since.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_before: u32,
    /// Where it stands.
    pub state: ChainState,
    /// What went wrong so far; survives rewrites, parks and restarts.
    #[serde(default)]
    pub history: History,
}

/// RocketMQ's default for a group that does not say (`SubscriptionGroupConfig.retryMaxTimes`).
pub const DEFAULT_RECONSUME_LIMIT: i32 = 16;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

const fn default_reconsume_limit() -> i32 {
    DEFAULT_RECONSUME_LIMIT
}

/// Where a chain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChainState {
    /// At home here, to be revived at `due_ms` unless it is acked before.
    Open {
        /// When the next step is due, Unix ms.
        due_ms: i64,
    },
    /// The intent to hand it to another group is durable; whether that group has it is not known.
    Moving {
        /// The group it goes to; never changed while the answer is unknown.
        to: String,
        /// When to ask that group (again), Unix ms.
        due_ms: i64,
        /// When the message is to be revived over there, Unix ms on this broker's clock.
        revive_ms: i64,
    },
    /// Another group confirmed that it is the chain's home now.
    Moved {
        /// That group.
        to: String,
    },
    /// Given up until an operator resumes it; nothing is lost.
    Parked {
        /// Why.
        reason: ParkReason,
        /// Since when, Unix ms.
        at_ms: i64,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
        /// Since when, Unix ms.
        at_ms: i64,
    },
}

/// How a chain ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The consumer acked it.
    Acked,
    /// Copied to the group's retry topic.
    Revived(CopyPlace),
    /// Copied to the group's dead-letter topic: the reconsume limit was reached.
    DeadLettered(CopyPlace),
    /// The message does not exist any more, and its owner proved it.
    Gone(GoneProof),
    /// The consumer renewed the handle; the chain goes on under a new id.
    Superseded(ChainId),
    /// An operator set the group's offset back to the message or before it: it is handed out anew from there.
    Reset,
}

/// Where a copy was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPlace {
    /// Retry or dead-letter topic.
    pub topic: String,
    /// Queue.
    pub queue: i32,
    /// Offset in that queue.
    pub offset: i64,
}

/// Proof, by the holder of the group's term, that a message is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GoneProof {
    /// The queue begins at a later offset.
    BelowMinimum {
        /// The queue's minimum offset.
        minimum: i64,
    },
    /// The topic was deleted, with all that it held.
    TopicDeleted {
        /// The entry of its owner's log that deleted it.
        at: LogPosition,
    },
    /// The topic was deleted and created again.
    TopicRecreated {
        /// The epoch of today's topic.
        epoch: LogPosition,
    },
}

/// Why a chain was parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParkReason {
    /// Every attempt the policy allows has failed.
    PolicyExhausted,
    /// The message's owner answered something that no retry can change.
    Permanent,
    /// Whether the group that should be its home has it was never learned.
    UnknownAt {
        /// That group.
        broker: String,
    },
}

impl ParkReason {
    /// Its name without what it carries: one of a fixed set, fit for a label.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PolicyExhausted => "policy-exhausted",
            Self::Permanent => "permanent",
            Self::UnknownAt { .. } => "unknown-at",
        }
    }
}

/// How many failures a chain remembers one by one; older ones remain in the counts.
pub const HISTORY_LIMIT: usize = 20;

/// The failed attempts of a chain, over all its rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Failed attempts in all.
    pub failures: u32,
    /// When the first one failed, Unix ms.
    pub first_ms: Option<i64>,
    /// The latest ones, oldest first, at most [`HISTORY_LIMIT`].
    pub latest: Vec<FailedAttempt>,
}

impl History {
    /// Adds a failure.
    pub fn push(&mut self, failed: FailedAttempt) {
        self.failures = self.failures.saturating_add(1);
        if self.first_ms.is_none() || sabotage!("first-failure-forgotten") {
            self.first_ms = Some(failed.at_ms);
        }
        if self.latest.len() >= HISTORY_LIMIT {
            self.latest.remove(0);
        }
        self.latest.push(failed);
    }

    /// The last failure.
    #[must_use]
    pub fn last(&self) -> Option<&FailedAttempt> {
        self.latest.last()
    }
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// The round it belonged to.
    pub round: u32,
    /// Its number in that round, from 1.
    pub attempt: u32,
    /// When it failed, Unix ms.
    pub at_ms: i64,
    /// What failed, where, and how long it took.
    pub failure: ReadFailure,
}

impl Chain {
    /// Whether it may still become something here, so that its message is needed.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self.state {
            ChainState::Open { .. } | ChainState::Moving { .. } | ChainState::Parked { .. } => true,
            ChainState::Moved { .. } | ChainState::Ended { .. } => false,
        }
    }

    /// The failures since its handle was renewed last, as far as it remembers them, the latest first.
    pub fn failed_since_renewal(&self) -> impl Iterator<Item = &FailedAttempt> {
        let count = self.history.failures.saturating_sub(self.failed_before);
        self.history.latest.iter().rev().take(count as usize)
    }

    /// When the next step is due, if one is.
    #[must_use]
    pub fn due_ms(&self) -> Option<i64> {
        match self.state {
            ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. } => Some(due_ms),
            ChainState::Moved { .. } | ChainState::Parked { .. } | ChainState::Ended { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Known defects A09, A41, A51, A68: two chains share a key only if they agree in every part of the identity,
        /// whatever the size of its numbers.
        #[test]
        fn a_key_tells_every_part_of_the_identity(
            (broker, topic, group) in ("[^/]{0,8}", "[^/]{0,8}", "[^/]{0,8}"),
            (queue, offset, pop_time, term) in any::<(i32, i64, i64, u64)>(),
        ) {
            let id = ChainId { broker, topic, queue, offset, group, pop_time, term };
            prop_assert_eq!(id.to_string().parse::<ChainId>(), Ok(id));
        }
    }

    #[test]
    fn chain_id_reads_what_it_writes() {
        let id = ChainId {
            broker: "broker-a".into(),
            topic: "%RETRY%g_t".into(),
            queue: 3,
            offset: 101,
            group: "g".into(),
            pop_time: 1_700_000_000_000,
            term: 1,
        };
        assert_eq!(id.to_string().parse::<ChainId>().unwrap(), id);
        assert_eq!("a/b/c".parse::<ChainId>().unwrap_err().text, "a/b/c");
    }

    #[test]
    fn history_stays_bounded_and_keeps_its_counts() {
        let mut history = History::default();
        for at_ms in 0..100 {
            let failure = ReadFailure { cause: super::super::cause::Cause::Timeout, peer: "b".into(), took_ms: 1 };
            history.push(FailedAttempt { round: 0, attempt: 1, at_ms, failure });
        }
        assert_eq!((history.failures, history.first_ms, history.latest.len()), (100, Some(0), HISTORY_LIMIT));
        assert_eq!(history.last().unwrap().at_ms, 99);
    }
}
