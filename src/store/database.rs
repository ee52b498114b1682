//! The store's database: opening it, replaying what the log implies, and committing.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};
use tokio::sync::Notify;

use super::{
    FILE, StoreConfig, StoreError,
    checked_file::CheckedFile,
    confirmation::{Confirms, Known},
    counts::Counts,
    decoded::Decoded,
    draft::{Changes, Draft},
    error::{Chained, Damage},
    mark::{self, Mark},
    marked::Marked,
    rows::Recent,
    view::{Committed, Cuts},
};
use crate::{
    buggify,
    model::record::{LogEnd, LogEntry, Record},
    sabotage,
    seams::Disk,
    sometimes,
};

/// Log index → encoded [`LogEntry`].
pub(super) const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
/// The settled rows of all derived tables.
pub(super) const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
/// Name → number.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Version of the tables and of the log's encoding.
pub(super) const SCHEMA: u64 = 3;
pub(super) const SCHEMA_KEY: &str = "schema";
pub(super) const TERM_KEY: &str = "term";
/// Up to which log index the rows are settled.
pub(super) const SETTLED_KEY: &str = "settled";
/// Up to which log index, when the last entry was written, everything was known to be confirmed. Missing where all of it
/// is; what is settled always is.
const CONFIRMED_KEY: &str = "confirmed";

/// The term under which this member, a slave, acts for its master; 0 before it has one. Missing while it does not act.
const ACTS_KEY: &str = "acts";
/// The last term upon which the two slaves of a group agreed that one of them acts.
const AGREED_KEY: &str = "agreed";

/// Whether this member, a slave, once had all that its master had: since then nothing was confirmed that is not here.
const CAUGHT_UP_KEY: &str = "caught-up";

/// How far the master's clock was ahead of this member's wall clock, ms (the bits of an `i64`). Missing where it was not.
const MASTER_AHEAD_KEY: &str = "master-ahead";

/// What becomes of the entries that a log has beyond the state which is built upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// There are none.
    None,
    /// They are taken off.
    Goes,
}

/// A database that was opened and found usable.
pub(super) struct Opened {
    pub(super) database: Arc<Marked>,
    /// The state up to the last entry that is known to be confirmed.
    pub(super) confirmed: Arc<Committed>,
    /// The state up to the last entry.
    pub(super) head: Arc<Committed>,
    /// Told when an operation on the file has failed.
    pub(super) failed: Arc<Notify>,
}

/// Opens the database, creates missing tables, checks the schema, and replays the log that is not settled. At least up to
/// `confirmed` it is known to be confirmed. All of the file is read, for what has changed on the disk is never used.
pub(super) fn open(disk: &dyn Disk, config: &StoreConfig, confirmed: u64) -> Result<Opened, StoreError> {
    let open = |cause| StoreError::Open { name: FILE.into(), cause };
    let file = disk.open(FILE).map_err(open)?;
    forget_unborn(&*file).map_err(open)?;
    let mut builder = Database::builder();
    builder.set_cache_size(config.cache_bytes).set_check_integrity_on_open(true);
    let opened = disk.open(mark::FILE).and_then(Mark::open);
    let (mark, noted) = opened.map_err(|cause| match cause.kind() {
        std::io::ErrorKind::InvalidData => StoreError::Damaged(Damage::Mark),
        _ => StoreError::Open { name: mark::FILE.into(), cause },
    })?;
    let failed = Arc::new(Notify::new());
    let file = CheckedFile::new(file, failed.clone()).map_err(open)?;
    let opened = builder.create_with_backend(file.clone()).map_err(StoreError::from);
    if let Err(StoreError::Damaged(_)) = &opened {
        sometimes!("store-damaged");
    }
    let database = Arc::new(Marked::new(opened?, mark, noted)?);
    file.accept().map_err(open)?;
    prepare(&database, config.term)?;
    if config.confirms == Confirms::Alone {
        forget_confirmed(&database)?;
    }
    let (confirmed, head) = replay(&database, config, confirmed)?;
    Ok(Opened { database, confirmed, head, failed })
}

