//! A clock that never jumps: it begins with the wall clock and goes on with the time that passes.
//!
//! Due times are stored, so they are wall-clock times; but whoever sets a clock must not make messages visible that are
//! not yet due, nor hold back what is. Where the wall clock is ahead or behind, this one follows it a thousandth faster or
//! slower than time passes, until they agree; a restart takes the wall clock as it is, though never back before what is in
//! the log.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::Clock;
use crate::sabotage;

/// Of the time that passes, how much this clock may be faster or slower: one part in so many.
const SLEW: i64 = 1_000;

/// Follows the wall clock of its node without ever jumping.
pub struct SteadyClock {
    wall: Arc<dyn Clock>,
    shown: Mutex<Shown>,
}

/// What the clock showed when so much time had passed, Unix µs: when it was last looked at.
#[derive(Clone, Copy)]
struct Shown {
    at: Duration,
    us: i64,
}

impl SteadyClock {
    /// Begins with what the wall clock shows.
    #[must_use]
    pub fn new(wall: Arc<dyn Clock>) -> Self {
        let (at, us) = (wall.passed(), wall.now_ms().saturating_mul(1_000));
        Self { wall, shown: Mutex::new(Shown { at, us }) }
    }

    /// From now on it shows this time or a later one: the wall clock was set back while nobody watched.
    pub fn not_before(&self, ms: i64) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.us = shown.us.max(ms.saturating_mul(1_000));
    }
}

impl Shown {
    fn go_on(&mut self, now: Duration, wall_us: i64) {
        let passed = i64::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(i64::MAX);
        let straight = self.us.saturating_add(passed);
        let most = passed / SLEW;
        (self.at, self.us) = (now, straight.saturating_add(wall_us.saturating_sub(straight).clamp(-most, most)));
    }
}

#[async_trait]
impl Clock for SteadyClock {
    fn now_ms(&self) -> i64 {
        let wall_ms = self.wall.now_ms();
        if sabotage!("clock-jumps") {
            return wall_ms;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.go_on(self.wall.passed(), wall_ms.saturating_mul(1_000));
        shown.us / 1_000
    }

    fn passed(&self) -> Duration {
        self.wall.passed()
    }

    async fn sleep_until_ms(&self, deadline_ms: i64) {
        loop {
            let left = deadline_ms.saturating_sub(self.now_ms());
            let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else { return };
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::memory_host::RunningClock;

    const START_MS: i64 = 1_700_000_000_000;
    const HOUR_MS: i64 = 3_600_000;

    /// A clock and a wall clock beside it, with hours that pass when told to.
    struct Hours {
        shown: Shown,
        wall_us: i64,
        passed: Duration,
    }

    impl Hours {
        fn begin() -> Self {
            let us = START_MS * 1_000;
            Self { shown: Shown { at: Duration::ZERO, us }, wall_us: us, passed: Duration::ZERO }
        }

        fn pass(&mut self, ms: i64) {
            self.passed += Duration::from_millis(ms.unsigned_abs());
            self.wall_us += ms * 1_000;
            self.shown.go_on(self.passed, self.wall_us);
        }

        fn shown_ms(&self) -> i64 {
            self.shown.us / 1_000
        }

        /// How far it is ahead of the time that has passed.
        fn ahead_ms(&self) -> i64 {
            self.shown_ms() - START_MS - i64::try_from(self.passed.as_millis()).unwrap()
        }
    }

    #[test]
    fn it_follows_a_wall_clock_that_is_set_without_jumping() {
        for step_ms in [600_000, -600_000] {
            let mut hours = Hours::begin();
            hours.pass(HOUR_MS);
            assert_eq!(hours.ahead_ms(), 0);
            hours.wall_us += step_ms * 1_000;
            hours.pass(0);
            assert_eq!(hours.ahead_ms(), 0, "it does not jump");
            hours.pass(HOUR_MS);
            assert_eq!(hours.ahead_ms(), 3_600 * step_ms.signum(), "a thousandth of an hour");
            hours.pass(200 * HOUR_MS);
            assert_eq!(hours.ahead_ms(), step_ms, "in the end they agree");
        }
    }

    #[test]
    fn looking_at_it_often_does_not_hold_it_up() {
        let mut hours = Hours::begin();
        hours.wall_us += 1_000_000;
        for _ in 0..100_000 {
            let before = hours.shown_ms();
            hours.pass(1);
            assert!(hours.shown_ms() > before);
        }
        assert_eq!(hours.ahead_ms(), 100);
    }

    #[tokio::test]
    async fn it_never_goes_back_before_what_is_known() {
        let clock = SteadyClock::new(RunningClock::from(START_MS));
        clock.not_before(START_MS + HOUR_MS);
        assert!(clock.now_ms() >= START_MS + HOUR_MS);
        clock.not_before(START_MS);
        assert!(clock.now_ms() >= START_MS + HOUR_MS);
    }

    #[tokio::test]
    async fn a_sleep_ends_when_the_time_has_come() {
        let wall = RunningClock::from(START_MS);
        let clock = SteadyClock::new(wall.clone());
        wall.step(-HOUR_MS);
        clock.sleep_until_ms(START_MS + 50).await;
        assert!(clock.now_ms() >= START_MS + 50);
        assert!(wall.now_ms() < START_MS, "it went by its own time");
        clock.sleep_until_ms(START_MS).await;
    }
}
