//! The writer: gathers the steps that wait, runs them in one transaction each, and commits them together.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::{
    CommitListener, FILE, Step, StoreConfig, StoreError, Txn, View,
    boxed_backend::BoxedBackend,
    step::WriteTables,
    tables::Tables as _,
    tables::{BOUNDS, CHAINS, DUE, GROUPS, OFFSETS, QUEUES, TIMERS, TOPICS},
    tables::{EARLY_ACKS, EARLY_ACKS_UNTIL, LOG, META, PARKED, SET_ASIDE},
};
use crate::{
    model::{chain::LogPosition, record::LogEntry},
    sabotage,
    seams::{Disk, Host},
};

/// Version of the tables and of the log's encoding.
const SCHEMA: u64 = 1;

/// How often reopening is tried while the disk refuses it.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// A database that was opened and found usable.
pub(super) struct Opened {
    pub(super) database: Arc<Database>,
    last_index: u64,
}

/// Opens the database, creates missing tables, and checks the schema.
pub(super) fn open_database(disk: &dyn Disk, config: &StoreConfig) -> Result<Opened, StoreError> {
    let open = |cause| StoreError::Open { name: FILE.into(), cause };
    let file = disk.open(FILE).map_err(open)?;
    forget_unborn(&*file).map_err(open)?;
    let mut builder = Database::builder();
    builder.set_cache_size(config.cache_bytes);
    let database = builder.create_with_backend(BoxedBackend(file))?;
    let last_index = match prepare(&database, config.term)? {
        Some(last) => last,
        None => read_last_index(&database)?,
    };
    Ok(Opened { database: Arc::new(database), last_index })
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

/// Creates the tables of a fresh store; gives its last index (0), or `None` for a store that has been used before.
fn prepare(database: &Database, term: u64) -> Result<Option<u64>, StoreError> {
    if let Ok(meta) = database.begin_read()?.open_table(META) {
        let found = meta.get("schema")?.map_or(0, |row| row.value());
        return if found == SCHEMA { Ok(None) } else { Err(StoreError::Schema { found, expected: SCHEMA }) };
    }
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("schema", SCHEMA)?;
        meta.insert("term", term)?;
        create_tables(&transaction)?;
    }
    transaction.commit()?;
    Ok(Some(0))
}

fn create_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(LOG)?;
    transaction.open_table(TOPICS)?;
    transaction.open_table(GROUPS)?;
    transaction.open_table(QUEUES)?;
    transaction.open_table(BOUNDS)?;
    transaction.open_table(OFFSETS)?;
    transaction.open_table(CHAINS)?;
    transaction.open_table(DUE)?;
    transaction.open_table(PARKED)?;
    transaction.open_table(TIMERS)?;
    transaction.open_table(EARLY_ACKS)?;
    transaction.open_table(EARLY_ACKS_UNTIL)?;
    transaction.open_table(SET_ASIDE)?;
    Ok(())
}

fn read_last_index(database: &Database) -> Result<u64, StoreError> {
    View::new(database.begin_read()?).last_index()
}

