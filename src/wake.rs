//! Waking a service that sleeps until the next due time.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;

use crate::seams::Clock;

/// A sleeper that is woken early when something falls due before the time it sleeps to.
#[derive(Debug)]
pub struct Wake {
    sleeping_until_ms: AtomicI64,
    announced_ms: AtomicI64,
    notify: Notify,
}

impl Default for Wake {
    fn default() -> Self {
        // Until the first wait nobody sleeps: whatever falls due is found by the first look.
        let never = || AtomicI64::new(i64::MAX);
        Self { sleeping_until_ms: never(), announced_ms: never(), notify: Notify::new() }
    }
}

impl Wake {
    /// Something falls due at `due_ms`, Unix ms.
    pub fn due(&self, due_ms: i64) {
        self.announced_ms.fetch_min(due_ms, Ordering::SeqCst);
        if due_ms < self.sleeping_until_ms.load(Ordering::SeqCst) {
            self.notify.notify_one();
        }
    }

    /// The earliest time announced since this was last asked; `i64::MAX` if none was.
    pub fn take_announced_ms(&self) -> i64 {
        self.announced_ms.swap(i64::MAX, Ordering::SeqCst)
    }

    /// Waits until `deadline_ms`, or for ever without one, or until something earlier is announced.
    pub async fn wait(&self, clock: &dyn Clock, deadline_ms: Option<i64>) {
        self.sleeping_until_ms.store(deadline_ms.unwrap_or(i64::MAX), Ordering::SeqCst);
        let until_due = async {
            match deadline_ms {
                Some(deadline_ms) => clock.sleep_until_ms(deadline_ms).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.notify.notified() => {}
            () = until_due => {}
        }
        self.sleeping_until_ms.store(i64::MAX, Ordering::SeqCst);
    }
}
