//! What is on this disk alone is seen by nobody, and nobody is told.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    model::record::{LogEntry, Record},
    remoting::memory_transport::MemoryTransport,
    seams::{
        Host,
        memory_host::{MemoryDisk, StandingClock, host},
    },
    store::{Confirms, LogEnd, Step, Store, StoreConfig, StoreError, Tables as _, Txn},
};

const WITHIN: Duration = Duration::from_secs(3);

/// Moves a group's offset; tells where it was.
struct Moves(i64);

impl Step for Moves {
    type Reply = Option<i64>;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Option<i64>, StoreError> {
        let was = txn.offset("g", "t", 0)?;
        if was != Some(self.0) {
            txn.record(Record::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: self.0 })?;
        }
        Ok(was)
    }
}

/// A store that others have to confirm, and what it has announced.
struct Stage {
    host: Host,
    disk: MemoryDisk,
    store: Store,
    announced: Arc<Mutex<Vec<u64>>>,
}

impl Stage {
    async fn new() -> Self {
        let disk = MemoryDisk::default();
        let host = host(&disk, StandingClock::at(0), &MemoryTransport::default());
        let (store, announced) = open(&host).await;
        Self { host, disk, store, announced }
    }

    /// One whose first entry is confirmed, and where its log ends then.
    async fn with_one_confirmed() -> (Self, LogEnd) {
        let stage = Self::new().await;
        let known = stage.begin(1);
        a_moment().await;
        stage.store.confirm(1);
        assert_eq!(known.await.unwrap().unwrap(), None);
        let end = stage.store.durable().unwrap().log_end().unwrap();
        (stage, end)
    }

    async fn restart(&mut self) {
        self.store.close().await;
        (self.store, self.announced) = open(&self.host).await;
    }

    fn announced(&self) -> Vec<u64> {
        self.announced.lock().unwrap().clone()
    }

    fn shown(&self) -> Option<i64> {
        self.store.view().unwrap().offset("g", "t", 0).unwrap()
    }

    fn durable(&self) -> Option<i64> {
        self.store.durable().unwrap().offset("g", "t", 0).unwrap()
    }

    /// Begins a step whose caller waits for as long as it takes.
    fn begin_at_length(&self, offset: i64) -> tokio::task::JoinHandle<Result<Option<i64>, StoreError>> {
        let store = self.store.clone();
        tokio::spawn(async move { store.submit_at_length(Moves(offset)).await })
    }

    /// Begins a step whose caller waits.
    fn begin(&self, offset: i64) -> tokio::task::JoinHandle<Result<Option<i64>, StoreError>> {
        let store = self.store.clone();
        tokio::spawn(async move { store.submit(Moves(offset)).await })
    }
}

async fn open(host: &Host) -> (Store, Arc<Mutex<Vec<u64>>>) {
    let announced: Arc<Mutex<Vec<u64>>> = Arc::default();
    let hears = announced.clone();
    let listener = Arc::new(move |entries: &[Arc<LogEntry>]| {
        hears.lock().unwrap().extend(entries.iter().map(|entry| entry.position.index));
    });
    let config = StoreConfig { confirms: Confirms::WhenTold { within: WITHIN }, ..StoreConfig::default() };
    (Store::open(host, config, listener).await.unwrap(), announced)
}

/// Long enough for a commit.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn nothing_is_seen_or_told_before_it_is_confirmed() {
    let stage = Stage::new().await;
    let first = stage.begin(1);
    a_moment().await;
    let second = stage.begin(2);
    a_moment().await;
    assert!(!first.is_finished() && !second.is_finished());
    assert_eq!((stage.shown(), stage.durable(), stage.announced()), (None, Some(2), vec![]));
    stage.store.confirm(2);
    assert_eq!((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()), (None, Some(1)));
    assert_eq!((stage.shown(), stage.announced(), stage.store.confirmed_index()), (Some(2), vec![1, 2], 2));
}

#[tokio::test]
async fn what_is_confirmed_in_part_is_seen_in_part() {
    let stage = Stage::new().await;
    let first = stage.begin(1);
    a_moment().await;
    let second = stage.begin(2);
    a_moment().await;
    stage.store.confirm(1);
    a_moment().await;
    assert!(first.is_finished() && !second.is_finished());
    assert_eq!((stage.shown(), stage.announced()), (Some(1), vec![1]));
}

