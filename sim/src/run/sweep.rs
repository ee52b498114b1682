//! Runs many seeds of clusters, on several threads, and hands the results out in order.

use std::{num::NonZero, time::Duration};

use super::{Outcome, RunError, SeedRun, run_seed};
use crate::framework::sweep_by;

/// Runs all of `work` on `jobs` threads; `each` is called in the order of `work`, whatever the order of ending.
///
/// `each` gets the run, its result and how long it took; it returns whether to go on.
pub fn sweep(
    work: Vec<SeedRun>,
    jobs: NonZero<usize>,
    each: impl FnMut(&SeedRun, Result<Outcome, RunError>, Duration) -> bool,
) {
    sweep_by(work, jobs, |run| run_seed(run.clone()), each);
}
