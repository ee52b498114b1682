//! Which situations a run got into that need a slave that acts for its master.

use crate::{
    evidence::{ChainState, Outcome},
    ledger::{ChainLife, Ledger, Seal},
};

pub(super) fn reached(ledger: &Ledger<'_>) -> impl Iterator<Item = &'static str> {
    let taken = || ledger.seals.iter().filter(|seal| seal.member != 0);
    let moved = || ledger.chains.iter().filter(|life| is_moved_by_slave(ledger, life));
    let acks = || ledger.wire.acks.iter().filter(|ack| ack.call.is_to_slave());
    let conditions = [
        ("took-over", taken().next().is_some()),
        ("popped-from-slave", ledger.wire.deliveries.iter().any(|it| it.call.is_to_slave())),
        ("acted-ack", acks().any(|ack| matches!(ack.call.answer, Some((_, 0))))),
        ("moved-by-slave", moved().next().is_some()),
        ("revived-for-absent", moved().any(|life| was_revived_for_absent(ledger, life))),
        ("switched-back", ledger.merges.iter().any(|merged| merged.node == merged.group)),
        ("took-over-again", taken().any(|seal| is_second(ledger, seal))),
        ("taken-back", ledger.has_taken_back),
        ("timer-delivered-for-absent", !ledger.taken.is_empty()),
    ];
    conditions.into_iter().filter(|(_, held)| *held).map(|(name, _)| name)
}

/// A chain that its own broker opened, and that another one has got before that broker gave it away.
fn is_moved_by_slave(ledger: &Ledger<'_>, life: &ChainLife<'_>) -> bool {
    let Some(target) = ledger.obligations.acting.get(&life.id.broker) else { return false };
    let origin = ledger.chain_at(&life.id.broker, life.id);
    let opened_there = origin.is_some_and(|origin| {
        origin.steps[0].event < life.steps[0].event && matches!(origin.steps[0].chain.state, ChainState::Open { .. })
    });
    life.node == target && opened_there
}

fn was_revived_for_absent(ledger: &Ledger<'_>, life: &ChainLife<'_>) -> bool {
    let copied = |state: &ChainState| {
        matches!(state, ChainState::Ended { outcome: Outcome::Revived(_) | Outcome::DeadLettered(_), .. })
    };
    let revived = life.steps.iter().find(|step| copied(&step.chain.state));
    revived.is_some_and(|revived| {
        let merged = |it: &&crate::ledger::Merged<'_>| it.node == it.group && it.group == life.id.broker;
        !ledger.merges.iter().filter(merged).any(|it| (life.steps[0].event..revived.event).contains(&it.event))
    })
}

fn is_second(ledger: &Ledger<'_>, seal: &Seal<'_>) -> bool {
    let mut earlier = ledger.seals.iter().filter(|other| other.group == seal.group && other.event < seal.event);
    earlier.next_back().is_some_and(|before| before.member != 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{
        evidence::Fact,
        history::{EventKind, Noted},
        ledger::Ledger,
        oracles::fixture::{Story, chain},
    };

    fn story() -> Story {
        let mut story = Story::with_slave();
        story.obligations.acting.insert("a".into(), "b".into());
        story
    }

    fn seal(term: u64, member: u64) -> Fact {
        Fact::Sealed { group: "a".into(), term, member }
    }

    fn reaches(story: &mut Story, name: &str) -> bool {
        story.judge().reached.contains(name)
    }

    #[test]
    fn a_slave_takes_over_once_or_again() {
        let mut story = story();
        story.durable("b", vec![seal(2, 1)]);
        assert!(reaches(&mut story, "took-over") && !reaches(&mut story, "took-over-again"));
        story.durable("b", vec![seal(3, 0)]).durable("b", vec![seal(4, 1)]);
        assert!(!reaches(&mut story, "took-over-again"), "its master was back in between");
        story.durable("b", vec![seal(5, 1)]);
        assert!(reaches(&mut story, "took-over-again"));
    }

    #[test]
    fn a_chain_of_the_master_that_its_target_gets_was_moved_by_its_slave() {
        let mut story = story();
        story.send(1, 0);
        let opened = chain("t", 0, story.now_ms).open(story.now_ms + 10);
        story.durable("a", vec![opened.clone().fact()]).wait(20);
        assert!(!reaches(&mut story, "moved-by-slave"));
        story.durable("b", vec![opened.fact()]);
        assert!(reaches(&mut story, "moved-by-slave"));
        assert!(!reaches(&mut story, "switched-back"));
        story.durable("a", vec![Fact::Merged { group: "a".into(), term: 3 }]);
        assert!(reaches(&mut story, "switched-back"));
    }

    #[test]
    fn what_a_later_term_has_replaced_was_taken_back_and_is_no_fact() {
        let mut story = story();
        story.send(1, 0);
        let mut entry = (*story.last_entry_of("a")).clone();
        assert!(!reaches(&mut story, "taken-back"));
        entry.term += 1;
        entry.facts = vec![Fact::Merged { group: "a".into(), term: entry.term }];
        story.event(EventKind::Noted(Noted::Durable { node: "a".into(), sync: 9, entry: Arc::new(entry) }));
        assert!(reaches(&mut story, "taken-back"));
        assert!(Ledger::fold(&story.history, &story.obligations).messages.is_empty());
    }
}
