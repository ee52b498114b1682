//! P4, every chain ends: an attempt is made durable before it starts, each wait follows the policy counted from now, the
//! history survives, and once the faults are over every chain comes to an end.
//!
//! Rule: no chain is open or moving at the end of the run, and what has ended never changes. Within a round attempts go
//! up by one and never above `rewrites + 1`; rounds go up by one; the count of failures never falls, and rises with each
//! rewrite; the first failure that a history tells of stays what it was. A due time that is set after a failure is the
//! policy's wait after the entry's own time (both are the broker's clock); the plan made when an attempt begins lies later
//! by the time that it may take. An attempt comes to something before the next begins (see `p4_comes_to_something`), and
//! takes no longer than it may, and none begins after the policy's whole time. As many failures in a row that no
//! retry can change as the policy asks for are the last of their round. An attempt begins when it is due, or earlier if its peer was away for at least as long and is back
//! (see `waiting`). A chain whose message lies elsewhere comes to nothing that a read brings without a durable attempt. What
//! is due and not tried is parked in time (see `waiting`), or taken up in time (see `p4_taken_up` and `p4_peers`). What holds of reads at
//! the wire is in `p4_reads`, of renewals in `p4_renewed`.

use super::{
    Findings, Reads, p1_park::refusals, p4_comes_to_something::came_to_nothing, p4_peers, p4_reads, p4_renewed,
    p4_silent_connections, p4_taken_up, stuck, waiting,
};
use crate::{
    evidence::{ChainFact, ChainState, Outcome},
    ledger::{ChainLife, ChainStep, Ledger},
    plan::SimMs,
};

/// How much longer than it may be a wait is at the most: clocks count whole milliseconds.
const SLACK_MS: i64 = 50;

/// An attempt ends within this time: a route look-up, then the read.
pub(super) const ATTEMPT_LIMIT_MS: SimMs = 16_000;

pub(super) fn check(ledger: &Ledger<'_>, reads: &Reads<'_>, found: &mut Findings<'_>) {
    for life in &ledger.chains {
        let stamp = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.as_ref());
        let last = &life.steps[life.steps.len() - 1];
        if let ChainState::Open { .. } | ChainState::Moving { .. } = last.chain.state {
            let (state, waits) = (last.chain.state.name(), stuck::waits_for(ledger, life));
            let detail = format!("at {} it never ends: {state} {waits}", life.node);
            let end_ms = ledger.history.events.last().map_or(0, |event| event.at_ms);
            found.stamped(end_ms, stamp, format!("chain {}", life.id), detail);
        }
        if let Some(step) = life.steps.iter().find(|step| is_unread(life, step.chain)) {
            let detail = format!("at {} it ends as {:?} without any attempt", life.node, step.chain.state);
            found.stamped(step.at_ms, stamp, format!("chain {}", life.id), detail);
        }
        waiting::check(ledger, life, found);
        p4_taken_up::check(ledger, life, found);
        for detail in past_the_total(ledger, life) {
            found.stamped(last.at_ms, stamp, format!("chain {}", life.id), detail);
        }
        for pair in life.steps.windows(2) {
            for detail in wrongs(ledger, life, &pair[0], &pair[1]).into_iter().chain(early(ledger, life, pair)) {
                found.stamped(pair[1].at_ms, stamp, format!("chain {}", life.id), detail);
            }
        }
    }
    p4_peers::check(ledger, found);
    p4_silent_connections::check(ledger, found);
    p4_reads::check(ledger, reads, found);
    p4_renewed::check(ledger, found);
}

