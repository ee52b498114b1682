//! Whether a run had a broker or slave start badly.

use std::collections::{BTreeMap, BTreeSet};

use crate::{history::EventKind, ledger::Ledger, plan::SimMs};

/// A node that does nothing for so long after its start has not begun to work, ms.
const SILENT_MS: SimMs = 10_000;

pub(super) fn reached(ledger: &Ledger<'_>) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    // When the nodes started that have done nothing since.
    let mut idle: BTreeMap<&str, SimMs> = BTreeMap::new();
    let events = ledger.history.events.iter().take_while(|event| !matches!(event.kind, EventKind::Healed));
    for event in events {
        let acts = match &event.kind {
            EventKind::Node { node, event: what } if what == "started" && is_member(ledger, node) => {
                idle.insert(node, event.at_ms);
                continue;
            }
            EventKind::Node { node, .. } => {
                idle.remove(node.as_str());
                continue;
            }
            EventKind::Request(frame) | EventKind::Response(frame) => &*frame.from,
            EventKind::Synced { node, .. } => node.as_str(),
            _ => continue,
        };
        if idle.remove(acts).is_some_and(|started_ms| started_ms + SILENT_MS <= event.at_ms) {
            reached.insert("silent-after-start");
        }
    }
    reached
}

fn is_member(ledger: &Ledger<'_>, node: &str) -> bool {
    ledger.obligations.brokers.iter().any(|broker| broker == node) || ledger.obligations.slaves.contains_key(node)
}

#[cfg(test)]
mod tests {
    use crate::{evidence::frame::code, history::EventKind, oracles::fixture::Story};

    fn node(story: &mut Story, node: &str, event: &str) {
        story.event(EventKind::Node { node: node.into(), event: event.into() });
    }

    #[test]
    fn a_node_is_silent_after_its_start_until_it_does_something() {
        let is_silent = |who: &str, wait_ms: u64, meanwhile: Option<&str>| {
            let mut story = Story::new();
            node(&mut story, who, "started");
            if let Some(event) = meanwhile {
                node(&mut story, who, event);
            }
            story.wait(wait_ms).request(who, "namesrv", code::REGISTER_BROKER, &[], b"");
            story.judge().reached.contains("silent-after-start")
        };
        assert!(is_silent("a", 10_000, None));
        assert!(!is_silent("a", 9_000, None), "not for long");
        assert!(!is_silent("c", 10_000, None), "a client may have nothing to do");
        assert!(!is_silent("a", 10_000, Some("paused")), "it could not");
    }
}
