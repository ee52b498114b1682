//! Part of P9: what a broker shows of its peers.
//!
//! Rule: a broker does not show the way to a peer as free (its breaker closed, or none) that has left its last [`UNANSWERED`]
//! calls without an answer, each of them for [`ENDED_MS`], since anything came from that group and since the process began
//! or was paused.

use std::collections::BTreeMap;

use super::Findings;
use crate::{
    history::{EventKind, Noted, Scraped},
    ledger::{Ledger, wire::Call},
    plan::SimMs,
};

/// How many calls in a row may fail before a broker has to show that it has given the peer up, and one more: which of them
/// is the last to fail is not told.
const UNANSWERED: usize = 4;

/// After how long without an answer a call has surely failed, ms.
const ENDED_MS: SimMs = 16_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut calls: BTreeMap<(&str, &str), Vec<Call<'_>>> = BTreeMap::new();
    let made = ledger.wire.pulls.iter().map(|pull| pull.call).chain(ledger.wire.sends.iter().map(|send| send.call));
    // A slave that acts calls in its group's name, and has breakers of its own.
    let is_own = |call: &Call<'_>| match &ledger.history.events[call.event].kind {
        EventKind::Request(frame) => *frame.from == *call.from,
        _ => false,
    };
    made.filter(is_own).for_each(|call| calls.entry((call.from, call.to)).or_default().push(call));
    let mut since: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (number, event) in ledger.history.events.iter().enumerate() {
        match &event.kind {
            EventKind::Response(frame) if frame.arrived_ms.is_some() => {
                since.insert((&*frame.to, group(ledger, &frame.from)), number);
            }
            // What the network makes of an answer, or answers in a peer's place, is heard as well; whose it was is not told.
            EventKind::Fault { text, .. } if text.starts_with("answer: ") || text.starts_with("damaged-answer") => {
                forget(ledger, &mut since, number, None);
            }
            EventKind::Node { node, .. } => forget(ledger, &mut since, number, Some(node)),
            EventKind::Noted(Noted::Scraped(scraped)) => {
                for peer in &ledger.obligations.brokers {
                    let way = (scraped.broker.as_str(), peer.as_str());
                    let after = since.get(&way).copied().unwrap_or(0);
                    let failed = failed(calls.get(&way).map_or(&[], Vec::as_slice), (after, number), scraped);
                    if failed >= UNANSWERED && is_shown_free(scraped, peer) {
                        let detail = format!("it shows the way to {peer} as free, and its last {failed} calls failed");
                        found.broken(event.at_ms, &scraped.broker, detail);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The group that a node belongs to, or itself.
fn group<'n>(ledger: &'n Ledger<'_>, node: &'n str) -> &'n str {
    ledger.obligations.slaves.get(node).map_or(node, String::as_str)
}

/// What was before counts no more: for the broker of a node, or for all.
fn forget<'n>(
    ledger: &'n Ledger<'_>,
    since: &mut BTreeMap<(&'n str, &'n str), usize>,
    number: usize,
    node: Option<&str>,
) {
    let brokers = &ledger.obligations.brokers;
    for from in brokers.iter().filter(|broker| node.is_none_or(|node| node == **broker)) {
        since.extend(brokers.iter().map(|to| ((from.as_str(), to.as_str()), number)));
    }
}

/// How many calls between these events have failed by the time of the scrape.
fn failed(calls: &[Call<'_>], (after, before): (usize, usize), scraped: &Scraped) -> usize {
    let is_over = |call: &&Call<'_>| call.at_ms.saturating_add(ENDED_MS) <= scraped.began_ms;
    calls.iter().filter(|call| (after + 1..before).contains(&call.event)).filter(is_over).count()
}

fn is_shown_free(scraped: &Scraped, peer: &str) -> bool {
    let series = format!("pop_revive_breaker_state{{peer=\"{peer}\"}}");
    scraped.samples.get(&series).copied().unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::{ENDED_MS, UNANSWERED};
    use crate::{
        evidence::frame::code,
        history::{EventKind, Noted, Scraped},
        oracles::fixture::Story,
    };

    /// `b` reads from `a` in vain, so often.
    fn in_vain(story: &mut Story, times: usize) {
        for offset in (0..).take(times) {
            story.wait(1_000).read(offset);
        }
        story.wait(ENDED_MS);
    }

    /// `b` shows this of the breaker to `a`; whether that is blamed.
    fn is_blamed(mut story: Story, state: u64) -> bool {
        let samples = [(r#"pop_revive_breaker_state{peer="a"}"#.to_owned(), state)].into();
        let began_ms = story.now_ms;
        let scraped = Scraped { broker: "b".into(), began_ms, is_ready: true, is_registered: true, samples };
        story.event(EventKind::Noted(Noted::Scraped(scraped)));
        story.is_blamed("P9", "it shows the way to a as free")
    }

    fn after(times: usize) -> Story {
        let mut story = Story::new();
        in_vain(&mut story, times);
        story
    }

    #[test]
    fn a_peer_that_does_not_answer_is_shown_as_given_up() {
        assert!(is_blamed(after(UNANSWERED), 0));
        assert!(!is_blamed(after(UNANSWERED), 1) && !is_blamed(after(UNANSWERED), 2));
        assert!(!is_blamed(after(UNANSWERED - 1), 0));
    }

    #[test]
    fn an_answer_begins_it_anew_and_so_does_a_new_process() {
        let mut story = after(UNANSWERED);
        let call = story.read(9);
        story.response(("a", "b", call), (code::PULL, 19), &[], b"");
        story.wait(ENDED_MS);
        assert!(!is_blamed(story, 0));
        let mut story = after(UNANSWERED);
        story.event(EventKind::Node { node: "b".into(), event: "started".into() });
        assert!(!is_blamed(story, 0));
    }
}
