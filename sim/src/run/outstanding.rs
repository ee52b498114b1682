//! What the logs of the masters leave to be done: chains with a next step, delayed messages, messages not popped yet.
//!
//! A master that merges what its slave did cuts its log back first. What the entries beyond said never was, so each entry's
//! changes are kept with what they replaced.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    evidence::{ChainState, DurableEntry, Fact},
    plan::NodeName,
};

/// Node, topic, queue.
pub(super) type Place = (NodeName, String, i32);
/// Node, group, topic, queue.
type Cursor = (NodeName, String, String, i32);

/// What is left, by node.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    /// Chains with a next step, by node and id.
    pub(super) open: BTreeSet<(NodeName, String)>,
    /// Delayed messages: node, due time, entry.
    pub(super) timers: BTreeSet<(NodeName, i64, u64)>,
    /// Offset after the last message.
    pub(super) ends: BTreeMap<Place, i64>,
    /// Next offset.
    pub(super) offsets: BTreeMap<Cursor, i64>,
    /// By node and entry: what it changed, in its order.
    changes: BTreeMap<NodeName, BTreeMap<u64, Vec<Change>>>,
}

/// Something that an entry changed, and what was there before.
#[derive(Debug)]
enum Change {
    Open((NodeName, String), bool),
    Timer((NodeName, i64, u64), bool),
    End(Place, Option<i64>),
    Offset(Cursor, Option<i64>),
}

impl Outstanding {
    /// An entry became durable at a master. If its place was taken, the log was cut back to before it.
    pub(super) fn durable(&mut self, node: &str, entry: &DurableEntry) {
        if self.changes.get(node).is_some_and(|entries| entries.contains_key(&entry.index)) {
            self.cut(node, entry.index);
        }
        let mut changes = Vec::new();
        for fact in &entry.facts {
            for change in self.changes_of(node, entry.index, fact) {
                changes.push(self.set(change));
            }
        }
        self.changes.entry(node.to_owned()).or_default().insert(entry.index, changes);
    }

    fn cut(&mut self, node: &str, from: u64) {
        let Some(entries) = self.changes.get_mut(node) else { return };
        for change in entries.split_off(&from).into_values().rev().flat_map(|changes| changes.into_iter().rev()) {
            self.set(change);
        }
    }

    /// Sets what `change` says to its value; gives what takes that back.
    fn set(&mut self, change: Change) -> Change {
        fn put<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, value: Option<V>) -> Option<V> {
            match value {
                Some(value) => map.insert(key.clone(), value),
                None => map.remove(key),
            }
        }
        fn hold<K: Ord + Clone>(set: &mut BTreeSet<K>, key: &K, holds: bool) -> bool {
            if holds { !set.insert(key.clone()) } else { set.remove(key) }
        }
        match change {
            Change::Open(key, is_open) => {
                let was_open = hold(&mut self.open, &key, is_open);
                Change::Open(key, was_open)
            }
            Change::Timer(key, waits) => {
                let waited = hold(&mut self.timers, &key, waits);
                Change::Timer(key, waited)
            }
            Change::End(key, end) => {
                let before = put(&mut self.ends, &key, end);
                Change::End(key, before)
            }
            Change::Offset(key, offset) => {
                let before = put(&mut self.offsets, &key, offset);
                Change::Offset(key, before)
            }
        }
    }

    fn changes_of(&self, node: &str, index: u64, fact: &Fact) -> Vec<Change> {
        let node = node.to_owned();
        match fact {
            Fact::Chain(chain) => {
                let is_open = matches!(chain.state, ChainState::Open { .. } | ChainState::Moving { .. });
                vec![Change::Open((node, chain.id.to_string()), is_open)]
            }
            Fact::Message(message) => {
                vec![Change::End((node, message.topic.clone(), message.queue), Some(message.offset + 1))]
            }
            Fact::Offset { group, topic, queue, offset } | Fact::OffsetReset { group, topic, queue, offset } => {
                vec![Change::Offset((node, group.clone(), topic.clone(), *queue), Some(*offset))]
            }
            Fact::TopicDeleted { name, .. } => {
                let ends = self.ends.keys().filter(|(at, topic, _)| (at, topic) == (&node, name)).cloned();
                let offsets = self.offsets.keys().filter(|(at, _, topic, _)| (at, topic) == (&node, name)).cloned();
                let ends = ends.map(|key| Change::End(key, None));
                ends.chain(offsets.map(|key| Change::Offset(key, None))).collect()
            }
            Fact::Timer { due_ms, .. } => vec![Change::Timer((node, *due_ms, index), true)],
            Fact::TimerFired { due_ms, index, .. } => vec![Change::Timer((node, *due_ms, *index), false)],
            Fact::TimerMoved { timer, .. } => vec![Change::Timer((node, timer.due_ms, timer.index), false)],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Outstanding;
    use crate::{
        evidence::{DurableEntry, Fact, Outcome, Position},
        oracles::fixture::{chain, message},
    };

    fn entry(index: u64, facts: Vec<Fact>) -> DurableEntry {
        DurableEntry { term: 1, index, checksum: 0, length: 0, at_ms: 0, facts }
    }

    fn offset(offset: i64) -> Fact {
        Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset }
    }

    fn shown(left: &Outstanding) -> String {
        format!("{:?} {:?} {:?} {:?}", left.open, left.timers, left.ends, left.offsets)
    }

    #[test]
    fn what_is_cut_off_never_was() {
        let (waits, delayed) = (chain("t", 0, 5).open(9), message("t", 0, 1, 1));
        let mut left = Outstanding::default();
        left.durable("a", &entry(1, vec![Fact::Message(message("t", 0, 0, 0)), waits.clone().fact(), offset(1)]));
        left.durable("a", &entry(2, vec![Fact::Timer { message: delayed, due_ms: 70 }]));
        let before = shown(&left);
        left.durable("a", &entry(3, vec![waits.ended(Outcome::Acked).fact(), offset(2), offset(3)]));
        left.durable("a", &entry(4, vec![chain("t", 1, 6).open(9).fact(), Fact::Message(message("t", 0, 1, 1))]));
        let fired = Fact::TimerFired { due_ms: 70, index: 2, record: 0 };
        let at = Position { term: 1, index: 5 };
        let deleted = Fact::TopicDeleted { name: "t".into(), epoch: at, at };
        left.durable("a", &entry(5, vec![fired, deleted]));
        assert!(left.ends.is_empty() && left.timers.is_empty(), "{}", shown(&left));
        left.durable("b", &entry(1, vec![]));
        left.durable("a", &entry(3, vec![]));
        assert_eq!(shown(&left), before);
    }
}
