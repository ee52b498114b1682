//! What the slaves of a run hold: the entries of their logs, apart from the facts of their masters.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::{
    evidence::{DurableEntry, frame::code},
    history::Frame,
    plan::SimMs,
};

/// One entry of a slave's log.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaStep<'h> {
    /// When: position in the history.
    pub event: usize,
    /// When, simulated ms.
    pub at_ms: SimMs,
    /// The entry.
    pub entry: &'h DurableEntry,
}

/// A slave asks for what its master's log has got. Who asks says what it has.
#[derive(Debug, Clone, Copy)]
pub struct Poll<'h> {
    /// When: position in the history.
    pub event: usize,
    /// When, simulated ms.
    pub at_ms: SimMs,
    /// What it sent.
    pub request: &'h Frame,
    /// The answer that left its master.
    pub answer: Option<&'h Frame>,
}

/// The logs of all slaves.
#[derive(Debug, Default)]
pub struct Replicas<'h> {
    logs: BTreeMap<&'h str, Vec<ReplicaStep<'h>>>,
    /// Slave → how much of its log it had when its disk was lost last.
    lost: BTreeMap<&'h str, usize>,
    /// Node and index → when an entry was first durable there. Only ever looked up.
    since: FxHashMap<(&'h str, u64), usize>,
    /// By slave.
    polls: FxHashMap<&'h str, Vec<Poll<'h>>>,
    /// Connection and opaque → position among the polls of whoever asked.
    asked: FxHashMap<(u64, i32), usize>,
}

impl<'h> Replicas<'h> {
    /// Takes in an entry that became durable at a slave.
    pub(super) fn durable(&mut self, node: &'h str, step: ReplicaStep<'h>) {
        self.logs.entry(node).or_default().push(step);
        self.since.entry((node, step.entry.index)).or_insert(step.event);
    }

    /// A slave's disk is lost, and what was on it.
    pub(super) fn lost(&mut self, node: &'h str) {
        let length = self.log(node).len();
        self.lost.insert(node, length);
    }

    /// Takes in that a slave asks for more.
    pub(super) fn asks(&mut self, event: usize, at_ms: SimMs, frame: &'h Frame) {
        if frame.request_code == code::REPLICATE {
            let polls = self.polls.entry(&frame.from).or_default();
            self.asked.insert((frame.connection, frame.opaque), polls.len());
            polls.push(Poll { event, at_ms, request: frame, answer: None });
        }
    }

    /// Takes in that it is answered.
    pub(super) fn is_answered(&mut self, frame: &'h Frame) {
        if frame.request_code == code::REPLICATE
            && let Some(asked) = self.asked.remove(&(frame.connection, frame.opaque))
            && let Some(poll) = self.polls.get_mut(&*frame.to).and_then(|polls| polls.get_mut(asked))
        {
            poll.answer = Some(frame);
        }
    }

    /// When its master was first told that a slave has an entry of this index; `None` if it never was.
    #[must_use]
    pub fn told_ms(&self, node: &str, index: u64) -> Option<SimMs> {
        let since = self.since(node, index)?;
        let later = self.polls(node).iter().filter(|poll| poll.event > since);
        later.filter_map(|poll| poll.request.arrived_ms).min()
    }

    /// What a slave asked its master for, in its order.
    #[must_use]
    pub fn polls(&self, node: &str) -> &[Poll<'h>] {
        self.polls.get(node).map_or(&[], Vec::as_slice)
    }

    /// Whether a slave has appended something between these events.
    #[must_use]
    pub fn has_grown(&self, node: &str, between: std::ops::Range<usize>) -> bool {
        self.log(node).iter().any(|step| between.contains(&step.event))
    }

    /// A slave's entries, in the order in which they became durable.
    #[must_use]
    pub fn log(&self, node: &str) -> &[ReplicaStep<'h>] {
        self.logs.get(node).map_or(&[], Vec::as_slice)
    }

    /// The part of it that is on the disk that it has at the end.
    #[must_use]
    pub fn held(&self, node: &str) -> &[ReplicaStep<'h>] {
        let lost = self.lost.get(node).copied().unwrap_or(0);
        self.log(node).get(lost..).unwrap_or_default()
    }

    /// When an entry of this index was first durable at a slave: position in the history.
    #[must_use]
    pub fn since(&self, node: &str, index: u64) -> Option<usize> {
        self.since.get(&(node, index)).copied()
    }

    /// Whether an entry of this index was durable at a slave before `event`.
    #[must_use]
    pub fn had(&self, node: &str, index: u64, event: usize) -> bool {
        self.since(node, index).is_some_and(|since| since < event)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::Fact,
        ledger::Ledger,
        oracles::fixture::{Story, message},
    };

    #[test]
    fn what_a_slave_holds_is_no_second_fact() {
        let mut story = Story::with_slave();
        story.send(1, 0).replicate(1).replicate(2);
        let ledger = Ledger::fold(&story.history, &story.obligations);
        assert_eq!((ledger.messages.len(), ledger.logs["a"].len(), ledger.logs.contains_key("a-s1")), (1, 2, false));
        let log = ledger.replicas.log("a-s1");
        assert_eq!(log.iter().map(|step| step.entry.index).collect::<Vec<_>>(), [1, 2]);
        assert!(matches!(&log[1].entry.facts[0], Fact::Message(stored) if *stored == message("t", 0, 1, 0)));
        let end = ledger.history.events.len();
        assert!(ledger.replicas.had("a-s1", 2, end) && !ledger.replicas.had("a-s1", 2, log[1].event));
        assert!(!ledger.replicas.had("a-s1", 3, end) && ledger.replicas.log("b-s1").is_empty());
    }
}
