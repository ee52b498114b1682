//! Whether a broker is alive, and whether it serves.

use serde::Serialize;

use super::Readings;
use crate::sabotage;

/// For how long an entry may wait to be confirmed before nobody should be sent here, ms: two lost answers' worth.
const UNCONFIRMED_MAX_MS: u64 = 10_000;

/// What `/health` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The driver of chains moves. When it does not, restarting the process is the remedy.
    pub live: bool,
    /// Live, and everything below holds: the broker can keep its promises.
    pub ready: bool,
    /// The store can be read.
    pub store_open: bool,
    /// A name server took the last registration.
    pub registered: bool,
    /// A slave's log goes on from its master's; always so at a master.
    pub follows: bool,
    /// The group's other members confirm what is written; always so where this disk is enough.
    pub confirms: bool,
    /// A slave acts for its master, under a term that it has; never so at a master. It hinders nothing.
    pub acts: bool,
    /// A master is not kept from merging what its slave did for it; always so at a slave.
    pub merges: bool,
    /// How long chains have been overdue while none was taken up, ms.
    pub stalled_ms: i64,
    /// From how much on that counts as stuck, ms.
    pub stuck_after_ms: i64,
}

impl Health {
    /// Judges the readings.
    #[must_use]
    pub fn of(readings: &Readings, progress_ms: i64, stuck_after_ms: i64) -> Self {
        let stalled_ms = readings.stalled_ms(progress_ms);
        let live = stalled_ms <= stuck_after_ms;
        let (store_open, registered) = (readings.tables.is_some(), readings.registered);
        let follows = readings.following.is_none_or(|following| !following.stuck);
        let confirms = readings.unconfirmed_ms.is_none_or(|waited_ms| waited_ms <= UNCONFIRMED_MAX_MS);
        let acts = readings.acting.is_some_and(|acting| acting.term > 0);
        // It has nobody to confirm anything meanwhile, even before there is something that waits for that.
        let merges =
            readings.merging.is_none_or(|merging| merging.waited_ms.is_none()) || sabotage!("ready-before-merge");
        let ready = live && store_open && registered && follows && confirms && merges;
        Self { live, ready, store_open, registered, follows, confirms, acts, merges, stalled_ms, stuck_after_ms }
    }
}
