//! Crash: the machine loses power.
//!
//! Real world: the page cache is gone. Of what was written and not synced any subset may have reached the disk, in any
//! order, cut at sectors.
//!
//! Simulator: as a kill, and the disk keeps a random subset of the un-synced writes, torn at 512 bytes, and of the
//! un-synced changes of file length. What was synced stays.
//!
//! Cannot: lie about a sync, rot bits, or lose the whole disk. Peers are told by a reset, as if the machine's neighbour
//! answered for it; a partition around the crash makes it silent.

use crate::{
    plan::SimMs,
    world::{CrashKind, NodeIndex, World},
};

pub(super) fn strike(world: &World, node: NodeIndex, down_ms: SimMs) -> bool {
    world.crash(node, CrashKind::PowerLoss, Some(down_ms))
}
