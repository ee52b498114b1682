//! Remote reads at the wire, by whom they were made and what they were for.

use crate::{
    evidence::ChainId,
    ledger::{Ledger, Place, wire::Pull},
};
use rustc_hash::FxHashMap;

/// The reads that brokers made of each other, by reader and place.
pub(super) struct Reads<'h> {
    /// Reader and place → position in `lists`.
    by_place: FxHashMap<(&'h str, Place<'h>), usize>,
    lists: Vec<Vec<&'h Pull<'h>>>,
}

impl<'l> Reads<'l> {
    pub(super) fn of(ledger: &'l Ledger<'_>) -> Self {
        let (mut by_place, mut lists) = (FxHashMap::default(), Vec::<Vec<_>>::new());
        let is_broker = |name: &str| ledger.obligations.brokers.iter().any(|broker| broker == name);
        for pull in ledger.wire.pulls.iter().filter(|pull| is_broker(pull.call.from)) {
            let place = Place { node: pull.call.to, topic: &pull.topic, queue: pull.queue, offset: pull.offset };
            let list = *by_place.entry((pull.call.from, place)).or_insert(lists.len());
            match lists.get_mut(list) {
                Some(list) => list.push(pull),
                None => lists.push(vec![pull]),
            }
        }
        Self { by_place, lists }
    }

    /// The reads of a chain's message by `home`, in order.
    pub(super) fn of_chain(&self, home: &str, id: &ChainId) -> &[&'l Pull<'l>] {
        let list = self.by_place.get(&(home, crate::ledger::origin(id))).copied();
        list.map_or(&[], |list| &self.lists[list])
    }

    /// All, by reader and place, in no order that may be shown.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'l str, Place<'l>, &[&'l Pull<'l>])> {
        self.by_place.iter().map(|((home, place), list)| (*home, *place, self.lists[*list].as_slice()))
    }
}
