//! Part of P4: what needs a peer that answers is taken up.
//!
//! Rule: a chain that needs another broker is due, and that one has answered the chain's home since what was broken last has
//! failed: then the home does not leave it alone, asking it for nothing at all, for longer than [`LATE_MS`], and after it was
//! put off by it, till the next probe is due. How it drains what has piled up is its own affair, as long as it goes on.

use std::collections::BTreeMap;

use super::{
    Findings,
    p4_every_chain_ends::ATTEMPT_LIMIT_MS,
    p4_taken_up::{LATE_MS, is_confirmed_at_once, latest_ms},
    p8_bounded::LATER_PROBE_EVERY_MS,
    waiting::{self, ABSENT_ANSWERS, PULL_HEARD_MS, SEND_HEARD_MS},
};
use crate::{
    history::EventKind,
    ledger::{ChainLife, ChainStep, Ledger, wire::Call},
    plan::SimMs,
};

/// What one broker asked another for.
#[derive(Default)]
struct Way {
    /// When each call left, and until when the peer may be left alone after it, simulated ms.
    asked_ms: Vec<(SimMs, SimMs)>,
    /// Answers that reached the caller while it surely waited for them: when, and what happened by then.
    heard: Vec<(SimMs, usize)>,
}

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let ways = ways(ledger);
    let Some(end) = ledger.history.events.len().checked_sub(1) else { return };
    for life in &ledger.chains {
        for (number, step) in life.steps.iter().enumerate() {
            let next = life.steps.get(number + 1).map_or(end, |next| next.event);
            let peer = waiting::peer(life, step);
            let Some(way) = ways.get(&(life.node, peer)).filter(|_| peer != life.node) else { continue };
            if let Some(idle_ms) = lies_idle(ledger, life, (step, next), way) {
                let detail = format!("it was due for {idle_ms} ms and {peer}, which answers, was asked for nothing");
                found.broken(ledger.at_ms(next), format!("chain {}", life.id), detail);
            }
        }
    }
}

fn ways<'l>(ledger: &'l Ledger<'_>) -> BTreeMap<(&'l str, &'l str), Way> {
    let mut ways: BTreeMap<_, Way> = BTreeMap::new();
    let pulls = ledger.wire.pulls.iter().map(|pull| (pull.call, PULL_HEARD_MS));
    let calls = pulls.chain(ledger.wire.sends.iter().map(|send| (send.call, SEND_HEARD_MS)));
    // A slave that acts calls in its group's name, and what it hears only itself knows.
    let is_own = |call: &Call<'_>| match &ledger.history.events[call.event].kind {
        EventKind::Request(frame) => ledger.obligations.brokers.iter().any(|broker| **broker == *frame.from),
        _ => false,
    };
    for (call, heard_within_ms) in calls.filter(|(call, _)| is_own(call)) {
        let way = ways.entry((call.from, call.to)).or_default();
        let is_put_off = call.answer.is_some_and(|(_, code)| ABSENT_ANSWERS.contains(&code));
        way.asked_ms.push((call.at_ms, call.at_ms + if is_put_off { LATER_PROBE_EVERY_MS } else { 0 }));
        let answer = call.answer.filter(|(_, code)| !call.is_to_slave() && !ABSENT_ANSWERS.contains(code));
        if let Some((event, _)) = answer
            && let EventKind::Response(frame) = &ledger.history.events[event].kind
            && let Some(arrived_ms) = frame.arrived_ms.filter(|at_ms| at_ms - call.at_ms <= heard_within_ms)
        {
            way.heard.push((arrived_ms, event));
        }
    }
    for way in ways.values_mut() {
        way.asked_ms.sort_unstable();
        way.heard.sort_unstable();
    }
    ways
}

