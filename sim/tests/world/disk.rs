//! A redb database on the simulated disk, through commits, crashes and kills.

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex},
};

use pop_revive::seams::Host;
use pop_sim::{
    plan::{Fault, Moment},
    world::CrashKind,
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

/// A node that commits 0, 1, 2... through the blocking seam, and tells what was confirmed.
fn committer(
    confirmed: Arc<Mutex<Vec<u64>>>,
    recovered: Arc<Mutex<Vec<Vec<u64>>>>,
) -> impl Fn(Host, pop_sim::world::StopSignal) -> pop_sim::world::BoxFuture<()> {
    move |host, _| {
        let (confirmed, recovered) = (confirmed.clone(), recovered.clone());
        Box::pin(async move {
            let Ok(db) = open(&host) else { return std::future::pending().await };
            let found = keys(&db);
            let next = found.last().map_or(0, |last| last + 1);
            recovered.lock().unwrap().push(found);
            let db = Arc::new(db);
            for key in next..next + 20 {
                let (put_db, done) = (db.clone(), Arc::new(Mutex::new(false)));
                let ok = done.clone();
                host.blocking.run(Box::new(move || *ok.lock().unwrap() = put(&put_db, key).is_ok())).await;
                if *done.lock().unwrap() {
                    confirmed.lock().unwrap().push(key);
                }
            }
            std::future::pending().await
        })
    }
}

fn survives(seed: u64, fault: Fault) {
    run(seed, vec![fault], move |world, log| async move {
        let (confirmed, recovered) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        world.start("b", committer(confirmed.clone(), recovered.clone()));
        sleep(2_000).await;
        let told: Vec<u64> = confirmed.lock().unwrap().clone();
        assert_eq!(world.unfired(), Vec::<usize>::new(), "{:#?}", log.lines());
        let recoveries = recovered.lock().unwrap().clone();
        assert_eq!(recoveries.len(), 2, "the second incarnation opened its store");
        let before =
            told.iter().take_while(|key| !recoveries[1].is_empty() && **key <= recoveries[1][recoveries[1].len() - 1]);
        let lost: Vec<_> = before.filter(|key| !recoveries[1].contains(key)).collect();
        assert!(lost.is_empty(), "lost {lost:?} of {told:?}");
        let distinct: std::collections::BTreeSet<_> = told.iter().collect();
        assert_eq!(distinct.len(), told.len(), "a confirmed key was lost and written again: {told:?}");
    });
}

#[test]
fn a_power_loss_at_any_time_loses_nothing_confirmed() {
    for seed in 0..120 {
        survives(seed, Fault::Crash { node: "b".into(), when: Moment::At(5 + seed % 60), down_ms: 10 });
    }
}

#[test]
fn a_power_loss_at_any_sync_loses_nothing_confirmed() {
    for seed in 0..60 {
        let when = if seed % 2 == 0 { Moment::BeforeSync(1 + seed / 2) } else { Moment::AfterSync(1 + seed / 2) };
        survives(seed, Fault::Crash { node: "b".into(), when, down_ms: 10 });
    }
}

#[test]
fn a_kill_at_any_sync_loses_nothing_confirmed() {
    for seed in 0..20 {
        survives(seed, Fault::Kill { node: "b".into(), when: Moment::BeforeSync(4 + seed), down_ms: 10 });
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
        assert!((3..=12).contains(&took), "three syncs took {took} ms");
        host.blocking.run(Box::new(|| {})).await;
        assert_eq!(world.now_ms() - began, took);
    });
}
