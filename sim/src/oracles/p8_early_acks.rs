//! Part of P8: acks that wait for a checkpoint which never comes do not pile up.
//!
//! Rule: whoever keeps a new early ack gives up, in the same transaction, two that have waited in vain for as long as they may,
//! by its own clock, or all of them if there are fewer.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::Findings;
use crate::{
    evidence::{ChainId, Fact},
    ledger::{Ledger, LogStep},
};

/// How many each new one takes along.
const TAKEN_ALONG: usize = 2;

/// An entry is dated when it is written, and what goes into it was decided shortly before, ms.
const DECIDED_MS: i64 = 1_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for (node, log) in &ledger.logs {
        let mut waiting = Waiting::default();
        for step in log {
            let (due, dropped) = waiting.written(step);
            if dropped < due {
                let detail =
                    format!("it keeps a new early ack and gives up {dropped} of those that are over, not {due}");
                found.broken(ledger.at_ms(step.event), node, detail);
            }
        }
    }
}

/// The early acks that wait at a broker.
#[derive(Default)]
struct Waiting<'l> {
    until: FxHashMap<&'l ChainId, i64>,
    in_order: BTreeSet<(i64, &'l ChainId)>,
}

impl<'l> Waiting<'l> {
    /// How many are to be given up with this entry, and how many are.
    fn written(&mut self, step: &LogStep<'l>) -> (usize, usize) {
        let over_ms = step.entry.at_ms.saturating_sub(DECIDED_MS);
        let over = self.in_order.iter().take_while(|(until_ms, _)| *until_ms < over_ms).count();
        let (mut kept, mut dropped) = (0, 0);
        for fact in &step.entry.facts {
            match fact {
                Fact::EarlyAck { id, until_ms } => {
                    kept += 1;
                    if let Some(before_ms) = self.until.insert(id, *until_ms) {
                        self.in_order.remove(&(before_ms, id));
                    }
                    self.in_order.insert((*until_ms, id));
                }
                Fact::EarlyAckDropped { id } => {
                    if let Some(until_ms) = self.until.remove(id) {
                        self.in_order.remove(&(until_ms, id));
                        dropped += 1;
                    }
                }
                _ => {}
            }
        }
        (over.min(TAKEN_ALONG * kept), dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::DECIDED_MS;
    use crate::{
        evidence::Fact,
        oracles::fixture::{Story, at, chain},
    };

    /// An early ack of the message at an offset that waits for a second, and its end.
    fn early(story: &Story, offset: i64) -> (Fact, Fact) {
        let id = chain("t", offset, 900).id;
        (Fact::EarlyAck { id: id.clone(), until_ms: at(story.now_ms + 1_000) }, Fact::EarlyAckDropped { id })
    }

    /// So many wait, so much time passes, and a new one comes and takes so many along.
    fn is_blamed(waiting: i64, after_ms: u64, dropped: usize) -> bool {
        let mut story = Story::new();
        let (kept, ends): (Vec<Fact>, Vec<Fact>) = (0..waiting).map(|offset| early(&story, offset)).unzip();
        story.durable("a", kept).wait(after_ms);
        let new = early(&story, 99).0;
        story.durable("a", ends.into_iter().take(dropped).chain([new]).collect());
        story.is_blamed("P8", "it keeps a new early ack")
    }

    #[test]
    fn a_new_one_takes_two_along() {
        let over_ms = 1_001 + DECIDED_MS.unsigned_abs();
        assert!(!is_blamed(5, over_ms, 2) && is_blamed(5, over_ms, 1) && is_blamed(5, over_ms, 0));
        assert!(!is_blamed(1, over_ms, 1) && is_blamed(1, over_ms, 0));
        assert!(!is_blamed(5, over_ms - 1, 0), "they may still be waited for");
    }
}
