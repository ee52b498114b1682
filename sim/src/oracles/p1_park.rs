//! When a park is believed: an operator must not be told "given up" by a broker that did not try.
//!
//! A policy is used up when all its attempts were made durable, or its total time has run. An attempt need not show at
//! the wire (nobody listens, a connect hangs, the home dies), so failures are told apart: one caused by an answer needs
//! a read that left, any other needs that something was broken at all. A permanent reason needs a read of this round
//! that was answered so; an answer made up by the network never leaves a server, so an unanswered read in disturbed
//! time is believed. A chain whose message lies on the same disk has no reason to be parked, except that the store
//! refused the copy.

use super::Reads;
use crate::{
    evidence::{FailedAttempt, ParkReason},
    ledger::{ChainLife, Ledger, wire::Pull},
};

/// Answers that no retry can change: offset moved, no permission, no topic, no group, invalid parameter.
const PERMANENT: [i32; 5] = [16, 17, 21, 26, 29];

/// Causes that come from no answer.
const UNANSWERED: [&str; 6] = ["timeout", "refused", "reset", "no-route", "overloaded", "local-store"];

pub(super) fn check(
    ledger: &Ledger<'_>,
    reads: &Reads<'_>,
    life: &ChainLife<'_>,
    reason: &ParkReason,
) -> Result<(), String> {
    let chain = life.last();
    let parked = life.steps[life.steps.len() - 1].event;
    let began = life.steps.iter().find(|step| step.chain.round == chain.round).map_or(0, |step| step.event);
    let failures: Vec<_> = chain.latest.iter().filter(|failed| failed.round == chain.round).collect();
    let refused = failures.last().is_some_and(|failed| failed.failure.cause.name == "local-store");
    if refused {
        return Ok(());
    }
    let is_local = life.node == life.id.broker && ledger.stored(&life.origin()).is_some();
    let in_round = |pull: &&&Pull<'_>| (began..=parked).contains(&pull.call.event);
    let pulls: Vec<_> = reads.of_chain(life.node, life.id).iter().filter(in_round).copied().collect();
    let told = |why: String| Err(format!("chain {} parked at {}: {why}", life.id, life.node));
    match reason {
        ParkReason::UnknownAt { .. } if is_used_up(ledger, life) => Ok(()),
        ParkReason::PolicyExhausted | ParkReason::Permanent if is_local => {
            told("its message lies on the same disk".into())
        }
        ParkReason::PolicyExhausted | ParkReason::UnknownAt { .. } if !is_used_up(ledger, life) => {
            told(format!("{} attempts of {} were made", chain.attempt, ledger.obligations.policy.attempts()))
        }
        ParkReason::Permanent => {
            let answered = |pull: &&Pull<'_>| match pull.call.answer {
                Some((event, code)) if event <= parked => PERMANENT.contains(&code),
                _ => ledger.was_disturbed(pull.call.event.saturating_sub(1), parked),
            };
            if pulls.iter().any(answered) { Ok(()) } else { told("no read was answered with a permanent error".into()) }
        }
        _ => exhausted(ledger, &failures, &pulls, parked).or_else(told),
    }
}

fn exhausted(
    ledger: &Ledger<'_>,
    failures: &[&FailedAttempt],
    pulls: &[&Pull<'_>],
    parked: usize,
) -> Result<(), String> {
    let by_answer = |failed: &&&FailedAttempt| !UNANSWERED.contains(&failed.failure.cause.name.as_str());
    let answered = failures.iter().filter(by_answer).count();
    if answered > pulls.len() {
        return Err(format!("{answered} attempts failed by an answer, {} reads left", pulls.len()));
    }
    if failures.len() > pulls.len() && !ledger.was_disturbed(0, parked) {
        return Err(format!("{} attempts failed, {} reads left, nothing was broken", failures.len(), pulls.len()));
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
    let spent = last.entry.at_ms - first.entry.at_ms + policy.longest_wait_ms(last.chain.attempt);
    spent > i64::try_from(total).unwrap_or(i64::MAX)
}
