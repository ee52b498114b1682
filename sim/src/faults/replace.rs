//! Replace: the process dies and comes back at another address.
//!
//! Real world: a pod is scheduled anew, a machine is replaced and its volume mounted elsewhere, or not found again, or somebody
//! puts back a snapshot of it.
//!
//! Simulator: as a kill, and from then on nobody is reached at the old address; the next incarnation has one that no node
//! ever had. The node's name goes along with it, as a service's name does: who knows it by that finds it. It comes back
//! with what it had written, synced or not, with an empty disk, or with what was durable at an earlier time.
//!
//! Cannot: give the old address to somebody else.

use crate::{
    plan::{SimMs, Volume},
    world::{CrashKind, NodeIndex, World},
};

pub(super) fn strike(world: &World, node: NodeIndex, down_ms: SimMs, volume: Volume) -> bool {
    world.crash(node, CrashKind::Replace { volume }, Some(down_ms))
}
