//! The result of one seed, as one line of JSON says it.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    oracles::Violation,
    plan::SimMs,
    run::{Outcome, RunError, SeedRun},
    scenario::Scenario,
    shrink::Signature,
};

/// The result of one seed. The order of the fields is the order of the keys, which is a stable contract.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SeedRecord {
    /// Name of the scenario.
    pub scenario: String,
    /// The engine that ran it.
    pub engine: Cow<'static, str>,
    /// The seed.
    pub seed: u64,
    /// Hash of the event log; empty when the run panicked.
    pub fingerprint: String,
    /// Simulated length, s.
    pub sim_seconds: f64,
    /// Real time it took, ms; the only field that two equal runs may differ in.
    pub wall_ms: u64,
    /// Events in the log.
    pub events: u64,
    /// Requests that left their sender.
    pub rpcs: u64,
    /// Sends that were answered with success.
    pub sent: u64,
    /// Acks that were absorbed.
    pub acked: u64,
    /// Chains that ended revived.
    pub revived: u64,
    /// Chains that ended in the dead-letter topic.
    pub dead_lettered: u64,
    /// Messages proved gone.
    pub gone: u64,
    /// Chains that were parked at the end.
    pub parked: u64,
    /// Rewrites.
    pub rewrites: u64,
    /// Most attempts of any chain in one round.
    pub max_attempts: u64,
    /// Broken promises that nothing is lost.
    pub lost: u64,
    /// Broken promises that nothing is revived twice.
    pub duplicated: u64,
    /// Calls of clients that nobody answered: whether they took effect is not known.
    pub ambiguous: u64,
    /// Tolerated anomalies.
    pub charges: u64,
    /// Broken promises.
    pub violations: Vec<ViolationRecord>,
    /// Situations the run got into, sorted.
    pub reached: Vec<Cow<'static, str>>,
    /// How long some things took, simulated ms.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<Cow<'static, str>, Vec<SimMs>>,
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViolationRecord {
    /// Which promise.
    pub promise: Cow<'static, str>,
    /// When it became visible, simulated s.
    pub at: f64,
    /// Whom it hit.
    pub subject: String,
    /// What is wrong.
    pub detail: String,
    /// Its kind: the same in all runs in which the same is wrong.
    pub signature: String,
}

impl SeedRecord {
    /// The record of a run; one that came to nothing is a violation.
    #[must_use]
    pub fn of(run: &SeedRun, engine: &'static str, result: &Result<Outcome, RunError>, took: Duration) -> Self {
        let wall_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let head = Self {
            scenario: run.scenario.name.clone(),
            engine: engine.into(),
            seed: run.seed,
            wall_ms,
            violations: ViolationRecord::all_of(result, &run.scenario),
            ..Self::default()
        };
        match result {
            Err(_) => head,
            Ok(outcome) => head.filled(outcome),
        }
    }

    fn filled(self, outcome: &Outcome) -> Self {
        let verdict = &outcome.verdict;
        let counts = &verdict.counts;
        Self {
            fingerprint: outcome.fingerprint.clone(),
            sim_seconds: seconds(outcome.sim_ms),
            events: outcome.history.events.len() as u64,
            rpcs: counts.rpcs,
            sent: counts.sent,
            acked: counts.acked,
            revived: counts.revived,
            dead_lettered: counts.dead_lettered,
            gone: counts.gone,
            parked: counts.parked,
            rewrites: counts.rewrites,
            max_attempts: counts.max_attempts.into(),
            lost: counts.lost,
            duplicated: counts.duplicated,
            ambiguous: counts.ambiguous,
            charges: verdict.charges.len() as u64,
            reached: verdict.reached.iter().map(|name| Cow::Borrowed(*name)).collect(),
            times: verdict.times.iter().map(|(name, times)| (Cow::Borrowed(*name), times.clone())).collect(),
            ..self
        }
    }
}

impl ViolationRecord {
    /// Those of a run, the one of its verdict first.
    #[must_use]
    pub fn all_of(result: &Result<Outcome, RunError>, scenario: &Scenario) -> Vec<Self> {
        let kinds = Signature::all_of(result, scenario).into_iter();
        match result {
            Ok(outcome) => outcome.verdict.violations.iter().zip(kinds).map(Self::of).collect(),
            Err(error) => [&Outcome::violation_of(error)].into_iter().zip(kinds).map(Self::of).collect(),
        }
    }

    fn of((violation, kind): (&Violation, Signature)) -> Self {
        let Violation { promise, at_ms, subject, detail, .. } = violation;
        let (subject, detail) = (subject.clone(), detail.clone());
        Self { promise: Cow::Borrowed(promise), at: seconds(*at_ms), subject, detail, signature: kind.to_string() }
    }
}

fn seconds(ms: SimMs) -> f64 {
    ms as f64 / 1000.0
}
