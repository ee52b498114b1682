//! Logs as parts of a state: each that ever comes to be is known by a number, and what follows from it is found out once.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use super::deeds::{Deed, NOW_MS, Reply, pop};
use crate::{
    broker::acting::Term,
    model::{
        chain::{Chain, ChainId, ChainState, Outcome},
        record::{LogEntry, Record},
        topic::is_retry,
    },
    revive::samples::{OWN, chain},
    store::{
        LogEnd, Tables, View,
        scratch::{Entries, Scratch},
    },
};

/// Something that is known by a number: equal if that is.
pub(super) struct Numbered<T>(Arc<(usize, T)>);

impl<T> Clone for Numbered<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Numbered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.1
    }
}

impl<T> PartialEq for Numbered<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0
    }
}

impl<T> Eq for Numbered<T> {}

impl<T> PartialOrd for Numbered<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Numbered<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.0.cmp(&other.0.0)
    }
}

impl<T> Hash for Numbered<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.0.hash(state);
    }
}

impl<T> fmt::Debug for Numbered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0.0)
    }
}

/// What tells a chain of the one message from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Handle {
    pub(super) pop_time: i64,
    pub(super) term: u64,
}

impl Handle {
    pub(super) const fn of(id: &ChainId) -> Self {
        Self { pop_time: id.pop_time, term: id.term }
    }

    pub(super) fn id(self) -> ChainId {
        ChainId { pop_time: self.pop_time, term: self.term, ..chain(OWN).id }
    }
}

/// A log, and what it says.
pub(super) type Log = Numbered<Facts>;
/// A chain as it is offered to the group that is to keep it.
pub(super) type Offer = Numbered<Chain>;

/// What a log says.
pub(super) struct Facts {
    pub(super) entries: Entries,
    /// The log without its last entry.
    before: Option<Log>,
    pub(super) end: LogEnd,
    /// The chains that are in its tables.
    pub(super) chains: Vec<(Handle, Chain)>,
    /// Those that any entry has named as theirs.
    pub(super) ever: BTreeSet<Handle>,
    /// An ack was absorbed.
    pub(super) acked: bool,
    /// Copies of the message in a retry topic.
    pub(super) copies: u8,
    /// The message is behind the group's offset.
    pub(super) is_popped: bool,
    /// The last term that the group's master has merged.
    pub(super) merged: u64,
    /// Which chain is due first, and when.
    pub(super) due: Option<(i64, String)>,
    /// A chain may be forgotten.
    pub(super) can_forget: bool,
    /// What the group's master is told when it asks: the chains, the last term that was taken, and where the log ended of
    /// the slave that took one.
    pub(super) listed: Vec<Chain>,
    pub(super) sealed: u64,
    pub(super) acted_end: Option<LogEnd>,
}

impl Facts {
    fn of(entries: Entries, before: Option<Log>, view: &View) -> Self {
        let chain_of = |record: Record| if let Record::Chain(chain) = record { Some(*chain) } else { None };
        let records: Vec<Record> = entries.iter().flat_map(|entry| LogEntry::decode(entry).unwrap().records).collect();
        let is_copy = |record: &&Record| matches!(record, Record::Message { topic, .. } if is_retry(topic));
        let copies = u8::try_from(records.iter().filter(is_copy).count()).unwrap();
        let said: Vec<Chain> = records.into_iter().filter_map(chain_of).collect();
        let ever: BTreeSet<Handle> = said.iter().map(|chain| Handle::of(&chain.id)).collect();
        let offset = view.offset(&chain(OWN).id.group, &chain(OWN).id.topic, 0).unwrap();
        Self {
            before,
            end: view.log_end().unwrap(),
            chains: ever.iter().filter_map(|at| Some((*at, view.chain(&at.id()).unwrap()?))).collect(),
            ever,
            acked: said.iter().any(|chain| matches!(chain.state, ChainState::Ended { outcome: Outcome::Acked, .. })),
            copies,
            is_popped: offset.is_some_and(|offset| offset > 0),
            merged: view.merged_term(OWN).unwrap(),
            due: view.due_keys(1).unwrap().pop(),
            can_forget: !view.over(1).unwrap().is_empty(),
            listed: view.acted_chains(OWN, "", 100).unwrap(),
            sealed: view.sealed_term(OWN).unwrap(),
            acted_end: view.acted_end(OWN).unwrap(),
            entries,
        }
    }

    /// What it tells beyond what is in its tables.
    fn said(&self) -> (Vec<(i64, u64)>, bool, u8) {
        (self.ever.iter().map(|handle| (handle.pop_time, handle.term)).collect(), self.acked, self.copies)
    }

    pub(super) const fn last(&self) -> u64 {
        self.end.position.index
    }

    /// The term of whoever writes on.
    pub(super) fn term(&self) -> u64 {
        self.end.position.term.max(1)
    }

    pub(super) fn chain(&self, handle: Handle) -> Option<&Chain> {
        self.chains.iter().find(|(at, _)| *at == handle).map(|(_, chain)| chain)
    }
}

