//! What is read at the scrape instead of being counted.

/// What is read at the scrape.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// The broker's clock, Unix ms.
    pub now_ms: i64,
    /// The tables; `None` while the store is closed.
    pub tables: Option<TableReadings>,
    /// Whether a name server took the last registration.
    pub registered: bool,
    /// Requests that wait for a message.
    pub long_polls: usize,
    /// How a slave follows its master; `None` at a master.
    pub following: Option<FollowingReadings>,
    /// How long the oldest entry has waited for the group's other members to have it too, ms; `None` where this disk is
    /// enough.
    pub unconfirmed_ms: Option<u64>,
    /// Whether a slave acts for its master; `None` at a master, and at a slave that never does.
    pub acting: Option<ActingReadings>,
    /// What a master has taken back of what its slave did for it; `None` at a slave, and where no slave acts.
    pub merging: Option<MergingReadings>,
}

/// How a slave follows its master.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FollowingReadings {
    /// Entries of the master's log that are not here, as far as is known.
    pub behind: u64,
    /// The master's log cannot be followed, and waiting does not help.
    pub stuck: bool,
}

/// Whether a slave acts for its master.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActingReadings {
    /// It takes its master for away, or was told of no merge since it did.
    pub acts: bool,
    /// The term under which it acts; 0 while it has none, and so does nothing.
    pub term: u64,
}

/// What a master has taken back of what its slave did for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MergingReadings {
    /// The term under which it last merged; 0 if it never did.
    pub term: u64,
    /// For how long it could not find out what was done in its place, ms; `None` when it need not.
    pub waited_ms: Option<u64>,
}

/// What the tables say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableReadings {
    /// Chains with a next step.
    pub waiting: u64,
    /// Parked chains.
    pub parked: u64,
    /// Messages set aside.
    pub set_aside: u64,
    /// Chains whose next step is overdue, counted up to [`OVERDUE_MAX`].
    pub overdue: usize,
    /// When the first of them was due, Unix ms.
    pub overdue_since_ms: Option<i64>,
    /// Bytes of the log entries that have not expired.
    pub retained_bytes: u64,
    /// Expired messages that live chains hold back.
    pub held_back: u64,
    /// Groups whose masters have not merged what was done for them under a term that was taken here.
    pub unmerged: usize,
}

/// How many overdue chains are counted at the most: a scrape must stay cheap.
pub const OVERDUE_MAX: usize = 10_000;

impl Readings {
    /// How long the first due chain has been overdue, ms.
    #[must_use]
    pub fn latency_ms(&self) -> i64 {
        let since = self.tables.and_then(|tables| tables.overdue_since_ms);
        since.map_or(0, |since_ms| self.now_ms.saturating_sub(since_ms).max(0))
    }

    /// How long chains have been overdue while none was taken up, ms; `progress_ms` is when one was.
    #[must_use]
    pub fn stalled_ms(&self, progress_ms: i64) -> i64 {
        self.latency_ms().min(self.now_ms.saturating_sub(progress_ms).max(0))
    }
}
