//! How the service paces itself: slow, absent and returning peers, gathering, starvation.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::{
    model::{
        chain::{ChainState, FailedAttempt, Outcome as Ended, ParkReason},
        message::Message,
        record::{LogEntry, Record},
    },
    remoting::memory_transport::MemoryTransport,
    revive::samples::{OTHER, OWN, POPPED_MS, chain, failure, home, message},
    seams::memory_host::{MemoryDisk, RunningClock, host},
    store::{Step, StoreConfig, Tables, Txn},
};

/// A peer whose reads take ten seconds and fail.
const SLOW: &str = "broker-slow";

/// How long a chain may wait for an absent peer.
const LONGEST: Duration = Duration::from_secs(60);

/// The peers: all but one find every message at once.
struct Fake {
    admission: Mutex<Admission>,
    away_since: Mutex<Option<tokio::time::Instant>>,
    /// Peer and offsets of each read.
    reads: Mutex<Vec<(String, Vec<i64>)>>,
}

#[async_trait]
impl Peers for Fake {
    fn admission(&self, peer: &str) -> Admission {
        if peer == OTHER { *self.admission.lock().unwrap() } else { Admission::Calls(8) }
    }

    fn away_for(&self, peer: &str) -> Option<Duration> {
        let since = *self.away_since.lock().unwrap();
        since.filter(|_| peer == OTHER).map(|since| since.elapsed())
    }

    fn back_for(&self, _: &str) -> Duration {
        Duration::ZERO
    }

    async fn read(&self, chains: &[Chain]) -> Vec<ReadOutcome> {
        let peer = chains[0].id.broker.clone();
        self.reads.lock().unwrap().push((peer.clone(), chains.iter().map(|chain| chain.id.offset).collect()));
        if peer == SLOW {
            tokio::time::sleep(Duration::from_secs(10)).await;
            return chains.iter().map(|_| ReadOutcome::failed(failure(Cause::Timeout))).collect();
        }
        if peer == OTHER {
            // Whoever answers is back.
            *self.admission.lock().unwrap() = Admission::Calls(8);
            *self.away_since.lock().unwrap() = None;
        }
        chains.iter().map(|_| ReadOutcome::Found(Box::new(message()))).collect()
    }

    async fn hand_over(&self, _: &str, _: &[Chain]) -> Result<(), ReadFailure> {
        Ok(())
    }
}

struct Fill {
    message: Message,
    chains: Vec<Chain>,
}

impl Step for Fill {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.ensure_internal_topic(&self.message.topic)?;
        txn.append(self.message)?.map(drop).map_err(|_| StoreError::Closed)?;
        self.chains.into_iter().try_for_each(|chain| txn.record(Record::Chain(Box::new(chain))))
    }
}

