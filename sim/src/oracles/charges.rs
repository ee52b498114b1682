//! What is charged: at degree 1 a master tells what no other disk has.
//!
//! When its slave takes a term, the slave lacks the end of its master's log. What that end says of a message (that it was
//! popped, acked, revived, delivered) nobody who acts can know, and what follows from that is no violation: the message comes
//! once more, or its ack is answered as one of nothing known. It is charged to the entry, and nothing else is: whatever the
//! master wrote after the slave had taken its term, and whatever the slave had, has to be heeded.

use std::collections::BTreeMap;

use super::{Charge, Violation};
use crate::{
    evidence::ChainState,
    history::LedgerId,
    ledger::{ChainStep, Ledger, Seal},
    plan::SimMs,
};

/// Promises that break for what is not known.
const CHARGED: [&str; 3] = ["P2", "P3", "P6"];

/// An entry that a slave lacked when it took a term.
#[derive(Debug, Clone)]
struct Unshared {
    since_ms: SimMs,
    excuse: String,
}

/// Takes what is to be charged from what was found.
pub(super) fn charge(ledger: &Ledger<'_>, violations: Vec<Violation>) -> (Vec<Violation>, Vec<Charge>) {
    let unshared = unshared(ledger);
    let (mut kept, mut charges) = (Vec::new(), Vec::new());
    for violation in violations {
        let of = violation.ledger.as_ref().and_then(|message| unshared.get(message));
        match of.filter(|of| CHARGED.contains(&violation.promise) && violation.at_ms >= of.since_ms) {
            Some(Unshared { excuse, .. }) => {
                let Violation { promise, at_ms, subject, detail, .. } = violation;
                charges.push(Charge { promise, at_ms, subject, excuse: format!("{detail}: {excuse}") });
            }
            None => kept.push(violation),
        }
    }
    (kept, charges)
}

/// The messages about which entries that confirmed alone say something which a slave did not know when it took a term.
fn unshared(ledger: &Ledger<'_>) -> BTreeMap<LedgerId, Unshared> {
    let mut unshared = BTreeMap::new();
    for seal in ledger.seals.iter().filter(|seal| seal.member != 0 && ledger.obligations.needs_lease(seal.group)) {
        let Some(slave) = ledger.obligations.slave(seal.group, seal.member) else { continue };
        let log = ledger.replicas.log(slave);
        let had = log[..log.partition_point(|step| step.event < seal.event)].last().map_or(0, |step| step.entry.index);
        let lacks = |index, event| index > had && is_before(ledger, seal, event);
        for life in ledger.chains.iter().filter(|life| life.node == seal.group) {
            // What has moved the other group knows, and tells whoever acts.
            let is_told_elsewhere = |step: &ChainStep<'_>| matches!(step.chain.state, ChainState::Moved { .. });
            let mut only_here = life.steps.iter().filter(|step| !is_told_elsewhere(step));
            if let Some(step) = only_here.find(|step| lacks(step.entry.index, step.event))
                && let Some(message) = ledger.stored(&life.origin()).and_then(|stored| stored.message.ledger.clone())
            {
                unshared.entry(message).or_insert_with(|| of(ledger, seal, (step.entry.index, had)));
            }
        }
        for fired in ledger.fired.iter().filter(|fired| fired.node == seal.group) {
            let timer = ledger.timers.iter().find(|timer| (timer.node, timer.record) == (fired.node, fired.record));
            if lacks(fired.entry.index, fired.event)
                && let Some(message) = timer.and_then(|timer| timer.message.ledger.clone())
            {
                unshared.entry(message).or_insert_with(|| of(ledger, seal, (fired.entry.index, had)));
            }
        }
    }
    unshared
}

/// Whether an entry of the master's was written before the term was taken; it may take its disk a moment.
fn is_before(ledger: &Ledger<'_>, seal: &Seal<'_>, event: usize) -> bool {
    ledger.at_ms(event) <= ledger.at_ms(seal.event) + ledger.obligations.writes_within_ms(seal.group)
}

fn of(ledger: &Ledger<'_>, seal: &Seal<'_>, (index, had): (u64, u64)) -> Unshared {
    let Seal { group, term, member, .. } = seal;
    let excuse =
        format!("entry {index} of {group} was on its own disk alone: member {member} had {had} at term {term}");
    Unshared { since_ms: ledger.at_ms(seal.event).saturating_sub(1), excuse }
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{Fact, Outcome},
        oracles::fixture::{Story, message},
    };

    /// A message that was popped and acked, of which the slave has only that it was popped; then that takes a term, and the
    /// message comes once more.
    fn acked_alone(is_followed: bool, degree: u32) -> Story {
        let mut story = Story::with_slave();
        story.obligations.acting.insert("a".into(), "b".into());
        story.obligations.degrees.insert("a".into(), degree);
        story.send(1, 0);
        let chain = story.pop("t", 0, 1, 0);
        story.replicate(1).replicate(2).replicate(3);
        story.absorb(&chain, 1, 0);
        if is_followed {
            story.replicate(4);
        }
        story.wait(40_000).durable("b", vec![Fact::Sealed { group: "a".into(), term: 2, member: 1 }]);
        story.wait(1_000).durable("b", vec![Fact::Message(message("%RETRY%g_t", 0, 1, 1))]);
        story.durable("b", vec![chain.ended(Outcome::Acked).fact()]);
        story
    }

    #[test]
    fn what_a_slave_could_not_know_is_charged_and_what_it_knew_is_not() {
        let judged = |mut story: Story| {
            let verdict = story.judge();
            (verdict.violations.iter().filter(|it| it.promise == "P3").count(), verdict.charges.len())
        };
        let (violations, charges) = judged(acked_alone(false, 1));
        assert!(violations == 0 && charges > 0, "{violations} {charges}");
        let (violations, charges) = judged(acked_alone(true, 1));
        assert!(violations > 0 && charges == 0, "{violations} {charges}");
        let (violations, charges) = judged(acked_alone(false, 2));
        assert!(violations > 0 && charges == 0, "{violations} {charges}: what is confirmed the slave has");
    }
}
