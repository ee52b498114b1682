//! Follows a run of a cluster: writes its history, decodes what disks hold, and knows what is left to happen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use pop_revive::remoting::code::request;

use super::progress::Progress;
use crate::{
    evidence::{DiskScanner, DurableEntry, Tables, recovery::recovered_entries},
    framework::Witness,
    history::{Event, EventKind, History, Log, Noted, Sink, fingerprint},
    plan::SimMs,
    world::tap::{FrameFacts, NodeEvent, Tap},
};

/// The one observer of a cluster's run.
pub struct Observer {
    log: Log<Noted>,
    books: Mutex<Books>,
    until_ms: Option<SimMs>,
}

/// What is kept besides the history.
#[derive(Default)]
struct Books {
    scanners: BTreeMap<Arc<str>, DiskScanner>,
    /// What was seen on the disks that a master had before.
    former: BTreeMap<Arc<str>, Vec<DiskScanner>>,
    progress: Progress,
}

/// Requests whose frames oracles read; of all others only the header is kept.
const READ_BY_ORACLES: [i32; 20] = [
    request::SEND_MESSAGE,
    request::SEND_MESSAGE_V2,
    request::PULL_MESSAGE,
    request::POP_MESSAGE,
    request::ACK_MESSAGE,
    request::BATCH_ACK_MESSAGE,
    request::CHANGE_MESSAGE_INVISIBLETIME,
    request::REGISTER_BROKER,
    request::UNREGISTER_BROKER,
    request::GET_ROUTEINFO_BY_TOPIC,
    request::GET_BROKER_CLUSTER_INFO,
    request::INVOKE_BROKER_TO_RESET_OFFSET,
    request::UPDATE_AND_CREATE_TOPIC,
    request::DELETE_TOPIC_IN_BROKER,
    request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
    request::RESUME_PARKED,
    request::SEAL,
    request::MERGED,
    request::TAKE_TIMERS,
    request::VOTE,
];

impl Books {
    /// The entries in bytes that are durable on the node's disk now.
    fn found(&mut self, at_ms: SimMs, node: &str, sync: u64, bytes: &[(u64, &[u8])]) -> Vec<EventKind> {
        if !self.scanners.contains_key(node) {
            self.scanners.insert(node.into(), DiskScanner::default());
        }
        let entries = self.scanners.get_mut(node).map(|scanner| scanner.scan(bytes)).unwrap_or_default();
        let former = self.former.get(node).map_or(&[][..], Vec::as_slice);
        let note = |entry: Arc<DurableEntry>| {
            if former.iter().any(|disk| disk.knows(&entry)) {
                self.progress.again(at_ms, node, entry.index);
                let (term, index) = (entry.term, entry.index);
                return EventKind::Noted(Noted::Again { node: node.into(), sync, term, index });
            }
            self.progress.durable(at_ms, node, &entry);
            EventKind::Noted(Noted::Durable { node: node.into(), sync, entry })
        };
        entries.into_iter().map(note).collect()
    }

    /// The node has another disk. A slave that has an entry again has a copy of it again; what a master has is the fact
    /// itself, and there once.
    fn replaced(&mut self, node: &str) {
        if let Some((node, disk)) = self.scanners.remove_entry(node)
            && !self.progress.is_slave(&node)
        {
            self.progress.replaced(&node);
            self.former.entry(node).or_default().push(disk);
        }
    }
}

impl Observer {
    /// An empty history of what `progress` is to follow, up to a time if there is one.
    pub fn new(progress: Progress, until_ms: Option<SimMs>) -> Self {
        let books = Books { progress, ..Books::default() };
        Self { log: Log::until(until_ms), books: Mutex::new(books), until_ms }
    }

    /// Has `turn` called, once, right after what makes it so many events was noted: before whoever tells of that goes on.
    pub fn turn_after(&self, events: usize, turn: impl Fn() + Send + Sync + 'static) {
        self.log.turn_after(events, turn);
    }

