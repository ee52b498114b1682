//! The disk of one simulated node: named files that survive the process, not all of them the power.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use pop_revive::seams::Disk;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use redb::StorageBackend;

use super::{World, image::Image, lock, node::Life};

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
    syncs: u64,
    sync_time: ChaCha8Rng,
    crash: ChaCha8Rng,
}

#[derive(Debug, Default)]
struct File {
    image: Image,
    /// The incarnation that has the file open, for its lock.
    holder: Option<u64>,
}

impl Platters {
    pub(crate) fn new(sync_time: ChaCha8Rng, crash: ChaCha8Rng) -> Self {
        Self { state: Mutex::new(State { files: BTreeMap::new(), syncs: 0, sync_time, crash }) }
    }

    /// How many syncs the node has begun in this run.
    pub(crate) fn syncs(&self) -> u64 {
        lock(&self.state).syncs
    }

    /// Draws how long `syncs` syncs keep the disk busy.
    pub(crate) fn busy(&self, syncs: u64) -> Duration {
        let state = &mut *lock(&self.state);
        Duration::from_micros((0..syncs).map(|_| state.sync_time.random_range(SYNC_US)).sum())
    }

    /// Loses power: un-synced writes survive in part. Gives each file's name and what it holds now.
    pub(crate) fn lose_power(&self) -> Vec<(String, Bytes)> {
        let State { files, crash, .. } = &mut *lock(&self.state);
        let lose = |(name, file): (&String, &mut File)| {
            file.image.lose_power(crash);
            (name.clone(), file.image.content())
        };
        files.iter_mut().map(lose).collect()
    }

    /// Frees the memory of a run that is over.
    pub(crate) fn wipe(&self) {
        lock(&self.state).files.clear();
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
        self.with(|image| image.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|image| image.resize(len))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|image| image.write(offset, data))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.life.fence()?;
        let sync_no = {
            let mut state = lock(&self.platters.state);
            state.syncs += 1;
            state.syncs
        };
        self.world.before_sync(self.life.node, sync_no);
        let writes = self.with(|image| Ok(image.sync()))?; // fails when the process died just before
        self.world.synced(self.life.node, sync_no, &writes);
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
