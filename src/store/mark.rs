//! How far the store had come, noted beside its file after each commit.
//!
//! redb takes the commit before the last for the newest when that one is damaged, as after a crash that kept part of it.
//! Whether it had been whole, and somebody was told, only this tells: a store that is behind its mark has lost something. So
//! has one whose file was put back from an older copy. The mark has a sync of its own after the commit's, before anybody is
//! told: in one sync the two could be torn apart. It is never ahead of the store.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use redb::StorageBackend;

use crate::sabotage;

/// The mark's file on its disk.
pub(super) const FILE: &str = "store.mark";
/// Index, changes, checksum.
const LENGTH: usize = 20;

/// How far a store has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Index of the last entry of its log.
    pub last: u64,
    /// How often something was changed that is in no entry.
    pub changes: u64,
}

impl Progress {
    /// Whether nothing is missing of what was there when it had come as far as `mark`.
    pub(super) const fn reaches(self, mark: Self) -> bool {
        self.last >= mark.last && self.changes >= mark.changes
    }

    fn encode(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&self.last.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.changes.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// `None` for what is no mark, or a damaged one.
    fn decode(bytes: [u8; LENGTH]) -> Option<Self> {
        let number = |at: usize| bytes[at..at + 8].iter().fold(0, |so_far, byte| so_far << 8 | u64::from(*byte));
        let progress = Self { last: number(0), changes: number(8) };
        (progress.encode() == bytes).then_some(progress)
    }
}

/// The mark is none.
#[derive(Debug, thiserror::Error)]
#[error("it is damaged; if it is removed, nothing tells whether the store's last commit is there")]
struct DamagedMark;

/// The mark on its disk.
#[derive(Debug)]
pub(super) struct Mark {
    file: Box<dyn StorageBackend>,
    progress: Mutex<Progress>,
}

impl Mark {
    /// Opens the mark, and tells how far the store had come; not at all if there is none yet.
    ///
    /// # Errors
    /// It cannot be read, or is damaged ([`DamagedMark`]): then nothing tells whether the store has lost something.
    pub(super) fn open(file: Box<dyn StorageBackend>) -> io::Result<(Self, Progress)> {
        let mut bytes = [0; LENGTH];
        if file.len()? < LENGTH as u64 {
            file.set_len(LENGTH as u64)?;
        } else {
            file.read(0, &mut bytes)?;
        }
        let noted = match Progress::decode(bytes) {
            Some(noted) => noted,
            None if bytes == [0; LENGTH] => Progress::default(), // as a file is that was never written
            None => return Err(io::Error::new(io::ErrorKind::InvalidData, DamagedMark)),
        };
        Ok((Self { file, progress: Mutex::new(noted) }, noted))
    }

    /// The store has come so far, and whoever loses any of it will know.
    pub(super) fn note(&self, progress: Progress) -> io::Result<()> {
        self.file.write(0, &progress.encode())?;
        if !sabotage!("mark-unsynced") {
            self.file.sync_data()?;
        }
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
        Ok(())
    }

    /// The last entry of the log is this one now; or is about to be, where entries leave its end: no later mark may survive that.
    pub(super) fn note_last(&self, last: u64) -> io::Result<()> {
        self.note(Progress { last, ..self.progress() })
    }

    pub(super) fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::seams::{Disk, memory_host::MemoryDisk};

    const fn at(last: u64, changes: u64) -> Progress {
        Progress { last, changes }
    }

    #[test]
    fn whoever_lacks_an_entry_or_a_change_is_behind() {
        assert!(at(9, 1).reaches(at(9, 0)) && at(9, 1).reaches(at(8, 1)));
        assert!(!at(8, 1).reaches(at(9, 1)) && !at(9, 0).reaches(at(8, 1)));
    }

    #[test]
    fn what_was_noted_is_found_and_a_damaged_mark_is_not_believed() {
        let disk = MemoryDisk::default();
        let open = || Mark::open(disk.open(FILE).unwrap()).unwrap();
        let (mark, noted) = open();
        assert_eq!(noted, Progress::default());
        mark.note(at(70, 2)).unwrap();
        mark.note_last(71).unwrap();
        assert_eq!(open().1, at(71, 2));
        mark.note_last(9).unwrap();
        assert_eq!(open().1, at(9, 2));
        for bit in 0..8 {
            disk.flip(FILE, 15, 1 << bit);
            let error = Mark::open(disk.open(FILE).unwrap()).unwrap_err();
            assert!(error.to_string().starts_with("it is damaged"), "{error}");
            disk.flip(FILE, 15, 1 << bit);
        }
        assert_eq!(open().1, at(9, 2));
    }
}