/// A step in the queue, whatever its type.
pub(super) trait WaitingStep: Send {
    /// Runs the step; its reply is kept.
    fn decide(&mut self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError>;
    /// Tells the caller.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
    /// Whether somebody waits for the commit.
    fn is_urgent(&self) -> bool {
        true
    }
    /// Whether the writer is to stop after this one.
    fn is_close(&self) -> bool {
        false
    }
}

pub(super) struct Waiting<S: Step> {
    step: Option<S>,
    urgent: bool,
    decided: Option<S::Reply>,
    reply: oneshot::Sender<Result<S::Reply, StoreError>>,
}

impl<S: Step> Waiting<S> {
    pub(super) fn new(step: S, urgent: bool, reply: oneshot::Sender<Result<S::Reply, StoreError>>) -> Self {
        Self { step: Some(step), urgent, decided: None, reply }
    }
}

impl<S: Step> WaitingStep for Waiting<S> {
    fn decide(&mut self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        if let Some(step) = self.step.take() {
            self.decided = Some(step.decide(txn)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { decided, reply, .. } = *self;
        let answer = committed.and_then(|()| decided.ok_or(StoreError::Closed));
        let _ = reply.send(answer); // the caller may have given up
    }

    fn is_urgent(&self) -> bool {
        self.urgent
    }
}

pub(super) struct Close {
    reply: oneshot::Sender<()>,
}

impl Close {
    pub(super) const fn new(reply: oneshot::Sender<()>) -> Self {
        Self { reply }
    }
}

impl WaitingStep for Close {
    fn decide(&mut self, _: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        Ok(())
    }
    fn finish(self: Box<Self>, _: Result<(), StoreError>) {
        let _ = self.reply.send(()); // nobody has to wait for the end
    }
    fn is_close(&self) -> bool {
        true
    }
}

type Batch = Vec<Box<dyn WaitingStep>>;

/// The outcome of one batch, handed back from the blocking side.
struct Ran {
    batch: Batch,
    result: Result<Vec<LogEntry>, StoreError>,
}

pub(super) struct Writer {
    host: Host,
    config: StoreConfig,
    opened: Option<Opened>,
    shared: Arc<Mutex<Option<Arc<Database>>>>,
    listener: CommitListener,
    /// Index of the last entry that the listener heard of, or that was there before anybody listened.
    told: u64,
}

impl Writer {
    pub(super) fn new(
        host: Host,
        config: StoreConfig,
        opened: Opened,
        shared: Arc<Mutex<Option<Arc<Database>>>>,
        listener: CommitListener,
    ) -> Self {
        let told = opened.last_index;
        Self { host, config, opened: Some(opened), shared, listener, told }
    }

    /// Serves steps until one asks to close or every handle is gone.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Box<dyn WaitingStep>>) {
        let mut batch = Batch::new();
        loop {
            if self.opened.is_none() {
                // Readers have no step to wait for: the store comes back by itself.
                self.reopen().await;
            }
            let received = waiting.recv_many(&mut batch, self.config.batch_limit);
            let count = match self.opened {
                Some(_) => received.await,
                None => match tokio::time::timeout(REOPEN_EVERY, received).await {
                    Ok(count) => count,
                    Err(_) => continue,
                },
            };
            if count == 0 {
                break;
            }
            self.gather(&mut waiting, &mut batch).await;
            let steps = std::mem::take(&mut batch);
            let closing = steps.iter().any(|step| step.is_close());
            self.commit(steps).await;
            if closing {
                break;
            }
        }
        self.close().await;
    }

    /// Waits for company while nobody waits for what the batch holds.
    async fn gather(&self, waiting: &mut mpsc::Receiver<Box<dyn WaitingStep>>, batch: &mut Batch) {
        let until = tokio::time::Instant::now() + self.config.patience;
        while batch.len() < self.config.batch_limit && !batch.iter().any(|step| step.is_urgent()) {
            let room = self.config.batch_limit - batch.len();
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            match tokio::time::timeout(left, waiting.recv_many(batch, room)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    async fn commit(&mut self, batch: Batch) {
        let Some(opened) = &self.opened else {
            let reason = "the store could not be reopened".to_owned();
            return fail(batch, || StoreError::NotCommitted { reason: reason.clone() });
        };
        let database = opened.database.clone();
        let next = LogPosition { term: self.config.term, index: opened.last_index + 1 };
        let now_ms = self.host.clock.now_ms();
        let ran: Arc<Mutex<Option<Ran>>> = Arc::default();
        let slot = ran.clone();
        self.host
            .blocking
            .run(Box::new(move || {
                let outcome = run_batch(&database, next, now_ms, batch);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            }))
            .await;
        let outcome = ran.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Ran { batch, result }) = outcome else { return };
        match result {
            Ok(entries) => {
                if let (Some(last), Some(opened)) = (entries.last(), self.opened.as_mut()) {
                    opened.last_index = last.position.index;
                    self.told = last.position.index;
                }
                (self.listener)(&entries);
                batch.into_iter().for_each(|step| step.finish(Ok(())));
            }
            Err(error) => {
                tracing::error!(error = %Chained(&error), "commit failed");
                if error.is_unknown() || matches!(error, StoreError::Database(_)) {
                    self.forget();
                }
                let reason = Chained(&error).to_string();
                fail(batch, || match error.is_unknown() {
                    true => StoreError::OutcomeUnknown { reason: reason.clone() },
                    false => StoreError::NotCommitted { reason: reason.clone() },
                });
            }
        }
    }

    /// Drops the database: a failed sync poisons the handle, and only reopening tells what is on disk.
    fn forget(&mut self) {
        self.opened = None;
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn reopen(&mut self) {
        let slot: Arc<Mutex<Option<Result<Opened, StoreError>>>> = Arc::default();
        let (fill, disk, config) = (slot.clone(), self.host.disk.clone(), self.config.clone());
        self.host
            .blocking
            .run(Box::new(move || {
                *fill.lock().unwrap_or_else(PoisonError::into_inner) = Some(open_database(&*disk, &config));
            }))
            .await;
        let opened = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match opened {
            Some(Ok(opened)) => {
                *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened.database.clone());
                if let Err(error) = self.tell_survivors(&opened) {
                    tracing::error!(error = %Chained(&error), "what survived a failed sync cannot be read");
                }
                self.opened = Some(opened);
            }
            Some(Err(error)) => tracing::error!(error = %Chained(&error), "the store cannot be reopened"),
            None => {}
        }
    }

    /// A commit of unknown outcome may be on the disk after all: then it is like any other, and whoever sleeps until
    /// something falls due has to hear of it.
    fn tell_survivors(&mut self, opened: &Opened) -> Result<(), StoreError> {
        let view = View::new(opened.database.begin_read()?);
        let mut survivors = Vec::new();
        for row in view.log()?.range(self.told + 1..)? {
            survivors.push(LogEntry::decode(row?.1.value())?);
        }
        if let Some(last) = survivors.last() {
            self.told = last.position.index;
            (self.listener)(&survivors);
        }
        Ok(())
    }

    async fn close(&mut self) {
        let held = self.opened.take();
        self.forget();
        self.host.blocking.run(Box::new(move || drop(held))).await;
    }
}

fn fail(batch: Batch, error: impl Fn() -> StoreError) {
    batch.into_iter().for_each(|step| step.finish(Err(error())));
}

/// Runs every step of a batch and commits them together.
fn run_batch(database: &Database, first: LogPosition, now_ms: i64, mut batch: Batch) -> Ran {
    let result = run_steps(database, first, now_ms, &mut batch);
    Ran { batch, result }
}

fn run_steps(
    database: &Database,
    first: LogPosition,
    now_ms: i64,
    batch: &mut Batch,
) -> Result<Vec<LogEntry>, StoreError> {
    let mut transaction = database.begin_write()?;
    if sabotage!("success-before-commit") {
        transaction.set_durability(Durability::None).map_err(|error| not_committed(&error))?;
    }
    let mut entries = Vec::new();
    let mut position = first;
    {
        let mut tables = WriteTables::new(&transaction);
        for step in batch.iter_mut() {
            let mut txn = Txn { tables: &mut tables, position, now_ms, records: Vec::new() };
            step.decide(&mut txn)?;
            if let Some(entry) = txn.finish()? {
                position.index += 1;
                entries.push(entry);
            }
        }
    }
    if entries.is_empty() {
        transaction.abort()?;
    } else {
        transaction.commit().map_err(|error| StoreError::OutcomeUnknown { reason: Chained(&error).to_string() })?;
    }
    Ok(entries)
}

fn not_committed(error: &dyn std::error::Error) -> StoreError {
    StoreError::NotCommitted { reason: Chained(error).to_string() }
}

/// An error with all its causes on one line.
struct Chained<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chained<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
