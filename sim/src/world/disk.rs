//! The disk of one simulated node: named files that survive the process, not all of them the power.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use pop_revive::{model::record::MAGIC, seams::Disk, store::FILE};
use rand::RngExt;
use redb::StorageBackend;

use super::{World, image::Image, lock, node::Life, tap::NodeEvent};
use crate::{
    faults::{disk_error, disk_full},
    plan::{DiskOperation, SimMs},
    random::Stream,
};

/// How long one sync takes, drawn per sync, in microseconds: a disk attached over a network. Slow enough that steps pile
/// up behind it, so that batches of several are what is usually committed, crashed in and judged.
const SYNC_US: std::ops::RangeInclusive<u64> = 2_000..=10_000;

/// The platters of one node. They outlive every incarnation.
#[derive(Debug)]
pub(crate) struct Platters {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, File>,
    /// By the time at which each was taken.
    snapshots: BTreeMap<SimMs, BTreeMap<String, Bytes>>,
    /// Whether nothing that a log entry lies in is read wrongly, nor what leads to any.
    spares_entries: bool,
    syncs: u64,
    draws: Draws,
}

/// The random streams of one disk.
#[derive(Debug)]
pub(super) struct Draws {
    pub(super) sync_time: Stream,
    /// What survives the loss of power.
    pub(super) crash: Stream,
    /// What survives a failed sync.
    pub(super) failed_sync: Stream,
    /// How long a slow sync takes.
    pub(super) slow: Stream,
    /// Which bit of a read is wrong.
    pub(super) flip: Stream,
}

#[derive(Debug, Default)]
struct File {
    image: Image,
    /// An operation failed since the last sync: what was written for it may be in the file and yet not in force.
    doubtful: bool,
    /// The incarnation that has the file open, for its lock.
    holder: Option<u64>,
    /// What is read wrongly.
    flips: Vec<Flip>,
}

/// A bit that is read turned over, until it is written or for a while.
#[derive(Debug)]
struct Flip {
    at: u64,
    mask: u8,
    until_ms: SimMs,
}

/// How long a bit that does not rot stays turned over, ms: others open the file again meanwhile, and all of it is well in
/// the end.
const FLIPPED_MS: SimMs = 60_000;

/// Length of a database's first page.
const FIRST_PAGE: u64 = 4096;
/// How a branch of its trees begins.
const BRANCH: u8 = 2;
/// What the leaf reads that leads to the store's tables: their names.
const TABLES: &[u8] = b"logmetarows";

impl Platters {
    pub(super) fn new(draws: Draws) -> Self {
        let (files, snapshots, spares_entries, syncs) = (BTreeMap::new(), BTreeMap::new(), false, 0);
        Self { state: Mutex::new(State { files, snapshots, spares_entries, syncs, draws }) }
    }

    /// Has nothing that a log entry lies in be read wrongly.
    pub(super) fn spare_entries(&self) {
        lock(&self.state).spares_entries = true;
    }

    /// How many syncs the node has begun in this run.
    pub(crate) fn syncs(&self) -> u64 {
        lock(&self.state).syncs
    }

    /// Draws how long some syncs keep the disk busy, each with the span to draw from (ms) if a fault slows it.
    pub(crate) fn busy(&self, syncs: &[Option<(SimMs, SimMs)>]) -> Duration {
        let draws = &mut lock(&self.state).draws;
        let took = syncs.iter().map(|slow| {
            // Drawn also when a fault overrides it, so that the fault leaves later syncs as they were.
            let usual = draws.sync_time.random_range(SYNC_US);
            slow.map_or(usual, |(min_ms, max_ms)| {
                let span = min_ms.saturating_mul(1_000)..=max_ms.max(min_ms).saturating_mul(1_000);
                draws.slow.random_range(span)
            })
        });
        Duration::from_micros(took.sum())
    }

    /// Loses power: un-synced writes survive in part. Gives each file's name and what it holds now.
    pub(crate) fn lose_power(&self) -> Vec<(String, Bytes)> {
        let State { files, draws, .. } = &mut *lock(&self.state);
        let lose = |(name, file): (&String, &mut File)| {
            file.image.lose_some(&mut draws.crash);
            file.doubtful = false;
            (name.clone(), file.image.content())
        };
        files.iter_mut().map(lose).collect()
    }

