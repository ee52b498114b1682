//! Retention: the log expires from its front, and with it the messages whose bodies it holds.
//!
//! One record says up to which log index everything is past its time. Queues then begin later, and the entries leave the
//! log, for all other rows that follow from them are settled in the same commit. What something under way still needs
//! (the message of a live chain of ours, a delayed message) is counted per entry and holds that entry back until it is
//! over; the next record of this kind takes it along.

use std::{ops::Bound, sync::Arc};

use super::{
    Bounds, StoreError, Tables, Txn, View,
    draft::Draft,
    key::{Key, Parts},
    row::{Row, Table},
    tables::Source as _,
};
use crate::{
    buggify,
    model::{
        chain::{ChainId, ChainState, Outcome},
        record::{LogEntry, Record},
    },
    sabotage,
};

/// How many log entries expire in one transaction at the most.
const BATCH: u64 = 1024;
/// The mark of the first log index that has not expired.
pub(super) const EXPIRED_BEFORE: &str = "expired-before";

/// How long messages are kept; without any limit for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// How long after it was stored a message expires, ms.
    pub age_ms: Option<i64>,
    /// How many bytes of log entries are kept; the oldest go first.
    pub bytes: Option<u64>,
}

impl Retention {
    /// Whether an entry may go that is the oldest of so many bytes.
    fn is_over(self, entry: &LogEntry, now_ms: i64, bytes: u64) -> bool {
        let share = if sabotage!("expired-before-its-time") { 4 } else { 1 };
        let by_age = self.age_ms.is_some_and(|age_ms| entry.at_ms.saturating_add(age_ms / share) <= now_ms);
        by_age || self.bytes.is_some_and(|limit| bytes > limit)
    }
}

/// What one transaction made of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expiry {
    /// Messages that went.
    pub messages: u64,
    /// Whether there may be more that has expired by now.
    pub more: bool,
}

/// What has expired: the log below `before`.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    before: u64,
    messages: u64,
    bytes: u64,
}

/// How the ids of all chains about a message begin.
fn message_of(id: &ChainId) -> String {
    let ChainId { broker, topic, queue, offset, .. } = id;
    format!("{broker}/{topic}/{queue}/{offset}/")
}

fn kept(message: &str) -> Key {
    Key::of(Table::Kept).text(message)
}

pub(super) fn by_index(table: Table, index: u64) -> Key {
    Key::of(table).index(index)
}

