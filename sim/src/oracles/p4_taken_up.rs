//! Part of P4: what is due is taken up.
//!
//! Rule: a chain about the broker's own message, for which no other broker is needed, goes on within [`LATE_MS`] after it is
//! due, by a clock that may have stood still and a disk that may be slow, where nothing was broken since it was written.
//! A master that may lack a lease takes nothing up. Where slaves have to confirm it, that begins when its broker knows that they have, and only while they confirm at once
//! whatever else is written. What needs another broker is in `p4_peers`.

use super::Findings;
use crate::{
    evidence::ChainState,
    ledger::{ChainLife, ChainStep, Ledger, LogStep},
    plan::SimMs,
};

/// How long after it is due a chain is taken up at the latest, ms: due chains are looked for about every second.
pub(super) const LATE_MS: SimMs = 20_000;

pub(super) fn check(ledger: &Ledger<'_>, life: &ChainLife<'_>, found: &mut Findings<'_>) {
    if life.node != life.id.broker {
        return;
    }
    let Some(end) = ledger.history.events.len().checked_sub(1) else { return };
    for (number, step) in life.steps.iter().enumerate() {
        let next = life.steps.get(number + 1).map_or(end, |next| next.event);
        let Some(latest_ms) = latest_ms(step).filter(|_| matches!(step.chain.state, ChainState::Open { .. })) else {
            continue;
        };
        let next_ms = ledger.at_ms(next);
        let held_up_ms = ledger.obligations.writes_within_ms(life.node);
        let latest_ms = latest_ms + ledger.stood_ms(life.node, step.at_ms, next_ms) + held_up_ms;
        if next_ms > latest_ms
            && !ledger.was_disturbed(step.event, next)
            && is_confirmed_at_once(ledger, life.node, step, next)
            && !ledger.may_lack_lease(life.node, next)
        {
            let late_ms = next_ms - latest_ms + LATE_MS;
            found.broken(
                next_ms,
                format!("chain {}", life.id),
                format!("it was due for {late_ms} ms and not taken up"),
            );
        }
    }
}

/// Whether all that was written since the step, which is confirmed itself, was confirmed at once until `next`: what waits for
/// that keeps a broker from taking up more.
pub(super) fn is_confirmed_at_once(ledger: &Ledger<'_>, node: &str, step: &ChainStep<'_>, next: usize) -> bool {
    if ledger.obligations.other_disks(node) == 0 {
        return true;
    }
    let log = ledger.logs.get(node).map_or(&[][..], Vec::as_slice);
    let since = log.partition_point(|it| it.event < step.event);
    let written = log[since..].iter().take_while(|it| it.event < next);
    let is_late = |it: &LogStep<'_>| ledger.is_told_late(node, it.entry.index, it.event);
    !ledger.has_taken_back && !written.into_iter().any(is_late)
}

/// By when it is to be taken up, simulated ms. A clock may drift by a tenth, so that a wait is a little longer or shorter.
pub(super) fn latest_ms(step: &ChainStep<'_>) -> Option<SimMs> {
    let (ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. }) = step.chain.state else { return None };
    let wait_ms = SimMs::try_from(due_ms.saturating_sub(step.entry.at_ms)).unwrap_or(0);
    Some(step.at_ms.saturating_add(wait_ms).saturating_add(wait_ms / 8).saturating_add(LATE_MS))
}

#[cfg(test)]
mod tests {
    use super::LATE_MS;
    use crate::{history::EventKind, oracles::fixture::Story};

    /// A chain that is due after 10 s, and nothing happens to it for so long after that.
    fn lies(after_ms: u64) -> Story {
        let (mut story, chain) = Story::popped();
        let open = chain.open(story.now_ms + 10_000);
        story.durable("a", vec![open.fact()]).wait(10_000 + 1_250 + after_ms);
        story
    }

    #[test]
    fn what_is_due_is_taken_up_in_time() {
        for (after_ms, noticed) in [(LATE_MS, false), (LATE_MS + 1, true)] {
            let mut story = lies(after_ms);
            story.durable("a", vec![]);
            assert_eq!(story.is_blamed("P4", "and not taken up"), noticed);
        }
    }

    #[test]
    fn while_its_clock_stands_still_nothing_is_due() {
        let noticed = |node: &str, after_ms| {
            let (mut story, chain) = Story::popped();
            let open = chain.open(story.now_ms + 10_000);
            let clock = |stands| EventKind::ClockStands { node: node.into(), stands };
            story.wait(7_000).event(clock(true)).wait(3_000).durable("a", vec![open.fact()]);
            story.wait(60_000).event(clock(false)).wait(after_ms).durable("a", vec![]);
            story.is_blamed("P4", "and not taken up")
        };
        assert!(!noticed("a", LATE_MS) && noticed("a", LATE_MS + 1));
        assert!(noticed("b", LATE_MS - 1_000), "another broker's clock");
    }

    #[test]
    fn where_something_was_broken_it_may_be_late() {
        let mut story = lies(0);
        story.event(EventKind::Node { node: "a".into(), event: "resumed".into() }).wait(60_000).durable("a", vec![]);
        assert!(!story.is_blamed("P4", "and not taken up"));
    }
}
