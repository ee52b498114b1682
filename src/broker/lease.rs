//! A master that confirms alone, and whose slave may act for it, serves while it has a lease.
//!
//! A lease is the word of one of two that no slave acts for a while: of the slave itself, which does not before it has heard
//! nothing for so long, or of the group that would keep the chains, which gives no term meanwhile. To act takes both. So a
//! master that still reaches one of the two goes on, and one that reaches neither stops before anybody acts. Whoever gives
//! its word counts from when it has heard the question or answer, the master from when it was sent, and no clock may go
//! faster or slower than time by more than [`DRIFT`].

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{refusal::Refusal, shared::Shared, take_back::natural};
use crate::{
    model::cause::ReadFailure,
    remote::acting::Leased,
    remoting::{
        Command,
        code::response,
        headers::{LeaseHeader, LeaseResponseHeader},
    },
    revive::steps::grant::Grant,
    sometimes,
    store::Lease,
};

/// By what part of the time that passes a clock may be faster or slower.
pub const DRIFT: f64 = 0.001;
/// Longest lease that is granted, ms: nobody acts for a lost master meanwhile.
pub(super) const LEASE_MAX_MS: u64 = 3_600_000;
/// How long to wait before the group that keeps the chains is asked again while the lease lasts.
const RETRY: Duration = Duration::from_secs(1);
/// How long once it is over: that group may be away for long.
const AWAY: Duration = Duration::from_secs(5);
/// How long before what was done is taken back once more: each time takes a term.
const MERGE_RETRY: Duration = Duration::from_secs(5);
/// How long where this log does not go on from that of whoever has acted, and waiting hardly helps.
const STUCK: Duration = Duration::from_secs(30);

/// What a master knows of its lease.
#[derive(Debug)]
pub struct Leasing {
    /// The lease.
    pub(super) lease: Arc<Lease>,
    /// How long one lasts for whoever grants it.
    pub(super) granted_for: Duration,
    /// The mark of the last answer that its slave got, and when that was sent.
    answered: Mutex<Option<(i64, Duration)>>,
}

impl Leasing {
    /// Of leases that last so long for whoever grants them.
    pub(super) fn new(lease: Arc<Lease>, granted_for: Duration) -> Self {
        Self { lease, granted_for, answered: Mutex::default() }
    }

    /// How long one lasts for the master: over before it is over for anybody else, however their clocks drift.
    pub(super) fn lasts(&self) -> Duration {
        self.granted_for.mul_f64((1.0 - DRIFT) / (1.0 + DRIFT))
    }

    /// The slave is answered: gives the mark that it is to name.
    pub(super) fn answers(&self, mark: i64) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some((mark, self.lease.passed()));
    }

    /// The slave has heard the answer of that mark. Tells whether that is the last one.
    pub(super) fn heard(&self, mark: i64) -> bool {
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        match answered.filter(|(last, _)| *last == mark) {
            Some((_, at)) => {
                self.lease.extend(at.saturating_add(self.lasts()));
                true
            }
            None => false,
        }
    }
}

