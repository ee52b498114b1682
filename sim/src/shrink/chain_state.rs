//! Where the chain of a message stood when it showed that a promise is broken.

use crate::{
    evidence::ChainState,
    ledger::{ChainStep, Ledger},
    oracles::Violation,
};

/// The state of the message's chain at that moment, `None` if the violation is about no message or that had no chain yet.
///
/// It is the last that any chain of the message had come to, of the groups that the violation names if it names any. Where
/// a chain was handed over it is told by its new home.
pub(super) fn chain_state(violation: &Violation, ledger: &Ledger<'_>) -> Option<&'static str> {
    let stamp = violation.ledger.as_ref()?;
    let all = || ledger.obligations.groups.iter().map(|group| group.name.as_str());
    let named = |group: &&str| words(&violation.detail).any(|word| word == *group);
    let is_any_named = all().any(|group| named(&group));
    let mut latest: Option<(bool, &ChainStep<'_>)> = None;
    for group in all().filter(|group| !is_any_named || named(group)) {
        for life in ledger.stamped(stamp).flat_map(|stored| ledger.chains_of(stored.place, group)) {
            let known = life.steps.partition_point(|step| step.at_ms <= violation.at_ms);
            let Some(step) = known.checked_sub(1).map(|last| &life.steps[last]) else { continue };
            let is_here = !matches!(step.chain.state, ChainState::Moved { .. });
            if latest.is_none_or(|(was_here, before)| (was_here, before.event) <= (is_here, step.event)) {
                latest = Some((is_here, step));
            }
        }
    }
    latest.map(|(_, step)| step.chain.state.name())
}

/// The words of a detail, those of the ids in it as well.
fn words(detail: &str) -> impl Iterator<Item = &str> {
    detail.split(|c: char| !c.is_alphanumeric() && !"-_".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::fixture::{Story, stamp};

    /// The state when a promise about message 1 shows to be broken, in these words.
    fn state(story: &Story, at_ms: u64, detail: &str) -> Option<&'static str> {
        let ledger = Some(stamp(1));
        let violation = Violation { promise: "P1", at_ms, subject: "p#1".into(), detail: detail.into(), ledger };
        chain_state(&violation, &Ledger::fold(&story.history, &story.obligations))
    }

    #[test]
    fn it_is_the_last_one_by_then() {
        let mut story = Story::new();
        story.send(1, 0).wait(1_500);
        let chain = story.pop("t", 0, 1, 0);
        story.wait(10_000).revive(&chain, 0, 1, 1);
        let at = |at_ms| state(&story, at_ms, "lost for g: nobody has it");
        assert_eq!((at(1_200), at(2_500), at(12_499), at(99_999)), (None, Some("open"), Some("open"), Some("revived")));
    }

    #[test]
    fn what_is_about_no_message_has_none() {
        let (story, _) = Story::popped();
        let violation = Violation {
            promise: "P8",
            at_ms: 99_999,
            subject: "a".into(),
            detail: "too many rows".into(),
            ledger: None,
        };
        assert_eq!(chain_state(&violation, &Ledger::fold(&story.history, &story.obligations)), None);
    }

    #[test]
    fn groups_are_found_in_ids() {
        assert!(words("lost for billing: chain a/orders/3/17/billing-2/1 (open)").any(|word| word == "billing-2"));
        assert!(!words("lost for billing: it is there").any(|word| word == "bill"));
    }
}
