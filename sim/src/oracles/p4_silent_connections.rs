//! Part of P4: whoever hears nothing on a connection dials anew.
//!
//! Rule: on a connection of a broker's or a slave's, no request leaves later than [`GIVEN_UP_MS`] after the first of
//! [`UNHEARD`] that nothing has come since, neither their answers nor others. The other end may be gone without a word: a new
//! connection would get to whoever is there. What is asked while an answer that the network made up is on its way does not
//! count.

use std::collections::BTreeMap;

use super::Findings;
use crate::{
    history::{Event, EventKind, Frame},
    ledger::Ledger,
    plan::SimMs,
};

/// After so long a call is surely given up, ms: a slave waits for twenty seconds for what its master has next.
const GIVEN_UP_MS: SimMs = 25_000;

/// So many calls show it: one or another may have been given up at once, for a reason of its caller's.
const UNHEARD: usize = 4;

/// What passed on a connection.
#[derive(Default)]
struct Passed {
    /// When requests left that nothing has come since.
    asked_ms: Vec<SimMs>,
    /// When answers come.
    heard_ms: Vec<SimMs>,
    is_told: bool,
}

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let obligations = &ledger.obligations;
    let asks = |node: &str| obligations.slaves.contains_key(node) || obligations.brokers.iter().any(|it| it == node);
    // By whose connections they are.
    let mut connections: BTreeMap<&str, BTreeMap<u64, Passed>> = BTreeMap::new();
    let mut arrives_until_ms = None;
    for Event { at_ms, kind } in &ledger.history.events {
        match kind {
            EventKind::Request(frame) if asks(&frame.from) && Some(*at_ms) > arrives_until_ms => {
                let of_node = connections.entry(&frame.from).or_default();
                let passed = of_node.entry(frame.connection).or_default();
                if let Some(silent_ms) = passed.asks(ledger, frame, *at_ms) {
                    let Frame { from, to, .. } = frame;
                    let detail = format!("it asks {to} on a connection that nothing has come on for {silent_ms} ms");
                    found.broken(*at_ms, from.to_string(), detail);
                }
            }
            EventKind::Response(frame) => {
                let passed = connections.get_mut(&*frame.to).and_then(|of_node| of_node.get_mut(&frame.connection));
                if let Some((passed, arrived_ms)) = passed.zip(frame.arrived_ms) {
                    passed.heard_ms.push(arrived_ms);
                }
            }
            EventKind::Node { node, .. } => drop(connections.remove(node.as_str())),
            // What the network makes of an answer, or answers in a peer's place, is heard as well; whose it was is not told.
            EventKind::Fault { text, .. } if text.starts_with("answer: ") || text.starts_with("damaged-answer") => {
                connections.clear();
                arrives_until_ms = Some(at_ms + GIVEN_UP_MS);
            }
            _ => {}
        }
    }
}

impl Passed {
    /// Takes in a request; gives for how long nothing has come, if that is too long.
    fn asks(&mut self, ledger: &Ledger<'_>, frame: &Frame, now_ms: SimMs) -> Option<SimMs> {
        if let Some(heard_ms) = self.heard_ms.extract_if(.., |heard_ms| *heard_ms <= now_ms).max() {
            self.asked_ms.retain(|asked_ms| *asked_ms > heard_ms);
        }
        self.asked_ms.push(now_ms);
        let since_ms = *self.asked_ms.first()?;
        let silent_ms = (now_ms - since_ms).saturating_sub(ledger.stood_ms(&frame.from, since_ms, now_ms));
        let is_found = silent_ms > GIVEN_UP_MS && self.asked_ms.len() > UNHEARD && !self.is_told;
        self.is_told |= is_found;
        is_found.then_some(silent_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::{GIVEN_UP_MS, UNHEARD};
    use crate::{evidence::frame::code, history::EventKind, oracles::fixture::Story};

    fn is_blamed(mut story: Story) -> bool {
        story.is_blamed("P4", "on a connection that nothing has come on")
    }

    /// `b` asks again so long after it asked in vain: a story begins with a registration that nobody answers.
    fn asks_again(after_ms: u64, meanwhile: impl FnOnce(&mut Story)) -> Story {
        asks_again_after(UNHEARD - 1, after_ms, meanwhile)
    }

    fn asks_again_after(calls: usize, after_ms: u64, meanwhile: impl FnOnce(&mut Story)) -> Story {
        let mut story = Story::new();
        for offset in (0..).take(calls) {
            story.read(offset);
        }
        meanwhile(&mut story);
        story.wait(after_ms).read(8);
        story
    }

    #[test]
    fn nobody_asks_for_long_where_nothing_comes() {
        assert!(is_blamed(asks_again(GIVEN_UP_MS + 1, |_| {})) && !is_blamed(asks_again(GIVEN_UP_MS, |_| {})));
        let fewer = asks_again_after(UNHEARD - 2, GIVEN_UP_MS + 1, |_| {});
        assert!(!is_blamed(fewer), "they may have been given up at once");
    }

    #[test]
    fn whatever_comes_counts() {
        let answered = |arrives_ms: Option<u64>| {
            asks_again(GIVEN_UP_MS + 1, |story| {
                let other = story.read(16);
                story.response(("a", "b", other), (code::PULL, 0), &[], b"");
                story.arrives(arrives_ms);
            })
        };
        assert!(!is_blamed(answered(Some(1_000))) && is_blamed(answered(None)));
    }

    #[test]
    fn what_the_network_makes_up_is_on_its_way_for_a_while() {
        let made_up = |story: &mut Story| {
            story.event(EventKind::Fault { index: Some(0), text: "answer: a→b request 11".into() });
        };
        let asked = |after_ms: u64| {
            let mut story = asks_again(0, made_up);
            story.wait(after_ms);
            for offset in (0..).take(UNHEARD) {
                story.read(offset);
            }
            story.wait(GIVEN_UP_MS + 1).read(8);
            is_blamed(story)
        };
        assert!(!asked(GIVEN_UP_MS) && asked(GIVEN_UP_MS + 1));
    }

    #[test]
    fn whoever_begins_anew_or_stands_still_has_not_waited() {
        let node = |event: &str| EventKind::Node { node: "b".into(), event: event.into() };
        let began = asks_again(GIVEN_UP_MS + 1, |story| {
            story.event(node("started"));
        });
        assert!(!is_blamed(began));
        let stands = |stands| EventKind::ClockStands { node: "b".into(), stands };
        let stood = asks_again(GIVEN_UP_MS, |story| {
            story.event(stands(true)).wait(1).event(stands(false));
        });
        assert!(!is_blamed(stood));
    }
}
