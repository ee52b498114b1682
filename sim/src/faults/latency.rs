//! Latency: frames take longer than usual.
//!
//! Real world: a congested link, a saturated switch, a lossy path with resends.
//!
//! Simulator: every frame that leaves in the window takes a time drawn from the planned span, by a stream of its own, so
//! that frames outside the window take what they would have taken. Frames of one direction stay in order.
//!
//! Cannot: reorder the frames of one connection.

use crate::{
    plan::{SimMs, Window},
    world::NodeIndex,
};

/// A latency fault of the plan.
#[derive(Debug)]
pub(super) struct Latency {
    pub(super) fault: usize,
    pub(super) from: Option<NodeIndex>,
    pub(super) to: Option<NodeIndex>,
    pub(super) window: Window,
    pub(super) min_ms: SimMs,
    pub(super) max_ms: SimMs,
}

impl Latency {
    pub(super) fn slows(&self, now_ms: u64, from: NodeIndex, to: NodeIndex) -> bool {
        super::is_open(self.window, now_ms) && self.from.is_none_or(|f| f == from) && self.to.is_none_or(|t| t == to)
    }
}
