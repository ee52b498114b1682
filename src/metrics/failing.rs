//! The waiting chains whose last attempt failed, by age. A chain that never failed costs nothing here.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use crate::model::chain::{Chain, ChainId};

/// When the round began, and the chain: the oldest first.
type Ages = BTreeSet<(i64, ChainId)>;

/// The failing chains.
#[derive(Debug, Default)]
pub struct Failing {
    ages: Mutex<Ages>,
}

impl Failing {
    /// Takes in a chain's committed state, also one that was read back when the store was opened.
    pub fn update(&self, chain: &Chain) {
        // A round keeps its beginning to its end, so the same key that brought a chain in takes it out.
        let (Some(began_ms), 1..) = (chain.round_began_ms, chain.history.failures) else { return };
        let key = (began_ms, chain.id.clone());
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        if chain.due_ms().is_some() {
            ages.insert(key);
        } else {
            ages.remove(&key);
        }
    }

    /// How many there are, and how long ago the oldest one's round began, ms.
    #[must_use]
    pub fn count_and_age_ms(&self, now_ms: i64) -> (usize, i64) {
        let ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        let age_ms = ages.first().map_or(0, |(began_ms, _)| now_ms.saturating_sub(*began_ms).max(0));
        (ages.len(), age_ms)
    }
}
