//! What the store refuses so that nothing grows without a bound, and what it tells after a failure.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::{samples::Moves, *};
use crate::{
    remoting::memory_transport::MemoryTransport,
    seams::memory_host::{MemoryDisk, StandingClock, host},
};

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

/// Known defects A05, A58, A79: a commit whose sync failed may be on the disk all the same. Whoever sleeps until something
/// is due hears of it when the store is back, in its place in the log; else what it made due would lie until the next
/// commit.
#[tokio::test]
async fn what_survived_a_failed_sync_is_told_in_its_place() {
    for failing in 1..=4 {
        let disk = MemoryDisk::default();
        let host = host(&disk, StandingClock::at(0), &MemoryTransport::default());
        let heard: Arc<Mutex<Vec<u64>>> = Arc::default();
        let hears = heard.clone();
        let listener = Arc::new(move |entries: &[Arc<LogEntry>]| {
            hears.lock().unwrap().extend(entries.iter().map(|entry| entry.position.index));
        });
        let store = Store::open(&host, StoreConfig::default(), listener).await.unwrap();
        store.submit(Moves(1)).await.unwrap();
        disk.fail_syncs(failing);
        assert!(store.submit(Moves(2)).await.unwrap_err().is_unknown());
        let mut waited = 0;
        while store.view().is_err() {
            assert!(matches!(store.view().err(), Some(StoreError::Reopening)), "it is not closed");
            tokio::time::sleep(Duration::from_millis(100)).await;
            waited += 1;
            assert!(waited < 100, "nobody reopened the store");
        }
        let last = store.view().unwrap().last_index().unwrap();
        assert_eq!(*heard.lock().unwrap(), (1..=last).collect::<Vec<_>>(), "{failing} syncs failed");
        store.submit(Moves(3)).await.unwrap();
        assert_eq!(*heard.lock().unwrap(), (1..=last + 1).collect::<Vec<_>>());
    }
}

/// redb does nothing any more through a handle that has failed once. A store that is only read, as that of a slave or of a
/// broker that others ask for its messages, would answer nothing until somebody writes.
#[tokio::test]
async fn a_failed_read_is_got_over_without_a_commit() {
    let disk = MemoryDisk::default();
    let host = host(&disk, StandingClock::at(0), &MemoryTransport::default());
    let store = Store::open(&host, StoreConfig::default(), Arc::new(|_| {})).await.unwrap();
    for offset in 1..=200 {
        store.submit(Moves(offset)).await.unwrap();
    }
    store.close().await;
    let config = StoreConfig { cache_bytes: 0, ..StoreConfig::default() };
    let store = Store::open(&host, config, Arc::new(|_| {})).await.unwrap();
    let log_end = || store.view().and_then(|view| view.raw_entry(7));
    assert!(log_end().unwrap().is_some());
    disk.fail_reads(1);
    assert!(matches!(log_end(), Err(StoreError::Database(_))));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(log_end().unwrap().is_some(), "nobody reopened the store");
    store.submit(Moves(201)).await.unwrap();
}