    /// Adds something that clients or the runner saw.
    fn record(&self, at_ms: SimMs, kind: EventKind) {
        self.books().progress.seen(at_ms, &kind);
        self.log.push(at_ms, kind);
    }

    /// A client has nothing left to do.
    pub fn done(&self, client: &str) {
        self.books().progress.done(client);
    }

    /// Whether nothing is left to happen, and since when.
    pub fn settled_since(&self) -> Option<SimMs> {
        self.books().progress.settled_since()
    }

    /// What is left to happen, for a run that does not settle.
    pub fn unsettled(&self) -> String {
        self.books().progress.describe()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_read_by_oracles(facts: &FrameFacts) -> bool {
    READ_BY_ORACLES.contains(&facts.asked_code())
}

impl Witness for Observer {
    type History = History;

    fn healed(&self, at_ms: SimMs) {
        self.record(at_ms, EventKind::Healed);
    }

    fn over(&self, at_ms: SimMs) {
        self.record(at_ms, EventKind::Over);
    }

    async fn cut_short(&self) -> Option<SimMs> {
        self.log.past().await;
        self.until_ms
    }

    fn take(&self) -> History {
        self.log.take()
    }

    fn fingerprint(history: &History) -> String {
        fingerprint::fingerprint(history)
    }

    fn lines(history: &History) -> String {
        fingerprint::lines(history)
    }
}

impl Sink for Observer {
    fn append(&self, event: Event) {
        self.record(event.at_ms, event.kind);
    }
}

impl Tap for Observer {
    fn request_sent(&self, facts: &FrameFacts) {
        // Of what slaves are answered nobody reads more than the code: that is the log, which disks tell.
        self.log.sent(facts, is_read_by_oracles(facts) || facts.asked_code() == request::REPLICATE);
    }

    fn response_sent(&self, facts: &FrameFacts) {
        self.log.sent(facts, is_read_by_oracles(facts));
    }

    fn delivered(&self, facts: &FrameFacts) {
        self.log.arrived(facts);
    }

    fn synced(&self, at_ms: SimMs, node: &str, sync: u64, file: &str, writes: &[(u64, Bytes)]) {
        // A store that is being put together in another file is in force once that takes this one's place.
        let writes_to_store = if file == pop_revive::store::FILE { writes } else { &[] };
        let slices: Vec<(u64, &[u8])> = writes_to_store.iter().map(|(offset, data)| (*offset, data.as_ref())).collect();
        let found = self.books().found(at_ms, node, sync, &slices);
        self.log.push_all(at_ms, found.into_iter().chain([EventKind::synced(node, sync, writes)]));
    }

    fn left_with(&self, at_ms: SimMs, node: &str, syncs: u64, file: &str, content: &Bytes) {
        if file == pop_revive::store::FILE {
            let found = {
                let mut books = self.books();
                let scanner = books.scanners.get(node);
                let entries = recovered_entries(content, |entry| scanner.is_some_and(|it| it.has_seen(entry)));
                let slices: Vec<(u64, &[u8])> = entries.iter().map(|entry| (0, entry.as_slice())).collect();
                books.found(at_ms, node, syncs, &slices)
            };
            self.log.push_all(at_ms, found);
        }
    }

    fn at_rest(&self, at_ms: SimMs, node: &str, file: &str, content: &Bytes) {
        if file == pop_revive::store::FILE {
            let tables = Tables::read(content);
            self.log.push(at_ms, EventKind::Noted(Noted::AtRest { node: node.into(), tables }));
        }
    }

    fn fault(&self, at_ms: SimMs, index: Option<usize>, text: &str) {
        self.log.fault(at_ms, index, text);
    }

    fn node(&self, at_ms: SimMs, node: &str, event: NodeEvent) {
        match event {
            NodeEvent::LostDisk | NodeEvent::GotOlderDisk => self.books().replaced(node),
            NodeEvent::SetAside => drop(self.books().scanners.remove(node)),
            _ => {}
        }
        self.log.node(at_ms, node, event);
    }
}
