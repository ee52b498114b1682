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

    /// Puts files out of the way, one after the other and each for good before the next, so that they are not there when
    /// they are opened next. What they hold is kept under other names for whoever wants to look at it, up to
    /// [`SET_ASIDE_LIMIT`] times. A file that is not there is passed over.
    ///
    /// # Errors
    /// A file cannot be moved, or that was done too often.
    fn set_aside(&self, names: &[&str]) -> io::Result<()>;

    /// Puts the file `new` in the place of `name`, in one go and for good. What was there is kept as
    /// [`set_aside`](Self::set_aside) keeps it.
    ///
    /// # Errors
    /// A file cannot be moved, or that was done too often; then `name` is what it was.
    fn replace(&self, name: &str, new: &str) -> io::Result<()>;
}

/// How often a disk sets files aside: what damages them again and again has to be put right first, and copies fill the disk.
pub const SET_ASIDE_LIMIT: u32 = 3;

/// Files were set aside too often.
#[derive(Debug, thiserror::Error)]
#[error(
    "files were set aside {SET_ASIDE_LIMIT} times already: find out what damages them, and move what was set aside away"
)]
pub struct SetAsideTooOften;

/// The name under which a file is kept that was set aside for the `number`-th time.
#[must_use]
pub fn aside(name: &str, number: u32) -> String {
    format!("{name}.damaged-{number}")
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
