//! What a scrape reads off the tables.

use redb::{ReadableTable, ReadableTableMetadata};

use super::{StoreError, Tables, View};
use crate::metrics::readings::{OVERDUE_MAX, TableReadings};

impl View {
    /// How many chains wait, are overdue or are parked, and how many messages were set aside.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn readings(&self, now_ms: i64) -> Result<TableReadings, StoreError> {
        let due = self.due()?;
        let overdue_since_ms = due.first()?.map(|row| row.0.value().0).filter(|due_ms| *due_ms <= now_ms);
        let overdue = match overdue_since_ms {
            Some(_) => due.range(..(now_ms.saturating_add(1), ""))?.take(OVERDUE_MAX).count(),
            None => 0,
        };
        Ok(TableReadings {
            waiting: due.len()?,
            parked: self.parked_table()?.len()?,
            set_aside: self.set_aside_table()?.len()?,
            overdue,
            overdue_since_ms,
        })
    }
}
