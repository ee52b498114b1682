//! What can go wrong with the store.

use super::mark::Progress;
use crate::model::record::{EntryDecodeError, EntryEncodeError};

/// What went wrong with the store, and whether the step may have taken effect.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// redb failed.
    #[error("the database failed")]
    Database(#[source] Box<redb::Error>),
    /// A row cannot be understood.
    #[error("row `{key}` of table `{table}` is not understood")]
    Row {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// What the deserializer said.
        #[source]
        cause: rmp_serde::decode::Error,
    },
    /// A row cannot be written.
    #[error("a row cannot be serialized")]
    Pack(#[from] rmp_serde::encode::Error),
    /// A log entry is damaged.
    #[error("the log is damaged")]
    Entry(#[from] EntryDecodeError),
    /// A log entry cannot be written.
    #[error("the log cannot be written")]
    WriteEntry(#[from] EntryEncodeError),
    /// A row names something that is not there.
    #[error("row `{key}` of table `{table}` names log entry {index}, which does not hold it")]
    Dangling {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// The log entry, where one is named.
        index: u64,
    },
    /// The file was written by another version of this program.
    #[error("the store has schema version {found}, this program reads {expected}")]
    Schema {
        /// In the file.
        found: u64,
        /// Of this program.
        expected: u64,
    },
    /// The disk did not open the file.
    #[error("the disk does not open `{name}`")]
    Open {
        /// The file.
        name: String,
        /// What the disk said.
        #[source]
        cause: std::io::Error,
    },
    /// The file is damaged. It was left as it is, and is looked at again when the store is opened again.
    #[error("`{}` is damaged, and was left as it is", super::FILE)]
    Damaged(#[source] Damage),
    /// The batch that held this step was abandoned before its commit: nothing of it took effect.
    #[error("not committed: {reason}")]
    NotCommitted {
        /// The step or table that failed.
        reason: String,
    },
    /// The commit itself failed: whether the step took effect is not known until the store was reopened.
    #[error("commit failed, its outcome is unknown: {reason}")]
    OutcomeUnknown {
        /// What the database said.
        reason: String,
    },
    /// It is on this disk, and not yet on as many as it has to be: it may be confirmed later, or never.
    #[error("stored here, but not confirmed by the other members of the group within {within_ms} ms")]
    Unconfirmed {
        /// How long it was waited for, ms.
        within_ms: u64,
    },
    /// Nothing more is written while what was written before is not confirmed.
    #[error("the other members of the group do not confirm what was written before")]
    ConfirmationStalled,
    /// Another member of the group may write by now, or does.
    #[error("this member's lease is over: neither its slave nor the group that would keep its chains has renewed it")]
    NoLease,
    /// What was confirmed may be missing here, until another member was heard: whatever is written would contradict it.
    #[error("this log may lack what was confirmed, and no other member was heard yet that would have it")]
    MayLack,
    /// It was stored while the lease ran out: whoever acts in this member's place may not know it.
    #[error("stored, but the lease ran out meanwhile: another member may act by now, and not know of it")]
    LeaseRanOut,
    /// The log does not have the place up to which it is to be cut back, or rows follow already from what comes after it.
    #[error("this log cannot be cut back to entry {index}: it is not there, or more is settled")]
    NoSuchPlace {
        /// The index.
        index: u64,
    },
    /// A failed sync made the store drop its database; it comes back by itself.
    #[error("the store is being reopened")]
    Reopening,
    /// The store is shut down.
    #[error("the store is closed")]
    Closed,
    /// More steps are waiting than the store lets wait.
    #[error("{limit} steps are waiting for a commit already")]
    Overloaded {
        /// How many may wait.
        limit: usize,
    },
}

/// What is wrong with a store's file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A page is not what its checksum says, or makes no sense.
    #[error("{0}")]
    Page(String),
    /// What says how far it had come is damaged itself.
    #[error(
        "what `{}` says beside it is damaged: without that file nothing tells whether the last commit is there",
        super::mark::FILE
    )]
    Mark,
    /// It has less than was once stored in it: the last commit is damaged, or the file was put back from an older copy.
    #[error(
        "it ends with log entry {} and change {} beside the log, and had come to entry {} and change {}: `{}` says so; \
         without that file the store opens, and what is missing stays missing",
        found.last, found.changes, noted.last, noted.changes, super::mark::FILE
    )]
    Behind {
        /// How far it goes.
        found: Progress,
        /// How far it went.
        noted: Progress,
    },
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(cause: $error) -> Self {
                match cause.into() {
                    redb::Error::Corrupted(what) => Self::Damaged(Damage::Page(what)),
                    redb::Error::Io(cause) if cause.kind() == std::io::ErrorKind::InvalidData => {
                        Self::Damaged(Damage::Page(cause.to_string()))
                    }
                    cause => Self::Database(Box::new(cause)),
                }
            }
        })*
    };
}

from_redb!(
    redb::Error,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError
);

impl StoreError {
    /// Whether the step may have taken effect although it failed.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. } | Self::Unconfirmed { .. } | Self::LeaseRanOut)
    }

    /// Whether the store takes no step at all for now, whatever it is: later it may.
    #[must_use]
    pub const fn is_for_now(&self) -> bool {
        matches!(
            self,
            Self::ConfirmationStalled | Self::NoLease | Self::MayLack | Self::Reopening | Self::Overloaded { .. }
        )
    }
}

impl StoreError {
    /// Nothing of the batch took effect, because of `cause`.
    pub(super) fn not_committed(cause: &dyn std::error::Error) -> Self {
        Self::NotCommitted { reason: Chained(cause).to_string() }
    }

    /// It is in the store's file, but nothing would tell if it were lost.
    pub(super) fn not_noted(cause: &std::io::Error) -> Self {
        Self::OutcomeUnknown { reason: format!("how far the store has come was not noted: {cause}") }
    }
}

/// An error with all its causes on one line.
pub(super) struct Chained<'a>(pub(super) &'a dyn std::error::Error);

impl std::fmt::Display for Chained<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
