//! What was broken, and when: the excuses that oracles go by. Only what the world itself tells is one.

use std::ops::Range;

use super::Ledger;
use crate::history::EventKind;

/// Positions in the history.
#[derive(Debug, Default)]
pub(super) struct Disturbances {
    /// A fault fired, began or ended, or something happened to a node.
    events: Vec<usize>,
    /// While links are slow.
    slow: Vec<Range<usize>>,
}

impl Disturbances {
    /// Takes in what a fault is told to have done.
    pub(super) fn fault(&mut self, event: usize, text: &str) {
        self.events.push(event);
        match text {
            "latency begins" | "bandwidth begins" => self.slow.push(event..usize::MAX),
            "latency ends" | "bandwidth ends" => {
                // Which of several ends does not matter: together they last as long.
                if let Some(open) = self.slow.iter_mut().find(|span| span.end == usize::MAX) {
                    open.end = event;
                }
            }
            _ => {}
        }
    }

    /// Takes in that something happened to a node.
    pub(super) fn node(&mut self, event: usize) {
        self.events.push(event);
    }
}

impl Ledger<'_> {
    /// What the clock of a node had gained when it began to run anew, ms, over all its starts in between.
    #[must_use]
    pub fn gained(&self, node: &str, between: Range<usize>) -> i64 {
        let gains = self.history.events[between].iter().map(|event| match &event.kind {
            EventKind::ClockGained { node: whose, ms } if whose == node && *ms > 0 => *ms,
            _ => 0,
        });
        gains.sum()
    }

    /// Whether frames may take longer at `event` than they do by themselves.
    #[must_use]
    pub fn is_slow(&self, event: usize) -> bool {
        self.disturbances.slow.iter().any(|span| span.contains(&event))
    }

    /// The last event of the simulated ms of `event`: a fault that takes a frame on its way is told after the frame.
    #[must_use]
    pub fn same_ms(&self, event: usize) -> usize {
        let at_ms = self.at_ms(event);
        event + self.history.events[event..].iter().take_while(|later| later.at_ms == at_ms).count() - 1
    }

    /// Whether a fault fired, or a node was hit, from `from` to `to` (positions, both included).
    #[must_use]
    pub fn was_disturbed(&self, from: usize, to: usize) -> bool {
        let events = &self.disturbances.events;
        let first = events.partition_point(|event| *event < from);
        events.get(first).is_some_and(|event| *event <= to)
    }
}
