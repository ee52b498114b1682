//! Part of P4: reads at the wire follow durable attempts, and keep their distance.
//!
//! Rule: two reads of one chain in one round are as far apart as the wait between them, unless the peer is back (see
//! `waiting`), and the k-th read of a message comes after k durable attempts. A read of several messages is one of each (see
//! `reads`). Whatever an attempt asks for in parts, it asks for within [`READ_MS`].

use super::{Findings, Reads, p4_every_chain_ends::ATTEMPT_LIMIT_MS, waiting};
use crate::{
    evidence::{ChainFact, ChainState, Outcome},
    history::EventKind,
    ledger::{
        ChainLife, Ledger, Place,
        wire::{Call, Pull},
    },
};

/// How much a wait may fall short: clocks count whole milliseconds, and the frame leaves after the decision.
const SLACK_MS: i64 = 50;

/// After the beginning of an attempt no read of it leaves later, ms: a route look-up, a read's time, and a commit.
const READ_MS: u64 = 14_000;

pub(super) fn check(ledger: &Ledger<'_>, reads: &Reads<'_>, found: &mut Findings<'_>) {
    for (home, place, pulls) in reads.all() {
        let lives: Vec<_> = lives_at(ledger, home, place);
        let stamp = ledger.stored(&place).and_then(|stored| stored.message.ledger.as_ref());
        let hurried = hurried(ledger, &lives, pulls, home);
        for (at_ms, detail) in unannounced(ledger, &lives, pulls, home).chain(hurried) {
            found.stamped(at_ms, stamp, place, detail);
        }
    }
    for pull in &ledger.wire.pulls {
        if let Some(late_ms) = late(ledger, pull) {
            let (topic, queue, offset) = (&pull.topic, pull.queue, pull.offset);
            let detail = format!("it asks for {topic}/{queue}/{offset} {late_ms} ms after the attempt began");
            found.broken(pull.call.at_ms, pull.call.from, detail);
        }
    }
}

/// The last attempt that a pull can be for: its entry's position, and when its home knew that it is confirmed, simulated ms.
pub(super) fn last_attempt(ledger: &Ledger<'_>, pull: &Pull<'_>) -> Option<(usize, u64)> {
    let call = &pull.call;
    let place = Place { node: call.to, topic: &pull.topic, queue: pull.queue, offset: pull.offset, era: 0 };
    let begun = lives_at(ledger, call.from, place).into_iter().filter_map(|life| {
        let known = &life.steps[..life.steps.partition_point(|step| step.event < call.event)];
        known.iter().rev().find(|step| step.chain.attempt > 0 && matches!(step.chain.state, ChainState::Open { .. }))
    });
    let last = begun.max_by_key(|step| step.event)?;
    let told_ms = ledger.told_ms(call.from, last.entry.index, last.event).unwrap_or(call.at_ms);
    Some((last.event, told_ms.max(last.at_ms)))
}

/// How long after the last attempt began that it can be for a read leaves, if that is too long.
fn late(ledger: &Ledger<'_>, pull: &Pull<'_>) -> Option<u64> {
    let (call, (begun, began_ms)) = (&pull.call, last_attempt(ledger, pull)?);
    let stood_ms = ledger.stood_ms(call.from, began_ms, call.at_ms);
    let may_take_ms = READ_MS + ledger.obligations.writes_within_ms(call.from) + stood_ms;
    let late_ms = call.at_ms.saturating_sub(began_ms);
    let was_hit = ledger.history.events[begun..call.event].iter().any(|event| match &event.kind {
        EventKind::Node { node, .. } => node == call.from,
        _ => false,
    });
    (late_ms > may_take_ms && !was_hit).then_some(late_ms)
}

fn lives_at<'l, 'h>(ledger: &'l Ledger<'h>, home: &str, place: Place<'_>) -> Vec<&'l ChainLife<'h>> {
    let groups = ledger.obligations.groups.iter();
    groups.flat_map(|group| ledger.chains_at(place, &group.name)).filter(|life| life.node == home).collect()
}

/// Reads that no durable attempt stands for.
fn unannounced<'a, 'h>(
    ledger: &'a Ledger<'h>,
    lives: &'a [&ChainLife<'h>],
    pulls: &'a [&Pull<'_>],
    home: &'a str,
) -> impl Iterator<Item = (u64, String)> + 'a {
    (1_u32..).zip(pulls).filter_map(move |(count, pull)| {
        let durable: u32 = lives.iter().map(|life| attempts_before(ledger, life, pull.call.event)).sum();
        (count > durable)
            .then(|| (pull.call.at_ms, format!("read {count} by {home} leaves, {durable} attempts are durable")))
    })
}

