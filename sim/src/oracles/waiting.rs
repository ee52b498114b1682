//! How long chains lie due without being tried, because their peer is away.
//!
//! A home that spares an absent peer may not spare itself the end: what has lain due for as long as the policy lasts is
//! parked, and nothing is parked for that reason that has not, or whose peer answered meanwhile. A wait may end early only
//! because the peer is back that it was for, after an absence at least as long as the wait.

use super::Findings;
use crate::{
    evidence::{ChainState, Outcome},
    history::EventKind,
    ledger::{ChainLife, ChainStep, Ledger, wire::Call},
    plan::SimMs,
};

/// How much longer a chain may lie due than the policy lasts: until the home knows that its peer is away, and while it
/// drains what has piled up.
const SLACK_MS: i64 = 600_000;

/// Part of P4: what is due is tried or parked in time.
pub(super) fn check(ledger: &Ledger<'_>, life: &ChainLife<'_>, found: &mut Findings<'_>) {
    let longest = ledger.obligations.policy.longest_ms();
    for pair in life.steps.windows(2) {
        let Some(since_ms) = due_since(ledger, life, &pair[0], &pair[1]) else { continue };
        let lain = pair[1].at_ms.cast_signed() - since_ms;
        if lain > longest.saturating_add(SLACK_MS) {
            let detail = format!("at {} it lay due for {lain} ms, the policy lasts {longest} ms", life.node);
            found.broken(pair[1].at_ms, format!("chain {}", life.id), detail);
        }
    }
}

/// Part of P1: whether a chain that was parked because its peer was away had really waited that long in vain.
pub(super) fn was_in_vain(ledger: &Ledger<'_>, life: &ChainLife<'_>) -> Result<(), String> {
    let longest = ledger.obligations.policy.longest_ms();
    let [.., before, parked] = &life.steps[..] else { return Err("it was parked unseen".into()) };
    let (ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. }) = before.chain.state else {
        return Err("it was parked twice".into());
    };
    let lain = parked.entry.at_ms - due_ms;
    if lain < longest {
        return Err(format!("it lay due for {lain} ms, the policy lasts {longest} ms"));
    }
    let (peer, since_ms) = (peer(life, before), parked.at_ms.cast_signed() - longest);
    let is_meanwhile = |at_ms: &i64| (since_ms + 1..parked.at_ms.cast_signed()).contains(at_ms);
    let answers =
        answers(ledger, life.node, peer, needed(before)).filter(|it| it.heard_ms.as_ref().is_some_and(is_meanwhile));
    match answers.filter(|it| !gave_up(ledger, (life.node, peer), it)).filter_map(|it| it.heard_ms).max() {
        Some(at_ms) => Err(format!("{peer} answered {} ms before", parked.at_ms.cast_signed() - at_ms)),
        None => Ok(()),
    }
}

/// Part of P4: an attempt begins when its wait is over, or when its peer is back.
pub(super) fn began_early(
    ledger: &Ledger<'_>,
    life: &ChainLife<'_>,
    before: &ChainStep<'_>,
    step: &ChainStep<'_>,
) -> Option<String> {
    let (ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. }) = before.chain.state else { return None };
    let early_ms = due_ms.saturating_sub(step.entry.at_ms);
    if step.chain.attempt <= before.chain.attempt || early_ms <= 0 {
        return None;
    }
    let last = before.chain.latest.last().filter(|last| last.attempt == before.chain.attempt);
    let is_failed = last.is_some_and(|last| ABSENT.contains(&last.failure.cause.name.as_str()));
    let wait_ms = due_ms.saturating_sub(before.entry.at_ms);
    let is_cut_short = is_failed && is_back(ledger, (life.node, peer(life, before)), before.event..step.event, wait_ms);
    (!is_cut_short).then(|| format!("attempt {} begins {early_ms} ms before it is due", step.chain.attempt))
}

