//! Whatever block of a store's file is damaged: what is left fits together, and what is not is listed.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, ops::Bound};

use super::{
    counts::Counts,
    key::{Key, Parts},
    mend::Mending,
    pages::Lost,
    row::{Row, Table},
    tables::Source as _,
    *,
};
use crate::{
    model::{
        chain::{Chain, ChainState, CopyPlace, LogPosition, Outcome, ParkReason},
        message::Message,
        record::{Record, SetAside},
        topic::TopicConfig,
    },
    remoting::memory_transport::MemoryTransport,
    revive::samples::{OTHER, OWN, POPPED_MS, chain, message},
    seams::{
        disk::aside,
        memory_host::{MemoryDisk, StandingClock, host},
    },
};
use bytes::Bytes;

const BLOCK: usize = 4096;
/// How long messages are kept where they expire.
const AGE_MS: i64 = 20_000;
const SECOND_MS: i64 = 1_000;

fn small() -> StoreConfig {
    StoreConfig { recent_rows: 60, cache_bytes: 1 << 20, ..StoreConfig::default() }
}

/// A second of a broker's life; what happens in it follows from its number.
struct Second(i64);

impl Step for Second {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        let n = self.0;
        let topic = format!("topic-{}", n % 5);
        if n < 5 {
            txn.record(Record::Topic { config: TopicConfig::with_queues(&topic, 2), epoch: txn.position() })?;
        }
        let body = Bytes::from(vec![u8::try_from(n % 251).unwrap(); 300]);
        for queue in 0..2 {
            txn.append(Message { topic: topic.clone(), queue_id: queue, body: body.clone(), ..message() })?.unwrap();
        }
        let offset = n / 5;
        let popped = Chain {
            state: ChainState::Open { due_ms: POPPED_MS + n * SECOND_MS + 60_000 },
            topic_epoch: LogPosition { term: 1, index: u64::try_from(n % 5 + 1).unwrap() },
            ..chain(if n % 7 == 3 { OTHER } else { OWN })
        };
        let mut popped = popped;
        (popped.id.topic, popped.id.offset, popped.id.pop_time) = (topic.clone(), offset, POPPED_MS + n * SECOND_MS);
        txn.record_chain(popped.clone())?;
        txn.record(Record::Offset { group: "g".into(), topic: topic.clone(), queue: 0, offset: offset + 1 })?;
        if n % 6 == 0 {
            let stored = Message { topic: topic.clone(), body, ..message() }.encode().unwrap();
            txn.record(Record::Timer { due_ms: POPPED_MS + n * 9_000, stored, epoch: LogPosition::default() })?;
        }
        if n % 9 == 4 {
            let mut id = popped.id.clone();
            id.pop_time += 1;
            txn.record(Record::EarlyAck { id, until_ms: POPPED_MS + n * 8_000 })?;
        }
        if n % 31 == 7 {
            let (body, reason) = (Bytes::from_static(b"?"), "odd".into());
            txn.record(Record::SetAside(SetAside { tag: "ck".into(), body, reason, at_ms: n }))?;
        }
        Ok(())
    }
}

/// What becomes of a chain a while after it was popped.
struct Later(i64);

impl Step for Later {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        let n = self.0;
        let mut later = chain(if n % 7 == 3 { OTHER } else { OWN });
        (later.id.topic, later.id.offset) = (format!("topic-{}", n % 5), n / 5);
        later.id.pop_time = POPPED_MS + n * SECOND_MS;
        let Some(mut chain) = txn.chain(&later.id)? else { return Ok(()) };
        let copy = CopyPlace { topic: "%RETRY%g".into(), queue: 0, offset: n };
        chain.state = match n % 6 {
            0 => return Ok(()),
            1 => ChainState::Parked { reason: ParkReason::Permanent, at_ms: n },
            2 => ChainState::Moved { to: OTHER.into() },
            3 => ChainState::Ended { outcome: Outcome::Revived(copy), at_ms: n },
            _ => ChainState::Ended { outcome: Outcome::Acked, at_ms: n },
        };
        txn.record_chain(chain)
    }
}