/// Attempts that were durable, on as many disks as the degree says, before `event`, over all rounds.
fn attempts_before<'h>(ledger: &Ledger<'h>, life: &ChainLife<'h>, event: usize) -> u32 {
    let mut attempts = 0;
    let known = ledger.confirmed_steps(life, event);
    for (at, step) in known.iter().enumerate() {
        let ends_round = known.get(at + 1).is_none_or(|next| next.chain.round != step.chain.round);
        if ends_round {
            attempts += step.chain.attempt;
        }
    }
    attempts
}

/// Reads that come too soon after the one before.
fn hurried(ledger: &Ledger<'_>, lives: &[&ChainLife<'_>], pulls: &[&Pull<'_>], home: &str) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    for pair in pulls.windows(2) {
        let (first, second) = (pair[0].call, pair[1].call);
        let (Some(old), Some(new)) = (sole_reader(ledger, lives, first), sole_reader(ledger, lives, second)) else {
            continue;
        };
        if old.id != new.id || old.round != new.round {
            continue;
        }
        let wait = ledger.obligations.policy.shortest_wait_ms(old.attempt);
        let gap = i64::try_from(second.at_ms.saturating_sub(first.at_ms)).unwrap_or(i64::MAX);
        // Over a restart only the wall clock tells how long it has waited.
        let gap = gap.saturating_add(ledger.gained(home, first.event..second.event));
        let is_cut_short = || waiting::is_back(ledger, (home, first.to), first.event..second.event, wait);
        if gap + SLACK_MS < wait && !is_cut_short() {
            let detail =
                format!("{home} reads again after {gap} ms, the wait after attempt {} is {wait} ms", old.attempt);
            found.push((second.at_ms, detail));
        }
    }
    found
}

/// The one chain that a read at `event` can be for; reads for several groups at once say nothing about waits.
fn sole_reader<'h>(ledger: &Ledger<'h>, lives: &[&ChainLife<'h>], call: Call<'_>) -> Option<&'h ChainFact> {
    let mut readers = lives.iter().filter_map(|life| reader(ledger, life, call));
    let reader = readers.next()?;
    readers.next().is_none().then_some(reader)
}

