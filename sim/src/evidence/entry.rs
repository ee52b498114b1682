//! A log entry as the disk holds it, mirrored in types of our own.

use std::fmt;

use serde::Serialize;

use super::message::StoredMessage;

/// One transaction of a broker's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DurableEntry {
    /// Term under which it was written.
    pub term: u64,
    /// Its number in the log.
    pub index: u64,
    /// Checksum of its bytes on disk: it stands for all the rest.
    pub checksum: u32,
    /// Length of its bytes on disk.
    pub length: u64,
    /// When it was decided, Unix ms on the broker's clock.
    pub at_ms: i64,
    /// What became true, in order.
    pub facts: Vec<Fact>,
}

/// A place in a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Term.
    pub term: u64,
    /// Index.
    pub index: u64,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// A topic was created or changed.
    Topic {
        /// Name.
        name: String,
        /// Permission bits: 4 read, 2 write.
        perm: u32,
        /// Queues to read.
        read_queues: i32,
        /// Queues to write.
        write_queues: i32,
        /// When it was created.
        epoch: Position,
    },
    /// A topic was deleted, with its messages and offsets.
    TopicDeleted {
        /// Name.
        name: String,
        /// When it had been created.
        epoch: Position,
        /// The entry that says so.
        at: Position,
    },
    /// A consumer group was created or changed.
    Group {
        /// Name.
        name: String,
        /// How often a message may be redelivered.
        retry_max_times: i32,
    },
    /// A message was appended to its queue; the record's own topic, queue and offset agree with the message's.
    Message(StoredMessage),
    /// A delayed message was accepted.
    Timer {
        /// When it is due, Unix ms.
        due_ms: i64,
        /// The message.
        message: StoredMessage,
    },
    /// A delayed message fell due.
    TimerFired {
        /// When it was due, Unix ms.
        due_ms: i64,
        /// The entry that accepted it.
        index: u64,
        /// The record in that entry.
        record: u32,
    },
    /// A delayed message of another group's was taken; the message is in the same entry.
    TimerTaken {
        /// The group.
        group: String,
        /// The term under which it was handed over.
        term: u64,
        /// Which.
        timer: TimerId,
    },
    /// A delayed message was delivered by another group.
    TimerMoved {
        /// Which.
        timer: TimerId,
        /// That group.
        to: String,
    },
    /// A group's next offset.
    Offset {
        /// Group.
        group: String,
        /// Topic.
        topic: String,
        /// Queue.
        queue: i32,
        /// Next offset to hand out.
        offset: i64,
    },
    /// An operator set a group's next offset.
    OffsetReset {
        /// Group.
        group: String,
        /// Topic.
        topic: String,
        /// Queue.
        queue: i32,
        /// Next offset to hand out.
        offset: i64,
    },
    /// A chain's whole state.
    Chain(Box<ChainFact>),
    /// An ack came before its checkpoint.
    EarlyAck {
        /// What it acks.
        id: ChainId,
        /// Until when it is kept, Unix ms.
        until_ms: i64,
    },
    /// An early ack was used or given up.
    EarlyAckDropped {
        /// What it acked.
        id: ChainId,
    },
    /// Something not understood was kept.
    SetAside {
        /// Its tag.
        tag: String,
        /// Why.
        reason: String,
    },
    /// A client's send is known by its key; repeated, it is answered with this.
    Sent {
        /// Topic.
        topic: String,
        /// The message's key.
        key: String,
        /// Queue that was told.
        queue: i32,
        /// Offset that was told.
        offset: i64,
        /// Until when, Unix ms.
        expires_ms: i64,
    },
    /// What the log holds below an index is past its retention.
    Expired {
        /// Whose messages.
        broker: String,
        /// The log index.
        before: u64,
    },
    /// Chains that had long been over were taken off the tables.
    Forgotten {
        /// Which.
        chains: Vec<ChainId>,
    },
    /// A member of a group has taken a term here, to act for its master or to end that.
    Sealed {
        /// The group.
        group: String,
        /// The term.
        term: u64,
        /// The member; 0 is the master.
        member: u64,
    },
    /// A group's master has merged what was done for it.
    Merged {
        /// The group.
        group: String,
        /// The term under which it has.
        term: u64,
    },
    /// A record that this decoder does not understand: its kind and why. An oracle complains of it.
    Unknown(String),
}

/// Names a delayed message: when it is due, and the record of its group's log that accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TimerId {
    /// When it is due, Unix ms.
    pub due_ms: i64,
    /// The entry that accepted it.
    pub index: u64,
    /// The record in that entry.
    pub record: u32,
}

