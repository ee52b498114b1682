//! Clock seam: what one node knows of the time: its wall clock, and how much time passes.
//!
//! Timeouts and backoff in memory use tokio's timers. Whatever is stamped or stored uses this clock, which anybody
//! may set; the broker looks at it through a [`SteadyClock`](super::steady_clock::SteadyClock).

use std::time::Duration;

use async_trait::async_trait;

/// The clocks of one node.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Now, in Unix milliseconds.
    fn now_ms(&self) -> i64;

    /// How much time has passed since some moment, which is the same at every call: nobody sets it, and it never goes back.
    fn passed(&self) -> Duration;

    /// Returns once `now_ms() >= deadline_ms`, however the clock got there (it may be stepped meanwhile).
    async fn sleep_until_ms(&self, deadline_ms: i64);
}
