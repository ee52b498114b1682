//! Reading the tables.
//!
//! Every table is derived from the log. [`Tables`] gives the same reading functions to a read-only view and to a step
//! under way, so that a rule reads the same whoever asks.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use super::{
    Bounds, StoreError, TopicRow,
    key::{Key, Parts, timer},
    row::{Row, Table},
    rows::Rows,
};
use crate::model::{
    chain::{Chain, ChainId, LogPosition},
    group::SubscriptionGroupConfig,
    record::{ForgottenChain, LogEnd, LogEntry, Record, SetAside},
    timer::{TakenTimer, TimerId},
};

/// What the reading functions are built on; implemented inside the store alone.
pub(super) trait Source {
    /// The derived rows.
    fn rows(&self) -> Rows<'_>;
    /// An entry of the log.
    fn entry(&self, index: u64) -> Result<Option<Arc<LogEntry>>, StoreError>;
    /// Index of the log's last entry.
    fn last(&self) -> u64;
}

/// When a chain is due, Unix ms, and its key.
pub type DueKey = (i64, String);

/// Reading the tables, in a view or in a step.
///
/// A row's variant follows from its table, so that the reading functions name the one they expect and have no other
/// case to tell.
#[allow(private_bounds, reason = "only the store's own types are sources")]
pub trait Tables: Source {
    /// The topic, if it exists.
    ///
    /// # Errors
    /// The store cannot be read, here and in all the following.
    fn topic(&self, name: &str) -> Result<Option<TopicRow>, StoreError> {
        let row = self.rows().get(Table::Topics, &Key::of(Table::Topics).text(name))?;
        Ok(if let Some(Row::Topic(row)) = row { Some(TopicRow::clone(&row)) } else { None })
    }

