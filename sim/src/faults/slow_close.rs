//! Slow close: that a connection has been closed is heard late.
//!
//! Real world: a proxy or a load balancer lingers: its peer behind it is gone, and it keeps the connection before it open
//! for a while; a host disappears from under its connections, and nobody says so until keep-alives give up.
//!
//! Simulator: closings and resets that leave in the window arrive at its end. Until then whoever has not heard sends on the
//! old connection, and all of it is lost; new connections are not touched.
//!
//! Cannot: hold up the closing of one connection and not that of another between the same nodes.

use std::time::Duration;

use super::{Armed, link::held_until};
use crate::{plan::SimMs, world::NodeIndex};

impl Armed {
    /// Until when nobody at `to` hears that a connection was closed at `from` now, if it is late; counts it.
    pub(crate) fn closes_late(&mut self, now_ms: SimMs, from: NodeIndex, to: NodeIndex) -> Option<Duration> {
        if self.healed {
            return None;
        }
        let (fault, until_ms) = held_until(&self.slow_closes, now_ms, from, to)?;
        self.struck(fault);
        Some(Duration::from_millis(until_ms))
    }
}
