//! Entries of masters' logs that never were: what is taken back before anybody may have been told of it.
//!
//! Three things take entries back. A later term replaces what was not confirmed; that a slave has none of it is judged where
//! logs are compared. And what a failed sync, or a loss of power, left on the disk by chance is in doubt until something
//! was written after it: a disk that is read wrongly then may pass it for torn, and the broker goes on from before it. So is
//! what the last of two syncs was to bear out, if the process died before that one and before it told anybody anything. And
//! what was on a disk that is lost, or newer than the one that took its place, is gone unless it comes back: what a slave had of
//! it does, for that may have been confirmed, and it is judged where logs are compared.
//! Whatever anybody was told because of such an entry, was told for nothing.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Obligations;
use crate::{
    evidence::DurableEntry,
    history::{EventKind, History, Noted},
};

/// What was taken back.
#[derive(Debug, Default)]
pub(super) struct TakenBack {
    /// Positions of the entries in the history, and of when they went.
    pub(super) entries: FxHashMap<usize, usize>,
    /// A later term has replaced some of them.
    pub(super) by_a_later_term: bool,
}

/// What one log has, and what of its end is in doubt.
#[derive(Default)]
struct Log<'h> {
    /// With the position in the history.
    entries: Vec<(usize, &'h DurableEntry)>,
    /// Positions of the entries that were on a disk which is gone, and are not on the one that there is, and of when it went.
    absent: FxHashMap<usize, usize>,
    /// Positions of the entries since the last that a sync made durable.
    doubtful: FxHashSet<usize>,
    /// Positions of the entries that the last sync made durable, if nobody has heard anything of the broker since. A commit
    /// takes two: none of them is told before the next.
    untold: Vec<usize>,
}

/// What was taken back of the logs of masters.
pub(super) fn of(history: &History, obligations: &Obligations) -> TakenBack {
    let mut logs: FxHashMap<&str, Log<'_>> = FxHashMap::default();
    let mut taken_back = TakenBack::default();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for (event, happened) in history.events.iter().enumerate() {
        match &happened.kind {
            EventKind::Noted(Noted::Durable { node, entry, .. }) if !obligations.slaves.contains_key(node) => {
                let log = logs.entry(node).or_default();
                for (gone, was) in log.takes_in(event, entry) {
                    let went = log.absent.remove(&gone).unwrap_or(event);
                    taken_back.entries.insert(gone, went);
                    taken_back.by_a_later_term |= was.term < entry.term;
                }
                found.push((event, node));
            }
            EventKind::Noted(Noted::Again { node, term, index, .. }) => {
                logs.entry(node).or_default().again((*term, *index))
            }
            EventKind::Node { node, event: what } if what == "lost its disk" || what == "got an older disk" => {
                logs.entry(node).or_default().is_replaced(event);
            }
            // What a sync makes durable stands right before it.
            EventKind::Synced { node, .. } => {
                logs.entry(node).or_default().untold = found.drain(..).map(|(event, _)| event).collect();
            }
            kind => {
                for (event, node) in found.drain(..) {
                    logs.entry(node).or_default().doubtful.insert(event);
                }
                match kind {
                    EventKind::Node { node, event } if event == "crashed" || event == "killed" => {
                        let log = logs.entry(node).or_default();
                        log.doubtful.extend(log.untold.drain(..));
                    }
                    EventKind::Request(frame) | EventKind::Response(frame) => {
                        logs.entry(&frame.from).or_default().untold.clear();
                    }
                    _ => {}
                }
            }
        }
    }
    for log in logs.values() {
        taken_back.entries.extend(&log.absent);
    }
    taken_back
}

impl<'h> Log<'h> {
    /// The disk is gone, and with it what was on it.
    fn is_replaced(&mut self, event: usize) {
        for (at, _) in &self.entries {
            self.absent.entry(*at).or_insert(event);
        }
        self.untold.clear();
    }

    /// What was on a disk that is gone is on the one that there is.
    fn again(&mut self, (term, index): (u64, u64)) {
        let known = self.entries.binary_search_by_key(&index, |(_, entry)| entry.index);
        let same = known.ok().map(|at| &self.entries[at]).filter(|(_, entry)| entry.term == term);
        if let Some((at, _)) = same {
            self.absent.remove(at);
        }
    }

