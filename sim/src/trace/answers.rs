//! Which answer is that of which request.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    history::{EventKind, History},
    state::InFlight,
};

/// Requests and their answers, by the positions of their events.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Request → answer, and answer → request. Only ever looked up.
    others: FxHashMap<usize, usize>,
    /// Requests that were never answered. Only ever looked up.
    unanswered: FxHashSet<usize>,
}

impl Answers {
    pub(super) fn of(history: &History) -> Self {
        let (mut answers, mut in_flight) = (Self::default(), InFlight::default());
        for (number, event) in history.events.iter().enumerate() {
            let ended = in_flight.note(number, event);
            if in_flight.has(number) {
                answers.unanswered.insert(number);
            }
            for request in ended.into_iter().filter(|_| matches!(event.kind, EventKind::Response(_))) {
                answers.unanswered.remove(&request);
                answers.others.extend([(request, number), (number, request)]);
            }
        }
        answers
    }

    /// The answer to a request, or the request of an answer.
    pub(super) fn other(&self, number: usize) -> Option<usize> {
        self.others.get(&number).copied()
    }

    /// Whether an event is a request that is to be answered and was not.
    pub(super) fn lacks(&self, number: usize) -> bool {
        self.unanswered.contains(&number)
    }
}
