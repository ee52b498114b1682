//! Whether a run had a broker or slave start badly.

use std::collections::{BTreeMap, BTreeSet};

use crate::{history::EventKind, ledger::Ledger, plan::SimMs};

/// A node that does nothing for so long after its start has not begun to work, ms.
const SILENT_MS: SimMs = 10_000;
/// A node that goes down so soon after its start, ms, so many times running, is in a loop.
const YOUNG_MS: SimMs = 10_000;
const RUNNING: u32 = 3;

pub(super) fn reached(ledger: &Ledger<'_>) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    if is_in_a_loop(ledger) {
        reached.insert("died-young");
    }
    // When the nodes started that have done nothing since.
    let mut idle: BTreeMap<&str, SimMs> = BTreeMap::new();
    let events = ledger.history.events.iter().take_while(|event| !matches!(event.kind, EventKind::Healed));
    for event in events {
        let acts = match &event.kind {
            EventKind::Node { node, event: what } if what == "started" && is_member(ledger, node) => {
                idle.insert(node, event.at_ms);
                continue;
            }
            EventKind::Node { event: what, .. } if what == "began" => continue,
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

fn is_in_a_loop(ledger: &Ledger<'_>) -> bool {
    // When each node last started, and how often running it has gone down soon after that.
    let mut nodes: BTreeMap<&str, (SimMs, u32)> = BTreeMap::new();
    for event in &ledger.history.events {
        let EventKind::Node { node, event: what } = &event.kind else { continue };
        match what.as_str() {
            "started" => nodes.entry(node).or_default().0 = event.at_ms,
            "killed" | "crashed" => {
                let (started_ms, times) = nodes.entry(node).or_default();
                *times = if event.at_ms <= *started_ms + YOUNG_MS { *times + 1 } else { 0 };
                if *times == RUNNING {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
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
    fn a_node_that_goes_down_soon_after_each_start_is_in_a_loop() {
        let is_young = |lives_ms: [u64; 4]| {
            let mut story = Story::new();
            for life_ms in lives_ms {
                node(&mut story, "a", "started");
                node(story.wait(life_ms), "a", "killed");
                story.wait(60_000);
            }
            story.judge().reached.contains("died-young")
        };
        assert!(is_young([60_000, 1, 5_000, 9_000]));
        assert!(!is_young([1, 1, 60_000, 1]));
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
