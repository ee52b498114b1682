//! The tables, and reading them.
//!
//! Every table but `log` and `meta` is derived from the log. [`Tables`] gives the same reading functions to a read-only
//! view and to a step under way, so that a rule reads the same whoever asks.

use redb::{ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::model::{
    chain::{Chain, ChainId, LogPosition},
    group::SubscriptionGroupConfig,
    record::{LogEntry, Record, SetAside},
    topic::TopicConfig,
};

/// Log index → encoded [`LogEntry`].
pub(super) const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
/// Name → number: schema version and term.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Topic → [`TopicRow`].
pub(super) const TOPICS: TableDefinition<&str, &[u8]> = TableDefinition::new("topics");
/// Consumer group → [`SubscriptionGroupConfig`].
pub(super) const GROUPS: TableDefinition<&str, &[u8]> = TableDefinition::new("groups");
/// (topic, queue, offset) → (log index, record in that entry).
pub(super) const QUEUES: TableDefinition<(&str, i32, i64), (u64, u32)> = TableDefinition::new("queues");
/// (topic, queue) → (minimum offset, maximum offset + 1).
pub(super) const BOUNDS: TableDefinition<(&str, i32), (i64, i64)> = TableDefinition::new("bounds");
/// (group, topic, queue) → next offset.
pub(super) const OFFSETS: TableDefinition<(&str, &str, i32), i64> = TableDefinition::new("offsets");
/// Chain id → [`Chain`].
pub(super) const CHAINS: TableDefinition<&str, &[u8]> = TableDefinition::new("chains");
/// (due, chain id): the chains with a next step.
pub(super) const DUE: TableDefinition<(i64, &str), ()> = TableDefinition::new("due");
/// Chain id: the parked chains.
pub(super) const PARKED: TableDefinition<&str, ()> = TableDefinition::new("parked");
/// (due, log index, record): the delayed messages.
pub(super) const TIMERS: TableDefinition<(i64, u64, u32), ()> = TableDefinition::new("timers");
/// Chain id → until when the early ack waits.
pub(super) const EARLY_ACKS: TableDefinition<&str, i64> = TableDefinition::new("early-acks");
/// (until, chain id): the early acks in the order in which they are given up.
pub(super) const EARLY_ACKS_UNTIL: TableDefinition<(i64, &str), ()> = TableDefinition::new("early-acks-until");
/// Log index and record → [`SetAside`].
pub(super) const SET_ASIDE: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("set-aside");

/// A topic as it stands in its table.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct TopicRow {
    /// Its configuration.
    pub config: TopicConfig,
    /// When it was created.
    pub epoch: LogPosition,
}

/// The span of a queue: `minimum <= offset < next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Lowest offset there is.
    pub minimum: i64,
    /// Offset the next message will get.
    pub next: i64,
}

pub(super) fn unpack<T: DeserializeOwned>(table: &'static str, key: &str, bytes: &[u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|cause| StoreError::Row { table, key: key.into(), cause })
}

type Bytes<'a> = &'a [u8];

