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
    draft::{Changes, Draft},
    marked::Marked,
    row::Table,
    rows::Change,
    tables::Source as _,
    view::Committed,
};
use crate::model::chain::LogPosition;

/// Encoded entries, one after the other.
pub(crate) type Entries = Vec<Bytes>;

/// A database that holds one log after another.
pub(crate) struct Scratch {
    database: Marked,
    config: StoreConfig,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let database = Marked::in_memory(Database::builder().create_with_backend(InMemoryBackend::new()).unwrap());
        let config = StoreConfig::default();
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

    /// What follows from a log, whatever the way there: the rows of its tables but the places in it that some of them name.
    pub(crate) fn implied(&self, log: &[Bytes]) -> Vec<(Bytes, Vec<u8>)> {
        let state = self.recover(log);
        let places = [Table::Topics as u8, Table::Queues as u8];
        let row = |(key, change): (&Bytes, &Change)| {
            let row = change.row.as_ref()?;
            let packed =
                if key.first().is_some_and(|table| places.contains(table)) { Vec::new() } else { row.pack().unwrap() };
            Some((key.clone(), packed))
        };
        state.recent().iter().filter_map(row).collect()
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
        let last = end_of(&changes, base);
        database::commit(&self.database, base, &known, (changes, tail), &self.config).unwrap();
        let view = View::new(database::replay(&self.database, &self.config, 0).unwrap().1);
        assert_eq!(view.last(), last, "the log ends with what was committed");
        ((1..=last).map(|index| view.raw_entry(index).unwrap().unwrap()).collect(), reply)
    }
}

fn end_of(changes: &Changes, base: &Committed) -> u64 {
    changes.entries.last().map_or(base.last_index(), |entry| entry.position.index)
}
