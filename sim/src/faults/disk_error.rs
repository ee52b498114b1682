//! Disk error: reads, writes or syncs of a node's disk fail, or what is read has a bit turned over.
//!
//! Real world: a sector cannot be read, a cable or controller fails, a volume attached over a network times out (`EIO`); bits of a
//! medium or of a controller's memory turn over, and nobody notices on the way.
//!
//! Simulator: the operation fails and does nothing, but for a failed sync: of what was written since the last one a
//! random subset reached the disk, torn at 512 bytes, as when power is lost; the rest is gone, for Linux marks the pages
//! of a failed sync as clean and does not write them again. The process lives on and may try again. A bit of
//! what is read turns over and stays so for a minute, whoever reads it, or (`rot`) for good, unless it is written: what oracles
//! see of the file is as it was. Where a broker without slaves rots, log entries are spared, and what leads to the last ones: all
//! else follows from them, so that nothing is lost if it goes on with what is left.
//!
//! Cannot: show what was lost until its page is evicted, as a page cache may.

use super::{Armed, is_hit};
use crate::{
    plan::{DiskOperation, Hits, SimMs},
    world::{NodeIndex, World, tap::NodeEvent},
};

/// A disk error of the plan.
#[derive(Debug)]
pub(super) struct DiskError {
    pub(super) fault: usize,
    pub(super) node: NodeIndex,
    pub(super) operation: DiskOperation,
    pub(super) hits: Hits,
    /// Operations so far.
    pub(super) seen: u64,
}

impl Armed {
    /// Counts an operation of a disk; gives the first fault that has it fail, and its ordinal.
    fn fails(&mut self, now_ms: SimMs, node: NodeIndex, operation: DiskOperation) -> Option<(usize, u64)> {
        if self.healed {
            return None;
        }
        let mut failing = None;
        for error in self.disk_errors.iter_mut().filter(|it| it.node == node && it.operation == operation) {
            error.seen += 1;
            if is_hit(&error.hits, error.seen, now_ms) {
                failing = failing.or(Some((error.fault, error.seen)));
            }
        }
        if let Some((fault, _)) = failing {
            self.struck(fault);
        }
        failing
    }
}

/// Whether this operation of a node's disk fails; tells of it.
pub(crate) fn strikes(world: &World, node: NodeIndex, operation: DiskOperation) -> bool {
    let failing = world.armed().fails(world.now_ms(), node, operation);
    if let Some((fault, nth)) = failing {
        let (event, name) = match operation {
            DiskOperation::Read => (NodeEvent::ReadFailed, "read"),
            DiskOperation::Write => (NodeEvent::WriteFailed, "write"),
            DiskOperation::Sync => (NodeEvent::SyncFailed, "sync"),
            DiskOperation::Flip => (NodeEvent::ReadFlipped, "flipped read"),
            DiskOperation::Rot => (NodeEvent::ReadRotten, "rotten read"),
        };
        world.tap_fault(Some(fault), &format!("disk-error: {name} {nth} of {}", world.name(node)));
        world.tap_node(&world.name(node), event);
    }
    failing.is_some()
}
