//! Frozen clock: for a while the clocks of a node stand still, and everything that it does has the same time.
//!
//! Real world: the clocksource of a virtual machine stalls, or a host takes away the ticks that its guests count. The
//! counter did not count meanwhile, so the monotonic clock goes on where it stood, as one that never jumps must; the wall
//! clock is put right by whoever watches it, the time daemon or the hypervisor's agent.
//!
//! Simulator: what the clock seam shows, and what it says of the time that has passed, stay what they were, through
//! restarts; a clock that is set meanwhile stands still there. Afterwards the wall clock shows what it would have shown, and
//! the time that has passed is short by as much for good: whoever follows the wall clock without jumping is behind it. It has
//! struck when it ends and the node has looked at its clock while it stood still.
//!
//! Cannot: hold up the timers of a node, on which its timeouts and leases run; they go on at the pace of simulated time.

use super::Armed;
use crate::world::{NodeIndex, World, tap::NodeEvent};

/// Clocks that stand still now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    fault: usize,
    node: NodeIndex,
}

impl Standing {
    pub(super) fn is_of(&self, fault: usize) -> bool {
        self.fault == fault
    }
}

impl Armed {
    /// Takes this fault off; gives its node, and whether no other fault has its clocks stand still.
    fn stop_standing(&mut self, fault: usize) -> Option<(NodeIndex, bool)> {
        let at = self.standing.iter().position(|it| it.fault == fault)?;
        let Standing { node, .. } = self.standing.remove(at);
        Some((node, !self.stands(node)))
    }

    fn stands(&self, node: NodeIndex) -> bool {
        self.standing.iter().any(|it| it.node == node)
    }
}

pub(super) fn begin(world: &World, fault: usize, node: NodeIndex) {
    if !world.armed().stands(node) {
        world.stop_clocks(node);
        world.tap_node(&world.name(node), NodeEvent::ClockStands(true));
    }
    world.armed().standing.push(Standing { fault, node });
    world.tap_fault(Some(fault), "frozen-clock begins");
}

pub(super) fn end(world: &World, fault: usize) {
    let stopped = world.armed().stop_standing(fault);
    let Some((node, is_last)) = stopped else { return };
    if is_last {
        world.start_clocks(node);
        world.tap_node(&world.name(node), NodeEvent::ClockStands(false));
    }
    if world.have_stood(node) {
        world.armed().struck(fault);
        let name = world.name(node);
        world.tap_fault(Some(fault), &format!("frozen-clock: {name}"));
    }
    world.tap_fault(Some(fault), "frozen-clock ends");
}

/// Ends them all, for the heal.
pub(crate) fn end_all(world: &World) {
    loop {
        let next = world.armed().standing.first().map(|it| it.fault);
        let Some(fault) = next else { return };
        end(world, fault);
    }
}