struct World {
    store: Store,
    peers: Arc<Fake>,
    entries: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl World {
    /// A running service that keeps these chains.
    async fn with(chains: Vec<Chain>, admission: Admission) -> Self {
        let (clock, wake) = (RunningClock::from(POPPED_MS), Arc::<Wake>::default());
        let entries = Arc::<AtomicUsize>::default();
        let (count, waker) = (entries.clone(), wake.clone());
        let listener = Arc::new(move |new: &[Arc<LogEntry>]| {
            count.fetch_add(new.len(), Ordering::SeqCst);
            for record in new.iter().flat_map(|entry| &entry.records) {
                if let Record::Chain(chain) = record {
                    chain.due_ms().into_iter().for_each(|due_ms| waker.due(due_ms));
                }
            }
        });
        let machine = host(&MemoryDisk::default(), clock.clone(), &MemoryTransport::default());
        let store = Store::open(&machine, StoreConfig::default(), listener).await.unwrap();
        let peers =
            Arc::new(Fake { admission: Mutex::new(admission), away_since: Mutex::default(), reads: Mutex::default() });
        let config = ReviveConfig { longest_wait: LONGEST, ..ReviveConfig::default() };
        let service = ReviveService::new(home(), store.clone(), clock, peers.clone(), wake, config);
        store.submit(Fill { message: message(), chains }).await.unwrap();
        entries.store(0, Ordering::SeqCst);
        let stop = CancellationToken::new();
        tokio::spawn(service.run(stop.clone()));
        Self { store, peers, entries, stop }
    }

    fn entries(&self) -> usize {
        self.entries.load(Ordering::SeqCst)
    }

    fn reads(&self) -> Vec<(String, Vec<i64>)> {
        self.peers.reads.lock().unwrap().clone()
    }

    fn chain(&self, chain: &Chain) -> Chain {
        self.store.view().unwrap().chain(&chain.id).unwrap().unwrap()
    }

    fn is_revived(&self, chain: &Chain) -> bool {
        matches!(self.chain(chain).state, ChainState::Ended { outcome: Ended::Revived(_), .. })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A chain of the peer's message at an offset, due so many ms after the start.
fn due(broker: &str, offset: i64, after_ms: i64) -> Chain {
    let mut chain = chain(broker);
    chain.id.offset = offset;
    chain.state = ChainState::Open { due_ms: POPPED_MS + after_ms };
    chain
}

async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test]
async fn what_is_started_has_its_place_at_the_peer_before_the_next_look() {
    let clock = RunningClock::from(POPPED_MS);
    let machine = host(&MemoryDisk::default(), clock.clone(), &MemoryTransport::default());
    let store = Store::open(&machine, StoreConfig::default(), Arc::new(|_: &[Arc<LogEntry>]| {})).await.unwrap();
    let peers = Arc::new(Fake {
        admission: Mutex::new(Admission::Calls(8)),
        away_since: Mutex::default(),
        reads: Mutex::default(),
    });
    let service = ReviveService::new(home(), store, clock, peers.clone(), Arc::default(), ReviveConfig::default());
    service.start(Work::Read(vec![chain(SLOW)]));
    assert_eq!(peers.reads.lock().unwrap().len(), 1, "no other task has run yet");
}

#[tokio::test]
async fn what_is_due_within_an_interval_is_one_tick_one_read_and_one_conclusion() {
    let chains: Vec<Chain> = (0..5).map(|offset| due(OTHER, offset, 1_000 + offset * 200)).collect();
    let world = World::with(chains.clone(), Admission::Calls(8)).await;
    pass(1_900).await;
    assert_eq!((world.reads(), world.entries()), (vec![], 0), "it waits for others");
    pass(1_000).await;
    assert_eq!(world.reads(), [(OTHER.to_owned(), vec![0, 1, 2, 3, 4])]);
    assert_eq!(world.entries(), 2);
    assert!(chains.iter().all(|chain| world.is_revived(chain)));
}

#[tokio::test]
async fn nobody_waits_for_a_peer_that_is_slow_or_away() {
    let mut chains: Vec<Chain> = (0..2_000).map(|offset| due(SLOW, offset * 100, 0)).collect();
    chains.extend((0..500).map(|offset| due(OTHER, offset * 100, 0)));
    let (here, quick) = (due(OWN, 0, 100), due("broker-c", 7, 100));
    chains.extend([here.clone(), quick.clone()]);
    let world = World::with(chains, Admission::Later { wait_ms: Some(5_000) }).await;
    pass(1_500).await;
    assert!(world.is_revived(&here), "{:?}", world.chain(&here));
    assert!(world.is_revived(&quick), "{:?}", world.chain(&quick));
    assert!(world.reads().iter().all(|(peer, _)| peer != OTHER), "it is away");
}

#[tokio::test]
async fn a_refusal_costs_neither_an_attempt_nor_a_commit_and_the_wait_ends_with_the_probe() {
    let chains: Vec<Chain> = (0..40).map(|offset| due(OTHER, offset, 0)).collect();
    let world = World::with(chains.clone(), Admission::Later { wait_ms: Some(500) }).await;
    pass(60_000).await;
    assert_eq!((world.entries(), world.reads()), (0, vec![]));
    assert!(chains.iter().all(|chain| world.chain(chain).attempt == 0));
    *world.peers.admission.lock().unwrap() = Admission::Probe;
    pass(5_000).await;
    let sizes: Vec<usize> = world.reads().iter().map(|(_, offsets)| offsets.len()).collect();
    assert_eq!(sizes[0], 1, "a probe carries one chain: {sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 40);
    assert!(sizes.len() <= 4, "{sizes:?}");
    assert!(chains.iter().all(|chain| world.is_revived(chain) && world.chain(chain).attempt == 1));
}

#[tokio::test]
async fn what_has_waited_for_an_absent_peer_as_long_as_the_policy_lasts_is_parked_with_the_reason() {
    let early: Vec<Chain> = (0..300).map(|offset| due(OTHER, offset, 0)).collect();
    let late = due(OTHER, 900, 50_000);
    let chains = early.iter().chain([&late]).cloned().collect();
    let world = World::with(chains, Admission::Later { wait_ms: None }).await;
    pass(30_000).await;
    *world.peers.away_since.lock().unwrap() = Some(tokio::time::Instant::now());
    world.store.submit(Fill { message: message(), chains: vec![due(OTHER, 950, 30_000)] }).await.unwrap();
    pass(58_000).await;
    assert!(early.iter().all(|chain| world.chain(chain) == *chain), "the peer is not away for long enough");
    pass(7_000).await;
    for chain in &early {
        let parked = world.chain(chain);
        assert!(matches!(parked.state, ChainState::Parked { reason: ParkReason::PolicyExhausted, .. }), "{parked:?}");
        let last = parked.history.last().unwrap();
        assert_eq!((&last.failure.cause, last.failure.peer.as_str(), parked.attempt), (&Cause::Away, OTHER, 0));
    }
    assert_eq!(world.chain(&late), late, "it has not waited for long enough");
    assert!(world.reads().is_empty());
    pass(20_000).await;
    assert!(matches!(world.chain(&late).state, ChainState::Parked { .. }));
}

#[tokio::test]
async fn a_peer_that_is_back_cuts_short_the_waits_that_are_no_longer_than_its_absence() {
    let failed = |offset, wait_ms| {
        let mut chain = Chain { attempt: 1, ..due(OTHER, offset, wait_ms) };
        let failure = failure(Cause::Timeout);
        chain.history.push(FailedAttempt { round: 0, attempt: 1, at_ms: POPPED_MS, failure });
        chain
    };
    let (short, long, invisible) = (failed(100, 30_000), failed(200, 60_000), due(OTHER, 300, 30_000));
    let chains = vec![due(OTHER, 0, 0), short.clone(), long.clone(), invisible.clone()];
    let world = World::with(chains, Admission::Later { wait_ms: Some(500) }).await;
    *world.peers.away_since.lock().unwrap() = Some(tokio::time::Instant::now() - Duration::from_secs(40));
    pass(1_500).await;
    *world.peers.admission.lock().unwrap() = Admission::Probe;
    pass(3_000).await;
    assert!(world.is_revived(&short), "{:?}", world.chain(&short));
    assert_eq!(world.chain(&short).attempt, 2);
    assert_eq!(world.chain(&long), long, "it was not away for that long");
    assert_eq!(world.chain(&invisible), invisible, "its invisible time is not over");
}

#[tokio::test]
async fn a_failed_read_is_repeated_after_its_wait_and_no_sooner() {
    let world = World::with(vec![due(SLOW, 0, 0)], Admission::Calls(8)).await;
    // Read after 1 s, failed after 11 s, waits 1 s and the interval.
    for (ms, reads) in [(12_000, 1), (1_500, 2)] {
        pass(ms).await;
        assert_eq!(world.reads().len(), reads, "{:?}", world.chain(&due(SLOW, 0, 0)));
    }
}
