//! Which situations a run got into: a scenario that never reaches what it was written for tests nothing.

use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

use super::{
    Reads, p8_bounded::PROBE_EVERY_MS, reached_acting, reached_clocks, reached_disks, reached_links, reached_slaves,
    reached_starts, silence::silences,
};
use crate::{
    evidence::{ChainFact, ChainState, GoneProof, Outcome},
    history::{AckVerdict, EventKind, Noted, Seen},
    ledger::{ChainLife, Ledger, Place, wire::Pull},
};

pub(super) fn reached(ledger: &Ledger<'_>, reads: &Reads<'_>) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    for life in &ledger.chains {
        chain(ledger, life, &mut reached);
    }
    clients(ledger, &mut reached);
    nodes(ledger, &mut reached);
    let mut any_read = false;
    for (_, _, pulls) in reads.all() {
        any_read = true;
        reached.extend(pulls.iter().filter_map(|pull| match pull.call.answer? {
            (_, 0) => pull.empty.then_some("remote-read-empty"),
            _ => Some("remote-read-error-answer"),
        }));
    }
    dead_peers(ledger, &mut reached);
    reached.extend(reached_slaves::reached(ledger));
    reached.extend(reached_clocks::reached(ledger));
    reached.extend(reached_disks::reached(ledger));
    reached.extend(reached_links::reached(ledger));
    reached.extend(reached_starts::reached(ledger));
    reached.extend(reached_acting::reached(ledger));
    let conditions = [
        ("remote-read", any_read),
        ("coalesced-read", brought(ledger, |pull| pull.brought.0 > 1)),
        ("coalesced-read-cut", brought(ledger, |pull| pull.offsets().any(|offset| pull.ended_before(offset)))),
        ("offset-reused", is_reused(ledger)),
        ("timer-delivered", !ledger.fired.is_empty()),
        ("set-aside", !ledger.set_aside.is_empty()),
        ("forgotten", !ledger.forgotten.is_empty()),
        ("refused-as-forgotten", is_refused_as_forgotten(ledger)),
        ("expired", ledger.messages.iter().any(|stored| ledger.expired(stored).is_some())),
        ("kept-past-expiry", ledger.chains.iter().any(|life| is_kept_past_expiry(ledger, life))),
        ("filtered", is_filtered(ledger)),
        ("scraped", ledger.history.noted().any(|(_, noted)| matches!(noted, Noted::Scraped(_)))),
    ];
    reached.extend(conditions.iter().filter(|(_, held)| *held).map(|(name, _)| *name));
    reached
}

/// Whether a broker's read brought what is asked for here.
fn brought(ledger: &Ledger<'_>, what: impl Fn(&Pull<'_>) -> bool) -> bool {
    let is_broker = |name: &str| ledger.obligations.brokers.iter().any(|broker| broker == name);
    ledger.wire.pulls.iter().any(|pull| is_broker(pull.call.from) && what(pull))
}

/// A peer was spared for a whole probe interval although chains were due, and what was asked after that.
fn dead_peers(ledger: &Ledger<'_>, reached: &mut BTreeSet<&'static str>) {
    for silence in silences(ledger, ledger.wire.pulls.iter().map(|pull| pull.call)) {
        let Some(probe) = silence.after_restraint(ledger, PROBE_EVERY_MS) else { continue };
        reached.insert("breaker-open");
        let is_single = |pull: &Pull<'_>| pull.call.event == probe.event && pull.count == 1;
        if ledger.wire.pulls.iter().any(is_single) {
            reached.insert("probe");
        }
        return;
    }
}

