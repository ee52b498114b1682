//! What becomes of a broker whose store is damaged: it reads it again; then a slave begins anew, and a broker that is alone goes
//! on with what is left.

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
async fn neither_a_master_with_others_nor_who_is_set_up_to_wait_does_anything() {
    let (world, _master, disk, content) = stopped_slave().await;
    disk.flip(FILE, IN_USE, 1);
    let waiting = BrokerConfig { begins_anew_after_ms: 0, ..slave_config() };
    let alone = BrokerConfig { salvages_after_ms: 0, begins_anew_after_ms: 1, ..config("broker-a", SLAVE) };
    let with_others = BrokerConfig { degree: 2, salvages_after_ms: 1, begins_anew_after_ms: 1, ..alone.clone() };
    for config in [waiting, alone, with_others] {
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
    let with = |salvages_after_ms| BrokerConfig { salvages_after_ms, ..slave_config() }.check();
    assert_eq!(with(0), Ok(()));
    assert!(matches!(with(u64::MAX), Err(ConfigError::Span { field: "salvages_after_ms", .. })));
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

/// Alone, and with its rows settled at once.
fn alone_config() -> BrokerConfig {
    BrokerConfig { salvages_after_ms: 300, recent_rows: 1, ..config("broker-a", MASTER) }
}

/// Turns bits over in everything of the file that reads so: more than can be put right.
fn damage(disk: &MemoryDisk, text: &str) {
    let content = disk.content(FILE);
    let places = content.windows(text.len()).enumerate().filter(|(_, bytes)| *bytes == text.as_bytes());
    places.for_each(|(at, _)| disk.flip(FILE, at, 3));
}

/// A broker that is alone, with these messages in one queue of a topic, was stopped: its world and its disk.
async fn stopped_alone(messages: &[&str]) -> (World, MemoryDisk) {
    let (world, disk) = (World::new().await, MemoryDisk::default());
    let broker = world.start(&disk, alone_config()).await;
    for message in messages {
        world.send("t", message).await;
    }
    broker.shutdown(LIMIT).await;
    (world, disk)
}

#[tokio::test]
async fn a_broker_that_is_alone_goes_on_with_what_is_left_and_tells_what_is_not() {
    let large = |name: &str| name.repeat(3000); // each has pages of its own
    let names = ["one", "two", "six"];
    let (world, disk) = stopped_alone(&names.map(large).each_ref().map(String::as_str)).await;
    damage(&disk, "twotwotwo");
    let damaged = disk.content(FILE);
    let broker = world.start(&disk, alone_config()).await;
    let popped = world.pop(&popping("t")).await;
    let firsts: Vec<_> = popped.iter().map(|delivered| &delivered.body()[..3]).collect();
    assert_eq!(firsts.len(), 2, "{firsts:?}");
    assert!(firsts.contains(&"one") && firsts.contains(&"six"), "{firsts:?}");
    assert_eq!(disk.content(&aside(FILE, 1)), damaged);
    let told = broker.shared.store.view().unwrap().set_aside(9).unwrap();
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!(told.tag, "salvage");
    let losses: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(losses["messages"].as_array().unwrap().len(), 1, "{losses}");
    world.send("t", "seven").await;
    assert_eq!(bodies(&world.pop(&popping("t")).await), ["seven"]);
}

#[tokio::test]
async fn a_broker_of_which_nothing_is_left_stays_down_and_says_why() {
    let (world, disk) = stopped_alone(&["one"]).await;
    disk.flip(FILE, 70, 3);
    disk.flip(FILE, 200, 3);
    let damaged = disk.content(FILE);
    let refused = Broker::start(host(&disk, world.clock.clone(), &world.net), alone_config()).await.err().unwrap();
    assert!(matches!(refused, BrokerError::Salvage { .. }), "{refused:?}");
    assert_eq!(disk.content(FILE), damaged);
}

#[tokio::test]
async fn a_broker_that_is_alone_and_damaged_while_it_runs_has_to_be_started_again() {
    let (world, disk) = stopped_alone(&["one"]).await;
    let broker = world.start(&disk, alone_config()).await;
    disk.flip(FILE, IN_USE, 1);
    disk.fail_syncs(1);
    let refused = world.send_with("t", "two", &[]).await;
    assert_ne!(refused.code, response::SUCCESS);
    tokio::time::timeout(LIMIT, broker.has_to_restart()).await.unwrap();
    broker.shutdown(LIMIT).await;
    let _broker = world.start(&disk, alone_config()).await;
    assert!(!world.pop(&popping("t")).await.is_empty());
}