/// The chain, if the read can be for it: it is open, or was acked or renewed while an attempt was under way, whose read
/// may leave after that.
fn reader<'h>(ledger: &Ledger<'h>, life: &ChainLife<'h>, call: Call<'_>) -> Option<&'h ChainFact> {
    let known = &life.steps[..life.steps.partition_point(|step| step.event < call.event)];
    let (last, earlier) = known.split_last()?;
    match &last.chain.state {
        ChainState::Open { .. } => (last.chain.attempt > 0).then_some(last.chain),
        ChainState::Ended { outcome: Outcome::Acked | Outcome::Superseded(_) | Outcome::Reset, .. } => {
            let [.., idle, begun] = earlier else { return None };
            let has_begun = matches!(begun.chain.state, ChainState::Open { .. })
                && (begun.chain.round, begun.chain.attempt) == (idle.chain.round, idle.chain.attempt + 1)
                && call.at_ms <= begun.at_ms + ATTEMPT_LIMIT_MS;
            let lives_on = ledger.history.events[begun.event..call.event].iter().all(|event| match &event.kind {
                EventKind::Node { node, event } => node != life.node || (event != "killed" && event != "crashed"),
                _ => true,
            });
            (has_begun && lives_on).then_some(last.chain)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{ChainFact, Outcome},
        oracles::fixture::{Story, chain},
    };

    /// The chain is acked.
    fn end(story: &mut Story, chain: &ChainFact) {
        story.durable("b", vec![chain.clone().ended(Outcome::Acked).fact()]);
    }

    #[test]
    fn reads_are_spaced() {
        let (mut story, chain) = Story::due();
        let chain = story.attempt(chain, 1000);
        story.wait(500);
        let chain = story.attempt(chain, 2000);
        end(&mut story, &chain);
        story.breaks("P4", "b reads again after 510 ms");
    }

    #[test]
    fn a_wait_over_a_restart_is_as_long_as_the_clock_says() {
        for (ms, blamed) in [(600, false), (300, true), (-600, true)] {
            let (mut story, chain) = Story::due();
            let chain = story.attempt(chain, 1000);
            story.wait(500).event(crate::history::EventKind::ClockGained { node: "b".into(), ms });
            let chain = story.attempt(chain, 2000);
            end(&mut story, &chain);
            assert_eq!(story.is_blamed("P4", "b reads again after"), blamed, "its clock gained {ms} ms");
        }
    }

    /// Two groups' chains on one message; the other group's is acked before the reads leave, in the middle of its own
    /// attempt or before it has begun one.
    fn acked_before_the_reads(other_has_begun: bool) -> Vec<String> {
        let (mut story, chain) = Story::due();
        let mut second = story.obligations.groups[0].clone();
        second.name = "h".into();
        story.obligations.groups.push(second);
        let mut other = chain.clone();
        other.id.group = "h".into();
        story.durable("b", vec![other.clone().fact()]);
        let begun = chain.attempt(1).open(story.now_ms + 20_000);
        other = if other_has_begun { other.attempt(1).open(story.now_ms + 20_000) } else { other };
        story.durable("b", vec![begun.fact(), other.clone().fact()]);
        story.durable("b", vec![other.ended(Outcome::Acked).fact()]);
        story.read(0);
        story.read(0);
        story.judge().violations.into_iter().map(|violation| violation.detail).collect()
    }

    #[test]
    fn a_read_may_be_for_a_chain_that_was_acked_in_the_middle_of_its_attempt() {
        let hurried = |details: &[String]| details.iter().any(|detail| detail.contains("b reads again after 0 ms"));
        assert!(!hurried(&acked_before_the_reads(true)));
        assert!(hurried(&acked_before_the_reads(false)));
    }

    #[test]
    fn a_read_comes_after_its_durable_attempt() {
        let (mut story, chain) = Story::due();
        story.read(0);
        end(&mut story, &chain);
        story.breaks("P4", "0 attempts are durable");
    }

    #[test]
    fn what_is_asked_for_in_parts_is_asked_for_in_time() {
        for (after_ms, blamed) in [(super::READ_MS - 10, false), (super::READ_MS + 10, true)] {
            let (mut story, chains) = three_due();
            begin(&mut story, &chains, &[0, 1, 2]);
            story.read_span(0, 3);
            story.wait(after_ms).read_span(1, 2);
            assert_eq!(story.is_blamed("P4", "after the attempt began"), blamed, "{after_ms} ms");
        }
    }

    /// `b` is home of chains about `a`'s messages 0 to 2, all due.
    fn three_due() -> (Story, Vec<ChainFact>) {
        let mut story = Story::new();
        story.obligations.escapes.insert("a".into(), "b".into());
        for number in 0..3_u32 {
            story.send(number, number.into());
        }
        let chains: Vec<_> = (0..3).map(|offset| chain("t", offset, story.now_ms)).collect();
        story.durable("b", chains.iter().map(|chain| chain.clone().fact()).collect()).wait(10_000);
        (story, chains)
    }

    /// Makes an attempt of some of the chains durable.
    fn begin(story: &mut Story, chains: &[ChainFact], which: &[usize]) {
        let due_ms = story.now_ms + 20_000;
        let begun = |at: &usize| chains[*at].clone().attempt(chains[*at].attempt + 1).open(due_ms).fact();
        story.durable("b", which.iter().map(begun).collect());
    }

    #[test]
    fn one_read_serves_several_chains_and_stands_for_its_ends() {
        for (begun, blamed) in [(vec![0, 1, 2], false), (vec![0, 2], false), (vec![0, 1], true), (vec![1, 2], true)] {
            let (mut story, chains) = three_due();
            begin(&mut story, &chains, &begun);
            story.read_span(0, 3);
            assert_eq!(story.is_blamed("P4", "0 attempts are durable"), blamed, "{begun:?}");
        }
    }

    #[test]
    fn each_of_several_messages_is_read_again_only_after_its_wait() {
        let (mut story, chains) = three_due();
        begin(&mut story, &chains, &[0, 1, 2]);
        story.read_span(0, 3);
        let failed: Vec<_> = chains.into_iter().map(|it| it.attempt(1).failed("timeout")).collect();
        let due_ms = story.wait(10).now_ms + 1000;
        story.durable("b", failed.iter().map(|it| it.clone().open(due_ms).fact()).collect()).wait(500);
        begin(&mut story, &failed, &[1]);
        story.read_span(1, 1);
        assert!(story.is_blamed("P4", "b reads again after 510 ms"));
    }

    #[test]
    fn what_a_cut_answer_did_not_reach_is_asked_for_again_at_once() {
        for (brought, blamed) in [(vec![0], false), (vec![0, 1, 2], true)] {
            let (mut story, chains) = three_due();
            begin(&mut story, &chains, &[0, 1, 2]);
            let opaque = story.read_span(0, 3);
            let bodies: Vec<u8> = brought
                .iter()
                .flat_map(|offset| crate::oracles::fixture::encode(&story.stored_message(*offset)))
                .collect();
            story.response(("a", "b", opaque), (crate::evidence::frame::code::PULL, 0), &[], &bodies);
            story.read_span(1, 2);
            assert_eq!(story.is_blamed("P4", "1 attempts are durable"), blamed, "{brought:?}");
        }
    }
}