impl View {
    /// When the next thing expires, Unix ms, as far as is known by now: at `now_ms` or before if something already has.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn next_expiry_ms(&self, retention: Retention, now_ms: i64) -> Result<Option<i64>, StoreError> {
        let free = Key::of(Table::Free);
        if let Some(row) = self.rows().scan(Table::Free, Bound::Unbounded, &free)?.next() {
            row?;
            return Ok(Some(now_ms));
        }
        let Some(oldest) = self.oldest_entry()? else { return Ok(None) };
        if retention.bytes.is_some_and(|bytes| self.counts().retained_bytes > bytes) {
            return Ok(Some(now_ms));
        }
        Ok(retention.age_ms.map(|age_ms| oldest.at_ms.saturating_add(age_ms)))
    }

    /// The first log entry that has not expired and counts.
    fn oldest_entry(&self) -> Result<Option<Arc<LogEntry>>, StoreError> {
        for index in self.expired_before()?..=self.last() {
            match self.entry(index) {
                Ok(Some(entry)) if entry.counts_for_retention() => return Ok(Some(entry)),
                // A damaged entry goes with the first sound one after it.
                Ok(_) | Err(StoreError::Entry(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

impl Txn<'_, '_> {
    /// Lets expire what is past its retention, a bounded number of log entries at a time; `broker` is the group whose
    /// messages these are.
    ///
    /// # Errors
    /// The store fails.
    pub fn expire(&mut self, broker: &str, retention: Retention) -> Result<Expiry, StoreError> {
        let batch = buggify!("expires-one-entry", 1, BATCH);
        let span = self.draft().expired_span(retention, self.now_ms(), batch)?;
        let from = self.expired_before()?;
        let free = self.rows().scan(Table::Free, Bound::Unbounded, &Key::of(Table::Free))?.next().is_some();
        if span.before == from && !free {
            return Ok(Expiry::default());
        }
        let Span { before, messages, bytes } = span;
        self.record(Record::Expired { broker: broker.to_owned(), before, messages, bytes })?;
        Ok(Expiry { messages, more: before - from >= batch / 2 })
    }
}

impl Draft<'_> {
    /// What has expired by `now_ms` of the entries that are in the log for good, a batch at the most.
    fn expired_span(&self, retention: Retention, now_ms: i64, batch: u64) -> Result<Span, StoreError> {
        let from = self.expired_before()?;
        let (mut seen, mut span) = (Span::default(), Span { before: from, ..Span::default() });
        for index in from..=self.settleable() {
            // What goes along with others is no batch of its own, however much there is of it.
            if span.before > from && index >= from + batch {
                break;
            }
            // A salvaged log lacks entries; they go along with others.
            let (entry, size) = self.base().sized_entry(index)?.unwrap_or_default();
            let counting = entry.as_ref().filter(|entry| entry.counts_for_retention());
            let left = self.counts().retained_bytes.saturating_sub(seen.bytes);
            if counting.is_some_and(|entry| !retention.is_over(entry, now_ms, left)) {
                break;
            }
            let is_message = |record: &&Record| matches!(record, Record::Message { .. });
            let messages = entry.as_ref().map_or(0, |entry| entry.records.iter().filter(is_message).count());
            seen = Span { before: index + 1, messages: seen.messages + messages as u64, bytes: seen.bytes + size };
            if counting.is_some() {
                span = seen;
            }
        }
        Ok(span)
    }

    /// Lets the tables follow [`Record::Expired`] of the entry `at`.
    pub(super) fn apply_expired(&mut self, at: u64, broker: &str, before: u64, bytes: u64) -> Result<(), StoreError> {
        self.counts_mut().retained_bytes = self.counts().retained_bytes.saturating_sub(bytes);
        let from = self.expired_before()?;
        let table = Key::of(Table::Bounds);
        let queues = self.rows().scan(Table::Bounds, Bound::Unbounded, &table)?.collect::<Result<Vec<_>, _>>()?;
        for (key, row) in queues {
            let mut parts = Parts::of(&key);
            if let Row::Bounds(bounds) = row {
                self.expire_queue(broker, (&parts.text(), parts.number()), bounds, before)?;
            }
        }
        // The last one stays until others have expired: a follower whose log ends there has to be recognized.
        for index in from.saturating_sub(1)..before.saturating_sub(1) {
            if self.rows().get(Table::Needed, &by_index(Table::Needed, index))?.is_none() {
                self.cut(index, at);
            }
        }
        self.cut_free(at)?;
        self.put(Key::of(Table::Marks).text(EXPIRED_BEFORE), Row::Number(before.cast_signed()));
        Ok(())
    }

    /// Takes the messages off the front of a queue that stand below `before` in the log.
    fn expire_queue(
        &mut self,
        broker: &str,
        (topic, queue): (&str, i64),
        bounds: Bounds,
        before: u64,
    ) -> Result<(), StoreError> {
        let queue_key = || Key::of(Table::Queues).text(topic).number(queue);
        let mut gone = Vec::new();
        let from = Bound::Included(queue_key().number(bounds.minimum));
        for row in self.rows().scan(Table::Queues, from, &queue_key())? {
            let (key, row) = row?;
            let Row::Place(index, record) = row else { continue };
            if index >= before {
                break;
            }
            let mut parts = Parts::of(&key);
            let (_, _, offset) = (parts.text(), parts.number(), parts.number());
            gone.push((offset, index, record));
        }
        let Some((last, ..)) = gone.last().copied() else { return Ok(()) };
        for (offset, index, record) in gone {
            let message = format!("{broker}/{topic}/{queue}/{offset}/");
            if self.is_needed(&message)? && !sabotage!("retention-too-early") {
                self.put(kept(&message), Row::Place(index, record));
                self.counts_mut().kept += 1;
                self.need(index)?;
            } else {
                self.remove(queue_key().number(offset));
            }
        }
        let bounds = Row::Bounds(Bounds { minimum: last + 1, next: bounds.next });
        self.put(Key::of(Table::Bounds).text(topic).number(queue), bounds);
        Ok(())
    }

    /// Whether a live chain is about the message that these ids begin with.
    fn is_needed(&self, message: &str) -> Result<bool, StoreError> {
        let prefix = Key::of(Table::Chains).beginning(message);
        for row in self.rows().scan(Table::Chains, Bound::Unbounded, &prefix)? {
            if let (_, Row::Chain(chain)) = row?
                && chain.is_live()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A chain that was live is so no longer: if its message has expired and no other chain needs it, it goes.
    pub(super) fn release(&mut self, id: &ChainId, now: &ChainState) -> Result<(), StoreError> {
        // A renewed chain's message is needed by the one that follows it.
        if self.counts().kept == 0 || matches!(now, ChainState::Ended { outcome: Outcome::Superseded(_), .. }) {
            return Ok(());
        }
        let message = message_of(id);
        let Some(Row::Place(index, _)) = self.rows().get(Table::Kept, &kept(&message))? else { return Ok(()) };
        if self.is_needed(&message)? && !sabotage!("released-unasked") {
            return Ok(());
        }
        self.remove(kept(&message));
        self.counts_mut().kept = self.counts().kept.saturating_sub(1);
        self.remove(Key::of(Table::Queues).text(&id.topic).number(id.queue.into()).number(id.offset));
        self.need_no_more(index)
    }

    /// Nothing of a deleted topic is kept: what its successor has at the same place is another message.
    pub(super) fn drop_kept(&mut self, topic: &str) -> Result<(), StoreError> {
        if self.counts().kept == 0 {
            return Ok(());
        }
        let all = Key::of(Table::Kept);
        let rows = self.rows().scan(Table::Kept, Bound::Unbounded, &all)?.collect::<Result<Vec<_>, _>>()?;
        for (key, row) in rows {
            let message = Parts::of(&key).text();
            let Row::Place(index, _) = row else { continue };
            if message.split('/').nth(1) == Some(topic) {
                self.remove(kept(&message));
                self.counts_mut().kept = self.counts().kept.saturating_sub(1);
                self.need_no_more(index)?;
            }
        }
        Ok(())
    }

    /// One more body in this entry must stay.
    pub(super) fn need(&mut self, index: u64) -> Result<(), StoreError> {
        let key = by_index(Table::Needed, index);
        let before = self.needed(&key)?;
        self.put(key, Row::Number(before + 1));
        Ok(())
    }

    /// One body less in this entry must stay; the last one leaves the entry to the next expiry, or frees it if that has
    /// passed it.
    pub(super) fn need_no_more(&mut self, index: u64) -> Result<(), StoreError> {
        let key = by_index(Table::Needed, index);
        match self.needed(&key)? {
            2.. => {
                let left = self.needed(&key)? - 1;
                self.put(key, Row::Number(left));
            }
            _ => {
                self.remove(key);
                if index < self.expired_before()? {
                    self.put(by_index(Table::Free, index), Row::Mark);
                }
            }
        }
        Ok(())
    }

    fn needed(&self, key: &Key) -> Result<i64, StoreError> {
        let row = self.rows().get(Table::Needed, key)?;
        Ok(if let Some(Row::Number(count)) = row { count } else { 0 })
    }

    /// Takes along what was held back and is needed no more.
    fn cut_free(&mut self, at: u64) -> Result<(), StoreError> {
        let table = Key::of(Table::Free);
        let free = self.rows().scan(Table::Free, Bound::Unbounded, &table)?.collect::<Result<Vec<_>, _>>()?;
        for (key, _) in free {
            let index = Parts::of(&key).index();
            self.cut(index, at);
            self.remove(by_index(Table::Free, index));
        }
        Ok(())
    }
}

/// Reads the mark of the first log index that has not expired.
pub(super) fn expired_before(tables: &(impl Tables + ?Sized)) -> Result<u64, StoreError> {
    let row = tables.rows().get(Table::Marks, &Key::of(Table::Marks).text(EXPIRED_BEFORE))?;
    Ok(if let Some(Row::Number(index)) = row { index.cast_unsigned() } else { 1 })
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
