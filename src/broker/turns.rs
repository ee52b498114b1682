//! Whose turn it is when a group pops: its retry topics or its topic, and which queue.
//!
//! Counted for each group and topic: were it for all together, groups that pop by turns would each have only some of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::sabotage;

/// Every so many pops the retry topics are read first, so that they never starve.
const RETRY_FIRST_EVERY: u64 = 5;

/// What one pop reads first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The retry topics.
    pub retries_first: bool,
    /// The how-manieth pop of those that begin with the same topics: which of their queues is first.
    pub number: u64,
}

/// Counts the pops of each group and topic.
#[derive(Debug, Default)]
pub struct Turns {
    pops: Mutex<BTreeMap<(String, String), u64>>,
}

impl Turns {
    /// The next turn of a group at a topic.
    pub fn next(&self, group: &str, topic: &str) -> Turn {
        let mut pops = self.pops.lock().unwrap_or_else(PoisonError::into_inner);
        let count = pops.entry((group.to_owned(), topic.to_owned())).or_default();
        let turn = Turn::of(*count);
        *count += 1;
        turn
    }
}

impl Turn {
    fn of(count: u64) -> Self {
        let rounds = count / RETRY_FIRST_EVERY;
        let is_first = count.is_multiple_of(RETRY_FIRST_EVERY);
        // Each of the two kinds goes through all its queues, however many these are.
        let number = if is_first { rounds } else { count - rounds - 1 };
        Self {
            retries_first: is_first && !sabotage!("retries-come-last"),
            number: if sabotage!("first-queue-first") { 0 } else { number },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_goes_through_all_queues() {
        let turns: Vec<Turn> = (0..100).map(Turn::of).collect();
        for kind in [true, false] {
            let numbers: Vec<u64> =
                turns.iter().filter(|turn| turn.retries_first == kind).map(|turn| turn.number).collect();
            assert!(numbers.iter().copied().eq(0..numbers.len() as u64));
        }
        assert_eq!(turns.iter().filter(|turn| turn.retries_first).count(), 20);
    }

    #[test]
    fn groups_and_topics_have_turns_of_their_own() {
        let turns = Turns::default();
        let first = turns.next("g", "t");
        assert!(turns.next("h", "t") == first && turns.next("g", "u") == first && turns.next("g", "t") != first);
    }
}
