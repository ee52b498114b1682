//! The writer: gathers the steps that wait, runs one after the other on a draft, and commits their entries together.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    Step, StoreConfig, StoreError, Txn,
    confirmation::{Confirmation, Unconfirmed},
    database::{self, Opened},
    draft::Draft,
    error::Chained,
    tables::Source as _,
    view::Committed,
};
use crate::{
    model::{chain::LogPosition, record::LogEntry},
    seams::Host,
};

/// How often reopening is tried while the disk refuses it.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

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
    /// Whether its caller asks for this disk alone, and is told before the step is confirmed.
    fn is_for_here(&self) -> bool {
        false
    }
    /// Whether the writer is to stop after this one.
    fn is_close(&self) -> bool {
        false
    }
}

/// When a step's caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Once it is confirmed.
    Confirmed,
    /// Once it is confirmed, and its commit is in no hurry.
    ConfirmedPatiently,
    /// Once it is on this disk.
    Here,
}

pub(super) struct Waiting<S: Step> {
    step: Option<S>,
    told: Told,
    decided: Option<S::Reply>,
    reply: oneshot::Sender<Result<S::Reply, StoreError>>,
}

impl<S: Step> Waiting<S> {
    pub(super) fn new(step: S, told: Told, reply: oneshot::Sender<Result<S::Reply, StoreError>>) -> Self {
        Self { step: Some(step), told, decided: None, reply }
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
        self.told != Told::ConfirmedPatiently
    }

