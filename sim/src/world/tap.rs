//! What the world lets observers see: frames at the wire, synced writes at the disk, faults and the lives of nodes.
//!
//! None of it passes through the code under test, so it is evidence that it cannot fake.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::plan::SimMs;

/// One frame on the wire, as the world's [`Protocol`](super::Protocol) reads it.
#[derive(Debug, Clone)]
pub struct FrameFacts {
    /// When this observation was made.
    pub at_ms: SimMs,
    /// The frame's own number in this world: what arrives is known by it. A frame that a fault doubles has it twice.
    pub number: u64,
    /// The node that sent the frame.
    pub from: Arc<str>,
    /// The node the frame is for.
    pub to: Arc<str>,
    /// The connection, numbered from 1 in the order of dialling.
    pub connection: u64,
    /// Whether it answers a request.
    pub is_response: bool,
    /// Request code, or response code in a response.
    pub code: i32,
    /// Correlation id.
    pub opaque: i32,
    /// In a response: the code of the request on this connection that carried the same opaque.
    pub request_code: Option<i32>,
    /// In a request: its ordinal, from 1, among the requests of this (from, to, code). In a response: that of the
    /// request it answers, 0 when there is none.
    pub nth: u64,
    /// The whole frame, length prefix included.
    pub bytes: Bytes,
}

impl FrameFacts {
    /// The code of the request: its own, or of the one that it answers; 0 if that was never seen.
    #[must_use]
    pub fn asked_code(&self) -> i32 {
        if self.is_response { self.request_code.unwrap_or(0) } else { self.code }
    }
}

/// What became of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeEvent {
    /// A new incarnation begins.
    Started,
    /// It has ended and begins again, in the same process.
    Restarted,
    /// Its code runs only now, long after the incarnation began.
    Began,
    /// The process died; its disk kept everything written.
    Killed,
    /// The machine lost power; un-synced writes are partly lost.
    Crashed,
    /// It is to have another address from now on.
    Moved,
    /// Its disk is lost: the next one is empty.
    LostDisk,
    /// It has set aside what was on its disk.
    SetAside,
    /// Its disk is as it was some time ago.
    GotOlderDisk,
    /// The process was asked to stop.
    Stopping,
    /// The process ended by itself.
    Stopped,
    /// The process was frozen.
    Paused,
    /// The process goes on.
    Resumed,
    /// Its disk failed to read.
    ReadFailed,
    /// Its disk read a bit wrongly.
    ReadFlipped,
    /// Its disk has a bit that is wrong for good.
    ReadRotten,
    /// Its disk failed to write.
    WriteFailed,
    /// Its disk failed to sync.
    SyncFailed,
    /// Its disk had no room for a write.
    DiskFull,
    /// Its wall clock has gained so much, ms, since the node last began to run, on the time that has passed for it.
    ClockGained(i64),
    /// Its clocks stand still from now on, or go on.
    ClockStands(bool),
}

impl fmt::Display for NodeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Restarted => "started again in its process",
            Self::Began => "began",
            Self::Killed => "killed",
            Self::Crashed => "crashed",
            Self::Moved => "moved to another address",
            Self::LostDisk => "lost its disk",
            Self::SetAside => "set aside what was on its disk",
            Self::GotOlderDisk => "got an older disk",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::ReadFailed => "failed to read",
            Self::ReadFlipped => "read a bit wrongly",
            Self::ReadRotten => "has a bit that is wrong for good",
            Self::WriteFailed => "failed to write",
            Self::SyncFailed => "failed to sync",
            Self::DiskFull => "had no room on its disk",
            Self::ClockStands(true) => "stopped its clocks",
            Self::ClockStands(false) => "let its clocks go on",
            Self::ClockGained(ms) => return write!(f, "gained {ms} ms on its clock"),
        })
    }
}

/// An observer of the world. It is called with no lock of the world held, in an order fixed by the seed.
pub trait Tap: Send + Sync {
    /// A request leaves its sender; its verdict is not known yet.
    fn request_sent(&self, frame: &FrameFacts) {
        let _ = frame;
    }

    /// A response leaves the server; its verdict is not known yet.
    fn response_sent(&self, frame: &FrameFacts) {
        let _ = frame;
    }

    /// The receiver begins to read a frame.
    fn delivered(&self, frame: &FrameFacts) {
        let _ = frame;
    }

    /// The node's `sync_no`-th disk sync (from 1) made `writes` to `file`, given as (offset, data) in write order, durable.
    fn synced(&self, at_ms: SimMs, node: &str, sync_no: u64, file: &str, writes: &[(u64, Bytes)]) {
        let _ = (at_ms, node, sync_no, file, writes);
    }

    /// The node lost power, a sync failed, an operation had failed before the sync that made `content` durable, or another
    /// file took the place of this one: `file` holds it from now on, and pages alone do not tell what of it is in force.
    /// `syncs` is how many syncs the node had begun.
    fn left_with(&self, at_ms: SimMs, node: &str, syncs: u64, file: &str, content: &Bytes) {
        let _ = (at_ms, node, syncs, file, content);
    }

    /// The run is over, and `file` holds `content` on the node's disk: what was not synced is not in it.
    fn at_rest(&self, at_ms: SimMs, node: &str, file: &str, content: &Bytes) {
        let _ = (at_ms, node, file, content);
    }

    /// A fault struck, began or ended; `fault_index` is its position in the plan, `None` when it was not planned.
    fn fault(&self, at_ms: SimMs, fault_index: Option<usize>, text: &str) {
        let _ = (at_ms, fault_index, text);
    }

    /// A node's life changed.
    fn node(&self, at_ms: SimMs, node: &str, event: NodeEvent) {
        let _ = (at_ms, node, event);
    }
}

/// Sees nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blind;

impl Tap for Blind {}
