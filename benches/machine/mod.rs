//! A machine in memory for the benchmarks: nothing of it costs time of its own.

pub mod chains;

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use pop_revive::seams::{Blocking, BoxStream, Clock, Disk, Host, Listener, Transport};
use redb::StorageBackend;
use tokio::{sync::mpsc, time::Instant};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs to the end, under the simulator's runtime in the simulated build and under tokio's own in the real one.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    #[cfg(madsim)]
    {
        let config = tokio::madsim::Config::default();
        tokio::madsim::runtime::Runtime::with_seed_and_config(1, config).block_on(future)
    }
    #[cfg(not(madsim))]
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap_or_else(|error| panic!("no runtime: {error}")).block_on(future)
    }
}

/// A disk whose files survive being closed, and which counts what is written to them.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, MemoryFile>>>,
    written: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
struct MemoryFile {
    content: Arc<Mutex<Vec<u8>>>,
    written: Arc<AtomicU64>,
}

impl MemoryDisk {
    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// The size of all files together.
    pub fn size(&self) -> u64 {
        locked(&self.files).values().map(|file| locked(&file.content).len() as u64).sum()
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let fresh = || MemoryFile { content: Arc::default(), written: self.written.clone() };
        Ok(Box::new(locked(&self.files).entry(name.to_owned()).or_insert_with(fresh).clone()))
    }

    fn set_aside(&self, names: &[&str]) -> io::Result<()> {
        names.iter().for_each(|name| drop(locked(&self.files).remove(*name)));
        Ok(())
    }

    fn replace(&self, name: &str, new: &str) -> io::Result<()> {
        let mut files = locked(&self.files);
        let content = files.remove(new).ok_or(io::ErrorKind::NotFound)?;
        files.insert(name.to_owned(), content);
        Ok(())
    }
}

impl StorageBackend for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.content).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = offset as usize;
        out.copy_from_slice(locked(&self.content).get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        locked(&self.content).resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.written.fetch_add(data.len() as u64, Relaxed);
        let from = offset as usize;
        let mut content = locked(&self.content);
        content.get_mut(from..from + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}

/// A wall clock that goes with tokio's.
pub struct RunningClock {
    began: Instant,
    began_ms: i64,
}

impl RunningClock {
    pub fn from(began_ms: i64) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), began_ms })
    }
}

#[async_trait]
impl Clock for RunningClock {
    fn now_ms(&self) -> i64 {
        self.began_ms + self.began.elapsed().as_millis() as i64
    }

    fn passed(&self) -> Duration {
        self.began.elapsed()
    }

    async fn sleep_until_ms(&self, deadline_ms: i64) {
        while let left @ 1.. = deadline_ms.saturating_sub(self.now_ms()) {
            tokio::time::sleep(Duration::from_millis(left.min(86_400_000).unsigned_abs())).await;
        }
    }
}

/// Runs blocking work at once, in its place.
struct Inline;

#[async_trait]
impl Blocking for Inline {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

type Accepted = (BoxStream, String);

/// Pipes by address.
#[derive(Clone, Default)]
pub struct Pipes {
    listeners: Arc<Mutex<BTreeMap<String, mpsc::UnboundedSender<Accepted>>>>,
}

#[async_trait]
impl Transport for Pipes {
    async fn connect(&self, address: &str) -> io::Result<BoxStream> {
        let (near, far) = tokio::io::duplex(1 << 20);
        let listeners = locked(&self.listeners);
        let listener = listeners.get(address).ok_or(io::ErrorKind::ConnectionRefused)?;
        listener.send((Box::new(far), "caller:1".into())).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(near))
    }

    async fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let (sender, accepted) = mpsc::unbounded_channel();
        locked(&self.listeners).insert(address.to_owned(), sender);
        Ok(Box::new(PipeListener { address: address.to_owned(), accepted }))
    }
}

struct PipeListener {
    address: String,
    accepted: mpsc::UnboundedReceiver<Accepted>,
}

#[async_trait]
impl Listener for PipeListener {
    fn local_address(&self) -> String {
        self.address.clone()
    }

    async fn accept(&mut self) -> io::Result<Accepted> {
        match self.accepted.recv().await {
            Some(accepted) => Ok(accepted),
            None => std::future::pending().await,
        }
    }
}

/// A machine with this disk, clock and network.
pub fn host(disk: &MemoryDisk, clock: Arc<dyn Clock>, net: &Pipes) -> Host {
    Host { transport: Arc::new(net.clone()), clock, disk: Arc::new(disk.clone()), blocking: Arc::new(Inline) }
}
