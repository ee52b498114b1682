//! What became durable, in words.

use crate::evidence::{ChainFact, ChainState, DurableEntry, Fact, Outcome, StoredMessage};

/// Every fact of an entry, or those about chains alone; `None` when there are none.
pub(super) fn entry(entry: &DurableEntry, chains_only: bool) -> Option<String> {
    let wanted = entry.facts.iter().filter(|fact| !chains_only || matches!(fact, Fact::Chain(_)));
    let facts: Vec<String> = wanted.map(fact).collect();
    (!facts.is_empty()).then(|| facts.join("; "))
}

/// One fact.
pub(crate) fn fact(fact: &Fact) -> String {
    match fact {
        Fact::Topic { name, perm, read_queues, write_queues, .. } => {
            format!("topic {name}: perm {perm}, {read_queues} queues to read, {write_queues} to write")
        }
        Fact::TopicDeleted { name, .. } => format!("topic {name} is deleted"),
        Fact::Group { name, retry_max_times } => format!("group {name}: at most {retry_max_times} redeliveries"),
        Fact::Message(stored) => format!("message {}", message(stored)),
        Fact::Timer { message: stored, .. } => format!("delayed message {}", message(stored)),
        Fact::TimerFired { index, record, .. } => format!("the delayed message of entry {index}/{record} is due"),
        Fact::TimerTaken { group, timer, .. } => {
            format!("takes the delayed message of entry {}/{} from {group}", timer.index, timer.record)
        }
        Fact::TimerMoved { timer, to } => {
            format!("the delayed message of entry {}/{} was delivered by {to}", timer.index, timer.record)
        }
        Fact::Offset { group, topic, queue, offset } => format!("{group} is at {topic}/{queue}/{offset}"),
        Fact::OffsetReset { group, topic, queue, offset } => {
            format!("{group} is set to {topic}/{queue}/{offset}")
        }
        Fact::Chain(fact) => chain(fact),
        Fact::EarlyAck { id, .. } => format!("ack before its checkpoint: {id}"),
        Fact::EarlyAckDropped { id } => format!("early ack is done with: {id}"),
        Fact::SetAside { tag, reason } => format!("set aside {tag}: {reason}"),
        Fact::Sent { topic, key, queue, offset, .. } => format!("sends of {key} are known as {topic}/{queue}/{offset}"),
        Fact::Expired { before, .. } => format!("all below log index {before} has expired"),
        Fact::Forgotten { chains } => format!("{} chains that are over are forgotten", chains.len()),
        Fact::Sealed { group, term, member: 0 } => {
            format!("{group} takes term {term} to take back what was done for it")
        }
        Fact::Sealed { group, term, member } => format!("{group}-s{member} takes term {term} to act for {group}"),
        Fact::Merged { group, term } => format!("{group} has merged what was done for it, under term {term}"),
        Fact::Unknown(what) => format!("not understood: {what}"),
    }
}

fn message(message: &StoredMessage) -> String {
    let StoredMessage { topic, queue, offset, .. } = message;
    match &message.ledger {
        Some(ledger) => format!("{topic}/{queue}/{offset} ({ledger})"),
        None => format!("{topic}/{queue}/{offset}"),
    }
}

fn chain(chain: &ChainFact) -> String {
    let state = match &chain.state {
        ChainState::Open { .. } => "open".to_owned(),
        ChainState::Moving { to, .. } => format!("being handed to {to}"),
        ChainState::Moved { to } => format!("handed to {to}"),
        ChainState::Parked { reason, .. } => format!("parked: {reason:?}"),
        ChainState::Ended { outcome, .. } => outcome_text(outcome),
    };
    let failure = match chain.latest.last() {
        Some(last) if matches!(chain.state, ChainState::Open { .. } | ChainState::Parked { .. }) => {
            format!(", last failure {} at {}", last.failure.cause.name, last.failure.peer)
        }
        _ => String::new(),
    };
    format!("chain {} {state} (round {}, attempt {}{failure})", chain.id, chain.round, chain.attempt)
}

/// How a chain ended.
pub(super) fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Acked => "acked".into(),
        Outcome::Revived(copy) => format!("revived as {}/{}/{}", copy.topic, copy.queue, copy.offset),
        Outcome::DeadLettered(copy) => format!("dead letter {}/{}/{}", copy.topic, copy.queue, copy.offset),
        Outcome::Gone(proof) => format!("gone: {proof:?}"),
        Outcome::Superseded(by) => format!("renewed as {by}"),
        Outcome::Reset => "ended by a reset".into(),
    }
}