/// Whether a peer was heard of between these events, by this home, for the first time in at least `wait_ms`.
pub(super) fn is_back(
    ledger: &Ledger<'_>,
    (home, peer): (&str, &str),
    between: std::ops::Range<usize>,
    wait_ms: i64,
) -> bool {
    // A home may count a peer as back when any member of its group is, or only when the master is.
    let has_slaves = ledger.obligations.slaves.values().any(|broker| broker == peer);
    let is_back = |members| is_any_back(ledger, (home, peer, members), between.clone(), wait_ms);
    is_back(Members::Any) || has_slaves && is_back(Members::Master)
}

fn is_any_back(
    ledger: &Ledger<'_>,
    (home, peer, members): (&str, &str, Members),
    between: std::ops::Range<usize>,
    wait_ms: i64,
) -> bool {
    // The home's clock may be slewed by a thousandth, and what it has heard is durable a moment later.
    let wait_ms = wait_ms - wait_ms / 500 - 500;
    let heard: Vec<_> = heard(ledger, (home, peer, members)).collect();
    // What answers in a peer's place is on no wire, but the home has heard it. For the home it is back when that arrives.
    let back_ms = |answer: &Answered| answer.arrived_ms.unwrap_or(answer.at_ms);
    let span_ms = ledger.at_ms(between.start).cast_signed()..=ledger.at_ms(between.end).cast_signed();
    let answered = answers(ledger, home, peer, members).map(|answer| (answer.event, back_ms(&answer)));
    let answered = answered.filter(|(event, at_ms)| between.contains(event) || span_ms.contains(at_ms));
    let stored = heard.iter().copied().filter(|(event, _)| between.contains(event));
    answered.chain(stored).any(|(event, at_ms)| {
        let before = heard.iter().filter(|(earlier, _)| *earlier < event);
        at_ms - before.map(|(_, at_ms)| *at_ms).max().unwrap_or(0) >= wait_ms
    })
}

/// Failures that say of a peer nothing but that it is not there for anybody.
const ABSENT: [&str; 6] = ["timeout", "refused", "reset", "no-route", "busy", "not-serving"];
/// The same as answers: busy, flow control, not available, not the leader, going away.
pub(super) const ABSENT_ANSWERS: [i32; 5] = [2, 215, 14, 501, 1500];
/// Failures whose time was up.
const GIVEN_UP: [&str; 2] = ["timeout", "no-route"];
/// Failures that come without its having been asked.
const UNASKED: [&str; 2] = ["overloaded", "away"];

/// When a home made durable what it had heard from a peer. An answer that has left may be lost, or come too late. What a
/// read brought does not tell which member did.
fn heard<'a>(
    ledger: &'a Ledger<'_>,
    (home, peer, members): (&'a str, &'a str, Members),
) -> impl Iterator<Item = (usize, i64)> + 'a {
    let lives = ledger.chains.iter().filter(move |life| life.node == home && peer != home);
    let pairs = lives.flat_map(|life| life.steps.windows(2).map(move |pair| (life, pair)));
    let counts = move |step: &ChainStep<'_>| members == Members::Any || needed(step) == Members::Master;
    pairs.filter(move |(life, pair)| self::peer(life, &pair[0]) == peer && counts(&pair[0])).filter_map(|(_, pair)| {
        let (old, new) = (pair[0].chain, pair[1].chain);
        let is_heard = match &new.state {
            // The first answer to a pop's hand-over is stored when there is time.
            ChainState::Moved { .. } => old.attempt > 1,
            ChainState::Ended { outcome, .. } => {
                matches!(outcome, Outcome::Revived(_) | Outcome::DeadLettered(_) | Outcome::Gone(_))
            }
            _ => {
                let cause = new.latest.last().map(|last| last.failure.cause.name.as_str());
                new.failures > old.failures && cause.is_some_and(|it| !ABSENT.contains(&it) && !UNASKED.contains(&it))
            }
        };
        is_heard.then(|| (pair[1].event, pair[1].at_ms.cast_signed()))
    })
}

/// How long after it was asked for an answer may arrive so that whoever asked surely hears it, ms: he waits for a second
/// longer, three seconds for what he hands over and ten for what he reads.
pub(super) const SEND_HEARD_MS: SimMs = 2_000;
pub(super) const PULL_HEARD_MS: SimMs = 9_000;

