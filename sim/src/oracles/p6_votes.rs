//! Part of P6: a slave lets no other one act for a master that it hears.
//!
//! Rule: a slave that gives its vote, or says that it would, has followed its master and had an answer of that not more recently than
//! its configuration says; unless it has voted, or taken a term, since it asked for that answer, and so does not follow.

use rustc_hash::FxHashMap;

use super::Findings;
use crate::{
    evidence::frame::{WireFrame, code},
    history::{EventKind, Frame},
    ledger::{Ledger, replicas::Poll},
    plan::SimMs,
};

/// Clocks drift, and answers that arrive are looked at a moment later.
const SLACK_MS: SimMs = 1_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for slave in ledger.obligations.slaves.keys() {
        let mut asked: FxHashMap<(u64, i32), bool> = FxHashMap::default();
        let mut bound = 0;
        for (number, event) in ledger.history.events.iter().enumerate() {
            match &event.kind {
                EventKind::Request(frame) if frame.request_code == code::SEAL && &*frame.from == slave => {
                    bound = number
                }
                EventKind::Request(frame) if frame.request_code == code::VOTE && &*frame.to == slave => {
                    asked.insert((frame.connection, frame.opaque), is_for_term(frame));
                }
                EventKind::Response(frame) if frame.request_code == code::VOTE && &*frame.from == slave => {
                    let is_for_term = asked.remove(&(frame.connection, frame.opaque)).unwrap_or(false);
                    if !is_granted(frame) {
                        continue;
                    }
                    if let Some(silence) = silence(ledger, slave, bound, event.at_ms) {
                        let detail = format!("it votes for another slave {silence} ms after an answer of its master");
                        found.broken(event.at_ms, slave, detail);
                    }
                    bound = if is_for_term { number } else { bound };
                }
                _ => {}
            }
        }
    }
}

/// For how long it had not heard its master that it follows, if that is too short.
fn silence(ledger: &Ledger<'_>, slave: &str, bound: usize, at_ms: SimMs) -> Option<SimMs> {
    let polls = ledger.replicas.polls(slave).iter().filter(|poll| poll.event > bound && follows(poll.request));
    let heard_ms = polls.filter_map(heard_ms).filter(|heard_ms| *heard_ms < at_ms).max()?;
    let silence = at_ms - heard_ms;
    (silence.saturating_add(SLACK_MS) < ledger.obligations.acting_after_ms).then_some(silence)
}

fn heard_ms(poll: &Poll<'_>) -> Option<SimMs> {
    poll.answer.filter(|answer| answer.code == 0)?.arrived_ms
}

/// Whether it asks for more of the log, and is not bound by a term.
fn follows(frame: &Frame) -> bool {
    !WireFrame::read(&frame.bytes).is_ok_and(|read| read.get("actingTerm").is_some())
}

fn is_for_term(frame: &Frame) -> bool {
    WireFrame::read(&frame.bytes).is_ok_and(|read| read.get("term").is_some_and(|term| term != "0"))
}

fn is_granted(frame: &Frame) -> bool {
    frame.code == 0 && WireFrame::read(&frame.bytes).is_ok_and(|read| read.get("granted") == Some("true"))
}

#[cfg(test)]
mod tests {
    use crate::{evidence::frame::code, oracles::fixture::Story};

    const WORDS: &str = "it votes for another slave";

    /// The first slave of `a` follows it, and gives the second one an answer so long after it has heard its master.
    fn answers_after(ms: u64, granted: &str) -> Story {
        let mut story = Story::with_slave();
        story.obligations.acting_after_ms = 30_000;
        story.obligations.slaves.insert("a-s2".into(), "a".into());
        let poll = story.request("a-s1", "a", code::REPLICATE, &[], b"");
        story.wait(10).response(("a", "a-s1", poll), (code::REPLICATE, 0), &[], b"");
        votes(story.wait(ms), granted);
        story
    }

    fn votes(story: &mut Story, granted: &str) {
        let vote = story.request("a-s2", "a-s1", code::VOTE, &[("term", "4")], b"");
        story.response(("a-s1", "a-s2", vote), (code::VOTE, 0), &[("granted", granted)], b"");
    }

    #[test]
    fn a_slave_that_hears_its_master_gives_no_vote() {
        for (ms, granted, blamed) in [(5_000, "true", true), (5_000, "false", false), (30_000, "true", false)] {
            assert_eq!(answers_after(ms, granted).is_blamed("P6", WORDS), blamed, "{granted} after {ms} ms");
        }
    }

    #[test]
    fn one_that_has_voted_does_not_follow_whatever_it_hears_then() {
        let mut story = answers_after(31_000, "true");
        let asked = story.request("a-s1", "a", code::REPLICATE, &[("actingTerm", "4")], b"");
        story.response(("a", "a-s1", asked), (code::REPLICATE, 0), &[], b"");
        votes(story.wait(10), "true");
        assert!(!story.is_blamed("P6", WORDS));
        let asked = story.request("a-s1", "a", code::REPLICATE, &[], b"");
        story.response(("a", "a-s1", asked), (code::REPLICATE, 0), &[], b"");
        votes(story.wait(10), "true");
        assert!(story.is_blamed("P6", WORDS), "it follows again");
    }
}
