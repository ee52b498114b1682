//! P5, progress is safe: at every durable state, forgetting memory and recovering yields every unfinished obligation.
//!
//! Rule: a group's offset never falls but by a reset, and whenever it moves from a to b, every durable message in between
//! that the group's filter takes and that does not lie before the group's beginning (see `p5_beginning`) has its chain in the same entry or an earlier one after the last reset (or, when an acting
//! broker hands its chains over, already on its target's disk; when a client keeps its own checkpoints, on any), or went
//! because it was past its retention, or such a checkpoint tells it as acked. Each broker's log has the indexes 1, 2, 3...
//! without a gap, terms and times never fall, no place in it was ever durable with two contents, and every record in it is
//! understood. A slave's log is a prefix of its master's (see `p5_replicas`),
//! and has all that was confirmed when it acts (see `p5_acting`). What a later term has replaced is no part of a
//! log: it may not have been confirmed, so that no slave has it.

use std::ops::RangeInclusive;

use super::{Findings, Reads, p5_acting, p5_beginning, p5_replicas, p5_resets};
use crate::ledger::{GroupSpec, Ledger, LogStep, OffsetMove, Place};

/// More than any run stores in a queue: an offset that moves further was made up.
const LONGEST_MOVE: i64 = 1_000_000;

pub(super) fn check(ledger: &Ledger<'_>, _: &Reads<'_>, found: &mut Findings<'_>) {
    for step in &ledger.offsets {
        let subject = || format!("{} of {}/{}/{}", step.group, step.to.node, step.to.topic, step.to.queue);
        match step.from {
            Some(from) if step.to.offset < from => {
                found.broken(step.at_ms, subject(), format!("its offset fell from {from} to {}", step.to.offset));
            }
            _ => passed(ledger, step, found),
        }
    }
    for (node, entries) in &ledger.logs {
        log(ledger, node, entries, found);
    }
    p5_replicas::check(ledger, found);
    p5_acting::check(ledger, found);
    p5_resets::check(ledger, found);
    for (event, node, what) in &ledger.unknown {
        found.broken(ledger.at_ms(*event), node, format!("a durable record is not understood: {what}"));
    }
}

/// The messages that a move passes without a chain.
fn passed(ledger: &Ledger<'_>, step: &OffsetMove<'_>, found: &mut Findings<'_>) {
    let Some(group) = ledger.group(step.group) else { return };
    let is_normal = step.to.topic == group.topic;
    if !is_normal && !group.is_retry_topic(step.to.topic) {
        return;
    }
    let from = match step.from {
        Some(from) => from,
        None if is_normal && group.starts_at_end => return p5_beginning::check(ledger, (step, group), found),
        None => 0,
    };
    if step.to.offset - from > LONGEST_MOVE {
        return found.broken(step.at_ms, step.group, format!("its offset in {} jumps from {from}", step.to));
    }
    for offset in from..step.to.offset {
        let place = Place { offset, ..step.to };
        let Some(stored) = ledger.stored(&place).filter(|stored| stored.event <= step.event) else {
            found.broken(
                step.at_ms,
                step.group,
                format!("its offset {} passes {place}, which is not durable", step.to.offset),
            );
            continue;
        };
        if ledger.expired(stored).is_some_and(|event| event <= step.event) {
            continue; // gone before anybody came for it
        }
        let wants = !is_normal || group.wants(stored.message.property("TAGS"));
        if ledger.foreign.acked_within(place, &group.name).is_some_and(|event| event < step.event) {
            continue; // acked before there was a chain
        }
        if wants && !has_chain(ledger, group, place, step.since..=step.event) {
            let detail =
                format!("{}'s offset moved past {place} to {}, no chain stands for it", group.name, step.to.offset);
            found.stamped(step.at_ms, stored.message.ledger.as_ref(), place, detail);
        }
    }
}

pub(super) fn has_chain(ledger: &Ledger<'_>, group: &GroupSpec, place: Place<'_>, span: RangeInclusive<usize>) -> bool {
    let target = ledger.obligations.escapes.get(place.node).map(String::as_str);
    ledger.chains_of(place, &group.name).any(|life| {
        let is_foreign = ledger.foreign.popped_ms(life.id).is_some();
        let counts = life.node == place.node || Some(life.node) == target || is_foreign;
        counts && span.contains(&life.steps[0].event)
    })
}