/// An answer that left a peer.
struct Answered {
    event: usize,
    /// When it was asked for.
    asked_ms: i64,
    at_ms: i64,
    /// When it arrived, if it did.
    arrived_ms: Option<i64>,
    /// When the home had it, if it surely still waited for it.
    heard_ms: Option<i64>,
}

/// Whether an attempt of the home's at that peer, under way when this was asked for, was given up before the answer came:
/// looking for the peer and dialling had used up its time.
fn gave_up(ledger: &Ledger<'_>, (home, peer): (&str, &str), answer: &Answered) -> bool {
    let Some(heard_ms) = answer.heard_ms else { return false };
    let lives = ledger.chains.iter().filter(|life| life.node == home);
    lives.flat_map(|life| life.steps.windows(2).map(move |pair| (life, pair))).any(|(life, pair)| {
        let (old, new, ended_ms) = (pair[0].chain, pair[1].chain, pair[1].at_ms.cast_signed());
        let failed = new.latest.last().filter(|_| new.failures > old.failures).map(|failed| &failed.failure);
        failed.is_some_and(|failure| {
            let began_ms = ended_ms.saturating_sub_unsigned(failure.took_ms);
            let is_of_peer = self::peer(life, &pair[0]) == peer && GIVEN_UP.contains(&failure.cause.name.as_str());
            is_of_peer && began_ms <= answer.asked_ms && (answer.asked_ms..heard_ms).contains(&ended_ms)
        })
    })
}

/// Whose answers count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Members {
    Any,
    Master,
}

/// Who can do what a chain waits for: any member of a group can read, only its master takes chains.
const fn needed(step: &ChainStep<'_>) -> Members {
    if matches!(step.chain.state, ChainState::Moving { .. }) { Members::Master } else { Members::Any }
}

/// When the peer that a chain needs last answered the chain's home, simulated ms.
pub(super) fn last_answer_ms(ledger: &Ledger<'_>, life: &ChainLife<'_>, step: &ChainStep<'_>) -> Option<i64> {
    answers(ledger, life.node, peer(life, step), needed(step)).map(|answer| answer.at_ms).max()
}

/// What a peer answered a home, reads and hand-overs alike, in no order.
fn answers<'a>(
    ledger: &'a Ledger<'_>,
    home: &'a str,
    peer: &'a str,
    members: Members,
) -> impl Iterator<Item = Answered> + 'a {
    let pulls = ledger.wire.pulls.iter().map(|pull| (pull.call, PULL_HEARD_MS));
    let calls = pulls.chain(ledger.wire.sends.iter().map(|send| (send.call, SEND_HEARD_MS)));
    let counts = move |call: &Call<'_>| members == Members::Any || !call.is_to_slave();
    calls.filter(move |(call, _)| call.from == home && call.to == peer && counts(call)).filter_map(
        |(call, heard_ms)| {
            // Whoever answers that he does not serve is as good as away.
            let (event, _) = call.answer.filter(|(_, code)| !ABSENT_ANSWERS.contains(code))?;
            let arrived_ms = match &ledger.history.events[event].kind {
                EventKind::Response(frame) => frame.arrived_ms,
                _ => None,
            };
            let heard_ms = arrived_ms.filter(|at_ms| at_ms - call.at_ms <= heard_ms).map(SimMs::cast_signed);
            let (asked_ms, at_ms) = (call.at_ms.cast_signed(), ledger.at_ms(event).cast_signed());
            let arrived_ms = arrived_ms.map(SimMs::cast_signed);
            Some(Answered { event, asked_ms, at_ms, arrived_ms, heard_ms })
        },
    )
}

/// Whom a chain waits for.
pub(super) fn peer<'a>(life: &'a ChainLife<'_>, step: &'a ChainStep<'_>) -> &'a str {
    match &step.chain.state {
        ChainState::Moving { to, .. } => to.as_str(),
        _ => life.id.broker.as_str(),
    }
}

