//! Stall: what one node sends to another is held up, and all of it arrives when that is over.
//!
//! Real world: packets are lost for a while and TCP sends them again; a middlebox buffers, a route flaps. Nobody is told
//! anything, no byte is lost, and what had queued arrives at one moment.
//!
//! Simulator: frames, connection attempts, closings and resets that leave in the window leave at its end: in order, each with
//! the usual latency on top. That is not a latency as long as the window: what leaves late in a stall is held up for little,
//! and none of it is under way for longer than the stall.
//!
//! Cannot: wait for TCP's next attempt, which may come some time after the link is back.

use std::time::Duration;

use super::{Armed, is_open};
use crate::{
    plan::{SimMs, Window},
    world::NodeIndex,
};

/// A stall of the plan.
#[derive(Debug)]
pub(super) struct Stall {
    pub(super) fault: usize,
    pub(super) from: Option<NodeIndex>,
    pub(super) to: Option<NodeIndex>,
    pub(super) window: Window,
}

impl Stall {
    fn holds(&self, now_ms: SimMs, from: NodeIndex, to: NodeIndex) -> bool {
        is_open(self.window, now_ms) && self.from.is_none_or(|f| f == from) && self.to.is_none_or(|t| t == to)
    }
}

impl Armed {
    /// Until when what leaves now is held up, if it is; counts it.
    pub(crate) fn holds_up(&mut self, now_ms: SimMs, from: NodeIndex, to: NodeIndex) -> Option<Duration> {
        if self.healed {
            return None;
        }
        let held = self.stalls.iter().filter(|stall| stall.holds(now_ms, from, to));
        let (fault, until_ms) =
            held.map(|stall| (stall.fault, stall.window.to_ms)).max_by_key(|(_, until_ms)| *until_ms)?;
        self.struck(fault);
        Some(Duration::from_millis(until_ms))
    }
}