/// Has the group that keeps the chains renew the lease where the slave does not; until the broker stops.
pub(super) async fn keep(shared: Arc<Shared>) {
    let Some(leasing) = &shared.leasing else { return };
    let Some(target) = shared.config.acting_to.clone() else { return };
    let soon = leasing.lasts() / 3;
    while !shared.stop.is_cancelled() {
        let wait = match leasing.lease.left().checked_sub(soon) {
            Some(fresh) if !fresh.is_zero() => fresh,
            _ => match shared.renew(leasing, &target).await {
                Ok(wait) => wait,
                Err(refusal) => {
                    sometimes!("lease-not-renewed");
                    match leasing.lease.holds() {
                        true => {
                            tracing::debug!(broker = %shared.config.name, %refusal, "the lease is not renewed");
                            RETRY
                        }
                        false => {
                            tracing::warn!(broker = %shared.config.name, %refusal, "no lease: nothing is written meanwhile");
                            AWAY
                        }
                    }
                }
            },
        };
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Shared {
    /// Asks the group that keeps the chains for a lease, or takes back what was done meanwhile; tells when to look again.
    async fn renew(&self, leasing: &Leasing, target: &str) -> Result<Duration, Refusal> {
        let (asked, own) = (leasing.lease.passed(), self.store.term());
        let failed = |failure: ReadFailure| Refusal::NotConfirmed(failure);
        match self.neighbours.lease(target, own, leasing.granted_for).await.map_err(failed)? {
            Leased::Granted => {
                leasing.lease.extend(asked.saturating_add(leasing.lasts()));
                sometimes!("lease-of-the-target", Ok(Duration::ZERO))
            }
            Leased::Sealed(sealed) => {
                tracing::warn!(broker = %self.config.name, own, sealed, "a slave has taken a term in this master's place");
                Ok(self.catch_up_with(target, sealed).await)
            }
        }
    }

    /// Takes back what was done under `sealed`, unless the slave has told of it meanwhile; tells when to look again.
    async fn catch_up_with(&self, target: &str, sealed: u64) -> Duration {
        let _turn = self.taking_back.turn.lock().await;
        if self.store.term() >= sealed {
            return Duration::ZERO;
        }
        match self.merge_what_was_done(target, sealed).await {
            Ok(None) => {
                self.taking_back.ended();
                Duration::ZERO
            }
            Ok(Some(_)) => {
                tracing::error!(broker = %self.config.name, "what a slave has done cannot be merged into this log");
                STUCK
            }
            Err(refusal) => {
                tracing::warn!(broker = %self.config.name, %refusal, "what a slave has done is not merged yet");
                MERGE_RETRY
            }
        }
    }

    /// Serves LEASE for the master of another group.
    pub(super) async fn lease(&self, request: &Command) -> Result<Command, Refusal> {
        let header: LeaseHeader = request.header()?;
        let group = self.other_group(header.group_name)?;
        let (term, lease) = (natural("term", header.term)?, lease_of(header.lease_ms)?);
        let granted = self.granted.clone();
        let sealed_term = match self.store.submit_here(Grant { group, term, lease, granted }).await? {
            Ok(()) => None,
            Err(sealed) => Some(i64::try_from(sealed).unwrap_or(i64::MAX)),
        };
        Ok(Command::response(response::SUCCESS).with_header(&LeaseResponseHeader { sealed_term }))
    }
}

/// How long a lease of another group is to last.
pub(super) fn lease_of(lease_ms: i64) -> Result<Duration, Refusal> {
    match natural("leaseMs", lease_ms)? {
        ms @ 1..=LEASE_MAX_MS => Ok(Duration::from_millis(ms)),
        _ => {
            let expected = format!("1 to {LEASE_MAX_MS}");
            Err(Refusal::Field { field: "leaseMs", found: lease_ms.to_string(), expected })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::memory_host::RunningClock;

    fn leasing() -> Leasing {
        Leasing::new(Arc::new(Lease::new(RunningClock::from(0))), Duration::from_secs(30))
    }

    #[test]
    fn it_is_over_for_the_master_first_however_two_clocks_drift() {
        let leasing = leasing();
        let by_a_slow_clock = leasing.lasts().as_secs_f64() / (1.0 - DRIFT);
        let by_a_fast_one = leasing.granted_for.as_secs_f64() / (1.0 + DRIFT);
        assert!(by_a_slow_clock <= by_a_fast_one, "{by_a_slow_clock} {by_a_fast_one}");
    }

    #[test]
    fn only_the_last_answer_counts_and_from_when_it_was_sent() {
        let leasing = leasing();
        assert!(!leasing.heard(0) && !leasing.lease.holds(), "nothing was answered");
        leasing.answers(7);
        assert!(!leasing.lease.holds(), "nobody has heard it");
        assert!(!leasing.heard(6) && !leasing.lease.holds());
        assert!(leasing.heard(7) && leasing.lease.holds());
        assert!(leasing.lease.left() <= leasing.lasts());
    }
}
