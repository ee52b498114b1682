//! The real disk: one folder, and one thread on which commits run.

use std::{
    fs::{File, OpenOptions},
    io,
    path::PathBuf,
    sync::mpsc,
};

use async_trait::async_trait;
use redb::{StorageBackend, backends::FileBackend};
use tokio::sync::oneshot;

use super::{Blocking, Disk};

/// A folder of the real file system.
#[derive(Debug, Clone)]
pub struct FileDisk {
    folder: PathBuf,
}

impl FileDisk {
    /// Uses `folder`, creating it when it is missing.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn new(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }
}

impl Disk for FileDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let path = self.folder.join(name);
        let file: File = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// One operating-system thread that runs blocking work in order.
#[derive(Debug, Clone)]
pub struct CommitThread {
    queue: mpsc::Sender<Work>,
}

impl CommitThread {
    /// Starts the thread; it ends when the last handle is dropped.
    ///
    /// # Errors
    /// The operating system refuses another thread.
    #[allow(clippy::disallowed_methods, reason = "the real build's commit thread; never started under the simulator")]
    pub fn start() -> io::Result<Self> {
        let (queue, work) = mpsc::channel::<Work>();
        std::thread::Builder::new().name("commit".into()).spawn(move || {
            while let Ok(run) = work.recv() {
                run();
            }
        })?;
        Ok(Self { queue })
    }
}

#[async_trait]
impl Blocking for CommitThread {
    async fn run(&self, work: Work) {
        let (done, finished) = oneshot::channel();
        let queued = self.queue.send(Box::new(move || {
            work();
            let _ = done.send(()); // the waiter may be gone at shutdown
        }));
        if queued.is_ok() {
            let _ = finished.await; // closed only when `work` panicked: its own reply slot says so
        }
    }
}
