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

use super::{
    Blocking, Disk,
    disk::{SET_ASIDE_LIMIT, SetAsideTooOften, aside},
};

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

    fn set_aside(&self, names: &[&str]) -> io::Result<()> {
        let number = self.free_number(names)?;
        for name in names {
            match std::fs::rename(self.folder.join(name), self.folder.join(aside(name, number))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.sync()?,
            }
        }
        Ok(())
    }

    fn replace(&self, name: &str, new: &str) -> io::Result<()> {
        let number = self.free_number(&[name])?;
        // A second name first: a crash leaves the one file or the other in the place, and never none.
        std::fs::hard_link(self.folder.join(name), self.folder.join(aside(name, number)))?;
        self.sync()?;
        std::fs::rename(self.folder.join(new), self.folder.join(name))?;
        self.sync()
    }
}

impl FileDisk {
    /// The first number under which none of these files was set aside.
    fn free_number(&self, names: &[&str]) -> io::Result<u32> {
        let is_free = |number: &u32| !names.iter().any(|name| self.folder.join(aside(name, *number)).exists());
        (1..=SET_ASIDE_LIMIT).find(is_free).ok_or_else(|| io::Error::other(SetAsideTooOften))
    }

    /// A name is on the disk when its folder is.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_set_aside_is_kept_under_another_name_and_not_for_ever_more() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(folder.path()).unwrap();
        for turn in 1_u8..=3 {
            disk.open("store").unwrap().set_len(turn.into()).unwrap();
            disk.set_aside(&["store", "never-written"]).unwrap();
            assert_eq!(disk.open("store").unwrap().len().unwrap(), 0, "the next one is empty");
        }
        disk.open("store").unwrap().set_len(9).unwrap();
        let refused = disk.set_aside(&["store"]).unwrap_err();
        assert!(refused.to_string().starts_with("files were set aside 3 times already"), "{refused}");
        let lengths =
            (1..=3).map(|number| std::fs::metadata(folder.path().join(aside("store", number))).unwrap().len());
        assert_eq!(lengths.collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(disk.open("store").unwrap().len().unwrap(), 9, "what is refused changes nothing");
    }

    #[test]
    fn what_is_replaced_is_kept_under_another_name_and_not_for_ever_more() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(folder.path()).unwrap();
        let length = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
        disk.open("store").unwrap().set_len(1).unwrap();
        for turn in 2_u8..=4 {
            disk.open("new").unwrap().set_len(turn.into()).unwrap();
            disk.replace("store", "new").unwrap();
            assert_eq!(length("store"), u64::from(turn));
            assert!(!folder.path().join("new").exists());
        }
        disk.open("new").unwrap().set_len(5).unwrap();
        let refused = disk.replace("store", "new").unwrap_err();
        assert!(refused.to_string().starts_with("files were set aside 3 times already"), "{refused}");
        assert_eq!((1..=3).map(|number| length(&aside("store", number))).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(length("store"), 4, "what is refused changes nothing");
    }
}
