//! Sets a group's next offset in a queue, forwards or backwards.

use std::collections::BTreeMap;

use crate::{
    model::{chain::Outcome, record::Record},
    revive::{
        apply::Home,
        engine::{Answer, Event},
    },
    sabotage, sometimes,
    store::{Step, StoreError, Tables, Txn},
};

/// Sets a group's next offsets in a topic. Chains kept here of messages that are handed out anew, from the new offset
/// on, end: otherwise such a message would come on two ways at once. Chains before it stay what they are, also when the
/// offset goes forward: those messages were handed out and are still owed.
pub struct ResetOffset {
    /// This broker.
    pub home: Home,
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Where to.
    pub target: Target,
}

/// Where offsets are set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One queue, to this offset.
    Offset {
        /// Queue.
        queue: i32,
        /// Offset; from the queue's minimum to its end.
        offset: i64,
    },
    /// One queue, or all, to the first message that was stored at or after this time, Unix ms; a time before 1970 is the
    /// end of the queue (RocketMQ's -1).
    Time {
        /// The one queue; `None` is all.
        queue: Option<i32>,
        /// Unix ms.
        at_ms: i64,
    },
}

/// What a reset came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reset {
    /// Done.
    To {
        /// Queue → its new offset.
        offsets: BTreeMap<i32, i64>,
        /// How many chains ended.
        ended: usize,
    },
    /// The topic does not exist.
    TopicUnknown,
    /// The queue does not exist.
    QueueUnknown {
        /// How many queues there are.
        queues: u32,
    },
    /// The offset lies outside of the queue, which is this.
    OutOfRange {
        /// Lowest offset.
        minimum: i64,
        /// Offset the next message will get.
        next: i64,
    },
}

impl Step for ResetOffset {
    type Reply = Reset;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Reset, StoreError> {
        let Some(row) = txn.topic(&self.topic)? else { return Ok(Reset::TopicUnknown) };
        let queues = row.config.read_queue_nums;
        let count = i32::try_from(queues).unwrap_or(i32::MAX);
        let one = match self.target {
            Target::Offset { queue, .. } => sometimes!("reset-by-offset", Some(queue)),
            Target::Time { queue, .. } => sometimes!("reset-by-time", queue),
        };
        if one.is_some_and(|queue| !(0..count).contains(&queue)) {
            return Ok(Reset::QueueUnknown { queues });
        }
        let mut offsets = BTreeMap::new();
        for queue in one.map_or(0..count, |queue| queue..queue + 1) {
            let bounds = txn.bounds(&self.topic, queue)?;
            let offset = match self.target {
                Target::Offset { offset, .. } => sometimes!("reset-to-offset", offset),
                Target::Time { at_ms, .. } if at_ms < 0 => sometimes!("reset-to-end", bounds.next),
                Target::Time { at_ms, .. } => {
                    sometimes!("reset-to-stored");
                    let later_ms = if sabotage!("reset-skips-some") { 60_000 } else { 0 };
                    txn.first_stored_since(&self.topic, queue, at_ms + later_ms)?
                }
            };
            if !(bounds.minimum..=bounds.next).contains(&offset) {
                return Ok(Reset::OutOfRange { minimum: bounds.minimum, next: bounds.next });
            }
            offsets.insert(queue, offset);
        }
        for (queue, offset) in &offsets {
            let (group, topic) = (self.group.clone(), self.topic.clone());
            txn.record(Record::OffsetReset { group, topic, queue: *queue, offset: *offset })?;
        }
        let ended = self.end_chains(txn, &offsets)?;
        Ok(Reset::To { offsets, ended })
    }
}

impl ResetOffset {
    fn end_chains(&self, txn: &mut Txn<'_, '_>, offsets: &BTreeMap<i32, i64>) -> Result<usize, StoreError> {
        let mut ended = 0;
        if sabotage!("reset-keeps-chains") {
            return Ok(ended);
        }
        for chain in txn.pending_chains(&self.home.broker, &self.topic)? {
            let comes_anew = offsets.get(&chain.id.queue).is_some_and(|offset| chain.id.offset >= *offset);
            if comes_anew && chain.id.group == self.group {
                let applied = self.home.apply(txn, &chain, Event::Withdrawn(Outcome::Reset))?;
                ended += usize::from(applied.answer == Answer::Done);
            }
        }
        Ok(ended)
    }
}
