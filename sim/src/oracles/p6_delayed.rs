//! Part of P6: a delayed message is not there before its time, nor long after it.
//!
//! Rule: a timer is due, by the broker's own clock, as long after its request came as its sender asked for, and that lies
//! between the request and the entry that accepts it. It fires no earlier; and, if nothing was broken since it was
//! accepted, soon after. What was to be delayed is not in its topic before its time without a timer.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Findings;
use crate::{
    history::LedgerId,
    ledger::{FiredStep, Ledger, TimerStep},
    plan::SimMs,
};

/// Clocks are slewed, and count whole milliseconds.
const SLACK_MS: i64 = 1_000;
/// How much later than due a timer may fire where syncs take a moment.
const LATE_MS: i64 = 5_000;
/// The same where slaves have to confirm: links may be slow, and while much is not confirmed nothing is written.
const LATE_WITH_SLAVES_MS: i64 = 20_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut delays: FxHashMap<&LedgerId, (SimMs, SimMs)> = FxHashMap::default();
    for (_, sent) in &ledger.sends {
        let Some(delay_ms) = sent.delay_ms else { continue };
        let (first_ms, _) = delays.entry(&sent.ledger).or_insert((sent.began_ms, delay_ms));
        *first_ms = sent.began_ms.min(*first_ms);
    }
    let mut timers = FxHashMap::default();
    for timer in &ledger.timers {
        timers.entry((timer.node, timer.record)).or_insert(timer);
        let Some((began_ms, delay_ms)) = timer.message.ledger.as_ref().and_then(|stamp| delays.get(stamp)) else {
            continue;
        };
        let asked_ms = (*delay_ms).cast_signed();
        let accepting_ms = ledger.at_ms(timer.event).saturating_sub(*began_ms).cast_signed();
        let told_ms = timer.due_ms.saturating_sub(timer.entry.at_ms);
        if told_ms > asked_ms + SLACK_MS || told_ms + accepting_ms + SLACK_MS < asked_ms {
            let detail = format!("to be there after {asked_ms} ms, accepted for {told_ms} ms later");
            found.stamped(ledger.at_ms(timer.event), timer.message.ledger.as_ref(), timer.node, detail);
        }
    }
    let timed: FxHashSet<&LedgerId> = ledger.timers.iter().filter_map(|timer| timer.message.ledger.as_ref()).collect();
    for stored in &ledger.messages {
        let Some(stamp) = stored.message.ledger.as_ref().filter(|stamp| !timed.contains(stamp)) else { continue };
        let Some((began_ms, delay_ms)) = delays.get(stamp) else { continue };
        let early_ms = (began_ms + delay_ms).saturating_sub(stored.at_ms);
        if early_ms > SLACK_MS.unsigned_abs() {
            let detail = format!("it is there {early_ms} ms before its time");
            found.stamped(stored.at_ms, Some(stamp), stored.place, detail);
        }
    }
    for fired in &ledger.fired {
        let Some(timer) = timers.get(&(fired.node, fired.record)) else { continue };
        let late_ms = fired.entry.at_ms.saturating_sub(timer.due_ms);
        let has_to_wait = ledger.obligations.other_disks(ledger.obligations.group_of(fired.node)) > 0;
        let latest_ms = if has_to_wait { LATE_WITH_SLAVES_MS } else { LATE_MS };
        let may_take_ms = ledger.obligations.writes_within_ms(fired.node).cast_signed().saturating_add(latest_ms);
        let is_late =
            late_ms > may_take_ms && lay_ready(ledger, timer, fired) && !ledger.was_disturbed(timer.event, fired.event);
        if late_ms < 0 || is_late {
            let detail = format!("a delayed message fired {late_ms} ms after it was due");
            found.stamped(ledger.at_ms(fired.event), timer.message.ledger.as_ref(), fired.node, detail);
        }
    }
}

