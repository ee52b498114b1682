//! The shell around the engine: wakes when a chain is due, runs ticks, and carries the jobs to other nodes and back.
//!
//! Nothing here ticks by the clock: the service sleeps until a chain is due and for a while longer, so that those due
//! shortly after it are taken up with it (RocketMQ's reviver looks once a second); a commit that brings an earlier one
//! wakes it. Chains that need nobody never wait for those that need a peer, and no peer's chains for another's.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    admission::Admission,
    agenda::Agenda,
    apply::Home,
    claims::{Claim, Claims},
    engine::Event,
    outcome::ReadOutcome,
    policy::RewritePolicy,
    results::{Outcome, Results},
    returns::Returns,
    steps::{conclude::Conclude, tick::Tick},
    trace,
    work::Work,
};
use crate::{
    model::{
        cause::{Cause, ReadFailure},
        chain::{Chain, ChainId, GoneProof},
    },
    sabotage,
    seams::Clock,
    sometimes,
    store::{Store, StoreError},
    wake::Wake,
};

/// The other nodes, as the reviver sees them.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// What may be started towards a group now; reserves nothing.
    fn admission(&self, peer: &str) -> Admission;

    /// For how long a group has been asked for nothing but whether it is back; `None` while it is asked for more.
    fn away_for(&self, peer: &str) -> Option<Duration>;
    /// How long ago a group was heard of that had been away; zero while it is away, or never was.
    fn back_for(&self, peer: &str) -> Duration;

    /// Reads the chains' messages, neighbours in one queue, from the group that owns them. Ends within the attempt
    /// limit, with one outcome for each chain, in their order. Counts as under way once it has been polled.
    async fn read(&self, chains: &[Chain]) -> Vec<ReadOutcome>;

    /// Asks `to` to become the home of these chains of one checkpoint. `Ok` only once it confirmed. Counts as under way
    /// once it has been polled.
    ///
    /// # Errors
    /// Why it is not known to have them. Ends within the attempt limit.
    async fn hand_over(&self, to: &str, chains: &[Chain]) -> Result<(), ReadFailure>;
}

/// Bounds of the service.
#[derive(Debug, Clone)]
pub struct ReviveConfig {
    /// How long a chain that is due may wait for others, so that one transaction takes them up together (RocketMQ:
    /// `reviveInterval`).
    pub revive_interval: Duration,
    /// How long a result may wait for others before it is stored with them.
    pub conclude_within: Duration,
    /// How far ticks are apart that only serve chains which need peers: a paced peer is not a reason to commit for
    /// every trip.
    pub tick_gap: Duration,
    /// How many chains that need nobody one transaction takes up.
    pub chains_per_tick: usize,
    /// How long to wait before trying again when the store refuses a tick.
    pub store_wait: Duration,
    /// How long a chain may lie due while its peer is away: as long as the policy lasts.
    pub longest_wait: Duration,
}

impl Default for ReviveConfig {
    fn default() -> Self {
        Self {
            revive_interval: Duration::from_secs(1),
            conclude_within: Duration::from_millis(10),
            tick_gap: Duration::from_millis(100),
            chains_per_tick: 128,
            store_wait: Duration::from_secs(1),
            longest_wait: Duration::from_millis(RewritePolicy::default().longest_ms()),
        }
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
    claims: Arc<Claims>,
    results: Results<Claim>,
}

/// When to look again.
#[derive(Debug, Clone, Copy, Default)]
struct Pause {
    /// At this time by the broker's clock, Unix ms.
    until_ms: Option<i64>,
    /// After this span.
    span: Option<Duration>,
}

impl Pause {
    fn at_most(&mut self, span: Duration) {
        self.span = Some(self.span.map_or(span, |before| before.min(span)));
    }

    fn until_at_most(&mut self, at_ms: i64) {
        self.until_ms = Some(self.until_ms.map_or(at_ms, |before| before.min(at_ms)));
    }
}

/// Whether results are stored at once, or with what comes next.
#[derive(Debug, Clone, Copy)]
enum Hurry {
    Now,
    No,
}

/// Trips that a peer may be sent on now.
struct Trips {
    peer: String,
    count: usize,
    /// Not a trip but a look whether it is back.
    is_probe: bool,
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
        let (claims, results) = (Arc::default(), Results::default());
        Arc::new(Self { home, store, clock, peers, wake, config, claims, results })
    }

