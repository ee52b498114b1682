//! Bandwidth: a link carries few bytes per second.
//!
//! Real world: a shaped or saturated uplink, a backup that shares the wire, a provider's limit.
//!
//! Simulator: each link, from one node to another, sends one byte after the other at the planned pace: a frame that leaves
//! in the window waits until those before it have been sent, takes its own length, and then the usual latency. Large
//! frames and bursts are late, small ones in silence are not.
//!
//! Cannot: share one pace among several links, or drop what queues.

use super::{Armed, link::Link};
use crate::{plan::SimMs, world::NodeIndex};

/// A limit of the plan.
#[derive(Debug)]
pub(super) struct Bandwidth {
    pub(super) fault: usize,
    pub(super) link: Link,
    pub(super) bytes_per_second: u64,
}

impl Armed {
    /// How many bytes per second a fault lets a link carry now, and the fault.
    pub(crate) fn limit(&self, now_ms: SimMs, from: NodeIndex, to: NodeIndex) -> Option<(usize, u64)> {
        let limits = self.bandwidths.iter().filter(|limit| !self.healed && limit.link.is_hit(now_ms, from, to));
        limits.map(|limit| (limit.fault, limit.bytes_per_second)).min_by_key(|(_, bytes)| *bytes)
    }
}