/// Empties a file whose creation was cut off: redb writes its magic number last, so one that begins with zeroes never
/// held anything that was confirmed. Anything else that redb does not know is damage, and stays as it is.
fn forget_unborn(file: &dyn redb::StorageBackend) -> std::io::Result<()> {
    let mut magic = [0; 9];
    let length = file.len()?;
    let there = usize::try_from(length).unwrap_or(usize::MAX).min(magic.len());
    file.read(0, &mut magic[..there])?;
    if length > 0 && magic == [0; 9] {
        tracing::warn!(length, "the store's creation was cut off; it begins anew");
        file.set_len(0)?;
    }
    Ok(())
}

/// Creates the tables of a fresh store; checks that one that has been used is of this version.
pub(super) fn prepare(database: &Marked, term: u64) -> Result<(), StoreError> {
    if let Ok(meta) = database.begin_read()?.open_table(META) {
        let found = meta.get(SCHEMA_KEY)?.map_or(0, |row| row.value());
        return if found == SCHEMA { Ok(()) } else { Err(StoreError::Schema { found, expected: SCHEMA }) };
    }
    let transaction = database.begin_write()?;
    create_tables(&transaction, term)?;
    database.commit(transaction, None)
}

/// Creates the tables of a fresh store.
pub(super) fn create_tables(transaction: &WriteTransaction, term: u64) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META)?;
    meta.insert(SCHEMA_KEY, SCHEMA)?;
    meta.insert(TERM_KEY, term)?;
    meta.insert(SETTLED_KEY, 0)?;
    transaction.open_table(LOG)?;
    transaction.open_table(ROWS)?;
    Ok(())
}

/// What confirms alone has confirmed all there is: whoever needs others later must not go by how far it once was.
fn forget_confirmed(database: &Marked) -> Result<(), StoreError> {
    if database.begin_read()?.open_table(META)?.get(CONFIRMED_KEY)?.is_none() {
        return Ok(());
    }
    database.change(|meta| meta.remove(CONFIRMED_KEY).map(drop))
}

/// The term under which this member acts for its master, if it does; 0 before it has one.
pub(super) fn acts(database: &Database) -> Result<Option<u64>, StoreError> {
    Ok(database.begin_read()?.open_table(META)?.get(ACTS_KEY)?.map(|row| row.value()))
}

/// Remembers whether, and under which term, this member acts for its master.
pub(super) fn set_acts(database: &Marked, acts: Option<u64>) -> Result<(), StoreError> {
    database.change(|meta| match acts {
        Some(term) => meta.insert(ACTS_KEY, term).map(drop),
        None => meta.remove(ACTS_KEY).map(drop),
    })
}

/// The last term upon which this member and the other slave of its group agreed that one of them acts; 0 if there is none.
pub(super) fn agreed(database: &Database) -> Result<u64, StoreError> {
    Ok(database.begin_read()?.open_table(META)?.get(AGREED_KEY)?.map_or(0, |row| row.value()))
}

/// Remembers that this member follows nobody who has not merged a later term than that, nor does the other slave.
pub(super) fn agree(database: &Marked, term: u64) -> Result<(), StoreError> {
    database.change(|meta| {
        meta.insert(ACTS_KEY, term)?;
        meta.insert(AGREED_KEY, term).map(drop)
    })
}

/// Whether this member, a slave, has ever had all that its master had.
pub(super) fn has_caught_up(database: &Database) -> Result<bool, StoreError> {
    Ok(database.begin_read()?.open_table(META)?.get(CAUGHT_UP_KEY)?.is_some())
}

/// Remembers whether it has.
pub(super) fn set_caught_up(database: &Marked, has_caught_up: bool) -> Result<(), StoreError> {
    database.change(|meta| match has_caught_up {
        true => meta.insert(CAUGHT_UP_KEY, 1).map(drop),
        false => meta.remove(CAUGHT_UP_KEY).map(drop),
    })
}

/// How far the master's clock was ahead of this member's wall clock when that was last stored, ms.
pub(super) fn master_ahead_ms(database: &Database) -> Result<i64, StoreError> {
    Ok(database.begin_read()?.open_table(META)?.get(MASTER_AHEAD_KEY)?.map_or(0, |row| row.value().cast_signed()))
}

/// Remembers how far it is.
pub(super) fn set_master_ahead_ms(database: &Marked, ms: i64) -> Result<(), StoreError> {
    database.change(|meta| meta.insert(MASTER_AHEAD_KEY, ms.cast_unsigned()).map(drop))
}

