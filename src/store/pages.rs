//! redb's file page by page, past those that are damaged.
//!
//! redb reads a file that is sound, or not at all. Its format is simple, though (`docs/design.md` of redb, version 3): two
//! commit slots, the last commit and the one before, each with the root of a B+tree that leads to the tables' own; every
//! page is known to its parent by an XXH3 checksum of 128 bits. They tell more than that a page is damaged: if one bit of it
//! has turned over, they tell which. Another page that does not match costs the keys that its parent says are below it; what
//! reads like one may be from another time, for a page that was torn holds in part what was there before.

use std::{cell::RefCell, collections::BTreeSet, io, ops::Range};

use redb::StorageBackend;
use xxhash_rust::xxh3::xxh3_128;

use crate::sometimes;

/// Smallest page, and what comes before the first region.
const PAGE: u64 = 4096;
const FORMAT: u8 = 3;
/// Where the commit slots are, and how long.
const SLOTS: [usize; 2] = [64, 192];
const SLOT: usize = 128;
/// Largest page: 4 KiB to the power of this; larger ones do not fit into a region.
const ORDER_MAX: u32 = 20;
/// Of a region, as redb creates it unless it is told otherwise: the header says so too, but without a checksum.
const REGION: u64 = 4 << 30;
/// No tree is as deep: a page that is its own child ends here.
const DEPTH_MAX: usize = 32;
/// The bit that has turned over is looked for in pages of so many bytes at the most: it takes a checksum of the page for each.
const CORRECTED: usize = 32 << 10;

/// A file of which pages may be damaged.
pub(super) struct Pages<'f> {
    file: &'f dyn StorageBackend,
    length: u64,
    commits: Vec<Tree>,
    /// Pages that cannot be put right, by their numbers: it takes some 20 ms to see that for one of 4 KiB.
    hopeless: RefCell<BTreeSet<u64>>,
}

/// Where a tree begins, and what its first page reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tree {
    page: u64,
    checksum: u128,
}

/// How long keys and values of a table are, where all are of one length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) key: Option<usize>,
    pub(super) value: Option<usize>,
}

/// Of the tables of tables.
const TABLES: Widths = Widths { key: None, value: None };

/// Keys that cannot be read: those after the one, if any, up to the other, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) after: Option<Vec<u8>>,
    pub(super) until: Option<Vec<u8>>,
}

impl Lost {
    /// Everything there is.
    pub(super) const ALL: Self = Self { after: None, until: None };

    /// Whether a key would be there, for keys whose order is that of their bytes.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        let (after, until) = (self.after.as_deref(), self.until.as_deref());
        after.is_none_or(|after| after < key) && until.is_none_or(|until| key <= until)
    }
}

/// What is met on the way through a table.
pub(super) enum Met<'p> {
    /// A key and its value.
    Pair(&'p [u8], &'p [u8]),
    /// What reads as a key and its value in a damaged page: for those who can tell whether it is.
    Doubtful(&'p [u8], &'p [u8]),
    /// Keys that cannot be read, with the doubtful ones.
    Lost(Lost),
}

impl<'f> Pages<'f> {
    /// A file that redb has written.
    ///
    /// # Errors
    /// The disk does not read it.
    pub(super) fn of(file: &'f dyn StorageBackend) -> io::Result<Self> {
        let length = file.len()?;
        let mut header = vec![0; usize::try_from(length.min(PAGE)).unwrap_or(0)];
        file.read(0, &mut header)?;
        let mut commits = Vec::new();
        for mut slot in SLOTS.iter().filter_map(|at| Some(header.get(*at..at + SLOT)?.to_vec())) {
            put_right(&mut slot, |slot| commit(slot).is_some());
            commits.extend(commit(&slot));
        }
        commits.sort_by_key(|(transaction, _)| std::cmp::Reverse(*transaction));
        let commits = commits.into_iter().map(|(_, tables)| tables).collect();
        Ok(Self { file, length, commits, hopeless: RefCell::default() })
    }

    /// The commits that the file knows of, the last one first: its table of tables each.
    pub(super) fn commits(&self) -> &[Tree] {
        &self.commits
    }

