//! The clocks of one simulated node.

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
    /// How far it was ahead of the time that has passed when the node began to run, µs.
    began_us: Mutex<i64>,
    stepped: Notify,
}

/// By how much a clock is off: so much at a time, and ever more since then.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    since: Duration,
    us: i64,
    ppm: i64,
    /// Since when all clocks of the node stand still, if they do.
    stands_since: Option<Duration>,
    /// For how long they have stood still before that: the monotonic one goes on where it stood.
    stood: Duration,
    /// It was looked at again, at least a millisecond after it had stopped.
    seen_standing: bool,
}

impl Pace {
    /// The moment that the clocks show at `now`.
    fn shown(&self, now: Duration) -> Duration {
        self.stands_since.unwrap_or(now)
    }

    /// How far the clock is off, µs, beside that it stands still.
    fn off_us(&self, now: Duration) -> i64 {
        let goes_on = self.shown(now).saturating_sub(self.since);
        self.us.saturating_add(micros(goes_on).saturating_mul(self.ppm) / MILLION)
    }

    /// What the clock shows, Unix µs.
    fn shown_us(&self, now: Duration) -> i64 {
        (EPOCH_MS * 1_000).saturating_add(micros(self.shown(now))).saturating_add(self.off_us(now))
    }

    /// How much time has passed for the node.
    fn passed(&self, now: Duration) -> Duration {
        self.shown(now).saturating_sub(self.stood)
    }

    /// How far the wall clock is ahead of the time that has passed for the node, µs.
    fn ahead_us(&self, now: Duration) -> i64 {
        self.off_us(now).saturating_add(micros(self.stood))
    }

    /// When the clock will show `deadline_ms`, if nothing happens to it.
    fn due(&self, deadline_ms: i64, now: Duration) -> Duration {
        if self.stands_since.is_some() {
            return Duration::from_micros(u64::MAX);
        }
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
            (pace.us, pace.since) = (pace.off_us(now), pace.shown(now));
            change(pace);
            pace.us
        };
        self.stepped.notify_waiters();
        off_us
    }

    /// Stops the clocks.
    pub(crate) fn stand(&self, now: Duration) {
        self.change(now, |pace| {
            if pace.stands_since.is_none() {
                (pace.stands_since, pace.seen_standing) = (Some(now), false);
            }
        });
    }

    /// Lets the clocks go on: the wall clock with the right time, the monotonic one where it stood.
    pub(crate) fn go_on(&self, now: Duration) {
        self.change(now, |pace| {
            pace.stood += now - pace.shown(now);
            pace.stands_since = None;
        });
    }

    /// Whether anybody has seen that the clocks stand still, or last did.
    pub(crate) fn have_stood(&self) -> bool {
        self.now().seen_standing
    }

    /// Looks at the clocks.
    fn look(&self, now: Duration) -> Pace {
        let pace = &mut *lock(&self.pace);
        pace.seen_standing |= pace.stands_since.is_some_and(|since| now >= since + Duration::from_millis(1));
        *pace
    }

    /// The node begins to run anew; gives what its wall clock has gained since it last did so on the time that has passed for
    /// it, ms.
    pub(crate) fn gained_ms(&self, now: Duration) -> i64 {
        let off_us = self.now().ahead_us(now);
        (off_us - std::mem::replace(&mut *lock(&self.began_us), off_us)) / 1_000
    }

    fn now(&self) -> Pace {
        *lock(&self.pace)
    }
}

/// A clock that shows [`EPOCH_MS`] plus simulated time plus what the node's clock is off, unless it stands still.
pub(crate) struct SimClock {
    pub(crate) world: World,
    pub(crate) offset: Arc<Offset>,
}

#[async_trait]
impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        let now = self.world.now();
        self.offset.look(now).shown_us(now).div_euclid(1_000)
    }

    fn passed(&self) -> Duration {
        self.offset.now().passed(self.world.now())
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
