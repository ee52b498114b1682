//! What a story is about: the message, every place at which it lies, and every chain that is about one of them.

use std::collections::BTreeSet;

use crate::{
    evidence::{ChainId, Fact},
    history::LedgerId,
    ledger::{ChainLife, Ledger, Place, TimerStep},
};

/// One message, with all its copies.
pub(super) struct Subject<'l, 'h> {
    pub(super) ledger: &'l Ledger<'h>,
    pub(super) stamp: &'l LedgerId,
    /// Where it and its copies are durable.
    pub(super) places: BTreeSet<Place<'h>>,
    /// The chains of all of them, on every disk.
    pub(super) chains: Vec<&'l ChainLife<'h>>,
    timers: Vec<&'l TimerStep<'h>>,
}

impl<'l, 'h> Subject<'l, 'h> {
    pub(super) fn of(ledger: &'l Ledger<'h>, stamp: &'l LedgerId) -> Self {
        let places: BTreeSet<Place<'h>> = ledger.stamped(stamp).map(|stored| stored.place).collect();
        let chains = ledger.chains.iter().filter(|life| places.contains(&life.origin())).collect();
        let timers = ledger.timers.iter().filter(|timer| timer.message.ledger.as_ref() == Some(stamp)).collect();
        Self { ledger, stamp, places, chains, timers }
    }

    pub(super) fn is_it(&self, ledger: Option<&LedgerId>) -> bool {
        ledger == Some(self.stamp)
    }

    /// The offsets at which a queue has it, of whatever era: evidence on the wire names none.
    pub(super) fn offsets<'s>(&'s self, broker: &'s str, topic: &'s str, queue: i32) -> impl Iterator<Item = i64> + 's {
        let is_here = move |place: &&Place<'_>| (place.node, place.topic, place.queue) == (broker, topic, queue);
        self.places.iter().filter(is_here).map(|place| place.offset)
    }

    /// Whether it lies there, in whatever era.
    pub(super) fn is_at(&self, broker: &str, topic: &str, queue: i32, offset: i64) -> bool {
        self.offsets(broker, topic, queue).any(|at| at == offset)
    }

    fn has_chain(&self, id: &ChainId) -> bool {
        self.chains.iter().any(|life| life.id == id) || self.is_at(&id.broker, &id.topic, id.queue, id.offset)
    }

    fn has_timer(&self, broker: &str, record: (u64, u32)) -> bool {
        self.timers.iter().any(|timer| timer.node == broker && timer.record == record)
    }

    /// Whether a fact on the disk of `broker`, or of a slave of it, is about the message. `index` is that of its entry.
    pub(super) fn concerns(&self, broker: &str, fact: &Fact) -> bool {
        match fact {
            Fact::Message(message) | Fact::Timer { message, .. } => self.is_it(message.ledger.as_ref()),
            Fact::TimerFired { index, record, .. } => self.has_timer(broker, (*index, *record)),
            Fact::TimerMoved { timer, .. } => self.has_timer(broker, (timer.index, timer.record)),
            Fact::TimerTaken { group, timer, .. } => self.has_timer(group, (timer.index, timer.record)),
            Fact::Chain(chain) => self.has_chain(&chain.id),
            Fact::EarlyAck { id, .. } | Fact::EarlyAckDropped { id } => self.has_chain(id),
            Fact::Forgotten { chains } => chains.iter().any(|id| self.has_chain(id)),
            Fact::Sent { key, .. } => **key == *self.stamp.0,
            Fact::TopicDeleted { name, .. } => {
                self.places.iter().any(|place| (place.node, place.topic) == (broker, name))
            }
            Fact::OffsetReset { topic, queue, .. } => self.offsets(broker, topic, *queue).next().is_some(),
            Fact::Expired { before, .. } => self.places.iter().any(|place| {
                let stored = self.ledger.stored(place);
                place.node == broker && stored.is_some_and(|stored| stored.entry.index < *before)
            }),
            Fact::Topic { .. }
            | Fact::Group { .. }
            | Fact::Offset { .. }
            | Fact::SetAside { .. }
            | Fact::Sealed { .. }
            | Fact::Merged { .. }
            | Fact::Unknown(_) => false,
        }
    }
}