struct Tidy;

impl Step for Tidy {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.expire(OWN, Retention { age_ms: Some(AGE_MS), bytes: None })?;
        txn.forget(30_000).map(drop)
    }
}

/// Whether anything has left the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Whole,
    Expired,
}

async fn open(disk: &MemoryDisk) -> Result<Store, StoreError> {
    let host = host(disk, StandingClock::at(POPPED_MS), &MemoryTransport::default());
    Store::open(&host, small(), Arc::new(|_| {})).await
}

/// The disk of a broker that ran for so many seconds and died.
async fn lived(seconds: i64, log: Log) -> MemoryDisk {
    let (disk, clock) = (MemoryDisk::default(), StandingClock::at(POPPED_MS));
    let host = host(&disk, clock.clone(), &MemoryTransport::default());
    let store = Store::open(&host, small(), Arc::new(|_| {})).await.unwrap();
    for n in 0..seconds {
        clock.set(POPPED_MS + n * SECOND_MS);
        store.submit(Second(n)).await.unwrap();
        store.submit(Later(n - 8)).await.unwrap();
        if log == Log::Expired && n % 4 == 0 {
            store.submit(Tidy).await.unwrap();
        }
    }
    let files = [FILE, mark::FILE].map(|name| (name, disk.content(name)));
    store.close().await;
    files.into_iter().for_each(|(name, content)| disk.put(name, content));
    disk
}

async fn salvage(disk: &MemoryDisk) -> Result<Losses, SalvageError> {
    let host = host(disk, StandingClock::at(POPPED_MS), &MemoryTransport::default());
    Store::salvage(&host, small(), OWN).await
}

/// All that a store holds.
#[derive(Debug, Clone, PartialEq)]
struct Content {
    entries: BTreeMap<u64, Bytes>,
    rows: BTreeMap<Bytes, Vec<u8>>,
    counts: Counts,
    last: u64,
    expired_before: u64,
}

fn content(view: &View) -> Content {
    let mut rows = BTreeMap::new();
    for table in Table::ALL {
        for row in view.rows().scan(table, Bound::Unbounded, &Key::of(table)).unwrap() {
            let (key, row) = row.unwrap();
            rows.insert(key, row.pack().unwrap());
        }
    }
    let last = view.last();
    let entries = (1..=last).filter_map(|index| Some((index, view.raw_entry(index).unwrap()?))).collect();
    Content { entries, rows, counts: view.counts(), last, expired_before: view.expired_before().unwrap() }
}

/// What a store holds, which is closed again.
async fn content_of(disk: &MemoryDisk) -> Content {
    let store = open(disk).await.unwrap();
    let content = content(&store.view().unwrap());
    fits_together(&store);
    store.close().await;
    content
}

/// Mending changes nothing.
fn fits_together(store: &Store) {
    let view = store.view().unwrap();
    let present = |index: u64| view.raw_entry(index).unwrap().is_some();
    let gaps: Vec<_> = (1..=view.last()).filter(|index| !present(*index)).map(|index| (index, index)).collect();
    // Where a lost entry was the first, the mark of what has expired would be taken for lost as well.
    let (marks, after) = (vec![Table::Marks as u8], vec![Table::Marks as u8, 0xFF]);
    let lost = [Lost { after: None, until: Some(marks) }, Lost { after: Some(after), until: None }];
    let mending = Mending { gaps: &gaps, lost: &lost, forgets_chains: false, broker: OWN, now_ms: POPPED_MS };
    let mut draft = draft::Draft::over(view.committed(), u64::MAX);
    let mut losses = Losses::default();
    mending.mend(&mut draft, &mut losses).unwrap();
    assert_eq!(losses, Losses::default());
    assert_eq!(draft.counts(), view.counts());
    for (key, change) in &draft.so_far().0 {
        let before = view.rows().recent.get(key).map(|change| change.row.clone());
        let before = before.unwrap_or_else(|| {
            let packed = view.rows().settled.get(&key[..]).unwrap()?;
            let table = Table::ALL.into_iter().find(|table| *table as u8 == key[0]).unwrap();
            Some(Row::unpack(table, key, packed.value()).unwrap())
        });
        // A queue may begin with what is lost.
        if let (Some(Row::Bounds(now)), Some(Row::Bounds(said))) = (&change.row, &before) {
            assert!(now.next == said.next && now.minimum >= said.minimum);
            continue;
        }
        let packed = |row: &Option<Row>| row.as_ref().map(|row| row.pack().unwrap());
        assert_eq!(packed(&change.row), packed(&before), "{key:?}");
    }
}

