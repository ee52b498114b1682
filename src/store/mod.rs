//! The store: one ordered log per group and the tables derived from it, on redb.
//!
//! The log is the truth; rows follow from it, and are settled in the database when many have come together.
//!
//! Whatever changes goes through a [`Step`]: read, decide, record, in one transaction. One task gathers the steps that
//! wait and commits them together (group commit); a step's caller hears of it only after the commit is on disk.

mod append;
mod boxed_backend;
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
mod retention;
mod row;
mod rows;
mod sends;
mod step;
mod tables;
mod view;
mod writer;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

pub use self::{
    append::{Place, physical_offset},
    error::StoreError,
    follow::{Follow, FollowError, LogEnd, LogPart},
    retention::{Expiry, Retention},
    row::{Bounds, TopicRow},
    sends::SentAs,
    step::{Step, Txn},
    tables::Tables,
    view::View,
};
use crate::{metrics::commits::Commits, model::record::LogEntry, seams::Host};

/// The store's file on its disk.
pub const FILE: &str = "store.redb";

/// How a store is run.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// On how many disks a record must be before it is confirmed.
    pub degree: u32,
    /// The term under which this member writes.
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
            degree: 1,
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

/// Hears of every entry after its commit, in log order. Must not block.
pub type CommitListener = Arc<dyn Fn(&[Arc<LogEntry>]) + Send + Sync>;

/// A handle to the store; clones share it.
#[derive(Clone)]
pub struct Store {
    steps: mpsc::Sender<Box<dyn writer::WaitingStep>>,
    committed: Arc<Mutex<Option<Arc<view::Committed>>>>,
    config: StoreConfig,
}

impl Store {
    /// Opens the store on the host's disk, recovering it if it was not closed in order, and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened, is damaged beyond recovery, or is of another version.
    pub async fn open(host: &Host, config: StoreConfig, listener: CommitListener) -> Result<Self, StoreError> {
        let opened: Arc<Mutex<Option<Result<database::Opened, StoreError>>>> = Arc::default();
        let slot = opened.clone();
        let disk = host.disk.clone();
        let for_open = config.clone();
        host.blocking
            .run(Box::new(move || {
                let result = database::open(&*disk, &for_open);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            }))
            .await;
        let opened = opened.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(StoreError::Closed)??;
        let (steps, waiting) = mpsc::channel(config.waiting_limit);
        let committed = Arc::new(Mutex::new(Some(opened.committed.clone())));
        let writer = writer::Writer::new(host.clone(), config.clone(), opened, committed.clone(), listener);
        tokio::spawn(writer.run(waiting));
        Ok(Self { steps, committed, config })
    }

    /// Runs a step and returns its reply once everything it recorded is on `degree` disks.
    ///
    /// # Errors
    /// [`StoreError::is_unknown`] tells whether the step may have taken effect all the same.
    pub async fn submit<S: Step>(&self, step: S) -> Result<S::Reply, StoreError> {
        if self.config.degree > 1 {
            return Err(StoreError::Degree { degree: self.config.degree, in_sync: 1 });
        }
        self.enqueue(step, true).await
    }

    /// Runs a step for which nobody waits: it is committed together with the next one that somebody waits for, or
    /// after [`StoreConfig::patience`]. Until then a crash forgets it, so its effect must be one that is repeated
    /// harmlessly.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn submit_patiently<S: Step>(&self, step: S) -> Result<S::Reply, StoreError> {
        self.enqueue(step, false).await
    }

    async fn enqueue<S: Step>(&self, step: S, urgent: bool) -> Result<S::Reply, StoreError> {
        let (reply, answer) = oneshot::channel();
        let waiting = Box::new(writer::Waiting::new(step, urgent, reply));
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

    /// Reads the tables as of the last commit.
    ///
    /// # Errors
    /// The store is closed, is being reopened, or cannot be read.
    pub fn view(&self) -> Result<View, StoreError> {
        let committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let missing = || if self.steps.is_closed() { StoreError::Closed } else { StoreError::Reopening };
        Ok(View::new(committed.ok_or_else(missing)?))
    }

    /// Stops taking steps, commits those that wait, and closes the file.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.steps.send(Box::new(writer::Close::new(reply))).await.is_ok() {
            let _ = closed.await; // an error means that the writer is gone already
        }
    }

    /// The term under which this store writes.
    #[must_use]
    pub const fn term(&self) -> u64 {
        self.config.term
    }
}

#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod tests;