fn chain(ledger: &Ledger<'_>, life: &ChainLife<'_>, reached: &mut BTreeSet<&'static str>) {
    let is_remote = life.node != life.id.broker;
    let (mut was_moving, mut failures) = (false, 0);
    for step in &life.steps {
        let chain = step.chain;
        reached.extend(match &chain.state {
            ChainState::Parked { .. } => Some("parked"),
            ChainState::Moved { .. } => Some("escaped"),
            ChainState::Ended { outcome: Outcome::Revived(_), .. } => Some("revived"),
            ChainState::Ended { outcome: Outcome::DeadLettered(_), .. } => Some("dead-lettered"),
            ChainState::Ended { outcome: Outcome::Superseded(_), .. } => Some("renewed"),
            ChainState::Ended { outcome: Outcome::Gone(GoneProof::BelowMinimum { .. }), .. } => Some("gone-expired"),
            ChainState::Ended { outcome: Outcome::Gone(_), .. } if is_remote => Some("gone-remotely"),
            ChainState::Ended { outcome: Outcome::Gone(_), .. } => Some("gone-with-topic"),
            ChainState::Ended { outcome: Outcome::Reset, .. } => Some("reset-anew"),
            _ => None,
        });
        was_moving |= matches!(chain.state, ChainState::Moving { .. });
        let is_copied =
            matches!(&chain.state, ChainState::Ended { outcome: Outcome::Revived(_) | Outcome::DeadLettered(_), .. });
        reached.extend((is_copied && is_remote).then_some("revived-remotely"));
        reached.extend((chain.round > 0).then_some("resumed"));
        reached.extend((chain.round > 0 && is_copied).then_some("delivered-after-resume"));
        if chain.failures > failures {
            failures = chain.failures;
            failed(chain, was_moving, reached);
        }
    }
    crashed_mid_attempt(ledger, life, reached);
}

fn failed(chain: &ChainFact, was_moving: bool, reached: &mut BTreeSet<&'static str>) {
    if let ChainState::Open { .. } | ChainState::Moving { .. } = chain.state {
        reached.extend(match chain.attempt {
            1 => Some("rewrite-attempt-1"),
            2 => Some("rewrite-attempt-2"),
            3 => Some("rewrite-attempt-3"),
            _ => None,
        });
    }
    let Some(last) = chain.latest.last() else { return };
    reached.extend(match last.failure.cause.name.as_str() {
        _ if was_moving => Some("escape-unknown"),
        "timeout" => Some("remote-read-timeout"),
        "refused" => Some("remote-read-refused"),
        "reset" => Some("remote-read-reset"),
        "empty-answer" => Some("remote-read-empty"),
        "away" => Some("waited-out"),
        "no-route" | "overloaded" | "local-store" => None,
        _ => Some("remote-read-error-answer"),
    });
}

/// The home was killed or crashed between an attempt's beginning and its end.
fn crashed_mid_attempt(ledger: &Ledger<'_>, life: &ChainLife<'_>, reached: &mut BTreeSet<&'static str>) {
    let attempts = |at: usize| life.steps[at].chain.attempt;
    for next in 2..life.steps.len() {
        let (idle, begun) = (next - 2, next - 1);
        if attempts(begun) != attempts(idle) + 1 || attempts(next) != attempts(begun) + 1 {
            continue;
        }
        let span = &ledger.history.events[life.steps[begun].event..life.steps[next].event];
        let died = span.iter().any(|event| match &event.kind {
            EventKind::Node { node, event } => node == life.node && (event == "killed" || event == "crashed"),
            _ => false,
        });
        if died {
            reached.insert("crash-mid-attempt");
        }
    }
}

