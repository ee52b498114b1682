//! The store's database: opening it, replaying what the log implies, and committing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};
use tokio::sync::Notify;

use super::{
    FILE, StoreConfig, StoreError,
    boxed_backend::BoxedBackend,
    counts::Counts,
    decoded::Decoded,
    draft::{Changes, Draft},
    error::Chained,
    rows::Recent,
    view::Committed,
};
use crate::{model::record::LogEntry, sabotage, seams::Disk};

/// Log index → encoded [`LogEntry`].
pub(super) const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
/// The settled rows of all derived tables.
pub(super) const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
/// Name → number.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Version of the tables and of the log's encoding.
const SCHEMA: u64 = 3;
const SCHEMA_KEY: &str = "schema";
const TERM_KEY: &str = "term";
/// Up to which log index the rows are settled.
const SETTLED_KEY: &str = "settled";

/// A database that was opened and found usable.
pub(super) struct Opened {
    pub(super) database: Arc<Database>,
    pub(super) committed: Arc<Committed>,
    /// Told when an operation on the file has failed.
    pub(super) failed: Arc<Notify>,
}

/// Opens the database, creates missing tables, checks the schema, and replays the log that is not settled.
pub(super) fn open(disk: &dyn Disk, config: &StoreConfig) -> Result<Opened, StoreError> {
    let open = |cause| StoreError::Open { name: FILE.into(), cause };
    let file = disk.open(FILE).map_err(open)?;
    forget_unborn(&*file).map_err(open)?;
    let mut builder = Database::builder();
    builder.set_cache_size(config.cache_bytes);
    let failed = Arc::new(Notify::new());
    let database = builder.create_with_backend(BoxedBackend::new(file, failed.clone()))?;
    prepare(&database, config.term)?;
    let committed = Arc::new(replay(&database)?);
    Ok(Opened { database: Arc::new(database), committed, failed })
}

/// Empties a file whose creation was cut off: redb writes its magic number last, so one that begins with zeroes never
/// held anything that was confirmed. Anything else that redb does not know is damage, and stays as it is.
fn forget_unborn(file: &dyn redb::StorageBackend) -> std::io::Result<()> {
    let mut magic = [0; 9];
    let length = file.len()?;
    if length >= magic.len() as u64 {
        file.read(0, &mut magic)?;
    }
    if length > 0 && magic == [0; 9] {
        tracing::warn!(length, "the store's creation was cut off; it begins anew");
        file.set_len(0)?;
    }
    Ok(())
}

/// Creates the tables of a fresh store; checks that one that has been used is of this version.
pub(super) fn prepare(database: &Database, term: u64) -> Result<(), StoreError> {
    if let Ok(meta) = database.begin_read()?.open_table(META) {
        let found = meta.get(SCHEMA_KEY)?.map_or(0, |row| row.value());
        return if found == SCHEMA { Ok(()) } else { Err(StoreError::Schema { found, expected: SCHEMA }) };
    }
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(SCHEMA_KEY, SCHEMA)?;
        meta.insert(TERM_KEY, term)?;
        meta.insert(SETTLED_KEY, 0)?;
        transaction.open_table(LOG)?;
        transaction.open_table(ROWS)?;
    }
    transaction.commit()?;
    Ok(())
}

/// The state that the log implies: its settled rows, and over them what the entries since say.
pub(super) fn replay(database: &Database) -> Result<Committed, StoreError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let number = |name: &str| Ok::<_, StoreError>(meta.get(name)?.map_or(0, |row| row.value()));
    let settled = number(SETTLED_KEY)?;
    let mut counts = Counts::default();
    for (name, count) in counts.named() {
        *count = number(name)?;
    }
    let decoded = Arc::new(Decoded::new());
    let base = Committed::read(database, decoded.clone(), Recent::new(), counts, settled)?;
    let mut draft = Draft::over(&base);
    let mut last = settled;
    for row in transaction.open_table(LOG)?.range(settled + 1..)? {
        let packed = row?.1;
        let entry = LogEntry::decode(packed.value())?;
        last = entry.position.index;
        draft.counts_mut().retained_bytes += packed.value().len() as u64;
        for (number, record) in (0..).zip(&entry.records) {
            draft.apply((last, number), entry.at_ms, record)?;
        }
    }
    // Nothing is left to be cut: what has entries cut is settled with them.
    let Changes { recent, counts, .. } = draft.finish();
    Committed::read(database, decoded, recent, counts, last)
}

/// Writes entries to the log and makes them durable; settles the rows when enough have come together, or when entries
/// leave the log that they might follow from.
pub(super) fn commit(
    database: &Database,
    base: &Committed,
    changes: Changes,
    config: &StoreConfig,
) -> Result<(Vec<Arc<LogEntry>>, Committed), StoreError> {
    let Changes { recent, mut counts, entries, followed, cut } = changes;
    let last = entries.last().map_or(0, |entry| entry.position.index);
    let mut transaction = database.begin_write()?;
    if sabotage!("success-before-commit") {
        transaction.set_durability(Durability::None).map_err(|error| StoreError::not_committed(&error))?;
    }
    let lengths = append(&transaction, &entries, &followed, &cut)?;
    counts.retained_bytes += lengths.iter().map(|bytes| *bytes as u64).sum::<u64>();
    let may_wait = cut.is_empty() || sabotage!("cut-without-settling");
    let recent = match may_wait && recent.len() < config.recent_rows {
        true => recent,
        false => settle(&transaction, &recent, &mut counts, last)?,
    };
    let unknown = |error: &dyn std::error::Error| StoreError::OutcomeUnknown { reason: Chained(error).to_string() };
    transaction.commit().map_err(|error| unknown(&error))?;
    let decoded = base.decoded();
    for (entry, bytes) in entries.iter().zip(lengths) {
        decoded.keep(entry.clone(), bytes);
    }
    cut.iter().for_each(|index| decoded.forget(*index));
    let committed =
        Committed::read(database, decoded.clone(), recent, counts, last).map_err(|error| unknown(&error))?;
    Ok((entries, committed))
}

/// Writes the entries, and takes off those that leave the log; tells how many bytes each of the new ones has.
fn append(
    transaction: &WriteTransaction,
    entries: &[Arc<LogEntry>],
    followed: &BTreeMap<u64, Bytes>,
    cut: &BTreeSet<u64>,
) -> Result<Vec<usize>, StoreError> {
    let mut log = transaction.open_table(LOG)?;
    let mut lengths = Vec::with_capacity(entries.len());
    for entry in entries {
        let bytes = match followed.get(&entry.position.index) {
            Some(bytes) => bytes.clone(),
            None => Bytes::from(entry.encode()?),
        };
        log.insert(entry.position.index, &bytes[..])?;
        lengths.push(bytes.len());
    }
    for index in cut {
        log.remove(index)?;
    }
    Ok(lengths)
}

/// Moves the recent rows into the database; nothing is recent any more.
fn settle(
    transaction: &WriteTransaction,
    recent: &Recent,
    counts: &mut Counts,
    last: u64,
) -> Result<Recent, StoreError> {
    let mut rows = transaction.open_table(ROWS)?;
    for (key, row) in recent {
        match row {
            Some(row) => drop(rows.insert(&key[..], row.pack()?.as_slice())?),
            None => drop(rows.remove(&key[..])?),
        }
    }
    let mut meta = transaction.open_table(META)?;
    meta.insert(SETTLED_KEY, last)?;
    for (name, count) in counts.named() {
        meta.insert(name, *count)?;
    }
    Ok(Recent::new())
}
