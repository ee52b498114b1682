//! Which phase a frame or a commit belongs to, judged by what oracles may see: codes and topics on the wire, facts in
//! the entries that a sync made durable.

use pop_revive::remoting::code::{request, response};
use rustc_hash::FxHashMap;

use crate::{
    evidence::{
        ChainFact, ChainId, ChainState, DurableEntry, Fact, Outcome,
        frame::{WireFrame, code},
        message,
    },
    history::Frame,
    scenario::Phase,
};

/// Of several facts that became durable together the first in this list names the phase.
const WEIGHT: [Phase; 18] = [
    Phase::Operate,
    Phase::TakeOver,
    Phase::Park,
    Phase::Resume,
    Phase::Revive,
    Phase::Rewrite,
    Phase::Attempt,
    Phase::Adopt,
    Phase::HandOver,
    Phase::Renew,
    Phase::Ack,
    Phase::Timer,
    Phase::Expire,
    Phase::Forget,
    Phase::Pop,
    Phase::Send,
    Phase::Replicate,
    Phase::SetUp,
];

/// Follows a history and names the phase of each of its frames and commits.
#[derive(Default)]
pub(crate) struct Phases<'h> {
    /// The latest state of every chain, by node. Only ever looked up.
    chains: FxHashMap<(&'h str, &'h ChainId), &'h ChainFact>,
    /// Requests without an answer, by connection, caller and opaque.
    asked: FxHashMap<(u64, &'h str, i32), Phase>,
}

impl<'h> Phases<'h> {
    /// The phase of what `entry` records; `None` when it records nothing.
    pub(crate) fn entry(&mut self, node: &'h str, entry: &'h DurableEntry) -> Option<Phase> {
        entry.facts.iter().map(|fact| self.fact(node, fact)).min_by_key(|phase| weight(*phase))
    }

    fn fact(&mut self, node: &'h str, fact: &'h Fact) -> Phase {
        match fact {
            Fact::Topic { .. } | Fact::Group { .. } => Phase::SetUp,
            Fact::TopicDeleted { .. } | Fact::OffsetReset { .. } => Phase::Operate,
            Fact::Message(_) | Fact::Sent { .. } => Phase::Send,
            Fact::Timer { .. } | Fact::TimerFired { .. } | Fact::TimerTaken { .. } => Phase::Timer,
            Fact::Expired { .. } => Phase::Expire,
            Fact::Forgotten { .. } => Phase::Forget,
            Fact::Offset { .. } => Phase::Pop,
            Fact::EarlyAck { .. } | Fact::EarlyAckDropped { .. } => Phase::Ack,
            Fact::Sealed { .. } | Fact::Merged { .. } | Fact::TimerMoved { .. } => Phase::TakeOver,
            Fact::SetAside { .. } | Fact::Unknown(_) => Phase::Other,
            Fact::Chain(chain) => {
                let before = self.chains.insert((node, &chain.id), chain);
                chain_phase(node, before, chain)
            }
        }
    }

    /// The phase of a request that leaves its sender.
    pub(crate) fn request(&mut self, frame: &'h Frame) -> Phase {
        let phase = match frame.request_code {
            request::SEND_MESSAGE | request::SEND_MESSAGE_V2 => send_phase(frame),
            request::POP_MESSAGE | request::UPDATE_CONSUMER_OFFSET => Phase::Pop,
            request::ACK_MESSAGE | request::BATCH_ACK_MESSAGE => Phase::Ack,
            request::CHANGE_MESSAGE_INVISIBLETIME => Phase::Renew,
            request::PULL_MESSAGE => read_phase(frame),
            request::LIST_PARKED | request::RESUME_PARKED => Phase::Resume,
            request::DELETE_TOPIC_IN_BROKER | request::INVOKE_BROKER_TO_RESET_OFFSET => Phase::Operate,
            request::UPDATE_AND_CREATE_TOPIC | request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => Phase::SetUp,
            code::REPLICATE | request::LEASE => Phase::Replicate,
            request::TAKE_TIMERS => Phase::Timer,
            request::SEAL | request::VOTE => Phase::TakeOver,
            request::LIST_ACTED | request::LIST_TAKEN_TIMERS | request::MERGED => Phase::TakeOver,
            request::HEART_BEAT | request::UNREGISTER_CLIENT => Phase::Idle,
            request::REGISTER_BROKER | request::UNREGISTER_BROKER => Phase::Routes,
            request::GET_ROUTEINFO_BY_TOPIC | request::GET_BROKER_CLUSTER_INFO => Phase::Routes,
            _ => Phase::Other,
        };
        self.asked.insert((frame.connection, &frame.from, frame.opaque), phase);
        phase
    }

    /// The phase of an answer that leaves its server.
    pub(crate) fn answer(&mut self, frame: &'h Frame) -> Phase {
        match self.asked.remove(&(frame.connection, &*frame.to, frame.opaque)) {
            Some(Phase::Pop) if frame.code != response::SUCCESS => Phase::Idle,
            Some(Phase::HandOver) => Phase::Adopt,
            Some(phase) => phase,
            None => Phase::Other,
        }
    }
}