fn clients(ledger: &Ledger<'_>, reached: &mut BTreeSet<&'static str>) {
    if ledger.sends.iter().any(|(_, sent)| matches!(sent.seen, Seen::Unknown { .. })) {
        reached.insert("send-unknown");
    }
    let mut sends = BTreeSet::new();
    if ledger.sends.iter().any(|(_, sent)| !sends.insert(&sent.ledger)) {
        reached.insert("repeated-send");
    }
    let mut acks: FxHashMap<(&str, &str), u32> = FxHashMap::default();
    for (_, ack) in &ledger.acks {
        reached.extend(match ack.seen {
            Seen::Ok(AckVerdict::TooLate) => Some("late-ack"),
            Seen::Unknown { .. } => Some("ack-unknown"),
            _ => None,
        });
        let times = acks.entry((&ack.group, &ack.handle)).or_default();
        *times += 1;
        if *times > 1 {
            reached.insert("repeated-ack");
        }
    }
    let is_unknown = |kind: &EventKind| match kind {
        EventKind::Noted(Noted::Popped(popped)) => matches!(popped.seen, Seen::Unknown { .. }),
        _ => false,
    };
    if ledger.history.events.iter().any(|event| is_unknown(&event.kind)) {
        reached.insert("pop-unknown");
    }
}

fn nodes(ledger: &Ledger<'_>, reached: &mut BTreeSet<&'static str>) {
    let mut started = BTreeSet::new();
    for event in &ledger.history.events {
        let EventKind::Node { node, event } = &event.kind else { continue };
        reached.extend(match event.as_str() {
            "stopping" => Some("graceful-stop"),
            "started" if !started.insert(node) => Some("restart"),
            _ => None,
        });
    }
}

/// RocketMQ's `MESSAGE_ILLEGAL`, with which a checkpoint is refused that may be of a forgotten chain.
const MESSAGE_ILLEGAL: i32 = 13;

/// A checkpoint was refused whose chains its receiver had forgotten.
fn is_refused_as_forgotten(ledger: &Ledger<'_>) -> bool {
    ledger.wire.sends.iter().any(|send| {
        let Some((event, code)) = send.call.answer else { return false };
        let Some(checkpoint) = send.checkpoint().filter(|_| code == MESSAGE_ILLEGAL) else { return false };
        ledger.forgotten.iter().any(|forgetting| {
            let id = forgetting.id;
            let is_it = (&id.broker, &id.topic, id.queue, &id.group, id.pop_time)
                == (&checkpoint.broker, &checkpoint.topic, checkpoint.queue, &checkpoint.group, checkpoint.pop_time);
            forgetting.event < event && forgetting.node == send.call.to && is_it
        })
    })
}

/// A chain at the owner of its message was revived after the message had expired.
fn is_kept_past_expiry(ledger: &Ledger<'_>, life: &ChainLife<'_>) -> bool {
    let last = &life.steps[life.steps.len() - 1];
    let is_copied =
        matches!(last.chain.state, ChainState::Ended { outcome: Outcome::Revived(_) | Outcome::DeadLettered(_), .. });
    let expired = ledger.stored(&life.origin()).and_then(|stored| ledger.expired(stored));
    is_copied && life.node == life.id.broker && expired.is_some_and(|event| event < last.event)
}

/// How far one move of an offset is looked through: one that goes further is P5's affair.
const LONGEST_LOOK: usize = 10_000;

/// A topic's successor got a message at the offset of one that was still waited for when the topic was deleted.
fn is_reused(ledger: &Ledger<'_>) -> bool {
    let mut deleted = ledger.chains.iter().filter(|life| ledger.is_deleted(life.origin()));
    deleted.any(|life| {
        let origin = life.origin();
        let successor = ledger.stored(&Place { era: origin.era + 1, ..origin });
        let last = life.steps[life.steps.len() - 1].event;
        successor.is_some_and(|stored| stored.event < last)
    })
}

/// A durable message that some group on its topic does not take, below that group's offset.
fn is_filtered(ledger: &Ledger<'_>) -> bool {
    ledger.offsets.iter().any(|step| {
        let Some(group) = ledger.group(step.group).filter(|group| group.topic == step.to.topic) else { return false };
        (step.from.unwrap_or(0)..step.to.offset).take(LONGEST_LOOK).any(|offset| {
            let stored = ledger.stored(&Place { offset, ..step.to });
            stored.is_some_and(|stored| !group.wants(stored.message.property("TAGS")))
        })
    })
}
