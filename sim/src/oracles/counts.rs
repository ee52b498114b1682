//! The figures of a run.

use serde::Serialize;

use super::Violation;
use crate::{
    evidence::{ChainState, Outcome},
    history::{AckVerdict, EventKind, Noted, Seen},
    ledger::Ledger,
};

/// Figures, counted from the evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Sends that were answered with success.
    pub sent: u64,
    /// Acks that were absorbed.
    pub acked: u64,
    /// Sends, pops, acks and renewals that may have been done, and whose client never heard the outcome.
    pub ambiguous: u64,
    /// Retry copies made.
    pub revived: u64,
    /// Dead letters made.
    pub dead_lettered: u64,
    /// Messages proved gone.
    pub gone: u64,
    /// Chains that were parked, whatever became of them later.
    pub parked: u64,
    /// Failed attempts after which a chain went on.
    pub rewrites: u64,
    /// Most attempts of any chain in one round.
    pub max_attempts: u32,
    /// Violations of P1.
    pub lost: u64,
    /// Violations of P2.
    pub duplicated: u64,
    /// Requests that left their senders.
    pub rpcs: u64,
}

fn is_ambiguous(kind: &EventKind) -> bool {
    match kind {
        EventKind::Noted(Noted::Sent(sent)) => may_have_been_done(&sent.seen),
        EventKind::Noted(Noted::Popped(popped)) => may_have_been_done(&popped.seen),
        EventKind::Noted(Noted::Acked(acked)) => may_have_been_done(&acked.seen),
        EventKind::Noted(Noted::Renewed(renewed)) => may_have_been_done(&renewed.seen),
        _ => false,
    }
}

/// Without a connection, or without room for another call, nothing was sent.
fn may_have_been_done<T>(seen: &Seen<T>) -> bool {
    matches!(seen, Seen::Unknown { cause } if cause != "connect" && cause != "overloaded")
}

impl Counts {
    pub(super) fn of(ledger: &Ledger<'_>, violations: &[Violation]) -> Self {
        let count = |promise| violations.iter().filter(|violation| violation.promise == promise).count() as u64;
        let is_request = |kind: &EventKind| matches!(kind, EventKind::Request(_));
        let mut counts = Self {
            sent: ledger.sends.iter().filter(|(_, sent)| matches!(sent.seen, Seen::Ok(_))).count() as u64,
            acked: ledger.acks.iter().filter(|(_, ack)| ack.seen == Seen::Ok(AckVerdict::Absorbed)).count() as u64,
            ambiguous: ledger.history.events.iter().filter(|event| is_ambiguous(&event.kind)).count() as u64,
            lost: count("P1"),
            duplicated: count("P2"),
            rpcs: ledger.history.events.iter().filter(|event| is_request(&event.kind)).count() as u64,
            ..Self::default()
        };
        for life in &ledger.chains {
            match &life.last().state {
                ChainState::Ended { outcome: Outcome::Revived(_), .. } => counts.revived += 1,
                ChainState::Ended { outcome: Outcome::DeadLettered(_), .. } => counts.dead_lettered += 1,
                ChainState::Ended { outcome: Outcome::Gone(_), .. } => counts.gone += 1,
                _ => {}
            }
            let parks = |state: &ChainState| matches!(state, ChainState::Parked { .. });
            counts.parked += u64::from(life.steps.iter().any(|step| parks(&step.chain.state)));
            for pair in life.steps.windows(2) {
                let goes_on = matches!(pair[1].chain.state, ChainState::Open { .. } | ChainState::Moving { .. });
                if goes_on && pair[1].chain.failures > pair[0].chain.failures {
                    counts.rewrites += 1;
                }
            }
            let most = life.steps.iter().map(|step| step.chain.attempt).max();
            counts.max_attempts = counts.max_attempts.max(most.unwrap_or(0));
        }
        counts
    }
}
