//! The store: one ordered log per group and the tables derived from it, on redb.
//!
//! The log is the truth; rows follow from it, and are settled in the database when many have come together.
//!
//! Whatever changes goes through a [`Step`]: read, decide, record, in one transaction. One task gathers the steps that
//! wait and commits them together (group commit); a step's caller hears of it only after the commit is on disk.

mod acting;
mod append;
mod checked_file;
mod confirmation;
mod counts;
mod database;
mod decoded;
#[cfg(test)]
pub(crate) mod direct;
mod draft;
mod error;
mod follow;
mod forgetting;
mod key;
mod lease;
mod losses;
mod mark;
mod marked;
mod mend;
mod pages;
mod remains;
mod retention;
mod row;
mod rows;
mod salvage;
#[cfg(test)]
mod samples;
#[cfg(test)]
pub(crate) mod scratch;
mod sends;
mod step;
mod tables;
mod view;
mod waiting;
mod writer;

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use tokio::sync::{Notify, mpsc, oneshot};

pub use self::{
    append::{Place, physical_offset},
    confirmation::Confirms,
    error::{Damage, StoreError},
    follow::{Follow, FollowError, LogPart},
    lease::Lease,
    losses::Losses,
    mark::Progress,
    retention::{Expiry, Retention},
    row::{Bounds, TopicRow},
    salvage::SalvageError,
    sends::SentAs,
    step::{Step, Txn},
    tables::Tables,
    view::View,
};
use self::{
    confirmation::Confirmation,
    waiting::{Order, Told},
};
pub use crate::model::record::LogEnd;
use crate::{buggify, metrics::commits::Commits, model::record::LogEntry, seams::Host};

/// The store's file on its disk.
pub const FILE: &str = "store.redb";

/// How a store is run.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Who decides that an entry is confirmed.
    pub confirms: Confirms,
    /// While it does not hold nothing is written; `None` where that is left to whoever confirms.
    pub lease: Option<Arc<Lease>>,
    /// Set while the log may lack what was confirmed: then nothing is written to it but what [`Store::go_on`] and
    /// [`Store::cut_back`] say, until [`Store::lacks_nothing`].
    pub may_lack: Arc<AtomicBool>,
    /// The term under which this member writes, unless its log has a higher one.
    pub term: u64,
    /// How many steps may wait for a commit.
    pub waiting_limit: usize,
    /// How many steps one commit may carry.
    pub batch_limit: usize,
    /// Memory for cached pages, bytes.
    pub cache_bytes: usize,
    /// How many changed rows gather in memory before they are settled. More is fewer pages written and a longer replay
    /// when the store is opened.
    pub recent_rows: usize,
    /// How long a step for which nobody waits may lie before it is committed on its own.
    pub patience: Duration,
    /// Where commits that fail are counted.
    pub commits: Arc<Commits>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            confirms: Confirms::Alone,
            lease: None,
            may_lack: Arc::default(),
            term: 1,
            waiting_limit: 4096,
            batch_limit: 256,
            cache_bytes: 64 << 20,
            recent_rows: 4096,
            patience: Duration::from_secs(5),
            commits: Arc::default(),
        }
    }
}

/// Hears of every entry once it is confirmed, in log order. Must not block, nor use the store.
pub type CommitListener = Arc<dyn Fn(&[Arc<LogEntry>]) + Send + Sync>;

/// A handle to the store; clones share it.
#[derive(Clone)]
pub struct Store {
    steps: mpsc::Sender<Box<dyn waiting::WaitingStep>>,
    durable: Arc<writer::Durable>,
    confirmation: Arc<Confirmation>,
    config: StoreConfig,
}

impl Store {
    /// Opens the store on the host's disk, recovering it if it was not closed in order, and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened, is damaged beyond recovery, or is of another version.
    pub async fn open(host: &Host, config: StoreConfig, listener: CommitListener) -> Result<Self, StoreError> {
        let (disk, for_open) = (host.disk.clone(), config.clone());
        let opened = blocking(host, move || database::open(&*disk, &for_open, 0)).await;
        let opened = opened.ok_or(StoreError::Closed)??;
        let (steps, waiting) = mpsc::channel(config.waiting_limit);
        let durable = Arc::new(writer::Durable::default());
        *durable.acts.lock().unwrap_or_else(PoisonError::into_inner) = database::acts(&opened.database)?;
        durable.agreed.store(database::agreed(&opened.database)?, std::sync::atomic::Ordering::SeqCst);
        let caught_up = database::has_caught_up(&opened.database)?;
        durable.caught_up.store(caught_up, std::sync::atomic::Ordering::SeqCst);
        let confirmation = Arc::new(Confirmation::new(config.confirms, listener, opened.confirmed.clone()));
        let master_ahead_ms = database::master_ahead_ms(&opened.database)?;
        durable.master_ahead_ms.store(master_ahead_ms, std::sync::atomic::Ordering::SeqCst);
        let store = Self { steps, durable, confirmation, config };
        let writer = store.writer(host.clone(), opened);
        tokio::spawn(writer.run(waiting));
        Ok(store)
    }

