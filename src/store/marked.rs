//! A database with its [`Mark`].

use std::ops::Deref;

use redb::{Database, ReadableDatabase, ReadableTable, Table, WriteTransaction};

use super::{
    StoreError,
    database::{LOG, META, SETTLED_KEY},
    error::{Chained, Damage},
    mark::{self, Mark, Progress},
};
use crate::sometimes;

/// How often something was changed that is in no entry of the log.
pub(super) const CHANGES_KEY: &str = "changes";

/// A database whose commits are noted beside it. It is read as any other.
pub(super) struct Marked {
    database: Database,
    /// Missing in memory, where nothing is lost before all is.
    mark: Option<Mark>,
}

impl Deref for Marked {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Marked {
    #[cfg(test)]
    pub(super) const fn in_memory(database: Database) -> Self {
        Self { database, mark: None }
    }

    /// A database that has all that it ever had, as far as is known.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is behind its mark.
    pub(super) fn new(database: Database, mark: Mark, noted: Progress) -> Result<Self, StoreError> {
        let found = progress(&database)?;
        if !found.reaches(noted) {
            return sometimes!("store-behind", Err(StoreError::Damaged(Damage::Behind { found, noted })));
        }
        mark.note(found).map_err(|cause| StoreError::Open { name: mark::FILE.into(), cause })?;
        Ok(Self { database, mark: Some(mark) })
    }

    /// Changes what is in no entry.
    pub(super) fn change(
        &self,
        change: impl FnOnce(&mut Table<'_, &'static str, u64>) -> Result<(), redb::StorageError>,
    ) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        let changes = {
            let mut meta = transaction.open_table(META)?;
            change(&mut meta)?;
            let changes = meta.get(CHANGES_KEY)?.map_or(0, |row| row.value()).saturating_add(1);
            meta.insert(CHANGES_KEY, changes)?;
            changes
        };
        transaction.commit()?;
        if let Some(mark) = &self.mark {
            mark.note(Progress { changes, ..mark.progress() }).map_err(|error| StoreError::not_noted(&error))?;
        }
        Ok(())
    }

    /// Commits what ends with this entry.
    pub(super) fn commit(&self, transaction: WriteTransaction, last: Option<u64>) -> Result<(), StoreError> {
        transaction.commit().map_err(|error| StoreError::OutcomeUnknown { reason: Chained(&error).to_string() })?;
        if let Some((mark, last)) = self.mark.as_ref().zip(last) {
            mark.note_last(last).map_err(|error| StoreError::not_noted(&error))?;
        }
        Ok(())
    }

    /// What comes after this entry is about to leave the log.
    pub(super) fn is_cut_back(&self, last: u64) -> Result<(), StoreError> {
        let lowered = self.mark.as_ref().map_or(Ok(()), |mark| mark.note_last(last));
        lowered.map_err(|cause| StoreError::NotCommitted { reason: cause.to_string() })
    }
}

/// How far a database has come.
fn progress(database: &Database) -> Result<Progress, StoreError> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Progress::default()), // created a moment ago
        Err(error) => return Err(error.into()),
    };
    let number = |name| Ok::<_, StoreError>(meta.get(name)?.map_or(0, |row| row.value()));
    // The last entry may have left the log; the rows that follow from it are settled then.
    let last = transaction.open_table(LOG)?.last()?.map_or(0, |(index, _)| index.value());
    Ok(Progress { last: last.max(number(SETTLED_KEY)?), changes: number(CHANGES_KEY)? })
}