/// Reading the tables, in a view or in a step.
pub trait Tables {
    #[doc(hidden)]
    fn log(&self) -> Result<&impl ReadableTable<u64, Bytes<'static>>, StoreError>;
    #[doc(hidden)]
    fn topics(&self) -> Result<&impl ReadableTable<&'static str, Bytes<'static>>, StoreError>;
    #[doc(hidden)]
    fn groups(&self) -> Result<&impl ReadableTable<&'static str, Bytes<'static>>, StoreError>;
    #[doc(hidden)]
    fn queues(&self) -> Result<&impl ReadableTable<(&'static str, i32, i64), (u64, u32)>, StoreError>;
    #[doc(hidden)]
    fn bounds_table(&self) -> Result<&impl ReadableTable<(&'static str, i32), (i64, i64)>, StoreError>;
    #[doc(hidden)]
    fn offsets(&self) -> Result<&impl ReadableTable<(&'static str, &'static str, i32), i64>, StoreError>;
    #[doc(hidden)]
    fn chains(&self) -> Result<&impl ReadableTable<&'static str, Bytes<'static>>, StoreError>;
    #[doc(hidden)]
    fn due(&self) -> Result<&impl ReadableTable<(i64, &'static str), ()>, StoreError>;
    #[doc(hidden)]
    fn parked_table(&self) -> Result<&impl ReadableTable<&'static str, ()>, StoreError>;
    #[doc(hidden)]
    fn timers(&self) -> Result<&impl ReadableTable<(i64, u64, u32), ()>, StoreError>;
    #[doc(hidden)]
    fn early_acks(&self) -> Result<&impl ReadableTable<&'static str, i64>, StoreError>;
    #[doc(hidden)]
    fn early_acks_until(&self) -> Result<&impl ReadableTable<(i64, &'static str), ()>, StoreError>;
    #[doc(hidden)]
    fn set_aside_table(&self) -> Result<&impl ReadableTable<(u64, u32), Bytes<'static>>, StoreError>;

    /// The topic, if it exists.
    ///
    /// # Errors
    /// The store cannot be read, here and in all the following.
    fn topic(&self, name: &str) -> Result<Option<TopicRow>, StoreError> {
        let row = self.topics()?.get(name)?;
        row.map(|row| unpack("topics", name, row.value())).transpose()
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// The store cannot be read.
    fn all_topics(&self) -> Result<Vec<TopicRow>, StoreError> {
        let mut topics = Vec::new();
        for row in self.topics()?.iter()? {
            let (name, value) = row?;
            topics.push(unpack("topics", name.value(), value.value())?);
        }
        Ok(topics)
    }

    /// The consumer group, if it exists.
    ///
    /// # Errors
    /// The store cannot be read.
    fn group(&self, name: &str) -> Result<Option<SubscriptionGroupConfig>, StoreError> {
        let row = self.groups()?.get(name)?;
        row.map(|row| unpack("groups", name, row.value())).transpose()
    }

    /// The span of a queue; empty at 0 when nothing was ever stored there.
    ///
    /// # Errors
    /// The store cannot be read.
    fn bounds(&self, topic: &str, queue: i32) -> Result<Bounds, StoreError> {
        let row = self.bounds_table()?.get((topic, queue))?;
        let (minimum, next) = row.map_or((0, 0), |row| row.value());
        Ok(Bounds { minimum, next })
    }

    /// The stored form of the message at an offset.
    ///
    /// # Errors
    /// The store cannot be read, or the log entry is damaged.
    fn message(&self, topic: &str, queue: i32, offset: i64) -> Result<Option<bytes::Bytes>, StoreError> {
        let Some(place) = self.queues()?.get((topic, queue, offset))? else { return Ok(None) };
        let (index, record) = place.value();
        match self.record_at(index, record)? {
            Some(Record::Message { stored, .. }) => Ok(Some(stored)),
            _ => Err(StoreError::Dangling { table: "queues", key: format!("{topic}/{queue}/{offset}"), index }),
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
        for row in self.queues()?.range((topic, queue, from)..=(topic, queue, i64::MAX))?.take(limit) {
            let (key, place) = row?;
            let (offset, (index, record)) = (key.value().2, place.value());
            match self.record_at(index, record)? {
                Some(Record::Message { stored, .. }) => found.push((offset, stored)),
                _ => {
                    return Err(StoreError::Dangling {
                        table: "queues",
                        key: format!("{topic}/{queue}/{offset}"),
                        index,
                    });
                }
            }
        }
        Ok(found)
    }

    /// Index of the log's last entry; 0 for an empty log.
    ///
    /// # Errors
    /// The store cannot be read.
    fn last_index(&self) -> Result<u64, StoreError> {
        Ok(self.log()?.last()?.map_or(0, |(index, _)| index.value()))
    }

    /// One record of the log.
    ///
    /// # Errors
    /// The store cannot be read, or the entry is damaged.
    fn record_at(&self, index: u64, record: u32) -> Result<Option<Record>, StoreError> {
        let Some(bytes) = self.log()?.get(index)? else { return Ok(None) };
        let mut entry = LogEntry::decode(bytes.value())?;
        let at = record as usize;
        Ok((at < entry.records.len()).then(|| entry.records.swap_remove(at)))
    }

    /// A group's next offset in a queue, if it ever had one.
    ///
    /// # Errors
    /// The store cannot be read.
    fn offset(&self, group: &str, topic: &str, queue: i32) -> Result<Option<i64>, StoreError> {
        Ok(self.offsets()?.get((group, topic, queue))?.map(|row| row.value()))
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
        let row = self.chains()?.get(key)?;
        row.map(|row| unpack("chains", key, row.value())).transpose()
    }

    /// Keys of the chains with a next step, earliest first, from the beginning.
    ///
    /// # Errors
    /// The store cannot be read.
    fn due_keys(&self, limit: usize) -> Result<Vec<(i64, String)>, StoreError> {
        let mut keys = Vec::new();
        for row in self.due()?.iter()?.take(limit) {
            let (at, key) = {
                let row = row?.0;
                let (at, key) = row.value();
                (at, key.to_owned())
            };
            keys.push((at, key));
        }
        Ok(keys)
    }

    /// Parked chains after `after` in key order, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn parked(&self, after: &str, limit: usize) -> Result<Vec<Chain>, StoreError> {
        let mut chains = Vec::new();
        let from = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        for row in self.parked_table()?.range::<&str>(from)?.take(limit) {
            let key = row?.0.value().to_owned();
            chains.push(self.chain_by_key(&key)?.ok_or(StoreError::Dangling { table: "parked", key, index: 0 })?);
        }
        Ok(chains)
    }

    /// The delayed messages due first: due time, log index, record.
    ///
    /// # Errors
    /// The store cannot be read.
    fn first_timers(&self, limit: usize) -> Result<Vec<(i64, u64, u32)>, StoreError> {
        self.timers()?.iter()?.take(limit).map(|row| Ok(row?.0.value())).collect()
    }

    /// Until when an early ack for this chain waits, if there is one.
    ///
    /// # Errors
    /// The store cannot be read.
    fn early_ack(&self, id: &ChainId) -> Result<Option<i64>, StoreError> {
        Ok(self.early_acks()?.get(id.to_string().as_str())?.map(|row| row.value()))
    }

    /// The early acks that are given up first: until when, chain id.
    ///
    /// # Errors
    /// The store cannot be read.
    fn first_early_acks(&self, limit: usize) -> Result<Vec<(i64, String)>, StoreError> {
        let mut acks = Vec::new();
        for row in self.early_acks_until()?.iter()?.take(limit) {
            let key = row?.0;
            let (until, id) = key.value();
            acks.push((until, id.to_owned()));
        }
        Ok(acks)
    }

    /// What was set aside, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn set_aside(&self, limit: usize) -> Result<Vec<SetAside>, StoreError> {
        let mut list = Vec::new();
        for row in self.set_aside_table()?.iter()?.take(limit) {
            let (key, value) = row?;
            list.push(unpack("set-aside", &format!("{:?}", key.value()), value.value())?);
        }
        Ok(list)
    }
}
