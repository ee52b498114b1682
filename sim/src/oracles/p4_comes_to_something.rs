//! Part of P4: an attempt comes to something.
//!
//! Rule: where nothing broke meanwhile, the next attempt does not begin before a failure of this one is recorded. An attempt
//! that was not confirmed in time, or whose pop was given up, need not begin at all; and where syncs are slow, the next may
//! be due before what became of this one is written.

use super::p4_every_chain_ends::ATTEMPT_LIMIT_MS;
use crate::{
    evidence::{ChainFact, ChainState, frame::code},
    history::{Event, EventKind},
    ledger::{ChainLife, ChainStep, Ledger},
    plan::SimMs,
};

/// How long after a failed sync the next one may come.
const FOUND_LATER_MS: SimMs = 5_000;

/// Response code of a pop that was given up.
const SYSTEM_ERROR: i32 = 1;

/// What is wrong if one step of a chain begins an attempt, and the one before came to nothing.
pub(super) fn came_to_nothing(
    ledger: &Ledger<'_>,
    life: &ChainLife<'_>,
    before: &ChainStep<'_>,
    step: &ChainStep<'_>,
) -> Option<String> {
    let (old, new) = (before.chain, step.chain);
    let is_begun = |chain: &ChainFact| {
        let tried = chain.latest.last().is_some_and(|last| (last.round, last.attempt) == (chain.round, chain.attempt));
        chain.attempt > 0 && !tried && matches!(chain.state, ChainState::Open { .. } | ChainState::Moving { .. })
    };
    let is_next = new.attempt == old.attempt + 1 && new.failures == old.failures;
    // What a failing sync leaves on the disk is found there with the next one, and nobody acted on it.
    let written_ms = before.at_ms.saturating_sub(FOUND_LATER_MS);
    let written = ledger.history.events.partition_point(|event| event.at_ms < written_ms);
    // Nobody begins what is not confirmed in time.
    let is_abandoned = is_begun(old)
        && is_next
        && !ledger.was_disturbed(written, step.event)
        && !ledger.is_told_late(life.node, before.entry.index, before.event)
        && !pop_gave_up(ledger, life, before);
    // Where syncs are slow the next one is due before what became of this one is written.
    let held_up_ms = ledger.obligations.writes_within_ms(life.node);
    let is_held_up = held_up_ms > 0 && step.at_ms.saturating_sub(before.at_ms) < ATTEMPT_LIMIT_MS + held_up_ms;
    (is_abandoned && !is_held_up)
        .then(|| format!("attempt {} came to nothing before attempt {} began", old.attempt, new.attempt))
}

/// Whether a pop was refused before its broker heard that what it had taken is confirmed. It has waited since before that
/// was written, which may be long where syncs are slow; the next attempt hands its chains over.
fn pop_gave_up(ledger: &Ledger<'_>, life: &ChainLife<'_>, before: &ChainStep<'_>) -> bool {
    let is_pop_s = life.steps.first().is_some_and(|first| first.event == before.event);
    let told_ms = ledger.told_ms(life.node, before.entry.index, before.event).unwrap_or(SimMs::MAX);
    let later = ledger.history.events.iter().skip(before.event).take_while(|event| event.at_ms <= told_ms);
    let is_refused = |event: &Event| match &event.kind {
        EventKind::Response(frame) => {
            *frame.from == *life.node && frame.request_code == code::POP && frame.code == SYSTEM_ERROR
        }
        _ => false,
    };
    is_pop_s && later.into_iter().any(is_refused)
}

#[cfg(test)]
mod tests {
    use super::{ATTEMPT_LIMIT_MS, SYSTEM_ERROR};
    use crate::{
        evidence::frame::code,
        history::{EventKind, Noted},
        oracles::fixture::Story,
    };

    #[test]
    fn an_attempt_comes_to_something_unless_something_broke() {
        for broken in [false, true] {
            let (mut story, chain) = Story::due();
            let begun = chain.attempt(1).open(story.now_ms + 17_000);
            story.durable("b", vec![begun.clone().fact()]).wait(17_000);
            if broken {
                story.event(EventKind::Fault { index: None, text: "a is away".into() });
            }
            let begun = begun.attempt(2).open(story.now_ms + 18_000);
            story.durable("b", vec![begun.fact()]);
            assert_eq!(story.is_blamed("P4", "attempt 1 came to nothing before attempt 2 began"), !broken);
        }
    }

