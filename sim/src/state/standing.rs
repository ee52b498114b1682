//! Whether nodes are up, and since when.

use std::collections::BTreeMap;

use crate::{
    history::{EventKind, History},
    ledger::biography::SimTime,
    plan::SimMs,
};

/// What nodes do, as the last thing that happened to each tells.
pub(super) struct Standings<'h>(BTreeMap<&'h str, (&'static str, SimMs)>);

impl<'h> Standings<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut standings = BTreeMap::new();
        for event in &history.events {
            let EventKind::Node { node, event: what } = &event.kind else { continue };
            if let Some(standing) = standing(what) {
                standings.insert(node.as_str(), (standing, event.at_ms));
            }
        }
        Self(standings)
    }

    /// In words, for example `up since 0h00m00.000s`.
    pub(super) fn of_node(&self, node: &str) -> String {
        match self.0.get(node) {
            Some((standing, since)) => format!("{standing} since {}", SimTime(*since)),
            None => "not started".into(),
        }
    }
}

/// What a node does after something happened to it; a failing disk changes nothing.
fn standing(what: &str) -> Option<&'static str> {
    Some(match what {
        "started" | "resumed" => "up",
        "paused" => "paused",
        "stopping" => "stopping",
        "stopped" => "down, stopped",
        "killed" => "down, killed",
        "crashed" => "down without power",
        _ => return None,
    })
}

/// Whether what a node had in its memory, and its connections, ended with this.
pub(crate) fn ends_its_life(what: &str) -> bool {
    matches!(what, "stopped" | "killed" | "crashed")
}
