//! Part of P8: messages that lie side by side and fall due together are read together.
//!
//! Rule: of the chains whose attempts begin in one log entry, those about messages of one queue of another broker that lie
//! side by side (each at most [`GAP`] after the one before, all within [`SPAN`], no more than [`CHAINS`]) are asked for by one
//! read, as far as they are asked for before the last of their attempts has come to something, and by the same process:
//! whoever begins anew takes up each when its own wait is over.

use std::{collections::BTreeMap, ops::Range};

use rustc_hash::FxHashMap;

use super::Findings;
use crate::{
    evidence::ChainState,
    ledger::{ChainLife, Ledger, wire::Pull},
};

/// Two neighbours are at most so far apart.
const GAP: i64 = 8;

/// The offsets that one read asks for at most.
const SPAN: i64 = 32;

/// How many chains a read is for at most; several groups may wait for the same message.
const CHAINS: usize = 64;

/// Broker that reads, broker that is read from, topic and queue.
type Way<'l> = (&'l str, &'l str, &'l str, i32);

/// An attempt of a chain: the offset that it needs, and before which event it has come to something.
struct Attempt {
    offset: i64,
    until: usize,
}

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut pulls: FxHashMap<Way<'_>, Vec<&Pull<'_>>> = FxHashMap::default();
    for pull in &ledger.wire.pulls {
        let way = (pull.call.from, pull.call.to, pull.topic.as_str(), pull.queue);
        pulls.entry(way).or_default().push(pull);
    }
    for ((way, event), mut attempts) in attempts(ledger) {
        let Some(pulls) = pulls.get(&way) else { continue };
        attempts.sort_by_key(|attempt| attempt.offset);
        let runs = attempts.chunk_by(|one, next| next.offset - one.offset <= GAP);
        let needed: i64 = runs.map(needed).sum();
        let until = attempts.iter().map(|attempt| attempt.until).max().unwrap_or(event);
        let position = |event: usize| pulls.partition_point(|pull| pull.call.event < event);
        let made = |until| made(&attempts, &pulls[position(event)..position(until)]);
        // The end of a process is far to look for, and seldom matters.
        let by_its_process = || made(begins_anew(ledger, way.0, event..until).unwrap_or(until));
        if made(until) > needed && by_its_process() > needed {
            let (chains, made) = (attempts.len(), by_its_process());
            let (home, owner, topic, queue) = way;
            let detail = format!("{made} reads of {owner}/{topic}/{queue} for {chains} messages, {needed} would do");
            found.broken(ledger.at_ms(event), home, detail);
        }
    }
}

/// The first event at which the home begins anew.
fn begins_anew(ledger: &Ledger<'_>, home: &str, within: Range<usize>) -> Option<usize> {
    let events = &ledger.history.events[within.start..within.end.min(ledger.history.events.len())];
    events.iter().position(|event| event.kind.begins(home)).map(|after| within.start + after)
}

/// The fewest of these reads that can have brought what the attempts asked for, which lie in the order of their offsets: another
/// chain about the same message may have a read of its own.
fn made(mut attempts: &[Attempt], pulls: &[&Pull<'_>]) -> i64 {
    let mut made = 0;
    while let Some(first) = attempts.first() {
        let serving = pulls.iter().map(|pull| pull.offsets()).filter(|offsets| offsets.contains(&first.offset));
        let served_to = serving.map(|offsets| *offsets.end()).max();
        made += i64::from(served_to.is_some());
        let served = attempts.partition_point(|attempt| attempt.offset <= served_to.unwrap_or(first.offset));
        attempts = &attempts[served..];
    }
    made
}

/// How many reads neighbours need.
fn needed(run: &[Attempt]) -> i64 {
    let span = run.last().map_or(0, |last| last.offset) - run.first().map_or(0, |first| first.offset);
    1 + span / SPAN + i64::try_from(run.len() / CHAINS).unwrap_or(i64::MAX)
}

/// The attempts that begin together with others that need the same queue, by the entry in which they do.
fn attempts<'l>(ledger: &'l Ledger<'_>) -> BTreeMap<(Way<'l>, usize), Vec<Attempt>> {
    let mut attempts: BTreeMap<_, Vec<Attempt>> = BTreeMap::new();
    for life in ledger.chains.iter().filter(|life| life.node != life.id.broker) {
        for number in 0..life.steps.len() {
            if begins(life, number) {
                let id = life.id;
                let way = (life.node, &*id.broker, &*id.topic, id.queue);
                let until = life.steps.get(number + 1).map_or(usize::MAX, |next| next.event);
                let begun = attempts.entry((way, life.steps[number].event)).or_default();
                begun.push(Attempt { offset: id.offset, until });
            }
        }
    }
    attempts.retain(|_, begun| begun.len() > 2);
    attempts
}

