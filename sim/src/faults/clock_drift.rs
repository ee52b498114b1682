//! Clock drift: the wall clock of a node goes faster or slower than time passes.
//!
//! Real world: a crystal that is too warm or too old, a time daemon that slews, a virtual machine that is robbed of time.
//!
//! Simulator: what the clock seam shows gains or loses so many parts in a million while it lasts; drifts of one node add
//! up. What was gained or lost stays, through restarts and the heal. It has struck when it ends and has come to a
//! millisecond.
//!
//! Cannot: let the timers of a node drift, on which it waits; they go on at the pace of simulated time.

use super::Armed;
use crate::world::{NodeIndex, World};

/// A clock that drifts now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drifting {
    fault: usize,
    node: NodeIndex,
    ppm: i64,
    /// How far the clock was off when it began, µs.
    was_off_us: i64,
}

impl Drifting {
    pub(super) fn is_of(&self, fault: usize) -> bool {
        self.fault == fault
    }
}

impl Armed {
    /// Takes out the drift of this fault.
    fn stop_drift(&mut self, fault: usize) -> Option<Drifting> {
        let at = self.drifting.iter().position(|it| it.fault == fault)?;
        Some(self.drifting.remove(at))
    }

    fn any_drift(&self) -> Option<usize> {
        self.drifting.first().map(|it| it.fault)
    }
}

pub(super) fn begin(world: &World, fault: usize, node: NodeIndex, ppm: i64) {
    let was_off_us = world.pace_clock(node, ppm);
    world.armed().drifting.push(Drifting { fault, node, ppm, was_off_us });
    world.tap_fault(Some(fault), "clock-drift begins");
}

pub(super) fn end(world: &World, fault: usize) {
    let drift = world.armed().stop_drift(fault);
    let Some(Drifting { node, ppm, was_off_us, .. }) = drift else { return };
    let gained_ms = (world.pace_clock(node, -ppm) - was_off_us) / 1_000;
    if gained_ms != 0 {
        world.armed().struck(fault);
        let name = world.name(node);
        world.tap_fault(Some(fault), &format!("clock-drift: {name} by {gained_ms} ms"));
    }
    world.tap_fault(Some(fault), "clock-drift ends");
}

/// Ends every drift, for the heal.
pub(crate) fn end_all(world: &World) {
    loop {
        let next = world.armed().any_drift();
        let Some(fault) = next else { return };
        end(world, fault);
    }
}
