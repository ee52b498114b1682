//! The waiting chains whose last attempt failed, by age. A chain that never failed costs nothing here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use crate::{
    model::chain::{Chain, ChainId},
    sabotage,
};

/// The failing chains.
#[derive(Debug, Default)]
pub struct Failing {
    ages: Mutex<Ages>,
}

/// When the round of each began. That moves on within a round, by the time in which nobody tried.
#[derive(Debug, Default)]
struct Ages {
    began: BTreeMap<ChainId, i64>,
    /// The same, the oldest first.
    oldest: BTreeSet<(i64, ChainId)>,
}

impl Failing {
    /// Takes in a chain's committed state, also one that was read back when the store was opened.
    pub fn update(&self, chain: &Chain) {
        if chain.history.failures == 0 {
            return;
        }
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        let Ages { began, oldest } = &mut *ages;
        if let Some(before_ms) = began.remove(&chain.id).filter(|_| !sabotage!("failing-for-ever")) {
            oldest.remove(&(before_ms, chain.id.clone()));
        }
        if let Some(began_ms) = chain.round_began_ms.filter(|_| chain.due_ms().is_some()) {
            began.insert(chain.id.clone(), began_ms);
            oldest.insert((began_ms, chain.id.clone()));
        }
    }

    /// How many there are, and how long ago the oldest one's round began, ms.
    #[must_use]
    pub fn count_and_age_ms(&self, now_ms: i64) -> (usize, i64) {
        let ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        let age_ms = ages.oldest.first().map_or(0, |(began_ms, _)| now_ms.saturating_sub(*began_ms).max(0));
        (ages.oldest.len(), age_ms)
    }
}
