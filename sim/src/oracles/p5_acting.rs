//! Part of P5: a slave acts upon all that was confirmed.
//!
//! Rule: when a group takes a chain or a delayed message from a slave that acts for another group's master, the slave's disk has
//! had every entry that was confirmed there by then, unless that has left the log by retention. Where the master confirms
//! alone nobody can promise that: what comes of it is charged (`charges`).

use rustc_hash::FxHashSet;

use super::Findings;
use crate::ledger::{Ledger, Seal};

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let seals = ledger.seals.iter().filter(|seal| seal.member != 0 && !ledger.obligations.needs_lease(seal.group));
    for seal in seals {
        let Some(slave) = ledger.obligations.slave(seal.group, seal.member) else { continue };
        let Some(event) = first_taken(ledger, seal) else { continue };
        let had = entries_of(ledger, slave, event);
        let cut = ledger.cut(seal.group, event);
        let log = ledger.logs.get(seal.group).into_iter().flatten();
        let mut lacks = log
            .filter(|step| step.entry.index >= cut && !had.contains(&step.entry.index))
            .filter(|step| ledger.is_confirmed(seal.group, step.entry.index, step.event, event))
            .map(|step| step.entry.index);
        if let Some(first) = lacks.next() {
            let (group, term, count) = (seal.group, seal.term, 1 + lacks.count());
            let detail = format!(
                "it acts under term {term} and lacks {count} confirmed entries of {group}, the first is {first}"
            );
            found.broken(ledger.at_ms(event), slave, detail);
        }
    }
}

/// When something was first taken that was handed over under a term: position in the history.
fn first_taken(ledger: &Ledger<'_>, seal: &Seal<'_>) -> Option<usize> {
    let is_its = |of: &(String, u64)| (of.0.as_str(), of.1) == (seal.group, seal.term);
    let here = ledger.chains.iter().filter(|life| life.node == seal.node).flat_map(|life| &life.steps);
    let chains = here.filter(|step| step.chain.acted_for.as_ref().is_some_and(is_its)).map(|step| step.event);
    chains.min()
}

/// The indexes that were on a slave's disk before `event`. One that begins anew begins with the first again.
fn entries_of(ledger: &Ledger<'_>, slave: &str, event: usize) -> FxHashSet<u64> {
    let (mut has, mut last) = (FxHashSet::default(), 0);
    for step in ledger.replicas.log(slave).iter().take_while(|step| step.event < event) {
        if step.entry.index <= last {
            has.clear();
        }
        last = step.entry.index;
        has.insert(last);
    }
    has
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{ChainFact, Fact},
        oracles::fixture::{Story, chain},
    };

    /// `a` has confirmed two messages with its slave's help, which takes a term and hands a chain over; with so many of the
    /// entries on its disk.
    fn acts_upon(entries: u64) -> Story {
        let mut story = Story::with_slave();
        story.obligations.acting.insert("a".into(), "b".into());
        story.obligations.slaves.insert("a-s2".into(), "a".into());
        story.obligations.degrees.insert("a".into(), 2);
        story.send(1, 0).send(2, 1);
        for index in 1..=3 {
            let entry = story.entry(index);
            story.wait(10).member_has("a-s2", entry);
            if index <= entries {
                story.replicate(index);
            }
        }
        let taken =
            ChainFact { acted_for: Some(("a".into(), 2)), ..chain("t", 0, story.now_ms).open(story.now_ms + 10) };
        story.durable("b", vec![Fact::Sealed { group: "a".into(), term: 2, member: 1 }]);
        story.durable("b", vec![taken.fact()]);
        story
    }

    #[test]
    fn whoever_acts_has_what_the_other_slave_helped_to_confirm() {
        assert!(!acts_upon(3).is_blamed("P5", "it acts under term 2"));
        assert!(
            acts_upon(2).is_blamed("P5", "it acts under term 2 and lacks 1 confirmed entries of a, the first is 3")
        );
    }
}
