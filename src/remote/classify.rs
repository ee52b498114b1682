//! What a broker's answer to a read means: the one table from wire codes to outcomes.
//!
//! RocketMQ takes "not found", "retry immediately" and "offset moved" for final (`EscapeBridge`, `PullStatus`), so a
//! lagging replica loses messages. Here nothing is final but a proof by the holder of the group's term.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::{
    model::{
        cause::Cause,
        chain::{Chain, GoneProof, LogPosition},
        message::Message,
    },
    remoting::code::response,
    sabotage, sometimes,
};

/// The parts of a read's answer that matter.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// Response code.
    pub code: i32,
    /// The queue's minimum offset, if told.
    pub minimum: Option<i64>,
    /// The offset after the queue's last, if told.
    pub maximum: Option<i64>,
    /// The term under which the answering member holds its group; absent from a broker that has none.
    pub holder_term: Option<u64>,
    /// The topic's epoch at the answering member.
    pub topic_epoch: Option<LogPosition>,
    /// The entry of the answering member's log that deleted the topic, which does not exist any more.
    pub topic_deleted: Option<LogPosition>,
    /// The messages.
    pub body: Bytes,
}

/// What the answer means; failures are causes here, the caller adds peer and duration.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// The message that was asked for: the piece itself, because a copy costs more than all the rest of this table.
    Found(Arc<Message>),
    /// Proof that it is gone.
    Gone(GoneProof),
    /// A failure.
    Failed(Cause),
}

/// A message in an answer's body.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// One that can be read.
    Sound(Arc<Message>),
    /// One that cannot.
    Damaged {
        /// The offset it seems to have; `None` when not even its length makes sense, and what follows it is lost too.
        offset: Option<i64>,
    },
}

impl Piece {
    /// The message, if it can be read.
    const fn sound(&self) -> Option<&Arc<Message>> {
        match self {
            Self::Sound(message) => Some(message),
            Self::Damaged { .. } => None,
        }
    }

    /// The offset that it has, or seems to have.
    fn offset(&self) -> Option<i64> {
        match self {
            Self::Sound(message) => Some(message.queue_offset),
            Self::Damaged { offset } => *offset,
        }
    }
}

impl Answered {
    /// The messages in its body. One that cannot be decoded does not spoil the others.
    #[must_use]
    pub fn pieces(&self) -> Vec<Piece> {
        let (mut rest, mut pieces) = (self.body.clone(), Vec::new());
        while !rest.is_empty() {
            match Message::decode(&mut rest) {
                Ok(message) => pieces.push(Piece::Sound(Arc::new(message))),
                Err(_) => {
                    let envelope = envelope(&rest);
                    pieces.push(Piece::Damaged { offset: envelope.map(|(_, offset)| offset) });
                    match envelope {
                        Some((size, _)) => rest.advance(size),
                        None => break,
                    }
                }
            }
        }
        pieces
    }
}

/// Where a stored message has its offset in the queue.
const OFFSET_AT: usize = 20;

/// Size and offset of a message that cannot be decoded, if at least they make sense.
fn envelope(record: &Bytes) -> Option<(usize, i64)> {
    let size = i32::from_be_bytes(record.get(..4)?.try_into().ok()?);
    let size = usize::try_from(size).ok().filter(|size| (OFFSET_AT + 8..=record.len()).contains(size))?;
    let offset = i64::from_be_bytes(record.get(OFFSET_AT..OFFSET_AT + 8)?.try_into().ok()?);
    Some((size, offset))
}

/// The one table: what the answer to a read that began at `from` says about one of the messages it was for.
///
/// `None`: nothing, because the answer ends before that message, or is about earlier ones; it has to be asked for
/// again. That never happens to the message at `from`, so asking comes to an end.
#[must_use]
pub fn classify(chain: &Chain, from: i64, answer: &Answered, pieces: &[Piece]) -> Option<Meaning> {
    if let Some(proof) = proof_of_absence(chain, answer) {
        return Some(Meaning::Gone(proof));
    }
    let offset = chain.id.offset;
    match answer.code {
        response::SUCCESS if !pieces.is_empty() && is_other_topic(chain, answer) => {
            sometimes!("answer-of-another-topic");
            let first = pieces.iter().find_map(Piece::offset);
            Some(Meaning::Failed(Cause::WrongMessage { offset: first.unwrap_or(from) }))
        }
        response::SUCCESS => sometimes!("answer-success", found(chain, from, pieces)),
        // The queue begins after `from`, and it is that which moved the offset: this message is in the queue.
        response::PULL_OFFSET_MOVED
            if answer.minimum.is_some_and(|minimum| from < minimum && minimum <= offset)
                && answer.maximum.is_some_and(|maximum| offset < maximum) =>
        {
            sometimes!("answer-begins-later", None)
        }
        code => sometimes!("answer-error", Some(Meaning::Failed(cause_of(code, chain, answer)))),
    }
}

/// Whatever has that offset lies in another topic of the same name: a successor, or, at a slave that is behind, the
/// predecessor.
fn is_other_topic(chain: &Chain, answer: &Answered) -> bool {
    let is_other = |epoch: LogPosition| epoch != chain.topic_epoch && !sabotage!("epoch-ignored");
    chain.topic_epoch != LogPosition::default() && answer.topic_epoch.is_some_and(is_other)
}

