//! The chains whose wait is over and that nobody has taken up yet, by the peer they need.
//!
//! It is derived from the table of due chains and holds nothing of its own: forgotten in a crash, it is read again.
//! Chains that wait for an absent peer stay due in the table; here they stand in that peer's queue, so that nobody has
//! to look at them again until the peer is back, and they keep nobody from those behind them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::work::{CHAINS_MAX, GAP_MAX, SPAN_MAX};
use crate::{
    buggify,
    model::chain::{Chain, ChainState},
    store::{StoreError, Tables},
};

/// How many rows of the table one look reads.
const ROWS_MAX: usize = 4_096;

/// The chains that can be taken up.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Rows of the table before this place have been looked at.
    seen_to: (i64, String),
    /// Those that need nobody: due time and key.
    here: BTreeSet<(i64, String)>,
    /// Those that need a peer.
    away: BTreeMap<String, Queue>,
    /// Those that are not due and need not wait any longer: their peer is back.
    hurried: BTreeSet<String>,
}

/// What a look at the table found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looked {
    /// When the first chain is due that is not due yet, Unix ms.
    pub(super) next_due_ms: Option<i64>,
    /// There is more that is due.
    pub(super) more: bool,
}

/// The chains that need one peer.
#[derive(Debug, Default)]
struct Queue {
    by_due: BTreeSet<(i64, Arc<Errand>)>,
    /// Neighbours stand side by side.
    by_place: BTreeMap<Arc<Errand>, i64>,
}

/// A chain that needs a peer, ordered so that what can travel together stands together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Errand {
    /// For a hand-over its pop: group, and time.
    pop: Option<(String, i64)>,
    topic: String,
    queue: i32,
    offset: i64,
    key: String,
}