/// Whether the chain's step is the beginning of an attempt to read.
fn begins(life: &ChainLife<'_>, number: usize) -> bool {
    let now = life.steps[number].chain;
    let before = number.checked_sub(1).map_or(0, |before| life.steps[before].chain.attempt);
    matches!(now.state, ChainState::Open { .. }) && now.attempt > before
}

#[cfg(test)]
mod tests {
    use crate::{
        history::EventKind,
        oracles::fixture::{Story, chain},
    };

    /// Chains of these messages of `a`'s fall due together at `b`, which asks for them by these reads: offset and how many.
    fn is_blamed(offsets: &[i64], reads: impl IntoIterator<Item = (i64, i64)>) -> bool {
        is_blamed_after(offsets, None, reads)
    }

    /// The same, if something happens to `b` before it asks.
    fn is_blamed_after(
        offsets: &[i64],
        happens: Option<EventKind>,
        reads: impl IntoIterator<Item = (i64, i64)>,
    ) -> bool {
        let mut story = Story::new();
        let chains: Vec<_> = offsets.iter().map(|offset| chain("t", *offset, story.now_ms)).collect();
        story.durable("b", chains.iter().map(|chain| chain.clone().fact()).collect()).wait(10_000);
        let due_ms = story.now_ms + 17_000;
        story.durable("b", chains.iter().map(|chain| chain.clone().attempt(1).open(due_ms).fact()).collect());
        happens.map(|kind| story.event(kind));
        for (first, count) in reads {
            story.wait(1).read_span(first, count);
        }
        story.is_blamed("P8", "would do")
    }

    #[test]
    fn neighbours_are_read_together() {
        let one_by_one = || (0..5).map(|offset| (offset, 1));
        assert!(!is_blamed(&[0, 1, 2, 3, 4], [(0, 5)]) && is_blamed(&[0, 1, 2, 3, 4], one_by_one()));
        assert!(!is_blamed(&[0, 100, 200], [(0, 1), (100, 1), (200, 1)]), "they lie far apart");
        let many: Vec<i64> = (0..64).collect();
        assert!(!is_blamed(&many, [(0, 32), (32, 32)]) && is_blamed(&many, (0..4).map(|part| (part * 16, 16))));
    }

    #[test]
    fn whoever_begins_anew_takes_up_each_by_itself() {
        let node = |event: &str| Some(EventKind::Node { node: "b".into(), event: event.into() });
        let one_by_one = || (0..5).map(|offset| (offset, 1));
        assert!(!is_blamed_after(&[0, 1, 2, 3, 4], node("started"), one_by_one()));
        assert!(is_blamed_after(&[0, 1, 2, 3, 4], node("paused"), one_by_one()));
    }

    #[test]
    fn what_others_ask_for_besides_does_not_count() {
        assert!(!is_blamed(&[0, 1, 2, 3, 4], [(0, 5), (2, 1), (0, 2), (3, 7)]));
        assert!(is_blamed(&[0, 1, 2, 3, 4], [(0, 3), (2, 3)]));
    }
}