    /// Puts a store that cannot be opened out of the way: the next one is empty.
    ///
    /// # Errors
    /// The disk does not do that.
    pub async fn set_aside(host: &Host) -> std::io::Result<()> {
        let disk = host.disk.clone();
        // The mark goes last: a store without one is taken for whole, and a mark without its store is missed.
        let done = blocking(host, move || disk.set_aside(&[FILE, mark::FILE])).await;
        done.unwrap_or_else(|| Err(std::io::Error::other("nothing was done")))
    }

    /// Puts what is left of a store that is damaged in its place, and tells what is lost; the damaged file is kept under
    /// another name. `broker` is the group whose store it is. For a broker that is alone: nobody else has what it had.
    ///
    /// # Errors
    /// Too little is left, or the disk fails; then the store is as it was.
    pub async fn salvage(host: &Host, config: StoreConfig, broker: &str) -> Result<Losses, SalvageError> {
        let (disk, broker, now_ms) = (host.disk.clone(), broker.to_owned(), host.clock.now_ms());
        let done = blocking(host, move || salvage::salvage(&*disk, &config, &broker, now_ms)).await;
        done.unwrap_or(Err(SalvageError::Store(StoreError::Closed)))
    }

    fn writer(&self, host: Host, opened: database::Opened) -> writer::Writer {
        writer::Writer::new(host, self.config.clone(), opened, self.durable.clone(), self.confirmation.clone())
    }

    /// Runs a step and returns its reply once everything it recorded, and everything it read, is confirmed. Waits for
    /// that as long as [`Confirms::WhenTold`] says.
    ///
    /// # Errors
    /// [`StoreError::is_unknown`] tells whether the step may have taken effect all the same.
    pub async fn submit<S: Step>(&self, step: S) -> Result<S::Reply, StoreError> {
        let Confirms::WhenTold { within } = self.config.confirms else { return self.submit_at_length(step).await };
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let in_time = tokio::time::timeout(within, self.submit_at_length(step)).await;
        in_time.unwrap_or(Err(StoreError::Unconfirmed { within_ms }))
    }

