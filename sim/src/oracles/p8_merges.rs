//! Part of P8: whoever keeps chains for an absent master hears that they are merged; until then it may forget none.
//!
//! Rule: [`HEARD_WITHIN_MS`] after a merge, if nothing was broken in that time, the group that keeps its chains knows of it,
//! or of a later one.

use super::Findings;
use crate::{ledger::Ledger, plan::SimMs};

/// How long it may take, ms: the master tells it again every few seconds.
const HEARD_WITHIN_MS: SimMs = 30_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let events = &ledger.history.events;
    let Some(end) = events.len().checked_sub(1) else { return };
    let end_ms = ledger.at_ms(end);
    let since = events.partition_point(|event| event.at_ms.saturating_add(HEARD_WITHIN_MS) < end_ms);
    if ledger.was_disturbed(since, end) {
        return;
    }
    for merge in ledger.merges.iter().filter(|merge| merge.node == merge.group && merge.event < since) {
        let Some(target) = ledger.obligations.acting.get(merge.group) else { continue };
        let knows = |node: &str| node == target;
        let is_known =
            ledger.merges.iter().any(|it| knows(it.node) && it.group == merge.group && it.term >= merge.term);
        if !is_known {
            found.broken(end_ms, merge.group, format!("{target} does not know that term {} is merged", merge.term));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HEARD_WITHIN_MS;
    use crate::{evidence::Fact, history::EventKind, oracles::fixture::Story};

    fn merged(story: &mut Story, node: &str, term: u64) {
        story.durable(node, vec![Fact::Merged { group: "a".into(), term }]);
    }

    fn story() -> Story {
        let mut story = Story::with_slave();
        story.obligations.acting.insert("a".into(), "b".into());
        merged(&mut story, "a", 2);
        story
    }

    fn is_blamed(story: &mut Story) -> bool {
        story.wait(HEARD_WITHIN_MS + 1).durable("b", vec![]);
        story.is_blamed("P8", "b does not know that term 2 is merged")
    }

    #[test]
    fn a_merge_that_its_target_hears_of_is_right() {
        let mut story = story();
        merged(&mut story, "b", 3);
        assert!(!is_blamed(&mut story));
    }

    #[test]
    fn one_that_it_never_hears_of_is_not() {
        let mut story = story();
        merged(&mut story, "b", 1);
        assert!(is_blamed(&mut story));
    }

    #[test]
    fn while_something_is_broken_it_may_take_longer() {
        let mut story = story();
        story.wait(HEARD_WITHIN_MS).event(EventKind::Node { node: "b".into(), event: "killed".into() });
        story.wait(1_000).durable("b", vec![]);
        assert!(!story.is_blamed("P8", "does not know"));
    }
}
