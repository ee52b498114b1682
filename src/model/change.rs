//! What a committed chain record says has happened.
//!
//! The log holds whole states, not events. Metrics and logs are told of what is on disk, and of nothing else; this is
//! where a state is read as the event that made it.

use super::chain::{Chain, ChainState, FailedAttempt, Outcome, ParkReason};

/// What happened to a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// It began here: popped, taken over from another group, or the successor of a renewed one.
    Opened,
    /// An operator opened a new round.
    Resumed,
    /// An attempt that needs another node was counted; it starts now.
    AttemptBegun,
    /// An attempt failed and will be repeated (RocketMQ: the checkpoint was rewritten).
    PutBack(&'a FailedAttempt),
    /// Another group confirmed that it is the chain's home.
    Moved,
    /// It was given up until it is resumed.
    Parked {
        /// Why.
        reason: &'a ParkReason,
        /// The attempt that failed with it, if one did.
        failed: Option<&'a FailedAttempt>,
    },
    /// It ended.
    Ended(&'a Outcome),
}

/// What the record of `chain` in an entry decided at `at_ms` says.
#[must_use]
pub fn change(chain: &Chain, at_ms: i64) -> Change<'_> {
    match &chain.state {
        ChainState::Ended { outcome, .. } => Change::Ended(outcome),
        ChainState::Moved { .. } => Change::Moved,
        ChainState::Parked { reason, .. } => Change::Parked { reason, failed: just_failed(chain, at_ms) },
        ChainState::Open { .. } | ChainState::Moving { .. } => match just_failed(chain, at_ms) {
            Some(failed) => Change::PutBack(failed),
            None => waits(chain, at_ms),
        },
    }
}

/// The failed attempt that this record adds to the chain's history.
fn just_failed(chain: &Chain, at_ms: i64) -> Option<&FailedAttempt> {
    let current = (chain.round, chain.attempt, at_ms);
    chain.history.last().filter(|failed| (failed.round, failed.attempt, failed.at_ms) == current)
}

fn waits(chain: &Chain, at_ms: i64) -> Change<'_> {
    if chain.round_began_ms.is_none() {
        return if chain.resumed_ms == Some(at_ms) { Change::Resumed } else { Change::Opened };
    }
    // A pop that hands its chains over begins the first attempt together with the chain.
    let popped = matches!(chain.state, ChainState::Moving { .. }) && (chain.round, chain.attempt) == (0, 1);
    if popped { Change::Opened } else { Change::AttemptBegun }
}