impl Log {
    /// Its beginning, as long as that.
    pub(super) fn up_to(&self, index: u64) -> Self {
        let mut log = self;
        while let Some(before) = log.before.as_ref().filter(|_| log.last() > index) {
            log = before;
        }
        log.clone()
    }

    pub(super) fn begins_with(&self, other: &Self) -> bool {
        self.up_to(other.last()) == *other
    }

    /// Up to which entry the two agree.
    pub(super) fn common_with(&self, other: &Self) -> u64 {
        let agrees = |index: &u64| self.up_to(*index) == other.up_to(*index);
        (0..=self.last().min(other.last())).rev().find(agrees).unwrap_or(0)
    }
}

/// All logs that ever came to be, and what came of every deed on each of them.
pub(super) struct Logs {
    known: Mutex<Known>,
}

struct Known {
    scratch: Scratch,
    logs: BTreeMap<Entries, Log>,
    offers: BTreeMap<Vec<u8>, Offer>,
    done: BTreeMap<(Log, Deed), (Log, Reply)>,
    /// What logs that nobody follows imply → the first of them, and log → that one.
    alike: BTreeMap<Vec<u8>, Log>,
    first_alike: BTreeMap<Log, Log>,
    /// Log, term, where the group goes on → what is handed out there.
    popped: BTreeMap<(Log, u64, Option<i64>), Option<Chain>>,
}

impl Logs {
    pub(super) fn new() -> Self {
        let (logs, offers) = (BTreeMap::new(), BTreeMap::new());
        let (done, popped) = (BTreeMap::new(), BTreeMap::new());
        let (alike, first_alike) = (BTreeMap::new(), BTreeMap::new());
        Self { known: Mutex::new(Known { scratch: Scratch::new(), logs, offers, done, alike, first_alike, popped }) }
    }

    pub(super) fn empty(&self) -> Log {
        self.known.lock().unwrap().log(Vec::new())
    }

    /// As [`after`](Self::after), for a log that nobody follows: of those that say the same, and imply the same, whatever the
    /// order in which it came to be, the first stands for all.
    pub(super) fn after_unfollowed(&self, log: &Log, deed: &Deed) -> (Log, Reply) {
        let (after, reply) = self.after(log, deed);
        let mut known = self.known.lock().unwrap();
        if let Some(first) = known.first_alike.get(&after) {
            return (first.clone(), reply);
        }
        let implied = rmp_serde::to_vec(&(known.scratch.implied(&after.entries), after.said())).unwrap();
        let first = known.alike.entry(implied).or_insert_with(|| after.clone()).clone();
        known.first_alike.insert(after, first.clone());
        (first, reply)
    }

    /// The log after the deed, and what its doer is told.
    pub(super) fn after(&self, log: &Log, deed: &Deed) -> (Log, Reply) {
        let mut known = self.known.lock().unwrap();
        if let Some(done) = known.done.get(&(log.clone(), deed.clone())) {
            return done.clone();
        }
        let (entries, reply) = deed.perform(&known.scratch, log);
        let done = (known.log(entries), reply);
        known.done.insert((log.clone(), deed.clone()), done.clone());
        done
    }

    pub(super) fn offer(&self, chain: Chain) -> Offer {
        let mut known = self.known.lock().unwrap();
        let (number, bytes) = (known.offers.len(), rmp_serde::to_vec(&chain).unwrap());
        known.offers.entry(bytes).or_insert_with(|| Numbered(Arc::new((number, chain)))).clone()
    }

    /// What a slave that has this log hands out next under a term, if the group goes on there (`Shared::hand_out`).
    pub(super) fn popped(&self, log: &Log, term: &Term) -> Option<Chain> {
        let step = pop(term.acting.term);
        let from = |topic: &str, queue| term.next(&step.group, topic, queue);
        let next = from(&chain(OWN).id.topic, 0);
        let mut known = self.known.lock().unwrap();
        if let Some(popped) = known.popped.get(&(log.clone(), step.term, next)) {
            return popped.clone();
        }
        let (taken, rest) = step.look(&known.scratch.view(&log.entries), &from).unwrap();
        let popped = step.popped(taken, rest, NOW_MS, 16).queues.first().map(|queue| queue.chains[0].clone());
        known.popped.insert((log.clone(), step.term, next), popped.clone());
        popped
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let known = self.known.lock().unwrap();
        (known.logs.len(), known.done.len())
    }
}

impl Known {
    fn log(&mut self, entries: Vec<Bytes>) -> Log {
        if let Some(log) = self.logs.get(&entries) {
            return log.clone();
        }
        let before = entries.split_last().map(|(_, before)| self.log(before.to_vec()));
        let facts = Facts::of(entries.clone(), before, &self.scratch.view(&entries));
        let log = Numbered(Arc::new((self.logs.len(), facts)));
        self.logs.insert(entries, log.clone());
        log
    }
}
