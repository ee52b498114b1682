//! Lives of a message: each reset of a group's offset to before it hands it out anew, beside whatever became of it before.
//! What was copied to a retry topic in one life comes in that life.

use rustc_hash::FxHashMap;

use super::{ChainLife, Ledger, Place};
use crate::evidence::{ChainState, Outcome};

/// No honest lineage is longer.
const LONGEST_LINEAGE: usize = 256;

/// Which life chains belong to.
pub struct Lives<'l, 'h> {
    ledger: &'l Ledger<'h>,
    /// Copy → the chain that ended in it. Only ever looked up.
    parents: FxHashMap<Place<'h>, &'l ChainLife<'h>>,
}

impl<'l, 'h> Lives<'l, 'h> {
    /// Those of a run. Without resets every message has one life.
    #[must_use]
    pub fn of(ledger: &'l Ledger<'h>) -> Self {
        let mut parents = FxHashMap::default();
        let chains = ledger.chains.iter().filter(|_| !ledger.resets.is_empty());
        for life in chains {
            if let ChainState::Ended { outcome: Outcome::Revived(copy) | Outcome::DeadLettered(copy), .. } =
                &life.last().state
            {
                parents.insert(ledger.copied_to(life, copy), life);
            }
        }
        Self { ledger, parents }
    }

    /// How many resets had handed the message out anew when the chain's lineage began.
    #[must_use]
    pub fn number(&self, life: &ChainLife<'h>) -> usize {
        let mut first = life;
        for _ in 0..LONGEST_LINEAGE {
            match self.parents.get(&first.origin()) {
                Some(parent) => first = parent,
                None => break,
            }
        }
        let began = first.steps[0].event;
        self.ledger.resets_of(first.origin(), &first.id.group).filter(|reset| reset.event < began).count()
    }

    /// The life in which a copy was made, if a chain tells.
    #[must_use]
    pub fn of_copy(&self, copy: &Place<'_>) -> Option<usize> {
        self.parents.get(copy).map(|parent| self.number(parent))
    }

    /// The life in which a group popped what lies at a spot, if a chain tells.
    #[must_use]
    pub fn of_pop(&self, spot: Place<'_>, group: &str, pop_time: i64) -> Option<usize> {
        let is_it = |life: &&ChainLife<'_>| life.id.pop_time == pop_time;
        self.ledger.chains_at(spot, group).find(is_it).map(|life| self.number(life))
    }
}