    /// As [`submit`](Self::submit), but waits for as long as it takes: for services, to whom no answer is no help.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn submit_at_length<S: Step>(&self, step: S) -> Result<S::Reply, StoreError> {
        self.confirmation.check()?;
        self.enqueue(step, Told::Confirmed).await
    }

    /// Runs a step for which nobody waits: it is committed together with the next one that somebody waits for, or
    /// after [`StoreConfig::patience`]. Until then a crash forgets it, so its effect must be one that is repeated
    /// harmlessly.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn submit_patiently<S: Step>(&self, step: S) -> Result<S::Reply, StoreError> {
        self.confirmation.check()?;
        self.enqueue(step, Told::ConfirmedPatiently).await
    }

    /// Runs a step and returns its reply once everything it recorded is on this disk, confirmed or not.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn submit_here<S: Step>(&self, step: S) -> Result<S::Reply, StoreError> {
        self.enqueue(step, Told::Here).await
    }

    /// Takes off the log what comes after `end`, none of which may ever have been confirmed, and runs a step before any
    /// other, under `term`. Whoever waits for what is taken off hears that its outcome is unknown. Returns once it is on
    /// this disk.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); [`StoreError::NotCommitted`] when the log does not have that end.
    pub async fn cut_back<S: Step>(&self, end: LogEnd, term: u64, step: S) -> Result<S::Reply, StoreError> {
        self.enqueue_with(step, Told::Here, Order::CutBack(end, term)).await
    }

    /// Runs a step under `term`, and goes on under it. Returns once that is on this disk.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn go_on<S: Step>(&self, term: u64, step: S) -> Result<S::Reply, StoreError> {
        self.enqueue_with(step, Told::Here, Order::GoOn(term)).await
    }

    /// Remembers whether this member, a slave, acts for its master, and under which term; 0 before it has one.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn set_acts(&self, acts: Option<u64>) -> Result<(), StoreError> {
        self.enqueue_with(step::Nothing, Told::Here, Order::Act(acts)).await
    }

    /// The term under which this member acts for its master, if it does; 0 before it has one.
    #[must_use]
    pub fn acts(&self) -> Option<u64> {
        *self.durable.acts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that this member and the other slave of its group follow nobody who has not merged a later term than that,
    /// while one of them acts.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn agree(&self, term: u64) -> Result<(), StoreError> {
        self.enqueue_with(step::Nothing, Told::Here, Order::Agree(term)).await
    }

    /// The last term upon which the two agreed; `None` if they never have.
    #[must_use]
    pub fn agreed(&self) -> Option<u64> {
        Some(self.durable.agreed.load(std::sync::atomic::Ordering::SeqCst)).filter(|term| *term > 0)
    }

    /// Remembers whether this member, a slave, has had all that its master had.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn set_caught_up(&self, has_caught_up: bool) -> Result<(), StoreError> {
        self.enqueue_with(step::Nothing, Told::Here, Order::CaughtUp(has_caught_up)).await
    }

    /// Whether this member, a slave, has ever had all that its master had: where its master confirms nothing without it, all
    /// that was confirmed is here. A member that lost its disk has not, nor has one that was told that it got an older one.
    #[must_use]
    pub fn has_caught_up(&self) -> bool {
        self.durable.caught_up.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// The log has all that was confirmed: it may be written.
    pub fn lacks_nothing(&self) {
        self.config.may_lack.store(false, std::sync::atomic::Ordering::SeqCst);
    }

    /// Whether the log may lack what was confirmed, so that nothing is written to it.
    #[must_use]
    pub fn may_lack(&self) -> bool {
        self.config.may_lack.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Remembers how far the master's clock is ahead of this member's wall clock, ms.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn set_master_ahead_ms(&self, ms: i64) -> Result<(), StoreError> {
        self.enqueue_with(step::Nothing, Told::Here, Order::MasterAhead(ms)).await
    }

    /// How far that was when it was last stored, ms; 0 if it never was.
    #[must_use]
    pub fn master_ahead_ms(&self) -> i64 {
        self.durable.master_ahead_ms.load(std::sync::atomic::Ordering::SeqCst)
    }

    async fn enqueue<S: Step>(&self, step: S, told: Told) -> Result<S::Reply, StoreError> {
        self.enqueue_with(step, told, Order::Commit).await
    }

    async fn enqueue_with<S: Step>(&self, step: S, told: Told, order: Order) -> Result<S::Reply, StoreError> {
        if buggify!("refuses-step") {
            return Err(StoreError::NotCommitted { reason: "asked to refuse a step".into() });
        }
        let (reply, answer) = oneshot::channel();
        let waiting = Box::new(waiting::Waiting::new(step, told, reply).with_order(order));
        self.steps.try_send(waiting).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded { limit: self.config.waiting_limit },
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        // Nobody answered: the writer has ended, or the commit that held this step did not.
        answer.await.map_err(|_| match self.steps.is_closed() {
            true => StoreError::Closed,
            false => StoreError::OutcomeUnknown { reason: "its commit did not end".into() },
        })?
    }

    /// Everything up to `index` is on as many disks as it has to be, others have counted; it may be beyond the end of
    /// this log. Without effect where this disk [confirms alone](Confirms::Alone).
    pub fn confirm(&self, index: u64) {
        if self.confirmation.confirm(index) {
            self.durable.grown.notify_waiters();
        }
    }

    /// Reads the tables as of the last confirmed entry.
    ///
    /// # Errors
    /// The store is closed, is being reopened, or cannot be read.
    pub fn view(&self) -> Result<View, StoreError> {
        self.seen(self.confirmation.shown())
    }

    /// Reads the tables as of the last entry on this disk, confirmed or not: for members of the group, not for clients.
    ///
    /// # Errors
    /// As [`view`](Self::view).
    pub fn durable(&self) -> Result<View, StoreError> {
        self.seen(self.durable.state.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn seen(&self, state: Option<Arc<view::Committed>>) -> Result<View, StoreError> {
        let missing = || if self.steps.is_closed() { StoreError::Closed } else { StoreError::Reopening };
        Ok(View::new(state.ok_or_else(missing)?))
    }

    /// Up to which index entries are confirmed.
    #[must_use]
    pub fn confirmed_index(&self) -> u64 {
        self.confirmation.confirmed_index()
    }

    /// How long the oldest entry that is not confirmed has waited for it.
    #[must_use]
    pub fn unconfirmed_for(&self) -> Option<Duration> {
        self.confirmation.waited()
    }

    /// Rings whenever there is more in the log, or more of it is confirmed.
    #[must_use]
    pub fn grown(&self) -> &Notify {
        &self.durable.grown
    }

    /// Waits until the store, which was open, is found damaged. It stays closed until it reads rightly again.
    pub async fn damaged(&self) {
        self.durable.damaged.notified().await;
    }

    /// Stops taking steps, commits those that wait, and closes the file.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.steps.send(Box::new(waiting::Close::new(reply))).await.is_ok() {
            let _ = closed.await; // an error means that the writer is gone already
        }
    }

    /// The term under which this store writes.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.durable.term.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// Runs something where it may block; `None` if it did not end.
async fn blocking<T: Send + 'static>(host: &Host, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done: Arc<Mutex<Option<T>>> = Arc::default();
    let slot = done.clone();
    let job = Box::new(move || *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(job()));
    host.blocking.run(job).await;
    done.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod salvage_tests;
#[cfg(test)]
mod tests;
