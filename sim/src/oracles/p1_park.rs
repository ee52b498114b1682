//! When a park is believed: an operator must not be told "given up" by a broker that did not try.
//!
//! A policy is used up when all its attempts were made durable, or its total time has run; time in which the chain was
//! due and nobody tried does not count, unless it is as long as the whole policy and the peer was away all the while
//! (see `waiting`). An attempt need not show at the wire (nobody listens, a connect hangs, the home dies), so failures are
//! told apart: one caused by an answer needs a read that left, any other needs that something was broken at all. A permanent
//! reason needs as many reads of this round, the last ones since it was renewed, as the policy asks for, that the master answered so, for a slave
//! is no authority; an answer made up by the network never leaves a server, so an unanswered read in disturbed time is
//! believed. A chain whose message lies on the same disk has no reason to be parked, except that the store refused the copy.

use super::{Findings, Reads, waiting};
use crate::{
    evidence::{ChainFact, ChainState, FailedAttempt, ParkReason},
    ledger::{ChainLife, ChainStep, Ledger, wire::Pull},
};

/// Causes that no retry can change, as they are recorded.
const FOR_GOOD: [&str; 5] = ["no-permission", "topic-unknown", "group-unknown", "bad-request", "beyond-end"];

/// Answers that no retry can change: offset moved, no permission, no topic, no group, invalid parameter.
const PERMANENT: [i32; 5] = [16, 17, 21, 26, 29];

/// Causes that come from no answer.
const UNANSWERED: [&str; 7] = ["timeout", "refused", "reset", "no-route", "overloaded", "local-store", "away"];

/// The parks of chains that went on afterwards.
pub(super) fn check_resumed(ledger: &Ledger<'_>, reads: &Reads<'_>, found: &mut Findings<'_>) {
    for life in &ledger.chains {
        for (at, pair) in life.steps.windows(2).enumerate() {
            let ChainState::Parked { reason, .. } = &pair[0].chain.state else { continue };
            if matches!(pair[1].chain.state, ChainState::Parked { .. }) {
                continue;
            }
            let until = ChainLife { node: life.node, id: life.id, era: life.era, steps: life.steps[..=at].to_vec() };
            if let Err(why) = check(ledger, reads, &until, reason) {
                let stamp = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
                found.stamped(pair[0].at_ms, stamp, format!("chain {}", life.id), why);
            }
        }
    }
}

/// Whether a chain that ends parked was parked for a good reason.
pub(super) fn check(
    ledger: &Ledger<'_>,
    reads: &Reads<'_>,
    life: &ChainLife<'_>,
    reason: &ParkReason,
) -> Result<(), String> {
    let chain = life.last();
    let parked = life.steps[life.steps.len() - 1].event;
    let began = life.steps.iter().find(|step| step.chain.round == chain.round).map_or(0, |step| step.event);
    let told = |why: String| format!("chain {} parked at {}: {why}", life.id, life.node);
    let failures: Vec<_> = of_its_own(life, chain).iter().filter(|failed| failed.round == chain.round).collect();
    let cause = failures.last().map(|failed| failed.failure.cause.name.as_str());
    match cause {
        Some("local-store") => return Ok(()),
        Some("away") => return waiting::was_in_vain(ledger, life).map_err(told),
        _ => {}
    }
    let is_local = life.node == life.id.broker && ledger.stored(&life.origin()).is_some();
    let in_round = |pull: &&&Pull<'_>| (began..=parked).contains(&pull.call.event);
    let of_chain = || reads.of_chain(life).iter().chain(reads.unclear_of_chain(life));
    let left = || of_chain().filter(in_round).count();
    match reason {
        ParkReason::UnknownAt { .. } if is_used_up(ledger, life) => Ok(()),
        ParkReason::PolicyExhausted | ParkReason::Permanent if is_local => {
            Err(told("its message lies on the same disk".into()))
        }
        ParkReason::PolicyExhausted | ParkReason::UnknownAt { .. } if !is_used_up(ledger, life) => {
            Err(told(format!("{} attempts of {} were made", chain.attempt, ledger.obligations.policy.attempts())))
        }
        ParkReason::Permanent if !cause.is_some_and(|cause| FOR_GOOD.contains(&cause)) => {
            Err(told(format!("for good, because of {}", cause.unwrap_or("nothing"))))
        }
        ParkReason::Permanent => {
            let answered = |pull: &&Pull<'_>| match pull.call.answer {
                Some((event, code)) if event <= parked && !pull.call.is_to_slave() => PERMANENT.contains(&code),
                Some((event, _)) if event <= parked => false,
                _ => ledger.was_disturbed(pull.call.event.saturating_sub(1), parked),
            };
            let needed = ledger.obligations.policy.refusals as usize;
            let (told_of, found) = (
                refusals(life, chain),
                reads.tries_of_chain(life).iter().filter(in_round).filter(|pull| answered(pull)).count(),
            );
            match told_of.min(found) {
                0 => Err(told("no read was answered with a permanent error".into())),
                few if few < needed => Err(told(format!("{few} reads of {needed} were refused for good"))),
                _ => Ok(()),
            }
        }
        _ => exhausted(ledger, &failures, left(), parked).map_err(told),
    }
}

