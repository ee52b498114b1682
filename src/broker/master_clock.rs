//! What a slave knows of its master's clock. The due times in its log are by that clock, also while the master is away and
//! after this slave has begun again.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use super::shared::Shared;
use crate::{sabotage, seams::Clock, store::StoreError};

/// How much what is stored may differ from what was heard last, ms.
const TOLERANCE_MS: u64 = 1_000;

/// How far the master's clock is ahead, as far as is known; by as much at least, for an answer takes a while.
pub struct MasterClock {
    wall: Arc<dyn Clock>,
    shown: Arc<dyn Clock>,
    /// Of the clock that this broker goes by, ms.
    ahead_ms: AtomicI64,
}

impl MasterClock {
    /// Begins with what was `stored`: how far it was ahead of this machine's wall clock, ms. The broker goes by `shown`.
    pub(super) fn new(wall: Arc<dyn Clock>, shown: Arc<dyn Clock>, stored: i64) -> Self {
        let clock = Self { wall, shown, ahead_ms: AtomicI64::new(0) };
        if !sabotage!("master-clock-forgotten") {
            clock.ahead_ms.store(stored.saturating_sub(clock.shown_ahead_of_wall_ms()), Ordering::SeqCst);
        }
        clock
    }

    /// How far it is ahead of the clock that this broker goes by, ms.
    pub(super) fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::SeqCst)
    }

    fn shown_ahead_of_wall_ms(&self) -> i64 {
        self.shown.now_ms().saturating_sub(self.wall.now_ms())
    }
}

impl Shared {
    /// What the master's clock shows now, as far as is known.
    pub(super) fn now_at_master_ms(&self) -> i64 {
        self.host.clock.now_ms().saturating_add(self.master_clock.ahead_ms())
    }

    /// The master's clock showed this a moment ago. Stored is how far that is ahead of the wall clock: with that this broker
    /// begins when it starts anew.
    pub(super) async fn hear_master_clock(&self, now_ms: i64) -> Result<(), StoreError> {
        let ahead_ms = now_ms.saturating_sub(self.host.clock.now_ms());
        self.master_clock.ahead_ms.store(ahead_ms, Ordering::SeqCst);
        let of_wall_ms = ahead_ms.saturating_add(self.master_clock.shown_ahead_of_wall_ms());
        match of_wall_ms.abs_diff(self.store.master_ahead_ms()) > TOLERANCE_MS {
            true => self.store.set_master_ahead_ms(of_wall_ms).await,
            false => Ok(()),
        }
    }
}