    /// Each file's name and what of it is durable.
    pub(crate) fn at_rest(&self) -> Vec<(String, Bytes)> {
        let state = lock(&self.state);
        state.files.iter().map(|(name, file)| (name.clone(), file.image.durable())).collect()
    }

    /// Keeps what is durable now.
    pub(crate) fn take_snapshot(&self, now_ms: SimMs) {
        let files = self.at_rest().into_iter().collect();
        lock(&self.state).snapshots.insert(now_ms, files);
    }

    /// Puts back what was kept at `at_ms`: gives each file's name and what it holds now; `None` if nothing was kept then.
    pub(crate) fn put_back(&self, at_ms: SimMs) -> Option<Vec<(String, Bytes)>> {
        let state = &mut *lock(&self.state);
        let kept = state.snapshots.get(&at_ms)?;
        let file = |content: &Bytes| File { image: Image::holding(content), ..File::default() };
        state.files = kept.iter().map(|(name, content)| (name.clone(), file(content))).collect();
        Some(kept.iter().map(|(name, content)| (name.clone(), content.clone())).collect())
    }

    /// Frees the memory of a run that is over.
    pub(crate) fn wipe(&self) {
        let mut state = lock(&self.state);
        state.files.clear();
        state.snapshots.clear();
    }
}

/// The disk as one incarnation of a node sees it.
pub(crate) struct NodeDisk {
    pub(crate) world: World,
    pub(crate) life: Arc<Life>,
    pub(crate) platters: Arc<Platters>,
}

impl Disk for NodeDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        self.life.fence()?;
        let mut state = lock(&self.platters.state);
        let file = state.files.entry(name.to_owned()).or_default();
        if file.holder == Some(self.life.number) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{name} is already open")));
        }
        file.holder = Some(self.life.number);
        Ok(Box::new(OpenFile {
            world: self.world.clone(),
            life: self.life.clone(),
            platters: self.platters.clone(),
            name: name.to_owned(),
        }))
    }

    /// What is set aside is of no more use in a run; nobody counts how often that is done.
    fn set_aside(&self, names: &[&str]) -> io::Result<()> {
        self.life.fence()?;
        {
            let files = &mut lock(&self.platters.state).files;
            names.iter().for_each(|name| drop(files.remove(*name)));
        }
        self.world.tap_node(&self.world.name(self.life.node), NodeEvent::SetAside);
        Ok(())
    }

    fn replace(&self, name: &str, new: &str) -> io::Result<()> {
        self.life.fence()?;
        let (syncs, content) = {
            let State { files, syncs, .. } = &mut *lock(&self.platters.state);
            let file = files.remove(new).ok_or(io::ErrorKind::NotFound)?;
            let content = file.image.durable();
            files.insert(name.to_owned(), file);
            (*syncs, content)
        };
        self.world.left_with(self.life.node, syncs, name, &content);
        Ok(())
    }
}

/// A file opened by one incarnation; every operation fails once that incarnation is dead.
struct OpenFile {
    world: World,
    life: Arc<Life>,
    platters: Arc<Platters>,
    name: String,
}

impl OpenFile {
    fn with<T>(&self, operation: impl FnOnce(&mut Image) -> io::Result<T>) -> io::Result<T> {
        self.life.fence()?;
        let mut state = lock(&self.platters.state);
        let file = state.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        operation(&mut file.image)
    }

    /// Fails if a fault of the plan has this operation fail.
    fn work(&self, operation: DiskOperation) -> io::Result<()> {
        self.life.fence()?;
        if !disk_error::strikes(&self.world, self.life.node, operation) {
            return Ok(());
        }
        self.doubt();
        Err(io::Error::other(format!("input/output error: the disk failed to {}", operation.name())))
    }

    /// Fails if a fault of the plan leaves no block for this write and it needs one.
    fn find_room(&self, offset: u64, length: usize) -> io::Result<()> {
        if !self.with(|image| Ok(image.needs_room(offset, length)))? || !disk_full::strikes(&self.world, self.life.node)
        {
            return Ok(());
        }
        self.doubt();
        Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"))
    }