/// An attempt that begins before its time.
fn early(ledger: &Ledger<'_>, life: &ChainLife<'_>, pair: &[ChainStep<'_>]) -> Option<String> {
    let [before, step] = pair else { return None };
    if before.chain.round != step.chain.round { None } else { waiting::began_early(ledger, life, before, step) }
}

/// Attempts that begin after all the time that the policy gives a round.
fn past_the_total(ledger: &Ledger<'_>, life: &ChainLife<'_>) -> Vec<String> {
    let Some(total_ms) = ledger.obligations.policy.total_ms else { return Vec::new() };
    let (mut round, mut late) = (None::<i64>, Vec::new());
    for pair in life.steps.windows(2) {
        let (old, new) = (pair[0].chain, pair[1].chain);
        let is_begun = (old.round, old.attempt + 1) == (new.round, new.attempt);
        if !is_begun {
            continue;
        }
        let at_ms = pair[1].entry.at_ms;
        // Time in which it lay down is not time in which anybody tried.
        let lay_ms = due_ms(old).map_or(0, |due_ms| at_ms.saturating_sub(due_ms).max(0));
        let began_ms = *round.insert(round.filter(|_| new.attempt > 1).map_or(at_ms, |began_ms| began_ms + lay_ms));
        let spent_ms = at_ms.saturating_sub(began_ms);
        if spent_ms > i64::try_from(total_ms).unwrap_or(i64::MAX).saturating_add(SLACK_MS) {
            late.push(format!("attempt {} begins {spent_ms} ms after the first, {total_ms} are allowed", new.attempt));
        }
    }
    late
}

/// It has what only a read can bring, and no attempt was ever made durable.
fn is_unread(life: &ChainLife<'_>, chain: &ChainFact) -> bool {
    let ChainState::Ended { outcome, .. } = &chain.state else { return false };
    let is_read = matches!(outcome, Outcome::Revived(_) | Outcome::DeadLettered(_) | Outcome::Gone(_));
    is_read && chain.attempt == 0 && life.node != life.id.broker
}

/// What is wrong with one step of a chain.
fn wrongs(ledger: &Ledger<'_>, life: &ChainLife<'_>, before: &ChainStep<'_>, step: &ChainStep<'_>) -> Vec<String> {
    let (old, new) = (before.chain, step.chain);
    let mut wrongs = Vec::new();
    if let ChainState::Ended { outcome, .. } = &old.state
        && old.state != new.state
    {
        wrongs.push(format!("it had ended as {outcome:?} and became {:?}", new.state));
    }
    if old.first_failed_ms.is_some() && new.first_failed_ms != old.first_failed_ms {
        wrongs.push(format!("its first failure moved from {:?} to {:?}", old.first_failed_ms, new.first_failed_ms));
    }
    if new.failures < old.failures {
        wrongs.push(format!("its history fell from {} failures to {}", old.failures, new.failures));
    }
    if new.round == old.round {
        wrongs.extend(wrong_attempt(ledger, old, new));
        wrongs.extend(wrong_wait(ledger, old, step));
        wrongs.extend(wrong_failure(ledger, life, before, step));
        wrongs.extend(came_to_nothing(ledger, life, before, step));
    } else if new.round != old.round + 1 || new.attempt != 0 {
        let (round, attempt) = (new.round, new.attempt);
        wrongs.push(format!("round {} was followed by round {round} with attempt {attempt}", old.round));
    }
    wrongs
}

fn wrong_attempt(ledger: &Ledger<'_>, old: &ChainFact, new: &ChainFact) -> Option<String> {
    let limit = ledger.obligations.policy.attempts();
    if new.attempt < old.attempt || new.attempt > old.attempt + 1 {
        return Some(format!("attempt {} was followed by attempt {}", old.attempt, new.attempt));
    }
    (new.attempt > limit).then(|| format!("attempt {} of {limit}", new.attempt))
}

/// When its next step is due, if it has one.
const fn due_ms(chain: &ChainFact) -> Option<i64> {
    match chain.state {
        ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. } => Some(due_ms),
        _ => None,
    }
}

fn wrong_wait(ledger: &Ledger<'_>, old: &ChainFact, step: &ChainStep<'_>) -> Option<String> {
    let new = step.chain;
    let (was, is) = (due_ms(old)?, due_ms(new)?);
    if old.attempt == new.attempt && old.failures == new.failures {
        return (was != is).then(|| format!("its due time moved from {was} to {is} and no failure was recorded"));
    }
    let policy = &ledger.obligations.policy;
    let wait = policy.shortest_wait_ms(new.attempt);
    let earliest = step.entry.at_ms.saturating_add(wait);
    if is < earliest {
        let early = earliest - is;
        let attempt = new.attempt;
        return Some(format!(
            "after attempt {attempt} it is due {early} ms before the policy's wait of {wait} ms is over"
        ));
    }
    let may_take = if new.failures > old.failures { 0 } else { ATTEMPT_LIMIT_MS.cast_signed() };
    let wait = policy.longest_wait_ms(new.attempt);
    let latest = step.entry.at_ms.saturating_add(wait).saturating_add(may_take).saturating_add(SLACK_MS);
    (is > latest).then(|| {
        let late = is - latest;
        format!("after attempt {} it is due {late} ms after the policy's wait of {wait} ms is over", new.attempt)
    })
}

