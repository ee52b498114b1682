//! Where a chain stands, in words: with the times of its node's clock counted from the beginning of the run.

use super::facts::outcome_text;
use crate::{
    evidence::{ChainFact, ChainState, FailedAttempt, ParkReason},
    ledger::biography::SimTime,
    plan::SimMs,
    world::clock::EPOCH_MS,
};

/// A wall clock's time as the clock of a run would show it: simulated time, unless that clock was set or drifts.
#[must_use]
pub fn by_clock(unix_ms: i64) -> String {
    let since = SimMs::try_from(unix_ms.saturating_sub(EPOCH_MS)).unwrap_or(0);
    format!("{} by its clock", SimTime(since))
}

/// Where a chain stands and what comes next, for example `open, next step 0h05m10.000s by its clock (round 0, attempt 2)`.
#[must_use]
pub fn stands(chain: &ChainFact) -> String {
    let state = match &chain.state {
        ChainState::Open { due_ms } => format!("open, next step {}", by_clock(*due_ms)),
        ChainState::Moving { to, due_ms, .. } => format!("being handed to {to}, asks again {}", by_clock(*due_ms)),
        ChainState::Moved { to } => format!("handed to {to}"),
        ChainState::Parked { reason, at_ms } => format!("parked {}, {}", by_clock(*at_ms), parked(reason)),
        ChainState::Ended { outcome, .. } => outcome_text(outcome),
    };
    format!("{state} (round {}, attempt {})", chain.round, chain.attempt)
}

fn parked(reason: &ParkReason) -> String {
    match reason {
        ParkReason::PolicyExhausted => "for the policy is used up".into(),
        ParkReason::Permanent => "for no retry can change the answer".into(),
        ParkReason::UnknownAt { broker } => format!("for nobody knows whether {broker} has it"),
    }
}

/// A failed attempt, for example `timeout at broker-a after 3000 ms`.
#[must_use]
pub fn failed(attempt: &FailedAttempt) -> String {
    let failure = &attempt.failure;
    let number = failure.cause.number.map_or_else(String::new, |number| format!(" {number}"));
    format!("{}{number} at {} after {} ms", failure.cause.name, failure.peer, failure.took_ms)
}
