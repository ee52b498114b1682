//! The chains that the benchmarks open and revive, on a store that tells when all of them have ended.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use pop_revive::{
    model::{
        chain::{Chain, ChainId, ChainState, History, LogPosition, Outcome},
        message::Message,
        properties::Properties,
        record::{LogEntry, Record},
    },
    revive::{Engine, Peers, ReviveConfig, ReviveService, apply::Home},
    store::{Step, Store, StoreConfig, StoreError, Txn},
    wake::Wake,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{MemoryDisk, Pipes, RunningClock, host};

/// The broker of the benchmarks.
pub const OWN: &str = "broker-a";
/// When everything was popped, Unix ms.
pub const POPPED_MS: i64 = 1_700_000_000_000;
/// When everything is due, Unix ms.
pub const DUE_MS: i64 = POPPED_MS + INVISIBLE_MS;
const INVISIBLE_MS: i64 = 60_000;
const BODY: &[u8] = &[b'x'; 128];

fn store_host() -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, 1), 10911).into()
}

/// The chain of message `offset` in queue 0 of topic `t`.
pub fn chain(broker: &str, offset: i64) -> Chain {
    let (broker, topic, group) = (broker.into(), "t".into(), "g".into());
    Chain {
        id: ChainId { broker, topic, queue: 0, offset, group, pop_time: POPPED_MS, term: 1 },
        topic_epoch: LogPosition::default(),
        start_offset: 0,
        invisible_ms: INVISIBLE_MS,
        reconsume_limit: 16,
        round: 0,
        hop: 0,
        generation: 0,
        attempt: 0,
        round_began_ms: None,
        acted_for: None,
        resumed_ms: None,
        failed_before: 0,
        state: ChainState::Open { due_ms: DUE_MS },
        history: History::default(),
    }
}

/// Message `offset` of that queue.
pub fn message(offset: i64) -> Message {
    let mut properties = Properties::new();
    properties.set("TAGS", "A");
    properties.set("UNIQ_KEY", format!("key-{offset}"));
    Message {
        topic: "t".into(),
        queue_id: 0,
        queue_offset: offset,
        physical_offset: offset,
        flag: 0,
        sys_flag: 0,
        born_timestamp: POPPED_MS,
        born_host: store_host(),
        store_timestamp: POPPED_MS,
        store_host: store_host(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: Bytes::from_static(BODY),
        properties,
    }
}

/// Stores messages and opens chains.
pub struct Fill {
    /// The messages.
    pub messages: Vec<Message>,
    /// The chains.
    pub chains: Vec<Chain>,
}

impl Step for Fill {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.ensure_internal_topic("t")?;
        for message in self.messages {
            txn.append(message)?.map_err(|_| StoreError::Closed)?;
        }
        self.chains.into_iter().try_for_each(|chain| txn.record_chain(chain))
    }
}

/// What commits were like.
#[derive(Debug, Default)]
pub struct Counted {
    /// Log entries.
    pub entries: AtomicUsize,
    /// Bytes of the entries.
    pub bytes: AtomicUsize,
    /// Chains that ended with a copy.
    pub revived: AtomicUsize,
    wake: Arc<Wake>,
    ended: Notify,
}

impl Counted {
    fn hear(&self, entries: &[Arc<LogEntry>]) {
        for entry in entries {
            self.entries.fetch_add(1, SeqCst);
            let bytes = entry.encode().unwrap_or_else(|error| panic!("an entry was committed: {error}"));
            self.bytes.fetch_add(bytes.len(), SeqCst);
            for record in &entry.records {
                let Record::Chain(chain) = record else { continue };
                if let Some(due_ms) = chain.due_ms() {
                    self.wake.due(due_ms);
                }
                if matches!(chain.state, ChainState::Ended { outcome: Outcome::Revived(_), .. }) {
                    self.revived.fetch_add(1, SeqCst);
                    self.ended.notify_one();
                }
            }
        }
    }
}

/// An open store.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The machine's clock.
    pub clock: Arc<RunningClock>,
    /// What it has committed since.
    pub counted: Arc<Counted>,
}

impl Opened {
    /// Opens the disk's store, at this time.
    pub async fn at(disk: &MemoryDisk, now_ms: i64) -> Self {
        let (counted, clock) = (Arc::<Counted>::default(), RunningClock::from(now_ms));
        let hears = counted.clone();
        let listener = Arc::new(move |entries: &[Arc<LogEntry>]| hears.hear(entries));
        let store = Store::open(&host(disk, clock.clone(), &Pipes::default()), StoreConfig::default(), listener).await;
        Self { store: store.unwrap_or_else(|error| panic!("{error}")), clock, counted }
    }

    /// Runs a step.
    pub async fn fill(&self, step: Fill) {
        self.store.submit(step).await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Lets the real service revive what is due, until `count` chains are.
    pub async fn revive(&self, engine: Arc<dyn Engine>, peers: Arc<dyn Peers>, count: usize) {
        let home = Home { broker: OWN.into(), store_host: store_host(), engine };
        // Nothing waits for company: what is measured is work, not patience.
        let config = ReviveConfig { revive_interval: Duration::ZERO, ..ReviveConfig::default() };
        let (clock, wake) = (self.clock.clone(), self.counted.wake.clone());
        let service = ReviveService::new(home, self.store.clone(), clock, peers, wake, config);
        let stop = CancellationToken::new();
        let running = tokio::spawn(service.run(stop.clone()));
        while self.counted.revived.load(SeqCst) < count {
            self.counted.ended.notified().await;
        }
        stop.cancel();
        drop(running.await);
    }
}
