//! Finding log entries in the pages that a disk has synced.
//!
//! The store keeps each entry whole inside a page it writes, behind a header: magic, checksum, length, term, index. Pages
//! are rewritten again and again, so most of what is found is known already and is told apart before it is decoded.
//!
//! After a crash the kept part of an un-synced commit may or may not be in force, which pages alone do not tell. Whoever
//! restarts the node passes the values of the recovered log table instead: [`DiskScanner::scan`] takes them as they are.

use rustc_hash::FxHashMap;
use std::sync::Arc;

use memchr::memmem::Finder;
use serde::Serialize;

use super::entry::DurableEntry;

const MAGIC: &[u8] = b"PLOG";
const HEADER: usize = 28;

/// Two entries with the same term and index were durable on one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Term.
    pub term: u64,
    /// Index.
    pub index: u64,
    /// Checksum of the entry known first.
    pub first: u32,
    /// Checksum of the later one.
    pub second: u32,
}

/// Finds the entries of one disk; remembers which it has seen.
#[derive(Debug)]
pub struct DiskScanner {
    finder: Finder<'static>,
    /// (term, index) → checksums of all entries seen there, first ones first.
    seen: FxHashMap<(u64, u64), Vec<u32>>,
    conflicts: Vec<Conflict>,
}

impl Default for DiskScanner {
    fn default() -> Self {
        Self { finder: Finder::new(MAGIC), seen: FxHashMap::default(), conflicts: Vec::new() }
    }
}

impl DiskScanner {
    /// Whether that entry was seen.
    #[must_use]
    pub fn knows(&self, entry: &DurableEntry) -> bool {
        self.seen.get(&(entry.term, entry.index)).is_some_and(|known| known.contains(&entry.checksum))
    }

    /// The entries in these writes (position, bytes) that were not seen before, by term and index.
    ///
    /// An entry that contradicts a known one is among them, and is listed by [`conflicts`](Self::conflicts) too. Bytes
    /// whose checksum does not hold are no entry: freed parts of pages are full of them.
    pub fn scan(&mut self, writes: &[(u64, &[u8])]) -> Vec<Arc<DurableEntry>> {
        let Self { finder, seen, conflicts } = self;
        let mut found = Vec::new();
        for (_, bytes) in writes {
            let mut from = 0;
            while let Some(at) = bytes.get(from..).and_then(|tail| finder.find(tail)) {
                let start = from + at;
                from = start + MAGIC.len();
                let Some(raw) = RawEntry::at(&bytes[start..]) else { continue };
                let known = seen.entry((raw.term, raw.index)).or_default();
                if known.contains(&raw.checksum) {
                    // Known and therefore whole once; what follows it is the next candidate.
                    continue;
                }
                if !raw.is_whole() {
                    continue;
                }
                if let Some(&first) = known.first() {
                    conflicts.push(Conflict { term: raw.term, index: raw.index, first, second: raw.checksum });
                }
                known.push(raw.checksum);
                from = start + raw.length();
                let size = (raw.checksum, raw.length() as u64);
                found.push(Arc::new(DurableEntry::read((raw.term, raw.index), size, raw.payload)));
            }
        }
        found.sort_by_key(|entry| (entry.term, entry.index));
        found
    }

    /// Whether these bytes begin with an entry that was seen before.
    #[must_use]
    pub fn has_seen(&self, bytes: &[u8]) -> bool {
        let Some(raw) = RawEntry::at(bytes) else { return false };
        self.seen.get(&(raw.term, raw.index)).is_some_and(|known| known.contains(&raw.checksum))
    }

    /// The contradictions found so far.
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }
}

struct RawEntry<'a> {
    checksum: u32,
    term: u64,
    index: u64,
    payload: &'a [u8],
    checked: &'a [u8],
}

impl<'a> RawEntry<'a> {
    fn at(bytes: &'a [u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        let long = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        let (checksum, length) = (word(4)?, word(8)? as usize);
        let (term, index) = (long(12)?, long(20)?);
        let checked = bytes.get(8..HEADER.checked_add(length)?)?;
        Some(Self { checksum, term, index, payload: &checked[HEADER - 8..], checked })
    }

    fn is_whole(&self) -> bool {
        crc32fast::hash(self.checked) == self.checksum
    }

