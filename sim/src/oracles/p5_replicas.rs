//! A replica is a prefix: what a slave's disk holds is what its master's disk held before.
//!
//! Rule: every entry that is durable at a slave was durable at its master before, with the same term, index and checksum.
//! Its indexes go up by one. It may begin anew, from nothing, and wherever it leaves indexes out, all of them had left the
//! master's log by retention. At the end it has everything that its master has, but for what came in the last moments. A
//! copy of the whole log that brings nothing but what was durable there before shows on no page, and is not seen.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Findings;
use crate::{
    ledger::{Ledger, LogStep, ReplicaStep},
    plan::SimMs,
};

/// How long an entry of the master may be missing while nothing is broken.
const CATCH_UP_MS: SimMs = 30_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for (node, broker) in &ledger.obligations.slaves {
        let (log, masters) = (ledger.replicas.log(node), ledger.logs.get(broker.as_str()));
        let masters = masters.map_or(&[][..], Vec::as_slice);
        identical(node, broker, log, masters, found);
        gapless(ledger, node, broker, log, found);
        complete(ledger, node, broker, masters, found);
    }
}

fn identical(node: &str, broker: &str, log: &[ReplicaStep<'_>], masters: &[LogStep<'_>], found: &mut Findings<'_>) {
    let mut known: FxHashMap<(u64, u64, u32), usize> = FxHashMap::default();
    for LogStep { event, entry } in masters {
        known.entry((entry.term, entry.index, entry.checksum)).or_insert(*event);
    }
    for ReplicaStep { event, at_ms, entry } in log {
        let (term, index) = (entry.term, entry.index);
        let what = match known.get(&(term, index, entry.checksum)) {
            Some(since) if since < event => continue,
            Some(_) => "before it was durable",
            None => "which never was durable",
        };
        found.broken(*at_ms, node, format!("it has entry {index} of term {term}, {what} at {broker}"));
    }
}

fn gapless(ledger: &Ledger<'_>, node: &str, broker: &str, log: &[ReplicaStep<'_>], found: &mut Findings<'_>) {
    let mut last = 0;
    for ReplicaStep { event, at_ms, entry } in log {
        let index = entry.index;
        // Beginning anew leaves out what comes before.
        let missing = if index > last { last + 1..index } else { 1..index };
        if missing.start.max(ledger.cut(broker, *event)) < missing.end {
            let was = if index > last { format!("from index {last} to {index}") } else { format!("back to {index}") };
            found.broken(*at_ms, node, format!("its log goes {was}, and the log of {broker} was not cut there"));
        }
        last = index;
    }
}

