//! What each fault that is left is needed for.

use std::{fmt, num::NonZero};

use super::{case::Case, search::Goal, signature::Signature};
use crate::run::sweep::sweep;

/// What happens without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Necessity {
    /// Every promise holds.
    Passes,
    /// It fails all the same: the search had no time left to leave the fault out.
    Idle,
    /// It fails in another way.
    FailsAs(Signature),
    /// Nobody knows: there was no time left to see.
    Untried,
}

impl fmt::Display for Necessity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes => f.write_str("without it: passes"),
            Self::Idle => f.write_str("without it: fails all the same"),
            Self::FailsAs(signature) => write!(f, "without it: fails as {signature}"),
            Self::Untried => f.write_str("without it: not tried"),
        }
    }
}

/// Runs the case without each of its faults in turn, until `is_over` says that there is no more time.
#[must_use]
pub fn necessities(case: &Case, goal: &Goal, jobs: NonZero<usize>, is_over: &dyn Fn() -> bool) -> Vec<Necessity> {
    let faults = case.plan.faults.len();
    if is_over() {
        return vec![Necessity::Untried; faults];
    }
    let without = |at| {
        let mut fewer = case.clone();
        fewer.plan.faults.remove(at);
        // What holds all faults can be said without one of them too.
        fewer.run(goal.sabotage).ok()
    };
    let work = (0..faults).filter_map(without).collect();
    let mut necessities = Vec::new();
    sweep(work, jobs, |run, result, _| {
        let ways = Signature::all_of(&result, &run.scenario);
        necessities.push(match ways.first() {
            None => Necessity::Passes,
            Some(_) if ways.contains(&goal.signature) => Necessity::Idle,
            Some(other) => Necessity::FailsAs(other.clone()),
        });
        !is_over()
    });
    necessities.resize(faults, Necessity::Untried);
    necessities
}
