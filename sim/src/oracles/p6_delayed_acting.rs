//! Part of P6: what falls due while a slave acts for its master is delivered by the group that keeps what the slave does, not
//! before its time, nor long after it.
//!
//! Rule: a delayed message is taken no earlier than its sender's broker had it due, by that broker's clock as it went when
//! it accepted it. While nothing is broken it is taken, or fires, within a minute from when it was due and a slave had a
//! term that nobody has ended since.

use rustc_hash::FxHashMap;

use super::Findings;
use crate::{
    history::EventKind,
    ledger::{Ledger, Seal, TimerStep},
    plan::SimMs,
};

/// What the slave knows of its master's clock, and commits, ms.
const EARLY_MS: SimMs = 2_000;
/// How long a slave may take to hand over what is due, ms.
const HANDED_WITHIN_MS: SimMs = 60_000;

type Timer<'h> = (&'h str, (u64, u32));

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let taken = ledger.taken.iter().map(|step| (step.event, (step.group, step.record)));
    let fired = ledger.fired.iter().map(|step| (step.event, (step.node, step.record)));
    let mut delivered = FxHashMap::<Timer<'_>, usize>::default();
    for (event, timer) in taken.chain(fired) {
        let first = delivered.entry(timer).or_insert(event);
        *first = event.min(*first);
    }
    for timer in &ledger.timers {
        let delivered = delivered.get(&(timer.node, timer.record)).copied();
        if let Some(due_ms) = due_ms(ledger, timer) {
            early(ledger, timer, due_ms, found);
            late(ledger, timer, due_ms, delivered, found);
        }
    }
}

/// When it is due, simulated ms; `None` when nobody can tell, because the clock that says so was set since.
fn due_ms(ledger: &Ledger<'_>, timer: &TimerStep<'_>) -> Option<SimMs> {
    let is_set = |event: &EventKind| matches!(event, EventKind::ClockGained { node, .. } if node == timer.node);
    let was_set = ledger.history.events[timer.event..].iter().any(|event| is_set(&event.kind));
    let wait_ms = timer.due_ms.saturating_sub(timer.entry.at_ms);
    (!was_set).then(|| ledger.at_ms(timer.event).saturating_add_signed(wait_ms))
}

fn early(ledger: &Ledger<'_>, timer: &TimerStep<'_>, due_ms: SimMs, found: &mut Findings<'_>) {
    let is_it = |taken: &&crate::ledger::TakenStep<'_>| (taken.group, taken.record) == (timer.node, timer.record);
    for taken in ledger.taken.iter().filter(is_it) {
        let early_ms = due_ms.saturating_sub(ledger.at_ms(taken.event));
        if early_ms > EARLY_MS {
            let detail = format!("a delayed message is taken from {} {early_ms} ms before it is due", taken.group);
            found.stamped(ledger.at_ms(taken.event), timer.message.ledger.as_ref(), taken.node, detail);
        }
    }
}

fn late(ledger: &Ledger<'_>, timer: &TimerStep<'_>, due_ms: SimMs, delivered: Option<usize>, found: &mut Findings<'_>) {
    for (seal, until) in terms_of_slaves(ledger, timer.node) {
        let from_ms = due_ms.max(ledger.at_ms(seal.event));
        let until_ms = from_ms.saturating_add(HANDED_WITHIN_MS);
        // The first events after the one and the other.
        let [from, to] = [from_ms, until_ms].map(|ms| ledger.history.events.partition_point(|it| it.at_ms <= ms));
        let is_over = to >= ledger.history.events.len() || until.is_some_and(|until| until < to);
        let knows = slave_has(ledger, timer, seal.event);
        let is_delivered = delivered.is_some_and(|event| event < to);
        let is_gone = ledger.era_at(timer.node, &timer.message.topic, to) > timer.era;
        let is_broken = ledger.was_disturbed(seal.event.min(from), to - 1) || ledger.is_broken_at(from);
        if knows && !is_over && !is_delivered && !is_gone && !is_broken {
            let detail = format!("a delayed message is due for {HANDED_WITHIN_MS} ms while a slave acts");
            return found.stamped(until_ms, timer.message.ledger.as_ref(), timer.node, detail);
        }
    }
}

/// Whether a slave had it before `event` on the disk that it has to the end.
fn slave_has(ledger: &Ledger<'_>, timer: &TimerStep<'_>, event: usize) -> bool {
    let slaves = ledger.obligations.slaves.iter().filter(|(_, of)| *of == timer.node);
    let mut held = slaves.flat_map(|(slave, _)| ledger.replicas.held(slave));
    held.any(|step| step.entry.index == timer.entry.index && step.event < event)
}

/// The terms that slaves of a group took, each with when somebody took the next.
fn terms_of_slaves<'l>(ledger: &'l Ledger<'_>, group: &'l str) -> impl Iterator<Item = (&'l Seal<'l>, Option<usize>)> {
    let of = move || ledger.seals.iter().filter(move |seal| seal.group == group);
    let slaves = of().filter(|seal| seal.member != 0);
    slaves.map(move |seal| (seal, of().find(|next| next.event > seal.event).map(|next| next.event)))
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{Fact, TimerId},
        history::EventKind,
        oracles::fixture::{Story, at, message},
    };

    /// `a` has accepted a message for 100 s later, and its slave takes a term after 40 s.
    fn acts() -> (Story, TimerId) {
        let mut story = Story::with_slave();
        story.obligations.acting.insert("a".into(), "b".into());
        let due_ms = at(story.now_ms + 100_000);
        story.durable("a", vec![Fact::Timer { due_ms, message: message("t", 0, 1, 0) }]);
        let timer = TimerId { due_ms, index: story.last_entry_of("a").index, record: 0 };
        story.catch_up(1).wait(40_000).durable("b", vec![Fact::Sealed { group: "a".into(), term: 2, member: 1 }]);
        (story, timer)
    }

    fn taken(story: &mut Story, timer: TimerId) {
        let taken = Fact::TimerTaken { group: "a".into(), term: 2, timer };
        story.durable("b", vec![Fact::Message(message("t", 0, 1, 0)), taken]);
    }

    fn is_late(story: &mut Story) -> bool {
        story.wait(200_000).event(EventKind::Node { node: "b".into(), event: "started".into() });
        story.is_blamed("P6", "while a slave acts")
    }

    #[test]
    fn it_is_taken_soon_after_it_is_due_and_not_before() {
        for (after_ms, early, late) in [(50_000, true, false), (60_000, false, false), (125_000, false, true)] {
            let (mut story, timer) = acts();
            taken(story.wait(after_ms), timer);
            assert_eq!(story.is_blamed("P6", "before it is due"), early, "{after_ms}");
            assert_eq!(is_late(&mut story), late, "{after_ms}");
        }
        assert!(is_late(&mut acts().0), "nor never");
    }

    #[test]
    fn nobody_waits_for_what_is_broken_or_for_whose_term_is_over() {
        let mut story = acts().0;
        story.wait(70_000).event(EventKind::Fault { index: None, text: "b is slow".into() });
        assert!(!is_late(&mut story));
        let mut story = acts().0;
        story.wait(70_000).durable("b", vec![Fact::Sealed { group: "a".into(), term: 3, member: 0 }]);
        assert!(!is_late(&mut story), "its master is back");
    }
}
