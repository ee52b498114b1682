//! A failing seed made small: what is left of it, and why.

use std::num::NonZero;

use super::{
    case::Case,
    necessity::{Necessity, necessities},
    rounds::shrink,
    search::{Goal, Search},
    signature::Signature,
};
use crate::{
    run::{SeedRun, run_seed},
    scenario::ScenarioErrors,
};

/// Why a seed cannot be made small.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// There is no file that says what it does.
    #[error("the seed cannot be written as a scenario file:\n{0}")]
    Unwritable(#[from] ScenarioErrors),
    /// The planted defect is not to blame.
    #[error("it fails as {0} without the planted defect too; accepted: the same command without --sabotage")]
    NotTheDefect(Signature),
}

/// A failing seed made small.
#[derive(Debug, Clone, PartialEq)]
pub struct Shrunk {
    /// As it was found.
    pub from: Case,
    /// What is left.
    pub case: Case,
    /// How both fail.
    pub goal: Goal,
    /// What each fault that is left is needed for, in the plan's order.
    pub necessities: Vec<Necessity>,
    /// The event log's hash of what is left; empty when that panics.
    pub fingerprint: String,
    /// How many simpler cases were run.
    pub runs: u64,
    /// The time was up before a whole round found nothing.
    pub is_cut_short: bool,
}

impl Shrunk {
    /// Runs a seed and, if it fails, makes it small on `jobs` threads; `None` if every promise holds. Once `is_over` says
    /// so, nothing more is tried.
    ///
    /// # Errors
    /// The seed cannot be written as a file, or fails without the planted defect too.
    pub fn of(run: &SeedRun, jobs: NonZero<usize>, is_over: &dyn Fn() -> bool) -> Result<Option<Self>, ShrinkError> {
        let from = Case::of(&run.scenario, run.seed);
        let first = from.run(run.sabotage)?;
        let result = run_seed(first.clone());
        let Some(signature) = Signature::all_of(&result, &first.scenario).into_iter().next() else { return Ok(None) };
        let goal = Goal { signature, sabotage: run.sabotage };
        if !goal.is_met(&first, &result) {
            return Err(ShrinkError::NotTheDefect(goal.signature));
        }
        let mut search = Search::new(from.clone(), goal.clone(), jobs, is_over);
        shrink(&mut search);
        let (case, runs, is_cut_short) = (search.best().clone(), search.runs(), search.is_over());
        let necessities = necessities(&case, &goal, jobs, is_over);
        let fingerprint = run_seed(case.run(run.sabotage)?).map_or_else(|_| String::new(), |it| it.fingerprint);
        Ok(Some(Self { from, case, goal, necessities, fingerprint, runs, is_cut_short }))
    }
}
