//! The breakers of all peers, and what counts as a failure of a peer.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::breaker::{Breaker, BreakerConfig, BreakerState, Ended};
use crate::{
    model::cause::{Cause, ReadFailure},
    revive::Admission,
};

/// A peer's breaker, for metrics and operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerState {
    /// The peer's broker name.
    pub peer: String,
    /// Where its breaker stands.
    pub state: BreakerState,
    /// For how long, ms.
    pub for_ms: u64,
}

/// A breaker per peer, made when a peer is first needed.
pub struct Breakers {
    config: BreakerConfig,
    began: Instant,
    peers: Mutex<BTreeMap<String, Peer>>,
}

struct Peer {
    breaker: Breaker,
    last_failure: Option<ReadFailure>,
}

impl Breakers {
    /// All closed.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Self {
        Self { config, began: Instant::now(), peers: Mutex::default() }
    }

    /// What the reviver may start towards a peer now.
    #[must_use]
    pub fn admission(&self, peer: &str) -> Admission {
        let now_ms = self.now_ms();
        let mut peers = self.lock();
        match peers.get_mut(peer) {
            Some(known) => known.breaker.admission(now_ms),
            None => Breaker::new(self.config, now_ms).admission(now_ms),
        }
    }

    /// Why a call to this peer is not worth a try now, if it is not: the last failure.
    #[must_use]
    pub fn refusal(&self, peer: &str) -> Option<ReadFailure> {
        let now_ms = self.now_ms();
        let mut peers = self.lock();
        let known = peers.get_mut(peer)?;
        if known.breaker.is_worth_a_try(now_ms) { None } else { known.last_failure.clone() }
    }

    /// For how long this peer has been asked for nothing but whether it is back; `None` while its breaker is closed.
    #[must_use]
    pub fn away_for(&self, peer: &str) -> Option<Duration> {
        let now_ms = self.now_ms();
        let opened_ms = self.lock().get(peer)?.breaker.opened_ms()?;
        Some(Duration::from_millis(now_ms.saturating_sub(opened_ms)))
    }

    /// How long ago this peer was heard of that had been away; zero while it is away, or never was.
    #[must_use]
    pub fn back_for(&self, peer: &str) -> Duration {
        let now_ms = self.now_ms();
        let state = self.lock().get(peer).map(|peer| peer.breaker.state());
        match state {
            Some((BreakerState::Closed, since_ms)) => Duration::from_millis(now_ms.saturating_sub(since_ms)),
            _ => Duration::ZERO,
        }
    }

    /// A call to this peer begins; it ends with [`Call::ended`], or without a result when that is dropped.
    pub fn begin(&self, peer: &str) -> Call<'_> {
        self.with(peer, |peer, now_ms| peer.breaker.begin(now_ms));
        Call { breakers: self, peer: peer.to_owned(), is_over: false }
    }

    /// A call that nobody admitted has come to this: it tells about the peer all the same.
    pub fn heard<T>(&self, peer: &str, result: &Result<T, ReadFailure>) {
        let failure = result.as_ref().err();
        self.note(peer, failure, |breaker, ended, now_ms| breaker.heard(ended, now_ms));
    }

    /// Where the breakers stand, by peer.
    #[must_use]
    pub fn states(&self) -> Vec<PeerState> {
        let now_ms = self.now_ms();
        let state = |(peer, known): (&String, &Peer)| {
            let (state, since_ms) = known.breaker.state();
            PeerState { peer: peer.clone(), state, for_ms: now_ms.saturating_sub(since_ms) }
        };
        self.lock().iter().map(state).collect()
    }

    fn note(&self, peer: &str, failure: Option<&ReadFailure>, happens: impl FnOnce(&mut Breaker, Ended, u64) -> bool) {
        let ended = failure.map_or(Ended::Answered, |failure| health(&failure.cause));
        let turned = self.with(peer, |known, now_ms| {
            if let (Ended::Failed, Some(failure)) = (ended, failure) {
                known.last_failure = Some(failure.clone());
            }
            happens(&mut known.breaker, ended, now_ms).then(|| known.breaker.state().0)
        });
        match (turned, failure) {
            (Some(state), Some(failure)) => tracing::warn!(peer, state = state.name(), %failure, "the breaker turned"),
            (Some(state), None) => tracing::info!(peer, state = state.name(), "the peer is back"),
            (None, _) => {}
        }
    }

    fn with<T>(&self, peer: &str, act: impl FnOnce(&mut Peer, u64) -> T) -> T {
        let now_ms = self.now_ms();
        let mut peers = self.lock();
        let fresh = || Peer { breaker: Breaker::new(self.config, now_ms), last_failure: None };
        act(peers.entry(peer.to_owned()).or_insert_with(fresh), now_ms)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way.
pub struct Call<'b> {
    breakers: &'b Breakers,
    peer: String,
    is_over: bool,
}

