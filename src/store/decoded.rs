//! Entries of the log that were written or read lately, as they are in memory.
//!
//! An entry never changes, but it may hold hundreds of messages: whoever reads them one after the other would decode all
//! of them for each, and a message is mostly popped soon after it was stored.

use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use rustc_hash::FxBuildHasher;

use crate::model::record::LogEntry;

/// How many bytes of encoded entries are kept; of a larger one nothing is.
const BYTES: usize = 8 << 20;

/// Shared by all states that one open database goes through.
pub(super) struct Decoded {
    kept: Mutex<Kept>,
}

struct Kept {
    /// Index → entry and how many bytes it has on disk.
    entries: LruCache<u64, (Arc<LogEntry>, usize), FxBuildHasher>,
    bytes: usize,
}

impl Decoded {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::new(Kept { entries: LruCache::unbounded_with_hasher(FxBuildHasher), bytes: 0 }) }
    }

    pub(super) fn get(&self, index: u64) -> Option<Arc<LogEntry>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entries.get(&index).map(|(entry, _)| entry.clone())
    }

    /// Lets go of an entry that has left the log.
    pub(super) fn forget(&self, index: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = kept.entries.pop(&index) {
            kept.bytes -= bytes;
        }
    }

    /// Keeps an entry that is on disk, and lets go of those that nobody asked for longest.
    pub(super) fn keep(&self, entry: Arc<LogEntry>, bytes: usize) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += bytes;
        if let Some((_, replaced)) = kept.entries.put(entry.position.index, (entry, bytes)) {
            kept.bytes -= replaced;
        }
        while kept.bytes > BYTES {
            let Some((_, (_, oldest))) = kept.entries.pop_lru() else { return };
            kept.bytes -= oldest;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{BYTES, Decoded};
    use crate::model::{chain::LogPosition, record::LogEntry};

    fn entry(index: u64) -> Arc<LogEntry> {
        Arc::new(LogEntry { position: LogPosition { term: 1, index }, at_ms: 0, records: Vec::new() })
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_asked_for_stays() {
        let decoded = Decoded::new();
        for index in 1..=4 {
            decoded.keep(entry(index), BYTES / 4);
        }
        assert_eq!(decoded.get(1), Some(entry(1)));
        decoded.keep(entry(5), BYTES / 4);
        assert_eq!(decoded.get(2), None, "nobody asked for it longest");
        assert_eq!(decoded.get(1), Some(entry(1)));
        decoded.keep(entry(1), BYTES / 4);
        assert_eq!(decoded.get(3), Some(entry(3)), "an entry kept twice counts once");
        decoded.keep(entry(6), BYTES + 1);
        assert_eq!((decoded.get(6), decoded.get(1)), (None, None));
        decoded.keep(entry(7), BYTES);
        decoded.forget(7);
        decoded.forget(8);
        decoded.keep(entry(9), BYTES);
        assert_eq!((decoded.get(7), decoded.get(9)), (None, Some(entry(9))), "what is forgotten takes no room");
    }
}
