//! Part of P8: a broker whose chains another group keeps does not go on popping while that group is away.
//!
//! Rule: of pops that begin since the broker last heard of that group, or began itself, so many at the most take messages:
//! [`POPS_INTO_SILENCE`], and one to see whether it is back for each time that such a look is allowed.

use rustc_hash::FxHashSet;

use super::{Findings, p8_bounded::looks_allowed};
use crate::{
    evidence::{ChainFact, ChainState, Fact},
    history::{EventKind, Frame, Noted},
    ledger::Ledger,
    plan::SimMs,
};

/// Pops that may be under way when the group falls silent, and after which nobody can have learned of it yet.
pub const POPS_INTO_SILENCE: u64 = 16;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for (broker, home) in &ledger.obligations.escapes {
        let mut silence = Silence::default();
        for event in &ledger.history.events {
            match &event.kind {
                EventKind::Noted(Noted::Durable { node, entry, .. }) if node == broker => {
                    let born = entry.facts.iter().filter_map(|fact| born(fact, home));
                    silence.born(event.at_ms, born);
                    if let Some(pops) = silence.excess(event.at_ms) {
                        let detail = format!("{pops} pops took messages for which {home} has no word, are too many");
                        found.broken(event.at_ms, broker, detail);
                    }
                }
                EventKind::Response(frame) if *frame.to == **broker && is_heard(ledger, frame, home) => {
                    silence = Silence::default();
                }
                // Somebody answers in the group's place.
                EventKind::Fault { text, .. } if text.starts_with("answer: ") => silence = Silence::default(),
                EventKind::Node { node, event } if node == broker && event == "started" => silence = Silence::default(),
                _ => {}
            }
        }
    }
}

fn is_heard(ledger: &Ledger<'_>, answer: &Frame, home: &str) -> bool {
    answer.arrived_ms.is_some() && ledger.obligations.group_of(&answer.from) == home
}

/// When a chain's message was popped, if this is the beginning of a chain that goes there.
fn born(fact: &Fact, home: &str) -> Option<i64> {
    match fact {
        Fact::Chain(chain) => is_new(chain, home).then_some(chain.id.pop_time),
        _ => None,
    }
}

fn is_new(chain: &ChainFact, home: &str) -> bool {
    let goes_there = matches!(&chain.state, ChainState::Moving { to, .. } if to == home);
    goes_there && (chain.round, chain.attempt, chain.failures, chain.generation) == (0, 1, 0, 0)
}

/// Since when nothing was heard of the group, as far as somebody has asked.
#[derive(Default)]
struct Silence {
    since_ms: Option<SimMs>,
    pops: FxHashSet<i64>,
    is_told: bool,
}

impl Silence {
    fn born(&mut self, at_ms: SimMs, pops: impl Iterator<Item = i64>) {
        self.pops.extend(pops);
        if !self.pops.is_empty() {
            self.since_ms.get_or_insert(at_ms);
        }
    }

    /// How many pops there were, the first time that they are too many.
    fn excess(&mut self, at_ms: SimMs) -> Option<u64> {
        let silent_ms = at_ms.saturating_sub(self.since_ms?);
        let pops = self.pops.len() as u64;
        let is_over = pops > POPS_INTO_SILENCE + looks_allowed(silent_ms);
        (is_over && !std::mem::replace(&mut self.is_told, true)).then_some(pops)
    }
}

#[cfg(test)]
mod tests {
    use super::POPS_INTO_SILENCE;
    use crate::{
        evidence::{ChainState, frame::code},
        history::EventKind,
        oracles::fixture::{Story, at, chain},
    };

    /// `a`, whose chains `b` keeps, pops so many times, one pop in each span, and after half of it this happens.
    fn is_blamed(pops: u64, each_ms: u64, other: Option<fn(&mut Story)>) -> bool {
        let mut story = Story::new();
        story.obligations.escapes.insert("a".into(), "b".into());
        for pop in 0..pops {
            let (due_ms, revive_ms) = (at(story.now_ms + 20_000), at(story.now_ms + 10_000));
            let mut popped = chain("t", i64::try_from(pop).unwrap_or(0), story.now_ms).attempt(1);
            popped.state = ChainState::Moving { to: "b".into(), due_ms, revive_ms };
            story.durable("a", vec![popped.fact()]).wait(each_ms);
            if pop == pops / 2 {
                other.into_iter().for_each(|other| other(&mut story));
            }
        }
        story.is_blamed("P8", "pops took messages for which b has no word")
    }

    fn answers(story: &mut Story) {
        let call = story.request("a", "b", code::SEND_V2, &[("b", "t")], b"");
        story.response(("b", "a", call), (code::SEND_V2, 1), &[], b"");
    }

    fn starts(story: &mut Story) {
        story.event(EventKind::Node { node: "a".into(), event: "started".into() });
    }

    #[test]
    fn nothing_is_popped_for_a_group_that_is_away() {
        assert!(!is_blamed(POPS_INTO_SILENCE, 10, None) && is_blamed(POPS_INTO_SILENCE + 1, 10, None));
        assert!(!is_blamed(2 * POPS_INTO_SILENCE, 6_000, None), "to see whether it is back");
        assert!(!is_blamed(POPS_INTO_SILENCE + 1, 10, Some(answers)), "it is back");
        assert!(!is_blamed(POPS_INTO_SILENCE + 1, 10, Some(starts)), "nothing is known of it yet");
    }
}
