//! The ledger: a history folded into what the oracles ask for, borrowed from it and in its order.

pub mod biography;
pub mod obligations;
pub mod wire;

use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

pub use biography::Biography;
pub use obligations::{GroupSpec, Obligations, PolicySpec};
pub use wire::Wire;

use crate::{
    evidence::{ChainFact, ChainId, ChainState, DurableEntry, Fact, Outcome, Position, StoredMessage},
    history::{Acked, EventKind, History, LedgerId, Sent},
    plan::SimMs,
};

/// Where a message lies: on which broker's disk, in which queue, at which offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place<'a> {
    /// Whose disk.
    pub node: &'a str,
    /// Topic.
    pub topic: &'a str,
    /// Queue.
    pub queue: i32,
    /// Offset.
    pub offset: i64,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.node, self.topic, self.queue, self.offset)
    }
}

/// A durable message.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'h> {
    /// When: position in the history.
    pub event: usize,
    /// When, simulated ms.
    pub at_ms: SimMs,
    /// Where.
    pub place: Place<'h>,
    /// What.
    pub message: &'h StoredMessage,
    /// The entry that holds it.
    pub entry: &'h DurableEntry,
}

/// One entry of a node's log.
#[derive(Debug, Clone, Copy)]
pub struct LogStep<'h> {
    /// When: position in the history.
    pub event: usize,
    /// The entry.
    pub entry: &'h DurableEntry,
}

/// Messages of a broker went because they were past their retention.
#[derive(Debug, Clone, Copy)]
pub struct Expiry<'h> {
    /// When: position in the history.
    pub event: usize,
    /// Whose disk.
    pub node: &'h str,
    /// The entry that says so.
    pub entry: &'h DurableEntry,
    /// The first log index that did not go before.
    pub from: u64,
    /// The first log index that did not go.
    pub before: u64,
}

/// A chain was taken off a broker's tables.
#[derive(Debug, Clone, Copy)]
pub struct Forgetting<'h> {
    /// When: position in the history.
    pub event: usize,
    /// Whose disk.
    pub node: &'h str,
    /// The entry that says so.
    pub entry: &'h DurableEntry,
    /// Which chain.
    pub id: &'h ChainId,
}

/// One durable state of a chain.
#[derive(Debug, Clone, Copy)]
pub struct ChainStep<'h> {
    /// When: position in the history.
    pub event: usize,
    /// When, simulated ms.
    pub at_ms: SimMs,
    /// The entry that holds it.
    pub entry: &'h DurableEntry,
    /// The state.
    pub chain: &'h ChainFact,
}

/// A chain as one disk tells it.
#[derive(Debug)]
pub struct ChainLife<'h> {
    /// Whose disk.
    pub node: &'h str,
    /// Which chain.
    pub id: &'h ChainId,
    /// Its states, in the order of the log; never empty.
    pub steps: Vec<ChainStep<'h>>,
}

impl<'h> ChainLife<'h> {
    /// Its state now.
    #[must_use]
    pub fn last(&self) -> &'h ChainFact {
        self.steps[self.steps.len() - 1].chain
    }

    /// Its state right before something that happened at `event`.
    #[must_use]
    pub fn before(&self, event: usize) -> Option<&'h ChainFact> {
        let known = self.steps.partition_point(|step| step.event < event);
        known.checked_sub(1).map(|at| self.steps[at].chain)
    }

    /// The popped message's place at its owner.
    #[must_use]
    pub fn origin(&self) -> Place<'h> {
        origin(self.id)
    }
}

/// The place of the message that a chain is about.
#[must_use]
pub fn origin(id: &ChainId) -> Place<'_> {
    Place { node: &id.broker, topic: &id.topic, queue: id.queue, offset: id.offset }
}

/// A durable move of a group's offset.
#[derive(Debug, Clone, Copy)]
pub struct OffsetMove<'h> {
    /// When: position in the history.
    pub event: usize,
    /// When, simulated ms.
    pub at_ms: SimMs,
    /// The queue; its `offset` is the new one.
    pub to: Place<'h>,
    /// Group.
    pub group: &'h str,
    /// The offset before, if there was one.
    pub from: Option<i64>,
}

/// A durable topic configuration.
#[derive(Debug, Clone, Copy)]
pub struct TopicStep {
    /// When: position in the history.
    pub event: usize,
    /// Permission bits.
    pub perm: u32,
    /// Queues to read.
    pub read_queues: i32,
    /// When it was created.
    pub epoch: Position,
}

/// A durable timer.
#[derive(Debug, Clone, Copy)]
pub struct TimerStep<'h> {
    /// When: position in the history.
    pub event: usize,
    /// Whose disk.
    pub node: &'h str,
    /// Log index of the entry, and number of the record in it.
    pub record: (u64, u32),
    /// The message.
    pub message: &'h StoredMessage,
}