fn table_of(key: &[u8]) -> Table {
    Table::ALL.into_iter().find(|table| *table as u8 == key[0]).unwrap()
}

/// What was salvaged of `before` is part of it, and the rest is listed.
fn is_listed(before: &Content, after: &Content, losses: &Losses) {
    let listed = |index: u64| losses.entries.iter().any(|(first, last)| (*first..=*last).contains(&index));
    for (index, entry) in &before.entries {
        match after.entries.get(index) {
            Some(found) => assert_eq!(found, entry, "entry {index} is another one"),
            None => assert!(listed(*index) || *index < after.expired_before, "entry {index} is missing: {losses:?}"),
        }
        assert!(!listed(*index) || !after.entries.contains_key(index), "entry {index} is there: {losses:?}");
    }
    assert!(after.last > before.last, "the log goes on behind its end");
    let new: Vec<_> = after.entries.keys().filter(|index| !before.entries.contains_key(index)).collect();
    assert_eq!(new, [&after.last], "one entry tells what is lost");
    for (key, row) in &before.rows {
        let is_there = after.rows.contains_key(key);
        match table_of(key) {
            Table::Queues => {
                let mut parts = Parts::of(key);
                let (topic, queue, offset) = (parts.text(), parts.number(), parts.number());
                let is_lost = |lost: &(String, i64, i64, i64)| {
                    (&lost.0, lost.1) == (&topic, queue) && (lost.2..=lost.3).contains(&offset)
                };
                assert!(
                    is_there || losses.entries.len() + losses.rows.len() > 0 || losses.messages.iter().any(is_lost)
                );
            }
            // What no other row tells.
            table @ (Table::Topics
            | Table::Groups
            | Table::Offsets
            | Table::Chains
            | Table::EarlyAcks
            | Table::SetAside)
                if losses.entries.is_empty() =>
            {
                let is_made_up = table == Table::Topics && losses.topics.contains(&Parts::of(key).text());
                assert!(is_there || losses.rows.iter().any(|(name, ..)| *name == table.name()), "{table:?} {losses:?}");
                assert!(!is_there || is_made_up || after.rows[key] == *row, "{table:?} {losses:?}");
            }
            _ => {}
        }
    }
    if !losses.is_empty() {
        return;
    }
    assert_eq!((after.last, after.expired_before), (before.last + 1, before.expired_before));
    let is_told = |key: &Bytes| table_of(key) == Table::SetAside && Parts::of(key).index() == after.last;
    let rows: BTreeMap<_, _> = after.rows.clone().into_iter().filter(|(key, _)| !is_told(key)).collect();
    for (key, row) in &before.rows {
        assert_eq!(rows.get(key), Some(row), "row of {:?}", table_of(key));
    }
    assert_eq!(rows.len(), before.rows.len());
    let told = after.entries[&after.last].len() as u64;
    let Counts { set_aside, retained_bytes, .. } = before.counts;
    let expected = Counts { set_aside: set_aside + 1, retained_bytes: retained_bytes + told, ..before.counts };
    assert_eq!(after.counts, expected);
}

/// The blocks in use, the first one apart.
fn blocks(file: &[u8]) -> impl Iterator<Item = usize> {
    let is_used = |block: &usize| file[block * BLOCK..(block + 1) * BLOCK].iter().any(|byte| *byte != 0);
    (1..file.len() / BLOCK).filter(is_used)
}

