//! A redb database on the simulated disk, through commits, crashes and kills.

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex},
};

use pop_revive::seams::Host;
use pop_sim::{
    plan::{DiskOperation, Fault, Hits, Moment, Window},
    world::{BoxFuture, CrashKind, StopSignal},
};
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use crate::rig::{run, sleep, within};

const TABLE: TableDefinition<u64, u64> = TableDefinition::new("t");

#[derive(Debug)]
struct Backend(Box<dyn StorageBackend>);

impl StorageBackend for Backend {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
    fn close(&self) -> std::io::Result<()> {
        self.0.close()
    }
}

fn open(host: &Host) -> Result<Database, redb::DatabaseError> {
    let backend = Backend(host.disk.open("store.redb")?);
    Database::builder().set_cache_size(1 << 20).create_with_backend(backend)
}

fn put(db: &Database, key: u64) -> Result<(), redb::Error> {
    let write = db.begin_write()?;
    write.open_table(TABLE)?.insert(key, key * 7)?;
    write.commit()?;
    Ok(())
}

fn keys(db: &Database) -> Vec<u64> {
    let read = db.begin_read().unwrap();
    let Ok(table) = read.open_table(TABLE) else { return Vec::new() };
    table
        .iter()
        .unwrap()
        .map(|row| row.unwrap())
        .map(|(k, v)| (k.value(), v.value()))
        .map(|(k, v)| {
            assert_eq!(v, k * 7);
            k
        })
        .collect()
}

/// What the committing node did, over all its incarnations.
#[derive(Debug, Default)]
struct Notes {
    confirmed: Vec<u64>,
    /// Confirmed keys that an incarnation did not find when it opened the store.
    lost: Vec<u64>,
    opened: u64,
}

/// A node that commits 20 more keys through the blocking seam, in order, each time it boots.
fn committer(notes: Arc<Mutex<Notes>>) -> impl Fn(Host, StopSignal) -> BoxFuture<()> {
    move |host, _| {
        let notes = notes.clone();
        Box::pin(async move {
            let Ok(db) = open(&host).map(Arc::new) else { return std::future::pending().await };
            let found = keys(&db);
            let next = found.last().map_or(0, |last| last + 1);
            {
                let notes = &mut *notes.lock().unwrap();
                notes.opened += 1;
                notes.lost.extend(notes.confirmed.iter().filter(|key| !found.contains(key)));
            }
            for key in next..next + 20 {
                let (db, done) = (db.clone(), Arc::new(Mutex::new(false)));
                let ok = done.clone();
                host.blocking.run(Box::new(move || *ok.lock().unwrap() = put(&db, key).is_ok())).await;
                if *done.lock().unwrap() {
                    notes.lock().unwrap().confirmed.push(key);
                }
            }
            std::future::pending().await
        })
    }
}

fn survives(seed: u64, fault: Fault) {
    run(seed, vec![fault], move |world, log| async move {
        let notes = Arc::new(Mutex::new(Notes::default()));
        world.start("b", committer(notes.clone()));
        sleep(2_000).await;
        let notes = notes.lock().unwrap();
        assert_eq!(world.fired(0), 1, "seed {seed}: {:#?}", log.lines());
        assert_eq!(log.count("node b Started"), 2);
        assert!(notes.lost.is_empty(), "seed {seed}: {notes:?}");
        assert!(notes.opened >= 1 && notes.confirmed.len() >= 20, "seed {seed}: {notes:?}");
    });
}

#[test]
fn a_power_loss_at_any_time_loses_nothing_confirmed() {
    for seed in 0..120 {
        survives(seed, Fault::Crash { node: "b".into(), when: Moment::At(5 + seed % 60), down_ms: 10 });
    }
}

/// How many syncs redb needs to create its file; power lost during them leaves a file that it refuses to open.
fn creation_syncs() -> u64 {
    let syncs = run(1, vec![], |world, log| async move {
        let _db = open(&world.host("b")).unwrap();
        log.count("synced b")
    });
    u64::try_from(syncs).unwrap()
}

#[test]
fn a_power_loss_at_any_sync_loses_nothing_confirmed() {
    let first = creation_syncs() + 1;
    for seed in 0..80 {
        let nth = first + seed / 4;
        let when = if seed % 2 == 0 { Moment::BeforeSync(nth) } else { Moment::AfterSync(nth) };
        survives(seed, Fault::Crash { node: "b".into(), when, down_ms: 10 });
    }
}

#[test]
fn a_kill_at_any_sync_loses_nothing_confirmed() {
    let first = creation_syncs() + 1;
    for seed in 0..20 {
        let when = if seed % 2 == 0 { Moment::BeforeSync(first + seed) } else { Moment::AfterSync(first + seed) };
        survives(seed, Fault::Kill { node: "b".into(), when, down_ms: 10 });
    }
}

