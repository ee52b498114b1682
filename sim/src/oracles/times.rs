//! How long it takes until somebody acts for a master, until consumers get something again, and until it is taken back.
//!
//! Nothing is judged here: these are figures, simulated time, of which a sweep shows the distribution.

use std::collections::BTreeMap;

use crate::{
    evidence::{ChainState, CopyPlace, Outcome},
    ledger::{ChainLife, Ledger, Merged, Seal, wire::Delivery},
    plan::SimMs,
};

/// From the last that a slave heard of its master to its term: the failure is noticed, and the target has sealed.
pub const SLAVE_ACTS: &str = "slave-acts";

/// From the last that a slave heard of its master to the next delivery of a message of that group, by the slave or as a
/// copy at the target: that clients look up the route is in it.
pub const NEXT_DELIVERY: &str = "next-delivery";

/// From when a chain of the absent master's was due, or its slave took its term, to its copy.
pub const REVIVED_FOR_ABSENT: &str = "revived-for-absent";

/// From the first that a master hears of a slave that acts to its merge: if this is long, the target could not be asked.
pub const TAKEN_BACK: &str = "taken-back";

/// Name of a figure → its values, ms, in the order of the run.
pub type Times = BTreeMap<&'static str, Vec<SimMs>>;

pub(super) fn times(ledger: &Ledger<'_>) -> Times {
    let mut times = Times::new();
    for seal in ledger.seals.iter().filter(|seal| seal.member != 0) {
        let Some(takeover) = Takeover::of(ledger, seal) else { continue };
        let mut note = |name, value: Option<SimMs>| times.entry(name).or_default().extend(value);
        note(SLAVE_ACTS, Some(takeover.acts_ms - takeover.heard_ms));
        note(NEXT_DELIVERY, takeover.next_delivery_ms().map(|at_ms| at_ms - takeover.heard_ms));
        note(TAKEN_BACK, takeover.waited_ms());
        for (due_ms, copied_ms) in takeover.revived() {
            note(REVIVED_FOR_ABSENT, Some(copied_ms - due_ms.max(takeover.acts_ms)));
        }
    }
    times
}

/// A slave has taken a term.
struct Takeover<'l> {
    ledger: &'l Ledger<'l>,
    seal: &'l Seal<'l>,
    slave: &'l str,
    heard_ms: SimMs,
    acts_ms: SimMs,
    /// The next merge by the master itself.
    merged: Option<&'l Merged<'l>>,
    /// When the term was over: with that merge, with the next term, or with the run.
    over_ms: SimMs,
}

impl<'l> Takeover<'l> {
    /// `None` when it is a term of one that acted already, or it never heard of its master.
    fn of(ledger: &'l Ledger<'l>, seal: &'l Seal<'l>) -> Option<Self> {
        let is_own = |other: &&Seal<'_>| other.group == seal.group && other.node == seal.node;
        let before = ledger.seals.iter().filter(is_own).rfind(|other| other.event < seal.event);
        if before.is_some_and(|before| before.member != 0) {
            return None;
        }
        let slave = ledger.obligations.slave(seal.group, seal.member)?;
        let acts_ms = ledger.at_ms(seal.event);
        let answers = ledger.replicas.polls(slave).iter().filter_map(|poll| poll.answer?.arrived_ms);
        let heard_ms = answers.filter(|at_ms| *at_ms <= acts_ms).max()?;
        let merges = |it: &&Merged<'_>| it.node == seal.group && it.group == seal.group && it.event > seal.event;
        let merged = ledger.merges.iter().find(merges);
        let over = merged.map_or(ledger.history.events.len().saturating_sub(1), |merged| merged.event);
        let (merged, over_ms) = (merged, ledger.at_ms(over));
        Some(Self { ledger, seal, slave, heard_ms, acts_ms, merged, over_ms })
    }

    fn lasts(&self, at_ms: SimMs) -> bool {
        (self.acts_ms..=self.over_ms).contains(&at_ms)
    }