impl Agenda {
    /// Takes in what has fallen due by `now_ms` since the last look.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn look(&mut self, tables: &impl Tables, own: &str, now_ms: i64) -> Result<Looked, StoreError> {
        let (due, next_ms) =
            tables.due_after((self.seen_to.0, &self.seen_to.1), now_ms, buggify!("looks-at-one-due", 1, ROWS_MAX))?;
        let looked = Looked {
            next_due_ms: next_ms.filter(|next_ms| *next_ms > now_ms),
            more: next_ms.is_some_and(|next_ms| next_ms <= now_ms),
        };
        for (due_ms, key) in due {
            let Some(chain) = tables.chain_by_key(&key)? else {
                return Err(StoreError::Dangling { table: "due", key, index: 0 });
            };
            self.hurried.remove(&key); // its time has come
            self.note(due_ms, key.clone(), &chain, own);
            self.seen_to = (due_ms, key);
        }
        Ok(looked)
    }

    /// A chain need not wait any longer, because the peer that it needs is back.
    pub(super) fn hurry(&mut self, key: String, chain: &Chain, own: &str, now_ms: i64) {
        self.hurried.insert(key.clone());
        self.note(now_ms, key, chain, own);
    }

    /// The peer is away again: what was hurried for it waits for its own time after all.
    pub(super) fn hurry_no_more(&mut self, peer: &str) {
        let queue = self.away.get(peer).filter(|_| !self.hurried.is_empty());
        let Some(queue) = queue else { return };
        let is_hurried = |row: &&(i64, Arc<Errand>)| self.hurried.contains(&row.1.key);
        let hurried: Vec<_> = queue.by_due.iter().filter(is_hurried).cloned().collect();
        for key in self.remove(peer, &hurried) {
            self.hurried.remove(&key);
        }
    }

    /// Those of the chains that were taken off which were hurried.
    pub(super) fn take_hurried(&mut self, keys: &[String]) -> BTreeSet<String> {
        keys.iter().filter_map(|key| self.hurried.take(key)).collect()
    }

    /// Rows from this time on have to be looked at again.
    pub(super) fn look_again_from(&mut self, due_ms: i64) {
        if (due_ms, "") < (self.seen_to.0, self.seen_to.1.as_str()) {
            self.seen_to = (due_ms, String::new());
        }
    }

    /// Nothing is known any more; the next look reads everything again.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn note(&mut self, due_ms: i64, key: String, chain: &Chain, own: &str) {
        let id = &chain.id;
        let (peer, pop) = match &chain.state {
            ChainState::Moving { to, .. } => (to, Some((id.group.clone(), id.pop_time))),
            _ => (&id.broker, None),
        };
        if peer == own {
            self.here.insert((due_ms, key));
            return;
        }
        let errand = Errand { pop, topic: id.topic.clone(), queue: id.queue, offset: id.offset, key };
        self.away.entry(peer.clone()).or_default().insert(due_ms, errand);
    }

    /// Since when the first chain waits that needs nobody.
    pub(super) fn first_here(&self, busy: &BTreeSet<String>) -> Option<i64> {
        self.here.iter().find(|(_, key)| !busy.contains(key)).map(|(due_ms, _)| *due_ms)
    }

    /// Takes up to `limit` chains that need nobody, the earliest first.
    pub(super) fn take_here(&mut self, limit: usize, busy: &BTreeSet<String>) -> Vec<String> {
        let taken: Vec<_> = self.here.iter().filter(|(_, key)| !busy.contains(key)).take(limit).cloned().collect();
        for row in &taken {
            self.here.remove(row);
        }
        taken.into_iter().map(|(_, key)| key).collect()
    }

    /// The peers that are needed, each with the time since when its first chain waits.
    pub(super) fn peers(&self, busy: &BTreeSet<String>) -> Vec<(String, i64)> {
        let first = |(peer, queue): (&String, &Queue)| Some((peer.clone(), queue.first(busy)?.0));
        self.away.iter().filter_map(first).collect()
    }

    /// Since when the first chain waits for this peer.
    pub(super) fn first_away(&self, peer: &str, busy: &BTreeSet<String>) -> Option<i64> {
        self.away.get(peer)?.first(busy).map(|(due_ms, _)| *due_ms)
    }

    /// Takes up to `limit` chains that have waited for this peer since `due_ms` or longer.
    pub(super) fn take_waited(
        &mut self,
        peer: &str,
        due_ms: i64,
        limit: usize,
        busy: &BTreeSet<String>,
    ) -> Vec<String> {
        let Some(queue) = self.away.get_mut(peer) else { return Vec::new() };
        let waited = queue.by_due.iter().take_while(|(since_ms, _)| *since_ms <= due_ms);
        let taken: Vec<_> = waited.filter(|(_, errand)| !busy.contains(&errand.key)).take(limit).cloned().collect();
        self.remove(peer, &taken)
    }

    /// Takes what fits into one trip to a peer: the chain that waits longest, and its neighbours.
    pub(super) fn take_trip(&mut self, peer: &str, busy: &BTreeSet<String>) -> Vec<String> {
        let Some(queue) = self.away.get(peer) else { return Vec::new() };
        let Some((due_ms, leader)) = queue.first(busy).cloned() else { return Vec::new() };
        let mut taken = vec![(due_ms, leader.clone())];
        taken.extend(queue.neighbours(&leader, busy));
        self.remove(peer, &taken)
    }

    /// Takes the chain that goes to see whether a peer is back: the one that waits shortest, so that it is most often the
    /// one that went before. Each time is an attempt of it and begins its wait anew; if they took turns, none would ever
    /// have waited for long.
    pub(super) fn take_probe(&mut self, peer: &str, busy: &BTreeSet<String>) -> Vec<String> {
        let Some(queue) = self.away.get(peer) else { return Vec::new() };
        let Some(probe) = queue.last(busy).cloned() else { return Vec::new() };
        self.remove(peer, &[probe])
    }

    /// Takes errands off a peer's queue; gives their keys.
    fn remove(&mut self, peer: &str, taken: &[(i64, Arc<Errand>)]) -> Vec<String> {
        if let Some(queue) = self.away.get_mut(peer) {
            for (due_ms, errand) in taken {
                queue.by_due.remove(&(*due_ms, errand.clone()));
                queue.by_place.remove(errand);
            }
            if queue.by_due.is_empty() {
                self.away.remove(peer);
            }
        }
        taken.iter().map(|(_, errand)| errand.key.clone()).collect()
    }
}

impl Queue {
    fn insert(&mut self, due_ms: i64, errand: Errand) {
        let errand = Arc::new(errand);
        if let Some(before_ms) = self.by_place.insert(errand.clone(), due_ms) {
            self.by_due.remove(&(before_ms, errand.clone()));
        }
        self.by_due.insert((due_ms, errand));
    }

