//! How much may be started towards another group now.

/// What may be started towards a peer now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// So many trips, at least one.
    Calls(usize),
    /// One trip for one chain, to see whether the peer is back.
    Probe,
    /// Nothing. The chains stay due, and no attempt is counted.
    Later {
        /// When to ask again, ms from now; `None`: once a trip that is under way has ended.
        wait_ms: Option<u64>,
    },
}
