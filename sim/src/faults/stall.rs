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

use super::{Armed, link::held_until};
use crate::{plan::SimMs, world::NodeIndex};

impl Armed {
    /// Until when what leaves now is held up, if it is; counts it.
    pub(crate) fn holds_up(&mut self, now_ms: SimMs, from: NodeIndex, to: NodeIndex) -> Option<Duration> {
        if self.healed {
            return None;
        }
        let (fault, until_ms) = held_until(&self.stalls, now_ms, from, to)?;
        self.struck(fault);
        Some(Duration::from_millis(until_ms))
    }
}