fn complete(ledger: &Ledger<'_>, node: &str, broker: &str, masters: &[LogStep<'_>], found: &mut Findings<'_>) {
    let Some(end) = ledger.history.events.len().checked_sub(1) else { return };
    let (end_ms, cut) = (ledger.at_ms(end), ledger.cut(broker, end));
    let has: FxHashSet<u64> = ledger.replicas.held(node).iter().map(|step| step.entry.index).collect();
    let is_missing = |step: &&LogStep<'_>| {
        let is_old = ledger.at_ms(step.event).saturating_add(CATCH_UP_MS) <= end_ms;
        is_old && step.entry.index >= cut && !has.contains(&step.entry.index)
    };
    let mut missing = masters.iter().filter(is_missing).map(|step| step.entry.index);
    if let Some(first) = missing.next() {
        let count = 1 + missing.count();
        found.broken(end_ms, node, format!("at the end it lacks {count} entries of {broker}, the first is {first}"));
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{DurableEntry, Fact},
        history::EventKind,
        oracles::fixture::Story,
    };

    /// `a` has stored messages 0 to 3 (entries 2 to 5), and its slave has all of it but the last two.
    fn behind() -> Story {
        let mut story = Story::with_slave();
        for number in 0..4 {
            story.send(number, number.into());
        }
        for index in 1..=3 {
            story.wait(10).replicate(index);
        }
        story
    }

    /// What lies below `before` leaves `a`'s log by retention.
    fn expire(story: &mut Story, before: u64) {
        story.durable("a", vec![Fact::Expired { broker: "a".into(), before }]);
    }

    fn blames(story: &mut Story, words: &str) -> bool {
        story
            .judge()
            .violations
            .iter()
            .any(|it| it.promise == "P5" && it.subject == "a-s1" && it.detail.contains(words))
    }

    fn accuses(story: &mut Story) -> bool {
        blames(story, "")
    }

    #[test]
    fn a_slave_that_follows_is_right() {
        let mut story = behind();
        story.wait(60_000).catch_up(4);
        assert!(!accuses(&mut story));
    }

    #[test]
    fn one_that_is_behind_for_a_moment_is_right_and_one_that_stays_behind_is_not() {
        let mut story = behind();
        story.wait(20_000);
        assert!(!accuses(&mut story));
        let mut story = behind();
        story.wait(31_000);
        assert!(blames(&mut story, "at the end it lacks 2 entries of a, the first is 4"));
    }

    #[test]
    fn a_slave_that_has_nothing_at_all_is_not_forgotten() {
        let mut story = Story::with_slave();
        story.wait(31_000);
        assert!(blames(&mut story, "at the end it lacks 1 entries of a"));
    }

    #[test]
    fn entries_are_the_master_s() {
        let changes: [fn(&mut DurableEntry); 3] =
            [|entry| entry.checksum = 7, |entry| entry.term = 2, |entry| entry.index = 9];
        for change in changes {
            let mut story = behind();
            let mut entry = story.entry(4);
            change(&mut entry);
            story.slave_has(entry);
            assert!(blames(&mut story, "which never was durable at a"));
        }
    }

    #[test]
    fn nothing_is_at_a_slave_before_it_is_at_the_master() {
        let mut story = behind();
        let mut next = story.entry(5);
        next.index = 6;
        story.replicate(4).replicate(5).slave_has(next).durable("a", vec![]);
        assert!(blames(&mut story, "it has entry 6 of term 1, before it was durable at a"));
    }

    #[test]
    fn a_log_has_no_gaps() {
        let mut story = behind();
        story.replicate(5);
        assert!(blames(&mut story, "its log goes from index 3 to 5, and the log of a was not cut there"));
    }

    #[test]
    fn what_had_left_the_master_s_log_may_be_missing() {
        let mut story = behind();
        expire(&mut story, 5);
        story.wait(60_000).catch_up(5);
        assert!(!accuses(&mut story));
        let mut story = behind();
        expire(&mut story, 4);
        story.wait(60_000).catch_up(5);
        assert!(blames(&mut story, "its log goes from index 3 to 5"));
        assert!(blames(&mut story, "it lacks 1 entries"));
        let mut story = behind();
        story.replicate(5);
        expire(&mut story, 5);
        assert!(blames(&mut story, "its log goes from index 3 to 5"), "it was cut too late");
    }

    #[test]
    fn a_slave_may_begin_anew_at_the_beginning_of_what_is_left() {
        let mut story = behind();
        story.wait(60_000).catch_up(1);
        assert!(!accuses(&mut story));
        let mut story = behind();
        story.catch_up(3);
        assert!(blames(&mut story, "its log goes back to 3"));
        let mut story = behind();
        expire(&mut story, 3);
        story.wait(60_000).catch_up(3);
        assert!(!accuses(&mut story));
    }

    #[test]
    fn a_slave_whose_disk_was_lost_has_to_get_everything_once_more() {
        let lost = || {
            let mut story = behind();
            story.catch_up(4).event(EventKind::Node { node: "a-s1".into(), event: "lost its disk".into() });
            story.wait(60_000);
            story
        };
        assert!(blames(&mut lost(), "at the end it lacks 5 entries of a, the first is 1"));
        let mut story = lost();
        story.catch_up(1);
        assert!(!accuses(&mut story));
    }
}
