//! Logs as values: one is put on a database in memory, recovered from there as at a start, written on, and read back. For
//! explorations, which keep, compare and build upon thousands of them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, backends::InMemoryBackend};

use super::{
    LogEnd, Step, StoreConfig, StoreError, Txn, View,
    confirmation::Known,
    database::{self, LOG, Tail},
    draft::Draft,
    tables::Source as _,
    view::Committed,
};
use crate::model::chain::LogPosition;

/// Encoded entries, one after the other.
pub(crate) type Entries = Vec<Bytes>;

/// A database that holds one log after another.
pub(crate) struct Scratch {
    database: Database,
    config: StoreConfig,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let (database, config) =
            (Database::builder().create_with_backend(InMemoryBackend::new()).unwrap(), StoreConfig::default());
        database::prepare(&database, config.term).unwrap();
        Self { database, config }
    }

    /// What a member that has this log, and nothing else, finds when it starts.
    pub(crate) fn view(&self, log: &[Bytes]) -> View {
        View::new(self.recover(log))
    }

    /// Runs a step and commits it, as the entry after the log's last.
    pub(crate) fn run<S: Step>(&self, log: &[Bytes], (term, now_ms): (u64, i64), step: S) -> (Entries, S::Reply) {
        let base = self.recover(log);
        self.commit((&base, Tail::None), (term, now_ms), step)
    }

    /// As [`Store::cut_back`](super::Store::cut_back): the step's entry takes the place of what comes after `end`. `None` if
    /// the log does not have that end.
    pub(crate) fn cut_back<S: Step>(
        &self,
        log: &[Bytes],
        end: LogEnd,
        (term, now_ms): (u64, i64),
        step: S,
    ) -> Option<(Entries, S::Reply)> {
        self.recover(log);
        match database::replay_to(&self.database, &self.config, end) {
            Ok((_, base)) => Some(self.commit((&base, Tail::Goes), (term, now_ms), step)),
            Err(StoreError::NoSuchPlace { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn recover(&self, log: &[Bytes]) -> Arc<Committed> {
        let transaction = self.database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(LOG).unwrap();
            table.retain(|_, _| false).unwrap();
            for (index, entry) in (1..).zip(log) {
                table.insert(index, &entry[..]).unwrap();
            }
        }
        transaction.commit().unwrap();
        database::replay(&self.database, &self.config, 0).unwrap().1
    }

    fn commit<S: Step>(
        &self,
        (base, tail): (&Committed, Tail),
        (term, now_ms): (u64, i64),
        step: S,
    ) -> (Entries, S::Reply) {
        let mut draft = Draft::over(base, base.last_index());
        let mut txn = Txn::new(&mut draft, LogPosition { term, index: base.last_index() + 1 }, now_ms);
        let reply = step.decide(&mut txn).unwrap();
        txn.finish();
        let (changes, known) = (draft.finish(), Known { told: u64::MAX, state: None });
        let last = draft_last(&changes, base);
        database::commit(&self.database, base, &known, (changes, tail), &self.config).unwrap();
        let view = View::new(database::replay(&self.database, &self.config, 0).unwrap().1);
        assert_eq!(view.last(), last, "the log ends with what was committed");
        ((1..=last).map(|index| view.raw_entry(index).unwrap().unwrap()).collect(), reply)
    }
}

fn draft_last(changes: &super::draft::Changes, base: &Committed) -> u64 {
    changes.entries.last().map_or(base.last_index(), |entry| entry.position.index)
}