    #[test]
    fn an_attempt_that_is_confirmed_too_late_need_not_begin() {
        for (confirmed_after_ms, blamed) in [(10, true), (4_000, false)] {
            let (mut story, chain) = Story::due();
            story.obligations.slaves.insert("b-s1".into(), "b".into());
            story.obligations.degrees.insert("b".into(), 2);
            let begun = chain.attempt(1).open(story.now_ms + 17_000);
            story.durable("b", vec![begun.clone().fact()]);
            let entry = story.last_entry_of("b");
            story.wait(confirmed_after_ms);
            story.event(EventKind::Noted(Noted::Durable { node: "b-s1".into(), sync: 1, entry }));
            let poll = story.request("b-s1", "b", code::REPLICATE, &[], b"");
            story.response(("b", "b-s1", poll), (code::REPLICATE, 0), &[], b"");
            story.wait(17_000 - confirmed_after_ms);
            let begun = begun.attempt(2).open(story.now_ms + 18_000);
            story.durable("b", vec![begun.fact()]);
            let found = story.is_blamed("P4", "attempt 1 came to nothing before attempt 2 began");
            assert_eq!(found, blamed, "confirmed after {confirmed_after_ms} ms");
        }
    }

    #[test]
    fn what_a_pop_that_gave_up_had_planned_need_not_begin() {
        for (answer, is_first, blamed) in [(SYSTEM_ERROR, true, false), (0, true, true), (SYSTEM_ERROR, false, true)] {
            let (mut story, mut chain) = Story::due();
            story.obligations.slaves.insert("b-s1".into(), "b".into());
            story.obligations.degrees.insert("b".into(), 2);
            chain.id.pop_time += 1;
            if !is_first {
                story.durable("b", vec![chain.clone().fact()]);
            }
            let begun = chain.attempt(1).open(story.now_ms + 17_000);
            story.durable("b", vec![begun.clone().fact()]);
            let entry = story.last_entry_of("b");
            story.wait(500);
            let pop = story.request("c", "b", code::POP, &[("consumerGroup", "g"), ("topic", "t")], b"");
            story.response(("b", "c", pop), (code::POP, answer), &[], b"");
            story.event(EventKind::Noted(Noted::Durable { node: "b-s1".into(), sync: 1, entry }));
            let poll = story.request("b-s1", "b", code::REPLICATE, &[], b"");
            story.response(("b", "b-s1", poll), (code::REPLICATE, 0), &[], b"");
            story.wait(16_500);
            let begun = begun.attempt(2).open(story.now_ms + 18_000);
            story.durable("b", vec![begun.fact()]);
            let found = story.is_blamed("P4", "attempt 1 came to nothing before attempt 2 began");
            assert_eq!(found, blamed, "answered {answer}, its pop's: {is_first}");
        }
    }

    #[test]
    fn where_syncs_are_slow_the_next_may_be_due_before_this_one_s_end_is_written() {
        let may_take_ms = ATTEMPT_LIMIT_MS + 4 * 3_000;
        for (sync_ms, next_after_ms, blamed) in
            [(3_000, may_take_ms - 1, false), (3_000, may_take_ms, true), (0, may_take_ms - 1, true)]
        {
            let (mut story, chain) = Story::due();
            story.obligations.slow_syncs_ms.insert("b".into(), sync_ms);
            let begun = chain.attempt(1).open(story.now_ms + 17_000);
            story.durable("b", vec![begun.clone().fact()]).wait(next_after_ms);
            story.durable("b", vec![begun.attempt(2).open(story.now_ms + 18_000).fact()]);
            let found = story.is_blamed("P4", "attempt 1 came to nothing before attempt 2 began");
            assert_eq!(found, blamed, "syncs of {sync_ms} ms, the next after {next_after_ms} ms");
        }
    }
}
