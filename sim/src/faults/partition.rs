//! Partition: nothing passes between two sides, or in one direction between them.
//!
//! Real world: a broken switch, a firewall rule, an asymmetric route. Neither side is told anything.
//!
//! Simulator: frames, connection attempts, closings and resets that leave while it lasts are swallowed; dialling waits
//! until the caller gives up. What was under way when it began still arrives. A connection that lost something is reset
//! when the partition ends.
//!
//! Cannot: deliver the swallowed bytes late, as a TCP resend after a short partition would; use a stall for that.

use std::collections::BTreeSet;

use crate::{plan::Window, world::NodeIndex};

/// A partition of the plan.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) fault: usize,
    pub(super) from: BTreeSet<NodeIndex>,
    pub(super) to: BTreeSet<NodeIndex>,
    pub(super) one_way: bool,
    pub(super) window: Window,
}

impl Partition {
    pub(super) fn cuts(&self, now_ms: u64, from: NodeIndex, to: NodeIndex) -> bool {
        super::is_open(self.window, now_ms)
            && (self.from.contains(&from) && self.to.contains(&to)
                || !self.one_way && self.from.contains(&to) && self.to.contains(&from))
    }
}
