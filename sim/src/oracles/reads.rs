//! Remote reads at the wire, by whom they were made and what they were for.
//!
//! One PULL may serve several chains: it asks for a span of offsets, from the first one wanted to the last. So it is a
//! read of its first and its last message, whatever the disks say: whoever sends it stands for those. In between lie
//! messages that are wanted and others that only come along; it is a read of those whose chain is in an attempt, that
//! is durably begun, not concluded, and not read yet; but such a one only came along if a read of its own leaves before the
//! answer is there, or if its reader had not heard from its own slow disk yet that it is durable. An answer that ends before a
//! message is no read of it.
//!
//! A read whose master does not bring the message may go on at a slave, and at the next one: as long as no other attempt
//! begins, and no member is asked twice, that is one read, in several tries.

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
    /// The first try of each read.
    lists: Vec<Vec<&'h Pull<'h>>>,
    /// All tries of all reads, by list.
    tries: Vec<Vec<&'h Pull<'h>>>,
    /// Pulls of which nobody can tell whether their answers told of a message, because they arrived damaged.
    unclear: Vec<(Place<'h>, &'h Pull<'h>)>,
}

/// Whether some chain of the message there durably began an attempt at the reader's between two pulls.
fn begins(ledger: &Ledger<'_>, place: Place<'_>, last: &Pull<'_>, pull: &Pull<'_>) -> bool {
    let between = last.call.event..pull.call.event;
    let groups = ledger.obligations.groups.iter();
    let lives = groups.flat_map(|group| ledger.chains_at(place, &group.name));
    lives.filter(|life| life.node == pull.call.from).any(|life| {
        let known = life.steps.partition_point(|step| step.event < between.start);
        let before = known.checked_sub(1).map_or(0, |at| life.steps[at].chain.attempt);
        life.steps[known..].iter().take_while(|step| step.event < between.end).any(|step| step.chain.attempt > before)
    })
}

/// Whether the reader may not have heard yet, when a pull left, that an attempt of the message there is durable: a slow disk
/// tells of it after it is.
fn may_not_know(ledger: &Ledger<'_>, place: Place<'_>, pull: &Pull<'_>) -> bool {
    let (home, left_ms) = (pull.call.from, pull.call.at_ms);
    let groups = ledger.obligations.groups.iter();
    let lives = groups.flat_map(|group| ledger.chains_at(place, &group.name));
    lives.filter(|life| life.node == home).any(|life| {
        let begun = ledger.confirmed_steps(life, pull.call.event).last();
        begun.is_some_and(|begun| begun.at_ms + ledger.obligations.writes_within_ms(home) > left_ms)
    })
}

/// Whether a pull asks for a message for its own sake: messages between its ends may only come along.
fn is_end_of(pull: &Pull<'_>, offset: i64) -> bool {
    let span = pull.offsets();
    offset == *span.start() || offset == *span.end()
}

impl<'l> Reads<'l> {
    pub(super) fn of(ledger: &'l Ledger<'_>) -> Self {
        let by_place = FxHashMap::default();
        let mut reads = Self { by_place, lists: Vec::new(), tries: Vec::new(), unclear: Vec::new() };
        let is_broker = |name: &str| ledger.obligations.brokers.iter().any(|broker| broker == name);
        for pull in ledger.wire.pulls.iter().filter(|pull| is_broker(pull.call.from)) {
            let span = pull.offsets();
            for offset in span.clone() {
                // A pull names no topic's creation: it is a read of whatever ever was there.
                let place = Place { node: pull.call.to, topic: &pull.topic, queue: pull.queue, offset, era: 0 };
                if pull.ended_before(offset) {
                    if pull.is_damaged {
                        reads.unclear.push((place, pull));
                    }
                    continue;
                }
                if reads.goes_on(ledger, place, pull) {
                    continue;
                }
                let is_end = is_end_of(pull, offset);
                if is_end {
                    reads.forget_what_came_along(ledger, place, pull);
                }
                if is_end || reads.is_awaited(ledger, place, pull) {
                    reads.add(place, pull);
                }
            }
        }
        reads
    }

    fn add(&mut self, place: Place<'l>, pull: &'l Pull<'l>) {
        let list = *self.by_place.entry((pull.call.from, place)).or_insert(self.lists.len());
        if list == self.lists.len() {
            self.lists.push(Vec::new());
            self.tries.push(Vec::new());
        }
        self.lists[list].push(pull);
        self.tries[list].push(pull);
    }

