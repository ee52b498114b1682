//! The shell around the engine: wakes when a chain is due, runs ticks, and carries the jobs to other nodes and back.
//!
//! Nothing here ticks by the clock: the service sleeps until the next due time, and a commit that brings an earlier one
//! wakes it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    apply::Home,
    engine::Event,
    outcome::ReadOutcome,
    steps::{conclude::Conclude, tick::Tick},
    trace,
    work::Work,
};
use crate::{
    model::{
        cause::ReadFailure,
        chain::{Chain, ChainId},
    },
    sabotage,
    seams::Clock,
    store::{Store, StoreError, Tables},
    wake::Wake,
};

/// The other nodes, as the reviver sees them.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Reads the chain's message from the group that owns it. Ends within the attempt limit.
    async fn read(&self, chain: &Chain) -> ReadOutcome;

    /// Asks `to` to become the home of these chains of one checkpoint. `Ok` only once it confirmed.
    ///
    /// # Errors
    /// Why it is not known to have them. Ends within the attempt limit.
    async fn hand_over(&self, to: &str, chains: &[Chain]) -> Result<(), ReadFailure>;
}

/// Bounds of the service.
#[derive(Debug, Clone)]
pub struct ReviveConfig {
    /// How many jobs may be under way at once.
    pub jobs: usize,
    /// How many chains one transaction takes up.
    pub chains_per_tick: usize,
    /// How long to wait before trying again when the store refuses a tick.
    pub store_wait: Duration,
}

impl Default for ReviveConfig {
    fn default() -> Self {
        Self { jobs: 64, chains_per_tick: 128, store_wait: Duration::from_secs(1) }
    }
}

/// Drives the chains of one broker.
pub struct ReviveService {
    home: Home,
    store: Store,
    clock: Arc<dyn Clock>,
    peers: Arc<dyn Peers>,
    wake: Arc<Wake>,
    config: ReviveConfig,
    busy: Mutex<BTreeSet<String>>,
    permits: Arc<Semaphore>,
    job_done: Notify,
}

