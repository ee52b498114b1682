//! Salvage: a broker that alone has a store, and whose file is damaged, goes on with what is left of it.
//!
//! The log is the truth, and each of its entries has a checksum of its own. Where all of it can be read the rows follow from
//! it, and nothing is lost; so it is where a commit that the file still knows of has all of its rows. Else the rows that can
//! be read stay, what the log says of the others comes on top, and [`mend`] sees to it that they fit together.
//!
//! What is lost stays known: the log goes on behind the last entry that was ever told of, under a new term, with an entry
//! that lists it for operators; queues go on behind whatever may have been in them, so that no handle or offset of a lost
//! message ever means another one.

use std::{io, sync::Arc};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};

use super::{
    FILE, StoreConfig, StoreError,
    append::RECORD_BITS,
    checked_file::CheckedFile,
    counts::Counts,
    database::{self, LOG, META, ROWS, SCHEMA, SCHEMA_KEY, SETTLED_KEY, TERM_KEY},
    decoded::Decoded,
    draft::Draft,
    losses::{Losses, touches},
    mark::{self, Mark, Progress},
    marked::CHANGES_KEY,
    mend,
    pages::{Lost, Met, Pages},
    remains::{LOG_WIDTHS, ROW_WIDTHS, Remains},
    row::Table,
    rows::Recent,
    tables::Tables as _,
    view::{Committed, Cuts},
};
use crate::{
    model::{
        chain::LogPosition,
        record::{LogEntry, Record, SetAside},
    },
    sabotage,
    seams::Disk,
};

/// The file in which what is left is put together, until it takes the damaged one's place.
const NEW: &str = "store.redb.salvaged";
/// How often a file is read that does not read alike twice.
const ATTEMPTS: u32 = 3;
/// What an operator finds it under in the list of what was set aside.
const TAG: &str = "salvage";

/// Why nothing was salvaged.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// The disk does not do what it has to.
    #[error("the disk fails")]
    Disk(#[from] io::Error),
    /// The new store cannot be written, or what was found makes no sense.
    #[error("what is left cannot be put together")]
    Store(#[from] StoreError),
    /// It reads otherwise from one time to the next.
    #[error("`{FILE}` does not read as it did a moment ago")]
    Unsteady,
    /// Nothing leads to what may be left.
    #[error("neither of the two commits that `{FILE}` knows of can be read")]
    NoCommit,
    /// The log cannot be told from what was in the file before.
    #[error("nothing in `{FILE}` leads to any log entry")]
    NoLog,
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for SalvageError {
            fn from(cause: $error) -> Self {
                Self::Store(cause.into())
            }
        })*
    };
}

from_redb!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError, redb::DatabaseError);

/// Puts a store in the place of the one that does not open, with what is left of that; the damaged file is kept under another
/// name. `broker` is the group whose store it is.
pub(super) fn salvage(
    disk: &dyn Disk,
    config: &StoreConfig,
    broker: &str,
    now_ms: i64,
) -> Result<Losses, SalvageError> {
    for _ in 1..ATTEMPTS {
        match try_to_salvage(disk, config, broker, now_ms) {
            Err(SalvageError::Unsteady) => {} // it is still going from bad to worse
            outcome => return outcome,
        }
    }
    try_to_salvage(disk, config, broker, now_ms)
}

fn try_to_salvage(disk: &dyn Disk, config: &StoreConfig, broker: &str, now_ms: i64) -> Result<Losses, SalvageError> {
    let noted = noted(disk)?;
    let losses = {
        let damaged = disk.open(FILE)?;
        let new = disk.open(NEW)?;
        new.set_len(0)?; // what an earlier attempt may have left
        let new = CheckedFile::new(new, Arc::default())?;
        new.accept()?;
        let database = Database::builder().set_cache_size(config.cache_bytes).create_with_backend(new)?;
        let salvage = Salvage { pages: &Pages::of(&*damaged)?, database: &database, config, broker, noted, now_ms };
        salvage.run()?
    };
    disk.replace(FILE, NEW)?;
    if noted.is_none() {
        disk.set_aside(&[mark::FILE])?;
    }
    Ok(losses)
}