    /// The entry that deleted the topic, if it existed once and does not now.
    ///
    /// # Errors
    /// The store cannot be read.
    fn deleted_topic(&self, name: &str) -> Result<Option<LogPosition>, StoreError> {
        let row = self.rows().get(Table::DeletedTopics, &Key::of(Table::DeletedTopics).text(name))?;
        Ok(if let Some(Row::Position(at)) = row { Some(at) } else { None })
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// The store cannot be read.
    fn all_topics(&self) -> Result<Vec<TopicRow>, StoreError> {
        let mut topics = Vec::new();
        for row in self.rows().scan(Table::Topics, Bound::Unbounded, &Key::of(Table::Topics))? {
            if let (_, Row::Topic(row)) = row? {
                topics.push(TopicRow::clone(&row));
            }
        }
        Ok(topics)
    }

    /// The consumer group, if it exists.
    ///
    /// # Errors
    /// The store cannot be read.
    fn group(&self, name: &str) -> Result<Option<SubscriptionGroupConfig>, StoreError> {
        let row = self.rows().get(Table::Groups, &Key::of(Table::Groups).text(name))?;
        Ok(if let Some(Row::Group(config)) = row { Some(SubscriptionGroupConfig::clone(&config)) } else { None })
    }

    /// All consumer groups, by name.
    ///
    /// # Errors
    /// The store cannot be read.
    fn all_groups(&self) -> Result<Vec<SubscriptionGroupConfig>, StoreError> {
        let mut groups = Vec::new();
        for row in self.rows().scan(Table::Groups, Bound::Unbounded, &Key::of(Table::Groups))? {
            if let (_, Row::Group(config)) = row? {
                groups.push(SubscriptionGroupConfig::clone(&config));
            }
        }
        Ok(groups)
    }

    /// The span of a queue; empty at 0 when nothing was ever stored there.
    ///
    /// # Errors
    /// The store cannot be read.
    fn bounds(&self, topic: &str, queue: i32) -> Result<Bounds, StoreError> {
        let key = Key::of(Table::Bounds).text(topic).number(queue.into());
        let row = self.rows().get(Table::Bounds, &key)?;
        Ok(if let Some(Row::Bounds(bounds)) = row { bounds } else { Bounds { minimum: 0, next: 0 } })
    }

    /// The stored form of the message at an offset.
    ///
    /// # Errors
    /// The store cannot be read, or the log entry is damaged.
    fn message(&self, topic: &str, queue: i32, offset: i64) -> Result<Option<bytes::Bytes>, StoreError> {
        let key = Key::of(Table::Queues).text(topic).number(queue.into()).number(offset);
        match self.rows().get(Table::Queues, &key)? {
            Some(Row::Place(index, record)) => stored(self, (topic, queue, offset), index, record).map(Some),
            _ => Ok(None),
        }
    }

    /// The first messages at or after `from`, at most `limit`: offset and stored form.
    ///
    /// # Errors
    /// The store cannot be read, or a log entry is damaged.
    fn messages(
        &self,
        topic: &str,
        queue: i32,
        from: i64,
        limit: usize,
    ) -> Result<Vec<(i64, bytes::Bytes)>, StoreError> {
        let mut found = Vec::new();
        let prefix = Key::of(Table::Queues).text(topic).number(queue.into());
        let first = Bound::Included(prefix.clone().number(from));
        for row in self.rows().scan(Table::Queues, first, &prefix)?.take(limit) {
            if let (key, Row::Place(index, record)) = row? {
                let mut parts = Parts::of(&key);
                let (_, _, offset) = (parts.text(), parts.number(), parts.number());
                found.push((offset, stored(self, (topic, queue, offset), index, record)?));
            }
        }
        Ok(found)
    }

    /// The first offset at or after `from` at which there is a message, or the queue's end.
    ///
    /// # Errors
    /// The store cannot be read.
    fn next_stored(&self, topic: &str, queue: i32, from: i64) -> Result<i64, StoreError> {
        let prefix = Key::of(Table::Queues).text(topic).number(queue.into());
        let mut rows = self.rows().scan(Table::Queues, Bound::Included(prefix.clone().number(from)), &prefix)?;
        match rows.next().transpose()? {
            Some((key, _)) => {
                let mut parts = Parts::of(&key);
                let (_, _, offset) = (parts.text(), parts.number(), parts.number());
                Ok(offset)
            }
            None => Ok(self.bounds(topic, queue)?.next),
        }
    }

    /// The offset of the first message of a queue that was stored at or after `at_ms`, or the queue's end. Messages were
    /// stored in the order of their offsets, by one clock.
    ///
    /// # Errors
    /// The store cannot be read, or a log entry is damaged.
    fn first_stored_since(&self, topic: &str, queue: i32, at_ms: i64) -> Result<i64, StoreError> {
        let Bounds { minimum, next } = self.bounds(topic, queue)?;
        let (mut low, mut high) = (minimum, next);
        while low < high {
            let middle = low + (high - low) / 2;
            let key = Key::of(Table::Queues).text(topic).number(queue.into()).number(middle);
            let stored_ms = match self.rows().get(Table::Queues, &key)? {
                Some(Row::Place(index, _)) => self.entry(index)?.map(|entry| entry.at_ms),
                _ => None,
            };
            match stored_ms {
                Some(stored_ms) if stored_ms >= at_ms => high = middle,
                _ => low = middle + 1,
            }
        }
        Ok(low)
    }

    /// Index of the log's last entry; 0 for an empty log.
    ///
    /// # Errors
    /// The store cannot be read.
    fn last_index(&self) -> Result<u64, StoreError> {
        Ok(self.last())
    }

    /// When the log's last entry was decided, Unix ms on the holder's clock; 0 for an empty log.
    ///
    /// # Errors
    /// The store cannot be read, or the entry is damaged.
    fn last_at_ms(&self) -> Result<i64, StoreError> {
        Ok(self.entry(self.last())?.map_or(0, |entry| entry.at_ms))
    }

    /// One record of the log.
    ///
    /// # Errors
    /// The store cannot be read, or the entry is damaged.
    fn record_at(&self, index: u64, record: u32) -> Result<Option<Record>, StoreError> {
        Ok(self.entry(index)?.and_then(|entry| entry.records.get(record as usize).cloned()))
    }

    /// A group's next offset in a queue, if it ever had one.
    ///
    /// # Errors
    /// The store cannot be read.
    fn offset(&self, group: &str, topic: &str, queue: i32) -> Result<Option<i64>, StoreError> {
        let key = Key::of(Table::Offsets).text(group).text(topic).number(queue.into());
        Ok(number(self.rows().get(Table::Offsets, &key)?))
    }

    /// The chains about messages of this broker's topic that have a next step or are parked.
    ///
    /// # Errors
    /// The store cannot be read.
    fn pending_chains(&self, broker: &str, topic: &str) -> Result<Vec<Chain>, StoreError> {
        let prefix = format!("{broker}/{topic}/");
        let mut chains = Vec::new();
        for table in [Table::Due, Table::Parked] {
            for row in self.rows().scan(table, Bound::Unbounded, &Key::of(table))? {
                let (bytes, _) = row?;
                let mut parts = Parts::of(&bytes);
                if table == Table::Due {
                    parts.number();
                }
                let key = parts.text();
                if key.starts_with(&prefix) {
                    let dangling = || StoreError::Dangling { table: table.name(), key: key.clone(), index: 0 };
                    chains.push(self.chain_by_key(&key)?.ok_or_else(dangling)?);
                }
            }
        }
        Ok(chains)
    }

    /// The chain, if it is known here.
    ///
    /// # Errors
    /// The store cannot be read.
    fn chain(&self, id: &ChainId) -> Result<Option<Chain>, StoreError> {
        self.chain_by_key(&id.to_string())
    }

    /// The chain whose id reads `key`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn chain_by_key(&self, key: &str) -> Result<Option<Chain>, StoreError> {
        let row = self.rows().get(Table::Chains, &Key::of(Table::Chains).text(key))?;
        Ok(if let Some(Row::Chain(chain)) = row { Some(Chain::clone(&chain)) } else { None })
    }