/// Turns bits of one block after the other over and salvages what is left; gives what was lost each time.
async fn lose_each_block(disk: &MemoryDisk, bits: u8) -> Vec<(usize, Result<Losses, SalvageError>)> {
    let before = content_of(&damaged_at(disk, &[])).await;
    let mut lost = Vec::new();
    for (turn, block) in blocks(&disk.content(FILE)).enumerate() {
        let disk = damaged_at(disk, &[]);
        disk.flip(FILE, block * BLOCK + [2, 40, 900, 2000][turn % 4], bits);
        match open(&disk).await {
            Ok(store) => store.close().await, // it was free
            Err(StoreError::Damaged(_)) => {
                let damaged = disk.content(FILE);
                let losses = salvage(&disk).await;
                if let Ok(losses) = &losses {
                    assert_eq!(disk.content(&aside(FILE, 1)), damaged);
                    is_listed(&before, &content_of(&disk).await, losses);
                } else {
                    assert_eq!(disk.content(FILE), damaged);
                }
                lost.push((block, losses));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    lost
}

/// The disk of a store whose file is damaged at these bytes.
fn damaged_at(disk: &MemoryDisk, bytes: &[usize]) -> MemoryDisk {
    let damaged = MemoryDisk::default();
    [FILE, mark::FILE].into_iter().for_each(|name| damaged.put(name, disk.content(name)));
    bytes.iter().for_each(|at| damaged.flip(FILE, *at, 1));
    damaged
}

/// One bit is put right, wherever it is.
#[tokio::test]
async fn a_store_of_which_one_bit_has_turned_over_loses_nothing() {
    for log in [Log::Whole, Log::Expired] {
        let lost = lose_each_block(&lived(60, log).await, 4).await;
        assert!(lost.len() > 20, "{} blocks were in use", lost.len());
        lost.into_iter().for_each(|(block, losses)| assert_eq!(losses.unwrap(), Losses::default(), "block {block}"));
    }
}

/// Every row follows from the log: as long as that is whole, no page of rows is worth anything.
#[tokio::test]
async fn a_store_whose_log_is_whole_loses_entries_at_the_most() {
    let disk = lived(120, Log::Whole).await;
    let lost = lose_each_block(&disk, 3).await;
    let nothing = lost.iter().filter(|(_, losses)| losses.as_ref().unwrap().is_empty()).count();
    let entries = lost.iter().filter(|(_, losses)| !losses.as_ref().unwrap().entries.is_empty()).count();
    assert!(nothing > 20 && entries > 20, "{nothing} and {entries} of {}", lost.len());
    for (block, losses) in lost {
        let losses = losses.unwrap();
        assert!(losses.rows.is_empty() && losses.topics.is_empty(), "block {block}: {losses:?}");
    }
}

/// Where the log has lost its beginning to retention, rows that cannot be read are lost as far as no entry says them anew.
#[tokio::test]
async fn a_store_whose_log_has_expired_loses_what_it_lists() {
    let disk = lived(120, Log::Expired).await;
    let lost = lose_each_block(&disk, 3).await;
    let count = |is: fn(&Losses) -> bool| lost.iter().filter(|(_, losses)| losses.as_ref().is_ok_and(is)).count();
    let (nothing, rows, entries) =
        (count(Losses::is_empty), count(|lost| !lost.rows.is_empty()), count(|lost| !lost.entries.is_empty()));
    assert!(lost.iter().all(|(_, losses)| losses.is_ok()));
    assert!(nothing > 2 && rows > 10 && entries > 10, "{nothing}, {rows} and {entries} of {}", lost.len());
}

/// However many bytes are damaged: what is there is what was written, and the store goes on.
#[tokio::test]
async fn a_store_that_is_damaged_in_many_places_keeps_what_can_be_read() {
    for log in [Log::Whole, Log::Expired] {
        let disk = lived(80, log).await;
        let before = content_of(&damaged_at(&disk, &[])).await;
        let file = disk.content(FILE);
        let used: Vec<_> = (BLOCK..file.len()).filter(|at| file[*at] != 0).collect();
        for turn in 1..40_usize {
            let places: Vec<_> = (1..=turn % 9 + 1).map(|n| used[(turn * 7_919 + n * 104_729) % used.len()]).collect();
            let disk = damaged_at(&disk, &places);
            if let Ok(store) = open(&disk).await {
                store.close().await;
                continue;
            }
            let damaged = disk.content(FILE);
            match salvage(&disk).await {
                Ok(losses) => is_listed(&before, &content_of(&disk).await, &losses),
                // What leads to the log is damaged.
                Err(SalvageError::NoLog) => assert!(disk.content(FILE) == damaged, "it is left as it is"),
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

/// Of the first block only the two commit slots say anything that nothing else does; of these, one is as good as the other,
/// but for the last commit.
#[tokio::test]
async fn a_store_whose_first_block_is_damaged_loses_its_last_commit_at_the_most() {
    let disk = lived(40, Log::Whole).await;
    let before = content_of(&damaged_at(&disk, &[])).await;
    for (bits, most) in [(1, 0), (3, 1)] {
        let mut noticed = 0;
        for at in 0..320 {
            let disk = damaged_at(&disk, &[]);
            disk.flip(FILE, at, bits);
            match open(&disk).await {
                Ok(store) => {
                    store.close().await;
                    continue;
                }
                // What is flipped there is the version of the format.
                Err(error) => assert!(matches!(error, StoreError::Damaged(_) | StoreError::Database(_)), "{error:?}"),
            }
            noticed += 1;
            let losses = salvage(&disk).await.unwrap();
            is_listed(&before, &content_of(&disk).await, &losses);
            let count: u64 = losses.entries.iter().map(|(first, last)| last - first + 1).sum();
            assert!(count <= most && losses.rows.is_empty(), "byte {at}: {losses:?}");
        }
        assert!(noticed > 100, "{noticed}");
    }
    let both = damaged_at(&disk, &[70, 71, 200, 201]);
    let file = both.content(FILE);
    assert!(matches!(salvage(&both).await, Err(SalvageError::NoCommit)));
    assert!(both.content(FILE) == file && both.content(&aside(FILE, 1)).is_empty(), "it is left as it is");
}

/// A message, a handle and an offset of what is lost never mean another message.
#[tokio::test]
async fn nothing_that_comes_later_takes_the_place_of_what_is_lost() {
    let (disk, older) = (lived(40, Log::Whole).await, lived(30, Log::Whole).await);
    let before = content_of(&disk).await;
    let next = |content: &Content, queue| {
        let key = Key::of(Table::Bounds).text("topic-1").number(queue);
        let Row::Bounds(bounds) = Row::unpack(Table::Bounds, key.bytes(), &content.rows[key.bytes()]).unwrap() else {
            unreachable!("bounds are in their table")
        };
        bounds.next
    };
    disk.put(FILE, older.content(FILE));
    assert!(matches!(open(&disk).await, Err(StoreError::Damaged(Damage::Behind { .. }))));
    let losses = salvage(&disk).await.unwrap();
    let after = content_of(&disk).await;
    assert!(next(&after, 0) >= next(&before, 0) && next(&after, 1) >= next(&before, 1));
    assert_eq!(after.last, before.last + 1);
    assert_eq!(losses.entries.last().unwrap().1, before.last);
    let store = open(&disk).await.unwrap();
    assert!(store.term() > 1, "a handle of the lost term is no handle of a later pop");
    let forgotten = store.view().unwrap().forgotten_until_ms(OWN).unwrap();
    assert!(forgotten >= Some(POPPED_MS), "a lost chain is not taken for one that never was: {forgotten:?}");
}

/// The entry that ends a salvaged log can be lost as well: the next one has another term all the same.
#[tokio::test]
async fn a_log_goes_on_no_earlier_than_it_ended_when_the_clock_was_set_back() {
    let disk = damaged_at(&lived(40, Log::Whole).await, &[1]);
    salvage(&disk).await.unwrap();
    let entries = content_of(&disk).await.entries;
    assert!(entries.values().map(|entry| LogEntry::decode(entry).unwrap().at_ms).is_sorted());
}

#[tokio::test]
async fn a_store_that_is_salvaged_twice_takes_no_term_twice() {
    let disk = damaged_at(&lived(40, Log::Whole).await, &[1]);
    let report = "nothing is lost";
    assert!(salvage(&disk).await.unwrap().is_empty());
    let first = open(&disk).await.unwrap();
    let term = first.term();
    first.close().await;
    let file = disk.content(FILE);
    let places = (0..file.len()).filter(|at| file[*at..].starts_with(report.as_bytes()));
    places.for_each(|at| disk.flip(FILE, at, 3));
    let losses = salvage(&disk).await.unwrap();
    assert_eq!(losses.entries.len(), 1, "the entry that told of the first is lost: {losses:?}");
    assert!(open(&disk).await.unwrap().term() > term);
}

#[tokio::test]
async fn a_store_whose_mark_is_damaged_goes_on_behind_what_may_have_been_there() {
    let disk = lived(40, Log::Whole).await;
    let before = content_of(&disk).await;
    disk.flip(mark::FILE, 3, 1);
    assert!(matches!(open(&disk).await, Err(StoreError::Damaged(Damage::Mark))));
    let losses = salvage(&disk).await.unwrap();
    assert_eq!(losses, Losses { later_entries: true, ..Losses::default() });
    let after = content_of(&disk).await;
    assert_eq!(after.last, before.last + small().batch_limit as u64 + 1);
    assert_eq!(disk.content(&aside(mark::FILE, 1)).len(), 20);
    is_listed(&before, &after, &losses);
}

/// Operators remove the mark to have an older copy of the file opened.
#[tokio::test]
async fn a_store_without_a_mark_keeps_all_that_can_be_read() {
    let disk = lived(60, Log::Expired).await;
    let before = content_of(&damaged_at(&disk, &[])).await;
    disk.put(mark::FILE, Vec::new());
    disk.flip(FILE, 1, 1);
    let losses = salvage(&disk).await.unwrap();
    assert_eq!(losses, Losses::default());
    is_listed(&before, &content_of(&disk).await, &losses);
}

/// An attempt that was cut off leaves a file behind, and the damaged one in its place.
#[tokio::test]
async fn an_attempt_that_was_cut_off_is_repeated() {
    let disk = lived(40, Log::Whole).await;
    let before = content_of(&damaged_at(&disk, &[])).await;
    let damaged = damaged_at(&disk, &[1]);
    damaged.put("store.redb.salvaged", vec![7; 9000]);
    let losses = salvage(&damaged).await.unwrap();
    is_listed(&before, &content_of(&damaged).await, &losses);
    assert!(losses.is_empty() && damaged.content("store.redb.salvaged").is_empty());
}

/// What was salvaged is written on, expires and is read as any other.
#[tokio::test]
async fn a_salvaged_store_lives_on() {
    let disk = lived(60, Log::Expired).await;
    let mut went_on = 0;
    for block in blocks(&disk.content(FILE)).step_by(3) {
        let disk = damaged_at(&disk, &[block * BLOCK + 2, block * BLOCK + 40]);
        if salvage(&disk).await.is_err() {
            continue;
        }
        let clock = StandingClock::at(POPPED_MS + 60 * SECOND_MS);
        let host = host(&disk, clock.clone(), &MemoryTransport::default());
        let store = Store::open(&host, small(), Arc::new(|_| {})).await.unwrap();
        for n in 60..100 {
            clock.set(POPPED_MS + n * SECOND_MS);
            store.submit(Second(n)).await.unwrap();
            store.submit(Later(n - 8)).await.unwrap();
            store.submit(Tidy).await.unwrap();
        }
        let view = store.view().unwrap();
        assert!(view.expired_before().unwrap() + 100 > view.last(), "retention passes what is missing");
        let end = view.bounds("topic-0", 0).unwrap().next;
        assert!(view.message("topic-0", 0, end - 1).unwrap().is_some());
        drop(view);
        fits_together(&store);
        store.close().await;
        went_on += 1;
    }
    assert!(went_on > 5, "{went_on}");
}
