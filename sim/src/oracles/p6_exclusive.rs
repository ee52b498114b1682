//! P6, exclusive: a message is not handed out again before its invisible time has run, whatever anybody does to the clock
//! of a broker that runs.
//!
//! Rule: from the moment at which a chain was first durable anywhere to the moment at which its message is stored as a
//! copy, its invisible time passes, in simulated time, which no clock shows. A broker that follows its wall clock by
//! slewing may be a thousandth off. A broker that begins to run knows from its wall clock alone for how long it was away:
//! what that has gained since it last began to, the message may come early; and so it may if no answer ever left that hands
//! it out. By its own clock a broker that takes a chain has it due when the rest of its invisible time is over, and one that
//! opens it when all of it is. Delayed messages are in `p6_delayed` and `p6_delayed_acting`, chains that others take in `p6_moved`, renewals in
//! `p6_renewed`.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Findings, Reads, p6_acting, p6_delayed, p6_delayed_acting, p6_lease, p6_moved, p6_renewed, p6_votes};
use crate::{
    evidence::{ChainId, ChainState, Outcome},
    history::EventKind,
    ledger::{ChainLife, Ledger, wire::Delivery},
    plan::SimMs,
};

/// Clocks count whole milliseconds, at the pop and at the revival.
const SLACK_MS: i64 = 5;

/// Between the decision about a pop and the entry that holds it: pop times differ, so a pop may be dated later.
const POP_SLACK_MS: i64 = 1_000;

/// Of its invisible time, how much a message may come early: one part in so many. Twice the slew of one broker's clock,
/// for a chain may have two homes.
const SLEW: i64 = 500;

pub(super) fn check(ledger: &Ledger<'_>, _: &Reads<'_>, found: &mut Findings<'_>) {
    let mut opened: FxHashMap<&ChainId, SimMs> = FxHashMap::default();
    for life in &ledger.chains {
        // Where a client keeps its own checkpoints its pop is older than the chain.
        let at_ms = ledger.foreign.popped_ms(life.id).unwrap_or(life.steps[0].at_ms);
        opened.entry(life.id).and_modify(|first| *first = at_ms.min(*first)).or_insert(at_ms);
    }
    p6_delayed::check(ledger, found);
    p6_delayed_acting::check(ledger, found);
    p6_acting::check(ledger, found);
    p6_votes::check(ledger, found);
    p6_lease::check(ledger, found);
    p6_renewed::check(ledger, found);
    p6_moved::check(ledger, &opened, found);
    for life in &ledger.chains {
        if let Some(detail) = begins_wrong(life, opened[life.id]) {
            let stamp = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
            found.stamped(life.steps[0].at_ms, stamp, format!("chain {}", life.id), detail);
        }
    }
    let gains = gains(ledger);
    let handed_out: FxHashSet<_> = ledger.wire.deliveries.iter().map(Popping::of_delivery).collect();
    for life in &ledger.chains {
        let is_copied = |state: &ChainState| {
            matches!(state, ChainState::Ended { outcome: Outcome::Revived(_) | Outcome::DeadLettered(_), .. })
        };
        let Some(copied) = life.steps.iter().find(|step| is_copied(&step.chain.state)) else { continue };
        let is_popped_here = copied.chain.generation == 0 && life.node == life.id.broker;
        if is_popped_here && !handed_out.contains(&Popping::of_chain(life.id)) {
            continue;
        }
        let span = opened[life.id]..=copied.at_ms;
        let passed = i64::try_from(copied.at_ms - opened[life.id]).unwrap_or(i64::MAX);
        let invisible = copied.chain.invisible_ms;
        // A slave of its broker may have found it due.
        let is_its_slave = |node: &str| ledger.obligations.slaves.get(node) == Some(&life.id.broker);
        let counts = |(at_ms, node, _): &&(SimMs, &str, i64)| {
            span.contains(at_ms) && (ledger.chain_at(node, life.id).is_some() || is_its_slave(node))
        };
        let gained: i64 = gains.iter().filter(counts).map(|(.., ms)| ms).sum();
        if passed + SLACK_MS + invisible / SLEW + gained < invisible {
            let detail = format!("at {} it comes back after {passed} ms, invisible for {invisible} ms", life.node);
            let stamp = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
            found.stamped(copied.at_ms, stamp, format!("chain {}", life.id), detail);
        }
    }
}