    /// Keys of the chains with a next step, earliest first, from the beginning.
    ///
    /// # Errors
    /// The store cannot be read.
    fn due_keys(&self, limit: usize) -> Result<Vec<(i64, String)>, StoreError> {
        times_and_ids(self.rows(), Table::Due, limit)
    }

    /// Keys of the chains that are due by `until_ms`, after this row, at most `limit`; and the time of the row after
    /// them, whether it is due or not.
    ///
    /// # Errors
    /// The store cannot be read.
    fn due_after(
        &self,
        (after_ms, after_key): (i64, &str),
        until_ms: i64,
        limit: usize,
    ) -> Result<(Vec<DueKey>, Option<i64>), StoreError> {
        let table = Key::of(Table::Due);
        let from = Bound::Excluded(table.clone().number(after_ms).text(after_key));
        let mut due = Vec::new();
        for row in self.rows().scan(Table::Due, from, &table)? {
            let (key, _) = row?;
            let mut parts = Parts::of(&key);
            let due_ms = parts.number();
            if due_ms > until_ms || due.len() == limit {
                return Ok((due, Some(due_ms)));
            }
            due.push((due_ms, parts.text()));
        }
        Ok((due, None))
    }

    /// Parked chains after `after` in key order, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn parked(&self, after: &str, limit: usize) -> Result<Vec<Chain>, StoreError> {
        let mut chains = Vec::new();
        let table = Key::of(Table::Parked);
        let from = Bound::Excluded(table.clone().text(after));
        for row in self.rows().scan(Table::Parked, from, &table)?.take(limit) {
            let key = Parts::of(&row?.0).text();
            chains.push(self.chain_by_key(&key)?.ok_or(StoreError::Dangling { table: "parked", key, index: 0 })?);
        }
        Ok(chains)
    }

    /// The delayed messages due first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn first_timers(&self, limit: usize) -> Result<Vec<TimerId>, StoreError> {
        self.timers_after(None, limit)
    }

    /// The delayed messages due first after that one, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn timers_after(&self, after: Option<TimerId>, limit: usize) -> Result<Vec<TimerId>, StoreError> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(timer(after)));
        let rows = self.rows().scan(Table::Timers, from, &Key::of(Table::Timers))?;
        rows.take(limit).map(|row| Ok(Parts::of(&row?.0).timer())).collect()
    }

    /// Whether a delayed message waits.
    ///
    /// # Errors
    /// The store cannot be read.
    fn has_timer(&self, id: TimerId) -> Result<bool, StoreError> {
        Ok(self.rows().get(Table::Timers, &timer(id))?.is_some())
    }

    /// Until when an early ack for this chain waits, if there is one.
    ///
    /// # Errors
    /// The store cannot be read.
    fn early_ack(&self, id: &ChainId) -> Result<Option<i64>, StoreError> {
        let key = Key::of(Table::EarlyAcks).text(&id.to_string());
        Ok(number(self.rows().get(Table::EarlyAcks, &key)?))
    }

    /// The early acks that are given up first: until when, chain id.
    ///
    /// # Errors
    /// The store cannot be read.
    fn first_early_acks(&self, limit: usize) -> Result<Vec<(i64, String)>, StoreError> {
        times_and_ids(self.rows(), Table::EarlyAcksUntil, limit)
    }

    /// The first log index that has not expired; what stands before it is gone, or is held back by something under way.
    ///
    /// # Errors
    /// The store cannot be read.
    fn expired_before(&self) -> Result<u64, StoreError> {
        super::retention::expired_before(self)
    }

    /// The latest pop time of the chains about this group's messages that were forgotten: one that is not known and was
    /// popped until then may have been here, one that was popped later was not.
    ///
    /// # Errors
    /// The store cannot be read.
    fn forgotten_until_ms(&self, broker: &str) -> Result<Option<i64>, StoreError> {
        super::forgetting::forgotten_until_ms(self, broker)
    }

    /// The chains that are over, those first that were over first, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn over(&self, limit: usize) -> Result<Vec<ForgottenChain>, StoreError> {
        super::forgetting::over_chains(self, limit)
    }

    /// The last term that a member of another group has taken here to act for its master; 0 if none has.
    ///
    /// # Errors
    /// The store cannot be read.
    fn sealed_term(&self, group: &str) -> Result<u64, StoreError> {
        super::acting::sealed_term(self, group)
    }

    /// The last term that another group's master has taken here to take back what was done for it; 0 if it has taken none.
    ///
    /// # Errors
    /// The store cannot be read.
    fn master_sealed(&self, group: &str) -> Result<u64, StoreError> {
        super::acting::master_sealed(self, group)
    }

    /// How the log ended of the last member of a group that took a term here to act for its master, if it said so.
    ///
    /// # Errors
    /// The store cannot be read.
    fn acted_end(&self, group: &str) -> Result<Option<LogEnd>, StoreError> {
        super::acting::acted_end(self, group)
    }

    /// The last term up to which a group's master has merged what was done for it; 0 if there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    fn merged_term(&self, group: &str) -> Result<u64, StoreError> {
        super::acting::merged_term(self, group)
    }

    /// Whether there are chains here that acting members of any group have handed over and its master has not merged.
    ///
    /// # Errors
    /// The store cannot be read.
    fn is_any_unmerged(&self) -> Result<bool, StoreError> {
        super::acting::is_any_unmerged(self)
    }

    /// Of how many groups there are such chains.
    ///
    /// # Errors
    /// The store cannot be read.
    fn count_unmerged(&self) -> Result<usize, StoreError> {
        super::acting::count_unmerged(self)
    }

    /// Chains that acting members of a group have handed over and its master has not merged, in the order of their ids
    /// from the first after `after` on, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn acted_chains(&self, group: &str, after: &str, limit: usize) -> Result<Vec<Chain>, StoreError> {
        super::acting::acted_chains(self, group, after, limit)
    }

    /// Whether that delayed message of another group was taken since its master last merged.
    ///
    /// # Errors
    /// The store cannot be read.
    fn is_timer_taken(&self, group: &str, id: TimerId) -> Result<bool, StoreError> {
        super::acting::is_timer_taken(self, group, id)
    }

    /// The delayed messages of a group that were taken since its master last merged, from the first after `after` on, at
    /// most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn taken_timers(&self, group: &str, after: Option<TimerId>, limit: usize) -> Result<Vec<TakenTimer>, StoreError> {
        super::acting::taken_timers(self, group, after, limit)
    }

    /// The groups that have a next offset in some queue of a topic.
    ///
    /// # Errors
    /// The store cannot be read.
    fn groups_in(&self, topic: &str) -> Result<BTreeSet<String>, StoreError> {
        let mut groups = BTreeSet::new();
        for row in self.rows().scan(Table::Offsets, Bound::Unbounded, &Key::of(Table::Offsets))? {
            let (key, _) = row?;
            let mut parts = Parts::of(&key);
            let (group, of) = (parts.text(), parts.text());
            if of == topic {
                groups.insert(group);
            }
        }
        Ok(groups)
    }

    /// What was set aside, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn set_aside(&self, limit: usize) -> Result<Vec<SetAside>, StoreError> {
        let mut list = Vec::new();
        for row in self.rows().scan(Table::SetAside, Bound::Unbounded, &Key::of(Table::SetAside))?.take(limit) {
            if let (_, Row::SetAside(item)) = row? {
                list.push(SetAside::clone(&item));
            }
        }
        Ok(list)
    }
}

fn number(row: Option<Row>) -> Option<i64> {
    if let Some(Row::Number(number)) = row { Some(number) } else { None }
}

/// Keys that are made of a time and a chain id.
fn times_and_ids(rows: Rows<'_>, table: Table, limit: usize) -> Result<Vec<(i64, String)>, StoreError> {
    let rows = rows.scan(table, Bound::Unbounded, &Key::of(table))?;
    rows.take(limit)
        .map(|row| {
            let (key, _) = row?;
            let mut parts = Parts::of(&key);
            Ok((parts.number(), parts.text()))
        })
        .collect()
}

fn stored(
    tables: &(impl Tables + ?Sized),
    (topic, queue, offset): (&str, i32, i64),
    index: u64,
    record: u32,
) -> Result<bytes::Bytes, StoreError> {
    match tables.record_at(index, record)? {
        Some(Record::Message { stored, .. }) => Ok(stored),
        _ => Err(StoreError::Dangling { table: "queues", key: format!("{topic}/{queue}/{offset}"), index }),
    }
}
