//! `cargo sim explore`: looks for what nobody has thought of.
//!
//! Half of the runs are drawn from nothing ([`swarm`]), half are runs that showed something new, with their faults changed a
//! little ([`mutate`]). What counts as new is said in [`coverage`]. Which runs there are depends on the seed that the search
//! begins with and on nothing else; how many there are depends on the time.

pub mod coverage;
pub mod mutate;
pub mod swarm;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rand::RngExt as _;

use crate::{
    random::Streams,
    run::{Outcome, RunError, SeedRun},
    scenario::Scenario,
    shrink::Signature,
};

/// How many runs are chosen together. What they show decides about the next ones, so that this, and not the number of
/// threads, is how far choice looks back.
pub const ROUND: usize = 32;

/// A run that showed something new.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What was run.
    pub scenario: Arc<Scenario>,
    /// With which seed.
    pub seed: u64,
    /// Hash of all that happened.
    pub fingerprint: String,
    /// What it was the first to show.
    pub first_shown: Vec<String>,
}

/// Failures of one kind.
#[derive(Debug, Clone)]
pub struct Failures {
    /// The run with the fewest faults that failed so.
    pub smallest: SeedRun,
    /// How many did.
    pub count: u64,
}

/// What a search knows.
#[derive(Debug)]
pub struct Search {
    streams: Streams,
    first_seed: u64,
    sabotage: Option<&'static str>,
    chosen: u64,
    /// Runs that were taken in.
    pub runs: u64,
    /// Everything that was shown.
    pub shown: BTreeSet<String>,
    /// The runs that showed something first, in order.
    pub kept: Vec<Kept>,
    /// The failures, by kind.
    pub failures: BTreeMap<Signature, Failures>,
}

impl Search {
    /// A search that has not begun.
    #[must_use]
    pub fn new(first_seed: u64, sabotage: Option<&'static str>) -> Self {
        Self {
            streams: Streams::new(first_seed),
            first_seed,
            sabotage,
            chosen: 0,
            runs: 0,
            shown: BTreeSet::new(),
            kept: Vec::new(),
            failures: BTreeMap::new(),
        }
    }

    /// The next runs.
    pub fn round(&mut self) -> Vec<SeedRun> {
        (0..ROUND).map(|_| self.next_run()).collect()
    }

    fn next_run(&mut self) -> SeedRun {
        let seed = self.first_seed + self.chosen;
        self.chosen += 1;
        let mut rng = self.streams.stream(&format!("explore/{seed}"));
        let scenario = match self.kept.len() {
            known @ 1.. if rng.random_bool(0.5) => {
                let mut scenario = mutate::mutated(&self.kept[rng.random_range(0..known)].scenario, &mut rng);
                scenario.name = format!("swarm-{seed}");
                scenario
            }
            _ => swarm::draw(seed),
        };
        SeedRun { scenario: Arc::new(scenario), seed, sabotage: self.sabotage, until_ms: None }
    }

    /// Takes in what came of a run; gives the kind of its failure if it is the first of that kind.
    pub fn take(&mut self, run: &SeedRun, result: &Result<Outcome, RunError>) -> Option<Signature> {
        self.runs += 1;
        if let Ok(outcome) = result {
            self.keep(run, outcome);
        }
        let kind = Signature::all_of(result, &run.scenario).into_iter().next()?;
        match self.failures.get_mut(&kind) {
            Some(known) => {
                known.count += 1;
                if run.scenario.faults.len() < known.smallest.scenario.faults.len() {
                    known.smallest = run.clone();
                }
                None
            }
            None => {
                self.failures.insert(kind.clone(), Failures { smallest: run.clone(), count: 1 });
                Some(kind)
            }
        }
    }

    fn keep(&mut self, run: &SeedRun, outcome: &Outcome) {
        let words = coverage::coverage(outcome, &run.scenario);
        let first_shown: Vec<String> = words.difference(&self.shown).cloned().collect();
        if !first_shown.is_empty() {
            self.shown.extend(words);
            let (scenario, fingerprint) = (run.scenario.clone(), outcome.fingerprint.clone());
            self.kept.push(Kept { scenario, seed: run.seed, fingerprint, first_shown });
        }
    }
}

#[cfg(test)]
mod tests;
