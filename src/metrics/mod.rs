//! What an operator sees of a broker: metrics, and whether it is healthy.
//!
//! Counters of the recovery path are read off committed log entries ([`recovery`]): what is counted is on disk. States
//! that the tables hold anyway (how many chains wait, how many are parked) are read at the scrape ([`readings`]). Every
//! metric is named once, in [`catalogue`]; `docs/operations.md` is checked against it.
//!
//! Labels are bounded: fixed sets of names, or [`SERIES_MAX`] distinct values, after which the rest is counted as
//! `other`.

pub mod breakers;
pub mod catalogue;
pub mod commits;
mod exposition;
pub mod failing;
pub mod health;
pub mod http;
pub mod readings;
pub mod recovery;
pub mod requests;

use std::sync::Arc;

use self::{breakers::Breakers, commits::Commits, recovery::Recovery, requests::Requests};
use crate::model::record::{LogEntry, Record};

pub use self::{
    exposition::Labels,
    health::Health,
    readings::{ActingReadings, FollowingReadings, MergingReadings, Readings, TableReadings},
};

/// How many distinct values a label that peers choose may take.
pub const SERIES_MAX: usize = 1000;
/// The value that stands for all others once there are [`SERIES_MAX`].
pub const OTHER: &str = "other";

/// Everything that is counted in one broker.
#[derive(Debug, Default)]
pub struct Metrics {
    /// What became of chains.
    pub recovery: Recovery,
    /// The store's commits.
    pub commits: Arc<Commits>,
    /// Requests and what they were answered.
    pub requests: Requests,
    /// The circuit breakers towards other brokers.
    pub breakers: Breakers,
}

impl Metrics {
    /// Counts what was committed: one call per batch, with the entries of its steps. A batch that recorded nothing was
    /// no commit.
    pub fn committed(&self, entries: &[Arc<LogEntry>]) {
        self.followed(entries);
        entries.iter().for_each(|entry| self.recovery.committed(entry));
    }

    /// Counts what a master got back from its slave: an earlier process has counted what became of chains, but which of them
    /// are failing is for this one to show.
    pub fn caught_up(&self, entries: &[Arc<LogEntry>]) {
        self.followed(entries);
        for record in entries.iter().flat_map(|entry| &entry.records) {
            if let Record::Chain(chain) = record {
                self.recovery.failing.update(chain);
            }
        }
    }

    /// Counts what a slave took over from its master, who counts what became of chains.
    pub fn followed(&self, entries: &[Arc<LogEntry>]) {
        self.commits.committed(entries.len());
    }
}

#[cfg(test)]
mod tests;
