//! The failure that is looked for in every future.

use crate::{
    oracles::Violation,
    run::{Outcome, RunError},
    scenario::Scenario,
    shrink::Signature,
};

/// A broken promise: of one message if it is about one, else one that is broken in the same way.
///
/// Another message that is lost in another future says nothing about this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doom {
    /// As it was found.
    pub violation: Violation,
    signature: Signature,
}

impl Doom {
    /// The verdict of a run, if it failed.
    #[must_use]
    pub fn of(outcome: &Outcome, scenario: &Scenario) -> Option<Self> {
        let violation = outcome.verdict.violations.first()?.clone();
        let signature = Signature::of(&violation, scenario);
        Some(Self { violation, signature })
    }

    /// Whether a future fails so, too. One that comes to nothing fails otherwise.
    #[must_use]
    pub fn is_met(&self, result: &Result<Outcome, RunError>, scenario: &Scenario) -> bool {
        let Ok(outcome) = result else { return false };
        outcome.verdict.violations.iter().any(|it| {
            it.promise == self.violation.promise
                && match &self.violation.ledger {
                    Some(ledger) => it.ledger.as_ref() == Some(ledger),
                    None => Signature::of(it, scenario) == self.signature,
                }
        })
    }
}
