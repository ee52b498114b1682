//! What the store refuses so that nothing grows without a bound.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{
    model::record::Record,
    remoting::memory_transport::MemoryTransport,
    seams::memory_host::{MemoryDisk, StandingClock, host},
};

/// Moves a group's offset.
struct Moves(i64);

impl Step for Moves {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.record(Record::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: self.0 })
    }
}

/// Known defect A52: steps that wait for a commit are limited; one more is refused at once and leaves nothing behind.
#[tokio::test]
async fn more_steps_than_may_wait_are_refused_and_leave_nothing() {
    let host = host(&MemoryDisk::default(), StandingClock::at(0), &MemoryTransport::default());
    let config = StoreConfig { waiting_limit: 2, ..StoreConfig::default() };
    let store = Store::open(&host, config, Arc::new(|_| {})).await.unwrap();
    let (first, second, third) = tokio::join!(store.submit(Moves(1)), store.submit(Moves(2)), store.submit(Moves(3)));
    assert!(first.is_ok() && second.is_ok());
    assert!(matches!(third, Err(StoreError::Overloaded { limit: 2 })));
    assert_eq!(store.view().unwrap().offset("g", "t", 0).unwrap(), Some(2));
    store.submit(Moves(4)).await.unwrap();
}
