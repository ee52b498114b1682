//! The writer: gathers the steps that wait, runs one after the other on a draft, and commits their entries together.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, mpsc};

use super::{
    StoreConfig, StoreError, Txn,
    confirmation::{Confirmation, Unconfirmed},
    database::{self, Opened, Tail},
    draft::Draft,
    error::Chained,
    marked::Marked,
    tables::Source as _,
    view::Committed,
    waiting::{Batch, Order, WaitingStep},
};
use crate::{
    model::{
        chain::LogPosition,
        record::{LogEnd, LogEntry},
    },
    sabotage,
    seams::Host,
    sometimes,
};

/// How often reopening is tried while the disk refuses it.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

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
    database: Arc<Marked>,
    head: Arc<Committed>,
    /// Told when an operation on the file has failed.
    failed: Arc<Notify>,
}

/// What is on this disk, confirmed or not, and the bell that rings when there is more of either.
#[derive(Default)]
pub(super) struct Durable {
    pub(super) state: Mutex<Option<Arc<Committed>>>,
    /// The term under which this member writes.
    pub(super) term: AtomicU64,
    /// The term under which it acts for its master, if it does; 0 before it has one.
    pub(super) acts: Mutex<Option<u64>>,
    /// Whether it has ever had all that its master had.
    pub(super) caught_up: AtomicBool,
    /// The last term upon which the slaves of this group agreed.
    pub(super) agreed: AtomicU64,
    /// How far its master's clock was ahead of its wall clock, as stored, ms.
    pub(super) master_ahead_ms: AtomicI64,
    pub(super) grown: Notify,
    /// Rings when what is on this disk cannot be used any more.
    pub(super) damaged: Notify,
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
            if self.obey(steps).await {
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

    /// Commits a batch, and does what steps in it order; tells whether to close.
    async fn obey(&mut self, mut batch: Batch) -> bool {
        while let Some(at) = first_order(&batch) {
            let later = batch.split_off(at + 1);
            let ordering = batch.split_off(at);
            self.commit(std::mem::replace(&mut batch, later)).await;
            self.carry_out(ordering).await;
        }
        let closing = batch.iter().any(|step| step.order() == Order::Close);
        self.commit(batch).await;
        closing
    }

    /// Does what a step orders, and then runs the step.
    async fn carry_out(&mut self, ordering: Batch) {
        let order = ordering.first().map_or(Order::Commit, |step| step.order());
        let Some(database) = self.opened.as_ref().map(|opened| opened.database.clone()) else {
            return self.commit(ordering).await; // which tells that there is no database
        };
        let done = match order {
            Order::CutBack(end, term) => return self.cut_back(database, end, term, ordering).await,
            Order::GoOn(term) => return self.commit_under(term, ordering).await,
            Order::Act(acts) => {
                let set = self.blocking(move || database::set_acts(&database, acts)).await;
                set.map(|()| *self.durable.acts.lock().unwrap_or_else(PoisonError::into_inner) = acts)
            }
            Order::Agree(term) => {
                let set = self.blocking(move || database::agree(&database, term)).await;
                set.map(|()| {
                    self.durable.agreed.store(term, Ordering::SeqCst);
                    *self.durable.acts.lock().unwrap_or_else(PoisonError::into_inner) = Some(term);
                })
            }
            Order::CaughtUp(has_caught_up) => {
                let set = self.blocking(move || database::set_caught_up(&database, has_caught_up)).await;
                set.map(|()| self.durable.caught_up.store(has_caught_up, Ordering::SeqCst))
            }
            Order::MasterAhead(ms) => {
                let set = self.blocking(move || database::set_master_ahead_ms(&database, ms)).await;
                set.map(|()| self.durable.master_ahead_ms.store(ms, Ordering::SeqCst))
            }
            Order::Commit | Order::Close => Ok(()),
        };
        match done {
            Ok(()) => self.commit(ordering).await,
            Err(error) => self.disobeyed(ordering, &error),
        }
    }

    /// What was ordered could not be done; whether some of it was, only reopening tells.
    fn disobeyed(&mut self, ordering: Batch, error: &StoreError) {
        tracing::error!(error = %Chained(error), "the store did not do what it was told");
        self.forget();
        let reason = Chained(error).to_string();
        fail(ordering, || StoreError::OutcomeUnknown { reason: reason.clone() });
    }

    /// Runs a step on the log as it was at `end`, and has its entry take the place of what came after that: in one
    /// transaction, for a log without either would be written on, and nobody would miss the step any more.
    async fn cut_back(&mut self, database: Arc<Marked>, end: LogEnd, term: u64, ordering: Batch) {
        let config = self.config.clone();
        let (confirmed, base) = match self.blocking(move || database::replay_to(&database, &config, end)).await {
            Ok(states) => states,
            Err(error @ StoreError::NoSuchPlace { .. }) => {
                return fail(ordering, || StoreError::not_committed(&error));
            }
            Err(error) => return self.disobeyed(ordering, &error),
        };
        let Some(Ran { batch, result }) = self.run_steps((base.clone(), Tail::Goes), term, ordering).await else {
            return;
        };
        match result {
            Ok((entries, committed)) => {
                self.confirmation.cut_back(end.position.index);
                self.durable.term.store(term, Ordering::SeqCst);
                // What was announced stays so: it was confirmed, and is still there.
                self.taken = self.confirmation.confirmed_index().min(base.last_index());
                let left = self.survived(&base);
                if let Some(opened) = self.opened.as_mut() {
                    opened.head = base.clone();
                }
                let left = Unconfirmed { state: base, entries: left, batch: Batch::new() };
                self.confirmation.reopened(&confirmed, left);
                self.committed(entries, committed, batch);
            }
            Err(error) => {
                if error.is_unknown() {
                    // Another entry may have the place of one that somebody waits for.
                    self.confirmation.cut_back(end.position.index);
                    self.taken = self.confirmation.confirmed_index();
                }
                self.failed(batch, &error);
            }
        }
    }

    /// The entries that nobody has heard of yet.
    fn survived(&mut self, state: &Committed) -> Vec<Arc<LogEntry>> {
        let entries = state.entries_after(self.taken).unwrap_or_else(|error| {
            tracing::error!(error = %Chained(&error), "what is not announced yet cannot be read");
            Vec::new()
        });
        self.taken = state.last_index();
        entries
    }

    /// Runs something where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        super::blocking(&self.host, job).await.unwrap_or(Err(StoreError::Closed))
    }

