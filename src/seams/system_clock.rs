//! The real clock.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::Clock;

/// How long a wait may go on before the wall clock is read again: it can be stepped at any time.
const REREAD: Duration = Duration::from_secs(1);

/// The operating system's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    began: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { began: Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "the one place where the real clock is read"
    )]
    fn now_ms(&self) -> i64 {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since_epoch.map_or(0, |span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
    }

    fn passed(&self) -> Duration {
        self.began.elapsed()
    }

    async fn sleep_until_ms(&self, deadline_ms: i64) {
        loop {
            let left = deadline_ms.saturating_sub(self.now_ms());
            let Ok(left) = u64::try_from(left) else { return };
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(left).min(REREAD)).await;
        }
    }
}
