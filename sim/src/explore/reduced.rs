//! What a failure needs: its smallest run without the faults that can be left out.

use std::num::NonZero;

use super::Failures;
use crate::{
    plan::Fault,
    run::{SeedRun, run_seed},
    shrink::{Case, Goal, Search, Signature, faults},
};

/// A failing run with no more faults than it needs.
#[derive(Debug, Clone)]
pub struct Reduced {
    /// The run; its scenario leaves nothing to the seed that a plan can say.
    pub run: SeedRun,
    /// The kinds of the faults that are left, in the plan's order.
    pub faults: Vec<&'static str>,
    /// There was no time to see whether each of them is needed.
    pub is_cut_short: bool,
}

impl Failures {
    /// Leaves out of the smallest run what this kind of failure does not need, with at most so many runs and until
    /// `is_over` says so. `None` if there is no time at all, or no file that says the run.
    pub fn reduced(
        &self,
        kind: &Signature,
        jobs: NonZero<usize>,
        runs: u64,
        is_over: &dyn Fn() -> bool,
    ) -> Option<Reduced> {
        let SeedRun { scenario, seed, sabotage, .. } = &self.smallest;
        // What was found stays as it was found; beside it lies what is left of it.
        let case = Case::of(scenario, *seed).with(|it| it.name.push_str("-small"));
        let goal = Goal { signature: kind.clone(), sabotage: *sabotage };
        let whole = case.run(*sabotage).ok()?;
        if is_over() || !goal.is_met(&whole, &run_seed(whole.clone())) {
            return None;
        }
        let mut search = Search::new(case, goal, jobs, is_over).at_most(runs);
        faults(&mut search);
        let run = search.best().run(*sabotage).ok()?;
        let faults = search.best().plan.faults.iter().map(Fault::kind).collect();
        Some(Reduced { run, faults, is_cut_short: search.is_over() })
    }
}
