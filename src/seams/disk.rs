//! Disk seam: where the store keeps its file, and where its commits run.

use std::io;

use async_trait::async_trait;
use redb::StorageBackend;

/// A disk that holds named files for redb.
pub trait Disk: Send + Sync + 'static {
    /// Opens `name`, creating an empty file when there is none.
    ///
    /// # Errors
    /// The file cannot be opened or is held by another process.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>>;
}

/// Runs work that blocks on the disk.
#[async_trait]
pub trait Blocking: Send + Sync + 'static {
    /// Runs `work` to its end and returns after the disk has taken its time for it.
    ///
    /// The real one uses a thread of its own. The simulator runs `work` inline and then waits for the simulated disk,
    /// so that a commit takes time and others can gather behind it. Work may be lost only together with the node.
    async fn run(&self, work: Box<dyn FnOnce() + Send>);
}
