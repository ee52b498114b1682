//! The derived rows at one moment: those settled in the database, and over them the recent ones that the log implies.
//!
//! A commit writes the log alone; what follows from it is kept in memory until enough has come together, and is then
//! settled with the next commit. Whoever opens the store replays the log from the last settled entry on.

use std::ops::Bound;

use bytes::Bytes;
use imbl::OrdMap;
use redb::ReadOnlyTable;

use super::{
    StoreError,
    key::Key,
    row::{Row, Table},
};

/// Changes since the last settling. Cloning is cheap: clones share what is equal.
pub(super) type Recent = OrdMap<Bytes, Change>;

/// A row that has changed.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Index of the entry that changed it last.
    pub(super) at: u64,
    /// What it is now; `None` if it is gone.
    pub(super) row: Option<Row>,
}

/// The settled rows: key → packed row.
pub(super) type Settled = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Both layers.
#[derive(Clone, Copy)]
pub(super) struct Rows<'t> {
    pub(super) recent: &'t Recent,
    pub(super) settled: &'t Settled,
}

impl<'t> Rows<'t> {
    pub(super) fn get(self, table: Table, key: &Key) -> Result<Option<Row>, StoreError> {
        if let Some(recent) = self.recent.get(key.bytes()) {
            return Ok(recent.row.clone());
        }
        let found = self.settled.get(key.bytes())?;
        found.map(|packed| Row::unpack(table, key.bytes(), packed.value())).transpose()
    }

    /// The rows of `table` from `from` on whose keys begin with `prefix`, in key order.
    pub(super) fn scan(self, table: Table, from: Bound<Key>, prefix: &Key) -> Result<Scan<'t>, StoreError> {
        let from = match &from {
            Bound::Included(key) => Bound::Included(key.bytes()),
            Bound::Excluded(key) => Bound::Excluded(key.bytes()),
            Bound::Unbounded => Bound::Included(prefix.bytes()),
        };
        self.range(table, (from, Bound::Excluded(&prefix.end()[..])))
    }

    /// The rows of `table` before `end`, in key order.
    pub(super) fn scan_before(self, table: Table, end: &Key) -> Result<Scan<'t>, StoreError> {
        self.range(table, (Bound::Included(Key::of(table).bytes()), Bound::Excluded(end.bytes())))
    }

    fn range(self, table: Table, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<Scan<'t>, StoreError> {
        let mut scan = Scan {
            table,
            recent: self.recent.range::<_, [u8]>(range),
            settled: self.settled.range::<&[u8]>(range)?,
            next_recent: None,
            next_settled: None,
        };
        scan.next_recent = scan.recent.next();
        scan.next_settled = scan.settled.next().transpose()?.map(owned);
        Ok(scan)
    }
}

/// Merges the two layers.
pub(super) struct Scan<'t> {
    table: Table,
    recent: imbl::ordmap::RangedIter<'t, Bytes, Change, imbl::shared_ptr::DefaultSharedPtr>,
    settled: redb::Range<'static, &'static [u8], &'static [u8]>,
    next_recent: Option<(&'t Bytes, &'t Change)>,
    next_settled: Option<(Bytes, Bytes)>,
}

fn owned(row: (redb::AccessGuard<'_, &'static [u8]>, redb::AccessGuard<'_, &'static [u8]>)) -> (Bytes, Bytes) {
    (Bytes::copy_from_slice(row.0.value()), Bytes::copy_from_slice(row.1.value()))
}

impl Scan<'_> {
    fn step(&mut self) -> Result<Option<(Bytes, Row)>, StoreError> {
        loop {
            let is_recent = match (&self.next_recent, &self.next_settled) {
                (None, None) => return Ok(None),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((recent, _)), Some((settled, _))) => recent[..] <= settled[..],
            };
            if !is_recent {
                let Some((key, packed)) = self.next_settled.take() else { continue };
                self.next_settled = self.settled.next().transpose()?.map(owned);
                let row = Row::unpack(self.table, &key, &packed)?;
                return Ok(Some((key, row)));
            }
            let Some((key, Change { row, .. })) = self.next_recent.take() else { continue };
            self.next_recent = self.recent.next();
            if self.next_settled.as_ref().is_some_and(|(settled, _)| settled == key) {
                self.next_settled = self.settled.next().transpose()?.map(owned); // the recent row stands over it
            }
            if let Some(row) = row {
                return Ok(Some((key.clone(), row.clone())));
            }
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Bytes, Row), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
