//! What a file that lost power will turn out to hold.
//!
//! A crash may keep part of a commit that was never synced, and pages alone do not tell whether that commit is in force.
//! Only redb's recovery does, so it is run on a copy: the entries of the recovered log table are what any later
//! incarnation of the broker will find.

use bytes::Bytes;
use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition, backends::InMemoryBackend};

const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");

/// The encoded entries after the last known one that a broker recovering from `content` will have, in order; none when the
/// file was never completely created, or is damaged beyond what redb recovers.
#[must_use]
pub fn recovered_entries(content: &Bytes, is_known: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    read(content, is_known).unwrap_or_default()
}

fn read(content: &Bytes, is_known: impl Fn(&[u8]) -> bool) -> Result<Vec<Vec<u8>>, redb::Error> {
    let copy = InMemoryBackend::new();
    copy.set_len(content.len() as u64)?;
    copy.write(0, content)?;
    let database = Database::builder().create_with_backend(copy)?;
    let log = database.begin_read()?.open_table(LOG)?;
    let mut entries = Vec::new();
    for row in log.range::<u64>(..)?.rev() {
        let entry = row?.1;
        if is_known(entry.value()) {
            break;
        }
        entries.push(entry.value().to_vec());
    }
    entries.reverse();
    Ok(entries)
}
