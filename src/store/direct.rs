//! Runs steps on a database in memory, one commit each and without a writer task: for property tests.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use redb::{Database, backends::InMemoryBackend};

use super::{Step, StoreConfig, Txn, View, database, draft::Draft, view::Committed};
use crate::model::chain::LogPosition;

/// A store without a task.
pub(crate) struct Direct {
    database: Database,
    committed: Arc<Committed>,
    config: StoreConfig,
}

impl Direct {
    pub(crate) fn new() -> Self {
        Self::with(StoreConfig::default())
    }

    pub(crate) fn with(config: StoreConfig) -> Self {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        database::prepare(&database, config.term).unwrap();
        let committed = Arc::new(database::replay(&database).unwrap());
        Self { database, committed, config }
    }

    /// Forgets all that is in memory and recovers from what is on disk.
    pub(crate) fn reopen(&mut self) {
        self.committed = Arc::new(database::replay(&self.database).unwrap());
    }

    /// Runs a step at a time of the test's choice and commits it.
    pub(crate) fn run<S: Step>(&mut self, now_ms: i64, step: S) -> S::Reply {
        let base = self.committed.clone();
        let mut draft = Draft::over(&base);
        let position = LogPosition { term: self.config.term, index: base.last_index() + 1 };
        let mut txn = Txn::new(&mut draft, position, now_ms);
        let reply = step.decide(&mut txn).unwrap();
        txn.finish();
        let changes = draft.finish();
        if !changes.entries.is_empty() {
            let (_, committed) = database::commit(&self.database, &base, changes, &self.config).unwrap();
            self.committed = Arc::new(committed);
        }
        reply
    }

    pub(crate) fn view(&self) -> View {
        View::new(self.committed.clone())
    }
}