fn log(ledger: &Ledger<'_>, node: &str, entries: &[LogStep<'_>], found: &mut Findings<'_>) {
    let (mut last_term, mut last_at_ms, mut next) = (0, i64::MIN, 1);
    for LogStep { event, entry } in entries {
        let (event, term, index) = (*event, entry.term, entry.index);
        let at_ms = ledger.at_ms(event);
        if index < next {
            found.broken(at_ms, node, format!("log index {index} was durable before with another content"));
        } else if index > next {
            found.broken(at_ms, node, format!("its log goes from index {} to {index}", next - 1));
        }
        if term < last_term {
            found.broken(at_ms, node, format!("at log index {index} the term falls from {last_term} to {term}"));
        }
        if entry.at_ms < last_at_ms {
            let fallen_ms = last_at_ms - entry.at_ms;
            found.broken(
                at_ms,
                node,
                format!("at log index {index} its clock is {fallen_ms} ms behind the entry before"),
            );
        }
        last_term = last_term.max(term);
        last_at_ms = last_at_ms.max(entry.at_ms);
        next = next.max(index + 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::Fact,
        oracles::fixture::{Story, chain},
    };

    fn offset(offset: i64) -> Fact {
        Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset }
    }

    #[test]
    fn a_move_with_its_chains_is_right() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let chain = story.pop("t", 0, 1, 0);
        story.absorb(&chain, 1, 0).holds();
    }

    #[test]
    fn a_move_without_a_chain_is_not() {
        let mut story = Story::new();
        story.send(1, 0).durable("a", vec![offset(1)]);
        story.durable("a", vec![chain("t", 0, 5).fact()]);
        story.breaks("P5", "no chain stands for it");
    }

    #[test]
    fn what_the_filter_leaves_out_needs_no_chain() {
        let mut story = Story::new();
        story.obligations.groups[0].tag_filter = "B".into();
        story.send(1, 0).durable("a", vec![offset(1)]);
        assert!(story.holds().reached.contains("filtered"));
    }

    #[test]
    fn after_a_reset_a_move_needs_new_chains() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let first = story.pop("t", 0, 1, 0);
        story.absorb(&first, 1, 0).reset(0, &[]).wait(10);
        let again = story.pop("t", 0, 1, 0);
        story.absorb(&again, 1, 0).holds();
        story.reset(0, &[]).durable("a", vec![offset(1)]);
        story.breaks("P5", "no chain stands for it");
    }

    #[test]
    fn a_topics_successor_begins_at_its_own_beginning() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let old = story.pop("t", 0, 1, 0);
        story.absorb(&old, 1, 0).delete_topic();
        story.create_topic().send(2, 0).wait(10);
        story.durable("a", vec![offset(1)]);
        story.breaks("P5", "no chain stands for it");
    }

    #[test]
    fn a_log_knows_no_earlier_time() {
        let mut story = Story::new();
        story.wait(10).send(1, 0);
        story.now_ms -= 5;
        story.durable("a", vec![]);
        story.breaks("P5", "its clock is 5 ms behind");
    }

    #[test]
    fn offsets_do_not_fall() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let chain = story.pop("t", 0, 1, 0);
        story.absorb(&chain, 1, 0).durable("a", vec![offset(0)]);
        story.breaks("P5", "its offset fell from 1 to 0");
    }

    #[test]
    fn offsets_do_not_pass_what_is_not_there() {
        let mut story = Story::new();
        story.durable("a", vec![offset(1)]);
        story.breaks("P5", "which is not durable");
    }

    #[test]
    fn logs_have_no_gap_and_no_second_truth() {
        let mut story = Story::new();
        story.durable("a", vec![]).durable("a", vec![]);
        let last = story.history.events.len() - 1;
        story.history.events.remove(last - 1);
        story.breaks("P5", "its log goes from index 1 to 3");

        let mut story = Story::new();
        story.durable("a", vec![]);
        let again = story.history.events[story.history.events.len() - 1].clone();
        story.history.events.push(again);
        story.breaks("P5", "durable before with another content");
    }

    #[test]
    fn strange_records_are_complained_of() {
        let mut story = Story::new();
        story.durable("a", vec![Fact::Unknown("new-thing".into())]);
        story.breaks("P5", "not understood: new-thing");
    }
}
