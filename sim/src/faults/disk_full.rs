//! Disk full: a node's disk has no block left.
//!
//! Real world: logs, dumps or somebody else's files fill the file system (`ENOSPC`); later somebody makes room.
//!
//! Simulator: a write that touches a block of 4 KiB which the file does not have yet fails and does nothing. What
//! overwrites blocks the file has, works, and so does making the file longer, which takes no block: files are sparse.
//!
//! Cannot: report the want of a block at the next sync only, as a file system that allocates late may.

use super::{Armed, is_open};
use crate::{
    plan::{SimMs, Window},
    world::{NodeIndex, World, tap::NodeEvent},
};

/// A full disk of the plan.
#[derive(Debug)]
pub(super) struct DiskFull {
    pub(super) fault: usize,
    pub(super) node: NodeIndex,
    pub(super) window: Window,
}

impl Armed {
    /// The fault that leaves no block on this disk; counts it.
    fn fills(&mut self, now_ms: SimMs, node: NodeIndex) -> Option<usize> {
        if self.healed {
            return None;
        }
        let full = self.full_disks.iter().find(|full| full.node == node && is_open(full.window, now_ms))?;
        let fault = full.fault;
        self.struck(fault);
        Some(fault)
    }
}

/// Whether a write that needs a new block finds none; tells of it.
pub(crate) fn strikes(world: &World, node: NodeIndex) -> bool {
    let full = world.armed().fills(world.now_ms(), node);
    if let Some(fault) = full {
        world.tap_fault(Some(fault), &format!("disk-full: {} finds no block", world.name(node)));
        world.tap_node(&world.name(node), NodeEvent::DiskFull);
    }
    full.is_some()
}
