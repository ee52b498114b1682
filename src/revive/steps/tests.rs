#![allow(clippy::unwrap_used, reason = "tests")]

mod driving;
mod handles;
mod races;
mod reads;
mod withdrawals;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use super::{
    ack::{Ack, Acked},
    adopt::Adopt,
    conclude::Conclude,
    renew::{Renew, Renewed},
    resume::{Resume, Resumed, Which},
    tick::{Tick, Ticked},
};
use crate::{
    model::{
        cause::{Cause, ReadFailure},
        chain::{Chain, ChainId, ChainState, CopyPlace, GoneProof, Outcome, ParkReason},
        message::Message,
        names,
        record::{LogEntry, Record},
    },
    remoting::memory_transport::MemoryTransport,
    revive::{
        ReadOutcome,
        apply::Job,
        engine::{Answer, Event},
        samples::{DUE_MS, INVISIBLE_MS, OTHER, OWN, POPPED_MS, chain, failure, home, message},
    },
    seams::memory_host::{MemoryDisk, StandingClock, host},
    store::{Step, Store, StoreConfig, StoreError, Tables, Txn},
};

/// A store with the tests' own way of filling it.
struct World {
    store: Store,
    clock: Arc<StandingClock>,
    entries: Arc<Mutex<Vec<LogEntry>>>,
}

/// Records these facts.
struct Facts(Vec<Record>);

impl Step for Facts {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        self.0.into_iter().try_for_each(|record| txn.record(record))
    }
}

/// Stores a message in a topic, creating the topic.
struct Put(Message);

impl Step for Put {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.ensure_internal_topic(&self.0.topic)?;
        txn.append(self.0)?.map(drop).map_err(|_| StoreError::Closed)
    }
}

impl World {
    async fn new() -> Self {
        let clock = StandingClock::at(POPPED_MS);
        let entries: Arc<Mutex<Vec<LogEntry>>> = Arc::default();
        let heard = entries.clone();
        let listener = Arc::new(move |new: &[Arc<LogEntry>]| {
            heard.lock().unwrap().extend(new.iter().map(|entry| LogEntry::clone(entry)))
        });
        let host = host(&MemoryDisk::default(), clock.clone(), &MemoryTransport::default());
        Self { store: Store::open(&host, StoreConfig::default(), listener).await.unwrap(), clock, entries }
    }

    /// A world that holds this chain and the message of the samples.
    async fn with(chain: Chain) -> Self {
        let world = Self::new().await;
        world.do_step(Put(message())).await;
        world.do_step(Facts(vec![Record::Chain(Box::new(chain))])).await;
        world
    }

    async fn do_step<S: Step>(&self, step: S) -> S::Reply {
        self.store.submit(step).await.unwrap()
    }

    fn chain(&self, id: &ChainId) -> Chain {
        self.store.view().unwrap().chain(id).unwrap().unwrap()
    }

    fn state(&self) -> ChainState {
        self.chain(&chain(OWN).id).state
    }

    fn entries(&self) -> usize {
        self.entries.lock().unwrap().len()
    }

    fn last_entry(&self) -> LogEntry {
        self.entries.lock().unwrap().last().unwrap().clone()
    }

    async fn ack(&self, id: &ChainId) -> Acked {
        self.do_step(Ack { home: home(), ids: vec![id.clone()], keep_until_ms: None }).await.remove(0)
    }

    async fn renew(&self, id: &ChainId, invisible_ms: i64) -> Renewed {
        self.do_step(Renew { home: home(), id: id.clone(), invisible_ms }).await
    }

    async fn renewed(&self, id: &ChainId) -> Chain {
        match self.renew(id, INVISIBLE_MS).await {
            Renewed::As(chain) => *chain,
            other => panic!("{other:?}"),
        }
    }

    /// Takes up whatever the table says is due.
    async fn tick_at(&self, now_ms: i64) -> Ticked {
        self.clock.set(now_ms);
        let due = self.store.view().unwrap().due_keys(9).unwrap().into_iter();
        let keys = due.filter(|(due_ms, _)| *due_ms <= now_ms).map(|(_, key)| key).collect();
        self.do_step(Tick {
            home: home(),
            keys,
            hurried: BTreeSet::new(),
            waited: Vec::new(),
            is_away: Box::new(|_| true),
        })
        .await
    }

    /// When the next chain is due.
    fn next_due_ms(&self) -> Option<i64> {
        self.store.view().unwrap().due_keys(1).unwrap().first().map(|(due_ms, _)| *due_ms)
    }

    fn copy_in(&self, topic: &str) -> Option<Message> {
        let mut stored = self.store.view().unwrap().message(topic, 0, 0).unwrap()?;
        Some(Message::decode(&mut stored).unwrap())
    }
}

fn at_offset(broker: &str, offset: i64) -> Chain {
    let mut chain = chain(broker);
    chain.id.offset = offset;
    chain
}
