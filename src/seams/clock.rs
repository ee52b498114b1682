//! Clock seam: the wall clock of one node.
//!
//! Spans (timeouts, backoff in memory) use tokio's timers. Whatever is stamped or stored uses this clock, which anybody
//! may set; the broker looks at it through a [`SteadyClock`](super::steady_clock::SteadyClock).

use async_trait::async_trait;

/// The wall clock of one node, in Unix milliseconds.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Now, in Unix milliseconds.
    fn now_ms(&self) -> i64;

    /// Returns once `now_ms() >= deadline_ms`, however the clock got there (it may be stepped meanwhile).
    async fn sleep_until_ms(&self, deadline_ms: i64);
}
