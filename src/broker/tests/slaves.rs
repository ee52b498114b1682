//! A slave follows its master, serves reads while that is away, and decides nothing.

use super::{world::*, *};
use crate::metrics::Labels;

const SLAVE: &str = "10.0.0.11:10911";

fn slave_config() -> BrokerConfig {
    BrokerConfig { id: 1, ..config("broker-a", SLAVE) }
}

fn last_index(broker: &Broker) -> u64 {
    broker.shared.store.view().unwrap().last_index().unwrap()
}

/// Waits until the slave has all that its master has, and knows it.
async fn caught_up(master: &Broker, slave: &Broker) {
    let is_behind = || slave.shared.readings().following.is_some_and(|following| following.behind > 0);
    let wait = async {
        while last_index(slave) < last_index(master) || is_behind() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
}

fn pulling(offset: i64) -> Command {
    let header = PullMessageHeader {
        consumer_group: "InnerConsumerGroup_broker-b_0".into(),
        topic: "t".into(),
        queue_offset: offset,
        max_msg_nums: 1,
        ..PullMessageHeader::default()
    };
    Command::request(request::PULL_MESSAGE).with_header(&header)
}

async fn pair() -> (World, Broker, Broker) {
    let (world, master) = World::with_broker().await;
    world.send("t", "one").await;
    let slave = world.start(&MemoryDisk::default(), slave_config()).await;
    caught_up(&master, &slave).await;
    (world, master, slave)
}

#[tokio::test]
async fn what_the_master_stores_is_read_at_the_slave_too() {
    let (world, master, slave) = pair().await;
    world.send("t", "two").await;
    caught_up(&master, &slave).await;
    for address in [MASTER, SLAVE] {
        let answer = world.ask(address, pulling(1)).await;
        assert_eq!(answer.code, response::SUCCESS);
        assert_eq!(Message::decode(&mut answer.body.clone()).unwrap().body, "two");
    }
    caught_up(&master, &slave).await;
    let readings = slave.shared.readings().following.unwrap();
    assert_eq!((readings.behind, readings.stuck), (0, false));
    world.pop_now(&popping("t")).await;
    caught_up(&master, &slave).await;
    let text = |broker: &Broker| {
        let labels = Labels { cluster: "c".into(), node_id: "n".into() };
        broker.shared.metrics.encode(&labels, broker.shared.readings()).unwrap()
    };
    let popped = "rocketmq_pop_revive_in_message_total{";
    assert!(text(&master).contains(popped));
    assert!(!text(&slave).contains(popped), "what the master counts is not counted twice");
    assert_eq!(master.shared.readings().following, None);
}

#[test]
fn a_slave_hands_nothing_over() {
    let slave = BrokerConfig { escape_to: Some("broker-b".into()), ..slave_config() };
    assert_eq!(slave.check(), Err(ConfigError::SlaveEscapes));
    assert_eq!(slave_config().check(), Ok(()));
}

#[tokio::test]
async fn it_refuses_what_is_its_masters_to_decide() {
    let (world, _master, slave) = pair().await;
    let before = last_index(&slave);
    let popping = Command::request(request::POP_MESSAGE).with_header(&popping("t"));
    for refused in [popping, Command::request(request::SEND_MESSAGE_V2), Command::request(request::ACK_MESSAGE)] {
        let answer = world.ask(SLAVE, refused).await;
        assert_eq!(answer.code, response::SERVICE_NOT_AVAILABLE, "{answer:?}");
        assert!(answer.remark.unwrap().contains("a slave"));
    }
    assert_eq!(last_index(&slave), before);
}

/// Known defect A18: a slave that is behind answers as if the message were gone.
#[tokio::test]
async fn nothing_that_a_slave_does_not_know_is_told_for_good() {
    let (world, _master, _slave) = pair().await;
    let behind = world.ask(SLAVE, pulling(9)).await;
    assert_ne!(behind.code, response::SUCCESS);
    assert_eq!(behind.ext.get("holderTerm"), None, "only the holder's word is final");
    let topic = PullMessageHeader {
        consumer_group: "InnerConsumerGroup_broker-b_0".into(),
        topic: "unknown".into(),
        max_msg_nums: 1,
        ..PullMessageHeader::default()
    };
    let unknown = Command::request(request::PULL_MESSAGE).with_header(&topic);
    assert_eq!(world.ask(SLAVE, unknown.clone()).await.code, response::SERVICE_NOT_AVAILABLE);
    assert_eq!(world.ask(MASTER, unknown).await.code, response::TOPIC_NOT_EXIST);
}

#[tokio::test]
async fn a_slave_that_was_away_catches_up() {
    let (world, master) = World::with_broker().await;
    let disk = MemoryDisk::default();
    let slave = world.start(&disk, slave_config()).await;
    world.send("t", "one").await;
    caught_up(&master, &slave).await;
    slave.shutdown(Duration::from_secs(1)).await;
    for number in 0..300 {
        world.send("t", &number.to_string()).await;
    }
    let slave = world.start(&disk, slave_config()).await;
    caught_up(&master, &slave).await;
    let (ours, theirs) = (slave.shared.store.view().unwrap(), master.shared.store.view().unwrap());
    assert_eq!(ours.log_end().unwrap(), theirs.log_end().unwrap());
    assert_eq!(ours.bounds("t", 0).unwrap(), theirs.bounds("t", 0).unwrap());
}

#[tokio::test]
async fn a_log_that_is_not_the_masters_is_kept_and_told() {
    let (world, master, slave) = pair().await;
    let (disk, before) = (MemoryDisk::default(), last_index(&slave));
    master.shutdown(Duration::from_secs(1)).await;
    // The master comes back without its disk, and has stored less than the slave has.
    let _anew = world.start(&disk, config("broker-a", MASTER)).await;
    let wait = async {
        while !slave.shared.readings().following.unwrap().stuck {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
    assert_eq!(last_index(&slave), before);
    assert_eq!(world.ask(SLAVE, pulling(0)).await.code, response::SUCCESS, "it serves what it has");
}

#[tokio::test]
async fn a_message_is_revived_from_a_slave_while_its_master_is_away() {
    let world = World::new().await;
    let master = world
        .start(
            &MemoryDisk::default(),
            BrokerConfig { escape_to: Some("broker-b".into()), ..config("broker-a", MASTER) },
        )
        .await;
    let home = world.start(&MemoryDisk::default(), config("broker-b", NEIGHBOUR)).await;
    let slave = world.start(&MemoryDisk::default(), slave_config()).await;
    world.send("t", "body").await;
    // Refused until the name server knows the home.
    let pop = Command::request(request::POP_MESSAGE).with_header(&PopMessageHeader { poll_time: 0, ..popping("t") });
    let is_popped = async {
        while world.ask(MASTER, pop.clone()).await.code != response::SUCCESS {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, is_popped).await.unwrap();
    caught_up(&master, &slave).await;
    master.shutdown(Duration::from_secs(1)).await;
    let wait = async {
        loop {
            let copies = world.pop_at(NEIGHBOUR, &popping("t")).await;
            if let [copy] = &copies[..] {
                return copy.body().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(tokio::time::timeout(LIMIT, wait).await.unwrap(), "body");
    drop((home, slave));
}
