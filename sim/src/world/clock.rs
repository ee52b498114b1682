//! The wall clock of one simulated node.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pop_revive::seams::Clock;
use tokio::sync::Notify;

use super::World;

/// What every node's wall clock shows when the run begins, in Unix milliseconds.
pub const EPOCH_MS: i64 = 1_700_000_000_000;

/// How far a node's wall clock is off; it survives restarts.
#[derive(Debug, Default)]
pub(crate) struct Offset {
    ms: AtomicI64,
    stepped: Notify,
}

impl Offset {
    pub(crate) fn step(&self, delta_ms: i64) {
        self.ms.fetch_add(delta_ms, Ordering::Relaxed);
        self.stepped.notify_waiters();
    }
}

/// A clock that shows [`EPOCH_MS`] plus simulated time plus the node's offset.
pub(crate) struct SimClock {
    pub(crate) world: World,
    pub(crate) offset: Arc<Offset>,
}

#[async_trait]
impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.world.now_ms()).unwrap_or(i64::MAX);
        EPOCH_MS.saturating_add(elapsed).saturating_add(self.offset.ms.load(Ordering::Relaxed))
    }

    async fn sleep_until_ms(&self, deadline_ms: i64) {
        loop {
            // Registered before the clock is read, so that a step in between is not missed.
            let mut stepped = pin!(self.offset.stepped.notified());
            stepped.as_mut().enable();
            let offset = self.offset.ms.load(Ordering::Relaxed);
            let due = deadline_ms.saturating_sub(EPOCH_MS).saturating_sub(offset);
            let due = Duration::from_millis(u64::try_from(due).unwrap_or(0));
            if due <= self.world.now() {
                return;
            }
            tokio::select! {
                biased;
                () = stepped => {}
                () = self.world.sleep_until(due) => {}
            }
        }
    }
}
