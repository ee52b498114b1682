//! What a broker's answer to a read means: the one table from wire codes to outcomes.
//!
//! RocketMQ takes "not found", "retry immediately" and "offset moved" for final (`EscapeBridge`, `PullStatus`), so a
//! lagging replica loses messages. Here nothing is final but a proof by the holder of the group's term.

use bytes::Bytes;

use crate::{
    model::{
        cause::Cause,
        chain::{Chain, GoneProof, LogPosition},
        message::Message,
    },
    remoting::code::response,
    sabotage,
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
    /// The messages.
    pub body: Bytes,
}

/// What the answer means; failures are causes here, the caller adds peer and duration.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// The message that was asked for.
    Found(Box<Message>),
    /// Proof that it is gone.
    Gone(GoneProof),
    /// A failure.
    Failed(Cause),
}

/// The one table.
#[must_use]
pub fn classify(chain: &Chain, answer: &Answered) -> Meaning {
    if let Some(proof) = proof_of_absence(chain, answer) {
        return Meaning::Gone(proof);
    }
    match answer.code {
        response::SUCCESS => found(chain, answer),
        code => Meaning::Failed(cause_of(code, chain, answer)),
    }
}

/// The holder of the group's term says that the topic was recreated or that the queue begins later.
fn proof_of_absence(chain: &Chain, answer: &Answered) -> Option<GoneProof> {
    let serves_reads =
        [response::SUCCESS, response::PULL_NOT_FOUND, response::PULL_OFFSET_MOVED].contains(&answer.code);
    let is_holder = answer.holder_term.is_some_and(|term| term >= chain.id.term);
    if !serves_reads || !is_holder {
        return None;
    }
    let unknown = LogPosition::default();
    if let Some(epoch) = answer.topic_epoch.filter(|epoch| chain.topic_epoch != unknown && *epoch > chain.topic_epoch) {
        return Some(GoneProof::TopicRecreated { epoch });
    }
    let minimum = answer.minimum.filter(|minimum| *minimum > chain.id.offset)?;
    Some(GoneProof::BelowMinimum { minimum })
}

fn found(chain: &Chain, answer: &Answered) -> Meaning {
    if answer.body.is_empty() {
        if sabotage!("empty-found-is-gone") {
            return Meaning::Gone(GoneProof::BelowMinimum { minimum: 0 });
        }
        return Meaning::Failed(Cause::EmptyAnswer);
    }
    match Message::decode(&mut answer.body.clone()) {
        Ok(message) if is_the_one(chain, &message) => Meaning::Found(Box::new(message)),
        Ok(message) => Meaning::Failed(Cause::WrongMessage { offset: message.queue_offset }),
        Err(_) => Meaning::Failed(Cause::Undecodable),
    }
}

/// The offset alone proves nothing: every queue of every topic has a message with that number.
fn is_the_one(chain: &Chain, message: &Message) -> bool {
    let id = &chain.id;
    (message.queue_offset, message.queue_id) == (id.offset, id.queue) && message.topic == id.topic
}

fn cause_of(code: i32, chain: &Chain, answer: &Answered) -> Cause {
    match code {
        response::PULL_NOT_FOUND => Cause::NotFound,
        response::PULL_RETRY_IMMEDIATELY => Cause::RetryImmediately,
        response::PULL_OFFSET_MOVED => beyond_end(chain, answer).unwrap_or(Cause::OffsetMoved),
        response::SYSTEM_BUSY | response::FLOW_CONTROL => Cause::Busy,
        response::SERVICE_NOT_AVAILABLE | response::NOT_LEADER_FOR_QUEUE | response::GO_AWAY => Cause::NotServing,
        response::NO_PERMISSION => Cause::NoPermission,
        response::TOPIC_NOT_EXIST => Cause::TopicUnknown,
        response::SUBSCRIPTION_GROUP_NOT_EXIST => Cause::GroupUnknown,
        response::INVALID_PARAMETER => Cause::BadRequest,
        other => Cause::Code(other),
    }
}

/// The holder of the very term under which the message was popped has a shorter queue: it never had the message.
fn beyond_end(chain: &Chain, answer: &Answered) -> Option<Cause> {
    let same_term = answer.holder_term? == chain.id.term;
    (same_term && chain.id.offset >= answer.maximum?).then_some(Cause::BeyondEnd)
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "classify_any_tests.rs"]
mod any_tests;