/// How far the store had come; `None` if that is damaged.
fn noted(disk: &dyn Disk) -> io::Result<Option<Progress>> {
    match Mark::open(disk.open(mark::FILE)?) {
        Ok((_, noted)) => Ok(Some(noted)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

struct Salvage<'s> {
    pages: &'s Pages<'s>,
    database: &'s Database,
    config: &'s StoreConfig,
    broker: &'s str,
    noted: Option<Progress>,
    now_ms: i64,
}

impl Salvage<'_> {
    fn run(&self) -> Result<Losses, SalvageError> {
        let commits = self.pages.commits().iter().map(|commit| Remains::of(self.pages, *commit));
        let commits = commits.collect::<io::Result<Vec<_>>>()?;
        let newest = commits.first().ok_or(SalvageError::NoCommit)?;
        check_schema(&commits)?;
        self.copy_log(&commits)?;
        self.leave_out_torn()?;
        let last = self.last_entry()?;
        if last == 0 && self.noted.is_none_or(|noted| noted.last > 0) {
            return Err(SalvageError::NoLog);
        }
        let end = self.noted.map_or(last, |noted| noted.last).max(last);
        // The rows of a commit that was torn may have come further.
        let is_told = |commit: &&Remains| commit.meta.is_some() && commit.number(SETTLED_KEY) <= end;
        let whole = commits.iter().filter(is_told).find(|commit| commit.is_whole());
        let base = match whole {
            None if self.gaps(1, end)?.is_empty() => None,
            None => Some(commits.iter().find(is_told).unwrap_or(newest)),
            whole => whole,
        };
        let (settled, mut losses) = base.map_or_else(|| Ok((0, Losses::default())), |commit| self.copy_rows(commit))?;
        let end = end.max(settled);
        let gaps = self.gaps(1, end)?;
        let lost = base.map(|commit| &commit.lost_rows[..]).unwrap_or_default();
        let later: u64 = gaps.iter().map(|(first, end)| end.saturating_sub((*first - 1).max(settled))).sum();
        let later = later + self.unknown();
        let mending = mend::Mending {
            gaps: &gaps,
            lost,
            forgets_chains: later > 0 || lost.iter().any(|lost| touches(lost, Table::Chains)),
            broker: self.broker,
            now_ms: self.now_ms,
        };
        self.settle(settled, |draft| mending.mend(draft, &mut losses))?;
        if !sabotage!("salvage-without-replay") {
            self.replay((settled, u64::MAX), Leaving::Goes)?;
        }
        // Where it was not known up to where the rows were settled, some of this was said twice.
        self.settle(last.max(settled), |draft| mending.mend(draft, &mut losses))?;
        let most = |name| commits.iter().map(|commit| commit.number(name)).max().unwrap_or(0);
        self.tell((end, later), (most(TERM_KEY), most(CHANGES_KEY)), losses)
    }

    /// The log as the last commit has it, and what it has lost of that as the one before had it.
    fn copy_log(&self, commits: &[Remains]) -> Result<(), SalvageError> {
        let transaction = self.database.begin_write()?;
        database::create_tables(&transaction, self.config.term)?;
        let mut lost = vec![(0, u64::MAX)];
        for commit in commits {
            let mut log = transaction.open_table(LOG)?;
            let mut still_lost = Vec::new();
            if !commit.is_log_known {
                still_lost.push((0, u64::MAX));
            }
            self.pages.walk(commit.log, LOG_WIDTHS, &mut |met| {
                match met {
                    // An entry has a checksum of its own.
                    Met::Pair(key, bytes) | Met::Doubtful(key, bytes) => {
                        let index = index_of(key);
                        let is_missing = lost.iter().any(|(after, until)| *after < index && index <= *until)
                            && !(sabotage!("salvage-leaves-entries-out") && index % 8 == 7);
                        let is_one = LogEntry::decode(bytes).is_ok_and(|entry| entry.position.index == index);
                        if is_missing && is_one && log.get(index)?.is_none() {
                            log.insert(index, bytes)?;
                        }
                    }
                    Met::Lost(Lost { after, until }) => {
                        let (after, until) = (after.map(|key| index_of(&key)), until.map(|key| index_of(&key)));
                        still_lost.push((after.unwrap_or(0), until.unwrap_or(u64::MAX)));
                    }
                }
                Ok::<_, SalvageError>(())
            })?;
            lost = still_lost;
        }
        Ok(transaction.commit()?)
    }

    /// Of a commit that was torn, and of which nobody was told, what comes behind something missing is no loss.
    fn leave_out_torn(&self) -> Result<(), SalvageError> {
        let Some(noted) = self.noted.filter(|noted| noted.last > 0) else { return Ok(()) };
        if let Some((first, _)) = self.gaps(noted.last.saturating_add(1), 0)?.first() {
            let transaction = self.database.begin_write()?;
            transaction.open_table(LOG)?.retain_in(*first.., |_, _| false)?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// The rows of a commit, and up to where they are settled; of those that are lost what the entries until there say.
    fn copy_rows(&self, commit: &Remains) -> Result<(u64, Losses), SalvageError> {
        // An entry that is only held back may say what a later one has changed, which is gone.
        let begin = match commit.expired_before {
            Some(index) => index,
            None => self.gaps(1, self.last_entry()?)?.last().map_or(1, |(_, last)| last + 1),
        };
        // Entries may be followed twice, but for counts; none must be left out.
        let settled = commit.meta.as_ref().map_or(begin - 1, |_| commit.number(SETTLED_KEY));
        if !commit.lost_rows.is_empty() {
            self.replay((begin - 1, settled), Leaving::Stays)?;
        }
        let transaction = self.database.begin_write()?;
        {
            let mut rows = transaction.open_table(ROWS)?;
            rows.retain(|key, _| commit.lost_rows.iter().any(|lost| lost.has(key)))?;
            self.pages.walk(commit.rows, ROW_WIDTHS, &mut |met| {
                match met {
                    Met::Pair(key, row) => drop(rows.insert(key, row)?),
                    Met::Lost(lost) if !commit.lost_rows.contains(&lost) => return Err(SalvageError::Unsteady),
                    Met::Doubtful(..) | Met::Lost(_) => {}
                }
                Ok(())
            })?;
        }
        transaction.commit()?;
        let mut losses = Losses::default();
        commit.lost_rows.iter().for_each(|lost| losses.rows(lost));
        Ok((settled, losses))
    }

    /// Has the rows follow the entries after the one index up to the other, as many at a time as are kept in memory.
    fn replay(&self, (mut after, until): (u64, u64), leaving: Leaving) -> Result<(), SalvageError> {
        loop {
            let log = self.database.begin_read()?.open_table(LOG)?;
            let mut entries = log.range(after.saturating_add(1)..=until.max(after.saturating_add(1)))?.peekable();
            if until <= after || entries.peek().is_none() {
                return Ok(());
            }
            let begin = after;
            let cuts = self.settle(begin, |draft| {
                for entry in entries {
                    let bytes = entry?.1;
                    let entry = LogEntry::decode(bytes.value())?;
                    after = entry.position.index;
                    draft.counts_mut().retained_bytes += bytes.value().len() as u64;
                    for (number, record) in (0..).zip(&entry.records) {
                        draft.apply((after, number), entry.at_ms, record)?;
                    }
                    if draft.so_far().0.len() >= self.config.recent_rows {
                        break;
                    }
                }
                Ok(after)
            })?;
            if leaving == Leaving::Goes {
                let transaction = self.database.begin_write()?;
                for (_, index) in cuts {
                    transaction.open_table(LOG)?.remove(index)?;
                }
                transaction.commit()?;
            }
        }
    }

    /// Changes the rows, which follow the log up to an index; afterwards they follow it up to the one that is returned. Gives
    /// what is to leave the log.
    fn settle(
        &self,
        at: u64,
        change: impl FnOnce(&mut Draft<'_>) -> Result<u64, StoreError>,
    ) -> Result<Cuts, SalvageError> {
        let counts = database::counts(self.database)?;
        let decoded = Arc::new(Decoded::new());
        let base = Committed::read(self.database, decoded, (Recent::new(), counts, Cuts::new()), at, at)?;
        let mut draft = Draft::over(&base, u64::MAX);
        let last = change(&mut draft)?;
        let changes = draft.finish();
        let transaction = self.database.begin_write()?;
        database::settle(&transaction, &changes.recent, changes.counts, last)?;
        transaction.commit()?;
        Ok(changes.cuts)
    }

    fn last_entry(&self) -> Result<u64, SalvageError> {
        let log = self.database.begin_read()?.open_table(LOG)?;
        Ok(log.last()?.map_or(0, |(index, _)| index.value()))
    }

    /// Entries that are not in the log: the first and the last of each row of them.
    fn gaps(&self, first: u64, last: u64) -> Result<Vec<(u64, u64)>, SalvageError> {
        let log = self.database.begin_read()?.open_table(LOG)?;
        let (mut gaps, mut next) = (Vec::new(), first);
        for entry in log.range(first..)? {
            let index = entry?.0.value();
            if index > next {
                gaps.push((next, index - 1));
            }
            next = index + 1;
        }
        if next <= last {
            gaps.push((next, last));
        }
        Ok(gaps)
    }

    /// Ends the log with an entry that tells what is lost.
    /// Its term is later than any before: also than that of such an entry which is lost itself, and which `meta` knows.
    fn tell(
        &self,
        (end, later): (u64, u64),
        (known_term, changes): (u64, u64),
        mut losses: Losses,
    ) -> Result<Losses, SalvageError> {
        let transaction = self.database.begin_read()?;
        let last = match transaction.open_table(LOG)?.last()? {
            Some((_, entry)) => LogEntry::decode(entry.value()).ok(),
            None => None,
        };
        drop(transaction);
        let (term, last_ms) = last.map_or((0, i64::MIN), |last| (last.position.term, last.at_ms));
        // The clock may have been set back; a log's never is.
        let at_ms = self.now_ms.max(last_ms);
        // Behind whatever may have been there.
        let position =
            LogPosition { term: term.max(known_term).max(self.config.term) + 1, index: end + self.unknown() + 1 };
        losses.later_entries = self.noted.is_none();
        losses.entries = self.gaps(self.expired_before()?, end)?;
        let skipped = i64::try_from(later << RECORD_BITS).unwrap_or(0);
        let told = if losses.is_empty() { "nothing is lost" } else { "what is lost is listed in the body" };
        let record = Record::SetAside(SetAside {
            tag: TAG.into(),
            body: Bytes::from(serde_json::to_vec(&losses).map_err(io::Error::from)?),
            reason: format!("`{FILE}` was damaged; {told}"),
            at_ms,
        });
        let entry = LogEntry { position, at_ms, records: vec![record] };
        let bytes = entry.encode().map_err(StoreError::from)?;
        self.settle(end, |draft| {
            mend::skip(draft, skipped)?;
            draft.counts_mut().retained_bytes += bytes.len() as u64;
            draft.apply((position.index, 0), entry.at_ms, &entry.records[0])?;
            Ok(position.index)
        })?;
        let transaction = self.database.begin_write()?;
        transaction.open_table(LOG)?.insert(position.index, &bytes[..])?;
        self.note(&transaction, position.term, changes)?;
        transaction.commit()?;
        Ok(losses)
    }

    /// How many entries may be missing behind those that are known: one commit, if nobody knows how far it had come.
    fn unknown(&self) -> u64 {
        if self.noted.is_none() { self.config.batch_limit as u64 } else { 0 }
    }

    /// What is in no entry; the new store has come further than the damaged one.
    fn note(&self, transaction: &WriteTransaction, term: u64, changes: u64) -> Result<(), SalvageError> {
        let mut meta = transaction.open_table(META)?;
        meta.insert(TERM_KEY, term)?;
        meta.insert(CHANGES_KEY, changes.max(self.noted.map_or(0, |noted| noted.changes)))?;
        Ok(())
    }

    fn expired_before(&self) -> Result<u64, SalvageError> {
        let nothing = (Recent::new(), Counts::default(), Cuts::new());
        let state = Committed::read(self.database, Arc::new(Decoded::new()), nothing, 0, 0)?;
        Ok(Draft::over(&state, 0).expired_before()?)
    }
}

/// Whether what a replay finds past its retention leaves the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Goes,
    Stays,
}

/// A store of another version is none to salvage.
fn check_schema(commits: &[Remains]) -> Result<(), StoreError> {
    let found = commits.iter().find_map(|commit| commit.meta.as_ref()?.get(SCHEMA_KEY)).copied();
    match found {
        Some(found) if found != SCHEMA => Err(StoreError::Schema { found, expected: SCHEMA }),
        _ => Ok(()),
    }
}

fn index_of(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