    /// Turns over what faults of the plan have turned over in what was read.
    fn turn_bits(&self, offset: u64, out: &mut [u8]) {
        if self.is_spared(offset, out) {
            return;
        }
        let now_ms = self.world.now_ms();
        let turned = [(DiskOperation::Flip, now_ms + FLIPPED_MS), (DiskOperation::Rot, SimMs::MAX)];
        let turned = turned
            .into_iter()
            .filter(|(operation, _)| !out.is_empty() && disk_error::strikes(&self.world, self.life.node, *operation));
        let turned: Vec<SimMs> = turned.map(|(_, until_ms)| until_ms).collect();
        let State { files, draws, .. } = &mut *lock(&self.platters.state);
        let Some(file) = files.get_mut(&self.name) else { return };
        for until_ms in turned {
            let bit = draws.flip.random_range(0..out.len() as u64 * 8);
            file.flips.push(Flip { at: offset + bit / 8, mask: 1 << (bit % 8), until_ms });
        }
        file.flips.retain(|flip| flip.until_ms > now_ms);
        for Flip { at, mask, .. } in &file.flips {
            let place = at.checked_sub(offset).and_then(|place| usize::try_from(place).ok());
            if let Some(byte) = place.and_then(|place| out.get_mut(place)) {
                *byte ^= mask;
            }
        }
    }

    /// Whether this must be read as it is: where the disk spares entries, a page with any, what may lead to one (the first page,
    /// branches, the table of tables), and other files than the store's.
    fn is_spared(&self, offset: u64, read: &[u8]) -> bool {
        let spares = lock(&self.platters.state).spares_entries;
        let has = |text: &[u8]| read.windows(text.len()).any(|bytes| bytes == text);
        let leads = || offset < FIRST_PAGE || read.first() == Some(&BRANCH) || has(TABLES);
        spares && (self.name != FILE || leads() || has(&MAGIC))
    }

    fn doubt(&self) {
        if let Some(file) = lock(&self.platters.state).files.get_mut(&self.name) {
            file.doubtful = true;
        }
    }

    /// A sync failed: of what it should have made durable some is, and the rest is gone.
    fn sync_half(&self, sync_no: u64) {
        let content = {
            let State { files, draws, .. } = &mut *lock(&self.platters.state);
            let Some(file) = files.get_mut(&self.name) else { return };
            file.image.lose_some(&mut draws.failed_sync);
            file.doubtful = false;
            file.image.content()
        };
        self.world.left_with(self.life.node, sync_no, &self.name, &content);
    }

    /// Makes everything durable; gives the writes, or the whole file when they tell nothing.
    fn sync_all(&self) -> io::Result<Result<Vec<(u64, Bytes)>, Bytes>> {
        self.life.fence()?;
        let mut state = lock(&self.platters.state);
        let file = state.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        let writes = file.image.sync();
        Ok(if std::mem::take(&mut file.doubtful) { Err(file.image.content()) } else { Ok(writes) })
    }

    fn release(&self) {
        let mut state = lock(&self.platters.state);
        if let Some(file) = state.files.get_mut(&self.name)
            && file.holder == Some(self.life.number)
        {
            file.holder = None;
        }
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|image| Ok(image.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.work(DiskOperation::Read)?;
        self.with(|image| image.read(offset, out))?;
        self.turn_bits(offset, out);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|image| image.resize(len))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.work(DiskOperation::Write)?;
        self.find_room(offset, data.len())?;
        self.with(|image| image.write(offset, data))?;
        if let Some(file) = lock(&self.platters.state).files.get_mut(&self.name) {
            file.flips.retain(|flip| !(offset..offset + data.len() as u64).contains(&flip.at));
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.life.fence()?;
        let sync_no = {
            let mut state = lock(&self.platters.state);
            state.syncs += 1;
            state.syncs
        };
        self.world.before_sync(self.life.node, sync_no);
        if let Err(error) = self.work(DiskOperation::Sync) {
            if self.life.is_alive() {
                self.sync_half(sync_no);
            }
            return Err(error);
        }
        // Fails when the process died just before.
        let writes = self.sync_all()?.unwrap_or_else(|content| {
            self.world.left_with(self.life.node, sync_no, &self.name, &content);
            Vec::new()
        });
        self.world.synced(self.life.node, sync_no, &self.name, &writes);
        self.life.fence()
    }

    fn close(&self) -> io::Result<()> {
        self.release();
        Ok(())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.release();
    }
}