    /// When a message that the slave has, or a copy of one, next left for a consumer.
    fn next_delivery_ms(&self) -> Option<SimMs> {
        let copies: Vec<(&str, &str, i32, i64)> =
            self.copies().map(|(life, copy, _)| (life.node, copy.topic.as_str(), copy.queue, copy.offset)).collect();
        let deliveries = self.ledger.wire.deliveries.iter().filter(|it| self.lasts(it.at_ms));
        let is_one = |it: &&Delivery<'_>| {
            let place = (it.call.to, it.topic.as_str(), it.message.queue, it.message.offset);
            it.call.server == self.slave || copies.contains(&place)
        };
        deliveries.filter(is_one).map(|it| it.at_ms).min()
    }

    /// Chains of the master's that the target revived meanwhile: with their copies, and when they were made.
    fn copies(&self) -> impl Iterator<Item = (&'l ChainLife<'l>, &'l CopyPlace, SimMs)> {
        let lives = self.ledger.chains.iter().filter(|life| {
            let is_handed = |of: &(String, u64)| of.0 == self.seal.group;
            life.node == self.seal.node && life.steps[0].chain.acted_for.as_ref().is_some_and(is_handed)
        });
        lives
            .filter_map(|life| {
                let copied = life.steps.iter().find_map(|step| match &step.chain.state {
                    ChainState::Ended { outcome: Outcome::Revived(copy), .. } => Some((copy, step.at_ms)),
                    _ => None,
                });
                copied.map(|(copy, at_ms)| (life, copy, at_ms))
            })
            .filter(|(_, _, at_ms)| self.lasts(*at_ms))
    }

    /// When they were due, and when their copies were made; of those that are due by their first attempt.
    fn revived(&self) -> impl Iterator<Item = (SimMs, SimMs)> {
        self.copies().filter_map(|(life, _, copied_ms)| {
            let first = &life.steps[0];
            let ChainState::Open { due_ms } = first.chain.state else { return None };
            // As long after it was handed over as its home's clock says.
            let waits_ms = u64::try_from(due_ms.saturating_sub(first.entry.at_ms)).unwrap_or(0);
            let due_ms = first.at_ms.saturating_add(waits_ms);
            (due_ms <= copied_ms).then_some((due_ms, copied_ms))
        })
    }

    fn waited_ms(&self) -> Option<SimMs> {
        let polls = self.ledger.replicas.polls(self.slave).iter();
        let asked = polls.filter(|poll| poll.event > self.seal.event).filter_map(|poll| poll.request.arrived_ms);
        let merged_ms = self.ledger.at_ms(self.merged?.event);
        asked.filter(|at_ms| *at_ms <= merged_ms).min().map(|asked_ms| merged_ms - asked_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::{ChainFact, Fact, frame::code},
        oracles::fixture::{Story, at, chain, encode, message},
    };

    fn poll(story: &mut Story) {
        let call = story.request("a-s1", "a", code::REPLICATE, &[], b"");
        story.response(("a", "a-s1", call), (code::REPLICATE, 0), &[], b"");
    }

    /// The slave hears of its master for the last time, and takes a term 30 s later.
    fn taken_over() -> Story {
        let mut story = Story::with_slave();
        story.obligations.acting.insert("a".into(), "b".into());
        poll(&mut story);
        story.wait(30_000).durable("b", vec![Fact::Sealed { group: "a".into(), term: 2, member: 1 }]);
        story
    }

    fn values(story: &mut Story, name: &str) -> Vec<SimMs> {
        story.judge().times.remove(name).unwrap_or_default()
    }

    #[test]
    fn a_slave_acts_so_long_after_it_heard_of_its_master() {
        let mut story = taken_over();
        story.wait(10).durable("b", vec![Fact::Sealed { group: "a".into(), term: 3, member: 1 }]);
        assert_eq!(
            values(&mut story, SLAVE_ACTS),
            [30_000],
            "a further term of it is none of another master's absence"
        );
    }

    #[test]
    fn the_next_delivery_is_the_slave_s() {
        let mut story = taken_over();
        let call = story.request("c", "a-s1", code::POP, &[("consumerGroup", "g"), ("topic", "t")], b"");
        let time = at(story.wait(2_000).now_ms).to_string();
        let body = encode(&message("t", 0, 1, 0));
        story.response(("a-s1", "c", call), (code::POP, 0), &[("popTime", &time)], &body);
        assert_eq!(values(&mut story, NEXT_DELIVERY), [32_000]);
    }

    #[test]
    fn a_chain_of_the_absent_master_s_is_revived_so_long_after_it_was_due() {
        let mut story = taken_over();
        let moved = ChainFact { acted_for: Some(("a".into(), 2)), ..chain("t", 0, 5).open(story.now_ms + 5_000) };
        story.durable("b", vec![moved.clone().fact()]).wait(6_000);
        let copy = Fact::Message(message("%RETRY%g_t", 0, 1, 1));
        story.durable("b", vec![copy, moved.revived("%RETRY%g_t", 0).fact()]);
        assert_eq!(values(&mut story, REVIVED_FOR_ABSENT), [1_000]);
    }

    #[test]
    fn a_master_that_hears_of_its_slave_has_merged_so_long_after() {
        let mut story = taken_over();
        poll(story.wait(60_000));
        story.wait(2_000).durable("a", vec![Fact::Merged { group: "a".into(), term: 3 }]);
        assert_eq!(values(&mut story, TAKEN_BACK), [2_000]);
        assert!(values(&mut taken_over(), TAKEN_BACK).is_empty(), "it has not");
    }
}