    fn is_for_here(&self) -> bool {
        self.told == Told::Here
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

pub(super) type Batch = Vec<Box<dyn WaitingStep>>;

/// The outcome of one batch, handed back from the blocking side.
struct Ran {
    batch: Batch,
    /// The entries, and the state they lead to unless there are none.
    result: Result<(Vec<Arc<LogEntry>>, Option<Committed>), StoreError>,
}

pub(super) struct Writer {
    host: Host,
    config: StoreConfig,
    opened: Option<Head>,
    /// The state up to the last entry that is durable here.
    durable: Arc<Durable>,
    confirmation: Arc<Confirmation>,
    /// Index of the last entry that is on its way to be announced, or that was confirmed before anybody listened.
    taken: u64,
}

/// The open database, and the state up to its last entry.
struct Head {
    database: Arc<redb::Database>,
    head: Arc<Committed>,
    /// Told when an operation on the file has failed.
    failed: Arc<Notify>,
}

/// What is on this disk, confirmed or not, and the bell that rings when there is more of either.
#[derive(Default)]
pub(super) struct Durable {
    pub(super) state: Mutex<Option<Arc<Committed>>>,
    pub(super) grown: Notify,
}

impl Writer {
    pub(super) fn new(
        host: Host,
        config: StoreConfig,
        opened: Opened,
        durable: Arc<Durable>,
        confirmation: Arc<Confirmation>,
    ) -> Self {
        let taken = opened.confirmed.last_index();
        let mut writer = Self { host, config, opened: None, durable, confirmation, taken };
        writer.take_up(opened);
        writer
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
            let count = match &self.opened {
                Some(opened) => tokio::select! {
                    biased;
                    count = received => count,
                    () = opened.failed.notified() => {
                        // A reader met it, whom nobody else helps: a handle that failed once reads nothing any more.
                        tracing::error!("the disk failed; the store is reopened");
                        self.forget();
                        continue;
                    }
                },
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
        let (database, base, config) = (opened.database.clone(), opened.head.clone(), self.config.clone());
        let (now_ms, confirmation) = (self.host.clock.now_ms(), self.confirmation.clone());
        let ran: Arc<Mutex<Option<Ran>>> = Arc::default();
        let slot = ran.clone();
        self.host
            .blocking
            .run(Box::new(move || {
                let mut batch = batch;
                let result = run_steps(&database, &base, &confirmation, &config, now_ms, &mut batch);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ran { batch, result });
            }))
            .await;
        let outcome = ran.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Ran { batch, result }) = outcome else { return };
        match result {
            Ok((entries, committed)) => self.committed(entries, committed, batch),
            Err(error) => {
                tracing::error!(error = %Chained(&error), "commit failed");
                self.config.commits.failed(error.is_unknown());
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

    /// Passes on what a batch has made durable.
    fn committed(&mut self, entries: Vec<Arc<LogEntry>>, committed: Option<Committed>, batch: Batch) {
        let Some(opened) = self.opened.as_mut() else { return };
        if let Some(committed) = committed {
            opened.head = Arc::new(committed);
        }
        let state = opened.head.clone();
        self.taken = entries.last().map_or(self.taken, |last| last.position.index);
        let (for_here, batch) = batch.into_iter().partition(|step| step.is_for_here());
        self.publish();
        self.confirmation.durable(Unconfirmed { state, entries, batch });
        for_here.into_iter().for_each(|step: Box<dyn WaitingStep>| step.finish(Ok(())));
    }

    /// Has the world see what is durable here.
    fn publish(&self) {
        let state = self.opened.as_ref().map(|opened| opened.head.clone());
        *self.durable.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.durable.grown.notify_waiters();
    }

    /// Drops the database: a failed sync poisons the handle, and only reopening tells what is on disk.
    fn forget(&mut self) {
        self.opened = None;
        self.confirmation.lost();
        self.publish();
    }

    async fn reopen(&mut self) {
        let slot: Arc<Mutex<Option<Result<Opened, StoreError>>>> = Arc::default();
        let (fill, disk, config) = (slot.clone(), self.host.disk.clone(), self.config.clone());
        let confirmed = self.confirmation.known().told;
        self.host
            .blocking
            .run(Box::new(move || {
                let opened = database::open(&*disk, &config, confirmed);
                *fill.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
            }))
            .await;
        let opened = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match opened {
            Some(Ok(opened)) => self.take_up(opened),
            Some(Err(error)) => tracing::error!(error = %Chained(&error), "the store cannot be reopened"),
            None => {}
        }
    }

    /// Goes on from what was found on the disk. A commit of unknown outcome may be there after all: then it is like any
    /// other, and whoever sleeps until something falls due has to hear of it.
    fn take_up(&mut self, opened: Opened) {
        // The confirmed state is not held on to: a state keeps its pages from being used again.
        let Opened { database, confirmed, head, failed } = opened;
        let confirmed = self.confirmed_by_now(&database, confirmed, &head);
        let state = head.clone();
        self.opened = Some(Head { database, head, failed });
        self.publish();
        let entries = state.entries_after(self.taken).unwrap_or_else(|error| {
            tracing::error!(error = %Chained(&error), "what survived a failed sync cannot be read");
            Vec::new()
        });
        self.taken = state.last_index();
        self.confirmation.reopened(&confirmed, Unconfirmed { state, entries, batch: Batch::new() });
    }

    /// More may have been confirmed while the database was opened.
    fn confirmed_by_now(&self, database: &redb::Database, opened: Arc<Committed>, head: &Committed) -> Arc<Committed> {
        let told = self.confirmation.known().told;
        if told <= opened.last_index() || opened.last_index() == head.last_index() {
            return opened;
        }
        match database::replay(database, &self.config, told) {
            Ok((confirmed, _)) => confirmed,
            Err(error) => {
                tracing::error!(error = %Chained(&error), "what was confirmed meanwhile cannot be read");
                opened
            }
        }
    }

    async fn close(&mut self) {
        let held = self.opened.take();
        self.forget();
        self.confirmation.close();
        self.host.blocking.run(Box::new(move || drop(held))).await;
    }
}

fn fail(batch: Batch, error: impl Fn() -> StoreError) {
    batch.into_iter().for_each(|step| step.finish(Err(error())));
}

/// Runs every step of a batch and commits them together.
fn run_steps(
    database: &redb::Database,
    base: &Committed,
    confirmation: &Confirmation,
    config: &StoreConfig,
    now_ms: i64,
    batch: &mut Batch,
) -> Result<(Vec<Arc<LogEntry>>, Option<Committed>), StoreError> {
    let confirmed = confirmation.known();
    let mut draft = Draft::over(base, confirmed.settleable(base.last_index()));
    for step in batch.iter_mut() {
        let position = LogPosition { term: config.term, index: draft.last() + 1 };
        let mut txn = Txn::new(&mut draft, position, now_ms);
        step.decide(&mut txn)?;
        txn.finish();
    }
    let changes = draft.finish();
    if changes.entries.is_empty() {
        return Ok((changes.entries, None));
    }
    let (entries, committed) = database::commit(database, base, &confirmed, changes, config)?;
    Ok((entries, Some(committed)))
}