    async fn commit(&mut self, batch: Batch) {
        if self.config.may_lack.load(Ordering::SeqCst) && !sabotage!("writes-before-heard") {
            return fail(batch, || StoreError::MayLack);
        }
        self.commit_under(self.durable.term.load(Ordering::SeqCst), batch).await;
    }

    /// What is committed under a later term than what came before ends the earlier one.
    async fn commit_under(&mut self, term: u64, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let Some(opened) = &self.opened else {
            let reason = "the store could not be reopened".to_owned();
            return fail(batch, || StoreError::NotCommitted { reason: reason.clone() });
        };
        let base = opened.head.clone();
        let Some(Ran { batch, result }) = self.run_steps((base, Tail::None), term, batch).await else { return };
        match result {
            Ok((entries, committed)) => {
                self.durable.term.fetch_max(term, Ordering::SeqCst);
                let batch = if entries.is_empty() || self.may_tell(&batch) { batch } else { ran_out(batch) };
                self.committed(entries, committed, batch);
            }
            Err(error) => self.failed(batch, &error),
        }
    }

    /// Whether what has just become durable is still this member's to tell: the lease may have run out while the disk worked.
    fn may_tell(&self, batch: &Batch) -> bool {
        takes_over(batch) || self.config.lease.as_ref().is_none_or(|lease| lease.holds())
    }

