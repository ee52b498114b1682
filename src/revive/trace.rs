//! What the recovery path tells its log, always under the same names: `chain`, `round`, `attempt`, `peer`, `cause`,
//! `took_ms`, and `reason` of a park.
//!
//! What fails and is repeated is a warning; what waits for an operator is an error. Attempts are told when they end,
//! what becomes of a chain once it is committed.

use std::sync::Arc;

use super::outcome::ReadOutcome;
use crate::model::{
    cause::ReadFailure,
    chain::Chain,
    change::{Change, change},
    record::{LogEntry, Record},
};

/// A read of a chain's message from its owner has ended.
pub(super) fn read(chain: &Chain, outcome: &ReadOutcome) {
    let Chain { id, round, attempt, .. } = chain;
    let owner = &chain.id.broker;
    match outcome {
        ReadOutcome::Found(_) => tracing::debug!(chain = %id, round, attempt, peer = owner, "read from its owner"),
        ReadOutcome::Gone(proof) => {
            tracing::warn!(chain = %id, round, attempt, peer = owner, ?proof, "the message is gone");
        }
        ReadOutcome::Retry(ReadFailure { cause, peer, took_ms }) => {
            tracing::warn!(chain = %id, round, attempt, peer, %cause, took_ms, "read failed; trying again later");
        }
        ReadOutcome::Permanent(ReadFailure { cause, peer, took_ms }) => {
            tracing::error!(chain = %id, round, attempt, peer, %cause, took_ms, "read refused for good");
        }
    }
}

/// An attempt to hand chains over has ended.
pub(super) fn handed_over(to: &str, chains: &[Chain], result: &Result<(), ReadFailure>) {
    let (Some(first), count) = (chains.first(), chains.len()) else { return };
    let Chain { id, round, attempt, .. } = first;
    match result {
        Ok(()) => tracing::debug!(chain = %id, round, attempt, count, peer = to, "handed over"),
        Err(ReadFailure { cause, peer, took_ms }) => {
            tracing::warn!(chain = %id, round, attempt, count, peer, %cause, took_ms, "hand-over failed");
        }
    }
}

/// Entries were committed: tells of chains that were put back, parked or resumed.
pub fn committed(entries: &[Arc<LogEntry>]) {
    for entry in entries {
        for record in &entry.records {
            if let Record::Chain(chain) = record {
                became(chain, change(chain, entry.at_ms));
            }
        }
    }
}

fn became(chain: &Chain, change: Change<'_>) {
    let Chain { id, round, attempt, .. } = chain;
    match change {
        Change::PutBack(failed) => {
            let ReadFailure { cause, peer, .. } = &failed.failure;
            let due_ms = chain.due_ms();
            tracing::info!(chain = %id, round, attempt, peer, %cause, due_ms, "rewritten");
        }
        Change::Parked { reason, .. } => {
            let last = chain.history.last().map(|failed| &failed.failure);
            let peer = last.map(|failure| failure.peer.as_str());
            let cause = last.map(|failure| tracing::field::display(&failure.cause));
            tracing::error!(chain = %id, round, attempt, peer, cause, reason = reason.name(), "parked");
        }
        Change::Resumed => tracing::info!(chain = %id, round, attempt, "resumed"),
        Change::Opened | Change::AttemptBegun | Change::Moved | Change::Ended(_) => {}
    }
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