#[test]
fn a_kill_keeps_what_was_never_synced_and_a_power_loss_may_not() {
    let survived = |seed, kind| {
        run(seed, vec![], move |world, _| async move {
            let file = world.host("b").disk.open("f").unwrap();
            file.set_len(64).unwrap();
            file.write(0, &[1; 64]).unwrap();
            file.sync_data().unwrap();
            file.write(0, &[2; 64]).unwrap();
            world.crash_now("b", kind);
            world.restart("b");
            sleep(5).await;
            let file = world.host("b").disk.open("f").unwrap();
            let mut bytes = [0; 64];
            file.read(0, &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == bytes[0]));
            bytes[0]
        })
    };
    assert!((0..20).all(|seed| survived(seed, CrashKind::Kill) == 2));
    let lost = (0..40).filter(|seed| survived(*seed, CrashKind::PowerLoss) == 1).count();
    assert!((5..35).contains(&lost), "lost {lost} of 40");
}

#[test]
fn what_the_dead_opened_is_fenced() {
    run(1, vec![], |world, log| async move {
        let host = world.host("b");
        let db = open(&host).unwrap();
        put(&db, 1).unwrap();
        let file = host.disk.open("other").unwrap();
        assert_eq!(host.disk.open("other").err().unwrap().kind(), ErrorKind::ResourceBusy);
        world.crash_now("b", CrashKind::Kill);
        let syncs = log.count("synced");
        assert!(file.write(0, b"x").is_err() && file.read(0, &mut []).is_err() && file.sync_data().is_err());
        assert!(host.disk.open("third").is_err() && put(&db, 2).is_err());
        world.restart("b");
        sleep(5).await;
        assert!(file.write(0, b"x").is_err(), "also when the node is up again");
        let again = open(&world.host("b")).unwrap();
        drop(db); // redb writes and syncs when it is dropped: the new incarnation must not notice
        assert_eq!(keys(&again), [1]);
        assert!(log.count("synced") > syncs);
        let mut dead = world.host("b").transport.bind("b:80").await.unwrap();
        world.crash_now("b", CrashKind::Kill);
        assert!(within(1_000, dead.accept()).await.is_err());
        assert!(within(1_000, host.transport.connect("a:80")).await.is_err());
    });
}

#[test]
fn commits_take_simulated_time_one_after_the_other() {
    run(2, vec![], |world, _| async move {
        let host = world.host("b");
        let file: Arc<dyn StorageBackend> = Arc::from(host.disk.open("f").unwrap());
        let sync = || {
            let file = file.clone();
            host.blocking.run(Box::new(move || file.sync_data().unwrap()))
        };
        let began = world.now_ms();
        tokio::join!(sync(), sync(), sync());
        let took = world.now_ms() - began;
        assert!((6..=31).contains(&took), "three syncs took {took} ms");
        host.blocking.run(Box::new(|| {})).await;
        assert_eq!(world.now_ms() - began, took);
    });
}

fn fails(operation: DiskOperation, nth: u64) -> Fault {
    Fault::DiskError { node: "b".into(), operation, hits: Hits::Nth(vec![nth]) }
}

/// A node that commits 40 keys, and opens its store again when a commit fails.
fn stubborn(notes: Arc<Mutex<Notes>>) -> impl Fn(Host, StopSignal) -> BoxFuture<()> {
    move |host, _| {
        let notes = notes.clone();
        Box::pin(async move {
            let mut next = 0;
            while next < 40 {
                let Ok(db) = open(&host) else {
                    sleep(10).await;
                    continue;
                };
                let found = keys(&db);
                {
                    let notes = &mut *notes.lock().unwrap();
                    notes.opened += 1;
                    notes.lost.extend(notes.confirmed.iter().filter(|key| !found.contains(key)));
                }
                next = found.last().map_or(0, |last| last + 1);
                while put(&db, next).is_ok() {
                    notes.lock().unwrap().confirmed.push(next);
                    next += 1;
                    sleep(1).await;
                    if next == 40 {
                        return;
                    }
                }
            }
        })
    }
}

