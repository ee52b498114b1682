//! Part of P6: a chain that goes to another group is due there no later than where it was popped.
//!
//! Rule: whoever takes a chain by a checkpoint has it due when the rest of its invisible time is over, as it was when that
//! checkpoint left; never all of it once more. A clock may drift by a tenth, and one that was set back while its broker was
//! away may show as much more.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::Findings;
use crate::{
    evidence::{ChainId, ChainState},
    history::EventKind,
    ledger::{ChainLife, Ledger, wire::Send},
    plan::SimMs,
};

/// How much later than it should a chain may be due, ms: what was known of the other clock, and commits on both sides.
const SLACK_MS: i64 = 5_000;

/// How long after a checkpoint has arrived its chains may still be written, ms.
const WRITTEN_MS: SimMs = 5_000;

/// `opened` tells when each chain was first durable anywhere.
pub(super) fn check(ledger: &Ledger<'_>, opened: &FxHashMap<&ChainId, SimMs>, found: &mut Findings<'_>) {
    let set_back = |event: &EventKind| matches!(event, EventKind::ClockGained { ms, .. } if *ms < 0);
    if ledger.history.events.iter().any(|event| set_back(&event.kind)) {
        return;
    }
    for life in ledger.chains.iter().filter(|life| life.node != life.id.broker) {
        let Some(late_ms) = late(ledger, life, opened[life.id]) else { continue };
        let stamp = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
        let detail = format!("at {} it is due {late_ms} ms after its invisible time is over", life.node);
        found.stamped(life.steps[0].at_ms, stamp, format!("chain {}", life.id), detail);
    }
}

fn late(ledger: &Ledger<'_>, life: &ChainLife<'_>, opened: SimMs) -> Option<i64> {
    let first = &life.steps[0];
    let ChainState::Open { due_ms } = first.chain.state else { return None };
    let may_take_ms = WRITTEN_MS + ledger.obligations.writes_within_ms(life.node);
    let arrived = |send: &Send<'_>| match &ledger.history.events[send.call.event].kind {
        EventKind::Request(frame) => frame.arrived_ms,
        _ => None,
    };
    let has_brought = |send: &&Send<'_>| {
        let is_in_time = |at_ms: SimMs| at_ms <= first.at_ms && first.at_ms <= at_ms + may_take_ms;
        arrived(send).is_some_and(is_in_time) && is_checkpoint_of(send, life)
    };
    let send = ledger.wire.sends.iter().filter(has_brought).min_by_key(|send| send.call.at_ms)?;
    // A slave that moves what its master popped goes by both clocks.
    let clocks = BTreeSet::from([life.id.broker.as_str(), send.call.from]);
    let stood_ms = clocks.into_iter().map(|node| ledger.stood_ms(node, opened, send.call.at_ms)).sum();
    let passed_ms = send.call.at_ms.saturating_sub(opened).saturating_sub(stood_ms);
    let left_ms = first.chain.invisible_ms.saturating_sub_unsigned(passed_ms).max(0);
    let told_ms = due_ms.saturating_sub(first.entry.at_ms);
    let late_ms = told_ms.saturating_sub(left_ms);
    (late_ms > SLACK_MS + first.chain.invisible_ms / 8).then_some(late_ms)
}

/// Whether the send may have brought the chain: a checkpoint of that pop, to its home.
fn is_checkpoint_of(send: &Send<'_>, life: &ChainLife<'_>) -> bool {
    let ChainId { broker, topic, queue, group, pop_time, .. } = life.id;
    let (begin, end) = (format!("{topic}@{queue}@"), format!("@{group}@{pop_time}@{broker}@ck"));
    let is_it = |key: &str| key.starts_with(&begin) && key.ends_with(&end);
    send.call.to == life.node && send.property("UNIQ_KEY").is_some_and(is_it)
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::frame::code,
        history::EventKind,
        oracles::fixture::{Story, chain},
    };

    /// `from` hands a chain of `a`'s over to `b` so long after it was popped, which has it due after what is left and so much
    /// more; the clock of `from` stood still for so long.
    fn is_blamed_of(from: &str, after_ms: u64, more_ms: u64, stood_ms: u64) -> bool {
        let mut story = Story::new();
        story.obligations.escapes.insert("a".into(), "b".into());
        story.send(1, 0).wait(10);
        let chain = chain("t", 0, story.now_ms);
        story.durable("a", vec![chain.clone().moving("b", story.now_ms + 10_000).fact()]).wait(after_ms - stood_ms);
        story.event(EventKind::ClockStands { node: from.into(), stands: true }).wait(stood_ms);
        story.event(EventKind::ClockStands { node: from.into(), stands: false });
        let properties = format!("TAGS\u{1}ck\u{2}UNIQ_KEY\u{1}t@0@0@g@{}@a@ck\u{2}", chain.id.pop_time);
        let topic = "rmq_sys_REVIVE_LOG_c";
        story.request(from, "b", code::SEND_V2, &[("b", topic), ("i", &properties)], b"{}");
        let due_ms = story.now_ms + 10_000_u64.saturating_sub(after_ms) + more_ms;
        story.durable("b", vec![chain.open(due_ms).fact()]);
        story.is_blamed("P6", "after its invisible time is over")
    }

    fn is_blamed(after_ms: u64, more_ms: u64) -> bool {
        is_blamed_of("a", after_ms, more_ms, 0)
    }

    #[test]
    fn nobody_has_all_of_the_invisible_time_once_more() {
        assert!(!is_blamed(0, 0) && !is_blamed(9_000, 0) && !is_blamed(20_000, 0));
        assert!(is_blamed(9_000, 9_000) && is_blamed(20_000, 10_000));
    }
    #[test]
    fn what_the_clock_of_whoever_hands_it_over_stood_still_for_may_be_left() {
        for from in ["a", "a-s1"] {
            assert!(!is_blamed_of(from, 9_000, 9_000, 9_000) && is_blamed_of(from, 9_000, 9_000, 1_000), "{from}");
        }
    }
}