#[tokio::test]
async fn a_step_that_read_what_is_not_confirmed_waits_for_it_though_it_recorded_nothing() {
    let stage = Stage::new().await;
    let (first, again) = (stage.begin(1), stage.begin(1));
    a_moment().await;
    let later = stage.begin(1);
    a_moment().await;
    assert!(!first.is_finished() && !again.is_finished() && !later.is_finished());
    stage.store.confirm(1);
    assert_eq!(later.await.unwrap().unwrap(), Some(1));
    assert_eq!(stage.store.durable().unwrap().last_index().unwrap(), 1);
}

#[tokio::test]
async fn what_was_told_ahead_is_confirmed_as_it_comes() {
    let stage = Stage::new().await;
    stage.store.confirm(7);
    stage.store.submit(Moves(1)).await.unwrap();
    stage.store.confirm(3);
    stage.store.submit(Moves(2)).await.unwrap();
    assert_eq!((stage.shown(), stage.announced()), (Some(2), vec![1, 2]));
}

#[tokio::test]
async fn whoever_asks_for_this_disk_alone_does_not_wait() {
    let stage = Stage::new().await;
    stage.store.submit_here(Moves(1)).await.unwrap();
    assert_eq!((stage.shown(), stage.durable(), stage.announced()), (None, Some(1), vec![]));
}

#[tokio::test]
async fn what_takes_too_long_is_unknown_and_nothing_more_is_written_until_it_comes() {
    let stage = Stage::new().await;
    let error = stage.store.submit(Moves(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unconfirmed { within_ms: 3_000 }) && error.is_unknown(), "{error}");
    a_moment().await;
    let error = stage.store.submit(Moves(2)).await.unwrap_err();
    assert!(matches!(error, StoreError::ConfirmationStalled) && !error.is_unknown(), "{error}");
    assert!(matches!(stage.store.submit_patiently(Moves(2)).await, Err(StoreError::ConfirmationStalled)));
    assert!(stage.store.unconfirmed_for().unwrap() > WITHIN);
    assert_eq!((stage.shown(), stage.durable()), (None, Some(1)), "a refused step leaves nothing");
    stage.store.confirm(1);
    assert_eq!((stage.shown(), stage.announced(), stage.store.unconfirmed_for()), (Some(1), vec![1], None));
    let next = stage.begin(3);
    a_moment().await;
    stage.store.confirm(2);
    assert_eq!(next.await.unwrap().unwrap(), Some(1));
}

#[tokio::test]
async fn after_a_restart_what_was_not_confirmed_still_is_not() {
    let mut stage = Stage::new().await;
    stage.store.submit_here(Moves(1)).await.unwrap();
    stage.store.confirm(1);
    stage.store.submit_here(Moves(2)).await.unwrap();
    stage.store.submit_here(Moves(3)).await.unwrap();
    stage.restart().await;
    assert_eq!((stage.shown(), stage.durable(), stage.announced()), (Some(1), Some(3), vec![]));
    stage.store.confirm(3);
    assert_eq!((stage.shown(), stage.announced()), (Some(3), vec![2, 3]));
}

/// Also one that needed others before, and was not confirmed then.
#[tokio::test]
async fn a_store_that_confirmed_alone_has_confirmed_everything() {
    let disk = MemoryDisk::default();
    let host = host(&disk, StandingClock::at(0), &MemoryTransport::default());
    let (before, _) = open(&host).await;
    before.submit_here(Moves(7)).await.unwrap();
    before.close().await;
    let alone = Store::open(&host, StoreConfig::default(), Arc::new(|_| {})).await.unwrap();
    alone.submit(Moves(1)).await.unwrap();
    alone.close().await;
    let (store, announced) = open(&host).await;
    assert_eq!(store.view().unwrap().offset("g", "t", 0).unwrap(), Some(1));
    assert!(announced.lock().unwrap().is_empty(), "it was announced before");
}

