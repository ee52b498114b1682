//! The store's commits.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the buckets of steps per commit.
pub(super) const STEP_BOUNDS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Counts commits, the steps they carried, and those that failed.
#[derive(Debug, Default)]
pub struct Commits {
    pub(super) steps_sum: AtomicU64,
    /// One per bound, and one for what lies above them.
    pub(super) steps: [AtomicU64; STEP_BOUNDS.len() + 1],
    pub(super) not_committed: AtomicU64,
    pub(super) unknown: AtomicU64,
}

impl Commits {
    /// A commit carried this many steps; none is no commit.
    pub fn committed(&self, steps: usize) {
        if steps == 0 {
            return;
        }
        let steps = steps as u64;
        let bucket = STEP_BOUNDS.iter().position(|bound| steps <= *bound).unwrap_or(STEP_BOUNDS.len());
        self.steps[bucket].fetch_add(1, Relaxed);
        self.steps_sum.fetch_add(steps, Relaxed);
    }

    /// A commit failed; `unknown` when it may have taken effect all the same.
    pub fn failed(&self, unknown: bool) {
        let count = if unknown { &self.unknown } else { &self.not_committed };
        count.fetch_add(1, Relaxed);
    }

    /// Commits that succeeded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.steps.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }
}