    fn first(&self, busy: &BTreeSet<String>) -> Option<&(i64, Arc<Errand>)> {
        self.by_due.iter().find(|(_, errand)| !busy.contains(&errand.key))
    }

    fn last(&self, busy: &BTreeSet<String>) -> Option<&(i64, Arc<Errand>)> {
        self.by_due.iter().rev().find(|(_, errand)| !busy.contains(&errand.key))
    }

    /// What can travel with `leader`: first those after it, then those before it.
    fn neighbours(&self, leader: &Arc<Errand>, busy: &BTreeSet<String>) -> Vec<(i64, Arc<Errand>)> {
        let mut span = (leader.offset, leader.offset);
        let mut found = Vec::new();
        let mut joins = |(errand, due_ms): (&Arc<Errand>, &i64)| {
            let wider = (span.0.min(errand.offset), span.1.max(errand.offset));
            let gap = span.0.saturating_sub(errand.offset).max(errand.offset.saturating_sub(span.1));
            let fits = errand.pop == leader.pop
                && (&errand.topic, errand.queue) == (&leader.topic, leader.queue)
                && gap <= GAP_MAX
                && wider.1.saturating_sub(wider.0) < SPAN_MAX
                && found.len() + 1 < CHAINS_MAX;
            if fits && !busy.contains(&errand.key) {
                span = wider;
                found.push((*due_ms, errand.clone()));
            }
            fits
        };
        let after = (std::ops::Bound::Excluded(leader.as_ref()), std::ops::Bound::Unbounded);
        let _ = self.by_place.range::<Errand, _>(after).all(&mut joins);
        let _ = self.by_place.range::<Errand, _>(..leader.as_ref()).rev().all(&mut joins);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revive::samples::{DUE_MS, OTHER, OWN, chain};

    fn due(broker: &str, offset: i64) -> Chain {
        let mut chain = chain(broker);
        chain.id.offset = offset;
        chain
    }

    fn noted(chains: &[(i64, Chain)]) -> Agenda {
        let mut agenda = Agenda::default();
        chains.iter().for_each(|(due_ms, chain)| agenda.note(*due_ms, chain.id.to_string(), chain, OWN));
        agenda
    }

    fn offsets(keys: &[String]) -> Vec<i64> {
        let offset = |key: &String| key.split('/').nth(3).and_then(|offset| offset.parse().ok());
        let mut offsets: Vec<i64> = keys.iter().filter_map(offset).collect();
        offsets.sort_unstable();
        offsets
    }

    fn idle() -> BTreeSet<String> {
        BTreeSet::new()
    }

    #[test]
    fn those_that_need_a_peer_keep_nobody_from_those_that_need_none() {
        let far = (0..1_000).map(|offset| (DUE_MS, due(OTHER, offset)));
        let mut agenda = noted(&far.chain([(DUE_MS + 5, due(OWN, 7))]).collect::<Vec<_>>());
        assert_eq!(agenda.first_here(&idle()), Some(DUE_MS + 5));
        assert_eq!(offsets(&agenda.take_here(9, &idle())), [7]);
        assert_eq!(agenda.first_here(&idle()), None);
        assert_eq!(agenda.peers(&idle()), [(OTHER.to_owned(), DUE_MS)]);
    }

    #[test]
    fn a_trip_is_the_one_that_waits_longest_and_its_neighbours() {
        let chains = [(9, 0), (8, 10), (1, 14), (7, 15), (6, 20), (5, 29), (4, 60)];
        let mut agenda = noted(&chains.map(|(due_ms, offset)| (due_ms, due(OTHER, offset))));
        assert_eq!(offsets(&agenda.take_trip(OTHER, &idle())), [10, 14, 15, 20]);
        assert_eq!(offsets(&agenda.take_trip(OTHER, &idle())), [60]);
        assert_eq!(offsets(&agenda.take_trip(OTHER, &idle())), [29]);
        assert_eq!(offsets(&agenda.take_trip(OTHER, &idle())), [0]);
        assert_eq!(agenda.take_trip(OTHER, &idle()), Vec::<String>::new());
        assert_eq!(agenda.peers(&idle()), []);
    }

    #[test]
    fn whoever_was_hurried_for_a_peer_that_is_away_again_waits_for_its_own_time() {
        let mut agenda = noted(&[(3, due(OTHER, 0))]);
        for offset in [1, 2] {
            agenda.hurry(due(OTHER, offset).id.to_string(), &due(OTHER, offset), OWN, 5);
        }
        let first = agenda.take_probe(OTHER, &idle());
        assert_eq!(agenda.take_hurried(&first).len(), 1);
        agenda.hurry_no_more(OTHER);
        assert_eq!(offsets(&agenda.take_trip(OTHER, &idle())), [0]);
        assert_eq!(agenda.take_trip(OTHER, &idle()), Vec::<String>::new());
    }

    #[test]
    fn the_one_that_looks_whether_a_peer_is_back_is_the_one_that_waits_shortest() {
        let mut agenda = noted(&[(3, due(OTHER, 0)), (5, due(OTHER, 1)), (4, due(OTHER, 2))]);
        assert_eq!(offsets(&agenda.take_probe(OTHER, &BTreeSet::from([due(OTHER, 1).id.to_string()]))), [2]);
        assert_eq!(offsets(&agenda.take_probe(OTHER, &idle())), [1]);
        assert_eq!(offsets(&agenda.take_trip(OTHER, &idle())), [0]);
        assert_eq!(agenda.take_probe(OTHER, &idle()), Vec::<String>::new());
    }

    #[test]
    fn hand_overs_travel_by_their_pop() {
        let moving = |offset, pop_time| {
            let mut chain = due(OWN, offset);
            chain.id.pop_time = pop_time;
            chain.state = ChainState::Moving { to: OTHER.into(), due_ms: 1, revive_ms: 1 };
            (1, chain)
        };
        let mut agenda = noted(&[moving(1, 5), moving(2, 6), moving(3, 5), (2, due(OTHER, 4))]);
        assert_eq!(offsets(&agenda.take_trip(OTHER, &idle())), [1, 3]);
        assert_eq!(offsets(&agenda.take_trip(OTHER, &idle())), [2]);
        assert_eq!(offsets(&agenda.take_trip(OTHER, &idle())), [4]);
    }

    #[test]
    fn busy_chains_wait_and_are_not_forgotten() {
        let mut agenda = noted(&[(1, due(OTHER, 0)), (2, due(OTHER, 1)), (1, due(OWN, 2))]);
        let busy = BTreeSet::from([due(OTHER, 0).id.to_string(), due(OWN, 2).id.to_string()]);
        assert_eq!((agenda.first_here(&busy), agenda.take_here(9, &busy).len()), (None, 0));
        assert_eq!(agenda.peers(&busy), [(OTHER.to_owned(), 2)]);
        assert_eq!(offsets(&agenda.take_trip(OTHER, &busy)), [1]);
        assert_eq!(offsets(&agenda.take_trip(OTHER, &idle())), [0]);
        assert_eq!(offsets(&agenda.take_here(9, &idle())), [2]);
    }

    #[test]
    fn those_that_have_waited_long_enough_are_taken_the_longest_first() {
        let mut agenda = noted(&[(3, due(OTHER, 0)), (5, due(OTHER, 1)), (4, due(OTHER, 2)), (6, due(OTHER, 3))]);
        assert_eq!(agenda.first_away(OTHER, &idle()), Some(3));
        let busy = BTreeSet::from([due(OTHER, 0).id.to_string()]);
        assert_eq!(offsets(&agenda.take_waited(OTHER, 5, 1, &busy)), [2]);
        assert_eq!(offsets(&agenda.take_waited(OTHER, 5, 9, &idle())), [0, 1]);
        assert_eq!(agenda.take_waited(OTHER, 5, 9, &idle()), Vec::<String>::new());
        assert_eq!((agenda.first_away(OTHER, &idle()), agenda.first_away(OWN, &idle())), (Some(6), None));
    }

    #[test]
    fn a_chain_that_is_seen_twice_waits_once() {
        let mut agenda = noted(&[(5, due(OTHER, 0)), (3, due(OTHER, 0)), (3, due(OTHER, 0))]);
        assert_eq!(agenda.peers(&idle()), [(OTHER.to_owned(), 3)]);
        assert_eq!(agenda.take_trip(OTHER, &idle()).len(), 1);
        assert_eq!(agenda.peers(&idle()), []);
    }
}