/// Names a chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ChainId {
    /// Who holds the message.
    pub broker: String,
    /// Topic that was read.
    pub topic: String,
    /// Queue.
    pub queue: i32,
    /// Offset.
    pub offset: i64,
    /// Consumer group.
    pub group: String,
    /// When it was popped, Unix ms on the popping broker's clock.
    pub pop_time: i64,
    /// Under which term.
    pub term: u64,
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broker, topic, queue, offset, group, pop_time, term } = self;
        write!(f, "{broker}/{topic}/{queue}/{offset}/{group}/{pop_time}/{term}")
    }
}

/// A chain's state as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainFact {
    /// Which chain.
    pub id: ChainId,
    /// The topic's creation.
    pub epoch: Position,
    /// Invisible time, ms.
    pub invisible_ms: i64,
    /// Redeliveries before it is a dead letter.
    pub reconsume_limit: i32,
    /// How often it was resumed.
    pub round: u32,
    /// How often it changed its home.
    pub hop: u32,
    /// How often its handle was renewed.
    pub generation: u32,
    /// Attempts begun in this round.
    pub attempt: u32,
    /// For which group, and under which of its terms, an acting member handed it over, if it came so.
    pub acted_for: Option<(String, u64)>,
    /// Where it stands.
    pub state: ChainState,
    /// Failed attempts in all.
    pub failures: u32,
    /// When the first of them was, Unix ms.
    pub first_failed_ms: Option<i64>,
    /// The latest of them, oldest first.
    pub latest: Vec<FailedAttempt>,
}

/// Where a chain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChainState {
    /// At home, next step at `due_ms`.
    Open {
        /// Unix ms.
        due_ms: i64,
    },
    /// Being handed over.
    Moving {
        /// To whom.
        to: String,
        /// When to ask again, Unix ms.
        due_ms: i64,
        /// When the message is to be revived there, Unix ms.
        revive_ms: i64,
    },
    /// Handed over.
    Moved {
        /// To whom.
        to: String,
    },
    /// Given up until resumed.
    Parked {
        /// Why.
        reason: ParkReason,
        /// Since, Unix ms.
        at_ms: i64,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
        /// Since, Unix ms.
        at_ms: i64,
    },
}

impl ChainState {
    /// Its name; of a chain that is over, how it ended.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Moving { .. } => "moving",
            Self::Moved { .. } => "moved",
            Self::Parked { .. } => "parked",
            Self::Ended { outcome, .. } => match outcome {
                Outcome::Acked => "acked",
                Outcome::Revived(_) => "revived",
                Outcome::DeadLettered(_) => "dead-lettered",
                Outcome::Gone(_) => "gone",
                Outcome::Superseded(_) => "superseded",
                Outcome::Reset => "reset",
            },
        }
    }
}

/// How a chain ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Acked.
    Acked,
    /// Copied to the retry topic.
    Revived(CopyPlace),
    /// Copied to the dead-letter topic.
    DeadLettered(CopyPlace),
    /// The message is gone.
    Gone(GoneProof),
    /// Goes on under this id.
    Superseded(ChainId),
    /// An operator's reset hands the message out anew.
    Reset,
}

/// Where a copy was stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CopyPlace {
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue: i32,
    /// Offset.
    pub offset: i64,
}

/// Proof that a message is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GoneProof {
    /// The queue begins later.
    BelowMinimum {
        /// Its minimum.
        minimum: i64,
    },
    /// The topic was deleted.
    TopicDeleted {
        /// The entry of its owner's log that says so.
        at: Position,
    },
    /// The topic is another one.
    TopicRecreated {
        /// Its epoch.
        epoch: Position,
    },
}

/// Why a chain was parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParkReason {
    /// The policy is used up.
    PolicyExhausted,
    /// An answer no retry can change.
    Permanent,
    /// Never learned whether that broker has it.
    UnknownAt {
        /// That broker.
        broker: String,
    },
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedAttempt {
    /// Its round.
    pub round: u32,
    /// Its number in the round.
    pub attempt: u32,
    /// When it failed, Unix ms.
    pub at_ms: i64,
    /// What failed.
    pub failure: Failure,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// Who was asked.
    pub peer: String,
    /// How long it took, ms.
    pub took_ms: u64,
}

/// Why an attempt failed: its name as recorded (`timeout`, `refused`, ...), and the number it carries if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Name.
    pub name: String,
    /// The offset of a wrong message, or a response code.
    pub number: Option<i64>,
}
