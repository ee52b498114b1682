//! When to try again, and when to give up.

use serde::{Deserialize, Serialize};

use crate::model::chain::{Chain, ChainId};

/// RocketMQ's waits between attempts, seconds (`PopReviveService.ckRewriteIntervalsInSeconds`); 17,160 s in all.
pub const ROCKETMQ_WAITS_S: [u64; 17] =
    [10, 20, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

/// How a failed attempt is repeated: the k-th rewrite waits `waits[k]` counted from the failure, the last wait repeats,
/// and after `rewrites` of them, or once `total_ms` would be exceeded, the chain is parked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewritePolicy {
    /// Waits, ms.
    pub waits_ms: Vec<u64>,
    /// How many rewrites there may be in one round.
    pub rewrites: u32,
    /// Longest time from the first attempt of a round to the last, ms.
    pub total_ms: Option<u64>,
    /// How far a wait may be off, as a share of itself, either way: 0 is exact, 1 is anything from 0 to twice.
    pub jitter: f64,
}

impl Default for RewritePolicy {
    fn default() -> Self {
        let waits_ms = ROCKETMQ_WAITS_S.map(|seconds| seconds * 1000).to_vec();
        Self { waits_ms, rewrites: 17, total_ms: None, jitter: 0.0 }
    }
}

/// A policy that cannot be followed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// No waits.
    #[error("`waits` is empty: expected at least one wait")]
    NoWaits,
    /// A wait under [`SHORTEST_WAIT_MS`]: a hot loop.
    #[error("wait {position} is {wait_ms} ms: expected at least {SHORTEST_WAIT_MS} ms")]
    ShortWait {
        /// Its place, from 0.
        position: usize,
        /// The wait.
        wait_ms: u64,
    },
    /// Jitter outside its range.
    #[error("jitter is {jitter}: expected 0 to 0.9")]
    Jitter {
        /// The jitter.
        jitter: f64,
    },
}

/// No wait may be shorter: an attempt costs the peer an RPC.
pub const SHORTEST_WAIT_MS: u64 = 100;

impl RewritePolicy {
    /// Checks that the policy ends and never spins.
    ///
    /// # Errors
    /// Which field is wrong, and what is accepted.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.waits_ms.is_empty() {
            return Err(PolicyError::NoWaits);
        }
        if let Some((position, &wait_ms)) = self.waits_ms.iter().enumerate().find(|(_, w)| **w < SHORTEST_WAIT_MS) {
            return Err(PolicyError::ShortWait { position, wait_ms });
        }
        if !(0.0..=0.9).contains(&self.jitter) {
            return Err(PolicyError::Jitter { jitter: self.jitter });
        }
        Ok(())
    }

    /// How long to wait after `attempt` (from 1) failed, ms.
    ///
    /// Jitter is drawn from the chain's identity, so that a replay and a replica come to the same wait.
    #[must_use]
    pub fn wait_ms(&self, id: &ChainId, round: u32, attempt: u32) -> i64 {
        let step = (attempt.max(1) as usize - 1).min(self.waits_ms.len().saturating_sub(1));
        let wait = self.waits_ms.get(step).copied().unwrap_or(SHORTEST_WAIT_MS);
        let shift = if self.jitter > 0.0 {
            let draw = crc32fast::hash(format!("{id}#{round}#{attempt}").as_bytes());
            let unit = f64::from(draw) / f64::from(u32::MAX) * 2.0 - 1.0;
            (wait as f64 * self.jitter * unit) as i64
        } else {
            0
        };
        i64::try_from(wait).unwrap_or(i64::MAX).saturating_add(shift)
    }

    /// Whether no further attempt may begin at `now_ms`.
    #[must_use]
    pub fn is_used_up(&self, chain: &Chain, now_ms: i64) -> bool {
        chain.attempt > self.rewrites || self.exceeds_total(chain, now_ms)
    }

    fn exceeds_total(&self, chain: &Chain, at_ms: i64) -> bool {
        let spent = at_ms.saturating_sub(chain.round_began_ms.unwrap_or(at_ms));
        self.total_ms.is_some_and(|total| spent > i64::try_from(total).unwrap_or(i64::MAX))
    }

    /// When to try again after the chain's current attempt failed at `now_ms`; `None` when the policy is used up.
    #[must_use]
    pub fn next_due_ms(&self, chain: &Chain, now_ms: i64) -> Option<i64> {
        let due = now_ms.saturating_add(self.wait_ms(&chain.id, chain.round, chain.attempt));
        (!self.is_used_up(chain, due)).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_rocketmqs_and_adds_up_to_17160_seconds() {
        let policy = RewritePolicy::default();
        assert_eq!(policy.waits_ms.iter().sum::<u64>(), 17_160_000);
        assert_eq!(policy.check(), Ok(()));
    }

    #[test]
    fn impossible_policies_are_refused() {
        let policy = |waits_ms: Vec<u64>, jitter| RewritePolicy { waits_ms, jitter, ..RewritePolicy::default() };
        assert_eq!(policy(vec![], 0.0).check(), Err(PolicyError::NoWaits));
        assert_eq!(policy(vec![1000, 0], 0.0).check(), Err(PolicyError::ShortWait { position: 1, wait_ms: 0 }));
        assert_eq!(policy(vec![1000], 1.5).check(), Err(PolicyError::Jitter { jitter: 1.5 }));
        assert!(policy(vec![1000], f64::NAN).check().is_err());
    }
}
