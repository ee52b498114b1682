//! The ledger: a history folded into what the oracles ask for, borrowed from it and in its order.

pub mod biography;
mod calm;
mod confirmed;
pub mod facts;
pub mod foreign;
pub mod lives;
pub mod naming;
pub mod obligations;
pub mod orders;
pub mod replicas;
mod retained;
pub mod tables;
mod taken_back;
pub mod wire;

use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, hash_map::Entry};

pub use biography::Biography;
pub use facts::{
    ChainLife, ChainStep, Deletion, Expiry, FiredStep, Forgetting, LogStep, Merged, OffsetMove, OffsetReset, Place,
    Seal, Stored, TakenStep, TimerStep, TopicStep,
};
pub use foreign::Foreign;
pub use naming::Naming;
pub use obligations::{GroupSpec, Obligations, PolicySpec};
pub use replicas::{ReplicaStep, Replicas};
pub use wire::Wire;

use crate::{
    evidence::{ChainId, CopyPlace, DurableEntry, Fact, StoredMessage, Tables},
    history::{Acked, EventKind, History, LedgerId, Noted, Sent},
    plan::SimMs,
};

/// How long a commit takes where nothing slows its disk, ms: two syncs. What it says is durable from its first on, and known to
/// nobody before the end.
const COMMIT_MS: SimMs = 20;

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
    /// By node and group: since when how many redeliveries are allowed.
    pub limits: FxHashMap<(&'h str, &'h str), Vec<(SimMs, i32)>>,
    /// Deletions by node and topic. That of a topic is one of its groups' retry topics too, whatever the broker says.
    pub deletions: FxHashMap<&'h str, FxHashMap<String, Vec<Deletion>>>,
    /// Resets of offsets, in order.
    pub resets: Vec<OffsetReset<'h>>,
    /// Accepted delayed messages.
    pub timers: Vec<TimerStep<'h>>,
    /// Fired timers.
    pub fired: Vec<FiredStep<'h>>,
    /// Delayed messages that one group has taken from another's slave.
    pub taken: Vec<TakenStep<'h>>,
    /// Delayed messages of which a broker knows that another group has delivered them: its name, entry and record.
    pub timers_moved: FxHashSet<(&'h str, (u64, u32))>,
    /// Log entries by node, of masters.
    pub logs: BTreeMap<&'h str, Vec<LogStep<'h>>>,
    /// Log entries of slaves: the same facts once more, and therefore nowhere else in here.
    pub replicas: Replicas<'h>,
    /// What went because it was past its retention.
    pub expiries: Vec<Expiry<'h>>,
    /// Chains that were forgotten.
    pub forgotten: Vec<Forgetting<'h>>,
    /// Terms that were taken to act for a group's master, or to end that.
    pub seals: Vec<Seal<'h>>,
    /// What masters have merged of it, and who knows.
    pub merges: Vec<Merged<'h>>,
    /// Whether some master's log was cut back.
    pub has_taken_back: bool,
    /// Entries of a master's log that never were: from when until when it had them, node and term.
    pub taken_back: Vec<(usize, usize, &'h str, u64)>,
    /// Records that are not understood: position, node, what.
    pub unknown: Vec<(usize, &'h str, &'h str)>,
    /// What was set aside: position and node.
    pub set_aside: Vec<(usize, &'h str)>,
    /// Sends as clients saw them, with their positions.
    pub sends: Vec<(usize, &'h Sent)>,
    /// Acks as clients saw them, with their positions.
    pub acks: Vec<(usize, &'h Acked)>,
    /// Node → what its tables held when the run was over, as far as its file can be read.
    pub tables: BTreeMap<&'h str, Option<&'h Tables>>,
    /// What passed the wire.
    pub wire: Wire<'h>,
    /// What name servers were told, and what they answered.
    pub naming: Naming<'h>,
    /// What clients keep checkpoints of.
    pub foreign: Foreign,
    /// Node → from when to when its clocks stood still.
    standing: BTreeMap<&'h str, Vec<(SimMs, SimMs)>>,
    /// When a fault fired or a node was hit: positions.
    disturbances: Vec<usize>,
    /// How many faults that last are open from each event on at which one begins or ends.
    windows: Vec<(usize, i32)>,
    by_place: FxHashMap<Place<'h>, usize>,
    /// Stamp → position in `lists` of its messages.
    by_stamp: FxHashMap<&'h str, usize>,
    chain_by_id: FxHashMap<(&'h str, &'h ChainId), usize>,
    /// Spot and group → position in `lists` of the chains, of whatever era.
    chains_of: FxHashMap<(Place<'h>, &'h str), usize>,
    lists: Vec<Vec<usize>>,
    /// Group and queue (a place without an offset) → next offset, and position of the last reset.
    last_offset: FxHashMap<(&'h str, Place<'h>), (i64, usize)>,
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
            limits: FxHashMap::default(),
            topics: FxHashMap::default(),
            deletions: FxHashMap::default(),
            resets: Vec::new(),
            timers: Vec::new(),
            fired: Vec::new(),
            taken: Vec::new(),
            timers_moved: FxHashSet::default(),
            logs: BTreeMap::new(),
            replicas: Replicas::default(),
            expiries: Vec::new(),
            forgotten: Vec::new(),
            seals: Vec::new(),
            merges: Vec::new(),
            has_taken_back: false,
            taken_back: Vec::new(),
            unknown: Vec::new(),
            set_aside: Vec::new(),
            sends: Vec::new(),
            acks: Vec::new(),
            tables: BTreeMap::new(),
            wire: Wire::default(),
            naming: Naming::default(),
            foreign: Foreign::default(),
            standing: BTreeMap::new(),
            disturbances: Vec::new(),
            windows: Vec::new(),
            by_place: FxHashMap::default(),
            by_stamp: FxHashMap::default(),
            chain_by_id: FxHashMap::default(),
            chains_of: FxHashMap::default(),
            lists: Vec::new(),
            last_offset: FxHashMap::default(),
        };
        let taken_back = taken_back::of(history, obligations);
        ledger.has_taken_back = taken_back.by_a_later_term;
        for (event, happened) in history.events.iter().enumerate() {
            if let Some(until) = taken_back.entries.get(&event) {
                if let EventKind::Noted(Noted::Durable { node, entry, .. }) = &happened.kind {
                    ledger.taken_back.push((event, *until, node, entry.term));
                }
                continue;
            }
            match &happened.kind {
                EventKind::Noted(Noted::Sent(sent)) => ledger.sends.push((event, sent)),
                EventKind::Noted(Noted::Acked(acked)) => ledger.acks.push((event, acked)),
                EventKind::Request(frame) => {
                    ledger.replicas.asks(event, happened.at_ms, frame);
                    ledger.wire.request(event, happened.at_ms, frame, obligations);
                    ledger.naming.request(event, happened.at_ms, frame);
                }
                EventKind::Response(frame) => {
                    ledger.replicas.is_answered(frame);
                    ledger.wire.response(event, happened.at_ms, frame);
                    ledger.naming.response(event, happened.at_ms, frame);
                }
                EventKind::Noted(Noted::Durable { node, entry, .. }) if obligations.slaves.contains_key(node) => {
                    ledger.replicas.durable(node, ReplicaStep { event, at_ms: happened.at_ms, entry });
                }
                EventKind::Noted(Noted::Durable { node, entry, .. }) => {
                    ledger.durable((event, happened.at_ms), node, entry)
                }
                EventKind::Noted(Noted::AtRest { node, tables }) => drop(ledger.tables.insert(node, tables.as_ref())),
                // A site that takes an unlikely turn does what it may always do, unless it refuses to.
                EventKind::Fault { text, .. } if text.starts_with("buggify: ") && !text.contains("refuses") => {}
                // What ends with that is told of by itself.
                EventKind::Fault { text, .. } if text == "healed" => {}
                EventKind::Fault { text, .. } => {
                    ledger.disturbances.push(event);
                    ledger.window(event, text);
                    if text.starts_with("damaged-answer") {
                        ledger.wire.damaged(event);
                    }
                }
                EventKind::ClockStands { node, stands: true } => {
                    ledger.standing.entry(node).or_default().push((happened.at_ms, SimMs::MAX));
                }
                EventKind::ClockStands { node, stands: false } => {
                    let last = ledger.standing.get_mut(node.as_str()).and_then(|spans| spans.last_mut());
                    last.into_iter().for_each(|(_, to_ms)| *to_ms = happened.at_ms);
                }
                EventKind::Node { node, event: what } => {
                    if what == "lost its disk" || what == "got an older disk" {
                        ledger.replicas.lost(node);
                    }
                    if what != "started" {
                        ledger.disturbances.push(event);
                    }
                }
                _ => {}
            }
        }
        ledger.foreign = Foreign::of(history, &ledger.wire, &obligations.brokers);
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
                Fact::TopicDeleted { name, at, .. } => self.deleted(node, name, Deletion { event, at: *at }),
                Fact::Message(message) => self.message((event, at_ms), node, entry, message),
                Fact::Timer { message, due_ms } => {
                    let record = (entry.index, u32::try_from(number).unwrap_or(u32::MAX));
                    let era = self.eras(node, &message.topic);
                    self.timers.push(TimerStep { event, node, record, era, entry, due_ms: *due_ms, message });
                }
                Fact::TimerFired { index, record, .. } => {
                    self.fired.push(FiredStep { event, node, entry, record: (*index, *record) });
                }
                Fact::TimerTaken { group, timer, .. } => {
                    let record = (timer.index, timer.record);
                    self.taken.push(TakenStep { event, node, entry, group, record });
                }
                Fact::TimerMoved { timer, .. } => {
                    self.timers_moved.insert((node, (timer.index, timer.record)));
                }
                Fact::Offset { group, topic, queue, offset } => {
                    let to = Place { node, topic, queue: *queue, offset: *offset, era: self.eras(node, topic) };
                    let last = self.last_offset.entry((group, Place { offset: 0, ..to }));
                    let before = match last {
                        Entry::Occupied(mut last) => Some(std::mem::replace(&mut last.get_mut().0, *offset)),
                        Entry::Vacant(last) => {
                            last.insert((*offset, 0));
                            None
                        }
                    };
                    let since = self.last_offset.get(&(group.as_str(), Place { offset: 0, ..to })).map_or(0, |it| it.1);
                    self.offsets.push(OffsetMove { event, at_ms, to, group, from: before, since });
                }
                Fact::OffsetReset { group, topic, queue, offset } => {
                    let to = Place { node, topic, queue: *queue, offset: *offset, era: self.eras(node, topic) };
                    let before = self.last_offset.insert((group, Place { offset: 0, ..to }), (*offset, event));
                    let from = before.map_or(0, |(offset, _)| offset);
                    self.resets.push(OffsetReset { event, at_ms, index: entry.index, to, group, from });
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
                Fact::Sealed { group, term, member } => {
                    self.seals.push(Seal { event, node, group, term: *term, member: *member });
                }
                Fact::Merged { group, term } => self.merges.push(Merged { event, node, group, term: *term }),
                Fact::Unknown(what) => self.unknown.push((event, node, what)),
                // What a broker tells of its own damaged store came from nobody.
                Fact::SetAside { tag, .. } if tag == "salvage" => {}
                Fact::SetAside { .. } => self.set_aside.push((event, node)),
                Fact::Group { name, retry_max_times } => {
                    self.limits.entry((node, name)).or_default().push((at_ms, *retry_max_times));
                }
                Fact::EarlyAck { .. } | Fact::EarlyAckDropped { .. } | Fact::Sent { .. } => {}
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
        let era = self.eras(node, &message.topic);
        let place = Place { node, topic: &message.topic, queue: message.queue, offset: message.offset, era };
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
        // The popping broker's log tells in which era it popped; elsewhere the topic's creation does.
        let popped = if node == id.broker { step.entry.index } else { step.chain.epoch.index };
        let life = ChainLife { node, id, era: self.era_in(&id.broker, &id.topic, popped), steps: vec![step] };
        let spot = life.origin().spot();
        self.chains.push(life);
        self.chain_by_id.insert((node, id), number);
        let list = *self.chains_of.entry((spot, &id.group)).or_insert(self.lists.len());
        self.append(list, number);
    }

    fn deleted(&mut self, node: &'h str, topic: &str, deletion: Deletion) {
        let retries = self.obligations.groups.iter().filter(|group| group.topic == topic);
        let retries = retries.flat_map(|group| ["_", "+"].map(|joint| format!("%RETRY%{}{joint}{topic}", group.name)));
        for name in retries.chain([topic.to_owned()]) {
            let list = self.deletions.entry(node).or_default().entry(name).or_default();
            if list.last().is_none_or(|last| last.at != deletion.at) {
                list.push(deletion);
            }
        }
    }

    /// The deletions of a node's topic, in order.
    #[must_use]
    pub fn deletions_of(&self, node: &str, topic: &str) -> &[Deletion] {
        self.deletions.get(node).and_then(|topics| topics.get(topic)).map_or(&[], Vec::as_slice)
    }

    fn eras(&self, node: &str, topic: &str) -> u32 {
        u32::try_from(self.deletions_of(node, topic).len()).unwrap_or(u32::MAX)
    }

    /// The era of a node's topic in which its log entry `index` was written.
    #[must_use]
    pub fn era_in(&self, node: &str, topic: &str, index: u64) -> u32 {
        let before = self.deletions_of(node, topic).iter().filter(|deletion| deletion.at.index < index);
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }

    /// The era of a node's topic right before something that happened at `event`, as far as its disk tells.
    #[must_use]
    pub fn era_at(&self, node: &str, topic: &str, event: usize) -> u32 {
        let before = self.deletions_of(node, topic).iter().filter(|deletion| deletion.event < event);
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }

    /// Whether the commit that made something durable at a node at `event` had ended by `at_ms`.
    #[must_use]
    pub fn is_written(&self, node: &str, event: usize, at_ms: SimMs) -> bool {
        self.at_ms(event) + COMMIT_MS + self.obligations.writes_within_ms(node) < at_ms
    }

    /// The first era that the answer of a broker which was asked at `asked` may be of: a deletion that is being written, or
    /// that it does not know to be confirmed, is not known to whoever tells only what is.
    #[must_use]
    pub fn first_era_told(&self, node: &str, topic: &str, asked: usize) -> u32 {
        let is_written = |it: &Deletion| self.is_written(node, it.event, self.at_ms(asked));
        let is_known = |it: &&Deletion| is_written(it) && self.is_told(node, it.at.index, it.event, asked);
        let before = self.deletions_of(node, topic).iter().filter(is_known);
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }

    /// The era of the message that was popped from a spot at `pop_time`; that of `event` if no chain tells.
    #[must_use]
    pub fn era_of_pop(&self, spot: Place<'_>, group: &str, pop_time: Option<i64>, event: usize) -> u32 {
        let is_it = |life: &&ChainLife<'_>| life.node == spot.node && Some(life.id.pop_time) == pop_time;
        let life = self.chains_at(spot, group).find(is_it);
        life.map_or_else(|| self.era_at(spot.node, spot.topic, event), |life| life.era)
    }

    /// Whether what lay at a place went with its topic.
    #[must_use]
    pub fn is_deleted(&self, place: Place<'_>) -> bool {
        place.era < self.eras(place.node, place.topic)
    }

    /// The resets that hand the message at a place out anew to a group.
    pub fn resets_of<'s>(
        &'s self,
        place: Place<'s>,
        group: &'s str,
    ) -> impl Iterator<Item = &'s OffsetReset<'h>> + use<'s, 'h> {
        self.resets.iter().filter(move |reset| reset.covers(place, group))
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
        let era = place.era;
        self.chains_at(place, group).filter(move |life| life.era == era)
    }

    /// The same for every topic of that name that ever was.
    pub fn chains_at<'s>(
        &'s self,
        spot: Place<'_>,
        group: &str,
    ) -> impl Iterator<Item = &'s ChainLife<'h>> + use<'s, 'h> {
        let list = self.list(self.chains_of.get(&(spot.spot(), group)).copied());
        list.iter().map(|&at| &self.chains[at])
    }

    /// Where the copy lies that a chain ended in.
    #[must_use]
    pub fn copied_to<'c>(&self, life: &ChainLife<'c>, copy: &'c CopyPlace) -> Place<'c> {
        let era = self.era_in(life.node, &copy.topic, life.last_index());
        Place { node: life.node, topic: &copy.topic, queue: copy.queue, offset: copy.offset, era }
    }

    /// When something happened, simulated ms.
    #[must_use]
    pub fn at_ms(&self, event: usize) -> SimMs {
        self.history.events.get(event).map_or(0, |event| event.at_ms)
    }

    /// A topic's configuration on a node at the end.
    #[must_use]
    pub fn topic(&self, node: &str, topic: &str) -> Option<TopicStep> {
        let last = self.topics.get(&(node, topic))?.last().copied()?;
        let is_gone = self.deletions_of(node, topic).last().is_some_and(|deletion| deletion.at > last.epoch);
        (!is_gone).then_some(last)
    }

    /// The group of that name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&'h GroupSpec> {
        self.obligations.groups.iter().find(|group| group.name == name)
    }

    /// What the clock of a node had gained when it began to run anew, ms, over all its starts in between.
    #[must_use]
    pub fn gained(&self, node: &str, between: std::ops::Range<usize>) -> i64 {
        let gains = self.history.events[between].iter().map(|event| match &event.kind {
            EventKind::ClockGained { node: whose, ms } if whose == node && *ms > 0 => *ms,
            _ => 0,
        });
        gains.sum()
    }

    /// For how long the clocks of a node stood still from one time to another, simulated ms: what is due by them is due by as
    /// much later.
    #[must_use]
    pub fn stood_ms(&self, node: &str, from_ms: SimMs, to_ms: SimMs) -> SimMs {
        let spans = self.standing.get(node).map_or(&[][..], Vec::as_slice);
        spans.iter().map(|(from, to)| to_ms.min(*to).saturating_sub(from_ms.max(*from))).sum()
    }

    fn window(&mut self, event: usize, fault: &str) {
        let by = i32::from(fault.ends_with(" begins")) - i32::from(fault.ends_with(" ends"));
        if by != 0 {
            let open = self.windows.last().map_or(0, |(_, open)| *open);
            self.windows.push((event, open + by));
        }
    }

    /// Whether something that lasts is broken right before an event.
    #[must_use]
    pub fn is_broken_at(&self, event: usize) -> bool {
        let begun = self.windows.partition_point(|(at, _)| *at < event);
        begun.checked_sub(1).is_some_and(|last| self.windows[last].1 > 0)
    }

    /// Whether a fault fired, or a node was hit, from `from` to `to` (positions, both included).
    #[must_use]
    pub fn was_disturbed(&self, from: usize, to: usize) -> bool {
        let first = self.disturbances.partition_point(|event| *event < from);
        self.disturbances.get(first).is_some_and(|event| *event <= to)
    }
}
