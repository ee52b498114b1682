//! What a broker's tables hold, read from its file at rest.
//!
//! The store keeps its log in one redb table and the rows that follow from it in another, under keys that begin with the
//! number of what they are a table of. Rows are told here by their keys, as text: what is to be there follows from the
//! log, and what a row says is seen where the broker acts by it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, backends::InMemoryBackend};
use serde::Serialize;

const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Rows by table.
pub type Rows = BTreeMap<&'static str, BTreeSet<String>>;

/// The tables of one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tables {
    /// Up to which log index the rows follow from the log; what the log says beyond that is in no row yet.
    pub settled: u64,
    /// Indexes of the entries in the log.
    pub log: BTreeSet<u64>,
    /// The rows, each told by the parts of its key.
    pub rows: Rows,
}

/// What a key is made of.
#[derive(Clone, Copy)]
enum Part {
    /// Bytes up to `0x00 0x01`; a zero byte inside is `0x00 0xFF`.
    Text,
    /// Eight bytes, the sign turned round.
    Number,
    /// Eight bytes.
    Index,
}
use Part::{Index, Number, Text};

/// The number that keys begin with, the table's name, and what follows.
const FORMS: [(u8, &str, &[Part]); 26] = [
    (1, "topics", &[Text]),
    (2, "groups", &[Text]),
    (3, "bounds", &[Text, Number]),
    (4, "queues", &[Text, Number, Number]),
    (5, "offsets", &[Text, Text, Number]),
    (6, "chains", &[Text]),
    (7, "due", &[Number, Text]),
    (8, "parked", &[Text]),
    (9, "timers", &[Number, Index, Index]),
    (10, "early-acks", &[Text]),
    (11, "early-acks-until", &[Number, Text]),
    (12, "set-aside", &[Index, Index]),
    (13, "sends", &[Number, Text, Text]),
    (14, "kept", &[Text]),
    (15, "needed", &[Index]),
    (16, "free", &[Index]),
    (17, "marks", &[Text]),
    (18, "over", &[Number, Text]),
    (19, "forgotten", &[Text]),
    (20, "deleted-topics", &[Text]),
    (21, "sealed", &[Text]),
    (22, "acted", &[Text, Text]),
    (23, "merged", &[Text]),
    (24, "acted-ends", &[Text]),
    (25, "taken-timers", &[Text, Number, Index, Index]),
    (26, "master-sealed", &[Text]),
];

/// Rows whose table nobody knows.
const UNKNOWN: &str = "unknown";

impl Tables {
    /// The tables in a file; `None` when it was never completely created, or is damaged beyond what redb recovers.
    #[must_use]
    pub fn read(content: &Bytes) -> Option<Self> {
        read(content).ok()
    }
}

fn read(content: &Bytes) -> Result<Tables, redb::Error> {
    let copy = InMemoryBackend::new();
    copy.set_len(content.len() as u64)?;
    copy.write(0, content)?;
    let database = Database::builder().create_with_backend(copy)?;
    let transaction = database.begin_read()?;
    let settled = transaction.open_table(META)?.get("settled")?.map_or(0, |row| row.value());
    let mut tables = Tables { settled, ..Tables::default() };
    for row in transaction.open_table(LOG)?.iter()? {
        tables.log.insert(row?.0.value());
    }
    for row in transaction.open_table(ROWS)?.iter()? {
        let (name, key) = told(row?.0.value());
        tables.rows.entry(name).or_default().insert(key);
    }
    Ok(tables)
}

/// The table that a key is of, and its parts with spaces between.
fn told(key: &[u8]) -> (&'static str, String) {
    let form = FORMS.iter().find(|(number, ..)| key.first() == Some(number));
    let parts = form.and_then(|(_, name, parts)| Some((*name, parts_of(&key[1..], parts)?.join(" "))));
    parts.unwrap_or_else(|| (UNKNOWN, format!("{key:02x?}")))
}

fn parts_of(mut rest: &[u8], parts: &[Part]) -> Option<Vec<String>> {
    let mut told = Vec::new();
    for part in parts {
        told.push(match part {
            Text => text(&mut rest)?,
            Number => (index(&mut rest)? ^ (1 << 63)).cast_signed().to_string(),
            Index => index(&mut rest)?.to_string(),
        });
    }
    rest.is_empty().then_some(told)
}

fn index(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(u64::from_be_bytes(*bytes))
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let zero = memchr::memchr(0, rest)?;
        text.extend_from_slice(&rest[..zero]);
        let ends = *rest.get(zero + 1)? == 1;
        *rest = &rest[zero + 2..];
        if ends {
            return String::from_utf8(text).ok();
        }
        text.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(table: u8, parts: &[&[u8]]) -> Vec<u8> {
        [&[table], parts.concat().as_slice()].concat()
    }

    #[test]
    fn rows_are_told_by_their_keys() {
        let number = (5_u64 | 1 << 63).to_be_bytes();
        assert_eq!(told(&key(7, &[&number, b"a/t/0\0\x01"])), ("due", "5 a/t/0".into()));
        assert_eq!(told(&key(22, &[b"a\0\x01", b"x\0\xFFy\0\x01"])), ("acted", "a x\0y".into()));
        assert_eq!(told(&key(15, &[&7_u64.to_be_bytes()])), ("needed", "7".into()));
    }

    #[test]
    fn what_is_no_key_is_told_as_it_is() {
        for strange in [&[99, 1][..], &[6, b'a'], &[15, 0], &[], &[6, b'a', 0, 1, 9]] {
            assert_eq!(told(strange), (UNKNOWN, format!("{strange:02x?}")));
        }
    }

    #[test]
    fn a_file_that_holds_no_tables_tells_nothing() {
        assert_eq!(Tables::read(&Bytes::new()), None);
        assert_eq!(Tables::read(&Bytes::from_static(&[7; 9000])), None);
    }
}
