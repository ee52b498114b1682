//! A step: everything that must become true together, decided and recorded in one transaction.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    StoreError,
    draft::Draft,
    rows::Rows,
    tables::{Source, Tables},
};
use crate::model::{
    chain::{Chain, LogPosition},
    record::{LogEntry, Record},
};

/// What becomes true together.
///
/// `decide` reads the tables, calls [`Txn::record`] for each fact, and returns what its caller is told once the facts
/// are on disk. A step that finds nothing to do records nothing and costs no commit.
pub trait Step: Send + 'static {
    /// What the caller is told after the commit.
    type Reply: Send + 'static;

    /// Decides, in one transaction with everything it records.
    ///
    /// A refusal of the request is part of `Reply`.
    ///
    /// # Errors
    /// Only when the store itself fails; the whole batch of steps is then abandoned.
    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Self::Reply, StoreError>;
}

/// Decides nothing: for what the writer itself is to do.
pub(super) struct Nothing;

impl Step for Nothing {
    type Reply = ();

    fn decide(self, _: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// One step's transaction.
pub struct Txn<'a, 't> {
    draft: &'a mut Draft<'t>,
    /// Where this step's entry will stand.
    position: LogPosition,
    now_ms: i64,
    records: Vec<Record>,
}

impl<'a, 't> Txn<'a, 't> {
    pub(super) const fn new(draft: &'a mut Draft<'t>, position: LogPosition, now_ms: i64) -> Self {
        Self { draft, position, now_ms, records: Vec::new() }
    }
}

impl<'t> Txn<'_, 't> {
    pub(super) const fn draft(&self) -> &Draft<'t> {
        self.draft
    }
}

impl Txn<'_, '_> {
    /// The holder's clock when the batch began, Unix ms.
    #[must_use]
    pub const fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The place this step's entry will have in the log.
    #[must_use]
    pub const fn position(&self) -> LogPosition {
        self.position
    }

    /// The number of the next record in this step's entry.
    #[must_use]
    pub fn next_record(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap_or(u32::MAX)
    }

    /// States a fact: it is applied to the tables at once and written to the log with the step.
    ///
    /// # Errors
    /// The store fails.
    pub fn record(&mut self, record: Record) -> Result<(), StoreError> {
        self.draft.apply((self.position.index, self.next_record()), self.now_ms, &record)?;
        self.records.push(record);
        Ok(())
    }

    /// States a chain's new state.
    ///
    /// # Errors
    /// The store fails.
    pub fn record_chain(&mut self, chain: Chain) -> Result<(), StoreError> {
        self.record(Record::Chain(Box::new(chain)))
    }

    /// Takes over an entry of the log that this one follows, at its own place.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn follow(&mut self, entry: LogEntry, bytes: Bytes) -> Result<(), StoreError> {
        self.draft.follow(entry, bytes)
    }

    /// Adds the step's entry, if it recorded anything.
    pub(super) fn finish(self) {
        if !self.records.is_empty() {
            let entry = LogEntry { position: self.position, at_ms: self.now_ms, records: self.records };
            self.draft.push(Arc::new(entry));
        }
    }
}

impl Source for Txn<'_, '_> {
    fn rows(&self) -> Rows<'_> {
        self.draft.rows()
    }

    fn entry(&self, index: u64) -> Result<Option<Arc<LogEntry>>, StoreError> {
        self.draft.entry(index)
    }

    fn last(&self) -> u64 {
        self.draft.last()
    }
}

impl Tables for Txn<'_, '_> {}
