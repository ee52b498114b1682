//! What becomes of a broker whose store is damaged: a slave reads it again, then begins anew; a master does neither.

use super::{world::*, *};
use crate::{
    seams::disk::aside,
    store::{FILE, StoreError},
};

const SLAVE: &str = "10.0.0.11:10911";
/// A byte of redb's magic number.
const IN_USE: usize = 1;

fn slave_config() -> BrokerConfig {
    BrokerConfig { id: 1, begins_anew_after_ms: 300, ..config("broker-a", SLAVE) }
}

fn last_index(broker: &Broker) -> u64 {
    broker.shared.store.view().map_or(0, |view| view.last_index().unwrap())
}

async fn caught_up(master: &Broker, slave: &Broker) {
    let wait = async {
        while last_index(slave) < last_index(master) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
}

/// A master, the disk of its slave, which has all that the master has and is stopped, and what is in its file.
async fn stopped_slave() -> (World, Broker, MemoryDisk, Vec<u8>) {
    let (world, master) = World::with_broker().await;
    world.send("t", "one").await;
    let disk = MemoryDisk::default();
    let slave = world.start(&disk, slave_config()).await;
    caught_up(&master, &slave).await;
    slave.shutdown(LIMIT).await;
    let content = disk.content(FILE);
    (world, master, disk, content)
}

#[tokio::test]
async fn a_slave_whose_store_stays_damaged_keeps_it_aside_and_gets_everything_anew() {
    let (world, master, disk, _) = stopped_slave().await;
    disk.flip(FILE, IN_USE, 1);
    let damaged = disk.content(FILE);
    let slave = world.start(&disk, slave_config()).await;
    caught_up(&master, &slave).await;
    assert_eq!(last_index(&slave), last_index(&master));
    assert_eq!(disk.content(&aside(FILE, 1)), damaged);
}

#[tokio::test]
async fn a_slave_whose_mark_is_damaged_begins_anew_too() {
    let (world, master, disk, content) = stopped_slave().await;
    disk.flip("store.mark", 3, 1);
    let slave = world.start(&disk, slave_config()).await;
    caught_up(&master, &slave).await;
    assert_eq!(disk.content(&aside(FILE, 1)), content);
}

#[tokio::test]
async fn what_reads_rightly_again_in_time_is_kept() {
    let (world, master, disk, _) = stopped_slave().await;
    disk.flip(FILE, IN_USE, 1);
    let put_right = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        disk.flip(FILE, IN_USE, 1);
    };
    let config = BrokerConfig { begins_anew_after_ms: 200, ..slave_config() };
    let (slave, ()) = tokio::join!(world.start(&disk, config), put_right);
    caught_up(&master, &slave).await;
    assert!(disk.content(&aside(FILE, 1)).is_empty(), "nothing was set aside");
}

#[tokio::test]
async fn neither_a_master_nor_who_is_set_up_to_wait_sets_anything_aside() {
    let (world, _master, disk, content) = stopped_slave().await;
    disk.flip(FILE, IN_USE, 1);
    let waiting = BrokerConfig { begins_anew_after_ms: 0, ..slave_config() };
    let alone = BrokerConfig { begins_anew_after_ms: 1, ..config("broker-a", SLAVE) };
    for config in [waiting, alone] {
        let refused = Broker::start(host(&disk, world.clock.clone(), &world.net), config).await.err().unwrap();
        assert!(matches!(refused, BrokerError::Store(StoreError::Damaged(_))), "{refused:?}");
    }
    disk.flip(FILE, IN_USE, 1);
    assert!(disk.content(FILE) == content, "the file was written to");
}

#[test]
fn the_wait_is_of_this_world() {
    let with = |begins_anew_after_ms| BrokerConfig { begins_anew_after_ms, ..slave_config() }.check();
    assert_eq!(with(0), Ok(()));
    assert!(matches!(with(u64::MAX), Err(ConfigError::Span { field: "begins_anew_after_ms", .. })));
}

#[tokio::test]
async fn a_slave_that_is_damaged_every_time_stays_down_and_says_why() {
    let (world, _master, disk, content) = stopped_slave().await;
    for number in 1..=3 {
        disk.put(&aside(FILE, number), content.clone());
    }
    disk.flip(FILE, IN_USE, 1);
    let refused = Broker::start(host(&disk, world.clock.clone(), &world.net), slave_config()).await.err().unwrap();
    assert!(matches!(refused, BrokerError::SetAside { .. }), "{refused:?}");
    assert!(refused.to_string().contains("files were set aside 3 times already"), "{refused}");
}

/// What is damaged while it is open is found when it is read next: then the slave has to be started again.
#[tokio::test]
async fn a_running_slave_says_that_it_has_to_be_started_again() {
    let (world, master, disk, _) = stopped_slave().await;
    let slave = world.start(&disk, slave_config()).await;
    caught_up(&master, &slave).await;
    disk.flip(FILE, IN_USE, 1);
    disk.fail_syncs(1);
    world.send("t", "two").await;
    tokio::time::timeout(LIMIT, slave.has_to_restart()).await.unwrap();
    slave.shutdown(LIMIT).await;
    let slave = world.start(&disk, slave_config()).await;
    caught_up(&master, &slave).await;
}
