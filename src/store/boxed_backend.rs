//! A backend behind a box: redb wants a sized one, the disk seam hands out boxes.

use std::{io, ops::Bound, sync::Arc};

use redb::{BackendError, StorageBackend};
use tokio::sync::Notify;

/// Passes everything on, the file lock included: two processes never share a store.
#[derive(Debug)]
pub(super) struct BoxedBackend {
    file: Box<dyn StorageBackend>,
    /// Told of every failure: redb does nothing any more through a handle that has failed once, not even reads.
    failed: Arc<Notify>,
}

impl BoxedBackend {
    pub(super) fn new(file: Box<dyn StorageBackend>, failed: Arc<Notify>) -> Self {
        Self { file, failed }
    }

    fn watched<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed.notify_one();
        }
        result
    }
}

impl StorageBackend for BoxedBackend {
    fn len(&self) -> io::Result<u64> {
        self.watched(self.file.len())
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.watched(self.file.read(offset, out))
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.watched(self.file.set_len(len))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.watched(self.file.sync_data())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.watched(self.file.write(offset, data))
    }
    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }
    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }
    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}