/// What a handle and a chain's id have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Popping<'h> {
    topic: &'h str,
    queue: i32,
    offset: i64,
    group: &'h str,
    pop_time: i64,
}

impl<'h> Popping<'h> {
    fn of_delivery(Delivery { topic, message, group, pop_time, .. }: &'h Delivery<'_>) -> Self {
        Self { topic, queue: message.queue, offset: message.offset, group, pop_time: *pop_time }
    }

    fn of_chain(ChainId { topic, queue, offset, group, pop_time, .. }: &'h ChainId) -> Self {
        Self { topic, queue: *queue, offset: *offset, group, pop_time: *pop_time }
    }
}

/// A chain that is due too late from its beginning, or too early: the first group to know it, at `opened`, is where it was
/// popped or renewed.
fn begins_wrong(life: &ChainLife<'_>, opened: SimMs) -> Option<String> {
    let first = &life.steps[0];
    let (ChainState::Open { due_ms } | ChainState::Moving { revive_ms: due_ms, .. }) = first.chain.state else {
        return None;
    };
    let (told, invisible) = (due_ms.saturating_sub(first.entry.at_ms), first.chain.invisible_ms);
    let is_born_here = life.node == life.id.broker && first.at_ms == opened;
    let is_wrong = told > invisible + POP_SLACK_MS || is_born_here && told + POP_SLACK_MS < invisible;
    is_wrong.then(|| format!("at {} it is due {told} ms after it began, invisible for {invisible} ms", life.node))
}

