//! The writer: gathers the steps that wait, runs one after the other on a draft, and commits their entries together.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    CommitListener, Step, StoreConfig, StoreError, Txn,
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
    /// The entries, and the state they lead to unless there are none.
    result: Result<(Vec<Arc<LogEntry>>, Option<Committed>), StoreError>,
}

pub(super) struct Writer {
    host: Host,
    config: StoreConfig,
    opened: Option<Opened>,
    /// What views show.
    shared: Arc<Mutex<Option<Arc<Committed>>>>,
    listener: CommitListener,
    /// Index of the last entry that the listener heard of, or that was there before anybody listened.
    told: u64,
}

impl Writer {
    pub(super) fn new(
        host: Host,
        config: StoreConfig,
        opened: Opened,
        shared: Arc<Mutex<Option<Arc<Committed>>>>,
        listener: CommitListener,
    ) -> Self {
        let told = opened.committed.last_index();
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
        let (database, base, config) = (opened.database.clone(), opened.committed.clone(), self.config.clone());
        let now_ms = self.host.clock.now_ms();
        let ran: Arc<Mutex<Option<Ran>>> = Arc::default();
        let slot = ran.clone();
        self.host
            .blocking
            .run(Box::new(move || {
                let mut batch = batch;
                let result = run_steps(&database, &base, &config, now_ms, &mut batch);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ran { batch, result });
            }))
            .await;
        let outcome = ran.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Ran { batch, result }) = outcome else { return };
        match result {
            Ok((entries, committed)) => {
                if let (Some(committed), Some(opened)) = (committed, self.opened.as_mut()) {
                    opened.committed = Arc::new(committed);
                    self.publish();
                    self.told = entries.last().map_or(self.told, |last| last.position.index);
                }
                (self.listener)(&entries);
                batch.into_iter().for_each(|step| step.finish(Ok(())));
            }
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

    /// Has views show the last commit.
    fn publish(&self) {
        let committed = self.opened.as_ref().map(|opened| opened.committed.clone());
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = committed;
    }

    /// Drops the database: a failed sync poisons the handle, and only reopening tells what is on disk.
    fn forget(&mut self) {
        self.opened = None;
        self.publish();
    }

    async fn reopen(&mut self) {
        let slot: Arc<Mutex<Option<Result<Opened, StoreError>>>> = Arc::default();
        let (fill, disk, config) = (slot.clone(), self.host.disk.clone(), self.config.clone());
        self.host
            .blocking
            .run(Box::new(move || {
                *fill.lock().unwrap_or_else(PoisonError::into_inner) = Some(database::open(&*disk, &config));
            }))
            .await;
        let opened = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match opened {
            Some(Ok(opened)) => {
                let committed = opened.committed.clone();
                self.opened = Some(opened);
                self.publish();
                if let Err(error) = self.tell_survivors(&committed) {
                    tracing::error!(error = %Chained(&error), "what survived a failed sync cannot be read");
                }
            }
            Some(Err(error)) => tracing::error!(error = %Chained(&error), "the store cannot be reopened"),
            None => {}
        }
    }

    /// A commit of unknown outcome may be on the disk after all: then it is like any other, and whoever sleeps until
    /// something falls due has to hear of it.
    fn tell_survivors(&mut self, committed: &Committed) -> Result<(), StoreError> {
        let mut survivors = Vec::new();
        for index in self.told + 1..=committed.last_index() {
            survivors.extend(committed.entry(index)?);
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
fn run_steps(
    database: &redb::Database,
    base: &Committed,
    config: &StoreConfig,
    now_ms: i64,
    batch: &mut Batch,
) -> Result<(Vec<Arc<LogEntry>>, Option<Committed>), StoreError> {
    let mut draft = Draft::over(base);
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
    let (entries, committed) = database::commit(database, base, changes, config)?;
    Ok((entries, Some(committed)))
}
