//! What the ledger is made of: places, and what became durable there, each borrowed from the history.

use crate::{
    evidence::{ChainFact, ChainId, DurableEntry, Position, StoredMessage},
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
    /// How many topics of this name had been deleted there before: a successor begins at offset 0 again.
    pub era: u32,
}

impl Place<'_> {
    /// The same place of the first topic of that name: what evidence that names no era is sorted by.
    #[must_use]
    pub const fn spot(mut self) -> Self {
        self.era = 0;
        self
    }
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
    /// Of which topic of that name its message is.
    pub era: u32,
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
        let ChainId { broker, topic, queue, offset, .. } = self.id;
        Place { node: broker, topic, queue: *queue, offset: *offset, era: self.era }
    }

    /// Index of the last entry that says something of it.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.steps[self.steps.len() - 1].entry.index
    }
}

/// A durable deletion of a topic, or of the retry topic of one.
#[derive(Debug, Clone, Copy)]
pub struct Deletion {
    /// When: position in the history.
    pub event: usize,
    /// The entry that says so.
    pub at: Position,
}

/// A durable term that a member of a group has taken.
#[derive(Debug, Clone, Copy)]
pub struct Seal<'h> {
    /// When: position in the history.
    pub event: usize,
    /// Where: the broker that gave it.
    pub node: &'h str,
    /// The group.
    pub group: &'h str,
    /// The term.
    pub term: u64,
    /// The member; 0 is the master.
    pub member: u64,
}

/// A durable merge, in the log of the master that has merged or of the broker that it told.
#[derive(Debug, Clone, Copy)]
pub struct Merged<'h> {
    /// When: position in the history.
    pub event: usize,
    /// Where.
    pub node: &'h str,
    /// The group.
    pub group: &'h str,
    /// The term.
    pub term: u64,
}

/// A durable reset of a group's offset.
#[derive(Debug, Clone, Copy)]
pub struct OffsetReset<'h> {
    /// When: position in the history.
    pub event: usize,
    /// When, simulated ms.
    pub at_ms: SimMs,
    /// Index of its entry.
    pub index: u64,
    /// The queue; its `offset` is the new one.
    pub to: Place<'h>,
    /// Group.
    pub group: &'h str,
    /// The offset before.
    pub from: i64,
}

impl OffsetReset<'_> {
    /// Whether it hands the message at a place out anew to the group.
    #[must_use]
    pub fn covers(&self, place: Place<'_>, group: &str) -> bool {
        let queue = |place: Place<'_>| (place.node.to_owned(), place.topic.to_owned(), place.queue, place.era);
        self.group == group && queue(self.to) == queue(place) && place.offset >= self.to.offset
    }

    /// Whether it skips the message at a place.
    #[must_use]
    pub fn skips(&self, place: Place<'_>, group: &str) -> bool {
        let start = Place { offset: self.from, ..self.to };
        let whole = OffsetReset { to: start, ..*self };
        whole.covers(place, group) && place.offset < self.to.offset
    }
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
    /// The last reset before it: position in the history, 0 if there was none.
    pub since: usize,
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
    /// Of which topic of its name it is.
    pub era: u32,
    /// The entry that accepted it.
    pub entry: &'h DurableEntry,
    /// When it is due, Unix ms.
    pub due_ms: i64,
    /// The message.
    pub message: &'h StoredMessage,
}

/// A delayed message of another group that a broker has taken.
#[derive(Debug, Clone, Copy)]
pub struct TakenStep<'h> {
    /// When: position in the history.
    pub event: usize,
    /// Whose disk.
    pub node: &'h str,
    /// The entry that says so.
    pub entry: &'h DurableEntry,
    /// The group whose message it was: the name of its master.
    pub group: &'h str,
    /// Log index of the entry there that accepted it, and number of the record in it.
    pub record: (u64, u32),
}

/// A timer that fired.
#[derive(Debug, Clone, Copy)]
pub struct FiredStep<'h> {
    /// When: position in the history.
    pub event: usize,
    /// Whose disk.
    pub node: &'h str,
    /// The entry that says so.
    pub entry: &'h DurableEntry,
    /// Log index of the entry that accepted it, and number of the record in it.
    pub record: (u64, u32),
}