    const fn length(&self) -> usize {
        8 + self.checked.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use rmpv::Value;

    use super::*;
    use crate::evidence::{ChainState, Fact, Position};

    fn map(pairs: Vec<(&str, Value)>) -> Value {
        Value::Map(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    fn place(term: u64, index: u64) -> Value {
        map(vec![("term", term.into()), ("index", index.into())])
    }

    fn on_disk(term: u64, index: u64, records: Vec<Value>) -> Vec<u8> {
        let entry =
            map(vec![("position", place(term, index)), ("at_ms", 7.into()), ("records", Value::Array(records))]);
        let mut payload = Vec::new();
        rmpv::encode::write_value(&mut payload, &entry).unwrap();
        let mut checked = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        checked.extend(term.to_be_bytes());
        checked.extend(index.to_be_bytes());
        checked.extend(payload);
        [MAGIC, &crc32fast::hash(&checked).to_be_bytes(), &checked].concat()
    }

    fn offset(offset: i64) -> Value {
        let fields = vec![("group", "g".into()), ("topic", "t".into()), ("queue", 0.into()), ("offset", offset.into())];
        map(vec![("offset", map(fields))])
    }

    fn id() -> Value {
        map(vec![
            ("broker", "a".into()),
            ("topic", "t".into()),
            ("queue", 2.into()),
            ("offset", 5.into()),
            ("group", "g".into()),
            ("pop_time", 1_700_000_000_000_i64.into()),
            ("term", 1.into()),
        ])
    }

    fn chain() -> Value {
        let failure =
            map(vec![("cause", "timeout".into()), ("peer", "a@1.2.3.4:1".into()), ("took_ms", 10_000.into())]);
        let wrong = map(vec![("wrong-message", map(vec![("offset", 9.into())]))]);
        let other = map(vec![("cause", wrong), ("peer", "a".into()), ("took_ms", 1.into())]);
        let attempt = |number: u32, failure| {
            let fields =
                vec![("round", 0.into()), ("attempt", number.into()), ("at_ms", 3.into()), ("failure", failure)];
            map(fields)
        };
        let latest = Value::Array(vec![attempt(1, failure), attempt(2, other)]);
        map(vec![(
            "chain",
            map(vec![
                ("id", id()),
                ("topic_epoch", place(1, 2)),
                ("start_offset", 5.into()),
                ("invisible_ms", 60_000.into()),
                ("attempt", 2.into()),
                ("round_began_ms", Value::Nil),
                ("state", map(vec![("open", map(vec![("due_ms", 9.into())]))])),
                ("history", map(vec![("failures", 2.into()), ("first_ms", 3.into()), ("latest", latest)])),
                ("added later", true.into()),
            ]),
        )])
    }

    #[test]
    fn entries_are_found_once_wherever_they_lie() {
        let (one, two) = (on_disk(1, 1, vec![offset(1)]), on_disk(1, 2, vec![offset(2)]));
        let page = [b"PLOGgarbage".as_slice(), &two, b"PLPLOG", &one, &[0; 7]].concat();
        let mut scanner = DiskScanner::default();
        let found = scanner.scan(&[(4096, &page)]);
        assert_eq!(found.iter().map(|entry| (entry.term, entry.index)).collect::<Vec<_>>(), [(1, 1), (1, 2)]);
        let expected = Fact::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: 1 };
        assert_eq!((found[0].at_ms, &found[0].facts[..]), (7, &[expected][..]));
        assert_eq!(scanner.scan(&[(8192, &page)]), []);
        assert_eq!(scanner.conflicts(), []);
    }

    #[test]
    fn an_entry_that_changed_is_a_conflict() {
        let mut scanner = DiskScanner::default();
        scanner.scan(&[(0, &on_disk(1, 1, vec![offset(1)]))]);
        assert_eq!(scanner.scan(&[(0, &on_disk(1, 1, vec![offset(2)]))]).len(), 1);
        assert_eq!(scanner.conflicts().len(), 1);
        assert_eq!(scanner.scan(&[(0, &on_disk(2, 1, vec![offset(2)]))]).len(), 1);
        assert_eq!(scanner.conflicts().len(), 1);
    }

    #[test]
    fn torn_entries_are_none() {
        let whole = on_disk(1, 1, vec![offset(1)]);
        for length in 0..whole.len() {
            assert_eq!(DiskScanner::default().scan(&[(0, &whole[..length])]), []);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            assert_eq!(DiskScanner::default().scan(&[(0, &damaged)]), [], "byte {at}");
        }
    }

    #[test]
    fn chains_are_read_with_their_history() {
        let found = DiskScanner::default().scan(&[(0, &on_disk(1, 3, vec![chain()]))]);
        let Fact::Chain(chain) = &found[0].facts[0] else { panic!("{:?}", found[0].facts) };
        assert_eq!(chain.id.to_string(), "a/t/2/5/g/1700000000000/1");
        assert_eq!((chain.epoch, chain.attempt, chain.failures), (Position { term: 1, index: 2 }, 2, 2));
        assert_eq!((chain.reconsume_limit, chain.round), (16, 0));
        assert_eq!(chain.state, ChainState::Open { due_ms: 9 });
        let causes: Vec<_> = chain.latest.iter().map(|it| (&*it.failure.cause.name, it.failure.cause.number)).collect();
        assert_eq!(causes, [("timeout", None), ("wrong-message", Some(9))]);
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        let strange = map(vec![("new-thing", map(vec![]))]);
        let broken = map(vec![("chain", map(vec![("id", id())]))]);
        let found = DiskScanner::default().scan(&[(0, &on_disk(1, 1, vec![strange, broken, offset(1)]))]);
        assert_eq!(found[0].facts[0], Fact::Unknown("new-thing".into()));
        assert!(matches!(&found[0].facts[1], Fact::Unknown(why) if why.starts_with("chain: `invisible_ms`")));
        assert!(matches!(found[0].facts[2], Fact::Offset { .. }));
    }
}
