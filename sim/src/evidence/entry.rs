//! A log entry as the disk holds it, mirrored in types of our own.

use std::fmt;

use bytes::Bytes;
use rmpv::ValueRef;
use serde::Serialize;

use super::{
    fields::{Fields, Misread, Variant, number_of},
    message::StoredMessage,
};

/// One transaction of a broker's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DurableEntry {
    /// Term under which it was written.
    pub term: u64,
    /// Its number in the log.
    pub index: u64,
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
    /// A record that this decoder does not understand: its kind and why. An oracle complains of it.
    Unknown(String),
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
    /// Where it stands.
    pub state: ChainState,
    /// Failed attempts in all.
    pub failures: u32,
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

impl DurableEntry {
    /// Reads an entry's payload. What is not understood becomes [`Fact::Unknown`], never an error: an oracle complains.
    #[must_use]
    pub fn read(term: u64, index: u64, payload: &[u8]) -> Self {
        let unknown = |why: String| Self { term, index, at_ms: 0, facts: vec![Fact::Unknown(why)] };
        let mut rest = payload;
        match rmpv::decode::read_value_ref(&mut rest) {
            Ok(_) if !rest.is_empty() => unknown(format!("{} bytes after the payload", rest.len())),
            Ok(value) => Self::of(term, index, &value).unwrap_or_else(|misread| unknown(misread.to_string())),
            Err(error) => unknown(error.to_string()),
        }
    }

    fn of(term: u64, index: u64, value: &ValueRef<'_>) -> Result<Self, Misread> {
        let fields = Fields::of(value, "entry")?;
        let mut facts: Vec<Fact> = fields.list("records")?.iter().map(fact).collect();
        let inside = position(fields.map("position")?)?;
        if inside != (Position { term, index }) {
            facts.push(Fact::Unknown(format!("its payload calls itself {}/{}", inside.term, inside.index)));
        }
        Ok(Self { term, index, at_ms: fields.number("at_ms")?, facts })
    }
}

fn fact(value: &ValueRef<'_>) -> Fact {
    match Variant::of(value, "record") {
        Ok(variant) => read_fact(&variant).unwrap_or_else(|error| Fact::Unknown(format!("{}: {error}", variant.name))),
        Err(error) => Fact::Unknown(error.to_string()),
    }
}

fn read_fact(variant: &Variant<'_, '_>) -> Result<Fact, Misread> {
    let fields = variant.fields()?;
    Ok(match variant.name {
        "topic" => topic(fields)?,
        "group" => {
            let config = fields.map("config")?;
            Fact::Group { name: config.text("groupName")?, retry_max_times: config.number("retryMaxTimes")? }
        }
        "message" => message(fields)?,
        "timer" => match StoredMessage::read(fields.bytes("stored")?) {
            Ok((message, _)) => Fact::Timer { due_ms: fields.number("due_ms")?, message },
            Err(error) => Fact::Unknown(format!("timer: {error}")),
        },
        "timer-fired" => Fact::TimerFired {
            due_ms: fields.number("due_ms")?,
            index: fields.number("index")?,
            record: fields.number("record")?,
        },
        "offset" => Fact::Offset {
            group: fields.text("group")?,
            topic: fields.text("topic")?,
            queue: fields.number("queue")?,
            offset: fields.number("offset")?,
        },
        "chain" => Fact::Chain(Box::new(chain(fields)?)),
        "early-ack" => Fact::EarlyAck { id: chain_id(fields.map("id")?)?, until_ms: fields.number("until_ms")? },
        "early-ack-dropped" => Fact::EarlyAckDropped { id: chain_id(fields.map("id")?)? },
        "set-aside" => Fact::SetAside { tag: fields.text("tag")?, reason: fields.text("reason")? },
        other => Fact::Unknown(other.to_owned()),
    })
}

fn topic(fields: Fields<'_, '_>) -> Result<Fact, Misread> {
    let config = fields.map("config")?;
    Ok(Fact::Topic {
        name: config.text("topicName")?,
        perm: config.number("perm")?,
        read_queues: config.number("readQueueNums")?,
        write_queues: config.number("writeQueueNums")?,
        epoch: position(fields.map("epoch")?)?,
    })
}

fn message(fields: Fields<'_, '_>) -> Result<Fact, Misread> {
    let place = (fields.text("topic")?, fields.number("queue")?, fields.number("offset")?);
    Ok(match StoredMessage::read(&Bytes::copy_from_slice(fields.bytes("stored")?)) {
        Ok((message, _)) if (&message.topic, message.queue, message.offset) == (&place.0, place.1, place.2) => {
            Fact::Message(message)
        }
        Ok((message, _)) => Fact::Unknown(format!(
            "message of {}/{}/{} recorded as {}/{}/{}",
            message.topic, message.queue, message.offset, place.0, place.1, place.2
        )),
        Err(error) => Fact::Unknown(format!("message {}/{}/{}: {error}", place.0, place.1, place.2)),
    })
}

fn position(fields: Fields<'_, '_>) -> Result<Position, Misread> {
    Ok(Position { term: fields.number("term")?, index: fields.number("index")? })
}

