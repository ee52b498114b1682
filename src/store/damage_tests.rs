//! A file that is not what was written: never used, never written over, and said.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::{error::Chained, samples::Moves, *};
use crate::{
    remoting::memory_transport::MemoryTransport,
    seams::memory_host::{MemoryDisk, StandingClock, host},
};

async fn open(disk: &MemoryDisk, config: StoreConfig) -> Result<Store, StoreError> {
    let host = host(disk, StandingClock::at(0), &MemoryTransport::default());
    Store::open(&host, config, Arc::new(|_| {})).await
}

/// How the store that wrote a file ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Closed,
    Killed,
}

/// The disk of a store with this many entries.
async fn filled(entries: i64, end: End) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let store = open(&disk, StoreConfig::default()).await.unwrap();
    for offset in 1..=entries {
        store.submit(Moves(offset)).await.unwrap();
    }
    match end {
        End::Closed => store.close().await,
        // A process that dies closes nothing, so its file is copied as it is.
        End::Killed => {
            let (file, mark) = (disk.content(FILE), disk.content(mark::FILE));
            store.close().await;
            disk.put(FILE, file);
            disk.put(mark::FILE, mark);
        }
    }
    disk
}

const ENTRIES: i64 = 60;

/// All that was stored is there, or the store says that it is damaged.
async fn is_whole(disk: &MemoryDisk) -> bool {
    let before = disk.content(FILE);
    match open(disk, StoreConfig::default()).await {
        Ok(store) => {
            let view = store.view().unwrap();
            assert_eq!(view.last_index().unwrap(), ENTRIES.unsigned_abs());
            assert_eq!(view.offset("g", "t", 0).unwrap(), Some(ENTRIES));
            assert!((1..=ENTRIES.unsigned_abs()).all(|index| view.raw_entry(index).unwrap().is_some()));
            drop(view);
            store.close().await;
            true
        }
        Err(error) => {
            // A flipped version number is told as such.
            assert!(matches!(error, StoreError::Damaged(_) | StoreError::Database(_)), "{error:?}");
            assert!(disk.content(FILE) == before, "the damaged file was written to");
            false
        }
    }
}

/// Wherever a bit turns over, nobody is told anything that was not stored: the store opens with all that it had, or not
/// at all. redb by itself takes a damaged last commit for one that never ended, and reads everything else as it is.
#[tokio::test]
async fn whatever_bit_turns_over_is_noticed_or_of_no_use() {
    for end in [End::Closed, End::Killed] {
        let disk = filled(ENTRIES, end).await;
        let (file, mark) = (disk.content(FILE), disk.content(mark::FILE));
        let used: Vec<usize> = (0..file.len()).filter(|at| file[*at] != 0).collect();
        let mut noticed = 0;
        for (turn, at) in used.iter().step_by(used.len() / 300).enumerate() {
            disk.put(FILE, file.clone());
            disk.put(mark::FILE, mark.clone());
            disk.flip(FILE, *at, 1 << (turn % 8));
            noticed += usize::from(!is_whole(&disk).await);
        }
        // Most of its pages are free, with what they held before.
        assert!(noticed > 30, "{noticed} of 300 noticed ({end:?})");
    }
}

/// What is damaged for a while, as by a bad cable, is used again afterwards, and nothing was lost by looking.
#[tokio::test]
async fn a_file_that_was_read_wrongly_opens_when_it_is_read_rightly() {
    for end in [End::Closed, End::Killed] {
        let disk = filled(ENTRIES, end).await;
        for at in (0..320).chain((4096..disk.length(FILE)).step_by(997)) {
            disk.flip(FILE, at, 2);
            if !is_whole(&disk).await {
                disk.flip(FILE, at, 2);
                assert!(is_whole(&disk).await, "byte {at} ({end:?})");
            }
            // Else the file has been written to since, and has another place in use.
        }
    }
}

/// Known to its mark, an older copy of the file is refused: whoever was told of the newer entries would miss them.
#[tokio::test]
async fn an_older_copy_of_the_file_is_refused_until_its_mark_is_removed() {
    let disk = filled(ENTRIES, End::Closed).await;
    let older = filled(ENTRIES - 1, End::Closed).await.content(FILE);
    disk.put(FILE, older);
    let refused = open(&disk, StoreConfig::default()).await.err().unwrap();
    let told = Chained(&refused).to_string();
    assert_eq!(
        told,
        "`store.redb` is damaged, and was left as it is: it ends with log entry 59 and change 0 beside the log, and had \
         come to entry 60 and change 0: `store.mark` says so; without that file the store opens, and what is missing \
         stays missing"
    );
    disk.put(mark::FILE, Vec::new());
    assert_eq!(open(&disk, StoreConfig::default()).await.unwrap().view().unwrap().last_index().unwrap(), 59);
}

/// What is changed beside the log is known to the mark as well.
#[tokio::test]
async fn a_file_that_has_forgotten_that_its_slave_acts_is_refused() {
    let disk = filled(3, End::Closed).await;
    let older = disk.content(FILE);
    let store = open(&disk, StoreConfig::default()).await.unwrap();
    store.set_acts(Some(7)).await.unwrap();
    store.close().await;
    disk.put(FILE, older);
    assert!(matches!(open(&disk, StoreConfig::default()).await, Err(StoreError::Damaged(Damage::Behind { .. }))));
}

/// A page that was sound when the store was opened, and is not when it is read again.
#[tokio::test]
async fn a_bit_that_turns_over_while_the_store_is_open_is_noticed() {
    let disk = filled(ENTRIES, End::Closed).await;
    let config = StoreConfig { cache_bytes: 0, ..StoreConfig::default() };
    let store = open(&disk, config).await.unwrap();
    let used: Vec<usize> = (4096..disk.length(FILE)).filter(|at| disk.content(FILE)[*at] != 0).step_by(50).collect();
    used.iter().for_each(|at| disk.flip(FILE, *at, 1));
    let told = store.view().unwrap().raw_entry(5).unwrap_err();
    assert!(Chained(&told).to_string().contains("has changed: checksum"), "{told:?}");
    used.iter().for_each(|at| disk.flip(FILE, *at, 1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(store.view().unwrap().raw_entry(5).unwrap().is_some(), "nobody reopened the store");
}

/// What is no store at all, or only the beginning of one.
#[tokio::test]
async fn whatever_is_in_the_file_s_place_is_an_error() {
    let whole = filled(ENTRIES, End::Killed).await.content(FILE);
    let strange = (1..40_000_usize).step_by(1_777).map(|length| vec![u8::try_from(length % 251).unwrap() | 1; length]);
    let cut = (1..whole.len()).step_by(whole.len() / 40).map(|length| whole[..length].to_vec());
    for content in strange.chain(cut) {
        let (disk, length) = (MemoryDisk::default(), content.len());
        disk.put(FILE, content);
        assert!(open(&disk, StoreConfig::default()).await.is_err(), "{length} bytes");
    }
}
