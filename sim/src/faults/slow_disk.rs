//! Slow disk: syncs take longer than usual.
//!
//! Real world: a volume that is throttled, an array that rebuilds itself, a neighbour that writes a lot.
//!
//! Simulator: every sync that begins in the window takes a time drawn from the planned span, by a stream of its own, so
//! that syncs outside the window take what they would have taken. Nobody is told of a commit before.
//!
//! Cannot: slow down reads and writes.

use super::{Armed, is_open};
use crate::{
    plan::{SimMs, Window},
    world::NodeIndex,
};

/// A slow disk of the plan.
#[derive(Debug)]
pub(super) struct SlowDisk {
    pub(super) fault: usize,
    pub(super) node: NodeIndex,
    pub(super) window: Window,
    pub(super) min_ms: SimMs,
    pub(super) max_ms: SimMs,
}

impl Armed {
    /// The span from which the time of a sync is drawn when a fault slows it; counts it.
    pub(crate) fn slow_sync(&mut self, now_ms: SimMs, node: NodeIndex) -> Option<(SimMs, SimMs)> {
        if self.healed {
            return None;
        }
        let slow = self.slow_disks.iter().find(|slow| slow.node == node && is_open(slow.window, now_ms))?;
        let (fault, span) = (slow.fault, (slow.min_ms, slow.max_ms));
        self.struck(fault);
        Some(span)
    }
}
