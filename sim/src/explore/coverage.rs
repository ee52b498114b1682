//! What a run got into, in words: by these the explorer tells a run that shows something new.

use std::collections::BTreeSet;

use crate::{
    ledger::Ledger,
    oracles::Verdict,
    plan::Fault,
    run::Outcome,
    scenario::{Scenario, points::NOT_REACHED, reached::reachable},
};

/// How the word of a reached situation begins.
const REACHED_WORD: &str = "reached ";

/// Everything that a run got into: the situations that oracles know, the kinds of faults that struck, alone and in
/// twos, and the transitions of its chains.
#[must_use]
pub fn coverage(outcome: &Outcome, scenario: &Scenario) -> BTreeSet<String> {
    let mut words: BTreeSet<String> = situations(&outcome.verdict).collect();
    let struck = struck(outcome);
    for (at, fault) in struck.iter().enumerate() {
        words.insert(format!("fault {fault}"));
        words.extend(struck.iter().skip(at + 1).map(|other| format!("faults {fault} and {other}")));
    }
    words.extend(transitions(outcome, scenario));
    words
}

/// The word of a reached situation.
#[must_use]
pub fn reached_word(situation: &str) -> String {
    format!("{REACHED_WORD}{situation}")
}

/// The situations that no run got into, of all that there are: those that scenarios get into, and those that there is a
/// reason not to get into.
#[must_use]
pub fn never_reached(seen: &BTreeSet<String>) -> (Vec<&'static str>, Vec<&'static str>) {
    let missing = reachable().map(|(name, _)| name).filter(|name| !seen.contains(&reached_word(name)));
    missing.partition(|name| NOT_REACHED.iter().all(|(excused, _)| excused != name))
}

fn situations(verdict: &Verdict) -> impl Iterator<Item = String> + use<'_> {
    verdict.reached.iter().map(|name| reached_word(name))
}

/// The kinds of the faults that struck, as scenarios spell them.
fn struck(outcome: &Outcome) -> BTreeSet<String> {
    let faults = outcome.plan.faults.iter().enumerate();
    faults.filter(|(at, _)| !outcome.unfired.contains(at)).filter_map(|(_, fault)| kind(fault)).collect()
}

/// A fault names its kind when it is written down.
fn kind(fault: &Fault) -> Option<String> {
    let written = serde_json::to_value(fault).ok()?;
    Some(written.get("kind")?.as_str()?.to_owned())
}

fn transitions(outcome: &Outcome, scenario: &Scenario) -> BTreeSet<String> {
    let obligations = scenario.obligations();
    let ledger = Ledger::fold(&outcome.history, &obligations);
    let mut words = BTreeSet::new();
    for life in &ledger.chains {
        let mut before = "nothing";
        for step in &life.steps {
            let now = step.chain.state.name();
            if now != before {
                words.insert(format!("chain from {before} to {now}"));
            }
            before = now;
        }
    }
    words
}
