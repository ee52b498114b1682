//! Whether a run got a node through what its disk refused.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    history::{EventKind, Noted},
    ledger::Ledger,
};

/// What the history tells of disks that fail.
pub(super) fn reached(ledger: &Ledger<'_>) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    // Node → whether the last thing told of it is that a sync failed. Only nodes whose disk refused something since they
    // started are in it.
    let mut refused: BTreeMap<&str, bool> = BTreeMap::new();
    for event in &ledger.history.events {
        match &event.kind {
            EventKind::Node { node, event } => match event.as_str() {
                "failed to sync" => drop(refused.insert(node, true)),
                "failed to read" | "failed to write" | "had no room on its disk" => drop(refused.insert(node, false)),
                _ => drop(refused.remove(node.as_str())),
            },
            EventKind::Noted(Noted::Durable { node, .. }) => match refused.get(node.as_str()) {
                Some(true) => drop(reached.insert("failed-sync-survived")),
                Some(false) => drop(reached.insert("disk-came-back")),
                None => {}
            },
            EventKind::Fault { .. } => {}
            _ => refused.values_mut().for_each(|sync_failed| *sync_failed = false),
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use crate::{history::EventKind, oracles::fixture::Story};

    fn reached(what: &str, answered: bool, then: &[&str]) -> Vec<&'static str> {
        let mut story = Story::new();
        let node = |event: &str| EventKind::Node { node: "a".into(), event: event.into() };
        story.event(node(what));
        if answered {
            story.event(EventKind::Synced { node: "b".into(), sync: 7, bytes: 9 });
        }
        for event in then {
            story.event(node(event));
        }
        let fact = story.topic("later");
        let verdict = story.durable("a", vec![fact]).judge();
        let names = ["failed-sync-survived", "disk-came-back"];
        names.into_iter().filter(|name| verdict.reached.contains(name)).collect()
    }

    #[test]
    fn what_is_durable_right_at_a_failed_sync_survived_it() {
        assert_eq!(reached("failed to sync", false, &[]), ["failed-sync-survived"]);
        assert_eq!(reached("failed to sync", true, &[]), ["disk-came-back"]);
    }

    #[test]
    fn a_disk_comes_back_without_a_restart_or_not_at_all() {
        for what in ["failed to read", "failed to write", "had no room on its disk"] {
            assert_eq!(reached(what, false, &[]), ["disk-came-back"]);
            assert_eq!(reached(what, false, &["crashed", "started"]), [""; 0]);
        }
    }
}