    /// Where a table of a commit begins: `None` if that cannot be read, `Some(None)` if the table is empty or missing.
    pub(super) fn table(&self, commit: Tree, name: &str) -> io::Result<Option<Option<Tree>>> {
        let mut found = Some(None);
        self.walk(Some(commit), TABLES, &mut |met| {
            match met {
                Met::Pair(key, value) if key == name.as_bytes() => found = root(value),
                Met::Lost(lost) if lost.has(name.as_bytes()) => found = None,
                Met::Pair(..) | Met::Doubtful(..) | Met::Lost(_) => {}
            }
            Ok::<_, io::Error>(())
        })?;
        Ok(found)
    }

    /// Goes through a table from its first key to its last.
    pub(super) fn walk<E: From<io::Error>>(
        &self,
        tree: Option<Tree>,
        widths: Widths,
        meet: &mut impl FnMut(Met<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        tree.map_or(Ok(()), |tree| self.descend((tree, 0), widths, Lost::ALL, meet))
    }

    fn descend<E: From<io::Error>>(
        &self,
        (tree, depth): (Tree, usize),
        widths: Widths,
        keys: Lost,
        meet: &mut impl FnMut(Met<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(mut bytes) = self.read(tree.page)?.filter(|_| depth < DEPTH_MAX) else {
            return meet(Met::Lost(keys));
        };
        let is_sound = |bytes: &[u8]| Page::read(bytes, widths).is_some_and(|page| page.is_sound(tree.checksum));
        let may_hope = bytes.len() <= CORRECTED && !self.hopeless.borrow().contains(&tree.page);
        let is_sound = if may_hope { put_right(&mut bytes, is_sound) } else { is_sound(&bytes) };
        if !is_sound {
            self.hopeless.borrow_mut().insert(tree.page);
        }
        match Page::read(&bytes, widths) {
            Some(Page::Leaf(leaf)) if is_sound => leaf.pairs().try_for_each(|(key, value)| meet(Met::Pair(key, value))),
            Some(Page::Branch(branch)) if is_sound => {
                let mut children = branch.children(keys);
                children.try_for_each(|(child, keys)| self.descend((child, depth + 1), widths, keys, meet))
            }
            Some(Page::Leaf(leaf)) => {
                leaf.pairs().try_for_each(|(key, value)| meet(Met::Doubtful(key, value)))?;
                meet(Met::Lost(keys))
            }
            _ => meet(Met::Lost(keys)),
        }
    }

    /// A page's bytes; `None` if the file does not have it.
    fn read(&self, number: u64) -> io::Result<Option<Vec<u8>>> {
        let order = u32::try_from(number >> 59).unwrap_or(u32::MAX);
        if order > ORDER_MAX {
            return Ok(None);
        }
        let (index, region) = (number & (0xF_FFFF >> order), number >> 20 & 0xF_FFFF);
        let length = PAGE << order;
        let begin = PAGE + region * REGION + index * length;
        if begin + length > self.length {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read(begin, &mut bytes)?;
        Ok(Some(bytes))
    }
}

/// Whether bytes are sound, or would be if one bit had not turned over, which is put right.
fn put_right(bytes: &mut [u8], is_sound: impl Fn(&[u8]) -> bool) -> bool {
    if is_sound(bytes) {
        return true;
    }
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if is_sound(bytes) {
            return sometimes!("bit-put-right", true);
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    false
}

/// The number and the table of tables of the commit in a slot, if it is sound and has one.
fn commit(slot: &[u8]) -> Option<(u64, Tree)> {
    let sum = u128::from_le_bytes(slot.get(112..128)?.try_into().ok()?);
    let is_sound = slot.first() == Some(&FORMAT) && xxh3_128(&slot[..112]) == sum;
    let has_tables = slot.get(1).is_some_and(|there| *there != 0);
    if !is_sound || !has_tables {
        return None;
    }
    Some((long(slot, 104)?, tree(slot, 8)?))
}

/// The root in a table's definition: type, length, whether there is one, itself. `Some(None)` is an empty table.
fn root(definition: &[u8]) -> Option<Option<Tree>> {
    match definition.get(9)? {
        0 => Some(None),
        _ => Some(Some(tree(definition, 10)?)),
    }
}

fn tree(bytes: &[u8], at: usize) -> Option<Tree> {
    let checksum = u128::from_le_bytes(bytes.get(at + 8..at + 24)?.try_into().ok()?);
    Some(Tree { page: long(bytes, at)?, checksum })
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn size(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

/// A page, sound or not.
enum Page<'p> {
    Leaf(Leaf<'p>),
    Branch(Branch<'p>),
}

impl<'p> Page<'p> {
    fn read(bytes: &'p [u8], widths: Widths) -> Option<Self> {
        let count = usize::from(u16::from_le_bytes(bytes.get(2..4)?.try_into().ok()?));
        match (bytes.first()?, count) {
            (_, 0) => None,
            (1, _) => Some(Self::Leaf(Leaf { bytes, widths, count })),
            (2, _) => Some(Self::Branch(Branch { bytes, width: widths.key, count })),
            _ => None,
        }
    }

    /// Whether it reads as its parent says; what comes behind its end is anything.
    fn is_sound(&self, checksum: u128) -> bool {
        let (bytes, end) = match self {
            Self::Leaf(leaf) => (leaf.bytes, leaf.value(leaf.count - 1)),
            Self::Branch(branch) => (branch.bytes, branch.key_place(branch.count - 1)),
        };
        let used = end.and_then(|end| bytes.get(..end.end));
        used.is_some_and(|used| xxh3_128(used) == checksum)
    }
}

/// Type, padding, count (2 bytes), ends of keys, ends of values, keys, values; no ends where all have one length.
struct Leaf<'p> {
    bytes: &'p [u8],
    widths: Widths,
    count: usize,
}

impl<'p> Leaf<'p> {
    fn pairs(&self) -> impl Iterator<Item = (&'p [u8], &'p [u8])> {
        (0..self.count).filter_map(|number| self.pair(number))
    }

    fn pair(&self, number: usize) -> Option<(&'p [u8], &'p [u8])> {
        Some((self.bytes.get(self.key(number)?)?, self.bytes.get(self.value(number)?)?))
    }

    const fn ends(&self, width: Option<usize>) -> usize {
        if width.is_some() { 0 } else { 4 * self.count }
    }

    fn key(&self, number: usize) -> Option<Range<usize>> {
        let begin = 4 + self.ends(self.widths.key) + self.ends(self.widths.value);
        part(self.bytes, number, self.widths.key, (4, begin))
    }

    fn value(&self, number: usize) -> Option<Range<usize>> {
        let begin = self.key(self.count.checked_sub(1)?)?.end;
        part(self.bytes, number, self.widths.value, (4 + self.ends(self.widths.key), begin))
    }
}

/// Type, padding, count (2 bytes), padding, checksums of children, their pages, ends of keys, keys.
struct Branch<'p> {
    bytes: &'p [u8],
    width: Option<usize>,
    /// Keys; there is one child more.
    count: usize,
}

impl<'p> Branch<'p> {
    /// Its children, with the keys that each may have of those that it has.
    fn children(&self, keys: Lost) -> impl Iterator<Item = (Tree, Lost)> {
        let mut after = keys.after;
        (0..=self.count).map_while(move |number| {
            let until = self.key(number).map(<[u8]>::to_vec).or_else(|| keys.until.clone());
            let before = std::mem::replace(&mut after, until.clone());
            Some((self.child(number)?, Lost { after: before, until }))
        })
    }

    fn child(&self, number: usize) -> Option<Tree> {
        let sum = 8 + 16 * number;
        let checksum = u128::from_le_bytes(self.bytes.get(sum..sum + 16)?.try_into().ok()?);
        Some(Tree { page: long(self.bytes, 8 + 16 * (self.count + 1) + 8 * number)?, checksum })
    }

    /// What the keys of this child do not go beyond; none for the last one.
    fn key(&self, number: usize) -> Option<&'p [u8]> {
        let place = if number < self.count { self.key_place(number)? } else { return None };
        self.bytes.get(place)
    }

    fn key_place(&self, number: usize) -> Option<Range<usize>> {
        let ends = 8 + 24 * (self.count + 1);
        let begin = if self.width.is_some() { ends } else { ends + 4 * self.count };
        part(self.bytes, number, self.width, (ends, begin))
    }
}

/// Where one of the parts lies that follow each other from `begin` on: all of one length, or their ends are listed.
fn part(bytes: &[u8], number: usize, width: Option<usize>, (ends, begin): (usize, usize)) -> Option<Range<usize>> {
    let place = match (width, number.checked_sub(1)) {
        (Some(width), _) => begin + width * number..begin + width * (number + 1),
        (None, None) => begin..size(bytes, ends)?,
        (None, Some(before)) => size(bytes, ends + 4 * before)?..size(bytes, ends + 4 * number)?,
    };
    (place.start <= place.end).then_some(place)
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
