//! When the loops of a command end early: its time is up, or somebody pressed Ctrl-C.

use std::time::{Duration, Instant};

use super::interrupt;

/// What the loops of a command ask before they begin something new.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit {
    deadline: Option<Instant>,
}

impl TimeLimit {
    /// Over after this time, if there is one. From now on Ctrl-C makes it over as well.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the clock stops a command and decides nothing else")]
    pub fn new(lasts: Option<Duration>) -> Self {
        interrupt::listen();
        // A time too long for the clock is no limit.
        Self { deadline: lasts.and_then(|lasts| Instant::now().checked_add(lasts)) }
    }

    /// Whether nothing more should be begun.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the clock stops a command and decides nothing else")]
    pub fn is_over(&self) -> bool {
        interrupt::has_come() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Why it is over, for a sentence about what was not done.
    #[must_use]
    pub fn why(&self) -> &'static str {
        if interrupt::has_come() { "it was interrupted" } else { "the time was up" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_time_it_is_never_over_and_without_any_at_once() {
        let limit = TimeLimit::new;
        assert!(!limit(None).is_over() && !limit(Some(Duration::MAX)).is_over());
        assert!(limit(Some(Duration::ZERO)).is_over());
        assert_eq!(limit(Some(Duration::ZERO)).why(), "the time was up");
    }
}
