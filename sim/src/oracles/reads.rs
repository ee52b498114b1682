//! Remote reads at the wire, by whom they were made and what they were for.
//!
//! One PULL may serve several chains: it asks for a span of offsets, from the first one wanted to the last. So it is a
//! read of its first and its last message, whatever the disks say: whoever sends it stands for those. In between lie
//! messages that are wanted and others that only come along; it is a read of those whose chain is in an attempt, that
//! is durably begun, not concluded, and not read yet. An answer that ends before a message is no read of it.

use rustc_hash::FxHashMap;

use crate::{
    evidence::ChainState,
    ledger::{ChainLife, Ledger, Place, wire::Pull},
};

/// An attempt takes no longer than a route look-up and a read, ms.
const ATTEMPT_MS: u64 = 13_000;

/// The reads that brokers made of each other, by reader and place.
pub(super) struct Reads<'h> {
    /// Reader and place → position in `lists`.
    by_place: FxHashMap<(&'h str, Place<'h>), usize>,
    lists: Vec<Vec<&'h Pull<'h>>>,
}

impl<'l> Reads<'l> {
    pub(super) fn of(ledger: &'l Ledger<'_>) -> Self {
        let mut reads = Self { by_place: FxHashMap::default(), lists: Vec::new() };
        let is_broker = |name: &str| ledger.obligations.brokers.iter().any(|broker| broker == name);
        for pull in ledger.wire.pulls.iter().filter(|pull| is_broker(pull.call.from)) {
            let span = pull.offsets();
            for offset in span.clone().filter(|offset| !pull.ended_before(*offset)) {
                // A pull names no topic's creation: it is a read of whatever ever was there.
                let place = Place { node: pull.call.to, topic: &pull.topic, queue: pull.queue, offset, era: 0 };
                let is_end = offset == *span.start() || offset == *span.end();
                if is_end || reads.is_awaited(ledger, place, pull) {
                    reads.add(place, pull);
                }
            }
        }
        reads
    }

    fn add(&mut self, place: Place<'l>, pull: &'l Pull<'l>) {
        let list = *self.by_place.entry((pull.call.from, place)).or_insert(self.lists.len());
        match self.lists.get_mut(list) {
            Some(list) => list.push(pull),
            None => self.lists.push(vec![pull]),
        }
    }

    /// Some chain of the message there is in an attempt that no read has been made for yet.
    fn is_awaited(&self, ledger: &Ledger<'_>, place: Place<'_>, pull: &Pull<'_>) -> bool {
        let home = pull.call.from;
        let last_read = self.at(home, place).last().map_or(0, |last| last.call.event);
        let begun = |life: &ChainLife<'_>| {
            let known = life.steps.partition_point(|step| step.event < pull.call.event);
            let Some(step) = known.checked_sub(1).map(|at| &life.steps[at]) else { return false };
            let before = known.checked_sub(2).map_or(0, |at| life.steps[at].chain.attempt);
            let is_fresh = pull.call.at_ms.saturating_sub(step.at_ms) <= ATTEMPT_MS && step.event > last_read;
            matches!(step.chain.state, ChainState::Open { .. }) && step.chain.attempt > before && is_fresh
        };
        let groups = ledger.obligations.groups.iter();
        groups.flat_map(|group| ledger.chains_at(place, &group.name)).any(|life| life.node == home && begun(life))
    }

    fn at(&self, home: &str, place: Place<'_>) -> &[&'l Pull<'l>] {
        let list = self.by_place.get(&(home, place)).copied();
        list.map_or(&[], |list| &self.lists[list])
    }

    /// The reads of a chain's message by its home, in order.
    pub(super) fn of_chain(&self, life: &ChainLife<'_>) -> &[&'l Pull<'l>] {
        self.at(life.node, life.origin().spot())
    }

    /// All, by reader and place, in no order that may be shown.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'l str, Place<'l>, &[&'l Pull<'l>])> {
        self.by_place.iter().map(|((home, place), list)| (*home, *place, self.lists[*list].as_slice()))
    }
}
