//! Which messages and log entries a broker still has: what is past its retention goes, unless something needs it.

use std::collections::{BTreeMap, BTreeSet};

use super::tables::add;
use crate::evidence::{StoredMessage, tables::Rows};

/// A queue's messages: the log index of each, and the lowest offset that was never past its retention.
#[derive(Default)]
struct Queue {
    minimum: i64,
    messages: BTreeMap<i64, u64>,
}

/// Messages and log entries, as far as the log was followed.
pub(super) struct Retained {
    /// The indexes of the entries.
    pub(super) log: BTreeSet<u64>,
    queues: BTreeMap<(String, i32), Queue>,
    /// Beginning of chain ids about a message that is past its retention → the log index of the message.
    kept: BTreeMap<String, u64>,
    /// Log index → how many bodies in there are needed.
    needed: BTreeMap<u64, u32>,
    free: BTreeSet<u64>,
    expired_before: u64,
}

impl Default for Retained {
    /// Those of an empty log.
    fn default() -> Self {
        Self {
            log: BTreeSet::new(),
            queues: BTreeMap::new(),
            kept: BTreeMap::new(),
            needed: BTreeMap::new(),
            free: BTreeSet::new(),
            expired_before: 1,
        }
    }
}

impl Retained {
    /// A message is stored by the entry of this index.
    pub(super) fn store(&mut self, message: &StoredMessage, index: u64) {
        let queue = self.queues.entry((message.topic.clone(), message.queue)).or_default();
        queue.messages.insert(message.offset, index);
    }

    /// How many messages are past their retention and needed.
    pub(super) fn held_back(&self) -> u64 {
        self.kept.len() as u64
    }

    /// A topic goes, with its messages: what its successor has at the same place is another one.
    pub(super) fn delete_topic(&mut self, name: &str) {
        self.queues.retain(|(topic, _), _| topic != name);
        let of_topic = |message: &&String| message.split('/').nth(1) == Some(name);
        let dropped: Vec<String> = self.kept.keys().filter(of_topic).cloned().collect();
        for index in dropped.iter().filter_map(|message| self.kept.remove(message)).collect::<Vec<_>>() {
            self.need_no_more(index);
        }
    }

    /// Whether this message is past its retention and was needed.
    pub(super) fn keeps(&self, message: &str) -> bool {
        self.kept.contains_key(message)
    }

    /// A message that is kept past its retention goes.
    pub(super) fn release(&mut self, message: &str, (topic, queue, offset): (&str, i32, i64)) {
        let Some(index) = self.kept.remove(message) else { return };
        if let Some(queue) = self.queues.get_mut(&(topic.to_owned(), queue)) {
            queue.messages.remove(&offset);
        }
        self.need_no_more(index);
    }

    /// What the log holds below an index is past its retention, and goes unless it is needed.
    pub(super) fn expire(&mut self, broker: &str, before: u64, is_needed: impl Fn(&str) -> bool) {
        let mut gone = Vec::new();
        for ((topic, number), queue) in &mut self.queues {
            let past = queue.messages.range(queue.minimum..).take_while(|(_, index)| **index < before);
            let past: Vec<(i64, u64)> = past.map(|(offset, index)| (*offset, *index)).collect();
            queue.minimum = past.last().map_or(queue.minimum, |(offset, _)| offset + 1);
            gone.extend(past.into_iter().map(|(offset, index)| (topic.clone(), *number, offset, index)));
        }
        for (topic, number, offset, index) in gone {
            let message = message_of(broker, &topic, number, offset);
            if is_needed(&message) {
                self.kept.insert(message, index);
                self.need(index);
            } else if let Some(queue) = self.queues.get_mut(&(topic, number)) {
                queue.messages.remove(&offset);
            }
        }
        let Self { log, needed, free, .. } = self;
        // The last one that expired stays: a slave whose log ends there has to be recognized.
        log.retain(|index| *index + 1 >= before || needed.contains_key(index) || *index + 1 < self.expired_before);
        let freed = std::mem::take(free);
        log.retain(|index| !freed.contains(index));
        self.expired_before = before;
    }

    /// One more body in the entry of this index is needed.
    pub(super) fn need(&mut self, index: u64) {
        *self.needed.entry(index).or_default() += 1;
    }

    /// One less is.
    pub(super) fn need_no_more(&mut self, index: u64) {
        if let Some(count) = self.needed.get_mut(&index).filter(|count| **count > 1) {
            *count -= 1;
            return;
        }
        self.needed.remove(&index);
        if index < self.expired_before {
            self.free.insert(index);
        }
    }

    /// Adds the rows that say all this.
    pub(super) fn add_to(&self, rows: &mut Rows) {
        for ((topic, queue), Queue { messages, .. }) in &self.queues {
            add(rows, "bounds", format!("{topic} {queue}"));
            messages.keys().for_each(|offset| add(rows, "queues", format!("{topic} {queue} {offset}")));
        }
        self.kept.keys().for_each(|message| add(rows, "kept", message));
        self.needed.keys().for_each(|index| add(rows, "needed", index));
        self.free.iter().for_each(|index| add(rows, "free", index));
    }
}

/// How the ids of all chains about a message begin.
pub(super) fn message_of(broker: &str, topic: &str, queue: i32, offset: i64) -> String {
    format!("{broker}/{topic}/{queue}/{offset}/")
}
