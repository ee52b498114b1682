//! Following another member's log: what a master gives, and what a follower takes.
//!
//! A follower's log is a prefix of its master's, byte for byte. Each request says how the follower's log ends, and is
//! answered with what comes after that; where the two logs disagree nothing is given, and nobody throws away what only he
//! has: that is for an operator to decide.

use bytes::{Buf, Bytes};

use super::{Step, StoreError, Txn, View, tables::Source as _};
use crate::{
    model::{
        chain::LogPosition,
        record::{EntryDecodeError, LogEnd, LogEntry},
    },
    sabotage,
};

/// What comes after a follower's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPart {
    /// Entries as they are on disk, in order; none when the follower has them all.
    Entries(Vec<Bytes>),
    /// This log does not have the follower's last entry, but another one in its place, or it ends before.
    Diverged(LogEnd),
    /// What comes next has left this log, because it was past its retention.
    Cut {
        /// The next entry that this log still has.
        next: u64,
    },
}

impl View {
    /// How the log ends.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn log_end(&self) -> Result<LogEnd, StoreError> {
        self.end_at(self.last())
    }

    /// What comes after a follower's end, as much as fits into `bytes_max`; the first entry always does.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn log_after(&self, end: LogEnd, bytes_max: usize) -> Result<LogPart, StoreError> {
        let (last, next) = (self.last(), end.position.index.saturating_add(1));
        if end.position.index > last {
            return Ok(LogPart::Diverged(self.end_at(last)?));
        }
        let known = self.end_at(end.position.index)?;
        if known.position.index != end.position.index {
            return Ok(LogPart::Cut { next: self.next_entry(next)? });
        }
        if known != end {
            return Ok(LogPart::Diverged(known));
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for index in next..=last {
            let Some(entry) = self.raw_entry(index)? else { break };
            bytes += entry.len();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        match entries.is_empty() && next <= last {
            true => Ok(LogPart::Cut { next: self.next_entry(next)? }),
            false => Ok(LogPart::Entries(entries)),
        }
    }

    /// The entry there; all zeroes if there is none.
    fn end_at(&self, index: u64) -> Result<LogEnd, StoreError> {
        let entry = self.raw_entry(index)?;
        let end = entry.and_then(|entry| LogEntry::peek(&entry));
        Ok(end.map_or_else(LogEnd::default, |(position, checksum)| LogEnd { position, checksum }))
    }
}

/// Entries that a follower appends to its log.
#[derive(Debug)]
pub struct Follow {
    entries: Vec<(LogEntry, Bytes)>,
}

/// What a follower was given does not fit.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It cannot be read.
    #[error("an entry of the master's log cannot be read")]
    Entry(#[from] EntryDecodeError),
    /// It does not come after what is here.
    #[error("{found:?} does not come after {last:?}, the last entry here")]
    Gap {
        /// What came.
        found: LogPosition,
        /// What was there.
        last: LogPosition,
    },
}

impl Follow {
    /// Entries one after the other, as [`LogPart::Entries`] has them.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(mut body: Bytes) -> Result<Self, FollowError> {
        let mut entries = Vec::new();
        while !body.is_empty() {
            let entry = LogEntry::decode(&body)?;
            let length = LogEntry::encoded_length(&body).unwrap_or(body.len());
            entries.push((entry, body.slice(..length)));
            body.advance(length);
        }
        Ok(Self { entries })
    }

    /// Where the first of them stands; `None` where there is none.
    #[must_use]
    pub fn first(&self) -> Option<LogPosition> {
        self.entries.first().map(|(entry, _)| entry.position)
    }

    /// Where the last of them stands; `None` where there is none.
    #[must_use]
    pub fn last(&self) -> Option<LogPosition> {
        self.entries.last().map(|(entry, _)| entry.position)
    }

    /// Whether there is nothing to append.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries up to `confirmed`, and those after it: rows that follow from the former can be settled.
    #[must_use]
    pub fn split(mut self, confirmed: u64) -> (Self, Self) {
        let after = self.entries.partition_point(|(entry, _)| entry.position.index <= confirmed);
        let rest = self.entries.split_off(after);
        (self, Self { entries: rest })
    }
}

impl Step for Follow {
    type Reply = Result<(), FollowError>;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Self::Reply, StoreError> {
        let mut before = txn.entry(txn.last())?.map(|entry| entry.position).unwrap_or_default();
        for found in self.entries.iter().map(|(entry, _)| entry.position) {
            let follows = found.index == before.index + 1 || sabotage!("follower-leaves-gaps");
            if !follows || found.term < before.term {
                return Ok(Err(FollowError::Gap { found, last: before }));
            }
            before = found;
        }
        for (entry, bytes) in self.entries {
            let is_last = entry.position == before;
            if sabotage!("follower-leaves-gaps") && entry.position.index % 8 == 0 && !is_last {
                continue;
            }
            txn.follow(entry, bytes)?;
        }
        Ok(Ok(()))
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
