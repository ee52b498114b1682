//! A read-only view: the tables as of the last commit.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableDatabase};

use super::{
    StoreError,
    counts::Counts,
    database::{LOG, ROWS},
    decoded::Decoded,
    rows::{Recent, Rows, Settled},
    tables::{Source, Tables},
};
use crate::model::record::LogEntry;

/// What one commit has left: the log, and the rows that follow from it.
pub(super) struct Committed {
    log: ReadOnlyTable<u64, &'static [u8]>,
    decoded: Arc<Decoded>,
    settled: Settled,
    recent: Recent,
    counts: Counts,
    last_index: u64,
    /// Up to which index the rows are settled.
    settled_index: u64,
    /// What is to leave the log: entries, each with the index up to which rows must be settled before it may.
    cuts: Cuts,
}

/// Entries that are to leave the log, each after the index up to which rows must be settled before it may: until then an
/// earlier state can be the one that is confirmed, and its rows may name them.
pub(super) type Cuts = BTreeSet<(u64, u64)>;

impl Committed {
    /// The state of the database's last commit, if its log ended at `last_index` and implied `recent` and `counts`, the
    /// rows being settled up to `settled_index`.
    pub(super) fn read(
        database: &Database,
        decoded: Arc<Decoded>,
        (recent, counts, cuts): (Recent, Counts, Cuts),
        last_index: u64,
        settled_index: u64,
    ) -> Result<Self, StoreError> {
        let transaction = database.begin_read()?;
        let (log, settled) = (transaction.open_table(LOG)?, transaction.open_table(ROWS)?);
        Ok(Self { log, decoded, settled, recent, counts, last_index, settled_index, cuts })
    }

    pub(super) const fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    pub(super) const fn settled_index(&self) -> u64 {
        self.settled_index
    }

    /// The entries after `index`.
    pub(super) fn entries_after(&self, index: u64) -> Result<Vec<Arc<LogEntry>>, StoreError> {
        let mut entries = Vec::new();
        for index in index + 1..=self.last_index {
            entries.extend(self.entry(index)?);
        }
        Ok(entries)
    }

    pub(super) const fn settled(&self) -> &Settled {
        &self.settled
    }

    pub(super) const fn recent(&self) -> &Recent {
        &self.recent
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) const fn last_index(&self) -> u64 {
        self.last_index
    }

    /// The term of the last entry; 0 for an empty log.
    pub(super) fn last_term(&self) -> Result<u64, StoreError> {
        Ok(self.entry(self.last_index)?.map_or(0, |entry| entry.position.term))
    }

    pub(super) const fn decoded(&self) -> &Arc<Decoded> {
        &self.decoded
    }

    pub(super) fn entry(&self, index: u64) -> Result<Option<Arc<LogEntry>>, StoreError> {
        if let Some(entry) = self.decoded.get(index) {
            return Ok(Some(entry));
        }
        let Some(bytes) = self.log.get(index)? else { return Ok(None) };
        let entry = Arc::new(LogEntry::decode(bytes.value())?);
        self.decoded.keep(entry.clone(), bytes.value().len());
        Ok(Some(entry))
    }

    /// An entry as it is on disk.
    pub(super) fn raw_entry(&self, index: u64) -> Result<Option<Bytes>, StoreError> {
        Ok(self.log.get(index)?.map(|bytes| Bytes::copy_from_slice(bytes.value())))
    }

    /// An entry, `None` in its place if it is damaged, and its size on disk.
    pub(super) fn sized_entry(&self, index: u64) -> Result<Option<(Option<LogEntry>, u64)>, StoreError> {
        let Some(bytes) = self.log.get(index)? else { return Ok(None) };
        Ok(Some((LogEntry::decode(bytes.value()).ok(), bytes.value().len() as u64)))
    }
}

/// The tables as of the last commit.
pub struct View {
    committed: Arc<Committed>,
}

impl View {
    pub(super) const fn new(committed: Arc<Committed>) -> Self {
        Self { committed }
    }

    pub(super) fn counts(&self) -> Counts {
        self.committed.counts()
    }

    pub(super) fn raw_entry(&self, index: u64) -> Result<Option<Bytes>, StoreError> {
        self.committed.raw_entry(index)
    }

    /// The first entry from `index` on that has not left the log; the last one if there is none.
    pub(super) fn next_entry(&self, index: u64) -> Result<u64, StoreError> {
        let next = self.committed.log.range(index..)?.next().transpose()?;
        Ok(next.map_or(self.committed.last_index, |(index, _)| index.value()))
    }

    #[cfg(test)]
    pub(super) fn committed(&self) -> &Committed {
        &self.committed
    }
}

impl Source for View {
    fn rows(&self) -> Rows<'_> {
        Rows { recent: self.committed.recent(), settled: self.committed.settled() }
    }

    fn entry(&self, index: u64) -> Result<Option<Arc<LogEntry>>, StoreError> {
        self.committed.entry(index)
    }

    fn last(&self) -> u64 {
        self.committed.last_index()
    }
}

impl Tables for View {}
