//! The sum of a sweep, one scenario at a time.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{Failures, Grid, expectations::FEWEST_SEEDS, kept::Fired, record::SeedRecord};
use crate::plan::SimMs;

/// What all seeds of one scenario came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Name of the scenario.
    pub scenario: String,
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds with a violation.
    pub failed_seeds: u64,
    /// Violations.
    pub violations: u64,
    /// Of P1.
    pub lost: u64,
    /// Of P2.
    pub duplicated: u64,
    /// Tolerated anomalies.
    pub charges: u64,
    /// Chains that ended revived.
    pub revived: u64,
    /// Chains that were parked.
    pub parked: u64,
    /// Rewrites.
    pub rewrites: u64,
    /// Most attempts of any chain.
    pub max_attempts: u64,
    /// Planned faults that struck.
    pub faults_fired: u64,
    /// Simulated time in all, s.
    pub sim_seconds: f64,
    /// Every situation that any seed got into.
    pub reached: BTreeSet<Cow<'static, str>>,
    /// The failing seeds by kind.
    pub failures: Failures,
    /// What the sweep should have reached and has not; to be judged when it is over.
    pub unmet: Vec<String>,
    /// Whether a fault of this kind ever struck.
    fired: BTreeMap<String, bool>,
    /// In which phases faults struck.
    pub grid: Grid,
    /// How long some things took, simulated ms.
    pub times: BTreeMap<Cow<'static, str>, Vec<SimMs>>,
}

impl Tally {
    /// Of this scenario, before any seed.
    #[must_use]
    pub fn new(scenario: &str) -> Self {
        Self { scenario: scenario.to_owned(), ..Self::default() }
    }

    /// Adds a seed's result; `command` runs it again.
    pub fn add(&mut self, record: &SeedRecord, faults: &[Fired], command: impl FnOnce() -> String) {
        self.seeds += 1;
        self.violations += record.violations.len() as u64;
        self.lost += record.lost;
        self.duplicated += record.duplicated;
        self.charges += record.charges;
        self.revived += record.revived;
        self.parked += record.parked;
        self.rewrites += record.rewrites;
        self.max_attempts = self.max_attempts.max(record.max_attempts);
        self.sim_seconds += record.sim_seconds;
        self.reached.extend(record.reached.iter().cloned());
        for (name, times) in &record.times {
            self.times.entry(name.clone()).or_default().extend(times);
        }
        for fate in faults {
            self.faults_fired += u64::from(fate.fired);
            *self.fired.entry(fate.kind.clone()).or_default() |= fate.fired;
            self.grid.add(fate);
        }
        self.failed_seeds += u64::from(!record.violations.is_empty());
        self.failures.add(record, faults.len(), command);
    }

    /// Kinds of faults that were planned but struck in no seed.
    pub fn never_fired(&self) -> impl Iterator<Item = &str> {
        self.fired.iter().filter(|(_, fired)| !**fired).map(|(kind, _)| kind.as_str())
    }

    /// Whether what was not reached counts: a few seeds need not reach everything.
    #[must_use]
    pub const fn is_large(&self) -> bool {
        self.seeds >= FEWEST_SEEDS
    }

    /// Whether every promise held and everything expected was reached.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations == 0 && (self.unmet.is_empty() || !self.is_large())
    }
}
