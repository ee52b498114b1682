//! Runs many seeds of one scenario.

use std::{collections::BTreeMap, fmt, num::NonZero, ops::Range};

use super::{
    failure::Failure,
    run::{Ran, run_seed},
    scenario::Scenario,
    sweep::sweep_by,
};
use crate::plan::Fault;

/// What many seeds came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many seeds were run.
    pub seeds: u64,
    /// The first seed that broke a promise; none was run after it.
    pub failure: Option<Failure>,
    /// By kind of fault: how many were planned, and how many of these struck.
    pub faults: BTreeMap<&'static str, (u64, u64)>,
}

/// Runs these seeds, in order, until one breaks a promise.
pub fn check<S: Scenario>(scenario: &S, seeds: Range<u64>, jobs: NonZero<usize>) -> Checked {
    let mut checked = Checked::default();
    sweep_by(
        seeds.collect(),
        jobs,
        |seed| run_seed(scenario, *seed),
        |seed, ran, _| {
            checked.add::<S>(*seed, &ran);
            checked.failure.is_none()
        },
    );
    checked
}

/// As many threads as the machine has room for.
#[must_use]
pub fn all_cores() -> NonZero<usize> {
    std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

impl Checked {
    fn add<S: Scenario>(&mut self, seed: u64, ran: &Ran<S>) {
        self.seeds += 1;
        if let Ok(outcome) = ran {
            for (at, fault) in outcome.plan.faults.iter().enumerate() {
                let (planned, struck) = self.faults.entry(Fault::kind(fault)).or_default();
                *planned += 1;
                *struck += u64::from(!outcome.unfired.contains(&at));
            }
        }
        self.failure = Failure::of::<S>(seed, ran);
    }

    /// # Panics
    /// A seed broke a promise; the message is its report.
    pub fn expect_held(&self, command: &str) {
        if let Some(failure) = &self.failure {
            panic!("{}", failure.told(command));
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = if self.failure.is_none() { "every promise held" } else { "a promise was broken" };
        writeln!(f, "{} seeds: {held}", self.seeds)?;
        for (kind, (planned, struck)) in &self.faults {
            let never = if *struck == 0 { ": it NEVER struck" } else { "" };
            writeln!(f, "  {kind:<13} {struck} of {planned} struck{never}")?;
        }
        Ok(())
    }
}