#[test]
fn whatever_a_disk_fails_to_do_nothing_confirmed_is_lost_and_a_new_handle_goes_on() {
    let first = creation_syncs() + 1;
    for seed in 0..60 {
        let fault = match seed % 3 {
            0 => fails(DiskOperation::Sync, first + seed / 3),
            1 => fails(DiskOperation::Write, 20 + seed),
            _ => fails(DiskOperation::Read, 1),
        };
        run(seed, vec![fault], move |world, log| async move {
            let notes = Arc::new(Mutex::new(Notes::default()));
            world.start("b", stubborn(notes.clone()));
            sleep(2_000).await;
            let notes = notes.lock().unwrap();
            assert_eq!(world.fired(0), 1, "seed {seed}: {:#?}", log.lines());
            assert_eq!(log.count("Failed"), 1);
            assert!(notes.lost.is_empty(), "seed {seed}: {notes:?}");
            assert!(*notes.confirmed.last().unwrap() == 39 && notes.opened >= 1, "seed {seed}: {notes:?}");
        });
    }
}

#[test]
fn a_failed_sync_keeps_or_loses_what_it_should_have_made_durable_and_tells_what_is_left() {
    let survived = |seed| {
        run(seed, vec![fails(DiskOperation::Sync, 2)], move |world, log| async move {
            let file = world.host("b").disk.open("f").unwrap();
            file.set_len(64).unwrap();
            file.write(0, &[1; 64]).unwrap();
            file.sync_data().unwrap();
            file.write(0, &[2; 64]).unwrap();
            assert!(file.sync_data().is_err());
            assert_eq!(log.count("left b 2 with 64 bytes of f"), 1);
            let mut bytes = [0; 64];
            file.read(0, &mut bytes).unwrap();
            file.sync_data().unwrap();
            assert_eq!(log.count("synced b 3: 0 writes"), 1, "what was lost is not written again");
            bytes[0]
        })
    };
    let lost = (0..40).filter(|seed| survived(*seed) == 1).count();
    assert!((5..35).contains(&lost), "lost {lost} of 40");
}

#[test]
fn after_a_failed_write_the_next_sync_tells_the_whole_file() {
    run(1, vec![fails(DiskOperation::Write, 2)], |world, log| async move {
        let file = world.host("b").disk.open("f").unwrap();
        file.set_len(64).unwrap();
        file.write(0, &[1; 32]).unwrap();
        assert!(file.write(32, &[1; 32]).is_err());
        file.sync_data().unwrap();
        assert_eq!((log.count("left b 1 with 64"), log.count("synced b 1: 0 writes")), (1, 1));
        file.write(32, &[1; 32]).unwrap();
        file.sync_data().unwrap();
        assert_eq!((log.count("left"), log.count("synced b 2: 1 writes")), (1, 1));
    });
}

#[test]
fn a_full_disk_takes_what_overwrites_its_blocks_and_nothing_else() {
    let window = Window { from_ms: 10, to_ms: 1_000 };
    run(1, vec![Fault::DiskFull { node: "b".into(), window }], |world, _| async move {
        let file = world.host("b").disk.open("f").unwrap();
        file.set_len(8_192).unwrap();
        file.write(0, &[1; 100]).unwrap();
        sleep(20).await;
        file.write(4_000, &[1; 96]).unwrap();
        let full = |offset| file.write(offset, &[1; 10]).unwrap_err().kind();
        assert_eq!((full(4_090), full(4_096)), (ErrorKind::StorageFull, ErrorKind::StorageFull));
        file.set_len(100_000).unwrap();
        file.sync_data().unwrap();
        assert_eq!(world.fired(0), 2);
        sleep(1_000).await;
        file.write(4_096, &[1; 10]).unwrap();
    });
}

#[test]
fn a_slow_disk_takes_its_time_in_its_window() {
    let window = Window { from_ms: 0, to_ms: 1_000 };
    let slow = Fault::SlowDisk { node: "b".into(), window, min_ms: 300, max_ms: 400 };
    run(2, vec![slow], |world, _| async move {
        let host = world.host("b");
        let file: Arc<dyn StorageBackend> = Arc::from(host.disk.open("f").unwrap());
        let took = || async {
            let (began, file) = (world.now_ms(), file.clone());
            host.blocking.run(Box::new(move || file.sync_data().unwrap())).await;
            world.now_ms() - began
        };
        assert!((300..=401).contains(&took().await));
        sleep(1_000).await;
        assert!(took().await <= 11);
        assert_eq!(world.fired(0), 1);
    });
}

#[test]
fn what_takes_another_files_place_is_told_of_with_what_of_it_is_durable() {
    run(1, Vec::new(), |world, log| async move {
        let host = world.host("b");
        let new = host.disk.open("new").unwrap();
        new.write(0, &[1; 10]).unwrap();
        new.sync_data().unwrap();
        new.write(10, &[1; 10]).unwrap();
        new.close().unwrap();
        host.disk.replace("f", "new").unwrap();
        assert!(log.lines().iter().any(|line| line.ends_with("left b 1 with 10 bytes of f")), "{:?}", log.lines());
        assert!(host.disk.replace("f", "new").is_err(), "it has another name by now");
    });
}