    /// Runs every step of a batch on a state, under a term, and commits them together; `None` when the store is closing.
    async fn run_steps(&self, upon: (Arc<Committed>, Tail), term: u64, batch: Batch) -> Option<Ran> {
        let database = self.opened.as_ref()?.database.clone();
        let (config, confirmation) = (self.config.clone(), self.confirmation.clone());
        let now_ms = self.host.clock.now_ms();
        let ran: Arc<Mutex<Option<Ran>>> = Arc::default();
        let slot = ran.clone();
        let job = move || {
            let (mut batch, (base, tail)) = (batch, upon);
            let result = run_steps(&database, (&base, tail), &confirmation, &config, (term, now_ms), &mut batch);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ran { batch, result });
        };
        self.host.blocking.run(Box::new(job)).await;
        ran.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A batch was not committed, or nobody knows.
    fn failed(&mut self, batch: Batch, error: &StoreError) {
        if matches!(error, StoreError::NoLease) {
            return fail(batch, || StoreError::NoLease);
        }
        tracing::error!(error = %Chained(error), "commit failed");
        self.config.commits.failed(error.is_unknown());
        if error.is_unknown() || matches!(error, StoreError::Database(_) | StoreError::Damaged(_)) {
            self.forget();
        }
        let reason = Chained(error).to_string();
        fail(batch, || match error.is_unknown() {
            true => StoreError::OutcomeUnknown { reason: reason.clone() },
            false => StoreError::NotCommitted { reason: reason.clone() },
        });
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
        let (disk, config) = (self.host.disk.clone(), self.config.clone());
        let confirmed = self.confirmation.known().told;
        match self.blocking(move || database::open(&*disk, &config, confirmed)).await {
            Ok(opened) => self.take_up(opened),
            Err(error) => {
                tracing::error!(error = %Chained(&error), "the store cannot be reopened");
                if matches!(error, StoreError::Damaged(_)) {
                    self.durable.damaged.notify_one();
                }
            }
        }
    }

    /// Goes on from what was found on the disk. A commit of unknown outcome may be there after all: then it is like any
    /// other, and whoever sleeps until something falls due has to hear of it.
    fn take_up(&mut self, opened: Opened) {
        // The confirmed state is not held on to: a state keeps its pages from being used again.
        let Opened { database, confirmed, head, failed } = opened;
        // An entry of a higher term is one that this member has followed, or has written after it was cut back.
        self.durable.term.fetch_max(head.last_term().unwrap_or(0).max(self.config.term), Ordering::SeqCst);
        let confirmed = self.confirmed_by_now(&database, confirmed, &head);
        let state = head.clone();
        self.opened = Some(Head { database, head, failed });
        self.publish();
        let entries = self.survived(&state);
        self.confirmation.reopened(&confirmed, Unconfirmed { state, entries, batch: Batch::new() });
    }

    /// More may have been confirmed while the database was opened.
    fn confirmed_by_now(&self, database: &Marked, opened: Arc<Committed>, head: &Committed) -> Arc<Committed> {
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

/// Where the first step stands that orders something to be done before it.
fn first_order(batch: &Batch) -> Option<usize> {
    batch.iter().position(|step| !matches!(step.order(), Order::Commit | Order::Close))
}

fn fail(batch: Batch, error: impl Fn() -> StoreError) {
    batch.into_iter().for_each(|step| step.finish(Err(error())));
}

/// Whether the batch makes this member's the term under which it is written, which takes no lease.
fn takes_over(batch: &Batch) -> bool {
    batch.iter().any(|step| matches!(step.order(), Order::GoOn(_) | Order::CutBack(..)))
}

/// Callers hear that what they asked for is stored, and may be unknown to whoever acts by now.
fn ran_out(batch: Batch) -> Batch {
    fail(batch, || StoreError::LeaseRanOut);
    Batch::new()
}

/// Runs every step of a batch and commits them together.
fn run_steps(
    database: &Marked,
    (base, tail): (&Committed, Tail),
    confirmation: &Confirmation,
    config: &StoreConfig,
    (term, now_ms): (u64, i64),
    batch: &mut Batch,
) -> Result<(Vec<Arc<LogEntry>>, Option<Committed>), StoreError> {
    let mut confirmed = confirmation.known();
    if tail == Tail::Goes {
        confirmed.told = confirmed.told.min(base.last_index());
    }
    let mut draft = Draft::over(base, confirmed.settleable(base.last_index()));
    for step in batch.iter_mut() {
        let position = LogPosition { term, index: draft.last() + 1 };
        let mut txn = Txn::new(&mut draft, position, now_ms);
        step.decide(&mut txn)?;
        txn.finish();
    }
    let changes = draft.finish();
    if changes.entries.is_empty() && tail == Tail::None {
        return Ok((changes.entries, None));
    }
    // Here, right before: however long this process stood still until now, the lease is looked at after that.
    if !takes_over(batch) && config.lease.as_ref().is_some_and(|lease| !lease.holds()) {
        return sometimes!("lease-over", Err(StoreError::NoLease));
    }
    let (entries, committed) = database::commit(database, base, &confirmed, (changes, tail), config)?;
    Ok((entries, Some(committed)))
}