/// Since when a chain could have been tried before `next`: it was due, and its home was up and could confirm what it
/// wrote, for no attempt may begin that is not confirmed.
fn due_since(ledger: &Ledger<'_>, life: &ChainLife<'_>, step: &ChainStep<'_>, next: &ChainStep<'_>) -> Option<i64> {
    let (ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. }) = step.chain.state else { return None };
    let stood_ms = ledger.stood_ms(life.node, step.at_ms, next.at_ms).cast_signed();
    let due_ms = step.at_ms.cast_signed() + (due_ms - step.entry.at_ms) + stood_ms;
    if next.at_ms.cast_signed() - due_ms <= ledger.obligations.policy.longest_ms() {
        return None;
    }
    let between = &ledger.history.events[step.event..next.event];
    let up_ms = between.iter().rev().find_map(|event| match &event.kind {
        EventKind::Node { node, .. } if node == life.node => Some(event.at_ms.cast_signed()),
        _ => None,
    });
    let confirmed_ms =
        ledger.late_confirmations(life.node).filter(|at_ms| *at_ms < next.at_ms).max().map(SimMs::cast_signed);
    // What its slave does meanwhile it takes over first.
    let merges = ledger.merges.iter().filter(|it| it.node == life.node && it.group == life.node);
    let merged_ms =
        merges.map(|it| ledger.at_ms(it.event).cast_signed()).filter(|at_ms| *at_ms <= next.at_ms.cast_signed()).max();
    Some([up_ms, confirmed_ms, merged_ms].into_iter().flatten().fold(due_ms, i64::max))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::{
        evidence::{ChainFact, ChainState, Fact, ParkReason, frame::code},
        history::{EventKind, Noted},
        oracles::fixture::{Story, at, chain},
    };

    /// `b` is home of a chain about `a`'s message that is due; the policy lasts 3 s.
    fn due() -> (Story, ChainFact) {
        let mut story = Story::new();
        story.obligations.escapes.insert("a".into(), "b".into());
        story.obligations.policy.total_ms = Some(3_000);
        story.send(1, 0).wait(10);
        let chain = chain("t", 0, story.now_ms).open(story.now_ms + 10_000);
        story.durable("b", vec![chain.clone().fact()]);
        story.durable("a", vec![Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: 1 }]);
        story.event(EventKind::Fault { index: None, text: "a is away".into() });
        story.wait(10_000);
        (story, chain)
    }

    fn park(story: &mut Story, chain: ChainFact) {
        let mut parked = chain.failed("away");
        parked.state = ChainState::Parked { reason: ParkReason::PolicyExhausted, at_ms: 0 };
        story.durable("b", vec![parked.fact()]);
    }

    #[test]
    fn a_chain_that_waited_in_vain_may_be_parked() {
        let (mut story, chain) = due();
        story.wait(3_000);
        park(&mut story, chain);
        assert!(story.holds().reached.contains("waited-out"));
    }

    #[test]
    fn one_that_did_not_wait_as_long_as_the_policy_lasts_may_not() {
        let (mut story, chain) = due();
        story.wait(2_000);
        park(&mut story, chain);
        story.breaks("P1", "it lay due for 2000 ms, the policy lasts 3000 ms");
    }

    #[test]
    fn a_peer_that_answers_that_it_does_not_serve_is_away() {
        let (mut story, chain) = due();
        let call = story.wait(2_000).read(7);
        story.wait(10).response(("a", "b", call), (code::PULL, 14), &[], b"").wait(1_000);
        park(&mut story, chain);
        assert!(!story.judge().violations.iter().any(|it| it.detail.contains("a answered")));
    }

    #[test]
    fn nor_may_one_whose_peer_answers() {
        let (mut story, chain) = due();
        story.wait(2_000);
        let call = story.read(7);
        story.wait(10).response(("a", "b", call), (code::PULL, 19), &[], b"");
        story.wait(1_000);
        park(&mut story, chain);
        story.breaks("P1", "a answered 1000 ms before");
    }

    #[test]
    fn an_answer_that_its_home_no_longer_waits_for_tells_nobody() {
        // What ended another attempt, how long that had lasted, and whether the answer counts all the same.
        for (cause, took_ms, counts) in [("timeout", 3_000, false), ("timeout", 1, true), ("refused", 3_000, true)] {
            let (mut story, due) = due();
            let mut other = chain("t", 1, story.now_ms).attempt(1).open(story.now_ms + 60_000);
            story.durable("b", vec![other.clone().fact()]);
            let call = story.wait(2_000).read(7);
            other = other.failed(cause);
            other.latest[0].failure.took_ms = took_ms;
            story.wait(5).durable("b", vec![other.fact()]);
            story.wait(5).response(("a", "b", call), (code::PULL, 19), &[], b"").wait(1_000);
            park(&mut story, due);
            assert_eq!(story.is_blamed("P1", "a answered"), counts, "{cause} after {took_ms} ms");
        }
    }

    #[test]
    fn a_slave_s_answer_counts_for_reads_and_not_for_hand_overs() {
        for moves in [false, true] {
            let (mut story, mut chain) = due();
            if moves {
                chain.state = ChainState::Moving { to: "a".into(), due_ms: at(story.now_ms), revive_ms: 0 };
                story.durable("b", vec![chain.clone().fact()]);
            }
            story.obligations.slaves.insert("a-s1".into(), "a".into());
            let call = story.wait(2_000).read_slave(7);
            story.wait(10).response(("a-s1", "b", call), (code::PULL, 19), &[], b"");
            story.wait(990);
            park(&mut story, chain);
            let blamed = story.judge().violations.iter().any(|it| it.detail.contains("a answered 990 ms before"));
            assert_eq!(blamed, !moves);
        }
    }

    #[test]
    fn an_answer_that_does_not_arrive_in_time_tells_nobody() {
        for (arrives_ms, blamed) in [(Some(500), true), (Some(9_500), false), (None, false)] {
            let (mut story, chain) = due();
            story.obligations.policy.total_ms = Some(12_000);
            let call = story.wait(1_000).read(7);
            story.response(("a", "b", call), (code::PULL, 19), &[], b"").arrives(arrives_ms);
            story.wait(11_000);
            park(&mut story, chain);
            let found = story.judge().violations.iter().any(|it| it.detail.contains("a answered"));
            assert_eq!(found, blamed, "it arrives after {arrives_ms:?} ms");
        }
    }

    #[test]
    fn waiting_ends() {
        for (restarts, blamed) in [(false, true), (true, false)] {
            let (mut story, chain) = due();
            story.wait(500_000);
            if restarts {
                story.event(EventKind::Node { node: "b".into(), event: "started".into() });
            }
            story.wait(200_000);
            park(&mut story, chain);
            let found =
                story.judge().violations.iter().any(|it| it.promise == "P4" && it.detail.contains("it lay due"));
            assert_eq!(found, blamed, "{restarts}");
        }
    }

    #[test]
    fn a_home_that_cannot_confirm_begins_nothing() {
        for (confirmed_after_ms, blamed) in [(0, true), (690_000, false)] {
            let (mut story, chain) = due();
            story.obligations.slaves.insert("b-s1".into(), "b".into());
            story.obligations.degrees.insert("b".into(), 2);
            let entry = story.last_entry_of("b");
            story.wait(confirmed_after_ms);
            story.event(EventKind::Noted(Noted::Durable { node: "b-s1".into(), sync: 1, entry }));
            story.wait(700_000 - confirmed_after_ms);
            park(&mut story, chain);
            let found =
                story.judge().violations.iter().any(|it| it.promise == "P4" && it.detail.contains("it lay due"));
            assert_eq!(found, blamed, "confirmed after {confirmed_after_ms} ms");
        }
    }

    #[test]
    fn an_answer_that_comes_too_late_tells_nobody() {
        for (after_ms, blamed) in [(9_000, true), (9_500, false)] {
            let (mut story, chain) = due();
            let call = story.read(7);
            story.wait(after_ms).response(("a", "b", call), (code::PULL, 19), &[], b"");
            story.wait(10_000 - after_ms);
            story.obligations.policy.total_ms = Some(10_000);
            park(&mut story, chain);
            let found = story.judge().violations.iter().any(|it| it.detail.contains("a answered"));
            assert_eq!(found, blamed, "answered after {after_ms} ms");
        }
    }
}