/// The holder of the group's term says that the topic was deleted or recreated, or that the queue begins later.
///
/// A deletion is proof also for a checkpoint that names no epoch: whatever it was about lay in a topic of that name, and
/// there is none. Once the topic was recreated, such a checkpoint can mean either.
fn proof_of_absence(chain: &Chain, answer: &Answered) -> Option<GoneProof> {
    let is_holder = answer.holder_term.is_some_and(|term| term >= chain.id.term);
    if !is_holder {
        return None;
    }
    let epochs_count = !sabotage!("epoch-ignored");
    if answer.code == response::TOPIC_NOT_EXIST {
        let at = answer.topic_deleted.filter(|at| epochs_count && *at > chain.topic_epoch)?;
        return sometimes!("proof-topic-deleted", Some(GoneProof::TopicDeleted { at }));
    }
    let serves_reads =
        [response::SUCCESS, response::PULL_NOT_FOUND, response::PULL_OFFSET_MOVED].contains(&answer.code);
    // The successor of a topic may have fewer queues, or not be readable: it is a successor all the same.
    let serves_topics = serves_reads
        || [response::PULL_RETRY_IMMEDIATELY, response::INVALID_PARAMETER, response::NO_PERMISSION]
            .contains(&answer.code);
    let is_later = |epoch: &LogPosition| chain.topic_epoch != LogPosition::default() && *epoch > chain.topic_epoch;
    if let Some(epoch) = answer.topic_epoch.filter(|epoch| epochs_count && serves_topics && is_later(epoch)) {
        return sometimes!("proof-topic-recreated", Some(GoneProof::TopicRecreated { epoch }));
    }
    if !serves_reads {
        return None;
    }
    let minimum = answer.minimum.filter(|minimum| *minimum > chain.id.offset)?;
    sometimes!("proof-below-minimum", Some(GoneProof::BelowMinimum { minimum }))
}

fn found(chain: &Chain, from: i64, pieces: &[Piece]) -> Option<Meaning> {
    let offset = chain.id.offset;
    if pieces.is_empty() {
        if sabotage!("empty-found-is-gone") {
            return Some(Meaning::Gone(GoneProof::BelowMinimum { minimum: 0 }));
        }
        return sometimes!("answer-empty", Some(Meaning::Failed(Cause::EmptyAnswer)));
    }
    let mut sound = pieces.iter().filter_map(Piece::sound);
    if let Some(message) = sound.clone().find(|message| is_the_one(chain, message)) {
        return sometimes!("answer-has-it", Some(Meaning::Found(message.clone())));
    }
    if sabotage!("coalesced-miss-is-gone") && offset > from {
        return Some(Meaning::Gone(GoneProof::BelowMinimum { minimum: offset + 1 }));
    }
    if pieces.contains(&Piece::Damaged { offset: Some(offset) }) {
        return sometimes!("answer-has-it-damaged", Some(Meaning::Failed(Cause::Undecodable)));
    }
    let is_later = |message: &Message| {
        message.queue_id == chain.id.queue && message.topic == chain.id.topic && message.queue_offset > offset
    };
    let skipped_to = sound.clone().find(|message| is_later(message)).map(|message| message.queue_offset);
    match (skipped_to, pieces.first()) {
        (Some(later), _) => {
            sometimes!("answer-skips-it", Some(Meaning::Failed(Cause::WrongMessage { offset: later })))
        }
        // The answer ends before it: it was cut, or what follows a damaged message is lost.
        (None, _) if offset > from => sometimes!("answer-ends-before-it", None),
        (None, Some(Piece::Damaged { .. })) => {
            sometimes!("answer-begins-damaged", Some(Meaning::Failed(Cause::Undecodable)))
        }
        (None, _) => {
            sometimes!("answer-of-another-message");
            let offset = sound.next().map_or(offset, |message| message.queue_offset);
            Some(Meaning::Failed(Cause::WrongMessage { offset }))
        }
    }
}

/// The offset alone proves nothing: every queue of every topic has a message with that number.
fn is_the_one(chain: &Chain, message: &Message) -> bool {
    let id = &chain.id;
    (message.queue_offset, message.queue_id) == (id.offset, id.queue) && message.topic == id.topic
}

fn cause_of(code: i32, chain: &Chain, answer: &Answered) -> Cause {
    match code {
        response::PULL_NOT_FOUND => sometimes!("cause-not-found", Cause::NotFound),
        response::SLAVE_NOT_AVAILABLE => sometimes!("cause-unconfirmed", Cause::Unconfirmed),
        response::PULL_RETRY_IMMEDIATELY => sometimes!("cause-retry-immediately", Cause::RetryImmediately),
        response::PULL_OFFSET_MOVED => match is_beyond_end(chain, answer) {
            true => sometimes!("cause-beyond-end", Cause::BeyondEnd),
            false => sometimes!("cause-offset-moved", Cause::OffsetMoved),
        },
        response::SYSTEM_BUSY | response::FLOW_CONTROL => sometimes!("cause-busy", Cause::Busy),
        response::SERVICE_NOT_AVAILABLE | response::NOT_LEADER_FOR_QUEUE | response::GO_AWAY => {
            sometimes!("cause-not-serving", Cause::NotServing)
        }
        response::NO_PERMISSION => sometimes!("cause-no-permission", Cause::NoPermission),
        response::TOPIC_NOT_EXIST => sometimes!("cause-topic-unknown", Cause::TopicUnknown),
        response::SUBSCRIPTION_GROUP_NOT_EXIST => sometimes!("cause-group-unknown", Cause::GroupUnknown),
        response::INVALID_PARAMETER => sometimes!("cause-bad-request", Cause::BadRequest),
        other => sometimes!("cause-other-code", Cause::Code(other)),
    }
}

/// The holder of the very term under which the message was popped has a shorter queue: it never had the message.
fn is_beyond_end(chain: &Chain, answer: &Answered) -> bool {
    let is_same_term = answer.holder_term == Some(chain.id.term);
    is_same_term && answer.maximum.is_some_and(|maximum| chain.id.offset >= maximum)
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "classify_any_tests.rs"]
mod any_tests;