/// How many of its last reads, in one round and by one peer, failed so that no retry can help.
pub(super) fn refusals(life: &ChainLife<'_>, chain: &ChainFact) -> usize {
    let failed = of_its_own(life, chain);
    let peer = failed.last().map(|failed| &failed.failure.peer);
    let in_row = |failed: &&FailedAttempt| {
        let of_row = failed.round == chain.round && Some(&failed.failure.peer) == peer;
        of_row && FOR_GOOD.contains(&failed.failure.cause.name.as_str())
    };
    failed.iter().rev().take_while(in_row).count()
}

/// The failures that a chain remembers and did not take over from one that was renewed.
fn of_its_own<'c>(life: &ChainLife<'_>, chain: &'c ChainFact) -> &'c [FailedAttempt] {
    let count = chain.failures.saturating_sub(life.steps[0].chain.failures) as usize;
    &chain.latest[chain.latest.len().saturating_sub(count)..]
}

fn exhausted(ledger: &Ledger<'_>, failures: &[&FailedAttempt], reads: usize, parked: usize) -> Result<(), String> {
    let by_answer = |failed: &&&FailedAttempt| !UNANSWERED.contains(&failed.failure.cause.name.as_str());
    let answered = failures.iter().filter(by_answer).count();
    if answered > reads {
        return Err(format!("{answered} attempts failed by an answer, {reads} reads left"));
    }
    if failures.len() > reads && !ledger.was_disturbed(0, parked) {
        return Err(format!("{} attempts failed, {reads} reads left, nothing was broken", failures.len()));
    }
    Ok(())
}

fn is_used_up(ledger: &Ledger<'_>, life: &ChainLife<'_>) -> bool {
    let (policy, last) = (&ledger.obligations.policy, &life.steps[life.steps.len() - 1]);
    if last.chain.attempt >= policy.attempts() {
        return true;
    }
    let first = life.steps.iter().find(|step| step.chain.round == last.chain.round && step.chain.attempt > 0);
    let Some((total, first)) = policy.total_ms.zip(first) else { return false };
    let of_round = |step: &&ChainStep<'_>| step.chain.round == last.chain.round && step.chain.attempt > 0;
    let steps: Vec<_> = life.steps.iter().filter(of_round).collect();
    let idle: i64 = steps.windows(2).map(|pair| lain_down_ms(pair[0], pair[1])).sum();
    let spent = last.entry.at_ms - first.entry.at_ms - idle + policy.longest_wait_ms(last.chain.attempt);
    spent > i64::try_from(total).unwrap_or(i64::MAX)
}

