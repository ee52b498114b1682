//! Latency: frames take longer than usual.
//!
//! Real world: a congested link, a saturated switch, a lossy path with resends.
//!
//! Simulator: every frame that leaves in the window takes a time drawn from the planned span, by a stream of its own, so
//! that frames outside the window take what they would have taken. Frames of one direction stay in order.
//!
//! Cannot: reorder the frames of one connection.

use super::link::Link;
use crate::plan::SimMs;

/// A latency fault of the plan.
#[derive(Debug)]
pub(super) struct Latency {
    pub(super) fault: usize,
    pub(super) link: Link,
    pub(super) min_ms: SimMs,
    pub(super) max_ms: SimMs,
}
