//! `cargo sim explore`: looks for what nobody has thought of.
//!
//! A third of the runs is drawn from nothing ([`swarm`]), a third are runs that showed something new, with their faults
//! changed a little ([`mutate`]), and a third begins at what people wrote: scenarios that expect what nobody has shown yet,
//! and after that any of them, changed a little. What counts as new is said in [`coverage`]. Which runs there are depends on
//! the seed that the search begins with and on these scenarios; how many there are depends on the time.

pub mod coverage;
pub mod mutate;
pub mod reduced;
pub mod swarm;
mod swarm_faults;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rand::RngExt as _;

pub use reduced::Reduced;

use crate::{
    random::{Stream, Streams},
    run::{Outcome, RunError, SeedRun},
    scenario::{Expect, Scenario},
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
    written: Vec<Arc<Scenario>>,
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
    /// A search that has not begun; `written` are the scenarios that it may begin at.
    #[must_use]
    pub fn new(first_seed: u64, written: Vec<Arc<Scenario>>, sabotage: Option<&'static str>) -> Self {
        Self {
            streams: Streams::new(first_seed),
            first_seed,
            written,
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
        let scenario = match rng.random_range(0..3) {
            0 if !self.kept.is_empty() => {
                let near = &self.kept[rng.random_range(0..self.kept.len())].scenario;
                named(mutate::mutated(near, &mut rng), seed)
            }
            1 if !self.written.is_empty() => named(self.written_by_people(&mut rng), seed),
            _ => swarm::draw(seed),
        };
        SeedRun { scenario: Arc::new(scenario), seed, sabotage: self.sabotage, until_ms: None }
    }

    /// A scenario as it is written, if it is to show something that nobody has shown; else any of them with other faults.
    fn written_by_people(&self, rng: &mut Stream) -> Scenario {
        let is_due = |scenario: &&Arc<Scenario>| {
            let mut expected = scenario.expect.reached.iter();
            expected.any(|situation| !self.shown.contains(&coverage::reached_word(situation)))
        };
        let due: Vec<&Arc<Scenario>> = self.written.iter().filter(is_due).collect();
        match due.len() {
            0 => mutate::mutated(&self.written[rng.random_range(0..self.written.len())], rng),
            some => Scenario::clone(due[rng.random_range(0..some)]),
        }
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

/// Called after what it was made from, and the run: each has a file of its own. What a sweep of the scenario must reach is
/// nothing that one run can be held to.
fn named(scenario: Scenario, seed: u64) -> Scenario {
    let name = scenario.name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
    Scenario { name: format!("{name}-{seed}"), expect: Expect::default(), ..scenario }
}

#[cfg(test)]
mod tests;
