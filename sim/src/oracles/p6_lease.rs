//! Part of P6: a master that confirms alone and its slave do not both serve.
//!
//! Rule: once a chain was handed over under a term that the slave has taken, its master writes nothing under an earlier term:
//! its lease was over before, and it takes back first what was done. What its disk was writing when that ended may be there a
//! moment later.

use std::collections::BTreeMap;

use super::Findings;
use crate::ledger::Ledger;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    for ((group, term), handed) in handed_over(ledger) {
        let since_ms = ledger.at_ms(handed) + ledger.obligations.writes_within_ms(group);
        let log = ledger.logs.get(group).map_or(&[][..], Vec::as_slice);
        let beside = log
            .iter()
            .find(|step| step.event > handed && step.entry.term < term && ledger.at_ms(step.event) > since_ms);
        if let Some(step) = beside {
            let (index, own) = (step.entry.index, step.entry.term);
            let detail = format!("it writes entry {index} under term {own} while its slave acts under {term}");
            found.broken(ledger.at_ms(step.event), group, detail);
        }
    }
}

/// Groups whose master needs a lease, and terms of their slaves → when something was first handed over under that.
fn handed_over<'l>(ledger: &'l Ledger<'_>) -> BTreeMap<(&'l str, u64), usize> {
    let mut handed = BTreeMap::new();
    for life in &ledger.chains {
        let Some(first) = life.steps.first() else { continue };
        let Some((group, term)) = &first.chain.acted_for else { continue };
        if group != life.node && ledger.obligations.needs_lease(group) {
            let since = handed.entry((group.as_str(), *term)).or_insert(first.event);
            *since = first.event.min(*since);
        }
    }
    handed
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::ChainFact,
        oracles::fixture::{Story, chain},
    };

    fn acting(degree: u32) -> Story {
        let mut story = Story::with_slave();
        story.obligations.acting.insert("a".into(), "b".into());
        story.obligations.degrees.insert("a".into(), degree);
        story.send(1, 0).wait(40_000);
        let open = chain("t", 0, story.now_ms).open(story.now_ms + 60_000);
        story.durable("b", vec![ChainFact { acted_for: Some(("a".into(), 2)), ..open }.fact()]);
        story
    }

    #[test]
    fn a_master_that_writes_while_its_slave_acts_is_blamed() {
        let words = "while its slave acts under 2";
        for (degree, noticed) in [(1, true), (2, false)] {
            let mut story = acting(degree);
            story.wait(1_000).send(2, 1);
            assert_eq!(story.is_blamed("P6", words), noticed, "{degree}");
        }
        assert!(!acting(1).is_blamed("P6", words));
    }
}
