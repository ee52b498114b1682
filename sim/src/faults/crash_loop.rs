//! Crash loop: a node goes down, and again each time that it has come back, so many times in all.
//!
//! Real world: a pod that fails its probes, a process that runs out of memory while it recovers, a supervisor that restarts it.
//!
//! Simulator: a kill or a power failure at the planned moment, or at the next start of a node that is down then; after
//! every further start another, at a time that is drawn from the planned one, by a stream of its own. A start that somebody
//! else ends before does not count.
//!
//! Cannot: die of what it recovers; use moments of a crash for that.

use std::time::Duration;

use rand::RngExt;

use super::{Armed, Blow, Strike};
use crate::{
    plan::SimMs,
    world::{CrashKind, NodeIndex, World},
};

/// A crash loop of the plan: what is left of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CrashLoop {
    pub(super) node: NodeIndex,
    pub(super) times: u64,
    pub(super) up_ms: SimMs,
    pub(super) down_ms: SimMs,
    pub(super) kind: CrashKind,
}

impl Armed {
    /// What is left of a loop that goes on.
    fn looping(&mut self, fault: usize) -> Option<&mut CrashLoop> {
        self.loops.iter_mut().find(|(of, _)| *of == fault).map(|(_, it)| it)
    }

    /// Takes one off; says how many are left.
    fn looped(&mut self, fault: usize) -> u64 {
        self.struck(fault);
        let left = self.looping(fault).map_or(0, |it| {
            it.times = it.times.saturating_sub(1);
            it.times
        });
        self.loops.retain(|(_, it)| it.times > 0);
        left
    }
}

pub(super) fn begin(world: &World, fault: usize, it: CrashLoop) {
    world.armed().loops.push((fault, it));
    die(world, fault);
}

/// Its time has come, unless that start is over.
pub(super) fn die_of(world: &World, fault: usize, node: NodeIndex, incarnation: u64) {
    if world.incarnation(node) == incarnation {
        die(world, fault);
    }
}

fn die(world: &World, fault: usize) {
    let it = world.armed().looping(fault).copied();
    let Some(CrashLoop { node, down_ms, kind, .. }) = it else { return };
    if world.crash(node, kind, Some(down_ms)) {
        let (left, name) = (world.armed().looped(fault), world.name(node));
        world.tap_fault(Some(fault), &format!("crash-loop: {name} for {down_ms} ms, {left} to come"));
    }
}

/// A node starts: when will it go down?
pub(crate) fn started(world: &World, node: NodeIndex, incarnation: u64) {
    let loops: Vec<(usize, CrashLoop)> = {
        let armed = world.armed();
        armed.loops.iter().filter(|(_, it)| it.node == node && !armed.healed).copied().collect()
    };
    for (fault, CrashLoop { up_ms, .. }) in loops {
        let mut stream = world.streams().stream(&format!("crash-loop/{fault}/{}/{incarnation}", world.name(node)));
        let after = Duration::from_millis(stream.random_range(1..=up_ms.max(1)));
        world.strike_after(after, Strike { fault, blow: Blow::LoopGoesOn(node, incarnation) });
    }
}