/// A failure that was not what is recorded, or that had to be the last.
fn wrong_failure(
    ledger: &Ledger<'_>,
    life: &ChainLife<'_>,
    before: &ChainStep<'_>,
    step: &ChainStep<'_>,
) -> Option<String> {
    let (old, new) = (before.chain, step.chain);
    let failed = new.latest.last().filter(|_| new.failures > old.failures)?;
    let (cause, took_ms) = (failed.failure.cause.name.as_str(), failed.failure.took_ms);
    if cause != "away" && took_ms > ATTEMPT_LIMIT_MS && !ledger.was_disturbed(before.event, step.event) {
        return Some(format!("attempt {} took {took_ms} ms to fail by {cause}", failed.attempt));
    }
    // What a slave says of its master's messages is never for good.
    let has_slaves = ledger.obligations.slaves.values().any(|broker| *broker == life.id.broker);
    let is_waiting = matches!(new.state, ChainState::Open { .. });
    let is_refused = refusals(life, new) >= ledger.obligations.policy.refusals as usize;
    (is_waiting && !has_slaves && is_refused)
        .then(|| format!("attempt {} failed by {cause}, which no retry changes, and it waits", failed.attempt))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{ChainFact, Outcome},
        oracles::fixture::{Story, chain},
    };

    fn end(story: &mut Story, chain: &ChainFact) {
        let ended = chain.clone().ended(Outcome::Acked);
        story.durable("b", vec![ended.fact()]).ack(chain, 1, 0, crate::history::Seen::Unknown { cause: "x".into() });
    }

    #[test]
    fn a_chain_that_follows_the_policy_is_right() {
        let (mut story, chain) = Story::due();
        let chain = story.attempt(chain, 1000);
        story.wait(1000);
        let chain = story.attempt(chain, 2000);
        end(&mut story, &chain);
        assert!(story.holds().reached.contains("remote-read"));
    }

    /// What was planned when the attempt began is for whoever dies in the middle of it.
    #[test]
    fn the_wait_begins_with_the_failure_and_not_with_what_was_planned() {
        let (mut story, chain) = Story::due();
        let begun = chain.attempt(1).open(story.now_ms + 17_000);
        story.durable("b", vec![begun.clone().fact()]);
        story.read(0);
        story.wait(10).durable("b", vec![begun.failed("timeout").fact()]);
        story.breaks("P4", "after attempt 1 it is due 15940 ms after the policy's wait of 1000 ms is over");
    }

    #[test]
    fn a_chain_must_end() {
        let (mut story, _) = Story::due();
        story.breaks("P4", "it never ends");
    }

    #[test]
    fn waits_follow_the_policy() {
        let (mut story, chain) = Story::due();
        let chain = story.attempt(chain, 999);
        end(&mut story, &chain);
        story.breaks("P4", "before the policy's wait of 1000 ms is over");
    }

    /// `a` answers `b`.
    fn heard(story: &mut Story) {
        let opaque = story.read(9);
        story.response(("a", "b", opaque), (crate::evidence::frame::code::PULL, 19), &[], b"");
    }

    /// `a` is silent for a time, an attempt fails that is to be repeated after 1 s, and `a` is heard of again; the next
    /// attempt begins 200 ms after the failed one.
    fn tried_again_after_an_absence_of(silent_ms: u64) -> Story {
        let (mut story, chain) = Story::due();
        let other = crate::oracles::fixture::chain("t", 9, story.now_ms);
        story.durable("b", vec![other.clone().fact(), other.attempt(1).failed("not-found").fact()]);
        story.wait(silent_ms);
        let failed = story.attempt(chain, 1_000);
        story.wait(100);
        heard(&mut story);
        let due_ms = story.wait(100).now_ms + 20_000;
        story.durable("b", vec![failed.attempt(2).open(due_ms).fact()]);
        story.read(0);
        story
    }

    #[test]
    fn a_wait_is_cut_short_only_by_a_peer_that_was_away_for_as_long() {
        let blamed = |story: &mut Story| {
            (
                story.is_blamed("P4", "begins 800 ms before it is due"),
                story.is_blamed("P4", "b reads again after 210 ms"),
            )
        };
        assert_eq!(blamed(&mut tried_again_after_an_absence_of(2_000)), (false, false));
        assert_eq!(blamed(&mut tried_again_after_an_absence_of(100)), (true, true));
    }

    #[test]
    fn a_peer_is_back_when_what_it_answers_arrives() {
        for (after_ms, blamed) in [(0, true), (700, false)] {
            let (mut story, chain) = Story::due();
            let other = crate::oracles::fixture::chain("t", 9, story.now_ms);
            story.durable("b", vec![other.clone().fact(), other.attempt(1).failed("not-found").fact()]);
            let failed = story.wait(100).attempt(chain, 1_000);
            story.wait(100);
            heard(&mut story);
            let due_ms = story.arrives(Some(after_ms)).wait(750).now_ms + 20_000;
            story.durable("b", vec![failed.attempt(2).open(due_ms).fact()]);
            assert_eq!(story.is_blamed("P4", "begins 150 ms before it is due"), blamed, "after {after_ms} ms");
        }
    }

    #[test]
    fn an_answer_that_left_before_the_wait_began_ends_it_when_it_arrives() {
        for (after_ms, blamed) in [(100, true), (800, false)] {
            let (mut story, chain) = Story::due();
            let other = crate::oracles::fixture::chain("t", 9, story.now_ms);
            story.durable("b", vec![other.clone().fact(), other.attempt(1).failed("not-found").fact()]);
            story.wait(2_000);
            heard(&mut story);
            let failed = story.arrives(Some(after_ms)).wait(500).attempt(chain, 1_000);
            let due_ms = story.wait(350).now_ms + 20_000;
            story.durable("b", vec![failed.attempt(2).open(due_ms).fact()]);
            assert_eq!(story.is_blamed("P4", "begins 650 ms before it is due"), blamed, "after {after_ms} ms");
        }
    }

    #[test]
    fn a_peer_is_back_too_for_whom_something_answers_in_its_place() {
        let (mut story, chain) = Story::due();
        let other = crate::oracles::fixture::chain("t", 9, story.now_ms).attempt(1);
        story.durable("b", vec![other.clone().fact()]);
        let failed = story.attempt(chain, 1_000);
        story.wait(100).durable("b", vec![other.failed("empty-answer").fact()]);
        let due_ms = story.wait(100).now_ms + 20_000;
        story.durable("b", vec![failed.attempt(2).open(due_ms).fact()]);
        assert!(!story.is_blamed("P4", "before it is due"));
    }

    #[test]
    fn the_invisible_time_is_cut_short_by_nothing() {
        let (mut story, chain) = Story::due();
        let chain = chain.open(story.now_ms + 1_000);
        story.durable("b", vec![chain.clone().fact()]).wait(500);
        heard(&mut story);
        let due_ms = story.now_ms + 20_000;
        story.durable("b", vec![chain.attempt(1).open(due_ms).fact()]);
        assert!(story.is_blamed("P4", "attempt 1 begins 500 ms before it is due"));
    }

    #[test]
    fn nothing_that_a_read_brings_comes_without_an_attempt() {
        let (mut story, chain) = Story::due();
        let copy = crate::oracles::fixture::message("%RETRY%g_t", 0, 1, 1);
        story.durable("b", vec![crate::evidence::Fact::Message(copy), chain.revived("%RETRY%g_t", 0).fact()]);
        story.breaks("P4", "without any attempt");
    }

    #[test]
    fn attempts_neither_fall_nor_jump_nor_exceed_the_policy() {
        for (next, words) in [(0, "attempt 1 was followed by attempt 0"), (3, "attempt 1 was followed by attempt 3")] {
            let (mut story, chain) = Story::due();
            let chain = story.attempt(chain, 1000).attempt(next);
            story.durable("b", vec![chain.clone().fact()]);
            end(&mut story, &chain);
            story.breaks("P4", words);
        }
        let (mut story, mut chain) = Story::due();
        for _ in 0..4 {
            chain = story.attempt(chain, 2000);
            story.wait(2000);
        }
        end(&mut story, &chain);
        story.breaks("P4", "attempt 4 of 3");
    }

    #[test]
    fn the_history_survives() {
        let (mut story, chain) = Story::due();
        let mut chain = story.attempt(chain, 1000);
        chain.failures = 0;
        end(&mut story, &chain);
        story.breaks("P4", "its history fell from 1 failures to 0");

        let (mut story, chain) = Story::due();
        let chain = story.attempt(chain, 1000).open(story.now_ms + 5000);
        story.durable("b", vec![chain.clone().fact()]);
        end(&mut story, &chain);
        story.breaks("P4", "no failure was recorded");
    }

    #[test]
    fn the_first_failure_stays_the_first() {
        let (mut story, chain) = Story::due();
        let mut chain = story.attempt(chain, 1000);
        chain.first_failed_ms = chain.first_failed_ms.map(|ms| ms + 1);
        end(&mut story, &chain);
        story.breaks("P4", "its first failure moved");
    }

    #[test]
    fn waits_are_no_longer_than_the_policy_says() {
        let (mut story, chain) = Story::due();
        let chain = story.attempt(chain, 1100);
        end(&mut story, &chain);
        story.breaks("P4", "after the policy's wait of 1000 ms is over");
    }

    #[test]
    fn none_begins_after_the_policy_s_whole_time_but_for_what_lay_down() {
        for (total_ms, lay_ms, noticed) in
            [(4_000, 0, false), (2_000, 0, true), (2_000, 60_000, true), (4_000, 60_000, false)]
        {
            let (mut story, chain) = Story::due();
            story.obligations.policy.total_ms = Some(total_ms);
            let chain = story.attempt(chain, 1_000);
            story.wait(1_000);
            let chain = story.attempt(chain, 2_000);
            story.wait(2_000 + lay_ms);
            story.attempt(chain, 2_000);
            assert_eq!(story.is_blamed("P4", "attempt 3 begins"), noticed, "{total_ms} {lay_ms}");
        }
    }

    #[test]
    fn an_attempt_takes_no_longer_than_it_may() {
        let (mut story, chain) = Story::due();
        let begun = chain.attempt(1).open(story.now_ms + 17_000);
        story.durable("b", vec![begun.clone().fact()]).wait(60_000);
        let mut failed = begun.failed("timeout").open(story.now_ms + 1_000);
        failed.latest[0].failure.took_ms = 60_000;
        story.durable("b", vec![failed.fact()]);
        assert!(story.is_blamed("P4", "attempt 1 took 60000 ms to fail by timeout"));
    }

    #[test]
    fn what_no_retry_changes_is_not_tried_again() {
        let (mut story, chain) = Story::due();
        let words = "failed by no-permission, which no retry changes, and it waits";
        let mut refused = chain;
        for (attempt, blamed) in [(1, false), (2, true)] {
            let begun = refused.attempt(attempt).open(story.now_ms + 17_000);
            story.durable("b", vec![begun.clone().fact()]).wait(10);
            refused = begun.failed("no-permission").open(story.now_ms + 1_000);
            story.durable("b", vec![refused.clone().fact()]).wait(1_000);
            assert_eq!(story.is_blamed("P4", words), blamed, "after attempt {attempt}");
        }
    }

    #[test]
    fn what_has_ended_stays_so() {
        let (mut story, chain) = Story::due();
        end(&mut story, &chain);
        story.durable("b", vec![chain.open(60_000).ended(Outcome::Superseded(chain_id())).fact()]);
        story.breaks("P4", "it had ended as Acked and became");
    }

    fn chain_id() -> crate::evidence::ChainId {
        chain("t", 0, 77).id
    }

    #[test]
    fn a_resumed_chain_begins_a_round() {
        let (mut story, mut chain) = Story::due();
        chain.round = 2;
        story.durable("b", vec![chain.clone().fact()]);
        end(&mut story, &chain);
        story.breaks("P4", "round 0 was followed by round 2");
    }
}
