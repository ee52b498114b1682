//! Stop: the process is asked to stop.
//!
//! Real world: a deployment sends SIGTERM and, after a grace period, SIGKILL.
//!
//! Simulator: the node's stop signal fires; when its boot future returns, its connections are closed in order and the
//! node is away for the planned time. One that has not returned after 30 simulated seconds is killed.
//!
//! Cannot: strike in the middle of a sync; the signal is seen when the node next looks.

use crate::{
    plan::SimMs,
    world::{NodeIndex, World},
};

pub(super) fn strike(world: &World, node: NodeIndex, down_ms: SimMs) -> bool {
    world.stop(node, down_ms)
}
