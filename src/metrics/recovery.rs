//! What became of chains, read off committed log entries.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use super::{OTHER, SERIES_MAX, failing::Failing};
use crate::{
    model::{
        cause::{Cause, ReadFailure},
        chain::{Chain, ChainState, FailedAttempt, Outcome, ParkReason},
        change::{Change, change},
        record::{LogEntry, Record},
    },
    sabotage,
};

/// Values of the label `outcome`.
pub(super) const OUTCOMES: [&str; 7] = ["acked", "revived", "dead-lettered", "gone", "superseded", "moved", "reset"];
/// Values of the label `reason`.
pub(super) const REASONS: [&str; 3] = ["policy-exhausted", "permanent", "unknown-at"];
/// Attempts that are told apart; RocketMQ's policy has as many. What lies above counts together.
pub(super) const ATTEMPTS: usize = 17;

/// Counts what became of chains.
#[derive(Debug, Default)]
pub struct Recovery {
    pub(super) outcomes: [AtomicU64; OUTCOMES.len()],
    pub(super) parked: [AtomicU64; REASONS.len()],
    pub(super) resumed: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) forgotten: AtomicU64,
    pub(super) rewrites: [AtomicU64; ATTEMPTS + 1],
    pub(super) read_failures: Failures,
    pub(super) hand_over_failures: Failures,
    pub(super) flows: Flows,
    /// The waiting chains whose last attempt failed.
    pub failing: Failing,
    progress_ms: AtomicI64,
}

impl Recovery {
    /// The broker begins to look after its chains at `now_ms`: what was overdue before does not count as a stall.
    pub fn began(&self, now_ms: i64) {
        self.progress_ms.store(now_ms, Relaxed);
    }

    /// When a chain was last taken up, Unix ms.
    #[must_use]
    pub fn progress_ms(&self) -> i64 {
        self.progress_ms.load(Relaxed)
    }

    /// Counts what an entry says.
    pub fn committed(&self, entry: &LogEntry) {
        for record in &entry.records {
            match record {
                Record::Chain(chain) => self.chain(chain, entry.at_ms),
                Record::Expired { messages, .. } => drop(self.expired.fetch_add(*messages, Relaxed)),
                Record::Forgotten { chains } => drop(self.forgotten.fetch_add(chains.len() as u64, Relaxed)),
                _ => {}
            }
        }
    }

    fn chain(&self, chain: &Chain, at_ms: i64) {
        self.failing.update(chain);
        let change = change(chain, at_ms);
        self.flows.count(chain, change);
        match change {
            Change::Opened => {}
            Change::Resumed => add(&self.resumed),
            Change::AttemptBegun => self.progress(at_ms),
            Change::PutBack(failed) => {
                let attempt = (failed.attempt as usize).clamp(1, ATTEMPTS + 1);
                add(&self.rewrites[attempt - 1]);
                self.failed(chain, failed);
                self.progress(at_ms);
            }
            Change::Moved => add(&self.outcomes[5]),
            Change::Parked { reason, failed } => {
                add(&self.parked[reason_index(reason)]);
                if let Some(failed) = failed {
                    self.failed(chain, failed);
                }
                self.progress(at_ms);
            }
            Change::Ended(outcome) => {
                add(&self.outcomes[if sabotage!("shown-as-acked") { 0 } else { outcome_index(outcome) }]);
                if !matches!(outcome, Outcome::Acked | Outcome::Superseded(_) | Outcome::Reset) {
                    self.progress(at_ms);
                }
            }
        }
    }

    fn failed(&self, chain: &Chain, failed: &FailedAttempt) {
        let handing_over = matches!(
            chain.state,
            ChainState::Moving { .. } | ChainState::Parked { reason: ParkReason::UnknownAt { .. }, .. }
        );
        if handing_over { &self.hand_over_failures } else { &self.read_failures }.count(&failed.failure);
    }

