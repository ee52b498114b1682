//! Lets the master of another group go on alone for a while, unless another member has taken a later term.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    sabotage,
    seams::Clock,
    sometimes,
    store::{Step, StoreError, Tables, Txn},
};

/// The leases that this broker has granted: in memory, for after a restart all of them are over one lease later.
pub struct Granted {
    clock: Arc<dyn Clock>,
    began: Duration,
    /// Group → when its lease is over.
    until: Mutex<BTreeMap<String, Duration>>,
}

impl Granted {
    /// None yet, by a process that begins now.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { began: clock.passed(), clock, until: Mutex::default() }
    }

    /// How much may be left of a lease of the group, if one lasts `lease`: an earlier process may have granted it.
    #[must_use]
    pub fn left(&self, group: &str, lease: Duration) -> Option<Duration> {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner).get(group).copied();
        let earlier = if sabotage!("grants-forgotten") { Duration::ZERO } else { self.began.saturating_add(lease) };
        let left = until.unwrap_or_default().max(earlier).saturating_sub(self.clock.passed());
        (left > Duration::ZERO && !sabotage!("grant-ignored")).then_some(left)
    }

    /// Grants one; what is over is kept no longer, and what lasts longer stays.
    pub(super) fn grant(&self, group: &str, lease: Duration) {
        let now = self.clock.passed();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > now);
        let granted = until.entry(group.to_owned()).or_default();
        *granted = now.saturating_add(lease).max(*granted);
    }
}

/// Grants a lease. It runs in the order of the log, as taking a term does, so that one of the two sees the other.
pub struct Grant {
    /// The group.
    pub group: String,
    /// The term of its master's log.
    pub term: u64,
    /// For how long.
    pub lease: Duration,
    /// The leases.
    pub granted: Arc<Granted>,
}

impl Step for Grant {
    /// The later term that another member has taken.
    type Reply = Result<(), u64>;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Self::Reply, StoreError> {
        let sealed = txn.sealed_term(&self.group)?;
        if sealed > self.term && !sabotage!("grants-after-seal") {
            return sometimes!("lease-sealed", Ok(Err(sealed)));
        }
        self.granted.grant(&self.group, self.lease);
        sometimes!("lease-granted", Ok(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::memory_host::RunningClock;

    const LEASE: Duration = Duration::from_secs(60);

    #[test]
    fn what_an_earlier_process_may_have_granted_counts_as_granted() {
        let granted = Granted::new(RunningClock::from(0));
        assert!(granted.left("a", LEASE).is_some_and(|left| left <= LEASE));
        assert_eq!(granted.left("a", Duration::ZERO), None);
    }

    #[test]
    fn a_lease_is_its_groups_alone_and_is_over_when_it_is() {
        let granted = Granted::new(RunningClock::from(0));
        granted.grant("a", LEASE);
        granted.grant("a", Duration::ZERO);
        granted.grant("b", Duration::ZERO);
        let left = |group| granted.left(group, Duration::ZERO).is_some();
        assert_eq!([left("a"), left("b"), left("c")], [true, false, false]);
    }
}
