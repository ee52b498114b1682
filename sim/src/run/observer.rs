//! Writes the history: what passes the wire, what disks hold, what breaks, and what clients say they saw.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;
use pop_revive::remoting::code::request;
use tokio::sync::Notify;

use super::progress::Progress;
use crate::{
    evidence::{DiskScanner, recovery::recovered_entries},
    history::{Event, EventKind, Frame, History},
    plan::SimMs,
    workload::Sink,
    world::tap::{FrameFacts, NodeEvent, Tap},
};

/// The one writer of a run's history.
pub struct Observer {
    inner: Mutex<Inner>,
    past: Notify,
    turn: OnceLock<Turning>,
}

/// What is done at a turn.
type Turning = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Inner {
    history: History,
    scanners: BTreeMap<Arc<str>, DiskScanner>,
    progress: Progress,
    /// What happens later is not noted.
    until_ms: Option<SimMs>,
    /// Something has happened later.
    is_past: bool,
    /// The turn comes once there are so many events.
    turn_after: Option<usize>,
}

/// Requests whose frames oracles read; of all others only the header is kept.
const READ_BY_ORACLES: [i32; 8] = [
    request::SEND_MESSAGE,
    request::SEND_MESSAGE_V2,
    request::PULL_MESSAGE,
    request::POP_MESSAGE,
    request::ACK_MESSAGE,
    request::BATCH_ACK_MESSAGE,
    request::CHANGE_MESSAGE_INVISIBLETIME,
    request::REGISTER_BROKER,
];

impl Inner {
    /// Notes the entries in bytes that are durable on the node's disk now.
    fn found(&mut self, at_ms: SimMs, node: &str, sync: u64, bytes: &[(u64, &[u8])]) {
        if !self.scanners.contains_key(node) {
            self.scanners.insert(node.into(), DiskScanner::default());
        }
        let entries = self.scanners.get_mut(node).map(|scanner| scanner.scan(bytes)).unwrap_or_default();
        for entry in entries {
            self.progress.durable(at_ms, node, &entry);
            self.push(at_ms, EventKind::Durable { node: node.into(), sync, entry });
        }
    }

    fn push(&mut self, at_ms: SimMs, kind: EventKind) {
        match self.until_ms {
            Some(until_ms) if at_ms > until_ms => self.is_past = true,
            _ => self.history.events.push(Event { at_ms, kind }),
        }
    }
}

impl Observer {
    fn clock_gained(&self, at_ms: SimMs, node: &str, ms: i64) {
        self.push(at_ms, EventKind::ClockGained { node: node.into(), ms });
    }

    /// An empty history of what `progress` is to follow, up to a time if there is one.
    pub fn new(progress: Progress, until_ms: Option<SimMs>) -> Arc<Self> {
        let inner = Inner { progress, until_ms, ..Inner::default() };
        Arc::new(Self { inner: Mutex::new(inner), past: Notify::new(), turn: OnceLock::new() })
    }

    /// Has `turn` called, once, right after what makes it so many events was noted: before whoever tells of that goes on.
    pub fn turn_after(&self, events: usize, turn: impl Fn() + Send + Sync + 'static) {
        self.lock().turn_after = Some(events);
        let _ = self.turn.set(Box::new(turn)); // a run has one turn
    }

    /// Adds something that clients or the runner saw.
    pub fn record(&self, at_ms: SimMs, kind: EventKind) {
        self.note(|inner| {
            inner.progress.seen(at_ms, &kind);
            inner.push(at_ms, kind);
        });
    }

    /// Waits for the first thing that happens later than what is to be noted. No timer says so: one more timer in the
    /// world might change the order of those that are due together.
    pub async fn past(&self) {
        while !self.lock().is_past {
            self.past.notified().await;
        }
    }

    /// A client has nothing left to do.
    pub fn done(&self, client: &str) {
        self.lock().progress.done(client);
    }

    /// Whether nothing is left to happen, and since when.
    pub fn settled_since(&self) -> Option<SimMs> {
        self.lock().progress.settled_since()
    }

