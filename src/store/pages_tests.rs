//! Pages of files that redb wrote, whole and with bits turned over.

#![allow(clippy::unwrap_used, reason = "tests")]
use std::collections::BTreeMap;

use proptest::prelude::*;
use redb::{Database, TableDefinition};

use super::*;
use crate::seams::{Disk, memory_host::MemoryDisk};

const BYTES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("bytes");
const NUMBERED: TableDefinition<u64, &[u8]> = TableDefinition::new("numbered");
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A file with these rows in each of three tables, written and partly removed again in some commits.
fn written(rows: &Rows, removed: &[usize]) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let database = Database::builder().create_with_backend(Boxed(disk.open("f").unwrap())).unwrap();
    for part in rows.iter().collect::<Vec<_>>().chunks(20) {
        let transaction = database.begin_write().unwrap();
        for (key, value) in part {
            transaction.open_table(BYTES).unwrap().insert(&key[..], &value[..]).unwrap();
            let number = number_of(key);
            transaction.open_table(NUMBERED).unwrap().insert(number, &value[..]).unwrap();
            transaction.open_table(NUMBERS).unwrap().insert(&*format!("n{number}"), number).unwrap();
        }
        transaction.commit().unwrap();
    }
    let transaction = database.begin_write().unwrap();
    transaction.open_table(BYTES).unwrap();
    for at in removed.iter().filter(|_| !rows.is_empty()) {
        let key = rows.keys().nth(at % rows.len()).unwrap();
        transaction.open_table(BYTES).unwrap().remove(&key[..]).unwrap();
    }
    transaction.commit().unwrap();
    disk
}

fn number_of(key: &[u8]) -> u64 {
    key.iter().fold(7, |number, byte| number.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

#[derive(Debug)]
struct Boxed(Box<dyn StorageBackend>);

impl StorageBackend for Boxed {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

fn found(pages: &Pages<'_>, name: &str, widths: Widths) -> Option<(Rows, Vec<Lost>)> {
    let (mut rows, mut lost) = (Rows::new(), Vec::new());
    let tree = pages.table(*pages.commits().first()?, name).unwrap()?;
    pages
        .walk(tree, widths, &mut |met| {
            match met {
                Met::Pair(key, value) => drop(rows.insert(key.to_vec(), value.to_vec())),
                Met::Doubtful(..) => {}
                Met::Lost(keys) => lost.push(keys),
            }
            Ok::<_, io::Error>(())
        })
        .unwrap();
    Some((rows, lost))
}

/// Whatever bit has turned over is put right; of two in one page nobody knows.
#[test]
fn one_bit_of_a_page_is_put_right() {
    let rows: Rows = (0..300_u32).map(|n| (n.to_be_bytes().repeat(5), vec![7; 90])).collect();
    let disk = written(&rows, &[]);
    let blocks = disk.length("f") / 4096;
    let (mut whole, mut parts) = (0, 0);
    for block in 1..blocks {
        for at in [0, 3, 30, 700, 2000].map(|at| block * 4096 + at) {
            disk.flip("f", at, 8);
            let read = |disk: &MemoryDisk| {
                let file = disk.open("f").unwrap();
                found(&Pages::of(&*file).unwrap(), "bytes", TABLES)
            };
            assert_eq!(read(&disk), Some((rows.clone(), Vec::new())), "byte {at}");
            disk.flip("f", at, 1);
            match read(&disk) {
                Some((found, lost)) if lost.is_empty() => {
                    assert_eq!(found, rows);
                    whole += 1;
                }
                Some((found, _)) => {
                    assert!(found.len() < rows.len());
                    parts += 1;
                }
                None => parts += 1,
            }
            disk.flip("f", at, 9);
        }
    }
    assert!(whole > 0 && parts > 0, "{whole} and {parts}: no page in use was damaged");
}

fn rows() -> impl Strategy<Value = Rows> {
    let value = prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..300),
        1 => prop::collection::vec(any::<u8>(), 0..20_000),
    ];
    prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..40), value, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sound_file_reads_as_redb_reads_it(rows in rows(), removed in prop::collection::vec(any::<usize>(), 0..60)) {
        let disk = written(&rows, &removed);
        let file = disk.open("f").unwrap();
        let pages = Pages::of(&*file).unwrap();
        let mut kept = rows.clone();
        for at in removed.iter().filter(|_| !rows.is_empty()) {
            kept.remove(rows.keys().nth(at % rows.len()).unwrap());
        }
        prop_assert_eq!(found(&pages, "bytes", TABLES), Some((kept, Vec::new())));
        let numbered: Rows =
            rows.iter().map(|(key, value)| (number_of(key).to_le_bytes().to_vec(), value.clone())).collect();
        prop_assert_eq!(found(&pages, "numbered", Widths { key: Some(8), value: None }), Some((numbered, Vec::new())));
        let numbers: Rows = rows
            .keys()
            .map(|key| (format!("n{}", number_of(key)).into_bytes(), number_of(key).to_le_bytes().to_vec()))
            .collect();
        prop_assert_eq!(found(&pages, "numbers", Widths { key: None, value: Some(8) }), Some((numbers, Vec::new())));
        prop_assert_eq!(pages.table(pages.commits()[0], "none").unwrap(), Some(None));
    }

    /// Whatever byte is damaged, nothing that was not written is found, and all that is not found is among the lost.
    #[test]
    fn of_a_damaged_file_the_rest_is_read(rows in rows(), at in any::<prop::sample::Index>(), bits in 1_u8..) {
        let disk = written(&rows, &[]);
        // Of the first page one byte can lead to the commit before.
        let at = 4096 + at.index(disk.length("f") - 4096);
        disk.flip("f", at, bits);
        let file = disk.open("f").unwrap();
        let pages = Pages::of(&*file).unwrap();
        // What leads to the table may be damaged itself.
        let Some((found, lost)) = found(&pages, "bytes", TABLES) else { return Ok(()) };
        for (key, value) in &found {
            prop_assert_eq!(Some(value), rows.get(key));
        }
        let mut missing = rows.keys().filter(|key| !found.contains_key(*key));
        prop_assert!(missing.all(|key| lost.iter().any(|lost| lost.has(key))));
    }

    /// A file of anybody's making ends the reading, and not the reader.
    #[test]
    fn whatever_is_in_the_file_s_place_is_read_without_harm(
        rows in rows(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut content = written(&rows, &[]).content("f");
        let length = content.len();
        changes.iter().for_each(|(at, byte)| content[at.index(length.min(400))] = *byte);
        content.truncate(cut.index(length + 1));
        let disk = MemoryDisk::default();
        disk.put("f", content);
        let file = disk.open("f").unwrap();
        let pages = Pages::of(&*file).unwrap();
        for name in ["bytes", "numbered", "numbers"] {
            found(&pages, name, Widths { key: None, value: None });
            found(&pages, name, Widths { key: Some(8), value: Some(8) });
        }
    }
}
