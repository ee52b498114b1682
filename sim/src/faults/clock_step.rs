//! Clock step: the wall clock of a node is set.
//!
//! Real world: NTP corrects a clock that was wrong, somebody sets it by hand, a virtual machine comes back from a snapshot.
//!
//! Simulator: what the clock seam shows jumps; time itself goes on. The offset stays, through restarts and the heal.

use crate::world::{NodeIndex, World};

pub(super) fn strike(world: &World, node: NodeIndex, by_ms: i64) {
    world.set_clock(node, by_ms);
}
