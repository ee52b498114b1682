//! The store's file as redb sees it: what is read is what was written, and a damaged file stays as it is.
//!
//! redb keeps a checksum of each page, and looks at it when it opens a file ([`Builder::set_check_integrity_on_open`]
//! (redb::Builder::set_check_integrity_on_open)), not when it reads a page later. So the blocks that it has read or written
//! since then have a checksum here, in memory, and a block that has changed behind its back is an error instead of an answer.
//!
//! Opening may write: redb mends what a crash has left, and takes the commit before the last for the newest if that one is
//! damaged. Until somebody has looked at what was found ([`accept`](CheckedFile::accept)) nothing of it reaches the file.

use std::{
    io,
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{BackendError, StorageBackend};
use tokio::sync::Notify;

use crate::sometimes;

/// What one checksum covers: redb's smallest page.
const BLOCK: usize = 4096;

/// A block is not what was written there, or read before.
#[derive(Debug, thiserror::Error)]
#[error("block {block} of the store's file ({BLOCK} bytes from byte {} on) has changed: checksum {found:08x}, expected {expected:08x}", block * BLOCK as u64)]
pub(super) struct DamagedBlock {
    block: u64,
    found: u32,
    expected: u32,
}

/// A file with checksums; clones are the same one. The file lock is passed on: two processes never share a store.
#[derive(Debug, Clone)]
pub(super) struct CheckedFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Box<dyn StorageBackend>,
    /// Told of every failure: redb does nothing any more through a handle that has failed once, not even reads.
    failed: Arc<Notify>,
    sums: Mutex<Sums>,
    is_accepted: AtomicBool,
    /// What has been done to the file before.
    trial: Mutex<Trial>,
}

impl CheckedFile {
    pub(super) fn new(file: Box<dyn StorageBackend>, failed: Arc<Notify>) -> io::Result<Self> {
        let trial = Mutex::new(Trial { changes: Vec::new(), length: file.len()? });
        Ok(Self(Arc::new(Inner { file, failed, sums: Mutex::default(), is_accepted: AtomicBool::default(), trial })))
    }

    /// Does to the file what opening it has done so far, in the same order; from now on everything is done at once.
    pub(super) fn accept(&self) -> io::Result<()> {
        let Some(mut trial) = self.on_trial() else { return Ok(()) };
        for change in std::mem::take(&mut trial.changes) {
            match change {
                Change::Write(offset, data) => self.0.file.write(offset, &data)?,
                Change::Length(length) => self.0.file.set_len(length)?,
                Change::Sync => self.0.file.sync_data()?,
            }
        }
        self.0.is_accepted.store(true, Ordering::Release);
        Ok(())
    }

    /// What has been done so far to a file that is not accepted yet.
    fn on_trial(&self) -> Option<MutexGuard<'_, Trial>> {
        let is_accepted = self.0.is_accepted.load(Ordering::Acquire);
        (!is_accepted).then(|| self.0.trial.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.0.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.0.failed.notify_one();
        }
        result
    }

    fn read_checked(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.on_trial() {
            Some(trial) => trial.read(&*self.0.file, offset, out)?,
            None => self.0.file.read(offset, out)?,
        }
        let found = whole_blocks(offset, out);
        let mut sums = self.sums();
        for (block, found) in found {
            match sums.known(block) {
                Some(expected) if expected != found => {
                    let damaged = DamagedBlock { block, found, expected };
                    return sometimes!("block-changed", Err(io::Error::new(io::ErrorKind::InvalidData, damaged)));
                }
                _ => sums.know(block, found),
            }
        }
        Ok(())
    }
}

/// Numbers and checksums of the blocks that lie in these bytes from end to end.
fn whole_blocks(offset: u64, bytes: &[u8]) -> Vec<(u64, u32)> {
    let begin = usize::try_from(offset.next_multiple_of(BLOCK as u64) - offset).unwrap_or(usize::MAX);
    let blocks = bytes.get(begin..).unwrap_or_default().chunks_exact(BLOCK);
    (offset.div_ceil(BLOCK as u64)..).zip(blocks.map(crc32fast::hash)).collect()
}

/// Checksums by block, 0 where none is known: one in four billion blocks goes unchecked for that, and they take a
/// thousandth of the file.
#[derive(Debug, Default)]
struct Sums(Vec<u32>);

impl Sums {
    fn known(&self, block: u64) -> Option<u32> {
        let known = usize::try_from(block).ok().and_then(|block| self.0.get(block));
        known.copied().filter(|sum| *sum != 0)
    }

    fn know(&mut self, block: u64, sum: u32) {
        let Ok(block) = usize::try_from(block) else { return };
        if self.0.len() <= block {
            self.0.resize(block + 1, 0);
        }
        self.0[block] = sum;
    }

    /// Nothing is known any more of the blocks that these bytes lie in.
    fn forget(&mut self, offset: u64, length: usize) {
        let blocks = offset / BLOCK as u64..(offset + length as u64).div_ceil(BLOCK as u64);
        let known = blocks.end.min(self.0.len() as u64);
        (blocks.start..known).for_each(|block| self.know(block, 0));
    }

    /// The file has this length now; blocks that begin beyond it are gone.
    fn cut(&mut self, length: u64) {
        self.0.truncate(usize::try_from(length / BLOCK as u64).unwrap_or(usize::MAX));
    }
}

/// What was done to a file before it was accepted.
#[derive(Debug)]
struct Trial {
    changes: Vec<Change>,
    length: u64,
}

#[derive(Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
    Sync,
}

