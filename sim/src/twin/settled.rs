//! What became of each message for each group, whatever way it took.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    evidence::{ChainState, Outcome, ParkReason},
    history::{LedgerId, Seen},
    ledger::{GroupSpec, Ledger, Stored},
};

/// How a branch of a message's lineage ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A consumer acked it.
    Acked,
    /// It lies in the dead-letter topic.
    DeadLettered,
    /// It does not exist any more, and that is proved.
    Gone,
    /// It waits for an operator.
    Parked,
    /// It never ended, or nobody ever popped it.
    Open,
}

impl End {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acked => "acked",
            Self::DeadLettered => "dead-lettered",
            Self::Gone => "gone",
            Self::Parked => "parked",
            Self::Open => "open",
        }
    }
}

/// All ends of one message for one group.
pub type Settled = BTreeSet<End>;

/// The ends of every message that was sent with success, for each group that takes it.
#[must_use]
pub fn settled(ledger: &Ledger<'_>) -> BTreeMap<(LedgerId, String), Settled> {
    let mut all = BTreeMap::new();
    for (_, sent) in ledger.sends.iter().filter(|(_, sent)| matches!(sent.seen, Seen::Ok(_))) {
        let wants = |group: &&GroupSpec| group.topic == sent.topic && group.wants(sent.tag.as_deref());
        for group in ledger.obligations.groups.iter().filter(wants) {
            let is_popped =
                |stored: &&Stored<'_>| stored.place.topic == group.topic || group.is_retry_topic(stored.place.topic);
            let popped = ledger.stamped(&sent.ledger).filter(is_popped);
            let ends: Settled = popped.flat_map(|stored| ends(ledger, stored, &group.name)).collect();
            // Where a group begins that begins at the end, faults decide as well; whether it was owed what it was never
            // given is for P1 to say.
            if !group.starts_at_end || ends.iter().any(|end| *end != End::Open) {
                all.insert((sent.ledger.clone(), group.name.clone()), ends);
            }
        }
    }
    all
}

/// The ends of the chains about one stored message; chains that go on elsewhere have none.
///
/// Two brokers may know one chain: it stands where it has got furthest.
fn ends(ledger: &Ledger<'_>, stored: &Stored<'_>, group: &str) -> Vec<End> {
    let mut furthest: BTreeMap<String, (u8, Option<End>)> = BTreeMap::new();
    for life in ledger.chains_of(stored.place, group) {
        let reached = reached(&life.last().state);
        let known = furthest.entry(life.id.to_string()).or_insert(reached);
        *known = reached.max(*known);
    }
    if furthest.is_empty() {
        let is_acked = ledger.foreign.acked_within(stored.place, group).is_some();
        return vec![if is_acked { End::Acked } else { End::Open }];
    }
    furthest.into_values().filter_map(|(_, end)| end).collect()
}

/// How far a chain in this state has got, and its end, unless it goes on as another one.
const fn reached(state: &ChainState) -> (u8, Option<End>) {
    match state {
        ChainState::Open { .. } | ChainState::Moving { .. } => (0, Some(End::Open)),
        // Where it went it may have got further.
        ChainState::Parked { reason: ParkReason::UnknownAt { .. }, .. } => (1, Some(End::Parked)),
        ChainState::Moved { .. } => (2, None),
        ChainState::Parked { .. } => (3, Some(End::Parked)),
        ChainState::Ended { outcome, .. } => match outcome {
            Outcome::Acked => (4, Some(End::Acked)),
            Outcome::DeadLettered(_) => (4, Some(End::DeadLettered)),
            Outcome::Gone(_) => (4, Some(End::Gone)),
            Outcome::Superseded(_) | Outcome::Revived(_) | Outcome::Reset => (4, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::fixture::Story;

    fn ends_of(story: &Story) -> Vec<&'static str> {
        let ledger = Ledger::fold(&story.history, &story.obligations);
        settled(&ledger).into_values().flatten().map(End::name).collect()
    }

    #[test]
    fn a_message_has_the_ends_of_its_chains() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        assert_eq!(ends_of(&story), ["open"], "nobody has popped it");
        let chain = story.pop("t", 0, 1, 0);
        assert_eq!(ends_of(&story), ["open"], "it was popped");
        story.durable("a", vec![chain.clone().ended(Outcome::Acked).fact()]);
        assert_eq!(ends_of(&story), ["acked"]);
    }

    #[test]
    fn what_a_late_group_was_never_given_is_not_compared() {
        let mut story = Story::new();
        story.obligations.groups[0].starts_at_end = true;
        story.send(1, 0).wait(10);
        assert_eq!(ends_of(&story), Vec::<&str>::new());
        let chain = story.pop("t", 0, 1, 0);
        story.durable("a", vec![chain.ended(Outcome::Acked).fact()]);
        assert_eq!(ends_of(&story), ["acked"]);
    }

    #[test]
    fn a_chain_that_two_brokers_know_stands_where_it_has_got_furthest() {
        let mut story = Story::new();
        story.send(1, 0).wait(10);
        let chain = story.pop("t", 0, 1, 0);
        let mut parked = chain.clone();
        parked.state = ChainState::Parked { reason: ParkReason::UnknownAt { broker: "b".into() }, at_ms: 0 };
        story.durable("a", vec![parked.fact()]);
        assert_eq!(ends_of(&story), ["parked"]);
        let mut parked = chain.clone();
        parked.state = ChainState::Parked { reason: ParkReason::PolicyExhausted, at_ms: 0 };
        story.durable("b", vec![parked.fact()]);
        let mut moved = chain.clone();
        moved.state = ChainState::Moved { to: "b".into() };
        story.durable("a", vec![moved.fact()]);
        assert_eq!(ends_of(&story), ["parked"], "it was given up where it went");
        story.durable("b", vec![chain.ended(Outcome::Acked).fact()]);
        assert_eq!(ends_of(&story), ["acked"]);
    }
}
