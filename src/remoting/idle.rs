//! When a connection has been unused for too long.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// RocketMQ closes a connection without reads and writes after this.
pub(super) const DEFAULT_IDLE_CLOSE: Duration = Duration::from_secs(120);

/// Remembers the last use of one connection.
pub(super) struct Idle {
    limit: Duration,
    last_use: Mutex<Instant>,
}

impl Idle {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, last_use: Mutex::new(Instant::now()) }
    }

    pub(super) fn touch(&self) {
        *self.last_use.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns once nothing was used for the limit. Use does not move the timer: it is armed again only when it fires
    /// and finds that there was some.
    pub(super) async fn expired(&self) {
        loop {
            let deadline = *self.last_use.lock().unwrap_or_else(PoisonError::into_inner) + self.limit;
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}