/// The phase of two things that happened together.
pub(crate) fn heavier(one: Option<Phase>, other: Option<Phase>) -> Option<Phase> {
    one.into_iter().chain(other).min_by_key(|phase| weight(*phase))
}

fn weight(phase: Phase) -> usize {
    WEIGHT.iter().position(|heavier| *heavier == phase).unwrap_or(WEIGHT.len())
}

/// How the group begins for which a broker reads from another.
const INNER_GROUP: &str = "InnerConsumerGroup_";

/// A read by another broker, or by somebody who hands out what he reads.
fn read_phase(frame: &Frame) -> Phase {
    let Ok(read) = WireFrame::read(&frame.bytes) else { return Phase::RemoteRead };
    let is_broker = read.get("consumerGroup").is_none_or(|group| group.starts_with(INNER_GROUP));
    if is_broker { Phase::RemoteRead } else { Phase::Pop }
}

/// A producer's message, or something that one broker tells another as a message to its revive topic.
fn send_phase(frame: &Frame) -> Phase {
    let Ok(read) = WireFrame::read(&frame.bytes) else { return Phase::Other };
    if !read.send_topic().is_some_and(|topic| topic.starts_with("rmq_sys_REVIVE_LOG_")) {
        return Phase::Send;
    }
    let properties = message::properties(read.send_properties().unwrap_or_default());
    match properties.iter().find(|(name, _)| name == "TAGS").map(|(_, tag)| tag.as_str()) {
        Some("ck") => Phase::HandOver,
        Some("ack" | "bAck") => Phase::Ack,
        _ => Phase::Other,
    }
}

fn chain_phase(node: &str, before: Option<&ChainFact>, now: &ChainFact) -> Phase {
    match (before.map(|before| &before.state), &now.state) {
        (_, ChainState::Ended { outcome, .. }) => match outcome {
            Outcome::Acked => Phase::Ack,
            Outcome::Superseded(_) => Phase::Renew,
            Outcome::Revived(_) | Outcome::DeadLettered(_) | Outcome::Gone(_) => Phase::Revive,
            Outcome::Reset => Phase::Operate,
        },
        (_, ChainState::Parked { .. }) => Phase::Park,
        (_, ChainState::Moved { .. }) => Phase::HandOver,
        (None, _) if now.id.broker != node => Phase::Adopt,
        (None, _) => Phase::Pop,
        (Some(ChainState::Parked { .. }), _) => Phase::Resume,
        (Some(_), _) if before.is_some_and(|before| before.failures < now.failures) => Phase::Rewrite,
        (Some(_), ChainState::Moving { .. }) => Phase::HandOver,
        (Some(_), ChainState::Open { .. }) => Phase::Attempt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{evidence::ParkReason, oracles::fixture::Story};

    fn with(chain: &ChainFact, state: ChainState) -> ChainFact {
        ChainFact { state, ..chain.clone() }
    }

    #[test]
    fn a_chains_step_is_told_by_what_changed() {
        let popped = Story::new().send(1, 0).pop("t", 0, 1, 0);
        let begun = popped.clone().attempt(1);
        let failed = begun.clone().failed("timeout").open(60_000);
        let parked = with(&failed, ChainState::Parked { reason: ParkReason::PolicyExhausted, at_ms: 0 });
        let moving = with(&popped, ChainState::Moving { to: "b".into(), due_ms: 0, revive_ms: 0 });
        let moved = with(&popped, ChainState::Moved { to: "b".into() });
        let owner = popped.id.broker.clone();
        for (node, before, now, phase) in [
            (owner.as_str(), None, &popped, Phase::Pop),
            ("elsewhere", None, &popped, Phase::Adopt),
            (owner.as_str(), None, &moving, Phase::Pop),
            (owner.as_str(), Some(&moving), &moved, Phase::HandOver),
            (owner.as_str(), Some(&popped), &begun, Phase::Attempt),
            (owner.as_str(), Some(&begun), &failed, Phase::Rewrite),
            (owner.as_str(), Some(&failed), &parked, Phase::Park),
            (owner.as_str(), Some(&parked), &failed, Phase::Resume),
            (owner.as_str(), Some(&failed), &failed.clone().revived("r", 0), Phase::Revive),
            (owner.as_str(), Some(&popped), &popped.clone().ended(Outcome::Acked), Phase::Ack),
        ] {
            assert_eq!(chain_phase(node, before, now), phase, "{node}: {before:?} to {now:?}");
        }
    }

    #[test]
    fn what_moves_a_chain_on_names_the_commit() {
        assert_eq!(heavier(Some(Phase::Pop), Some(Phase::Revive)), Some(Phase::Revive));
        assert_eq!(heavier(Some(Phase::Ack), Some(Phase::Send)), Some(Phase::Ack));
        assert_eq!(heavier(None, Some(Phase::Other)), Some(Phase::Other));
        assert_eq!(heavier(None, None), None);
    }
}
