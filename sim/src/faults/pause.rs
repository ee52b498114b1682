//! Pause: the process is frozen, then goes on as if nothing had happened.
//!
//! Real world: a stop-the-world collection, a VM migration, `SIGSTOP`, swapping. Clocks go on meanwhile.
//!
//! Simulator: no task of the node runs; frames for it queue. Afterwards every timer that came due fires at once.
//!
//! Cannot: freeze inside a poll: a pause that strikes during a sync takes hold at the task's next await.

use crate::{
    plan::SimMs,
    world::{NodeIndex, World},
};

pub(super) fn strike(world: &World, node: NodeIndex, for_ms: SimMs) -> bool {
    world.pause(node, for_ms)
}
