//! The story of one message across all nodes: what clients saw of it, the frames that are about it, what disks hold of it,
//! and how its copies descend from it.

mod clients;
mod disks;
mod frames;
mod known;
mod lineage;
mod subject;

pub use known::UnknownMessage;
use subject::Subject;

use crate::{
    history::{History, LedgerId},
    ledger::{Ledger, Obligations},
    report::timeline::{Line, disturbances},
};

/// A message's story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// The message, its chains and its copies as a tree, one line each.
    pub lineage: Vec<String>,
    /// What happened to it, among the disturbances of the run.
    pub lines: Vec<Line>,
}

impl Story {
    /// The story of the message with this stamp.
    ///
    /// # Errors
    /// Nothing in this history is about such a message.
    pub fn of(history: &History, obligations: &Obligations, stamp: &LedgerId) -> Result<Self, UnknownMessage> {
        let ledger = Ledger::fold(history, obligations);
        let subject = Subject::of(&ledger, stamp);
        let mut lines = clients::lines(&subject);
        lines.extend(frames::lines(&subject));
        lines.extend(disks::lines(&subject));
        if lines.is_empty() {
            return Err(UnknownMessage::among(&ledger, stamp));
        }
        lines.extend(disturbances(history));
        // Stable: of one event it is told first what clients saw, then what passed the wire.
        lines.sort_by_key(|line| line.event);
        Ok(Self { lineage: lineage::tree(&subject), lines })
    }
}

#[cfg(test)]
mod tests;
