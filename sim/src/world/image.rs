//! One file of a simulated disk: its bytes, and the writes that no sync has made durable yet.

use std::io;

use bytes::Bytes;
use rand::RngExt;

use crate::random::Stream;

/// The unit a disk writes whole: a write of several sectors may be cut between them.
const SECTOR: usize = 512;

/// The unit in which a file takes room on the disk.
const BLOCK: usize = 4096;

/// Something done to the file since its last sync, with what undoes it.
#[derive(Debug)]
enum Change {
    Write { offset: usize, new: Bytes, old: Vec<u8>, old_len: usize },
    Resize { len: usize, old_len: usize, cut: Vec<u8> },
}

impl Change {
    /// Takes it back from what it was done to, last of all that was done since.
    fn undo(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, old, old_len, .. } => {
                bytes.truncate(*old_len);
                bytes[(*offset).min(*old_len)..][..old.len()].copy_from_slice(old);
            }
            Self::Resize { old_len, cut, .. } => {
                bytes.truncate(*old_len);
                bytes.extend_from_slice(cut);
                bytes.resize(*old_len, 0);
            }
        }
    }
}

/// A file: what its readers see, and the undo log back to what is durable.
#[derive(Debug, Default)]
pub(super) struct Image {
    bytes: Vec<u8>,
    unsynced: Vec<Change>,
    /// Which blocks of the file have room on the disk: those that were ever written.
    blocks: Vec<bool>,
}

impl Image {
    /// A file of which all is durable.
    pub(super) fn holding(content: &[u8]) -> Self {
        let blocks = vec![true; content.len().div_ceil(BLOCK)];
        Self { bytes: content.to_vec(), unsynced: Vec::new(), blocks }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let found = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(out.len())?;
            self.bytes.get(start..end)
        });
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(data.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let old_len = self.bytes.len();
        let old = self.bytes.get(start.min(old_len)..end.min(old_len)).unwrap_or_default().to_vec();
        if end > old_len {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(data);
        let blocks = blocks(start, end);
        if self.blocks.len() < blocks.end {
            self.blocks.resize(blocks.end, false);
        }
        self.blocks[blocks].fill(true);
        self.unsynced.push(Change::Write { offset: start, new: Bytes::copy_from_slice(data), old, old_len });
        Ok(())
    }

    /// Whether a write there would take room on the disk that the file does not have yet.
    pub(super) fn needs_room(&self, offset: u64, length: usize) -> bool {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut blocks = blocks(start, start.saturating_add(length));
        blocks.any(|block| !self.blocks.get(block).is_some_and(|has_room| *has_room))
    }

    pub(super) fn resize(&mut self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let old_len = self.bytes.len();
        let cut = self.bytes.get(len..).unwrap_or_default().to_vec();
        self.bytes.resize(len, 0);
        self.blocks.truncate(len.div_ceil(BLOCK));
        self.unsynced.push(Change::Resize { len, old_len, cut });
        Ok(())
    }

    /// Makes everything durable and gives the writes that just became so, in write order.
    pub(super) fn sync(&mut self) -> Vec<(u64, Bytes)> {
        let writes = self.unsynced.drain(..).filter_map(|change| match change {
            Change::Write { offset, new, .. } => Some((offset as u64, new)),
            Change::Resize { .. } => None,
        });
        writes.collect()
    }

    /// Power was lost, or a sync failed: each un-synced resize and each sector of each un-synced write reached the disk, or
    /// did not and is gone.
    ///
    /// A sector beyond the end of the file, because the resize that made room for it was lost, is lost too.
    pub(super) fn lose_some(&mut self, random: &mut Stream) {
        let changes = std::mem::take(&mut self.unsynced);
        for change in changes.iter().rev() {
            change.undo(&mut self.bytes);
        }
        // Drawn per crash, so that "nearly all survived" and "nearly nothing did" are as likely as the middle.
        let kept: f64 = random.random_range(0.0..=1.0);
        for change in &changes {
            match change {
                Change::Resize { len, .. } => {
                    if random.random_bool(kept) {
                        self.bytes.resize(*len, 0);
                    }
                }
                Change::Write { offset, new, old_len, .. } => self.redo_some(*offset, new, *old_len, kept, random),
            }
        }
    }

    /// What a loss of power now would leave at the least: the file as it was last synced.
    pub(super) fn durable(&self) -> Bytes {
        let mut bytes = self.bytes.clone();
        self.unsynced.iter().rev().for_each(|change| change.undo(&mut bytes));
        bytes.into()
    }

    /// The whole file.
    pub(super) fn content(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    fn redo_some(&mut self, offset: usize, new: &[u8], old_len: usize, kept: f64, random: &mut Stream) {
        let grew = offset + new.len() > old_len;
        let mut done = 0;
        while done < new.len() {
            let at = offset + done;
            let length = (SECTOR - at % SECTOR).min(new.len() - done);
            if random.random_bool(kept) {
                if grew && self.bytes.len() < at + length {
                    self.bytes.resize(at + length, 0);
                }
                let room = self.bytes.len().saturating_sub(at).min(length);
                if room > 0 {
                    self.bytes[at..at + room].copy_from_slice(&new[done..done + room]);
                }
            }
            done += length;
        }
    }
}

/// The blocks in which bytes lie.
fn blocks(start: usize, end: usize) -> std::ops::Range<usize> {
    start / BLOCK..end.div_ceil(BLOCK)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::random::Streams;

    fn whole(image: &Image) -> Vec<u8> {
        let mut bytes = vec![0; image.len()];
        image.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_crash_tears_unsynced_writes_at_sectors_and_never_touches_synced_ones() {
        let (mut torn, mut old, mut new) = (0, 0, 0);
        for seed in 0..100 {
            let mut random = Streams::new(seed).stream("crash");
            let mut image = Image::default();
            image.resize(2048).unwrap();
            image.write(0, &[1; 2048]).unwrap();
            assert_eq!(image.sync().len(), 1);
            image.write(100, &[2; 1500]).unwrap();
            image.lose_some(&mut random);
            let bytes = whole(&image);
            assert!(bytes[..100].iter().chain(&bytes[1600..]).all(|byte| *byte == 1));
            let sectors = [&bytes[100..512], &bytes[512..1024], &bytes[1024..1536], &bytes[1536..1600]];
            assert!(sectors.iter().all(|sector| sector.iter().all(|byte| *byte == sector[0])));
            match sectors.iter().filter(|sector| sector[0] == 2).count() {
                0 => old += 1,
                4 => new += 1,
                _ => torn += 1,
            }
        }
        assert!(torn > 10 && old > 5 && new > 5, "torn {torn}, old {old}, new {new}");
    }

    #[test]
    fn an_unsynced_resize_survives_or_is_undone_with_its_bytes() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let mut image = Image::default();
            image.write(0, &[7; 1000]).unwrap();
            image.sync();
            image.resize(400).unwrap();
            image.lose_some(&mut Streams::new(seed).stream("crash"));
            assert!(whole(&image).iter().all(|byte| *byte == 7));
            lengths.insert(image.len());
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [400, 1000]);
    }

    #[test]
    fn reading_past_the_end_is_an_error() {
        let image = Image::default();
        assert_eq!(image.read(0, &mut [0; 1]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
