//! The wall clock of one simulated node.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use pop_revive::seams::Clock;
use tokio::sync::Notify;

use super::{World, lock};

/// What every node's wall clock shows when the run begins, in Unix milliseconds.
pub const EPOCH_MS: i64 = 1_700_000_000_000;

/// How far a node's wall clock is off; it survives restarts.
#[derive(Debug, Default)]
pub(crate) struct Offset {
    pace: Mutex<Pace>,
    /// How far it was off when the node began to run, µs.
    began_us: Mutex<i64>,
    stepped: Notify,
}

/// By how much a clock is off: so much at a time, and ever more since then.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    since: Duration,
    us: i64,
    ppm: i64,
}

impl Pace {
    /// How far the clock is off, µs.
    fn off_us(&self, now: Duration) -> i64 {
        self.us.saturating_add(micros(now.saturating_sub(self.since)).saturating_mul(self.ppm) / MILLION)
    }

    /// What the clock shows, Unix µs.
    fn shown_us(&self, now: Duration) -> i64 {
        (EPOCH_MS * 1_000).saturating_add(micros(now)).saturating_add(self.off_us(now))
    }

    /// When the clock will show `deadline_ms`, if nothing happens to it.
    fn due(&self, deadline_ms: i64, now: Duration) -> Duration {
        let left_us = deadline_ms.saturating_mul(1_000).saturating_sub(self.shown_us(now));
        let left_us = match self.ppm {
            0 => i128::from(left_us),
            // Rounded up: a clock that is slow is not there yet. One that stands still, or goes back, takes as good as for ever.
            ppm => i128::from(left_us) * i128::from(MILLION) / (i128::from(MILLION) + i128::from(ppm)).max(1) + 1,
        };
        let due_us = i128::from(micros(now)) + left_us.max(0);
        Duration::from_micros(u64::try_from(due_us).unwrap_or(u64::MAX))
    }
}

const MILLION: i64 = 1_000_000;

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl Offset {
    /// Sets the clock.
    pub(crate) fn step(&self, delta_ms: i64, now: Duration) {
        self.change(now, |pace| pace.us = pace.us.saturating_add(delta_ms.saturating_mul(1_000)));
    }

    /// Lets the clock gain so much more; gives how far it is off now, µs.
    pub(crate) fn pace(&self, more_ppm: i64, now: Duration) -> i64 {
        self.change(now, |pace| pace.ppm = pace.ppm.saturating_add(more_ppm))
    }

    fn change(&self, now: Duration, change: impl FnOnce(&mut Pace)) -> i64 {
        let off_us = {
            let pace = &mut *lock(&self.pace);
            (pace.us, pace.since) = (pace.off_us(now), now);
            change(pace);
            pace.us
        };
        self.stepped.notify_waiters();
        off_us
    }

    /// The node begins to run anew; gives what its clock has gained since it last did so, ms.
    pub(crate) fn gained_ms(&self, now: Duration) -> i64 {
        let off_us = self.now().off_us(now);
        (off_us - std::mem::replace(&mut *lock(&self.began_us), off_us)) / 1_000
    }

    fn now(&self) -> Pace {
        *lock(&self.pace)
    }
}

/// A clock that shows [`EPOCH_MS`] plus simulated time plus what the node's clock is off.
pub(crate) struct SimClock {
    pub(crate) world: World,
    pub(crate) offset: Arc<Offset>,
}

#[async_trait]
impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        self.offset.now().shown_us(self.world.now()).div_euclid(1_000)
    }

    async fn sleep_until_ms(&self, deadline_ms: i64) {
        loop {
            // Registered before the clock is read, so that a step in between is not missed.
            let mut stepped = pin!(self.offset.stepped.notified());
            stepped.as_mut().enable();
            if deadline_ms <= self.now_ms() {
                return;
            }
            let due = self.offset.now().due(deadline_ms, self.world.now());
            tokio::select! {
                biased;
                () = stepped => {}
                () = self.world.sleep_until(due) => {}
            }
        }
    }
}