/// Whether it could have fired long before: nothing follows from an entry that is not confirmed, and nothing is written
/// beside it, nor while others that came before its time are not confirmed.
fn lay_ready(ledger: &Ledger<'_>, timer: &TimerStep<'_>, fired: &FiredStep<'_>) -> bool {
    let fired_ms = ledger.at_ms(fired.event);
    let late_ms = u64::try_from(fired.entry.at_ms.saturating_sub(timer.due_ms)).unwrap_or(0);
    let due_ms = fired_ms.saturating_sub(late_ms);
    let log = ledger.logs.get(fired.node).map_or(&[][..], Vec::as_slice);
    let last = log.iter().rev().find(|step| ledger.at_ms(step.event) <= due_ms);
    let before = last.map(|step| (step.entry.index, step.event));
    let is_confirmed_by =
        |(index, event), by_ms| ledger.told_ms(timer.node, index, event).is_some_and(|told_ms| told_ms < by_ms);
    let by_ms = fired_ms.saturating_sub(LATE_MS.unsigned_abs());
    is_confirmed_by((timer.entry.index, timer.event), by_ms)
        && before.is_none_or(|before| is_confirmed_by(before, by_ms))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{Fact, frame::code},
        history::{EventKind, Noted, Seen, Sent},
        oracles::fixture::{Story, at, message, stamp},
    };

    /// A message is to be there after 10 s, and is accepted for so long.
    fn accepted(for_ms: u64) -> Story {
        let mut story = Story::new();
        story.event(EventKind::Noted(Noted::Sent(Sent {
            producer: "p".into(),
            topic: "t".into(),
            tag: None,
            ledger: stamp(1),
            broker: "a".into(),
            began_ms: story.now_ms,
            delay_ms: Some(10_000),
            seen: Seen::Unknown { cause: "x".into() },
        })));
        let due_ms = at(story.now_ms + for_ms);
        story.durable("a", vec![Fact::Timer { due_ms, message: message("t", 0, 1, 0) }]);
        story
    }

    /// It fires so long after it was accepted for so long.
    fn fires(story: &mut Story, for_ms: u64, after_ms: u64) {
        let (index, due_ms) = (story.last_entry_of("a").index, at(story.now_ms + for_ms));
        story.wait(after_ms);
        let fired = Fact::TimerFired { due_ms, index, record: 0 };
        story.durable("a", vec![fired, Fact::Message(message("t", 0, 1, 0))]);
    }

    fn is_blamed(accepted_for_ms: u64, fires_after_ms: u64, broken: bool) -> bool {
        let mut story = accepted(accepted_for_ms);
        if broken {
            story.event(EventKind::Fault { index: None, text: "a is slow".into() });
        }
        fires(&mut story, accepted_for_ms, fires_after_ms);
        let about = |detail: &str| detail.contains("it was due") || detail.contains("to be there after");
        story.judge().violations.iter().any(|it| it.promise == "P6" && about(&it.detail))
    }

    #[test]
    fn a_delayed_message_comes_when_it_was_asked_for() {
        assert!(!is_blamed(10_000, 10_000, false) && !is_blamed(10_000, 14_000, false));
    }

    #[test]
    fn nor_is_it_there_at_once_as_if_it_had_not_been_asked_for() {
        for (after_ms, noticed) in [(0, true), (10_000, false)] {
            let mut story = accepted(10_000);
            story.history.events.pop();
            story.wait(after_ms).durable("a", vec![Fact::Message(message("t", 0, 1, 0))]);
            assert_eq!(story.is_blamed("P6", "it is there 10000 ms before its time"), noticed);
        }
    }

    #[test]
    fn neither_early_nor_late() {
        assert!(is_blamed(10_000, 9_999, false));
        assert!(is_blamed(10_000, 20_000, false) && !is_blamed(10_000, 20_000, true));
    }

    #[test]
    fn a_slow_disk_may_hold_it_up_for_two_commits() {
        for (fires_after_ms, noticed) in [(10_000 + 5_000 + 4 * 3_000, false), (10_000 + 5_000 + 4 * 3_000 + 1, true)] {
            let mut story = accepted(10_000);
            story.obligations.slow_syncs_ms.insert("a".into(), 3_000);
            fires(&mut story, 10_000, fires_after_ms);
            assert_eq!(story.is_blamed("P6", "a delayed message fired"), noticed, "{fires_after_ms}");
        }
    }

    #[test]
    fn what_nobody_has_confirmed_does_not_fire() {
        for (slave_away_ms, noticed) in [(0, true), (40_000, false)] {
            let mut story = Story::with_slave();
            story.obligations.degrees.insert("a".into(), 2);
            let due_ms = at(story.now_ms + 1_000);
            story.durable("a", vec![Fact::Timer { due_ms, message: message("t", 0, 1, 0) }]);
            let index = story.last_entry_of("a").index;
            story.wait(slave_away_ms).catch_up(1).request("a-s1", "a", code::REPLICATE, &[], b"");
            story.wait(40_000 - slave_away_ms);
            let fired = Fact::TimerFired { due_ms, index, record: 0 };
            story.durable("a", vec![fired, Fact::Message(message("t", 0, 1, 0))]);
            assert_eq!(story.is_blamed("P6", "a delayed message fired"), noticed, "{slave_away_ms}");
        }
    }

    #[test]
    fn while_what_came_before_is_not_confirmed_nothing_fires() {
        for (slave_away_ms, noticed) in [(1, true), (40_000, false)] {
            let mut story = Story::with_slave();
            story.obligations.degrees.insert("a".into(), 2);
            let due_ms = at(story.now_ms + 1_000);
            story.durable("a", vec![Fact::Timer { due_ms, message: message("t", 0, 1, 0) }]);
            let index = story.last_entry_of("a").index;
            story.catch_up(1).request("a-s1", "a", code::REPLICATE, &[], b"");
            story.wait(10).durable("a", vec![]);
            let next = story.last_entry_of("a").index;
            story.wait(slave_away_ms).catch_up(next).request("a-s1", "a", code::REPLICATE, &[], b"");
            story.wait(41_000 - slave_away_ms);
            let fired = Fact::TimerFired { due_ms, index, record: 0 };
            story.durable("a", vec![fired, Fact::Message(message("t", 0, 1, 0))]);
            assert_eq!(story.is_blamed("P6", "a delayed message fired"), noticed, "{slave_away_ms}");
        }
    }

    #[test]
    fn nor_accepted_for_another_time() {
        assert!(is_blamed(5_000, 5_000, false) && is_blamed(40_000, 40_000, false));
    }
}
