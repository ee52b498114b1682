//! The store: one ordered log per group and the tables derived from it, on redb.
//!
//! Whatever changes goes through a [`Step`]: read, decide, record, in one transaction. One task gathers the steps that
//! wait and commits them together (group commit); a step's caller hears of it only after the commit is on disk.

mod append;
mod boxed_backend;
mod counts;
mod error;
mod step;
mod tables;
mod view;
mod writer;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redb::{Database, ReadableDatabase};
use tokio::sync::{mpsc, oneshot};

pub use self::{
    append::{Place, physical_offset},
    error::StoreError,
    step::{Step, Txn},
    tables::{Bounds, Tables, TopicRow},
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
            patience: Duration::from_secs(5),
            commits: Arc::default(),
        }
    }
}

/// Hears of every entry after its commit, in log order. Must not block.
pub type CommitListener = Arc<dyn Fn(&[LogEntry]) + Send + Sync>;

/// A handle to the store; clones share it.
#[derive(Clone)]
pub struct Store {
    steps: mpsc::Sender<Box<dyn writer::WaitingStep>>,
    database: Arc<Mutex<Option<Arc<Database>>>>,
    config: StoreConfig,
}

impl Store {
    /// Opens the store on the host's disk, recovering it if it was not closed in order, and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened, is damaged beyond recovery, or is of another version.
    pub async fn open(host: &Host, config: StoreConfig, listener: CommitListener) -> Result<Self, StoreError> {
        let opened: Arc<Mutex<Option<Result<writer::Opened, StoreError>>>> = Arc::default();
        let slot = opened.clone();
        let disk = host.disk.clone();
        let for_open = config.clone();
        host.blocking
            .run(Box::new(move || {
                let result = writer::open_database(&*disk, &for_open);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            }))
            .await;
        let opened = opened.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(StoreError::Closed)??;
        let (steps, waiting) = mpsc::channel(config.waiting_limit);
        let database = Arc::new(Mutex::new(Some(opened.database.clone())));
        let writer = writer::Writer::new(host.clone(), config.clone(), opened, database.clone(), listener);
        tokio::spawn(writer.run(waiting));
        Ok(Self { steps, database, config })
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
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads the tables as of the last commit.
    ///
    /// # Errors
    /// The store is closed or cannot be read.
    pub fn view(&self) -> Result<View, StoreError> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(View::new(database.ok_or(StoreError::Closed)?.begin_read()?))
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
mod tests;
