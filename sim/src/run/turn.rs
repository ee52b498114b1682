//! Where a run is left for another future.

/// Up to a moment the run is that of its seed; from then on everything is drawn anew, and no fault of the plan strikes any
/// more that has not begun.
///
/// The faults to come are dropped and not drawn again: what is asked of a future is whether what has happened is enough to
/// make it fail. A fault that strikes later can only add a cause of its own. What has begun (a node that is down, a window
/// that is open) has happened, and goes on to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// How many events of the log the moment comes after; those that are noted together stay together.
    pub after: usize,
    /// Which future, from 1.
    pub future: u64,
}