/// As [`replay`], of the log up to `end` only, all of which is confirmed.
pub(super) fn replay_to(
    database: &Database,
    config: &StoreConfig,
    end: LogEnd,
) -> Result<(Arc<Committed>, Arc<Committed>), StoreError> {
    let index = end.position.index;
    let transaction = database.begin_read()?;
    let settled = transaction.open_table(META)?.get(SETTLED_KEY)?.map_or(0, |row| row.value());
    let known = transaction.open_table(LOG)?.get(index)?.and_then(|entry| LogEntry::peek(entry.value()));
    let is_known = known.is_some_and(|(position, checksum)| LogEnd { position, checksum } == end);
    if settled > index || !(is_known || end == LogEnd::default()) {
        return Err(StoreError::NoSuchPlace { index });
    }
    replay_until(database, config, index, if sabotage!("tail-kept") { u64::MAX } else { index })
}

/// The states that the log implies: its settled rows, and over them what the entries since say, up to the last that is
/// known to be confirmed and up to the last there is.
pub(super) fn replay(
    database: &Database,
    config: &StoreConfig,
    confirmed: u64,
) -> Result<(Arc<Committed>, Arc<Committed>), StoreError> {
    replay_until(database, config, confirmed, u64::MAX)
}

fn replay_until(
    database: &Database,
    config: &StoreConfig,
    confirmed: u64,
    until: u64,
) -> Result<(Arc<Committed>, Arc<Committed>), StoreError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let found = |name: &str| Ok::<_, StoreError>(meta.get(name)?.map(|row| row.value()));
    let settled = found(SETTLED_KEY)?.unwrap_or(0);
    let confirmed = match config.confirms {
        Confirms::Alone => u64::MAX,
        Confirms::WhenTold { .. } => found(CONFIRMED_KEY)?.unwrap_or(u64::MAX).max(settled).max(confirmed),
    };
    let counts = counts(database)?;
    let decoded = Arc::new(Decoded::new());
    let state = |told, last| Committed::read(database, decoded.clone(), told, last, settled);
    let base = state((Recent::new(), counts, Cuts::new()), settled)?;
    let mut draft = Draft::over(&base, u64::MAX);
    let (mut last, mut confirmed_state) = (settled, None);
    for row in transaction.open_table(LOG)?.range(settled + 1..until.saturating_add(1).max(settled + 1))? {
        let packed = row?.1;
        let entry = LogEntry::decode(packed.value())?;
        if entry.position.index > confirmed && confirmed_state.is_none() {
            confirmed_state = Some(Arc::new(state(draft.so_far(), last)?));
        }
        last = entry.position.index;
        draft.counts_mut().retained_bytes += packed.value().len() as u64;
        for (number, record) in (0..).zip(&entry.records) {
            if matches!(record, Record::Sent { .. }) && sabotage!("sends-forgotten") {
                continue;
            }
            draft.apply((last, number), entry.at_ms, record)?;
        }
    }
    let head = Arc::new(state(draft.so_far(), last)?);
    Ok((confirmed_state.unwrap_or_else(|| head.clone()), head))
}

/// The sizes of tables, as far as they are settled.
pub(super) fn counts(database: &Database) -> Result<Counts, StoreError> {
    let meta = database.begin_read()?.open_table(META)?;
    let mut counts = Counts::default();
    for (name, count) in counts.named() {
        *count = meta.get(name)?.map_or(0, |row| row.value());
    }
    Ok(counts)
}