    /// Runs until `stop`; jobs under way then are left to their durable attempts.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (mut agenda, mut returns) = (Agenda::default(), Returns::default());
        let mut ticked: Option<Instant> = None;
        while !stop.is_cancelled() {
            let pause = match self.turn(&mut agenda, &mut returns, &mut ticked).await {
                Ok(pause) => pause,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(broker = %self.home.broker, error = %error, "revive tick failed; trying again");
                    // What was taken off the agenda is still due in the table.
                    agenda.forget();
                    tokio::time::sleep(self.config.store_wait).await;
                    continue;
                }
            };
            let span = async {
                match pause.span {
                    Some(span) => tokio::time::sleep(span).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.claims.released() => {}
                () = self.wake.wait(&*self.clock, pause.until_ms) => {}
                () = span => {}
            }
        }
    }

    /// Looks at what is due, and takes up what is ripe.
    async fn turn(
        self: &Arc<Self>,
        agenda: &mut Agenda,
        returns: &mut Returns,
        ticked: &mut Option<Instant>,
    ) -> Result<Pause, StoreError> {
        let now_ms = self.clock.now_ms();
        // Asked before the look, so that no commit falls between the two.
        agenda.look_again_from(self.wake.take_announced_ms());
        // A look at the committed tables costs no transaction; most wake-ups find nothing ripe.
        let looked = agenda.look(&self.store.view()?, &self.home.broker, now_ms)?;
        let mut pause = Pause::default();
        if looked.more {
            pause.at_most(Duration::ZERO);
        }
        if let Some(due_ms) = looked.next_due_ms {
            pause.until_at_most(due_ms.saturating_add(self.interval_ms()));
        }
        self.hurry(agenda, returns, now_ms, &mut pause)?;
        let waited = self.waited(agenda, returns, now_ms, &mut pause);
        let keys = self.ripe(agenda, now_ms, *ticked, &mut pause);
        let hurried = agenda.take_hurried(&keys);
        if keys.is_empty() && waited.is_empty() {
            return Ok(pause);
        }
        *ticked = Some(Instant::now());
        let peers = self.peers.clone();
        let is_away = Box::new(move |peer: &str| peers.away_for(peer).is_some());
        let done =
            self.store.submit_at_length(Tick { home: self.home.clone(), keys, hurried, waited, is_away }).await?;
        if let Some(due_ms) = done.not_yet_ms {
            agenda.look_again_from(due_ms);
        }
        let begun = if sabotage!("jobs-dropped") { 1 } else { usize::MAX };
        Work::gather(done.jobs).into_iter().take(begun).for_each(|work| self.start(work));
        // Another look: what could not be taken now decides how long to sleep.
        Ok(Pause { span: Some(Duration::ZERO), ..pause })
    }

    /// Takes what is to be taken up now off the agenda, or says when there will be something.
    fn ripe(&self, agenda: &mut Agenda, now_ms: i64, ticked: Option<Instant>, pause: &mut Pause) -> Vec<String> {
        let busy = self.claims.busy();
        let here = agenda.first_here(&busy);
        let (away, trips) = self.admitted(agenda, &busy, pause);
        let is_ripe = |since_ms: &Option<i64>| {
            since_ms.is_some_and(|since_ms| since_ms.saturating_add(self.interval_ms()) <= now_ms)
        };
        // A peer's chains that are due travel with the tick that serves others, but do not ask for one too often.
        let gap = ticked.map_or(Duration::ZERO, |ticked| self.config.tick_gap.saturating_sub(ticked.elapsed()));
        let away_is_ripe = is_ripe(&away) && gap.is_zero();
        if !is_ripe(&here) && !away_is_ripe {
            if let Some(first) = here.into_iter().chain(away.filter(|_| !is_ripe(&away))).min() {
                pause.until_at_most(first.saturating_add(self.interval_ms()));
            }
            if is_ripe(&away) {
                pause.at_most(gap);
            }
            return Vec::new();
        }
        let mut keys = agenda.take_here(self.config.chains_per_tick, &busy);
        for Trips { peer, count, is_probe } in trips {
            match is_probe {
                true => keys.extend(agenda.take_probe(&peer, &busy)),
                false => (0..count).for_each(|_| keys.extend(agenda.take_trip(&peer, &busy))),
            }
        }
        keys
    }

    /// The peers that may be sent to now, and since when the first chain waits that needs one of them.
    fn admitted(&self, agenda: &Agenda, busy: &BTreeSet<String>, pause: &mut Pause) -> (Option<i64>, Vec<Trips>) {
        let (mut first, mut trips) = (None, Vec::new());
        for (peer, since_ms) in agenda.peers(busy) {
            let (count, is_probe) = match self.peers.admission(&peer) {
                Admission::Calls(count) => (count, false),
                Admission::Probe => (1, true),
                Admission::Later { wait_ms } => {
                    if let Some(wait_ms) = wait_ms {
                        pause.at_most(Duration::from_millis(wait_ms));
                    }
                    continue;
                }
            };
            let late_ms = if sabotage!("peers-come-last") { 60_000 } else { 0 };
            let since_ms = since_ms.saturating_add(late_ms);
            first = Some(first.map_or(since_ms, |before: i64| before.min(since_ms)));
            trips.push(Trips { peer, count, is_probe });
        }
        (first, trips)
    }

    /// Puts on the agenda what waits for a peer that is back.
    fn hurry(
        &self,
        agenda: &mut Agenda,
        returns: &mut Returns,
        now_ms: i64,
        pause: &mut Pause,
    ) -> Result<(), StoreError> {
        returns.ask(&*self.peers, now_ms);
        if !returns.has_more() {
            return Ok(());
        }
        let busy = self.claims.busy();
        for (key, chain) in returns.look(&self.store.view()?, &busy)? {
            agenda.hurry(key, &chain, &self.home.broker, now_ms);
        }
        if returns.has_more() {
            pause.at_most(Duration::ZERO);
        }
        Ok(())
    }

    /// Takes off the agenda what has waited for an absent peer for as long as the policy lasts, or says when something
    /// will have. Time in which this broker was away itself, or nobody knew that the peer is, does not count.
    fn waited(
        &self,
        agenda: &mut Agenda,
        returns: &mut Returns,
        now_ms: i64,
        pause: &mut Pause,
    ) -> Vec<(String, ReadFailure)> {
        let busy = self.claims.busy();
        let (longest_ms, mut waited) = (millis(self.config.longest_wait), Vec::new());
        for (peer, since_ms) in agenda.peers(&busy) {
            let Some(away_for) = self.peers.away_for(&peer) else { continue };
            returns.is_away(&peer, away_for);
            agenda.hurry_no_more(&peer);
            if sabotage!("waits-for-ever") {
                continue;
            }
            let left_ms = longest_ms.saturating_sub(millis(away_for)).max(0);
            let give_up_ms = now_ms.saturating_sub(longest_ms);
            if left_ms == 0 && since_ms <= give_up_ms {
                let took_ms = longest_ms.unsigned_abs();
                let failure = ReadFailure { cause: Cause::Away, peer: peer.clone(), took_ms };
                let taken = agenda.take_waited(&peer, give_up_ms, self.config.chains_per_tick, &busy);
                waited.extend(taken.into_iter().map(|key| (key, failure.clone())));
            }
            if let Some(since_ms) = agenda.first_away(&peer, &busy) {
                pause.until_at_most(since_ms.saturating_add(longest_ms).max(now_ms.saturating_add(left_ms)));
            }
        }
        waited
    }

    fn interval_ms(&self) -> i64 {
        millis(self.config.revive_interval) * if sabotage!("taken-up-late") { 60 } else { 1 }
    }

    fn start(self: &Arc<Self>, work: Work) {
        let ids: Vec<ChainId> = work.chains().iter().map(|chain| chain.id.clone()).collect();
        let claim = self.claims.claim(&ids);
        let service = self.clone();
        let mut trip = Box::pin(async move {
            let outcomes = service.perform(work).await;
            service.conclude(outcomes, claim).await;
        });
        // Its first step takes its place at the peer: the next look at what is admitted may come before a task of its own
        // begins to run.
        if trip.as_mut().now_or_never().is_none() {
            tokio::spawn(trip);
        }
    }

    async fn perform(&self, work: Work) -> Vec<Outcome> {
        match work {
            Work::Read(chains) => {
                let outcomes = self.peers.read(&chains).await;
                let event = |(chain, outcome): (Chain, ReadOutcome)| {
                    trace::read(&chain, &outcome);
                    (chain.id, Event::Read { round: chain.round, attempt: chain.attempt, outcome })
                };
                chains.into_iter().zip(outcomes).map(event).collect()
            }
            Work::HandOver { to, chains } => {
                let result = self.peers.hand_over(&to, &chains).await;
                trace::handed_over(&to, &chains, &result);
                handed(&chains, &result)
            }
        }
    }

    /// Hands freshly popped chains of one checkpoint over at once; their attempt is durable already. The pop waits for
    /// this: its answer is a success only once the chains have a home.
    ///
    /// # Errors
    /// Why the target is not known to have them; the intent stays and is driven on.
    pub async fn hand_over_now(self: &Arc<Self>, to: &str, chains: Vec<Chain>) -> Result<(), ReadFailure> {
        let ids: Vec<ChainId> = chains.iter().map(|chain| chain.id.clone()).collect();
        let claim = self.claims.claim(&ids);
        let result = self.peers.hand_over(to, &chains).await;
        trace::handed_over(to, &chains, &result);
        let confirmed = result.is_ok();
        let outcomes = handed(&chains, &result);
        let service = self.clone();
        // The pop need not wait for this: until it is stored, the intent is, and asking again is harmless.
        tokio::spawn(async move {
            match confirmed {
                true => service.conclude_patiently(outcomes, claim).await,
                false => service.conclude(outcomes, claim).await,
            }
        });
        result
    }

    /// Stores results, together with those that come within a moment: no result waits for a peer that is slow.
    async fn conclude(&self, outcomes: Vec<Outcome>, claim: Claim) {
        if !self.results.add(outcomes, claim) {
            return;
        }
        loop {
            tokio::time::sleep(self.config.conclude_within).await;
            let Some((outcomes, claims)) = self.results.take() else { return };
            let results = if sabotage!("dropped-error") { swallow(outcomes) } else { outcomes };
            if let Err(error) = self.store_results(results, Hurry::Now).await {
                // The attempts are durable and the next ones are planned: nothing is lost, it only comes later.
                tracing::warn!(broker = %self.home.broker, %error, "results of attempts were not stored");
            }
            drop(claims);
        }
    }

    async fn conclude_patiently(&self, results: Vec<Outcome>, claim: Claim) {
        if let Err(error) = self.store_results(results, Hurry::No).await {
            tracing::warn!(broker = %self.home.broker, %error, "a confirmed hand-over was not stored; it is asked again");
        }
        drop(claim);
    }

    /// Stores results. A store that takes nothing for now will take them later: what a peer has answered is not thrown
    /// away for that, and no next attempt can begin before, for it would have to be stored as well.
    async fn store_results(&self, results: Vec<Outcome>, hurry: Hurry) -> Result<(), StoreError> {
        loop {
            let conclude = Conclude { home: self.home.clone(), results: results.clone() };
            let stored = match hurry {
                Hurry::Now => self.store.submit_at_length(conclude).await,
                Hurry::No => self.store.submit_patiently(conclude).await,
            };
            match stored {
                Err(error) if error.is_for_now() => {
                    sometimes!("results-wait-for-store");
                    tokio::time::sleep(self.config.store_wait).await;
                }
                stored => return stored.map(drop),
            }
        }
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// The planted defect: a failed read passes for a success and the chain ends.
fn swallow(outcomes: Vec<Outcome>) -> Vec<Outcome> {
    let swallowed = |event| match event {
        Event::Read { round, attempt, outcome: ReadOutcome::Retry(_) } => {
            let proof = GoneProof::BelowMinimum { minimum: 0 };
            Event::Read { round, attempt, outcome: ReadOutcome::Gone(proof) }
        }
        other => other,
    };
    outcomes.into_iter().map(|(id, event)| (id, swallowed(event))).collect()
}

/// What a hand-over came to, for each of its chains.
fn handed(chains: &[Chain], result: &Result<(), ReadFailure>) -> Vec<(ChainId, Event)> {
    let event = |chain: &Chain| Event::Handed { round: chain.round, attempt: chain.attempt, result: result.clone() };
    chains.iter().map(|chain| (chain.id.clone(), event(chain))).collect()
}

#[cfg(test)]
#[path = "service_pace_tests.rs"]
mod pace_tests;
