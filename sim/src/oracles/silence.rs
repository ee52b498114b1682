//! Peers that do not answer, as the wire shows them, and what is asked of them meanwhile.
//!
//! A silence begins with a call that is not answered before the next one leaves, and ends with the next answer that
//! leaves the peer. An answer that is lost on its way ends it here too, though the caller does not know; and so does one that
//! the network makes up, for a caller that is answered, whatever with, has no dead peer.

use std::collections::BTreeMap;

use crate::{
    evidence::ChainState,
    history::EventKind,
    ledger::{ChainLife, Ledger, wire::Call},
    plan::SimMs,
};

/// What one broker asked of another in one silence.
pub(super) struct Silence<'l> {
    pub(super) from: &'l str,
    /// The broker that was asked.
    pub(super) to: &'l str,
    /// The node that does not answer: the broker's master, or a slave.
    pub(super) server: &'l str,
    /// The calls, in order.
    pub(super) calls: Vec<Call<'l>>,
}

/// The silences among these calls between brokers, which are in order for each pair. A slave that answers does not end
/// the silence of its master.
pub(super) fn silences<'l>(ledger: &Ledger<'_>, calls: impl Iterator<Item = Call<'l>>) -> Vec<Silence<'l>> {
    let is_broker = |name: &str| ledger.obligations.brokers.iter().any(|broker| broker == name);
    let mut pairs: BTreeMap<(&str, &str, &str), Vec<Call<'_>>> = BTreeMap::new();
    for call in calls.filter(|call| is_broker(call.from) && is_broker(call.to)) {
        pairs.entry((call.from, call.to, call.server)).or_default().push(call);
    }
    let mut silences = Vec::new();
    for ((from, to, server), calls) in pairs {
        let answered = |call: &Call<'_>| call.answer.map(|(event, _)| event).or_else(|| made_up(ledger, call));
        let mut answers: Vec<usize> = calls.iter().filter_map(answered).collect();
        answers.sort_unstable();
        let mut run: Vec<Call<'_>> = Vec::new();
        for call in calls {
            let heard = |since: usize| {
                let next = answers.partition_point(|answer| *answer < since);
                answers.get(next).is_some_and(|answer| *answer < call.event)
            };
            if run.last().is_some_and(|last| heard(last.event)) {
                silences.push(Silence { from, to, server, calls: std::mem::take(&mut run) });
            }
            run.push(call);
        }
        silences.push(Silence { from, to, server, calls: run });
    }
    silences
}

/// When the network answered a call in its callee's place. It does so as the request leaves, and says so.
fn made_up(ledger: &Ledger<'_>, call: &Call<'_>) -> Option<usize> {
    let next = call.event + 1;
    match &ledger.history.events.get(next)?.kind {
        EventKind::Fault { text, .. } if text.starts_with("answer: ") => Some(next),
        _ => None,
    }
}

impl Silence<'_> {
    /// The first call that is one too many, with its number, if so many are `allowed` in a silence of some ms.
    pub(super) fn excess(&self, allowed: impl Fn(SimMs) -> u64) -> Option<(u64, SimMs)> {
        let begun_ms = self.calls.first()?.at_ms;
        let is_over = |count: u64, at_ms: SimMs| count > allowed(at_ms.saturating_sub(begun_ms));
        (1..).zip(&self.calls).map(|(count, call)| (count, call.at_ms)).find(|(count, at_ms)| is_over(*count, *at_ms))
    }

    /// The calls before which nothing was asked for `span_ms`, although chains were due all the while that need it.
    pub(super) fn after_restraint(&self, ledger: &Ledger<'_>, span_ms: SimMs) -> Option<Call<'_>> {
        let pairs = self.calls.windows(2).map(|pair| (pair[0], pair[1]));
        pairs
            .filter(|(first, next)| next.at_ms - first.at_ms >= span_ms)
            .map(|(first, next)| (first.at_ms, next))
            .find_map(|(since_ms, next)| {
                let waits = |life: &&ChainLife<'_>| {
                    life.node == self.from && life.id.broker == self.to && was_due(life, since_ms, next.event)
                };
                (ledger.chains.iter().filter(waits).take(2).count() == 2).then_some(next)
            })
    }
}

/// Whether right before `event` the chain was open and had been due since `since_ms`.
fn was_due(life: &ChainLife<'_>, since_ms: SimMs, event: usize) -> bool {
    let known = life.steps.partition_point(|step| step.event < event);
    let Some(step) = known.checked_sub(1).map(|at| &life.steps[at]) else { return false };
    let ChainState::Open { due_ms } = step.chain.state else { return false };
    let waited_from = i64::try_from(step.at_ms).unwrap_or(i64::MAX).saturating_add(due_ms - step.entry.at_ms);
    waited_from <= i64::try_from(since_ms).unwrap_or(i64::MAX)
}
