//! Whether one run begins as another did: the hash of the first lines of its event log.

use std::collections::BTreeMap;

use crate::history::{History, fingerprint::write_line};

/// The hashes of the first so many events; a length beyond the end has none.
pub(super) fn hashes(history: &History, lengths: impl IntoIterator<Item = usize>) -> BTreeMap<usize, blake3::Hash> {
    let mut wanted: Vec<usize> = lengths.into_iter().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let (mut hashes, mut hasher, mut line) = (BTreeMap::new(), blake3::Hasher::new(), String::new());
    let mut done = 0;
    for length in wanted {
        let Some(more) = history.events.get(done..length) else { break };
        for event in more {
            line.clear();
            write_line(&mut line, event);
            hasher.update(line.as_bytes());
        }
        done = length;
        hashes.insert(length, hasher.finalize());
    }
    hashes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::history::{Event, EventKind};

    #[test]
    fn equal_beginnings_have_equal_hashes() {
        let history = |last| {
            let event = |at_ms| Event { at_ms, kind: EventKind::Healed };
            History { events: vec![event(1), event(2), event(last)] }
        };
        let (one, other) = (hashes(&history(3), [2, 0, 3, 4]), hashes(&history(9), [0, 2, 3]));
        assert_eq!(one.keys().copied().collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!((one[&0], one[&2]), (other[&0], other[&2]));
        assert_ne!(one[&3], other[&3]);
    }
}
