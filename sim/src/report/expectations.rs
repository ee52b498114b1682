//! Whether a sweep got where its scenario wants it to get.

use super::Tally;
use crate::scenario::{Expect, reached::reachable};

/// A sweep of fewer seeds may miss an expectation without failing.
pub const FEWEST_SEEDS: u64 = 10;

/// What the sweep should have reached and has not, in words.
#[must_use]
pub fn unmet(expect: &Expect, tally: &Tally) -> Vec<String> {
    let mut unmet = Vec::new();
    for name in &expect.reached {
        if !tally.reached.contains(name.as_str()) {
            let meaning = reachable().find(|(known, _)| known == name).map_or("", |(_, meaning)| meaning);
            unmet.push(format!("never reached {name}: {meaning}"));
        }
    }
    let least = &expect.settle;
    let figures = [
        ("revived", tally.revived, least.revived_at_least),
        ("parked", tally.parked, least.parked_at_least),
        ("rewrites", tally.rewrites, least.rewrites_at_least),
        ("attempts of one chain", tally.max_attempts, least.max_attempts_at_least),
        ("faults that fired", tally.faults_fired, least.faults_at_least),
    ];
    let short = figures.iter().filter(|(_, is, least)| is < least);
    unmet.extend(short.map(|(what, is, least)| format!("{what}: {is}, expected at least {least}")));
    unmet
}
