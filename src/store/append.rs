//! Appending messages, and the topics they go to.

use super::{StoreError, Tables, Txn};
use crate::{
    model::{
        chain::LogPosition,
        message::{EncodeError, Message},
        record::Record,
        topic::TopicConfig,
    },
    sabotage,
};

/// Where a message was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Queue.
    pub queue: i32,
    /// Offset in the queue.
    pub offset: i64,
    /// Position in the log, unique in the group: RocketMQ's commit-log offset.
    pub physical: i64,
}

/// Records of one log entry share its index; this many bits tell them apart in a physical offset.
pub(super) const RECORD_BITS: u32 = 12;

/// The physical offset of a record of the log.
#[must_use]
pub fn physical_offset(index: u64, record: u32) -> i64 {
    i64::try_from(index << RECORD_BITS | u64::from(record)).unwrap_or(i64::MAX)
}

impl Txn<'_, '_> {
    /// Appends a message to its topic and queue; sets its offsets.
    ///
    /// A message that cannot be stored (too large, bad properties) is the inner error; nothing was recorded then.
    ///
    /// # Errors
    /// The store fails.
    pub fn append(&mut self, mut message: Message) -> Result<Result<Place, EncodeError>, StoreError> {
        let offset = self.bounds(&message.topic, message.queue_id)?.next;
        message.queue_offset = offset;
        if !sabotage!("copies-without-position") {
            message.physical_offset = physical_offset(self.position().index, self.next_record());
        }
        let stored = match message.encode() {
            Ok(stored) => stored,
            Err(refused) => return Ok(Err(refused)),
        };
        let place = Place { queue: message.queue_id, offset, physical: message.physical_offset };
        self.record(Record::Message { topic: message.topic, queue: message.queue_id, offset, stored })?;
        Ok(Ok(place))
    }

    /// Creates the topic, or changes its configuration; an existing topic keeps its epoch. Tells whether anything
    /// changed.
    ///
    /// # Errors
    /// The store fails.
    pub fn put_topic(&mut self, config: TopicConfig) -> Result<bool, StoreError> {
        let before = self.topic(&config.topic_name)?;
        if before.as_ref().is_some_and(|row| row.config == config) && !sabotage!("topic-recorded-again") {
            return Ok(false);
        }
        let epoch = before.map_or_else(|| self.position(), |row| row.epoch);
        self.record(Record::Topic { config, epoch })?;
        Ok(true)
    }

    /// Creates a retry or dead-letter topic if it is missing: one queue, read and write (`PopReviveService.addRetryTopicIfNotExist`).
    ///
    /// # Errors
    /// The store fails.
    pub fn ensure_internal_topic(&mut self, topic: &str) -> Result<LogPosition, StoreError> {
        if let Some(row) = self.topic(topic)? {
            return Ok(row.epoch);
        }
        self.record(Record::Topic { config: TopicConfig::with_queues(topic, 1), epoch: self.position() })?;
        Ok(self.position())
    }
}
