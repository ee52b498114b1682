//! The way from node to node that a fault of the network lasts on, and when.

use super::is_open;
use crate::{
    plan::{SimMs, Window},
    world::NodeIndex,
};

/// From whom to whom, and when.
#[derive(Debug)]
pub(super) struct Link {
    /// Sender; `None` is every node.
    pub(super) from: Option<NodeIndex>,
    /// Receiver; `None` is every node.
    pub(super) to: Option<NodeIndex>,
    /// When.
    pub(super) window: Window,
}

impl Link {
    /// The way between two nodes of the plan; `index` gives the index of a node by name.
    pub(super) fn new(
        (from, to): (Option<&str>, Option<&str>),
        window: Window,
        index: &mut impl FnMut(&str) -> NodeIndex,
    ) -> Self {
        let from = from.map(&mut *index);
        Self { from, to: to.map(index), window }
    }

    /// Whether the fault lasts for what leaves `from` for `to` now.
    pub(super) fn is_hit(&self, now_ms: SimMs, from: NodeIndex, to: NodeIndex) -> bool {
        is_open(self.window, now_ms) && self.from.is_none_or(|f| f == from) && self.to.is_none_or(|t| t == to)
    }
}

/// A fault that holds up what leaves on a link until its window is over.
#[derive(Debug)]
pub(super) struct Held {
    /// Position in the plan.
    pub(super) fault: usize,
    /// Where and when.
    pub(super) link: Link,
}

/// Until when what leaves now is held up, and by which of these faults.
pub(super) fn held_until(held: &[Held], now_ms: SimMs, from: NodeIndex, to: NodeIndex) -> Option<(usize, SimMs)> {
    let hit = held.iter().filter(|held| held.link.is_hit(now_ms, from, to));
    hit.map(|held| (held.fault, held.link.window.to_ms)).max_by_key(|(_, until_ms)| *until_ms)
}