fn chain_id(fields: Fields<'_, '_>) -> Result<ChainId, Misread> {
    Ok(ChainId {
        broker: fields.text("broker")?,
        topic: fields.text("topic")?,
        queue: fields.number("queue")?,
        offset: fields.number("offset")?,
        group: fields.text("group")?,
        pop_time: fields.number("pop_time")?,
        term: fields.number("term")?,
    })
}

/// RocketMQ's default number of redeliveries, for chains that do not say.
const DEFAULT_RECONSUME_LIMIT: i32 = 16;

fn chain(fields: Fields<'_, '_>) -> Result<ChainFact, Misread> {
    let epoch = fields.get("topic_epoch").map(|value| position(Fields::of(value, "topic_epoch")?));
    let history = fields.get("history").map(|value| Fields::of(value, "history")).transpose()?;
    let (failures, latest) = match history {
        Some(history) => {
            let latest = history.list("latest")?.iter().map(failed_attempt);
            (history.number("failures")?, latest.collect::<Result<_, _>>()?)
        }
        None => (0, Vec::new()),
    };
    Ok(ChainFact {
        id: chain_id(fields.map("id")?)?,
        epoch: epoch.transpose()?.unwrap_or_default(),
        invisible_ms: fields.number("invisible_ms")?,
        reconsume_limit: fields.number_or("reconsume_limit", DEFAULT_RECONSUME_LIMIT)?,
        round: fields.number_or("round", 0)?,
        hop: fields.number_or("hop", 0)?,
        generation: fields.number_or("generation", 0)?,
        attempt: fields.number_or("attempt", 0)?,
        state: state(&fields.variant("state")?)?,
        failures,
        latest,
    })
}

fn state(variant: &Variant<'_, '_>) -> Result<ChainState, Misread> {
    let fields = variant.fields()?;
    Ok(match variant.name {
        "open" => ChainState::Open { due_ms: fields.number("due_ms")? },
        "moving" => ChainState::Moving {
            to: fields.text("to")?,
            due_ms: fields.number("due_ms")?,
            revive_ms: fields.number("revive_ms")?,
        },
        "moved" => ChainState::Moved { to: fields.text("to")? },
        "parked" => {
            ChainState::Parked { reason: park_reason(&fields.variant("reason")?)?, at_ms: fields.number("at_ms")? }
        }
        "ended" => ChainState::Ended { outcome: outcome(&fields.variant("outcome")?)?, at_ms: fields.number("at_ms")? },
        other => return Err(Misread { field: other.to_owned(), expected: "a known state" }),
    })
}

fn park_reason(variant: &Variant<'_, '_>) -> Result<ParkReason, Misread> {
    Ok(match variant.name {
        "policy-exhausted" => ParkReason::PolicyExhausted,
        "permanent" => ParkReason::Permanent,
        "unknown-at" => ParkReason::UnknownAt { broker: variant.fields()?.text("broker")? },
        other => return Err(Misread { field: other.to_owned(), expected: "a known park reason" }),
    })
}

fn outcome(variant: &Variant<'_, '_>) -> Result<Outcome, Misread> {
    Ok(match variant.name {
        "acked" => Outcome::Acked,
        "revived" => Outcome::Revived(copy_place(variant.fields()?)?),
        "dead-lettered" => Outcome::DeadLettered(copy_place(variant.fields()?)?),
        "gone" => Outcome::Gone(gone_proof(&Variant::of(variant.content()?, "gone")?)?),
        "superseded" => Outcome::Superseded(chain_id(variant.fields()?)?),
        other => return Err(Misread { field: other.to_owned(), expected: "a known outcome" }),
    })
}

fn copy_place(fields: Fields<'_, '_>) -> Result<CopyPlace, Misread> {
    Ok(CopyPlace { topic: fields.text("topic")?, queue: fields.number("queue")?, offset: fields.number("offset")? })
}

fn gone_proof(variant: &Variant<'_, '_>) -> Result<GoneProof, Misread> {
    let fields = variant.fields()?;
    Ok(match variant.name {
        "below-minimum" => GoneProof::BelowMinimum { minimum: fields.number("minimum")? },
        "topic-recreated" => GoneProof::TopicRecreated { epoch: position(fields.map("epoch")?)? },
        other => return Err(Misread { field: other.to_owned(), expected: "a known proof" }),
    })
}

fn failed_attempt(value: &ValueRef<'_>) -> Result<FailedAttempt, Misread> {
    let fields = Fields::of(value, "failed attempt")?;
    let failure = fields.map("failure")?;
    let cause = failure.variant("cause")?;
    let number = match cause.content() {
        Ok(content) => number_of(content).or_else(|| cause.fields().ok()?.number("offset").ok()),
        Err(_) => None,
    };
    Ok(FailedAttempt {
        round: fields.number("round")?,
        attempt: fields.number("attempt")?,
        at_ms: fields.number("at_ms")?,
        failure: Failure {
            cause: Cause { name: cause.name.to_owned(), number },
            peer: failure.text("peer")?,
            took_ms: failure.number("took_ms")?,
        },
    })
}
