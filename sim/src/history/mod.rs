//! The history of one run: what passed the wire, what was synced, what was broken, and what the programs of the run
//! noted themselves.
//!
//! It is the oracles' only input and the event log that two equal runs must share byte for byte. Nothing in it comes
//! from the events or counters of the system under test.

mod client;
pub mod fingerprint;
mod log;
mod recorder;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

pub use client::{AckVerdict, Acked, Delivery, LedgerId, Noted, Popped, Renewed, Scraped, Seen, Sent};
pub use log::Log;
pub use recorder::{Recorder, Sink};

use crate::{
    plan::{NodeName, SimMs},
    world::tap::FrameFacts,
};

/// One thing that happened; `N` is what the programs of the run note.
#[derive(Debug, Clone, Serialize)]
pub struct Event<N = Noted> {
    /// When, simulated ms since the run began.
    pub at_ms: SimMs,
    /// What.
    pub kind: EventKind<N>,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind<N = Noted> {
    /// A request left its sender.
    Request(Frame),
    /// A response left its server.
    Response(Frame),
    /// A node's disk synced (bytes written since the last sync); what it made durable stands before this.
    Synced {
        /// Whose disk.
        node: NodeName,
        /// Number of the sync, from 1.
        sync: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Something happened to a node.
    Node {
        /// Which.
        node: NodeName,
        /// What: started, killed, crashed, stopping, stopped, paused, resumed.
        event: String,
    },
    /// A node runs anew, and its wall clock has gained so much, since it last began to, on the time that passed for the node; negative
    /// is less.
    ClockGained {
        /// Whose.
        node: NodeName,
        /// By how much, ms.
        ms: i64,
    },
    /// The clocks of a node stand still from now on, or go on.
    ClockStands {
        /// Whose.
        node: NodeName,
        /// They stand still.
        stands: bool,
    },
    /// A planned fault fired.
    Fault {
        /// Its position in the plan.
        index: Option<usize>,
        /// What it did.
        text: String,
    },
    /// All faults ended; the run goes on to settle.
    Healed,
    /// The run is over.
    Over,
    /// A program of the run noted this.
    #[serde(untagged)]
    Noted(N),
}

/// What happens to a node when what it runs begins from nothing: in a new process, or in the one that it has.
const BEGINNINGS: [&str; 2] = ["started", "started again in its process"];

impl<N> EventKind<N> {
    /// Whether what this node runs begins from nothing here.
    #[must_use]
    pub fn begins(&self, who: &str) -> bool {
        matches!(self, Self::Node { node, event } if node == who && BEGINNINGS.contains(&event.as_str()))
    }

    /// A sync that made `writes` durable.
    pub(crate) fn synced(node: &str, sync: u64, writes: &[(u64, Bytes)]) -> Self {
        let bytes = writes.iter().map(|(_, data)| data.len() as u64).sum();
        Self::Synced { node: node.into(), sync, bytes }
    }
}

/// A frame on the wire.
#[derive(Debug, Clone, Serialize)]
pub struct Frame {
    /// Who sent it.
    pub from: Arc<str>,
    /// To whom.
    pub to: Arc<str>,
    /// On which connection.
    pub connection: u64,
    /// Correlates a response with its request on that connection.
    pub opaque: i32,
    /// Request code; for a response that of the request it answers, 0 if that was never seen.
    pub request_code: i32,
    /// Response code; 0 for a request.
    pub code: i32,
    /// When its receiver began to read it; `None` if it never did, or as far as the run was noted. It is no part of the log:
    /// that says what happened up to each event.
    #[serde(skip)]
    pub arrived_ms: Option<SimMs>,
    /// Length in bytes.
    pub length: usize,
    /// The whole frame, where an oracle needs it; empty otherwise.
    #[serde(skip)]
    pub bytes: Bytes,
}

impl Frame {
    /// What is kept of a frame; its bytes only if something reads them.
    #[must_use]
    pub fn of(facts: &FrameFacts, keep_bytes: bool) -> Self {
        let FrameFacts { from, to, connection, opaque, .. } = facts;
        Self {
            from: from.clone(),
            to: to.clone(),
            connection: *connection,
            opaque: *opaque,
            request_code: facts.asked_code(),
            code: if facts.is_response { facts.code } else { 0 },
            arrived_ms: None,
            length: facts.bytes.len(),
            bytes: if keep_bytes { facts.bytes.clone() } else { Bytes::new() },
        }
    }
}

/// A whole run.
#[derive(Debug, Clone)]
pub struct History<N = Noted> {
    /// The events, in order.
    pub events: Vec<Event<N>>,
}

impl<N> Default for History<N> {
    fn default() -> Self {
        Self { events: Vec::new() }
    }
}

impl<N> History<N> {
    /// What the programs of the run noted, in order, each with its time.
    pub fn noted(&self) -> impl Iterator<Item = (SimMs, &N)> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Noted(noted) => Some((event.at_ms, noted)),
            _ => None,
        })
    }
}
