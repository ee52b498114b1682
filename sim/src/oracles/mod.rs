//! The oracles: one file per promise, each a function from the ledger to violations.
//!
//! They see clients' outcomes, frames at the wire and synced pages, and believe nothing of the broker's own: its metrics and
//! its tables are what is judged by these. P11 is checked by running twice, which no single history shows. Nothing is tolerated but what a slave cannot know that acts
//! for a master which confirms alone: that is charged ([`charges`]).

mod charges;
mod counts;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod fixture_facts;
#[cfg(test)]
mod fixture_naming;
mod open;
pub mod p1_nothing_lost;
mod p1_park;
mod p1_retention;
mod p1_salvage;
mod p2_forgetting;
pub mod p2_nothing_revived_twice;
mod p2_one_home;
pub mod p3_ack_is_final;
pub mod p4_comes_to_something;
mod p4_every_chain_ends;
mod p4_peers;
mod p4_reads;
mod p4_renewed;
mod p4_silent_connections;
mod p4_taken_up;
mod p5_acting;
pub mod p5_beginning;
mod p5_progress_is_safe;
mod p5_replicas;
mod p5_resets;
mod p6_acting;
mod p6_delayed;
mod p6_delayed_acting;
pub mod p6_exclusive;
mod p6_lease;
mod p6_moved;
mod p6_renewed;
mod p6_votes;
pub mod p7_identity;
mod p7_message_ids;
mod p8_absent_home;
mod p8_at_once;
pub mod p8_bounded;
mod p8_bytes;
mod p8_early_acks;
mod p8_fair;
mod p8_joined;
mod p8_merges;
mod p8_polls;
mod p8_repeats;
mod p8_tables;
mod p8_waits;
mod p9_breakers;
pub mod p9_goodbye;
mod p9_honest_answers;
mod p9_look_ups;
mod p9_merging;
mod p9_metrics;
mod p9_orders;
mod p9_pull_headers;
mod p9_pulls;
mod p9_refusals;
mod p9_registers;
mod p9_renewals;
mod p9_requests;
mod p9_routed;
mod p9_routes;
mod p9_set_aside;
mod p9_unconfirmed;
mod reached;
mod reached_acting;
mod reached_clocks;
mod reached_disks;
mod reached_links;
mod reached_slaves;
mod reached_starts;
mod reads;
mod silence;
mod stuck;
pub mod times;
mod waiting;

use std::collections::BTreeSet;

use serde::Serialize;

pub use counts::Counts;
use reads::Reads;
use times::Times;

pub(crate) use crate::framework::Findings;
pub use crate::framework::Violation;
use crate::{
    framework::{Judged, Oracle, violations},
    history::{History, LedgerId},
    ledger::{Ledger, Obligations},
    plan::SimMs,
};

/// A tolerated anomaly and what excuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Charge {
    /// Which promise it strains.
    pub promise: &'static str,
    /// When, simulated ms.
    pub at_ms: SimMs,
    /// Whom it hit.
    pub subject: String,
    /// The lost-tail record or ambiguous answer it is charged to.
    pub excuse: String,
}

/// What a run came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    /// Broken promises, by promise, then by time.
    pub violations: Vec<Violation>,
    /// Tolerated anomalies.
    pub charges: Vec<Charge>,
    /// Figures.
    pub counts: Counts,
    /// Situations the run got into.
    pub reached: BTreeSet<&'static str>,
    /// How long some things took.
    pub times: Times,
}

impl Judged for Verdict {
    fn violations(&self) -> &[Violation] {
        &self.violations
    }
}

/// What is known of a run of a cluster.
struct Known<'k> {
    ledger: &'k Ledger<'k>,
    reads: &'k Reads<'k>,
}

type Check = fn(&Ledger<'_>, &Reads<'_>, &mut Findings<'_>);

/// A promise, with its oracle.
struct Promise(&'static str, Check);

/// All of them.
const ORACLES: [Promise; 9] = [
    Promise("P1", p1_nothing_lost::check),
    Promise("P2", p2_nothing_revived_twice::check),
    Promise("P3", p3_ack_is_final::check),
    Promise("P4", p4_every_chain_ends::check),
    Promise("P5", p5_progress_is_safe::check),
    Promise("P6", p6_exclusive::check),
    Promise("P7", p7_identity::check),
    Promise("P8", p8_bounded::check),
    Promise("P9", p9_honest_answers::check),
];

impl Oracle<Known<'_>> for Promise {
    fn promise(&self) -> &'static str {
        self.0
    }

    fn check(&self, known: &Known<'_>, found: &mut Findings<'_>) {
        (self.1)(known.ledger, known.reads, found);
    }
}

impl Findings<'_> {
    /// A violation that hit one message if it carries a stamp, something else otherwise.
    fn stamped(&mut self, at_ms: SimMs, ledger: Option<&LedgerId>, subject: impl ToString, detail: String) {
        match ledger {
            Some(ledger) => self.message(at_ms, ledger, format!("{}: {detail}", subject.to_string())),
            None => self.broken(at_ms, subject, detail),
        }
    }
}

/// Judges a run.
#[must_use]
pub fn judge(history: &History, obligations: &Obligations) -> Verdict {
    let ledger = Ledger::fold(history, obligations);
    let reads = Reads::of(&ledger);
    let violations = violations(&ORACLES, &Known { ledger: &ledger, reads: &reads });
    let (violations, charges) = charges::charge(&ledger, violations);
    let counts = Counts::of(&ledger, &violations);
    let times = times::times(&ledger);
    let mut reached = reached::reached(&ledger, &reads);
    if !charges.is_empty() {
        reached.insert("charged");
    }
    Verdict { violations, charges, counts, reached, times }
}

#[cfg(test)]
mod tests {
    use super::fixture::Story;

    #[test]
    fn a_long_history_of_correct_work_is_not_accused() {
        let mut story = Story::new();
        for number in 0..2000_u32 {
            story.wait(100).send(number, number.into()).wait(10);
            let chain = story.pop("t", number.into(), number, 0);
            story.absorb(&chain, number, 0);
        }
        let verdict = story.holds();
        assert_eq!((verdict.counts.sent, verdict.counts.acked, verdict.counts.rpcs), (2000, 2000, 4002));
    }
}
