//! Tries simpler cases, and keeps those that fail alike.

use std::{collections::BTreeSet, num::NonZero};

use super::{case::Case, signature::Signature};
use crate::{
    run::{Outcome, RunError, SeedRun, run_seed, sweep::sweep},
    scenario::Remarks,
};

/// What a simpler case must still do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// It fails in this way. It may fail in others too.
    pub signature: Signature,
    /// The planted defect, if any. Without it the case must hold, or something else than the defect fails.
    pub sabotage: Option<&'static str>,
}

impl Goal {
    /// Whether a run failed in the way that is looked for, and the planted defect is to blame.
    #[must_use]
    pub fn is_met(&self, run: &SeedRun, result: &Result<Outcome, RunError>) -> bool {
        Signature::all_of(result, &run.scenario).contains(&self.signature)
            && (self.sabotage.is_none() || holds(&SeedRun { sabotage: None, ..run.clone() }))
    }
}

fn holds(run: &SeedRun) -> bool {
    run_seed(run.clone()).is_ok_and(|outcome| outcome.verdict.violations.is_empty())
}

/// The search: the simplest case so far, and what was tried.
///
/// Cases are run on several threads and judged in order, so that what is kept does not depend on how many there are.
pub struct Search<'s> {
    goal: Goal,
    jobs: NonZero<usize>,
    is_over: &'s dyn Fn() -> bool,
    /// As many may be run.
    most: u64,
    best: Case,
    /// The files of all cases that were run.
    tried: BTreeSet<String>,
    runs: u64,
}

impl<'s> Search<'s> {
    /// Starts from a case that fails. Once `is_over` says so, nothing more is tried.
    #[must_use]
    pub fn new(best: Case, goal: Goal, jobs: NonZero<usize>, is_over: &'s dyn Fn() -> bool) -> Self {
        let tried = BTreeSet::from([best.to_toml(&Remarks::default())]);
        Self { goal, jobs, is_over, most: u64::MAX, best, tried, runs: 0 }
    }

    /// The same, and it is over after so many runs.
    #[must_use]
    pub fn at_most(self, runs: u64) -> Self {
        Self { most: runs, ..self }
    }

    /// The simplest case so far.
    #[must_use]
    pub const fn best(&self) -> &Case {
        &self.best
    }

    /// How many cases were run.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// Whether nothing more may be tried.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.runs >= self.most || (self.is_over)()
    }

    /// Puts the first of these cases that fails alike in the place of the best, and says which it is. Those that were
    /// tried before, and those that no file can say, do not fail.
    pub fn first(&mut self, cases: &[Case]) -> Option<usize> {
        if self.is_over() {
            return None;
        }
        let text = |case: &Case| case.to_toml(&Remarks::default());
        let is_new = |case: &Case| !self.tried.contains(&text(case));
        let sabotage = self.goal.sabotage;
        let run = |(at, case): (usize, &Case)| Some((at, case.run(sabotage).ok().filter(|_| is_new(case))?));
        let (places, runs): (Vec<usize>, Vec<SeedRun>) = cases.iter().enumerate().filter_map(run).unzip();
        let (mut places, mut found) = (places.into_iter(), None);
        sweep(runs, self.jobs, |run, result, _| {
            let Some(at) = places.next() else { return false };
            self.runs += 1;
            self.tried.insert(text(&cases[at]));
            found = self.goal.is_met(run, &result).then_some(at);
            found.is_none() && !self.is_over()
        });
        if let Some(at) = found {
            self.best = cases[at].clone();
        }
        found
    }

    /// Goes on with the first of the reduced cases that fails alike until none does.
    pub fn greedily(&mut self, reduced: impl Fn(&Case) -> Vec<Case>) {
        while self.first(&reduced(&self.best)).is_some() {}
    }
}