impl Trial {
    /// Reads the file as it would be with all changes.
    fn read(&self, file: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= self.length);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let there = usize::try_from(file.len()?.clamp(offset, end) - offset).unwrap_or(out.len());
        out.fill(0);
        if there > 0 {
            file.read(offset, &mut out[..there])?;
        }
        for change in &self.changes {
            match change {
                Change::Write(at, data) => overlay(offset, out, *at, data),
                Change::Length(length) => {
                    let kept = usize::try_from(length.clamp(&offset, &end) - offset).unwrap_or(out.len());
                    out[kept..].fill(0);
                }
                Change::Sync => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        self.length = self.length.max(offset + data.len() as u64);
        self.changes.push(Change::Write(offset, data.to_vec()));
    }
}

/// Puts the part of a write over a read that both are about.
fn overlay(offset: u64, out: &mut [u8], at: u64, data: &[u8]) {
    let end = offset + out.len() as u64;
    let (from, to) = (at.max(offset), (at + data.len() as u64).min(end));
    if from < to {
        let place = |position: u64, begin: u64| usize::try_from(position - begin).unwrap_or(usize::MAX);
        out[place(from, offset)..place(to, offset)].copy_from_slice(&data[place(from, at)..place(to, at)]);
    }
}

impl StorageBackend for CheckedFile {
    fn len(&self) -> io::Result<u64> {
        let length = self.on_trial().map(|trial| trial.length);
        length.map_or_else(|| self.watched(self.0.file.len()), Ok)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.watched(self.read_checked(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.sums().cut(len);
        match self.on_trial() {
            Some(mut trial) => {
                trial.length = len;
                trial.changes.push(Change::Length(len));
                Ok(())
            }
            None => self.watched(self.0.file.set_len(len)),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.on_trial() {
            Some(mut trial) => {
                trial.changes.push(Change::Sync);
                Ok(())
            }
            None => self.watched(self.0.file.sync_data()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let written = match self.on_trial() {
            Some(mut trial) => {
                trial.write(offset, data);
                Ok(())
            }
            None => self.watched(self.0.file.write(offset, data)),
        };
        let mut sums = self.sums();
        // Of what is written in part, or perhaps, nothing is known; redb does not read it again.
        sums.forget(offset, data.len());
        if written.is_ok() {
            whole_blocks(offset, data).into_iter().for_each(|(block, sum)| sums.know(block, sum));
        }
        written
    }

    fn close(&self) -> io::Result<()> {
        self.0.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_range(start, end)
    }
    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }
    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_range(start, end)
    }
    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::seams::{Disk, memory_host::MemoryDisk};

    fn whole(file: &dyn StorageBackend) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read(0, &mut bytes).unwrap();
        bytes
    }

    fn checked(disk: &MemoryDisk) -> CheckedFile {
        CheckedFile::new(disk.open("f").unwrap(), Arc::default()).unwrap()
    }

    #[test]
    fn a_block_that_changes_behind_the_store_s_back_is_an_error() {
        let disk = MemoryDisk::default();
        let file = checked(&disk);
        file.accept().unwrap();
        file.set_len(3 * 4096).unwrap();
        file.write(0, &[7; 3 * 4096]).unwrap();
        let mut out = [0; 2 * 4096];
        file.read(4096, &mut out).unwrap();
        disk.flip("f", 4096 + 5, 4);
        let error = file.read(4096, &mut out).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(
            error.to_string().starts_with("block 1 of the store's file (4096 bytes from byte 4096 on) has changed")
        );
        file.read(0, &mut out[..4096]).unwrap();
        file.write(4096, &[8; 4096]).unwrap();
        file.read(4096, &mut out).unwrap();
    }

    #[test]
    fn what_was_read_once_stays_as_it_was_read() {
        let disk = MemoryDisk::default();
        disk.open("f").unwrap().set_len(8192).unwrap();
        let file = checked(&disk);
        file.read(0, &mut [0; 8192]).unwrap();
        disk.flip("f", 8191, 1);
        file.read(0, &mut [0; 4096]).unwrap();
        assert!(file.read(0, &mut [0; 8192]).is_err());
    }

    #[derive(Debug, Clone)]
    enum Done {
        Write(u64, Vec<u8>),
        Length(u64),
    }

    fn done() -> impl Strategy<Value = Done> {
        let write = (0_u64..9000, prop::collection::vec(1_u8.., 1..3000)).prop_map(|(at, data)| Done::Write(at, data));
        prop_oneof![write, (1_u64..12_000).prop_map(Done::Length)]
    }

    fn play(done: &[Done], file: &dyn StorageBackend) {
        for change in done {
            match change {
                Done::Write(at, data) => {
                    let end = at + data.len() as u64;
                    file.set_len(file.len().unwrap().max(end)).unwrap();
                    file.write(*at, data).unwrap();
                }
                Done::Length(length) => file.set_len(*length).unwrap(),
            }
        }
    }

    proptest! {
        #[test]
        fn a_file_on_trial_reads_as_if_it_were_written_and_stays_as_it_is_until_it_is_accepted(
            before in prop::collection::vec(done(), 0..4),
            after in prop::collection::vec(done(), 0..6),
        ) {
            let (model, disk) = (InMemoryBackend::new(), MemoryDisk::default());
            play(&before, &model);
            play(&before, &*disk.open("f").unwrap());
            let untouched = whole(&model);
            let file = checked(&disk);
            play(&after, &model);
            play(&after, &file);
            prop_assert_eq!(whole(&file), whole(&model));
            prop_assert_eq!(whole(&*disk.open("f").unwrap()), untouched);
            file.accept().unwrap();
            prop_assert_eq!(whole(&*disk.open("f").unwrap()), whole(&model));
            prop_assert_eq!(whole(&file), whole(&model));
        }
    }
}
