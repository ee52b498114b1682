//! How many rows there are of those that operators watch.

use super::{StoreError, View, tables::Tables as _};
use crate::metrics::readings::{OVERDUE_MAX, TableReadings};

/// Sizes of tables, kept along with them: counting them anew would read them whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Chains with a next step.
    pub(super) waiting: u64,
    /// Parked chains.
    pub(super) parked: u64,
    /// Messages that were set aside.
    pub(super) set_aside: u64,
    /// Bytes of the log entries that have not expired.
    pub(super) retained_bytes: u64,
    /// Expired messages that live chains hold back.
    pub(super) kept: u64,
}

impl Counts {
    /// Each count with its name in the database.
    pub(super) const fn named(&mut self) -> [(&'static str, &mut u64); 5] {
        [
            ("waiting", &mut self.waiting),
            ("parked", &mut self.parked),
            ("set-aside", &mut self.set_aside),
            ("retained-bytes", &mut self.retained_bytes),
            ("kept", &mut self.kept),
        ]
    }
}

/// A row has come or gone.
pub(super) const fn change(count: &mut u64, before: bool, after: bool) {
    match (before, after) {
        (false, true) => *count += 1,
        (true, false) => *count = count.saturating_sub(1),
        _ => {}
    }
}

impl View {
    /// How many chains wait, are overdue or are parked, how many messages were set aside, and for how many groups others
    /// have acted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn readings(&self, now_ms: i64) -> Result<TableReadings, StoreError> {
        let Counts { waiting, parked, set_aside, retained_bytes, kept } = self.counts();
        let (overdue, _) = self.due_after((i64::MIN, ""), now_ms, OVERDUE_MAX)?;
        let overdue_since_ms = overdue.first().map(|(due_ms, _)| *due_ms);
        Ok(TableReadings {
            waiting,
            parked,
            set_aside,
            overdue: overdue.len(),
            overdue_since_ms,
            retained_bytes,
            held_back: kept,
            unmerged: self.count_unmerged()?,
        })
    }
}