    /// What is left to happen, for a run that does not settle.
    pub fn unsettled(&self) -> String {
        self.lock().progress.describe()
    }

    /// Takes the history out; what happens later is not in it.
    pub fn take(&self) -> History {
        std::mem::take(&mut self.lock().history)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, at_ms: SimMs, kind: EventKind) {
        self.note(|inner| inner.push(at_ms, kind));
    }

    fn note(&self, note: impl FnOnce(&mut Inner)) {
        let (is_past, turns) = {
            let mut inner = self.lock();
            note(&mut inner);
            let known = inner.history.events.len();
            (inner.is_past, inner.turn_after.take_if(|after| known >= *after).is_some())
        };
        if is_past {
            self.past.notify_one();
        }
        if let Some(turn) = self.turn.get().filter(|_| turns) {
            turn();
        }
    }
}

fn frame(facts: &FrameFacts) -> Frame {
    let request_code = if facts.is_response { facts.request_code.unwrap_or(0) } else { facts.code };
    Frame {
        from: facts.from.clone(),
        to: facts.to.clone(),
        connection: facts.connection,
        opaque: facts.opaque,
        request_code,
        code: if facts.is_response { facts.code } else { 0 },
        length: facts.bytes.len(),
        bytes: if READ_BY_ORACLES.contains(&request_code) { facts.bytes.clone() } else { Bytes::new() },
    }
}

impl Sink for Observer {
    fn append(&self, event: Event) {
        self.record(event.at_ms, event.kind);
    }
}

impl Tap for Observer {
    fn request_sent(&self, facts: &FrameFacts) {
        self.push(facts.at_ms, EventKind::Request(frame(facts)));
    }

    fn response_sent(&self, facts: &FrameFacts) {
        self.push(facts.at_ms, EventKind::Response(frame(facts)));
    }

    fn synced(&self, at_ms: SimMs, node: &str, sync: u64, writes: &[(u64, Bytes)]) {
        let slices: Vec<(u64, &[u8])> = writes.iter().map(|(offset, data)| (*offset, data.as_ref())).collect();
        let bytes = slices.iter().map(|(_, data)| data.len() as u64).sum();
        self.note(|inner| {
            inner.found(at_ms, node, sync, &slices);
            inner.push(at_ms, EventKind::Synced { node: node.into(), sync, bytes });
        });
    }

    fn left_with(&self, at_ms: SimMs, node: &str, syncs: u64, file: &str, content: &Bytes) {
        if file == pop_revive::store::FILE {
            self.note(|inner| {
                let scanner = inner.scanners.get(node);
                let entries = recovered_entries(content, |entry| scanner.is_some_and(|it| it.has_seen(entry)));
                let slices: Vec<(u64, &[u8])> = entries.iter().map(|entry| (0, entry.as_slice())).collect();
                inner.found(at_ms, node, syncs, &slices);
            });
        }
    }

    fn fault(&self, at_ms: SimMs, index: Option<usize>, text: &str) {
        self.push(at_ms, EventKind::Fault { index, text: text.into() });
    }

    fn node(&self, at_ms: SimMs, node: &str, event: NodeEvent) {
        let event = match event {
            NodeEvent::Started => "started",
            NodeEvent::Killed => "killed",
            NodeEvent::Crashed => "crashed",
            NodeEvent::Stopping => "stopping",
            NodeEvent::Stopped => "stopped",
            NodeEvent::Paused => "paused",
            NodeEvent::Resumed => "resumed",
            NodeEvent::ReadFailed => "failed to read",
            NodeEvent::WriteFailed => "failed to write",
            NodeEvent::SyncFailed => "failed to sync",
            NodeEvent::DiskFull => "had no room on its disk",
            NodeEvent::ClockGained(ms) => return self.clock_gained(at_ms, node, ms),
        };
        self.push(at_ms, EventKind::Node { node: node.into(), event: event.into() });
    }
}
