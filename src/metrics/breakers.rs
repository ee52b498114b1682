//! The circuit breakers towards other brokers, as a scrape found them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::{OTHER, SERIES_MAX};

/// Whether a peer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// It is.
    Closed,
    /// One trial request at a time.
    HalfOpen,
    /// It is not.
    Open,
}

/// The state of each breaker, by broker name.
#[derive(Debug, Default)]
pub struct Breakers {
    states: Mutex<BTreeMap<String, BreakerState>>,
}

impl Breakers {
    /// The breaker towards `peer` (a broker's name) changed its state.
    pub fn set(&self, peer: &str, state: BreakerState) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = states.get_mut(peer) {
            *known = state;
        } else if states.len() < SERIES_MAX {
            states.insert(peer.to_owned(), state);
        } else {
            // Several peers share this one: it tells of the worst, and is not taken back by another peer.
            let shared = states.entry(OTHER.to_owned()).or_insert(state);
            *shared = state.max(*shared);
        }
    }

    /// The breaker towards `peer` does not exist any more.
    pub fn remove(&self, peer: &str) {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
    }

    pub(super) fn all(&self) -> BTreeMap<String, BreakerState> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
