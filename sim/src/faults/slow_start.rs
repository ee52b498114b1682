//! Slow start: a node that starts takes long until its code runs.
//!
//! Real world: a volume that is attached late, an image that is pulled first, a file system that is checked, a cold runtime.
//!
//! Simulator: every start in the window waits for a time drawn from the planned span, by a stream of its own, before the
//! node's boot function is called. Meanwhile it is up, has its address, and nobody listens there: it can be killed, paused
//! or asked to stop, which it does at once. The heal lets it begin.
//!
//! Cannot: slow down what the boot function itself does, such as opening its files; that is what a slow disk is for.

use std::time::Duration;

use rand::RngExt;

use super::{Armed, is_open};
use crate::{
    plan::{SimMs, Window},
    world::{Life, NodeIndex, World, tap::NodeEvent},
};

/// Slow starts of the plan.
#[derive(Debug)]
pub(super) struct SlowStart {
    pub(super) fault: usize,
    pub(super) node: NodeIndex,
    pub(super) window: Window,
    pub(super) min_ms: SimMs,
    pub(super) max_ms: SimMs,
}

impl Armed {
    /// The fault that slows a start down now, and the span from which it is drawn how long that takes; counts it.
    fn slow_start(&mut self, now_ms: SimMs, node: NodeIndex) -> Option<(usize, SimMs, SimMs)> {
        if self.healed {
            return None;
        }
        let slow = self.slow_starts.iter().find(|slow| slow.node == node && is_open(slow.window, now_ms))?;
        let (fault, min_ms, max_ms) = (slow.fault, slow.min_ms, slow.max_ms);
        self.struck(fault);
        Some((fault, min_ms, max_ms))
    }
}

/// Waits for as long as a start takes now, and tells when it is over; false when the node was asked to stop before.
pub(crate) async fn wait(world: &World, life: &Life) -> bool {
    let slow = world.armed().slow_start(world.now_ms(), life.node);
    let Some((fault, min_ms, max_ms)) = slow else { return true };
    let name = world.name(life.node);
    // A stream for each start: how long one takes does not depend on how many there were.
    let mut stream = world.streams().stream(&format!("slow-start/{name}/{}", life.number));
    let takes_ms = stream.random_range(min_ms..=max_ms.max(min_ms));
    world.tap_fault(Some(fault), &format!("slow-start: {name} takes {takes_ms} ms"));
    let healed = world.armed().over();
    let started = world.sleep_until(world.now() + Duration::from_millis(takes_ms));
    tokio::select! {
        biased;
        () = life.stopped() => return false,
        () = healed.cancelled() => {}
        () = started => {}
    }
    world.tap_node(&name, NodeEvent::Began);
    true
}
