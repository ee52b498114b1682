//! Part of P6: a slave does not begin to act for a master that it hears.
//!
//! Rule: before a slave takes a term it has had no answer of its master for as long as its configuration says. It takes
//! another one, after a restart or after the other slave of the group, for the same absence; that has ended when the slave has
//! appended something of its master's.

use std::collections::BTreeSet;

use super::Findings;
use crate::{
    evidence::frame::code,
    history::EventKind,
    ledger::{Ledger, replicas::Poll},
    plan::SimMs,
};

/// A slave waits for twenty seconds for an answer.
const HEARD_MS: SimMs = 19_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let groups: BTreeSet<&String> = ledger.obligations.slaves.values().collect();
    for group in groups {
        let mut acts_since = None;
        for (event, at_ms, slave) in terms_asked_for(ledger, group) {
            let has_followed = acts_since.is_none_or(|since| ledger.replicas.has_grown(slave, since..event));
            if has_followed && let Some(silence) = too_short(ledger, slave, event) {
                let detail = format!("it takes a term {silence} ms after an answer of its master");
                found.broken(at_ms, slave, detail);
            }
            acts_since = Some(event);
        }
    }
}

/// When the slaves of a group ask for terms, and which one.
fn terms_asked_for<'l>(ledger: &'l Ledger<'_>, group: &'l str) -> impl Iterator<Item = (usize, SimMs, &'l str)> {
    let is_its = move |node: &str| ledger.obligations.slaves.get(node).is_some_and(|master| master == group);
    ledger.history.events.iter().enumerate().filter_map(move |(number, event)| match &event.kind {
        EventKind::Request(frame) if frame.request_code == code::SEAL && is_its(&frame.from) => {
            Some((number, event.at_ms, &*frame.from))
        }
        _ => None,
    })
}

/// How long the slave has not heard its master before `event`, if that is too short.
fn too_short(ledger: &Ledger<'_>, slave: &str, event: usize) -> Option<SimMs> {
    let at_ms = ledger.at_ms(event);
    let heard_ms =
        ledger.replicas.polls(slave).iter().filter_map(heard_ms).filter(|heard_ms| *heard_ms < at_ms).max()?;
    let silence = at_ms - heard_ms;
    // What its own disk does not take is no answer that it goes by.
    let since = ledger.history.events.partition_point(|event| event.at_ms < heard_ms);
    let has_failed = ledger.history.events[since..event].iter().any(|event| match &event.kind {
        EventKind::Node { node, event } => {
            node == slave && (event.starts_with("failed") || event.starts_with("had no"))
        }
        _ => false,
    });
    (silence < ledger.obligations.acting_after_ms && !has_failed).then_some(silence)
}

/// When the slave had a good answer, if it was still waiting for it.
fn heard_ms(poll: &Poll<'_>) -> Option<SimMs> {
    let arrived_ms = poll.answer.filter(|answer| answer.code == 0)?.arrived_ms?;
    (arrived_ms - poll.at_ms < HEARD_MS).then_some(arrived_ms)
}

#[cfg(test)]
mod tests {
    use crate::{evidence::frame::code, oracles::fixture::Story};

    const WORDS: &str = "ms after an answer of its master";

    /// A slave that its master has answered, and that may act after 30 s.
    fn answered() -> Story {
        let mut story = Story::with_slave();
        story.obligations.acting_after_ms = 30_000;
        let poll = story.request("a-s1", "a", code::REPLICATE, &[], b"");
        story.wait(10).response(("a", "a-s1", poll), (code::REPLICATE, 0), &[], b"");
        story
    }

    #[test]
    fn a_slave_acts_when_it_has_not_heard_its_master_for_long_enough() {
        for (silence_ms, blamed) in [(1, true), (29_000, true), (30_000, false)] {
            let mut story = answered();
            story.wait(silence_ms).request("a-s1", "b", code::SEAL, &[], b"");
            assert_eq!(story.is_blamed("P6", WORDS), blamed, "after {silence_ms} ms");
        }
    }

    #[test]
    fn an_answer_that_it_has_not_had_in_time_does_not_count() {
        for arrives_ms in [None, Some(25_000), Some(1_000)] {
            let mut story = answered();
            story.arrives(arrives_ms).wait(26_000).request("a-s1", "b", code::SEAL, &[], b"");
            assert_eq!(story.is_blamed("P6", WORDS), arrives_ms == Some(1_000), "after {arrives_ms:?} ms");
        }
    }

    #[test]
    fn one_that_acts_takes_further_terms_at_once_until_it_has_followed_again() {
        let mut story = answered();
        story.wait(30_000).request("a-s1", "b", code::SEAL, &[], b"");
        let poll = story.request("a-s1", "a", code::REPLICATE, &[], b"");
        story.response(("a", "a-s1", poll), (code::REPLICATE, 0), &[], b"").wait(1_000);
        story.request("a-s1", "b", code::SEAL, &[], b"");
        assert!(!story.is_blamed("P6", WORDS), "it has not followed");
        story.obligations.slaves.insert("a-s2".into(), "a".into());
        story.request("a-s2", "b", code::SEAL, &[], b"");
        assert!(!story.is_blamed("P6", WORDS), "nor has the other one, for the same absence");
        story.send(1, 0).catch_up(1).wait(1_000).request("a-s1", "b", code::SEAL, &[], b"");
        assert!(story.is_blamed("P6", WORDS));
    }
}