/// A failed sync forgets nothing that waits for others, and what survived it is announced in its place.
#[tokio::test]
async fn a_failed_sync_leaves_what_waits_for_confirmation_waiting() {
    for failing in 1..=4 {
        let stage = Stage::new().await;
        let first = stage.begin_at_length(1);
        a_moment().await;
        stage.disk.fail_syncs(failing);
        assert!(stage.store.submit(Moves(2)).await.unwrap_err().is_unknown());
        stage.store.confirm(1);
        tokio::time::sleep(Duration::from_secs(10)).await;
        // Whoever is told may rely on it that everybody has heard of it.
        assert_eq!(first.is_finished(), stage.announced() == [1], "{failing} syncs failed");
        let last = stage.store.durable().unwrap().last_index().unwrap();
        stage.store.confirm(last);
        assert_eq!(first.await.unwrap().unwrap(), None, "{failing} syncs failed");
        assert_eq!(stage.announced(), (1..=last).collect::<Vec<_>>(), "{failing} syncs failed");
        assert_eq!(stage.shown(), stage.durable());
    }
}

/// Known defect A90.
#[tokio::test]
async fn what_was_never_confirmed_is_taken_back_and_the_log_goes_on_under_another_term() {
    let (stage, end) = Stage::with_one_confirmed().await;
    let first = stage.begin(2);
    a_moment().await;
    let lost = [first, stage.begin(3)];
    a_moment().await;
    assert_eq!((stage.shown(), stage.durable()), (Some(1), Some(3)));
    assert_eq!(stage.store.cut_back(end, 7, Moves(9)).await.unwrap(), Some(1), "it runs on what is left");
    for caller in lost {
        assert!(caller.await.unwrap().is_err(), "nobody will ever tell");
    }
    assert_eq!((stage.shown(), stage.durable(), stage.store.term()), (Some(1), Some(9), 7));
    let last = stage.store.durable().unwrap().log_end().unwrap().position;
    assert_eq!((last.term, last.index), (7, 2));
    stage.store.confirm(2);
    assert_eq!((stage.shown(), stage.announced()), (Some(9), vec![1, 2]));
}

/// Known defect A90: a master's disk failed between the cut and the merge, and it wrote on under the new term, as if it had
/// merged.
#[tokio::test]
async fn the_log_is_cut_back_and_gone_on_with_in_one_step_or_not_at_all() {
    for failing in 1..=4 {
        let (stage, end) = Stage::with_one_confirmed().await;
        let tail = stage.begin(2);
        a_moment().await;
        stage.disk.fail_syncs(failing);
        let cut = stage.store.cut_back(end, 7, Moves(9)).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (term, durable) = (stage.store.term(), stage.durable());
        match term {
            7 => assert_eq!(durable, Some(9), "{failing} syncs failed"),
            _ => assert_eq!((term, durable, cut.is_err()), (1, Some(2), true), "{failing} syncs failed"),
        }
        // Whichever it was, the next attempt succeeds once the disk works, and nobody was told of what is gone.
        stage.disk.fail_syncs(0);
        stage.store.cut_back(end, 8, Moves(9)).await.unwrap();
        assert_eq!((stage.store.term(), stage.durable()), (8, Some(9)), "{failing} syncs failed");
        assert!(tail.await.unwrap().is_err(), "{failing} syncs failed");
        stage.store.confirm(2);
        assert_eq!((stage.shown(), stage.announced()), (Some(9), vec![1, 2]), "{failing} syncs failed");
    }
}

#[tokio::test]
async fn a_log_is_not_cut_back_to_an_end_that_it_does_not_have() {
    let (mut stage, mut other) = Stage::with_one_confirmed().await;
    other.checksum ^= 1;
    assert!(stage.store.cut_back(other, 7, Moves(9)).await.is_err());
    assert_eq!((stage.shown(), stage.durable(), stage.store.term()), (Some(1), Some(1), 1));
    stage.restart().await;
    assert_eq!(stage.durable(), Some(1));
}

#[tokio::test]
async fn that_a_member_acts_survives_a_restart_and_is_not_in_its_log() {
    let mut stage = Stage::new().await;
    assert_eq!(stage.store.acts(), None);
    for acts in [Some(0), Some(5), None] {
        stage.store.set_acts(acts).await.unwrap();
        stage.restart().await;
        assert_eq!((stage.store.acts(), stage.store.agreed()), (acts, None));
    }
    stage.store.agree(7).await.unwrap();
    stage.restart().await;
    assert_eq!((stage.store.acts(), stage.store.agreed()), (Some(7), Some(7)));
    stage.store.set_acts(None).await.unwrap();
    stage.restart().await;
    assert_eq!(
        (stage.store.acts(), stage.store.agreed()),
        (None, Some(7)),
        "what they agreed upon is for others to end"
    );
    assert_eq!(stage.store.durable().unwrap().log_end().unwrap().position.index, 0);
}
