//! A machine in memory, for tests.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redb::StorageBackend;
use tokio::time::Instant;

use super::{
    Blocking, Clock, Disk, Host,
    disk::{SET_ASIDE_LIMIT, SetAsideTooOften, aside},
};
use crate::remoting::memory_transport::MemoryTransport;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Bytes = Arc<Mutex<Vec<u8>>>;

/// Files in memory that survive being closed; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, Bytes>>>,
    syncs: Arc<AtomicUsize>,
    failing: Arc<AtomicUsize>,
    unreadable: Arc<AtomicUsize>,
    refusing: Arc<AtomicUsize>,
}

impl MemoryDisk {
    /// Another disk with the same files.
    pub(crate) fn copy(&self) -> Self {
        let files = locked(&self.files);
        let copied = files.iter().map(|(name, bytes)| (name.clone(), Arc::new(Mutex::new(locked(bytes).clone()))));
        Self { files: Arc::new(Mutex::new(copied.collect())), ..Self::default() }
    }

    /// The next `count` syncs fail, and with them the commit they belong to.
    pub(crate) fn fail_syncs(&self, count: usize) {
        self.failing.store(count, Ordering::SeqCst);
    }

    /// The next `count` reads fail.
    pub(crate) fn fail_reads(&self, count: usize) {
        self.unreadable.store(count, Ordering::SeqCst);
    }

    /// The next `count` times it is asked to open a file it refuses.
    pub(crate) fn refuse_to_open(&self, count: usize) {
        self.refusing.store(count, Ordering::SeqCst);
    }

    /// Turns bits of a file's byte over, behind the back of whoever has it open.
    pub(crate) fn flip(&self, name: &str, at: usize, bits: u8) {
        let files = locked(&self.files);
        if let Some(bytes) = files.get(name)
            && let Some(byte) = locked(bytes).get_mut(at)
        {
            *byte ^= bits;
        }
    }

    /// What a file holds.
    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        locked(&self.files).get(name).map(|bytes| locked(bytes).clone()).unwrap_or_default()
    }

    /// Puts something else in a file's place.
    pub(crate) fn put(&self, name: &str, content: Vec<u8>) {
        locked(&self.files).insert(name.to_owned(), Arc::new(Mutex::new(content)));
    }

    /// Length of a file, bytes.
    pub(crate) fn length(&self, name: &str) -> usize {
        locked(&self.files).get(name).map_or(0, |bytes| locked(bytes).len())
    }

    /// Syncs so far.
    pub(crate) fn syncs(&self) -> usize {
        self.syncs.load(Ordering::SeqCst)
    }
}

fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        if take_one(&self.refusing) {
            return Err(io::Error::other("refused"));
        }
        let bytes = locked(&self.files).entry(name.to_owned()).or_default().clone();
        Ok(Box::new(MemoryFile { bytes, disk: self.clone() }))
    }

    fn set_aside(&self, names: &[&str]) -> io::Result<()> {
        let mut files = locked(&self.files);
        let is_free = |number: &u32| !names.iter().any(|name| files.contains_key(&aside(name, *number)));
        let number = (1..=SET_ASIDE_LIMIT).find(is_free).ok_or_else(|| io::Error::other(SetAsideTooOften))?;
        for name in names {
            if let Some(bytes) = files.remove(*name) {
                files.insert(aside(name, number), bytes);
            }
        }
        Ok(())
    }

    fn replace(&self, name: &str, new: &str) -> io::Result<()> {
        let bytes = locked(&self.files).get(new).cloned().ok_or(io::ErrorKind::NotFound)?;
        self.set_aside(&[name])?;
        let mut files = locked(&self.files);
        files.remove(new);
        files.insert(name.to_owned(), bytes);
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile {
    bytes: Bytes,
    disk: MemoryDisk,
}

impl StorageBackend for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.bytes).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if take_one(&self.disk.unreadable) {
            return Err(io::Error::other("the read failed"));
        }
        let from = offset as usize;
        let bytes = locked(&self.bytes);
        out.copy_from_slice(bytes.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        locked(&self.bytes).resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        if take_one(&self.disk.failing) { Err(io::Error::other("the sync failed")) } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let from = offset as usize;
        let mut bytes = locked(&self.bytes);
        bytes.get_mut(from..from + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}

/// Runs blocking work at once, in its place.
pub(crate) struct Inline;

#[async_trait]
impl Blocking for Inline {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

/// A wall clock that stands still until it is told otherwise.
pub(crate) struct StandingClock {
    began: Instant,
    now_ms: AtomicI64,
}

impl StandingClock {
    pub(crate) fn at(now_ms: i64) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), now_ms: AtomicI64::new(now_ms) })
    }

    pub(crate) fn set(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for StandingClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn passed(&self) -> Duration {
        self.began.elapsed()
    }

    async fn sleep_until_ms(&self, deadline_ms: i64) {
        while self.now_ms() < deadline_ms {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A wall clock that goes with tokio's.
pub(crate) struct RunningClock {
    began: Instant,
    began_ms: AtomicI64,
}

impl RunningClock {
    pub(crate) fn from(began_ms: i64) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), began_ms: AtomicI64::new(began_ms) })
    }

    pub(crate) fn step(&self, delta_ms: i64) {
        self.began_ms.fetch_add(delta_ms, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for RunningClock {
    fn now_ms(&self) -> i64 {
        self.began_ms.load(Ordering::SeqCst) + self.began.elapsed().as_millis() as i64
    }

    fn passed(&self) -> Duration {
        self.began.elapsed()
    }

    async fn sleep_until_ms(&self, deadline_ms: i64) {
        while let left @ 1.. = deadline_ms.saturating_sub(self.now_ms()) {
            // No timer takes the end of time.
            tokio::time::sleep(Duration::from_millis(left.min(86_400_000).unsigned_abs())).await;
        }
    }
}

/// A machine with this disk and clock on this network.
pub(crate) fn host(disk: &MemoryDisk, clock: Arc<dyn Clock>, net: &MemoryTransport) -> Host {
    Host { transport: Arc::new(net.clone()), clock, disk: Arc::new(disk.clone()), blocking: Arc::new(Inline) }
}
