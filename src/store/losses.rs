//! What a damaged store has lost, as it is told to operators.

use serde::Serialize;

use super::{pages::Lost, row::Table};

/// What a damaged store has lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Losses {
    /// Log entries, the first and the last of each row of them. What they said is lost unless rows say it.
    pub entries: Vec<(u64, u64)>,
    /// Whether there may have been later entries, of which nothing is known.
    pub later_entries: bool,
    /// Rows: their table, and the keys after and up to which they are lost, `...` being the table's end. What the log says of
    /// them is there again.
    pub rows: Vec<(&'static str, String, String)>,
    /// Topics of which no more than the name is known: they have as many queues as there are messages in, and may be read
    /// and written.
    pub topics: Vec<String>,
    /// Messages whose bodies are lost: topic, queue, first and last offset of each row of them.
    pub messages: Vec<(String, i64, i64, i64)>,
    /// Delayed messages whose bodies are lost.
    pub timers: u64,
}

impl Losses {
    /// Whether all is there again.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the rows that keys which cannot be read may have been.
    pub(super) fn rows(&mut self, lost: &Lost) {
        let key = |table: Table, key: &Option<Vec<u8>>| match key {
            Some(key) if key.first() == Some(&(table as u8)) => key[1..].escape_ascii().to_string(),
            _ => "...".to_owned(),
        };
        let touched = Table::ALL.into_iter().filter(|table| touches(lost, *table));
        let rows = touched.map(|table| (table.name(), key(table, &lost.after), key(table, &lost.until)));
        self.rows.extend(rows);
    }

    /// Adds a message to those that are lost; they come in the order of their queues and offsets.
    pub(super) fn message(&mut self, topic: String, queue: i64, offset: i64) {
        match self.messages.last_mut() {
            Some((last, in_queue, _, end)) if (&*last, *in_queue, *end + 1) == (&topic, queue, offset) => *end = offset,
            _ => self.messages.push((topic, queue, offset, offset)),
        }
    }
}

/// Whether rows of a table may be among the lost ones.
pub(super) fn touches(lost: &Lost, table: Table) -> bool {
    let (first, last) = (lost.after.as_ref(), lost.until.as_ref());
    first.is_none_or(|key| key.first().is_none_or(|id| *id <= table as u8))
        && last.is_none_or(|key| key.first().is_some_and(|id| *id >= table as u8))
}
