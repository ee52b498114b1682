//! Checkpoints that clients send: they stand for slaves of another make, which hand out messages of one broker and have
//! another keep the chains. Such a chain is born at its home, and what its checkpoint tells as acked has none at all.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Place, wire::Wire};
use crate::{
    evidence::{ChainId, frame::Handle},
    history::{History, Noted, Seen},
    plan::{NodeName, SimMs},
};

/// Broker, topic, queue and offset of a message, and the group it was handed out to.
type Message = (String, String, i32, i64, String);

/// What clients' checkpoints say.
#[derive(Debug, Default)]
pub struct Foreign {
    /// What they stand for, as (message, pop time) → when it was handed out.
    popped: FxHashMap<(Message, i64), SimMs>,
    /// Messages that a checkpoint told as acked → position of the first answer that it is stored.
    acked: FxHashMap<Message, usize>,
}

impl Foreign {
    pub(super) fn of(history: &History, wire: &Wire<'_>, brokers: &[NodeName]) -> Self {
        let mut foreign = Self::default();
        let mut named = FxHashSet::default();
        for send in wire.sends.iter().filter(|send| brokers.iter().all(|broker| broker != send.call.from)) {
            let Some(checkpoint) = send.checkpoint() else { continue };
            for (offset, is_acked) in checkpoint.offsets() {
                let (broker, topic) = (checkpoint.broker.clone(), checkpoint.topic.clone());
                let message = (broker, topic, checkpoint.queue, offset, checkpoint.group.clone());
                if let Some((event, 0)) = send.call.answer.filter(|_| is_acked) {
                    foreign.acked.entry(message.clone()).or_insert(event);
                }
                named.insert((message, checkpoint.pop_time));
            }
        }
        if !named.is_empty() {
            foreign.note_pops(history, &named);
        }
        foreign
    }

    fn note_pops(&mut self, history: &History, named: &FxHashSet<(Message, i64)>) {
        for (at_ms, noted) in history.noted() {
            let Noted::Popped(popped) = noted else { continue };
            let Seen::Ok(messages) = &popped.seen else { continue };
            for it in messages {
                let Some(handle) = Handle::read(&it.handle) else { continue };
                let broker = handle.broker.to_owned();
                let message = (broker, it.topic.clone(), it.queue, it.offset, popped.group.clone());
                let pop = (message, handle.pop_time);
                if named.contains(&pop) {
                    self.popped.entry(pop).or_insert(at_ms);
                }
            }
        }
    }

    /// When the message of a chain was handed out, if a client's checkpoint stands for it.
    #[must_use]
    pub fn popped_ms(&self, id: &ChainId) -> Option<SimMs> {
        if self.popped.is_empty() {
            return None;
        }
        let message = (id.broker.clone(), id.topic.clone(), id.queue, id.offset, id.group.clone());
        self.popped.get(&(message, id.pop_time)).copied()
    }

    /// Since when a client knows that a checkpoint is stored which tells this message as acked: position in the history.
    #[must_use]
    pub fn acked_within(&self, place: Place<'_>, group: &str) -> Option<usize> {
        if self.acked.is_empty() {
            return None;
        }
        let Place { node, topic, queue, offset, .. } = place;
        self.acked.get(&(node.to_owned(), topic.to_owned(), queue, offset, group.to_owned())).copied()
    }
}
