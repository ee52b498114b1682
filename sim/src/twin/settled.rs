//! What became of each message for each group, whatever way it took.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    evidence::{ChainState, Outcome},
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
            all.insert((sent.ledger.clone(), group.name.clone()), ends);
        }
    }
    all
}

/// The ends of the chains about one stored message; chains that go on elsewhere have none.
fn ends(ledger: &Ledger<'_>, stored: &Stored<'_>, group: &str) -> Vec<End> {
    let mut chains = ledger.chains_of(stored.place, group).peekable();
    if chains.peek().is_none() {
        return vec![End::Open];
    }
    let end = |state: &ChainState| match state {
        ChainState::Open { .. } | ChainState::Moving { .. } => Some(End::Open),
        ChainState::Parked { .. } => Some(End::Parked),
        ChainState::Moved { .. } => None,
        ChainState::Ended { outcome, .. } => match outcome {
            Outcome::Acked => Some(End::Acked),
            Outcome::DeadLettered(_) => Some(End::DeadLettered),
            Outcome::Gone(_) => Some(End::Gone),
            Outcome::Superseded(_) | Outcome::Revived(_) | Outcome::Reset => None,
        },
    };
    chains.filter_map(|life| end(&life.last().state)).collect()
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
}