/// For how long it lay due before `next` without its home's asking the peer for anything, if that is too long.
fn lies_idle(
    ledger: &Ledger<'_>,
    life: &ChainLife<'_>,
    (step, next): (&ChainStep<'_>, usize),
    way: &Way,
) -> Option<SimMs> {
    let next_ms = ledger.at_ms(next);
    let may_take_ms = ledger.stood_ms(life.node, step.at_ms, next_ms) + ledger.obligations.writes_within_ms(life.node);
    let due_ms = latest_ms(step)?.saturating_add(may_take_ms);
    if next_ms <= due_ms || ledger.was_disturbed(step.event, next) {
        return None;
    }
    // Calls that something befell before are still under way for a while, and fail then.
    let is_quiet = |heard_ms: &SimMs| {
        let before_ms = heard_ms.saturating_sub(ATTEMPT_LIMIT_MS);
        let before = ledger.history.events.partition_point(|event| event.at_ms < before_ms);
        !ledger.is_broken_at(before) && !ledger.was_disturbed(before, next)
    };
    let (heard_ms, heard) = *way.heard.iter().find(|(heard_ms, _)| is_quiet(heard_ms))?;
    // Whatever it was kept by is over once this is heard.
    let since_ms = due_ms.max(heard_ms.saturating_add(LATE_MS + may_take_ms)) - LATE_MS;
    let (mut idle_ms, mut spared_until_ms) = (0, since_ms);
    for (at_ms, until_ms) in way.asked_ms.iter().copied().filter(|(at_ms, _)| *at_ms < next_ms).chain([(next_ms, 0)]) {
        idle_ms = at_ms.saturating_sub(spared_until_ms).max(idle_ms);
        spared_until_ms = until_ms.max(since_ms);
    }
    let is_idle = heard < next && idle_ms > LATE_MS && is_confirmed_at_once(ledger, life.node, step, next);
    is_idle.then_some(idle_ms)
}

#[cfg(test)]
mod tests {
    use super::{ATTEMPT_LIMIT_MS, LATE_MS, LATER_PROBE_EVERY_MS};
    use crate::{
        evidence::frame::code,
        history::EventKind,
        oracles::fixture::{Story, encode},
    };

    /// `b` has heard `a`, and so much after the chain is due it begins an attempt. It reads something else in between, or not.
    fn is_blamed(after_ms: u64, reads: bool, breaks: bool) -> bool {
        let (mut story, chain) = Story::due();
        let call = story.read(7);
        let body = encode(&story.stored_message(7));
        story.response(("a", "b", call), (code::PULL, 0), &[], &body);
        // Due since just now, by a clock that may be off by an eighth.
        story.wait(1_250);
        if breaks {
            story.event(EventKind::Node { node: "a".into(), event: "paused".into() });
        }
        story.wait(after_ms / 2);
        if reads {
            story.read(9);
        }
        story.wait(after_ms - after_ms / 2);
        let begun = chain.attempt(1).open(story.now_ms + 17_000);
        story.durable("b", vec![begun.fact()]);
        story.is_blamed("P4", "was asked for nothing")
    }

    #[test]
    fn while_something_is_broken_nobody_need_ask() {
        for (ends, blamed) in [(true, true), (false, false)] {
            let (mut story, chain) = Story::due();
            let fault = |text: &str| EventKind::Fault { index: Some(0), text: text.into() };
            story.event(fault("latency begins"));
            if ends {
                story.event(fault("latency ends"));
            }
            story.wait(ATTEMPT_LIMIT_MS + 1);
            let chain = chain.open(story.now_ms);
            story.durable("b", vec![chain.clone().fact()]);
            let call = story.read(7);
            let body = encode(&story.stored_message(7));
            story.response(("a", "b", call), (code::PULL, 0), &[], &body);
            let begun = chain.attempt(1).open(story.wait(2 * LATE_MS + 1).now_ms + 17_000);
            story.durable("b", vec![begun.fact()]);
            assert_eq!(story.is_blamed("P4", "was asked for nothing"), blamed);
        }
    }

    #[test]
    fn whoever_puts_off_is_asked_again_with_the_next_probe() {
        for (after_ms, blamed) in [(0, false), (1, true)] {
            let (mut story, chain) = Story::due();
            let call = story.read(7);
            let body = encode(&story.stored_message(7));
            story.response(("a", "b", call), (code::PULL, 0), &[], &body);
            let call = story.wait(1_250).read(8);
            story.response(("a", "b", call), (code::PULL, 2), &[], &[]);
            story.wait(LATER_PROBE_EVERY_MS + LATE_MS + after_ms);
            let begun = chain.attempt(1).open(story.now_ms + 17_000);
            story.durable("b", vec![begun.fact()]);
            assert_eq!(story.is_blamed("P4", "was asked for nothing"), blamed, "{after_ms} ms later");
        }
    }

    #[test]
    fn whoever_answers_is_asked() {
        assert!(!is_blamed(LATE_MS, false, false) && is_blamed(LATE_MS + 1, false, false));
        assert!(!is_blamed(LATE_MS + 1, true, false), "it goes on");
        assert!(!is_blamed(LATE_MS + 1, false, true), "its peer was hit meanwhile");
    }
}
