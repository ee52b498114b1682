//! Part of P6: a slave does not begin to act for a master that it hears.
//!
//! Rule: before a slave takes a term it has had no answer of its master for as long as its configuration says. It takes
//! another one, after a restart, for the same absence; it has ended when the slave has appended something of its master's.

use super::Findings;
use crate::{
    evidence::frame::code,
    history::EventKind,
    ledger::{Ledger, replicas::Poll},
    plan::SimMs,
};

/// A master holds a request for fifteen seconds, and the slave waits for five more.
const HEARD_MS: SimMs = 19_000;
/// An answer that left later is still on its way.
const ARRIVED_MS: SimMs = 100;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for slave in ledger.obligations.slaves.keys() {
        let mut acts_since = None;
        for (event, at_ms) in terms_asked_for(ledger, slave) {
            let has_followed = acts_since.is_none_or(|since| ledger.replicas.has_grown(slave, since..event));
            if has_followed && let Some(silence) = too_short(ledger, slave, event) {
                let detail = format!("it takes a term {silence} ms after an answer of its master");
                found.broken(at_ms, slave.clone(), detail);
            }
            acts_since = Some(event);
        }
    }
}

fn terms_asked_for<'l>(ledger: &'l Ledger<'_>, slave: &'l str) -> impl Iterator<Item = (usize, SimMs)> + 'l {
    ledger.history.events.iter().enumerate().filter_map(move |(number, event)| match &event.kind {
        EventKind::Request(frame) if frame.request_code == code::SEAL && &*frame.from == slave => {
            Some((number, event.at_ms))
        }
        _ => None,
    })
}

/// How long the slave has not heard its master before `event`, if that is too short.
fn too_short(ledger: &Ledger<'_>, slave: &str, event: usize) -> Option<SimMs> {
    let arrived =
        |poll: &&Poll| poll.answered < event && ledger.at_ms(poll.answered) + ARRIVED_MS <= ledger.at_ms(event);
    let heard = ledger.replicas.polls(slave).iter().filter(arrived).filter(|poll| is_heard(ledger, poll));
    let last = heard.map(|poll| poll.answered).max()?;
    let silence = ledger.at_ms(event).saturating_sub(ledger.at_ms(last));
    // What its own disk does not take is no answer that it goes by.
    let has_failed = ledger.history.events[last..event].iter().any(|event| match &event.kind {
        EventKind::Node { node, event } => {
            node == slave && (event.starts_with("failed") || event.starts_with("had no"))
        }
        _ => false,
    });
    (silence < ledger.obligations.acting_after_ms && !has_failed).then_some(silence)
}

/// Whether the slave has certainly had the answer.
fn is_heard(ledger: &Ledger<'_>, poll: &Poll) -> bool {
    let EventKind::Response(frame) = &ledger.history.events[poll.answered].kind else { return false };
    let is_in_time = ledger.at_ms(poll.answered).saturating_sub(ledger.at_ms(poll.asked)) < HEARD_MS;
    let is_told = frame.code == 0 && !frame.is_swallowed && is_in_time;
    is_told && !ledger.is_slow(poll.answered) && !ledger.was_disturbed(poll.answered, ledger.same_ms(poll.answered))
}

#[cfg(test)]
mod tests {
    use crate::{evidence::frame::code, history::EventKind, oracles::fixture::Story};

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
        for (silence_ms, blamed) in [(1, false), (200, true), (29_000, true), (30_000, false)] {
            let mut story = answered();
            story.wait(silence_ms).request("a-s1", "b", code::SEAL, &[], b"");
            assert_eq!(story.is_blamed("P6", WORDS), blamed, "after {silence_ms} ms");
        }
    }

    #[test]
    fn an_answer_that_it_may_not_have_had_does_not_count() {
        let mut story = answered();
        story.swallowed().wait(1_000).request("a-s1", "b", code::SEAL, &[], b"");
        assert!(!story.is_blamed("P6", WORDS));
        let mut story = answered();
        story.event(EventKind::Fault { index: Some(0), text: "lost-answer".into() });
        story.wait(1_000).request("a-s1", "b", code::SEAL, &[], b"");
        assert!(!story.is_blamed("P6", WORDS));
    }

    #[test]
    fn one_that_acts_takes_further_terms_at_once_until_it_has_followed_again() {
        let mut story = answered();
        story.wait(30_000).request("a-s1", "b", code::SEAL, &[], b"");
        let poll = story.request("a-s1", "a", code::REPLICATE, &[], b"");
        story.response(("a", "a-s1", poll), (code::REPLICATE, 0), &[], b"").wait(1_000);
        story.request("a-s1", "b", code::SEAL, &[], b"");
        assert!(!story.is_blamed("P6", WORDS), "it has not followed");
        story.send(1, 0).catch_up(1).wait(1_000).request("a-s1", "b", code::SEAL, &[], b"");
        assert!(story.is_blamed("P6", WORDS));
    }
}