/// What a broker's clock has gained when it began to run anew.
///
/// A process that nothing was heard of since it started tries to get at its disk, and begins with what its clock shows when it
/// does: what a clock that stood still makes up for until then counts too.
fn gains<'h>(ledger: &Ledger<'h>) -> Vec<(SimMs, &'h str, i64)> {
    let (mut gains, mut unheard, mut stands) = (Vec::new(), BTreeSet::<&str>::new(), BTreeMap::<&str, SimMs>::new());
    for event in &ledger.history.events {
        match &event.kind {
            EventKind::ClockGained { node, ms } if *ms > 0 => gains.push((event.at_ms, node.as_str(), *ms)),
            EventKind::Node { node, event: what } if what == "started" => drop(unheard.insert(node)),
            EventKind::Request(frame) => drop(unheard.remove(&*frame.from)),
            EventKind::ClockStands { node, stands: true } => drop(stands.insert(node, event.at_ms)),
            EventKind::ClockStands { node, stands: false } => {
                if let Some(since_ms) = stands.remove(node.as_str()).filter(|_| unheard.contains(node.as_str())) {
                    gains.push((event.at_ms, node, event.at_ms.saturating_sub(since_ms).cast_signed()));
                }
            }
            _ => {}
        }
    }
    gains
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{CopyPlace, Outcome, frame::code},
        history::EventKind,
        oracles::fixture::Story,
    };

    /// Whether a message that is invisible for 10 s and comes back so much later is blamed.
    fn is_blamed(after_ms: u64) -> bool {
        is_blamed_if_gained(after_ms, "a", 0)
    }

    /// The same when a clock has gained so much and its node begins to run anew.
    fn is_blamed_if_gained(after_ms: u64, node: &str, ms: i64) -> bool {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let mut chain = story.pop("t", 0, 1, 0);
        chain.invisible_ms = 10_000;
        story.wait(10).event(EventKind::ClockGained { node: node.into(), ms }).wait(after_ms - 10);
        let copy = CopyPlace { topic: "%RETRY%g_t".into(), queue: 0, offset: 0 };
        story.durable("a", vec![chain.ended(Outcome::Revived(copy)).fact()]);
        story.judge().violations.iter().any(|it| it.promise == "P6" && it.detail.contains("it comes back after"))
    }

    #[test]
    fn a_message_stays_invisible_as_long_as_it_was_promised() {
        assert!(!is_blamed(10_000) && !is_blamed(60_000));
        assert!(!is_blamed(9_976), "the clock was slewed");
        assert!(is_blamed(9_970) && is_blamed(10));
    }

    #[test]
    fn what_nobody_was_handed_may_come_at_once() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let mut chain = crate::oracles::fixture::chain("t", 0, story.now_ms);
        chain.invisible_ms = 10_000;
        story.durable("a", vec![chain.clone().fact()]).wait(10);
        let copy = CopyPlace { topic: "%RETRY%g_t".into(), queue: 0, offset: 0 };
        story.durable("a", vec![chain.ended(Outcome::Revived(copy)).fact()]);
        assert!(!story.is_blamed("P6", "it comes back after"));
    }

    #[test]
    fn a_chain_begins_with_what_is_left_of_its_invisible_time() {
        let blamed = |node: &str, due_ms: u64| {
            let mut story = Story::new();
            story.send(1, 0).wait(10);
            let mut chain = crate::oracles::fixture::chain("t", 0, story.now_ms).open(story.now_ms + due_ms);
            chain.invisible_ms = 10_000;
            story.durable(node, vec![chain.fact()]);
            story.judge().violations.iter().any(|it| it.promise == "P6" && it.detail.contains("it is due"))
        };
        assert!(!blamed("a", 10_000) && blamed("a", 5_000) && blamed("a", 15_000));
        assert!(!blamed("b", 10_000) && !blamed("b", 5_000) && blamed("b", 15_000), "b took it from a");
    }

    #[test]
    fn a_chain_that_comes_back_to_where_its_message_is_was_not_born_there() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let mut chain = crate::oracles::fixture::chain("t", 0, story.now_ms).open(story.now_ms + 10_000);
        chain.invisible_ms = 10_000;
        story.durable("b", vec![chain.clone().fact()]).wait(10_000);
        story.durable("a", vec![chain.open(story.now_ms).fact()]);
        assert!(!story.is_blamed("P6", "it is due"));
    }

    /// The clock of `a` is right again while it cannot get at its disk, or after it was heard of.
    #[test]
    fn what_a_clock_makes_up_for_before_its_broker_runs_may_be_missing() {
        for (is_heard, stood_ms, blamed) in [(false, 3_000, false), (false, 2_900, true), (true, 3_000, true)] {
            let mut story = Story::new();
            story.send(1, 0).wait(10);
            let mut chain = story.pop("t", 0, 1, 0);
            chain.invisible_ms = 10_000;
            story.event(EventKind::Node { node: "a".into(), event: "started".into() });
            if is_heard {
                story.request("a", "namesrv", code::REGISTER_BROKER, &[], b"{}");
            }
            story.event(EventKind::ClockStands { node: "a".into(), stands: true }).wait(stood_ms);
            story.event(EventKind::ClockStands { node: "a".into(), stands: false }).wait(7_000 - stood_ms);
            let copy = CopyPlace { topic: "%RETRY%g_t".into(), queue: 0, offset: 0 };
            story.durable("a", vec![chain.ended(Outcome::Revived(copy)).fact()]);
            assert_eq!(story.is_blamed("P6", "it comes back after"), blamed, "{stood_ms} {is_heard}");
        }
    }

    #[test]
    fn what_the_clock_of_its_home_had_gained_when_that_came_back_may_be_missing() {
        assert!(!is_blamed_if_gained(7_000, "a", 3_000) && is_blamed_if_gained(7_000, "a", 2_900));
        assert!(is_blamed_if_gained(7_000, "a", -3_000), "it has lost");
        assert!(is_blamed_if_gained(7_000, "b", 3_000), "another broker's clock");
    }
}
