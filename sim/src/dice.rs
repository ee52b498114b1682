//! The questions that whoever draws a run asks of a random stream.

use rand::{Rng, RngExt, seq::IndexedRandom as _};

use crate::plan::SimMs;

const SECOND: SimMs = 1_000;

/// A generator with the questions that are asked here.
pub(crate) struct Dice<R>(pub(crate) R);

impl<R: Rng> Dice<R> {
    pub(crate) fn likely(&mut self, share: f64) -> bool {
        self.0.random_bool(share)
    }

    pub(crate) fn count(&mut self, range: std::ops::RangeInclusive<u32>) -> u32 {
        self.0.random_range(range)
    }

    /// Less than `end`, unless that is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end.max(1))
    }

    /// A whole number of seconds.
    pub(crate) fn span(&mut self, range: std::ops::RangeInclusive<SimMs>) -> SimMs {
        self.0.random_range(*range.start() / SECOND..=*range.end() / SECOND).max(1) * SECOND
    }

    /// A share of one, in tenths.
    pub(crate) fn share(&mut self) -> f64 {
        f64::from(self.count(0..=10)) / 10.0
    }

    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        of.choose(&mut self.0).unwrap_or(&of[0])
    }

    /// Some of these, at least one.
    pub(crate) fn some<T: Clone>(&mut self, of: &[T]) -> Vec<T> {
        let chosen: Vec<T> = of.iter().filter(|_| self.likely(0.6)).cloned().collect();
        if chosen.is_empty() { vec![self.one(of).clone()] } else { chosen }
    }

    pub(crate) fn maybe<T>(&mut self, share: f64, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.likely(share).then(|| draw(self))
    }
}
