//! The service with scripted peers: reads that hang, fail, end in any order, or whose results cannot be recorded.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{
    Admission, Peers, ReadOutcome, ReviveConfig, ReviveService, Reviver, RewritePolicy,
    apply::Home,
    samples::{OTHER, OWN, POPPED_MS, chain, failure, home, message, store_host},
    steps::ack::{Ack, Acked},
};
use crate::{
    model::{
        cause::{Cause, ReadFailure},
        chain::{Chain, ChainId, ChainState, GoneProof, Outcome, ParkReason},
        message::Message,
        record::{LogEntry, Record},
    },
    remoting::memory_transport::MemoryTransport,
    seams::memory_host::{MemoryDisk, RunningClock, host},
    store::{Confirms, Step, Store, StoreConfig, StoreError, Tables, Txn},
    wake::Wake,
};

/// When everything is due, soon after the beginning of a test.
const SOON_MS: i64 = POPPED_MS + 50;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// After how long a read comes to what; `None` never ends.
type Reads = dyn Fn(&Chain) -> Option<(Duration, ReadOutcome)> + Send + Sync;

/// Peers by script.
struct Script {
    reads: Box<Reads>,
    /// How many trips may be under way at once.
    places: usize,
    asked: Mutex<Vec<ChainId>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Script {
    fn new(reads: impl Fn(&Chain) -> Option<(Duration, ReadOutcome)> + Send + Sync + 'static) -> Arc<Self> {
        Self::with_places(64, reads)
    }

    fn with_places(
        places: usize,
        reads: impl Fn(&Chain) -> Option<(Duration, ReadOutcome)> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (under_way, most) = (AtomicUsize::default(), AtomicUsize::default());
        Arc::new(Self { reads: Box::new(reads), places, asked: Mutex::default(), under_way, most })
    }

    /// The numbers of the chains that were asked for, in order of their size.
    fn asked(&self) -> Vec<i64> {
        let mut numbers: Vec<_> = self.asked.lock().unwrap().iter().map(number).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// Far enough from each other that no two are read on one trip.
const APART: i64 = 100;

fn number(id: &ChainId) -> i64 {
    id.offset / APART
}

#[async_trait]
impl Peers for Script {
    fn admission(&self, _peer: &str) -> Admission {
        match self.places.saturating_sub(self.under_way.load(SeqCst)) {
            0 => Admission::Later { wait_ms: None },
            places => Admission::Calls(places),
        }
    }

    fn away_for(&self, _: &str) -> Option<Duration> {
        None
    }

    fn back_for(&self, _: &str) -> Duration {
        Duration::ZERO
    }

    async fn read(&self, chains: &[Chain]) -> Vec<ReadOutcome> {
        self.asked.lock().unwrap().extend(chains.iter().map(|chain| chain.id.clone()));
        self.most.fetch_max(self.under_way.fetch_add(1, SeqCst) + 1, SeqCst);
        let mut outcomes = Vec::new();
        for chain in chains {
            match (self.reads)(chain) {
                Some((after, outcome)) => {
                    tokio::time::sleep(after).await;
                    outcomes.push(outcome);
                }
                None => std::future::pending().await,
            }
        }
        self.under_way.fetch_sub(1, SeqCst);
        outcomes
    }

    async fn hand_over(&self, _to: &str, _chains: &[Chain]) -> Result<(), ReadFailure> {
        Ok(())
    }
}

/// Stores the sample message, and these chains.
struct Fill(Vec<Chain>);

impl Step for Fill {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.ensure_internal_topic("t")?;
        txn.append(message())?.map_err(|_| StoreError::Closed)?;
        self.0.into_iter().try_for_each(|chain| txn.record_chain(chain))
    }
}

struct World {
    disk: MemoryDisk,
    clock: Arc<RunningClock>,
    store: Store,
    wake: Arc<Wake>,
    /// Ends the services.
    stop: CancellationToken,
    /// After how many commits `stop` is cancelled.
    stop_after: Arc<AtomicUsize>,
}

impl World {
    async fn with(chains: impl IntoIterator<Item = Chain>) -> Self {
        let world = Self::on(MemoryDisk::default(), RunningClock::from(POPPED_MS)).await;
        world.store.submit(Fill(chains.into_iter().collect())).await.unwrap();
        world
    }

    async fn on(disk: MemoryDisk, clock: Arc<RunningClock>) -> Self {
        Self::opened(disk, clock, StoreConfig::default()).await
    }

    async fn opened(disk: MemoryDisk, clock: Arc<RunningClock>, config: StoreConfig) -> Self {
        let (wake, stop) = (Arc::<Wake>::default(), CancellationToken::new());
        let stop_after = Arc::new(AtomicUsize::new(usize::MAX));
        let (woken, stopped, left) = (wake.clone(), stop.clone(), stop_after.clone());
        let listener = Arc::new(move |entries: &[Arc<LogEntry>]| {
            for record in entries.iter().flat_map(|entry| &entry.records) {
                if let Record::Chain(chain) = record
                    && let Some(due_ms) = chain.due_ms()
                {
                    woken.due(due_ms);
                }
            }
            if left.fetch_sub(1, SeqCst) == 1 {
                stopped.cancel();
            }
        });
        let host = host(&disk, clock.clone(), &MemoryTransport::default());
        let store = Store::open(&host, config, listener).await.unwrap();
        Self { disk, clock, store, wake, stop, stop_after }
    }

    /// A service whose attempts end within 400 ms and are repeated after 200 ms.
    fn service(&self, peers: &Arc<Script>, config: ReviveConfig) -> Arc<ReviveService> {
        let policy = RewritePolicy { waits_ms: vec![200], rewrites: 20, refusals: 1, ..RewritePolicy::default() };
        let engine = Arc::new(Reviver { own_broker: OWN.into(), policy, attempt_limit_ms: 400 });
        let home = Home { broker: OWN.into(), store_host: store_host(), engine };
        ReviveService::new(home, self.store.clone(), self.clock.clone(), peers.clone(), self.wake.clone(), config)
    }

    fn run(&self, peers: &Arc<Script>, config: ReviveConfig) -> tokio::task::JoinHandle<()> {
        tokio::spawn(self.service(peers, config).run(self.stop.clone()))
    }

    fn state(&self, id: &ChainId) -> Option<ChainState> {
        Some(self.store.view().ok()?.chain(id).ok()??.state)
    }

    fn is_revived(&self, id: &ChainId) -> bool {
        matches!(self.state(id), Some(ChainState::Ended { outcome: Outcome::Revived(_), .. }))
    }

    /// How many copies there are for the group.
    fn copies(&self) -> i64 {
        self.store.view().unwrap().bounds("%RETRY%g_t", 0).unwrap().next
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..500 {
            if holds() {
                return;
            }
            tokio::time::sleep(MS(20)).await;
        }
        panic!("never: {what}");
    }
}

fn found() -> ReadOutcome {
    ReadOutcome::Found(Box::new(Message { topic: "t".into(), ..message() }))
}

/// A chain of another broker's message, due soon.
fn remote(number: i64) -> Chain {
    let mut chain = Chain { state: ChainState::Open { due_ms: SOON_MS }, ..chain(OTHER) };
    chain.id.offset = number * APART;
    chain
}

/// As many chains of this broker's message, popped one after the other, all due soon.
fn local(count: i64) -> Vec<Chain> {
    let popped_at = |pop_time| {
        let mut chain = Chain { state: ChainState::Open { due_ms: SOON_MS }, ..chain(OWN) };
        chain.id.pop_time = pop_time;
        chain
    };
    (0..count).map(|later| popped_at(POPPED_MS + later)).collect()
}

/// Known defects A10, A11, A12, A33, A47: jobs that end in the wrong order must all be counted, give their places back,
/// and never be more than configured. A table of jobs that loses or keeps an entry leaves some chain without its turn.
#[tokio::test]
async fn reads_that_end_in_the_wrong_order_all_count_and_are_never_too_many() {
    let world = World::with((0..12).map(remote)).await;
    let peers = Script::with_places(3, |chain| Some((MS(20 * (12 - number(&chain.id).unsigned_abs())), found())));
    world.run(&peers, ReviveConfig::default());
    world.until("all are revived", || (0..12).all(|offset| world.is_revived(&remote(offset).id))).await;
    assert_eq!((peers.asked(), world.copies()), ((0..12).collect(), 12), "each asked for and copied once");
    assert_eq!(peers.most.load(SeqCst), 3, "as many at once as there are places");
}

/// Known defects A09, C10, C12: chains of other places are other chains, whatever else they have in common, and one read
/// that never ends holds up none of them. Keyed by offset alone they would share one job. (Chains that differ in their
/// group, pop time or term alone are for the same message, and share its read.)
#[tokio::test]
async fn a_read_that_never_ends_holds_up_nobody_who_is_like_it() {
    let hung = remote(0);
    let like = |change: &dyn Fn(&mut ChainId)| {
        let mut other = hung.clone();
        change(&mut other.id);
        other
    };
    let others = [
        like(&|id| id.topic = "u".into()),
        like(&|id| id.queue = 1),
        like(&|id| id.broker = "broker-c".into()),
        like(&|id| id.broker = OWN.into()),
    ];
    let world = World::with(others.iter().cloned().chain([hung.clone()])).await;
    let never = hung.id.clone();
    let peers = Script::new(move |chain| (chain.id != never).then(|| (MS(10), found())));
    world.run(&peers, ReviveConfig::default());
    world.until("the others are revived", || others.iter().all(|chain| world.is_revived(&chain.id))).await;
    let still = world.store.view().unwrap().chain(&hung.id).unwrap().unwrap();
    assert_eq!((still.attempt, still.due_ms()), (1, Some(still.round_began_ms.unwrap() + 400 + 200)));
}

/// Known defects A58, A78: whatever an attempt comes to, its place is free again. With one place, one outcome that
/// kept it would be the last.
#[tokio::test]
async fn every_outcome_gives_its_place_back() {
    let world = World::with((0..6).map(remote)).await;
    let peers = Script::with_places(1, |chain| {
        let outcome = match (number(&chain.id), chain.attempt) {
            (1, _) => ReadOutcome::Gone(GoneProof::BelowMinimum { minimum: 2 }),
            (2, 1) => ReadOutcome::Retry(failure(Cause::Timeout)),
            (3, _) => ReadOutcome::Permanent(failure(Cause::TopicUnknown)),
            _ => found(),
        };
        Some((MS(if number(&chain.id) == 4 { 300 } else { 5 }), outcome))
    });
    world.run(&peers, ReviveConfig::default());
    world.until("the read of 4 is under way", || peers.asked().contains(&4)).await;
    let ack = Ack { home: home(), ids: vec![remote(4).id], keep_until_ms: None };
    assert_eq!(world.store.submit(ack).await.unwrap(), [Acked::Absorbed]);
    world.until("the last is revived", || world.is_revived(&remote(5).id) && world.is_revived(&remote(2).id)).await;
    let state = |offset| world.state(&remote(offset).id).unwrap();
    assert!(matches!(state(1), ChainState::Ended { outcome: Outcome::Gone(_), .. }));
    assert!(matches!(state(3), ChainState::Parked { reason: ParkReason::Permanent, .. }));
    assert!(matches!(state(4), ChainState::Ended { outcome: Outcome::Acked, .. }));
    assert_eq!((peers.asked(), world.copies()), (vec![0, 1, 2, 2, 3, 4, 5], 3));
}

/// Known defects A03, A11, B02: nothing that is under way is behind any progress mark. Had the mark moved when the read
/// began, the process that comes back would never look at these chains again.
#[tokio::test]
async fn what_was_under_way_when_the_process_died_is_taken_up_by_the_next() {
    let world = World::with((0..3).map(remote)).await;
    let silent = Script::new(|_| None);
    world.run(&silent, ReviveConfig::default());
    world.until("all reads are under way", || silent.asked().len() == 3).await;
    world.stop.cancel();
    // The first store is never closed: the second one finds the disk as a power loss leaves it.
    let next = World::on(world.disk.clone(), world.clock.clone()).await;
    let view = next.store.view().unwrap();
    assert_eq!(view.due_keys(9).unwrap().len(), 3);
    assert!((0..3).all(|offset| view.chain(&remote(offset).id).unwrap().unwrap().attempt == 1), "counted");
    let peers = Script::new(|_| Some((MS(5), found())));
    next.run(&peers, ReviveConfig::default());
    next.until("all are revived", || next.copies() == 3).await;
    assert_eq!(peers.asked(), [0, 1, 2]);
}

/// Known defects A04, A05, A19, B03: a result that cannot be recorded is no result. Ignoring the failed write would end
/// or forget the chain; here the attempt that was planned before it began comes, and the copy is there once.
#[tokio::test]
async fn a_result_that_the_store_refuses_is_asked_for_again() {
    for failing in 1..=4 {
        let world = World::with([remote(0)]).await;
        let disk = world.disk.clone();
        let peers = Script::new(move |chain| {
            if chain.attempt == 1 {
                disk.fail_syncs(failing);
            }
            Some((MS(10), found()))
        });
        world.run(&peers, ReviveConfig::default());
        world.until("it is revived", || world.is_revived(&remote(0).id)).await;
        tokio::time::sleep(MS(1_000)).await;
        assert_eq!(world.copies(), 1, "{failing} syncs failed");
    }
}

/// A slave that is slow to confirm keeps the store from taking anything for now. What the peer has answered meanwhile is
/// kept until it does: thrown away, the peer would be asked once more for what it has told.
#[tokio::test]
async fn what_a_peer_has_answered_outlasts_a_store_that_takes_nothing_for_now() {
    let config = StoreConfig { confirms: Confirms::WhenTold { within: MS(100) }, ..StoreConfig::default() };
    let world = World::opened(MemoryDisk::default(), RunningClock::from(POPPED_MS), config).await;
    world.store.submit_here(Fill(vec![remote(0)])).await.unwrap();
    world.store.confirm(2); // the attempt as well, and no more
    let peers = Script::new(|_| Some((MS(300), found())));
    world.run(&peers, ReviveConfig { store_wait: MS(50), ..ReviveConfig::default() });
    world.until("it is asked for", || peers.asked() == [0]).await;
    world.store.submit_here(Fill(Vec::new())).await.unwrap();
    tokio::time::sleep(MS(1_500)).await;
    assert!(matches!(world.store.submit(Fill(Vec::new())).await, Err(StoreError::ConfirmationStalled)));
    world.store.confirm(u64::MAX);
    world.until("it is revived", || world.is_revived(&remote(0).id)).await;
    assert_eq!((peers.asked(), world.copies()), (vec![0], 1), "asked once");
}

/// Known defects A05, A19, A58: a store that refuses or cannot be read for a while delays what is due, and ends nothing.
#[tokio::test]
async fn a_store_that_refuses_for_a_while_delays_what_is_due_and_ends_nothing() {
    let world = World::with(local(3)).await;
    world.disk.fail_syncs(3);
    world.disk.refuse_to_open(1);
    let config = ReviveConfig { store_wait: MS(100), ..ReviveConfig::default() };
    world.run(&Script::new(|_| None), config);
    world.until("all are revived", || local(3).iter().all(|chain| world.is_revived(&chain.id))).await;
    assert_eq!(world.copies(), 3);
}

/// Known defects A42, C02: more chains in one moment than one transaction takes are worked off one transaction after the
/// other. A pass that has to see all of them before it does any would never do one.
#[tokio::test]
async fn a_backlog_larger_than_one_transaction_is_worked_off() {
    let world = World::with(local(100)).await;
    world.run(&Script::new(|_| None), ReviveConfig { chains_per_tick: 7, ..ReviveConfig::default() });
    world.until("all are revived", || local(100).iter().all(|chain| world.is_revived(&chain.id))).await;
    assert_eq!(world.copies(), 100);
}

/// Known defect A97: a service that is stopped in the middle of a backlog ends with the transaction under way.
#[tokio::test]
async fn a_stop_in_the_middle_of_a_backlog_is_obeyed() {
    let world = World::with(local(200)).await;
    world.stop_after.store(10, SeqCst);
    let running = world.run(&Script::new(|_| None), ReviveConfig { chains_per_tick: 1, ..ReviveConfig::default() });
    assert!(tokio::time::timeout(MS(5_000), running).await.is_ok(), "it goes on");
    assert!((10..=11).contains(&world.copies()), "{} copies after the stop", world.copies());
}

/// Known defect A25: what waits for a peer holds no thread and no place that another exchange needs. A pop whose chains
/// are handed over is answered although every place is taken by reads that hang.
#[tokio::test]
async fn a_pop_is_handed_over_while_every_place_is_taken_by_reads_that_hang() {
    let moving = ChainState::Moving { to: OTHER.into(), due_ms: POPPED_MS + 60_000, revive_ms: POPPED_MS + 60_000 };
    let popped = Chain { state: moving, attempt: 1, ..local(1).remove(0) };
    let world = World::with([remote(0), remote(1), popped.clone()]).await;
    let silent = Script::with_places(2, |_| None);
    let service = world.service(&silent, ReviveConfig::default());
    tokio::spawn(service.clone().run(world.stop.clone()));
    world.until("both places are taken", || silent.asked().len() == 2).await;
    let handed = tokio::time::timeout(MS(200), service.hand_over_now(OTHER, vec![popped.clone()])).await;
    assert_eq!(handed.unwrap(), Ok(()));
    world.until("it moved", || matches!(world.state(&popped.id), Some(ChainState::Moved { .. }))).await;
}