impl Call<'_> {
    /// It ended: with this failure, or with an answer.
    pub fn ended(mut self, failure: Option<&ReadFailure>) {
        self.is_over = true;
        self.breakers.note(&self.peer, failure, |breaker, ended, now_ms| breaker.end(ended, now_ms));
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.breakers.with(&self.peer, |peer, now_ms| peer.breaker.end(Ended::Unknown, now_ms));
        }
    }
}

/// Whether a failure speaks against the peer as a whole, or only about what it was asked.
const fn health(cause: &Cause) -> Ended {
    match cause {
        // Our own limits; and nobody was asked.
        Cause::Overloaded | Cause::LocalStore | Cause::Away => Ended::Unknown,
        cause if cause.means_absent() => Ended::Failed,
        _ => Ended::Answered,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn failed(cause: Cause) -> ReadFailure {
        ReadFailure { cause, peer: "b".into(), took_ms: 1 }
    }

    #[tokio::test]
    async fn peers_do_not_share_a_breaker_and_their_states_are_told() {
        let breakers = Breakers::new(BreakerConfig::default());
        for _ in 0..3 {
            breakers.begin("b").ended(Some(&failed(Cause::Refused)));
            breakers.begin("c").ended(Some(&failed(Cause::NotFound)));
        }
        assert!(matches!(breakers.admission("b"), Admission::Later { .. }));
        assert!(matches!(breakers.admission("c"), Admission::Calls(_)), "an answer is an answer, whatever it says");
        assert!(matches!(breakers.admission("d"), Admission::Calls(_)), "not known yet");
        assert_eq!(breakers.refusal("b").unwrap().cause, Cause::Refused);
        assert_eq!((breakers.refusal("c"), breakers.refusal("d")), (None, None));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(breakers.away_for("b").unwrap() >= Duration::from_millis(100));
        assert_eq!((breakers.away_for("c"), breakers.away_for("d")), (None, None));
        let states = breakers.states();
        let told: Vec<_> = states.iter().map(|it| (it.peer.as_str(), it.state.name())).collect();
        assert_eq!(told, [("b", "open"), ("c", "closed")]);
        assert!((100..5_000).contains(&states[0].for_ms), "{states:?}");
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_does_not_hold_its_place() {
        let breakers = Breakers::new(BreakerConfig { at_once: 1, ..BreakerConfig::default() });
        let call = breakers.begin("b");
        assert_eq!(breakers.admission("b"), Admission::Later { wait_ms: None });
        drop(call);
        assert!(!matches!(breakers.admission("b"), Admission::Later { wait_ms: None }));
    }

    #[tokio::test]
    async fn an_ack_that_is_answered_tells_that_the_peer_is_back() {
        let breakers = Breakers::new(BreakerConfig::default());
        for _ in 0..3 {
            breakers.heard::<()>("b", &Err(failed(Cause::Timeout)));
        }
        assert!(breakers.refusal("b").is_some());
        breakers.heard("b", &Ok(()));
        assert_eq!((breakers.refusal("b"), breakers.states()[0].state), (None, BreakerState::Closed));
    }
}