impl ReviveService {
    /// A service that is not running yet.
    #[must_use]
    pub fn new(
        home: Home,
        store: Store,
        clock: Arc<dyn Clock>,
        peers: Arc<dyn Peers>,
        wake: Arc<Wake>,
        config: ReviveConfig,
    ) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(config.jobs));
        let (busy, job_done) = (Mutex::default(), Notify::new());
        Arc::new(Self { home, store, clock, peers, wake, config, busy, permits, job_done })
    }

    /// Runs until `stop`; jobs under way then are left to their durable attempts.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let next_due_ms = match self.tick().await {
                Ok(next_due_ms) => next_due_ms,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(broker = %self.home.broker, error = %error, "revive tick failed; trying again");
                    tokio::time::sleep(self.config.store_wait).await;
                    continue;
                }
            };
            let free = self.permits.available_permits() > 0;
            let deadline = if free { next_due_ms } else { None };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.job_done.notified() => {}
                () = self.wake.wait(&*self.clock, deadline) => {}
            }
        }
    }

    async fn tick(self: &Arc<Self>) -> Result<Option<i64>, StoreError> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A look at the committed tables costs no transaction; most wake-ups find nothing due.
        let first = self.store.view()?.due_keys(busy.len() + 1)?.into_iter().find(|(_, key)| !busy.contains(key));
        match first {
            Some((due_ms, _)) if due_ms <= self.clock.now_ms() => {}
            later => return Ok(later.map(|(due_ms, _)| due_ms)),
        }
        let tick = Tick {
            home: self.home.clone(),
            busy,
            job_limit: self.permits.available_permits(),
            chain_limit: self.config.chains_per_tick,
        };
        let ticked = self.store.submit(tick).await?;
        for work in Work::gather(ticked.jobs) {
            self.start(work);
        }
        Ok(ticked.next_due_ms)
    }

    fn start(self: &Arc<Self>, work: Work) {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else { return };
        let ids: Vec<ChainId> = work.chains().iter().map(|chain| chain.id.clone()).collect();
        let claim = self.claim(&ids);
        let service = self.clone();
        tokio::spawn(async move {
            service.perform(work).await;
            drop(permit);
            drop(claim);
        });
    }

    async fn perform(&self, work: Work) {
        let results = match work {
            Work::Read(chain) => {
                let outcome = self.peers.read(&chain).await;
                trace::read(&chain, &outcome);
                vec![(chain.id, Event::Read { round: chain.round, attempt: chain.attempt, outcome })]
            }
            Work::HandOver { to, chains } => {
                let result = self.peers.hand_over(&to, &chains).await;
                trace::handed_over(&to, &chains, &result);
                handed(&chains, &result)
            }
        };
        self.conclude(results).await;
    }

    /// Hands freshly popped chains of one checkpoint over at once; their attempt is durable already. The pop waits for
    /// this: its answer is a success only once the chains have a home.
    ///
    /// # Errors
    /// Why the target is not known to have them; the intent stays and is driven on.
    pub async fn hand_over_now(self: &Arc<Self>, to: &str, chains: Vec<Chain>) -> Result<(), ReadFailure> {
        let ids: Vec<ChainId> = chains.iter().map(|chain| chain.id.clone()).collect();
        let claim = self.claim(&ids);
        let result = self.peers.hand_over(to, &chains).await;
        trace::handed_over(to, &chains, &result);
        let confirmed = result.is_ok();
        let results = handed(&chains, &result);
        let service = self.clone();
        // The pop need not wait for this: until it is stored, the intent is, and asking again is harmless.
        tokio::spawn(async move {
            match confirmed {
                true => service.conclude_patiently(results).await,
                false => service.conclude(results).await,
            }
            drop(claim);
        });
        result
    }

    async fn conclude(&self, results: Vec<(ChainId, Event)>) {
        let conclude = Conclude { home: self.home.clone(), results };
        if sabotage!("dropped-error")
            && matches!(conclude.results[..], [(_, Event::Read { outcome: ReadOutcome::Retry(_), .. })])
        {
            return self.swallow(conclude).await;
        }
        if let Err(error) = self.store.submit(conclude).await {
            // The attempt is durable and the next one is planned: nothing is lost, it only comes later.
            tracing::warn!(broker = %self.home.broker, error = %error, "the result of an attempt was not stored");
        }
    }

    async fn conclude_patiently(&self, results: Vec<(ChainId, Event)>) {
        let conclude = Conclude { home: self.home.clone(), results };
        if let Err(error) = self.store.submit_patiently(conclude).await {
            tracing::warn!(broker = %self.home.broker, %error, "a confirmed hand-over was not stored; it is asked again");
        }
    }

    /// The planted defect: a failed read passes for a success and the chain ends.
    async fn swallow(&self, conclude: Conclude) {
        let ended = conclude.results.into_iter().map(|(id, event)| match event {
            Event::Read { round, attempt, .. } => {
                let proof = crate::model::chain::GoneProof::BelowMinimum { minimum: 0 };
                (id, Event::Read { round, attempt, outcome: ReadOutcome::Gone(proof) })
            }
            other => (id, other),
        });
        let _ = self.store.submit(Conclude { home: self.home.clone(), results: ended.collect() }).await;
    }

    fn claim(self: &Arc<Self>, ids: &[ChainId]) -> Claim {
        let keys: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).extend(keys.iter().cloned());
        Claim { service: self.clone(), keys }
    }
}

/// Keeps chains from being taken up twice while they have a job.
struct Claim {
    service: Arc<ReviveService>,
    keys: Vec<String>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut busy = self.service.busy.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            busy.remove(key);
        }
        drop(busy);
        self.service.job_done.notify_one();
    }
}

/// What a hand-over came to, for each of its chains.
fn handed(chains: &[Chain], result: &Result<(), ReadFailure>) -> Vec<(ChainId, Event)> {
    let event = |chain: &Chain| Event::Handed { round: chain.round, attempt: chain.attempt, result: result.clone() };
    chains.iter().map(|chain| (chain.id.clone(), event(chain))).collect()
}
