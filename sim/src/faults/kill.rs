//! Kill: the process dies.
//!
//! Real world: `kill -9`, an out-of-memory kill, a panic that aborts. The page cache belongs to the kernel, so what was
//! written stays, synced or not; the kernel resets the sockets.
//!
//! Simulator: the incarnation is fenced at once (its streams fall silent, its disk handles fail), its connections are
//! reset at the peers one latency later unless a partition lies between, and its tasks are dropped before simulated time
//! moves on. A new incarnation boots after the planned time.
//!
//! Cannot: stop the dying task between two statements of one poll; it runs on, unheard, to its next await.

use crate::{
    plan::SimMs,
    world::{CrashKind, NodeIndex, World},
};

pub(super) fn strike(world: &World, node: NodeIndex, down_ms: SimMs) -> bool {
    world.crash(node, CrashKind::Kill, Some(down_ms))
}