/// The folded history.
#[derive(Debug)]
pub struct Ledger<'h> {
    /// What it was folded from.
    pub history: &'h History,
    /// What is owed.
    pub obligations: &'h Obligations,
    /// Every durable message.
    pub messages: Vec<Stored<'h>>,
    /// Every chain on every disk.
    pub chains: Vec<ChainLife<'h>>,
    /// Every move of an offset.
    pub offsets: Vec<OffsetMove<'h>>,
    /// Configurations by node and topic.
    pub topics: FxHashMap<(&'h str, &'h str), Vec<TopicStep>>,
    /// Accepted delayed messages.
    pub timers: Vec<TimerStep<'h>>,
    /// Fired timers: position, node, due time, log index, record.
    pub fired: Vec<(usize, &'h str, i64, u64, u32)>,
    /// Log entries by node.
    pub logs: BTreeMap<&'h str, Vec<LogStep<'h>>>,
    /// What went because it was past its retention.
    pub expiries: Vec<Expiry<'h>>,
    /// Chains that were forgotten.
    pub forgotten: Vec<Forgetting<'h>>,
    /// Records that are not understood: position, node, what.
    pub unknown: Vec<(usize, &'h str, &'h str)>,
    /// What was set aside: positions.
    pub set_aside: Vec<usize>,
    /// Sends as clients saw them, with their positions.
    pub sends: Vec<(usize, &'h Sent)>,
    /// Acks as clients saw them, with their positions.
    pub acks: Vec<(usize, &'h Acked)>,
    /// What passed the wire.
    pub wire: Wire<'h>,
    /// When a fault fired or a node was hit: positions.
    disturbances: Vec<usize>,
    by_place: FxHashMap<Place<'h>, usize>,
    /// Stamp → position in `lists` of its messages.
    by_stamp: FxHashMap<&'h str, usize>,
    chain_by_id: FxHashMap<(&'h str, &'h ChainId), usize>,
    /// Place and group → position in `lists` of the chains.
    chains_of: FxHashMap<(Place<'h>, &'h str), usize>,
    lists: Vec<Vec<usize>>,
    last_offset: FxHashMap<(&'h str, &'h str, &'h str, i32), i64>,
}

impl<'h> Ledger<'h> {
    /// Folds a history.
    #[must_use]
    pub fn fold(history: &'h History, obligations: &'h Obligations) -> Self {
        let mut ledger = Self {
            history,
            obligations,
            messages: Vec::new(),
            chains: Vec::new(),
            offsets: Vec::new(),
            topics: FxHashMap::default(),
            timers: Vec::new(),
            fired: Vec::new(),
            logs: BTreeMap::new(),
            expiries: Vec::new(),
            forgotten: Vec::new(),
            unknown: Vec::new(),
            set_aside: Vec::new(),
            sends: Vec::new(),
            acks: Vec::new(),
            wire: Wire::default(),
            disturbances: Vec::new(),
            by_place: FxHashMap::default(),
            by_stamp: FxHashMap::default(),
            chain_by_id: FxHashMap::default(),
            chains_of: FxHashMap::default(),
            lists: Vec::new(),
            last_offset: FxHashMap::default(),
        };
        for (event, happened) in history.events.iter().enumerate() {
            match &happened.kind {
                EventKind::Sent(sent) => ledger.sends.push((event, sent)),
                EventKind::Acked(acked) => ledger.acks.push((event, acked)),
                EventKind::Request(frame) => ledger.wire.request(event, happened.at_ms, frame),
                EventKind::Response(frame) => ledger.wire.response(event, happened.at_ms, frame),
                EventKind::Durable { node, entry, .. } => ledger.durable((event, happened.at_ms), node, entry),
                EventKind::Fault { .. } => ledger.disturbances.push(event),
                EventKind::Node { event: what, .. } if what != "started" => ledger.disturbances.push(event),
                _ => {}
            }
        }
        ledger
    }

    fn durable(&mut self, (event, at_ms): (usize, SimMs), node: &'h str, entry: &'h DurableEntry) {
        self.logs.entry(node).or_default().push(LogStep { event, entry });
        for (number, fact) in entry.facts.iter().enumerate() {
            match fact {
                Fact::Topic { name, perm, read_queues, epoch, .. } => {
                    let step = TopicStep { event, perm: *perm, read_queues: *read_queues, epoch: *epoch };
                    self.topics.entry((node, name)).or_default().push(step);
                }
                Fact::Message(message) => self.message((event, at_ms), node, entry, message),
                Fact::Timer { message, .. } => {
                    let record = (entry.index, u32::try_from(number).unwrap_or(u32::MAX));
                    self.timers.push(TimerStep { event, node, record, message });
                }
                Fact::TimerFired { due_ms, index, record } => {
                    self.fired.push((event, node, *due_ms, *index, *record));
                }
                Fact::Offset { group, topic, queue, offset } => {
                    let from = self.last_offset.insert((node, group, topic, *queue), *offset);
                    let to = Place { node, topic, queue: *queue, offset: *offset };
                    self.offsets.push(OffsetMove { event, at_ms, to, group, from });
                }
                Fact::Chain(chain) => self.chain(node, ChainStep { event, at_ms, entry, chain }),
                Fact::Expired { before, .. } => {
                    let before_that = self.expiries.iter().rev().find(|expiry| expiry.node == node);
                    let from = before_that.map_or(1, |expiry| expiry.before);
                    self.expiries.push(Expiry { event, node, entry, from, before: *before });
                }
                Fact::Forgotten { chains } => {
                    self.forgotten.extend(chains.iter().map(|id| Forgetting { event, node, entry, id }));
                }
                Fact::Unknown(what) => self.unknown.push((event, node, what)),
                Fact::SetAside { .. } => self.set_aside.push(event),
                Fact::Group { .. } | Fact::EarlyAck { .. } | Fact::EarlyAckDropped { .. } | Fact::Sent { .. } => {}
            }
        }
    }

    fn message(
        &mut self,
        (event, at_ms): (usize, SimMs),
        node: &'h str,
        entry: &'h DurableEntry,
        message: &'h StoredMessage,
    ) {
        let place = Place { node, topic: &message.topic, queue: message.queue, offset: message.offset };
        let number = self.messages.len();
        self.messages.push(Stored { event, at_ms, place, message, entry });
        self.by_place.insert(place, number);
        if let Some(stamp) = &message.ledger {
            let list = *self.by_stamp.entry(&stamp.0).or_insert(self.lists.len());
            self.append(list, number);
        }
    }

    fn chain(&mut self, node: &'h str, step: ChainStep<'h>) {
        let id = &step.chain.id;
        if let Some(&known) = self.chain_by_id.get(&(node, id)) {
            self.chains[known].steps.push(step);
            return;
        }
        let number = self.chains.len();
        self.chains.push(ChainLife { node, id, steps: vec![step] });
        self.chain_by_id.insert((node, id), number);
        let list = *self.chains_of.entry((origin(id), &id.group)).or_insert(self.lists.len());
        self.append(list, number);
    }

    fn append(&mut self, list: usize, number: usize) {
        if list == self.lists.len() {
            self.lists.push(Vec::new());
        }
        self.lists[list].push(number);
    }

    fn list(&self, at: Option<usize>) -> &[usize] {
        at.map_or(&[], |at| &self.lists[at])
    }

    /// The durable message at a place.
    #[must_use]
    pub fn stored(&self, place: &Place<'_>) -> Option<&Stored<'h>> {
        let at = self.by_place.get(place).copied();
        at.map(|at| &self.messages[at])
    }

    /// When a message was past its retention and went: position in the history.
    #[must_use]
    pub fn expired(&self, stored: &Stored<'_>) -> Option<usize> {
        let goes = |expiry: &&Expiry<'_>| expiry.node == stored.place.node && stored.entry.index < expiry.before;
        self.expiries.iter().find(goes).map(|expiry| expiry.event)
    }

    /// The durable messages with this stamp, on all disks.
    pub fn stamped<'s>(&'s self, stamp: &LedgerId) -> impl Iterator<Item = &'s Stored<'h>> + use<'s, 'h> {
        let list = self.list(self.by_stamp.get(&*stamp.0).copied());
        list.iter().map(|&at| &self.messages[at])
    }

    /// A chain as a node's disk tells it.
    #[must_use]
    pub fn chain_at(&self, node: &str, id: &ChainId) -> Option<&ChainLife<'h>> {
        let at = self.chain_by_id.get(&(node, id)).copied();
        at.map(|at| &self.chains[at])
    }

    /// All chains, on all disks, about the message at a place and this group.
    pub fn chains_of<'s>(
        &'s self,
        place: Place<'_>,
        group: &str,
    ) -> impl Iterator<Item = &'s ChainLife<'h>> + use<'s, 'h> {
        let list = self.list(self.chains_of.get(&(place, group)).copied());
        list.iter().map(|&at| &self.chains[at])
    }

    /// The state of a chain on a node's disk right before `event`, after all renewals of its handle.
    #[must_use]
    pub fn newest_before(&self, node: &str, id: &ChainId, event: usize) -> Option<&'h ChainFact> {
        let mut chain = self.chain_at(node, id)?.before(event)?;
        // Each renewal has a later pop time, so this ends; the bound is for a broker that breaks that.
        for _ in 0..1000 {
            match &chain.state {
                ChainState::Ended { outcome: Outcome::Superseded(by), .. } => {
                    chain = self.chain_at(node, by)?.before(event)?;
                }
                _ => break,
            }
        }
        Some(chain)
    }

    /// When something happened, simulated ms.
    #[must_use]
    pub fn at_ms(&self, event: usize) -> SimMs {
        self.history.events.get(event).map_or(0, |event| event.at_ms)
    }

    /// A topic's configuration on a node at the end.
    #[must_use]
    pub fn topic(&self, node: &str, topic: &str) -> Option<TopicStep> {
        self.topics.get(&(node, topic))?.last().copied()
    }

    /// The group of that name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&'h GroupSpec> {
        self.obligations.groups.iter().find(|group| group.name == name)
    }

    /// Whether a fault fired, or a node was hit, from `from` to `to` (positions, both included).
    #[must_use]
    pub fn was_disturbed(&self, from: usize, to: usize) -> bool {
        let first = self.disturbances.partition_point(|event| *event < from);
        self.disturbances.get(first).is_some_and(|event| *event <= to)
    }
}
