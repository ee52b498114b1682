//! Until when this member may write. Where it confirms alone nothing else keeps it from going on while another member acts
//! in its place.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{sabotage, seams::Clock};

/// Until when this member may write; it is over to begin with.
pub struct Lease {
    clock: Arc<dyn Clock>,
    until: Mutex<Duration>,
}

impl Lease {
    /// One that is over.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, until: Mutex::default() }
    }

    /// How much time has passed by the clock that it goes by.
    #[must_use]
    pub fn passed(&self) -> Duration {
        self.clock.passed()
    }

    /// It lasts until then, if not longer.
    pub fn extend(&self, until: Duration) {
        let mut known = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *known = until.max(*known);
    }

    /// How much of it is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.saturating_sub(self.passed())
    }

    /// Whether it is not over.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.left() > Duration::ZERO || sabotage!("lease-ignored")
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("left", &self.left()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::{
        model::record::Record,
        remoting::memory_transport::MemoryTransport,
        seams::memory_host::{MemoryDisk, StandingClock, host},
        store::{Step, Store, StoreConfig, StoreError, Tables as _, Txn},
    };

    /// A clock on which a second passes with every look.
    #[derive(Default)]
    struct Looks(AtomicU64);

    #[async_trait]
    impl Clock for Looks {
        fn now_ms(&self) -> i64 {
            0
        }
        fn passed(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(1, Ordering::SeqCst))
        }
        async fn sleep_until_ms(&self, _: i64) {}
    }

    struct Moves(i64);

    impl Step for Moves {
        type Reply = ();

        fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
            txn.record(Record::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: self.0 })
        }
    }

    /// A store that may be written to as long as the clock is looked at so often.
    async fn store(looks: u64) -> Store {
        let lease = Lease::new(Arc::new(Looks::default()));
        lease.extend(Duration::from_secs(looks));
        let machine = host(&MemoryDisk::default(), StandingClock::at(0), &MemoryTransport::default());
        let config = StoreConfig { lease: Some(Arc::new(lease)), ..StoreConfig::default() };
        Store::open(&machine, config, Arc::new(|_| {})).await.unwrap()
    }

    fn last_index(store: &Store) -> u64 {
        store.durable().unwrap().last_index().unwrap()
    }

    #[test]
    fn it_is_over_until_it_is_granted_and_never_gets_shorter() {
        let lease = Lease::new(Arc::new(Looks::default()));
        assert!(!lease.holds());
        lease.extend(Duration::from_secs(60));
        lease.extend(Duration::from_secs(1));
        assert!(lease.holds() && lease.left() == Duration::from_secs(58));
    }

    #[tokio::test]
    async fn without_it_nothing_is_written_but_what_takes_over() {
        let store = store(0).await;
        assert!(matches!(store.submit(Moves(1)).await, Err(StoreError::NoLease)));
        assert_eq!(last_index(&store), 0);
        store.go_on(2, Moves(2)).await.unwrap();
        assert_eq!((last_index(&store), store.term()), (1, 2));
    }

    #[tokio::test]
    async fn what_was_stored_as_it_ended_is_of_unknown_outcome() {
        let store = store(1).await;
        let error = store.submit(Moves(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::LeaseRanOut) && error.is_unknown(), "{error}");
        assert_eq!(last_index(&store), 1);
    }
}