    /// Takes in the next entry; gives those that it takes back.
    fn takes_in(&mut self, event: usize, entry: &'h DurableEntry) -> Vec<(usize, &'h DurableEntry)> {
        let mut taken_back = Vec::new();
        let Self { entries, doubtful, absent, .. } = self;
        let goes = |(at, last): &mut (usize, &DurableEntry)| {
            let is_replaced = last.term < entry.term || doubtful.contains(at) || absent.contains_key(at);
            last.index >= entry.index && is_replaced
        };
        while let Some(gone) = entries.pop_if(goes) {
            taken_back.push(gone);
        }
        // It was written upon them.
        doubtful.clear();
        entries.push((event, entry));
        taken_back
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::{TakenBack, of};
    use crate::{
        evidence::DurableEntry,
        history::{Event, EventKind, Frame, History, Noted},
        ledger::Obligations,
    };

    fn durable(term: u64, index: u64, checksum: u32) -> EventKind {
        let entry = Arc::new(DurableEntry { term, index, checksum, length: 1, at_ms: 0, facts: vec![] });
        EventKind::Noted(Noted::Durable { node: "a".into(), sync: index, entry })
    }

    fn synced() -> EventKind {
        EventKind::Synced { node: "a".into(), sync: 1, bytes: 1 }
    }

    fn failed() -> EventKind {
        EventKind::Node { node: "a".into(), event: "read a bit wrongly".into() }
    }

    /// An answer of `a` to somebody.
    fn frame() -> Frame {
        let (from, to) = ("a".into(), "c".into());
        let (connection, opaque, bytes) = (1, 1, Bytes::new());
        Frame { from, to, connection, opaque, request_code: 0, code: 0, arrived_ms: None, length: 0, bytes }
    }

    fn taken_back(kinds: Vec<EventKind>) -> (Vec<usize>, bool) {
        let events = kinds.into_iter().map(|kind| Event { at_ms: 0, kind }).collect();
        let history = History { events };
        let TakenBack { entries, by_a_later_term } = of(&history, &Obligations::default());
        let mut positions: Vec<usize> = entries.into_keys().collect();
        positions.sort_unstable();
        (positions, by_a_later_term)
    }

    #[test]
    fn a_later_term_replaces_what_it_is_written_over() {
        let log = vec![durable(1, 1, 1), durable(1, 2, 2), durable(1, 3, 3), synced(), durable(2, 2, 4), synced()];
        assert_eq!(taken_back(log), (vec![1, 2], true));
    }

    #[test]
    fn what_survived_by_chance_may_go() {
        let log = vec![durable(1, 1, 1), failed(), synced(), durable(1, 1, 2), synced()];
        assert_eq!(taken_back(log), (vec![0], false));
    }

    #[test]
    fn what_a_sync_made_durable_may_not() {
        let log = vec![durable(1, 1, 1), synced(), failed(), durable(1, 1, 2), synced()];
        assert_eq!(taken_back(log), (vec![], false));
    }

    #[test]
    fn what_nobody_was_told_of_may_go_when_the_process_dies() {
        let died = || EventKind::Node { node: "a".into(), event: "crashed".into() };
        let log = vec![durable(1, 1, 1), synced(), died(), failed(), durable(1, 1, 2), synced()];
        assert_eq!(taken_back(log), (vec![0], false));
        let log = vec![durable(1, 1, 1), synced(), synced(), died(), failed(), durable(1, 1, 2), synced()];
        assert_eq!(taken_back(log), (vec![], false), "the second sync was over");
        let told = || EventKind::Response(frame());
        let log = vec![durable(1, 1, 1), synced(), told(), died(), failed(), durable(1, 1, 2), synced()];
        assert_eq!(taken_back(log), (vec![], false), "somebody may have been told");
    }

    #[test]
    fn what_was_on_a_disk_that_is_gone_is_gone_unless_it_comes_back() {
        let lost = || EventKind::Node { node: "a".into(), event: "lost its disk".into() };
        let again = |index| EventKind::Noted(Noted::Again { node: "a".into(), sync: 9, term: 1, index });
        let log = || vec![durable(1, 1, 1), durable(1, 2, 2), durable(1, 3, 3), synced(), lost()];
        let after = |more: Vec<EventKind>| taken_back(log().into_iter().chain(more).collect());
        assert_eq!(after(vec![]), (vec![0, 1, 2], false));
        assert_eq!(after(vec![again(1), again(2), again(3), synced()]), (vec![], false));
        assert_eq!(after(vec![again(1), again(2), synced(), durable(1, 3, 4), synced()]), (vec![2], false));
        assert_eq!(after(vec![again(1), synced(), durable(2, 2, 4), synced()]), (vec![1, 2], true));
    }

    #[test]
    fn nor_what_something_was_written_upon() {
        let log = vec![durable(1, 1, 1), failed(), durable(1, 2, 2), synced(), durable(1, 1, 3), synced()];
        assert_eq!(taken_back(log), (vec![], false));
    }
}
