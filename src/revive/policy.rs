//! When to try again, and when to give up.

use serde::{Deserialize, Serialize};

use crate::{
    model::chain::{Chain, ChainId, HISTORY_LIMIT},
    revive::outcome::{Class, class},
    sabotage,
};

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
    /// Longest time from the first attempt of a round to the last, ms; without the time in which the chain was due and
    /// nobody tried.
    pub total_ms: Option<u64>,
    /// How far a wait may be off, as a share of itself, either way: 0 is exact, 1 is anything from 0 to twice.
    pub jitter: f64,
    /// How many reads in a row the owner must have answered so that no retry can help before the chain is parked for
    /// good, 1 to [`HISTORY_LIMIT`]. One answer may come from a broker whose topics or permissions are just being set up.
    pub refusals: u32,
}

/// Parks a chain only once a second read, after a wait, was refused as the first was.
pub const REFUSALS: u32 = 2;

impl Default for RewritePolicy {
    fn default() -> Self {
        let waits_ms = ROCKETMQ_WAITS_S.map(|seconds| seconds * 1000).to_vec();
        Self { waits_ms, rewrites: 17, total_ms: None, jitter: 0.0, refusals: REFUSALS }
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
    /// Refusals outside their range: more are not remembered.
    #[error("refusals is {refusals}: expected 1 to {HISTORY_LIMIT}")]
    Refusals {
        /// The refusals.
        refusals: u32,
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
        if self.refusals == 0 || self.refusals as usize > HISTORY_LIMIT {
            return Err(PolicyError::Refusals { refusals: self.refusals });
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

    /// How long a chain may lie due while its peer is away and is asked for nothing, ms: the total, or else as long as
    /// all rewrites would have taken. Then it is parked: that nobody asks is no reason to wait for ever.
    #[must_use]
    pub fn longest_ms(&self) -> u64 {
        self.total_ms.unwrap_or_else(|| self.all_waits_ms())
    }

    fn all_waits_ms(&self) -> u64 {
        let last = self.waits_ms.last().copied().unwrap_or(SHORTEST_WAIT_MS);
        let waits = self.waits_ms.iter().copied().chain(std::iter::repeat(last));
        waits.take(self.rewrites as usize).fold(0, u64::saturating_add)
    }

    /// How long one round takes at the most if nobody is away for long, ms, when an attempt takes `attempt_limit_ms`.
    #[must_use]
    pub fn longest_round_ms(&self, attempt_limit_ms: u64) -> u64 {
        let waits = self.all_waits_ms();
        let waits = waits.saturating_add((waits as f64 * self.jitter) as u64);
        let attempts = attempt_limit_ms.saturating_mul(u64::from(self.rewrites) + 1);
        waits.saturating_add(attempts).min(self.total_ms.unwrap_or(u64::MAX).saturating_add(attempt_limit_ms))
    }

    /// Whether no further attempt may begin at `now_ms`.
    #[must_use]
    pub fn is_used_up(&self, chain: &Chain, now_ms: i64) -> bool {
        let left_out = u32::from(sabotage!("ends-one-early"));
        chain.attempt > self.rewrites.saturating_sub(left_out) || self.exceeds_total(chain, now_ms)
    }

    /// Whether the chain's owner has refused its reads often enough to believe that no retry can help. What was refused before
    /// its handle was renewed counts no more.
    #[must_use]
    pub fn is_refused(&self, chain: &Chain) -> bool {
        let Some(last) = chain.history.last() else { return false };
        let refusals = chain.failed_since_renewal().take_while(|failed| {
            let is_of_round = failed.round == chain.round || sabotage!("refusals-of-all-rounds");
            let of_row = is_of_round && failed.failure.peer == last.failure.peer;
            of_row && class(&failed.failure.cause) == Class::Permanent
        });
        let needed = if sabotage!("first-refusal-parks") { 1 } else { self.refusals as usize };
        refusals.count() >= needed
    }

    fn exceeds_total(&self, chain: &Chain, at_ms: i64) -> bool {
        let spent = at_ms.saturating_sub(chain.round_began_ms.unwrap_or(at_ms));
        self.total_ms
            .filter(|_| !sabotage!("total-ignored"))
            .is_some_and(|total| spent > i64::try_from(total).unwrap_or(i64::MAX))
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
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{cause::Cause, chain::FailedAttempt},
        revive::samples::{OTHER, OWN, chain, failure},
    };

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
        for refusals in [0, HISTORY_LIMIT as u32 + 1] {
            let policy = RewritePolicy { refusals, ..RewritePolicy::default() };
            assert_eq!(policy.check(), Err(PolicyError::Refusals { refusals }));
        }
    }

    fn policy(waits_ms: Vec<u64>, rewrites: u32) -> RewritePolicy {
        RewritePolicy { waits_ms, rewrites, ..RewritePolicy::default() }
    }

    #[test]
    fn what_was_refused_before_a_renewal_counts_no_more() {
        let mut chain = chain(OTHER);
        let mut is_refused_after = |attempt, renewed: bool| {
            chain.failed_before = if renewed { chain.history.failures } else { chain.failed_before };
            let failure = failure(Cause::NoPermission);
            chain.history.push(FailedAttempt { round: 0, attempt, at_ms: 1_000, failure });
            policy(vec![1_000], 5).is_refused(&chain)
        };
        assert!(!is_refused_after(1, false) && is_refused_after(2, false));
        assert!(!is_refused_after(1, true) && is_refused_after(2, false));
    }

    #[test]
    fn who_is_not_asked_waits_as_long_as_the_rewrites_would_have_taken() {
        assert_eq!(RewritePolicy::default().longest_ms(), 17_160_000);
        assert_eq!(policy(vec![1000, 2000], 1).longest_ms(), 1000);
        assert_eq!(policy(vec![1000, 2000], 4).longest_ms(), 7000);
        let capped = RewritePolicy { total_ms: Some(500), ..policy(vec![1000, 2000], 4) };
        assert_eq!(capped.longest_ms(), 500);
    }

    /// Known defects B08, B13.
    #[test]
    fn the_kth_attempt_waits_the_kth_wait_and_the_last_repeats() {
        let chain = chain(OWN);
        let waits = |policy: &RewritePolicy, attempts: std::ops::RangeInclusive<u32>| {
            attempts.map(|attempt| policy.wait_ms(&chain.id, 0, attempt)).collect::<Vec<_>>()
        };
        assert_eq!(waits(&policy(vec![100, 200, 400], 9), 1..=5), [100, 200, 400, 400, 400]);
        let seconds: Vec<i64> = waits(&RewritePolicy::default(), 1..=17).iter().map(|ms| ms / 1000).collect();
        let expected: Vec<i64> = ROCKETMQ_WAITS_S.iter().map(|seconds| *seconds as i64).collect();
        assert_eq!(seconds, expected);
        assert_eq!(policy(vec![u64::MAX], 1).next_due_ms(&chain, 5), Some(i64::MAX));
    }

    #[test]
    fn the_count_of_rewrites_is_a_cap() {
        let at = |attempt| Chain { attempt, ..chain(OWN) };
        let policy = policy(vec![100, 200], 2);
        assert_eq!(policy.next_due_ms(&at(1), 1_000), Some(1_100));
        assert_eq!(policy.next_due_ms(&at(2), 1_000), Some(1_200));
        assert_eq!(policy.next_due_ms(&at(3), 1_000), None);
        assert!(!policy.is_used_up(&at(2), 1_000) && policy.is_used_up(&at(3), 1_000));
    }

    #[test]
    fn the_total_time_is_a_cap() {
        let policy = RewritePolicy { total_ms: Some(1_000), ..policy(vec![400], 99) };
        let chain = Chain { attempt: 1, round_began_ms: Some(10_000), ..chain(OWN) };
        assert_eq!(policy.next_due_ms(&chain, 10_600), Some(11_000));
        assert_eq!(policy.next_due_ms(&chain, 10_601), None, "the next attempt would begin too late");
        let fresh = Chain { round_began_ms: None, ..chain };
        assert!(!policy.is_used_up(&fresh, i64::MAX));
    }

    /// When the last attempt of a round begins, ms after the first, if each fails as late as it can.
    fn last_attempt_ms(policy: &RewritePolicy, attempt_limit_ms: i64) -> i64 {
        let (mut now_ms, mut attempt) = (0, 1);
        loop {
            let chain = Chain { attempt, round_began_ms: Some(0), ..chain(OWN) };
            match policy.next_due_ms(&chain, now_ms + attempt_limit_ms) {
                Some(due_ms) => (now_ms, attempt) = (due_ms, attempt + 1),
                None => return now_ms,
            }
        }
    }

    proptest! {
        /// The rule for `chain_window_ms`: nothing is asked again after the longest round, unless somebody resumes it.
        #[test]
        fn no_attempt_begins_after_the_longest_round(
            waits_ms in proptest::collection::vec(SHORTEST_WAIT_MS..5_000, 1..5),
            rewrites in 0..12_u32,
            total_ms in proptest::option::of(1..20_000_u64),
            jitter in prop_oneof![Just(0.0), 0.0..0.9_f64],
            attempt_limit_ms in 1..3_000_u64,
        ) {
            let policy = RewritePolicy { total_ms, jitter, ..policy(waits_ms, rewrites) };
            let last_ms = last_attempt_ms(&policy, i64::try_from(attempt_limit_ms).unwrap_or(0));
            let longest_ms = policy.longest_round_ms(attempt_limit_ms);
            prop_assert!(u64::try_from(last_ms).is_ok_and(|last_ms| last_ms < longest_ms), "{last_ms} of {longest_ms}");
        }

        #[test]
        fn jitter_stays_in_its_bounds_and_is_the_same_for_everybody(
            wait in 100u64..10_000_000, jitter in 0.0..=0.9f64, attempt in 1u32..40, round in 0u32..5, offset in 0i64..,
        ) {
            let policy = RewritePolicy { jitter, ..policy(vec![wait], 99) };
            let id = ChainId { offset, ..chain(OWN).id };
            let drawn = policy.wait_ms(&id, round, attempt);
            prop_assert!((drawn - wait as i64).unsigned_abs() as f64 <= wait as f64 * jitter);
            prop_assert!(drawn > 0);
            prop_assert_eq!(drawn, policy.clone().wait_ms(&id, round, attempt));
        }
    }
}
