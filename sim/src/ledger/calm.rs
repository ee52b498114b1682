//! When nothing was broken: what has to go well then, whatever was lost before.

use std::collections::BTreeSet;

use super::Ledger;
use crate::{history::EventKind, plan::SimMs};

/// How a node goes away.
const GOES: [&str; 5] = ["killed", "crashed", "stopping", "stopped", "paused"];
/// How it comes back.
const COMES: [&str; 3] = ["started", "started again in its process", "resumed"];

impl Ledger<'_> {
    /// Whether right before `event` all nodes had been there, and nothing had been broken, for so long.
    #[must_use]
    pub fn was_calm(&self, event: usize, for_ms: SimMs) -> bool {
        let Some(since_ms) = self.at_ms(event).checked_sub(for_ms) else { return false };
        let since = self.history.events.partition_point(|it| it.at_ms < since_ms);
        let mut away = BTreeSet::new();
        for (number, it) in self.history.events[..event].iter().enumerate() {
            let EventKind::Node { node, event: what } = &it.kind else { continue };
            let (goes, comes) = (GOES.contains(&what.as_str()), COMES.contains(&what.as_str()));
            if (goes || comes) && number >= since {
                return false;
            }
            match goes {
                true => drop(away.insert(node)),
                false if comes => drop(away.remove(node)),
                false => {}
            }
        }
        away.is_empty() && !self.is_broken_at(event) && !self.was_disturbed(since, event)
    }

    /// Whether a master may not have the lease that it needs: neither its slave nor the group that would keep its chains may
    /// have been there to renew it.
    #[must_use]
    pub fn may_lack_lease(&self, broker: &str, event: usize) -> bool {
        let long_ms = 2 * self.obligations.acting_after_ms + 60_000;
        self.obligations.needs_lease(broker) && !self.was_calm(event, long_ms)
    }
}

#[cfg(test)]
mod tests {
    use crate::{history::EventKind, ledger::Ledger, oracles::fixture::Story};

    fn is_calm(story: &Story) -> bool {
        let ledger = Ledger::fold(&story.history, &story.obligations);
        ledger.was_calm(story.history.events.len() - 1, 60_000)
    }

    fn node(event: &str) -> EventKind {
        EventKind::Node { node: "b".into(), event: event.into() }
    }

    #[test]
    fn it_takes_a_while_after_everybody_is_back() {
        let mut story = Story::new();
        story.wait(61_000).durable("a", vec![]);
        assert!(is_calm(&story));
        story.event(node("killed")).wait(90_000).durable("a", vec![]);
        assert!(!is_calm(&story), "it is still away");
        story.event(node("started")).wait(59_000).durable("a", vec![]);
        assert!(!is_calm(&story));
        story.wait(2_000).durable("a", vec![]);
        assert!(is_calm(&story));
    }
}