    fn progress(&self, at_ms: i64) {
        self.progress_ms.fetch_max(at_ms, Relaxed);
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Relaxed);
}

const fn outcome_index(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Acked => 0,
        Outcome::Revived(_) => 1,
        Outcome::DeadLettered(_) => 2,
        Outcome::Gone(_) => 3,
        Outcome::Superseded(_) => 4,
        Outcome::Reset => 6,
    }
}

/// The place of a reason in [`REASONS`].
const fn reason_index(reason: &ParkReason) -> usize {
    match reason {
        ParkReason::PolicyExhausted => 0,
        ParkReason::Permanent => 1,
        ParkReason::UnknownAt { .. } => 2,
    }
}

/// Failures by cause and broker.
#[derive(Debug, Default)]
pub(super) struct Failures {
    counts: Mutex<BTreeMap<&'static str, BTreeMap<String, u64>>>,
}

impl Failures {
    fn count(&self, failure: &ReadFailure) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts.values().map(BTreeMap::len).sum::<usize>() >= SERIES_MAX;
        let peers = counts.entry(failure.cause.name()).or_default();
        if let Some(count) = peers.get_mut(failure.broker()) {
            *count += 1;
            return;
        }
        let peer = if full { OTHER } else { failure.broker() };
        *peers.entry(peer.to_owned()).or_default() += 1;
    }

    /// Cause, broker, count.
    pub(super) fn all(&self) -> Vec<(&'static str, String, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = counts.iter().flat_map(|(cause, peers)| peers.iter().map(|(peer, n)| (*cause, peer.clone(), *n)));
        rows.collect()
    }
}

/// What RocketMQ counts per consumer group and topic.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flow {
    pub(super) checkpoints_in: u64,
    pub(super) acks_in: u64,
    pub(super) checkpoints_out: u64,
    pub(super) copies_stored: u64,
    pub(super) copies_refused: u64,
}

/// Flows by consumer group and topic (as the chain has it: it may be a retry topic).
#[derive(Debug, Default)]
pub(super) struct Flows {
    groups: Mutex<BTreeMap<String, BTreeMap<String, Flow>>>,
}

impl Flows {
    fn count(&self, chain: &Chain, change: Change<'_>) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let (group, topic) = (chain.id.group.as_str(), chain.id.topic.as_str());
        // A pair that was seen before is found without an allocation.
        if let Some(flow) = groups.get_mut(group).and_then(|topics| topics.get_mut(topic)) {
            return flow.count(change);
        }
        let full = groups.values().map(BTreeMap::len).sum::<usize>() >= SERIES_MAX;
        let (group, topic) = if full { (OTHER, OTHER) } else { (group, topic) };
        groups.entry(group.to_owned()).or_default().entry(topic.to_owned()).or_default().count(change);
    }

    /// Consumer group, topic, counts.
    pub(super) fn all(&self) -> Vec<(String, String, Flow)> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = groups
            .iter()
            .flat_map(|(group, topics)| topics.iter().map(|(topic, flow)| (group.clone(), topic.clone(), *flow)));
        rows.collect()
    }
}

impl Flow {
    fn count(&mut self, change: Change<'_>) {
        match change {
            Change::Opened | Change::Resumed => self.checkpoints_in += 1,
            Change::AttemptBegun => {}
            Change::PutBack(_) => {
                self.checkpoints_out += 1;
                self.checkpoints_in += 1;
            }
            Change::Moved => self.checkpoints_out += 1,
            Change::Parked { failed, .. } => {
                self.checkpoints_out += 1;
                self.copies_refused +=
                    u64::from(failed.is_some_and(|failed| failed.failure.cause == Cause::LocalStore));
            }
            Change::Ended(outcome) => {
                self.checkpoints_out += 1;
                self.acks_in += u64::from(*outcome == Outcome::Acked);
                self.copies_stored += u64::from(matches!(outcome, Outcome::Revived(_) | Outcome::DeadLettered(_)));
            }
        }
    }
}