/// Writes entries to the log, behind the last one of `base`, and makes them durable; settles confirmed rows when enough have
/// come together, or when entries leave the log that they might follow from. With [`Tail::Goes`] what the log has beyond
/// `base`, none of which was ever confirmed, is taken off in the same transaction.
pub(super) fn commit(
    database: &Marked,
    base: &Committed,
    confirmed: &Known,
    (changes, tail): (Changes, Tail),
    config: &StoreConfig,
) -> Result<(Vec<Arc<LogEntry>>, Committed), StoreError> {
    let Changes { recent, mut counts, entries, followed, mut cuts } = changes;
    let last = entries.last().map_or(base.last_index(), |entry| entry.position.index);
    let mut transaction = database.begin_write()?;
    if sabotage!("success-before-commit") {
        transaction.set_durability(Durability::None).map_err(|error| StoreError::not_committed(&error))?;
    }
    if tail == Tail::Goes && !sabotage!("tail-kept") {
        database.is_cut_back(base.last_index())?;
        transaction.open_table(LOG)?.retain_in(base.last_index().saturating_add(1).., |_, _| false)?;
    }
    let lengths = append(&transaction, &entries, &followed)?;
    counts.retained_bytes += lengths.iter().map(|bytes| *bytes as u64).sum::<u64>();
    let may_wait = (cuts.is_empty() || sabotage!("cut-without-settling")) && !buggify!("settles-rows-now");
    let (recent, settled) = match may_wait && recent.len() < config.recent_rows {
        true => (recent, base.settled_index()),
        false => settle_confirmed(&transaction, base, confirmed, (recent, counts), last)?,
    };
    let cut = cut_off(&transaction, &mut cuts, settled)?;
    if let Confirms::WhenTold { .. } = config.confirms {
        transaction.open_table(META)?.insert(CONFIRMED_KEY, confirmed.told.min(last))?;
    }
    let unknown = |error: &dyn std::error::Error| StoreError::OutcomeUnknown { reason: Chained(error).to_string() };
    let end = entries.last().map(|entry| entry.position.index).filter(|_| !sabotage!("success-before-commit"));
    database.commit(transaction, end)?;
    let decoded = base.decoded();
    for (entry, bytes) in entries.iter().zip(lengths) {
        decoded.keep(entry.clone(), bytes);
    }
    cut.into_iter().for_each(|index| decoded.forget(index));
    let committed = Committed::read(database, decoded.clone(), (recent, counts, cuts), last, settled);
    Ok((entries, committed.map_err(|error| unknown(&error))?))
}

/// Writes the entries; tells how many bytes each of them has.
fn append(
    transaction: &WriteTransaction,
    entries: &[Arc<LogEntry>],
    followed: &BTreeMap<u64, Bytes>,
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
    Ok(lengths)
}

/// Takes off what may leave the log by now, and tells what that was. Nothing leaves it from which unsettled rows follow,
/// or that rows of the confirmed state name: it would be missing at a replay.
fn cut_off(transaction: &WriteTransaction, cuts: &mut Cuts, settled: u64) -> Result<Vec<u64>, StoreError> {
    let last = if sabotage!("cut-without-settling") { u64::MAX } else { settled };
    let later = cuts.split_off(&(last.saturating_add(1), 0));
    let mut log = transaction.open_table(LOG)?;
    let due: Vec<u64> = std::mem::replace(cuts, later).into_iter().map(|(_, index)| index).collect();
    for index in &due {
        log.remove(index)?;
    }
    Ok(due)
}

/// Settles what no other log can ever contradict. Gives the rows that are recent afterwards, and up to where they are
/// settled.
fn settle_confirmed(
    transaction: &WriteTransaction,
    base: &Committed,
    confirmed: &Known,
    (recent, counts): (Recent, Counts),
    last: u64,
) -> Result<(Recent, u64), StoreError> {
    if confirmed.told >= last {
        settle(transaction, &recent, counts, last)?;
        return Ok((Recent::new(), last));
    }
    let Some(state) = confirmed.state.as_ref().filter(|state| state.last_index() > base.settled_index()) else {
        return Ok((recent, base.settled_index()));
    };
    settle(transaction, state.recent(), state.counts(), state.last_index())?;
    let later = recent.into_iter().filter(|(_, change)| change.at > state.last_index());
    Ok((later.collect(), state.last_index()))
}

/// Moves rows into the database.
pub(super) fn settle(
    transaction: &WriteTransaction,
    rows: &Recent,
    mut counts: Counts,
    last: u64,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(ROWS)?;
    for (key, change) in rows {
        match &change.row {
            Some(row) => drop(table.insert(&key[..], row.pack()?.as_slice())?),
            None => drop(table.remove(&key[..])?),
        }
    }
    let mut meta = transaction.open_table(META)?;
    meta.insert(SETTLED_KEY, last)?;
    for (name, count) in counts.named() {
        meta.insert(name, *count)?;
    }
    Ok(())
}