/// How long the chain had been due when its next attempt began, ms.
fn lain_down_ms(before: &ChainStep<'_>, next: &ChainStep<'_>) -> i64 {
    match before.chain.state {
        ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. }
            if next.chain.attempt > before.chain.attempt =>
        {
            (next.entry.at_ms - due_ms).max(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{ChainFact, ChainState, ParkReason, frame::code},
        history::EventKind,
        oracles::fixture::{Story, chain},
    };

    fn parked(mut chain: ChainFact, reason: ParkReason) -> ChainFact {
        chain.state = ChainState::Parked { reason, at_ms: 0 };
        chain
    }

    /// `b` is home of a chain about `a`'s message and reads it as often as told; each read is answered with `answer`.
    fn story(reads: u32, answer: i32, cause: &str, broken: bool) -> (Story, ChainFact) {
        let mut story = Story::new();
        story.obligations.escapes.insert("a".into(), "b".into());
        story.send(1, 0).wait(10);
        let mut chain = chain("t", 0, story.now_ms).open(story.now_ms + 10_000);
        story.durable("b", vec![chain.clone().fact()]);
        let moved = crate::evidence::Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: 1 };
        story.durable("a", vec![moved]);
        if broken {
            story.event(EventKind::Fault { index: None, text: "a is away".into() });
        }
        story.wait(10_000);
        for attempt in 1..=reads {
            chain = chain.attempt(attempt).open(story.now_ms + 12_000);
            story.durable("b", vec![chain.clone().fact()]);
            let call = story.read(0);
            story.wait(10).response(("a", "b", call), (code::PULL, answer), &[], b"");
            let wait_ms = u64::from(attempt.min(2)) * 1000;
            chain = chain.failed(cause).open(story.now_ms + wait_ms);
            if attempt < reads {
                story.durable("b", vec![chain.clone().fact()]).wait(wait_ms);
            }
        }
        (story, chain)
    }

    #[test]
    fn a_policy_that_was_used_up_is_believed() {
        let (mut story, chain) = story(3, 2, "code", false);
        story.durable("b", vec![parked(chain, ParkReason::PolicyExhausted).fact()]);
        let verdict = story.holds();
        assert_eq!((verdict.counts.parked, verdict.counts.max_attempts, verdict.counts.rewrites), (1, 3, 2));
        for name in ["remote-read", "remote-read-error-answer", "rewrite-attempt-2", "parked"] {
            assert!(verdict.reached.contains(name), "{name}");
        }
    }

    #[test]
    fn a_policy_that_was_not_used_up_is_not() {
        let (mut story, chain) = story(2, 19, "not-found", false);
        story.durable("b", vec![parked(chain, ParkReason::PolicyExhausted).fact()]);
        story.breaks("P1", "2 attempts of 3 were made");
    }

    #[test]
    fn time_in_which_nobody_tried_does_not_use_up_the_total() {
        for (idle_ms, holds) in [(0, true), (30_000, false)] {
            let mut story = Story::new();
            story.obligations.escapes.insert("a".into(), "b".into());
            story.obligations.policy.total_ms = Some(31_000);
            story.send(1, 0).wait(10);
            let chain = chain("t", 0, story.now_ms);
            story.durable("b", vec![chain.clone().fact()]).wait(10_000);
            let moved = crate::evidence::Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: 1 };
            story.durable("a", vec![moved]);
            let begun = chain.attempt(1).open(story.now_ms + 20_000);
            story.durable("b", vec![begun.clone().fact()]);
            let opaque = story.read(0);
            story.response(("a", "b", opaque), (code::PULL, 19), &[], b"");
            let failed = begun.failed("not-found").open(story.now_ms + 30_000 - idle_ms);
            story.durable("b", vec![failed.clone().fact()]).wait(30_000);
            let begun = failed.attempt(2).open(story.now_ms + 20_000);
            story.durable("b", vec![begun.clone().fact()]);
            let opaque = story.read(0);
            story.response(("a", "b", opaque), (code::PULL, 19), &[], b"");
            story.durable("b", vec![parked(begun.failed("not-found"), ParkReason::PolicyExhausted).fact()]);
            let blamed = story.judge().violations.iter().any(|it| it.detail.contains("2 attempts of 3 were made"));
            assert_eq!(blamed, !holds, "{idle_ms} ms");
        }
    }

    #[test]
    fn failures_need_reads_or_something_broken() {
        let (mut quiet, chain) = story(3, 19, "timeout", false);
        quiet.history.events.retain(|event| !is_read(&event.kind));
        quiet.durable("b", vec![parked(chain, ParkReason::PolicyExhausted).fact()]);
        quiet.breaks("P1", "nothing was broken");

        let (mut broken, chain) = story(3, 19, "timeout", true);
        broken.history.events.retain(|event| !is_read(&event.kind));
        broken.durable("b", vec![parked(chain, ParkReason::PolicyExhausted).fact()]);
        assert!(broken.holds().reached.contains("remote-read-timeout"));

        let (mut broken, chain) = story(3, 19, "not-found", true);
        broken.history.events.retain(|event| !is_read(&event.kind));
        broken.durable("b", vec![parked(chain, ParkReason::PolicyExhausted).fact()]);
        broken.breaks("P1", "failed by an answer, 0 reads left");
    }

    fn is_read(kind: &EventKind) -> bool {
        matches!(kind, EventKind::Request(frame) | EventKind::Response(frame) if frame.request_code == code::PULL)
    }

    #[test]
    fn a_permanent_reason_needs_a_permanent_answer() {
        let (mut permanent, chain) = story(2, 17, "topic-unknown", false);
        permanent.durable("b", vec![parked(chain, ParkReason::Permanent).fact()]);
        assert!(!permanent.is_blamed("P1", ""), "whoever said it said it wrongly, which is another promise's");

        let (mut passing, chain) = story(1, 2, "busy", false);
        passing.durable("b", vec![parked(chain, ParkReason::Permanent).fact()]);
        passing.breaks("P1", "for good, because of busy");

        let (mut too_soon, chain) = story(1, 17, "topic-unknown", false);
        too_soon.durable("b", vec![parked(chain, ParkReason::Permanent).fact()]);
        too_soon.breaks("P1", "1 reads of 2 were refused for good");

        let (mut told_once, mut chain) = story(1, 17, "topic-unknown", false);
        chain.latest.push(chain.latest[0].clone());
        told_once.durable("b", vec![parked(chain, ParkReason::Permanent).fact()]);
        told_once.breaks("P1", "1 reads of 2 were refused for good");

        let (mut never_told, chain) = story(2, 2, "topic-unknown", false);
        never_told.durable("b", vec![parked(chain, ParkReason::Permanent).fact()]);
        never_told.breaks("P1", "no read was answered with a permanent error");
    }

    #[test]
    fn a_park_that_was_resumed_needs_a_reason_too() {
        let (mut story, chain) = story(2, 19, "not-found", false);
        let mut resumed = chain.clone().attempt(0).open(story.now_ms);
        resumed.round += 1;
        story.durable("b", vec![parked(chain, ParkReason::PolicyExhausted).fact()]);
        story.durable("b", vec![resumed.fact()]);
        story.breaks("P1", "2 attempts of 3 were made");
    }

    #[test]
    fn a_message_on_the_same_disk_is_no_reason() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let chain = story.pop("t", 0, 1, 0);
        story.durable("a", vec![parked(chain, ParkReason::Permanent).fact()]);
        story.breaks("P1", "lies on the same disk");
    }
}