    /// The last read of this place is none if it reached out for others, and this one, which is for it, leaves for the same
    /// attempt while nobody knows what that one brings, or if nobody at the reader's knew of the attempt.
    fn forget_what_came_along(&mut self, ledger: &Ledger<'_>, place: Place<'l>, pull: &Pull<'_>) {
        let Some(&list) = self.by_place.get(&(pull.call.from, place)) else { return };
        let came_along = |last: &&Pull<'_>| {
            let is_answered = last.call.answer.is_some_and(|(event, _)| event < pull.call.event);
            let only_reached_out = !is_answered || may_not_know(ledger, place, last);
            !is_end_of(last, place.offset) && only_reached_out && !begins(ledger, place, last, pull)
        };
        if self.lists[list].last().is_some_and(came_along) {
            let last = self.lists[list].pop().map_or(0, |last| last.call.event);
            self.tries[list].retain(|before| before.call.event < last);
        }
    }

    /// Takes the pull for another try of the last read of this place, if it is one.
    fn goes_on(&mut self, ledger: &Ledger<'_>, place: Place<'l>, pull: &'l Pull<'l>) -> bool {
        let Some(&list) = self.by_place.get(&(pull.call.from, place)) else { return false };
        let first = self.lists[list].last().map_or(0, |first| first.call.event);
        let mut tries = self.tries[list].iter().rev().take_while(|before| before.call.event >= first);
        let is_asked = tries.clone().any(|before| before.call.server == pull.call.server);
        let Some(last) = tries.next().filter(|_| !is_asked) else { return false };
        let has_brought = last.call.answer.is_some_and(|(event, code)| code == 0 && event < pull.call.event)
            && last.brought.1.is_some_and(|highest| place.offset <= highest);
        let is_late = pull.call.at_ms.saturating_sub(last.call.at_ms) > ATTEMPT_MS;
        let goes_on = !has_brought && !is_late && !begins(ledger, place, last, pull);
        if goes_on {
            self.tries[list].push(pull);
        }
        goes_on
    }

    /// Some chain of the message there is in an attempt that no read has been made for yet.
    fn is_awaited(&self, ledger: &Ledger<'_>, place: Place<'_>, pull: &Pull<'_>) -> bool {
        let home = pull.call.from;
        let last_read = self.at(home, place).last().map_or(0, |last| last.call.event);
        let begun = |life: &ChainLife<'_>| {
            // Nothing is read for an attempt that is not confirmed.
            let known = ledger.confirmed_steps(life, pull.call.event);
            let Some((step, earlier)) = known.split_last() else { return false };
            let before = earlier.last().map_or(0, |step| step.chain.attempt);
            let since = ledger.confirmed(home, step.entry.index, step.event).unwrap_or(step.event);
            let is_fresh = pull.call.at_ms.saturating_sub(ledger.at_ms(since)) <= ATTEMPT_MS && since > last_read;
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

    /// Pulls that may have been reads of a chain's message by its home: their answers arrived damaged.
    pub(super) fn unclear_of_chain(&self, life: &ChainLife<'_>) -> impl Iterator<Item = &&'l Pull<'l>> {
        let is_it = move |(place, pull): &&(Place<'_>, &Pull<'_>)| {
            pull.call.from == life.node && *place == life.origin().spot()
        };
        self.unclear.iter().filter(is_it).map(|(_, pull)| pull)
    }

    /// The same with every try of each.
    pub(super) fn tries_of_chain(&self, life: &ChainLife<'_>) -> &[&'l Pull<'l>] {
        let list = self.by_place.get(&(life.node, life.origin().spot())).copied();
        list.map_or(&[], |list| &self.tries[list])
    }

    /// All, by reader and place, in no order that may be shown.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'l str, Place<'l>, &[&'l Pull<'l>])> {
        self.by_place.iter().map(|((home, place), list)| (*home, *place, self.lists[*list].as_slice()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{ChainFact, ChainId, Outcome, frame::code},
        history::EventKind,
        oracles::{
            Violation,
            fixture::{Story, chain, encode},
        },
    };

    /// `b` is home of a chain about `a`'s message and has begun its first attempt; `a` has a slave.
    fn begun() -> (Story, ChainFact) {
        let mut story = Story::with_slave();
        story.obligations.escapes.insert("a".into(), "b".into());
        story.send(1, 0).wait(10);
        let chain = chain("t", 0, story.now_ms);
        story.durable("b", vec![chain.clone().fact()]).wait(10_000);
        let begun = chain.attempt(1).open(story.now_ms + 20_000);
        story.durable("b", vec![begun.clone().fact()]);
        (story, begun)
    }

    fn reads_are_blamed(mut story: Story, chain: ChainFact) -> bool {
        story.durable("b", vec![chain.clone().ended(Outcome::Acked).fact()]);
        story.ack(&chain, 1, 0, crate::history::Seen::Unknown { cause: "x".into() });
        let is_it = |it: &Violation| it.detail.contains("attempts are durable") || it.detail.contains("reads again");
        story.judge().violations.iter().any(is_it)
    }

    #[test]
    fn a_read_that_goes_on_at_a_slave_is_one() {
        let (mut story, chain) = begun();
        story.read(0);
        story.wait(5_000).read_slave(0);
        assert!(!reads_are_blamed(story, chain));
    }

    #[test]
    fn no_member_is_asked_twice() {
        let (mut story, chain) = begun();
        story.read(0);
        story.wait(10).read_slave(0);
        story.wait(10).read_slave(0);
        assert!(reads_are_blamed(story, chain));
    }

    #[test]
    fn what_was_found_is_not_asked_for_elsewhere() {
        for found in [true, false] {
            let (mut story, chain) = begun();
            let call = story.read(0);
            let body = if found { crate::oracles::fixture::encode(&story.stored_message(0)) } else { Vec::new() };
            story.wait(10).response(("a", "b", call), (code::PULL, if found { 0 } else { 19 }), &[], &body);
            story.wait(10).read_slave(0);
            assert_eq!(reads_are_blamed(story, chain), found);
        }
    }

    #[test]
    fn what_arrives_damaged_may_have_ended_before_a_message() {
        for damaged in [false, true] {
            let (mut story, first) = begun();
            story.send(2, 1);
            let second = ChainFact { id: ChainId { offset: 1, ..first.id.clone() }, ..first.clone() };
            story.durable("b", vec![second.fact()]);
            let call = story.read_span(0, 2);
            let body = [0, 1].map(|offset| encode(&story.stored_message(offset))).concat();
            story.wait(10).response(("a", "b", call), (code::PULL, 0), &[], &body);
            if damaged {
                story.event(EventKind::Fault { index: Some(0), text: "damaged-answer (cut): a→b".into() });
            }
            story.wait(10).read(1);
            let blamed = story.judge().violations.iter().any(|it| it.detail.contains("1 attempts are durable"));
            assert_eq!(blamed, !damaged);
        }
    }

    #[test]
    fn a_message_between_others_only_came_along_if_its_own_read_leaves_at_once_or_nobody_knew_of_it() {
        // Answered, and on a disk that takes so long to tell what is durable, ms.
        for (is_answered, slow_ms, is_blamed) in [(false, 0, false), (true, 0, true), (true, 5, false)] {
            let (mut story, _) = begun();
            story.obligations.slow_syncs_ms.extend((slow_ms > 0).then(|| ("b".to_owned(), slow_ms)));
            story.send(2, 1).send(3, 2).wait(10);
            let between = chain("t", 1, story.now_ms);
            story.durable("b", vec![between.clone().fact()]).wait(10_000);
            let between = between.attempt(1).open(story.now_ms + 20_000);
            story.durable("b", vec![between.clone().fact()]);
            let call = story.read_span(0, 3);
            if is_answered {
                let body = [0, 1, 2].map(|offset| encode(&story.stored_message(offset))).concat();
                story.response(("a", "b", call), (code::PULL, 0), &[], &body);
            }
            story.read(1);
            let blamed = story.judge().violations.iter().any(|it| it.detail.contains("read 2 by b leaves"));
            assert_eq!(blamed, is_blamed, "answered: {is_answered}, {slow_ms} ms");
        }
    }

    #[test]
    fn another_attempt_is_another_read() {
        let (mut story, chain) = begun();
        story.read(0);
        let failed = chain.failed("timeout").open(story.wait(10).now_ms + 1000);
        story.durable("b", vec![failed.clone().fact()]).wait(500);
        let again = failed.attempt(2).open(story.now_ms + 20_000);
        story.durable("b", vec![again.clone().fact()]).read_slave(0);
        assert!(reads_are_blamed(story, again), "it comes 510 ms after the first");
    }
}
