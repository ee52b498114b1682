//! Forgetting: chains that are over leave the tables once nobody can ask about them any more.
//!
//! A chain may be forgotten a window after it was over. With the last trace of it goes the knowledge that it ever was,
//! so a mark stays behind, one per group of the messages: the latest pop time of all chains that were forgotten. What is
//! not known here and was popped after that mark never was here; what was popped earlier may have been, and is never
//! taken for new. That holds whatever clocks do, for both times are of chains and the mark moves with the forgetting.

use std::ops::Bound;

use super::{
    StoreError, Tables, Txn, View,
    draft::Draft,
    key::{Key, Parts},
    row::{Row, Table},
};
use crate::{
    buggify,
    model::{
        chain::{Chain, ChainId, ChainState},
        record::{ForgottenChain, Record},
    },
    sabotage,
};

/// How many chains are forgotten in one transaction at the most.
const BATCH: usize = 256;

/// From when on a chain that a record of `at_ms` has made what it is counts as over, Unix ms; `None` while it is live.
/// Whoever holds the handle of a chain that lives elsewhere may ack it here as long as it is invisible.
pub(super) fn over_since_ms(chain: &Chain, at_ms: i64) -> Option<i64> {
    let popped_ms = chain.id.pop_time;
    match chain.state {
        ChainState::Open { .. } | ChainState::Moving { .. } | ChainState::Parked { .. } => None,
        ChainState::Moved { .. } => Some(at_ms.max(popped_ms.saturating_add(chain.invisible_ms.max(0)))),
        // A chain whose pop time lies ahead is kept until then: the mark must not run ahead of the clock.
        ChainState::Ended { .. } => Some(at_ms.max(popped_ms)),
    }
}

pub(super) fn over(since_ms: i64, id: &str) -> Key {
    Key::of(Table::Over).number(since_ms).text(id)
}

/// The latest pop time of the forgotten chains about this group's messages.
pub(super) fn forgotten_until_ms(tables: &(impl Tables + ?Sized), broker: &str) -> Result<Option<i64>, StoreError> {
    let row = tables.rows().get(Table::Forgotten, &Key::of(Table::Forgotten).text(broker))?;
    Ok(if let Some(Row::Number(pop_time)) = row { Some(pop_time) } else { None })
}

impl View {
    /// When the next chain may be forgotten, Unix ms, if chains are for `window_ms` after they were over.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn next_forgetting_ms(&self, window_ms: i64) -> Result<Option<i64>, StoreError> {
        if self.is_any_unmerged()? && !sabotage!("forgotten-unmerged") {
            return Ok(None);
        }
        Ok(self.over(1)?.first().map(|chain| chain.since_ms.saturating_add(window_ms)))
    }
}

impl Txn<'_, '_> {
    /// Forgets chains that were over for `window_ms`, a bounded number at a time; tells how many.
    ///
    /// # Errors
    /// The store fails.
    pub fn forget(&mut self, window_ms: i64) -> Result<usize, StoreError> {
        let window_ms = if sabotage!("chain-forgotten-early") { window_ms / 8 } else { window_ms };
        // A master that is away has yet to ask what became of the chains that were handed over for it.
        if self.is_any_unmerged()? && !sabotage!("forgotten-unmerged") {
            return Ok(0);
        }
        let before_ms = self.now_ms().saturating_sub(window_ms);
        let mut chains = self.over(buggify!("forgets-one", 1, BATCH))?;
        chains.retain(|chain| chain.since_ms <= before_ms);
        let count = chains.len();
        if count > 0 {
            self.record(Record::Forgotten { chains })?;
        }
        Ok(count)
    }
}

impl Draft<'_> {
    /// Lists a chain as over once it is.
    pub(super) fn list_over(&mut self, before: Option<&Chain>, now: &Chain, at_ms: i64) {
        let was_live = before.is_none_or(Chain::is_live);
        if let Some(since_ms) = over_since_ms(now, at_ms).filter(|_| was_live) {
            self.put(over(since_ms, &now.id.to_string()), Row::Mark);
        }
    }

    /// Lets the tables follow [`Record::Forgotten`].
    pub(super) fn apply_forgotten(&mut self, chains: &[ForgottenChain]) -> Result<(), StoreError> {
        for ForgottenChain { since_ms, id } in chains {
            let key = id.to_string();
            self.remove(over(*since_ms, &key));
            // One that lives again is none to forget.
            if self.chain_by_key(&key)?.is_none_or(|chain| chain.is_live()) {
                continue;
            }
            self.remove(Key::of(Table::Chains).text(&key));
            let is_later = forgotten_until_ms(self, &id.broker)?.is_none_or(|until_ms| until_ms < id.pop_time);
            if is_later && !sabotage!("forgotten-without-mark") {
                self.put(Key::of(Table::Forgotten).text(&id.broker), Row::Number(id.pop_time));
            }
        }
        Ok(())
    }
}

/// The chains that are over, those first that were first.
pub(super) fn over_chains(tables: &(impl Tables + ?Sized), limit: usize) -> Result<Vec<ForgottenChain>, StoreError> {
    let table = Key::of(Table::Over);
    let rows = tables.rows().scan(Table::Over, Bound::Unbounded, &table)?;
    rows.take(limit)
        .map(|row| {
            let (key, _) = row?;
            let mut parts = Parts::of(&key);
            let (since_ms, key) = (parts.number(), parts.text());
            let id = key.parse::<ChainId>().map_err(|_| StoreError::Dangling { table: "over", key, index: 0 })?;
            Ok(ForgottenChain { since_ms, id })
        })
        .collect()
}

#[cfg(test)]
#[path = "forgetting_tests.rs"]
mod tests;
