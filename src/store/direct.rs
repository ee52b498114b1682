//! Runs steps on a database in memory, one commit each and without a writer task: for property tests.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::VecDeque, sync::Arc};

use redb::{Database, backends::InMemoryBackend};

use super::{
    Step, StoreConfig, Txn, View,
    confirmation::Known,
    database::{self, Tail},
    draft::Draft,
    marked::Marked,
    view::Committed,
};
use crate::model::chain::LogPosition;

/// A store without a task.
pub(crate) struct Direct {
    database: Marked,
    /// The state that is on the disk, and before it those that it has come from, down to the last confirmed one.
    states: VecDeque<Arc<Committed>>,
    config: StoreConfig,
    /// How many entries are not confirmed.
    lag: u64,
}

impl Direct {
    pub(crate) fn new() -> Self {
        Self::with(StoreConfig::default())
    }

    pub(crate) fn with(config: StoreConfig) -> Self {
        Self::lagging(config, 0)
    }

    /// A store in which all but the last `lag` entries are confirmed.
    pub(crate) fn lagging(config: StoreConfig, lag: u64) -> Self {
        let database = Marked::in_memory(Database::builder().create_with_backend(InMemoryBackend::new()).unwrap());
        database::prepare(&database, config.term).unwrap();
        let mut store = Self { database, states: VecDeque::new(), config, lag };
        store.recover(0);
        store
    }

    /// Forgets all that is in memory and recovers from what is on disk.
    pub(crate) fn reopen(&mut self) {
        self.recover(self.confirmed_index());
    }

    /// Every state from the last confirmed one on, as if none had been forgotten.
    fn recover(&mut self, confirmed: u64) {
        let replay = |confirmed| database::replay(&self.database, &self.config, confirmed).unwrap();
        let (confirmed, head) = replay(confirmed);
        let unconfirmed = confirmed.last_index() + 1..=head.last_index();
        let later = unconfirmed.map(|index| replay(index).0).collect::<Vec<_>>();
        self.states = std::iter::once(confirmed).chain(later).collect();
    }

    fn head(&self) -> Arc<Committed> {
        self.states.back().unwrap().clone()
    }

    /// All there is when nothing lags, and whatever will be.
    fn confirmed_index(&self) -> u64 {
        if self.lag == 0 { u64::MAX } else { self.head().last_index().saturating_sub(self.lag) }
    }

    /// Runs a step at a time of the test's choice and commits it.
    pub(crate) fn run<S: Step>(&mut self, now_ms: i64, step: S) -> S::Reply {
        let base = self.head();
        let known = Known { told: self.confirmed_index(), state: self.states.front().cloned() };
        let mut draft = Draft::over(&base, known.settleable(base.last_index()));
        let position = LogPosition { term: self.config.term, index: base.last_index() + 1 };
        let mut txn = Txn::new(&mut draft, position, now_ms);
        let reply = step.decide(&mut txn).unwrap();
        txn.finish();
        let changes = draft.finish();
        if !changes.entries.is_empty() {
            let (_, committed) =
                database::commit(&self.database, &base, &known, (changes, Tail::None), &self.config).unwrap();
            self.states.push_back(Arc::new(committed));
        }
        while self.states.len() > 1 && self.states[1].last_index() <= self.confirmed_index() {
            self.states.pop_front();
        }
        reply
    }

    /// What is on the disk, confirmed or not.
    pub(crate) fn view(&self) -> View {
        View::new(self.head())
    }

    /// What is confirmed.
    pub(crate) fn confirmed(&self) -> View {
        View::new(self.states.front().unwrap().clone())
    }
}
