//! At degree 2 and more nothing is seen, and nobody is told, before enough members have it on their disks.

use super::{world::*, *};

const FIRST_SLAVE: (u64, &str) = (1, "10.0.0.11:10911");
const SECOND_SLAVE: (u64, &str) = (2, "10.0.0.12:10911");

async fn master(world: &World, disk: &MemoryDisk, degree: u32) -> Broker {
    world.start(disk, BrokerConfig { degree, confirm_within_ms: 500, ..config("broker-a", MASTER) }).await
}

async fn slave(world: &World, disk: &MemoryDisk, (id, address): (u64, &str)) -> Broker {
    world.start(disk, BrokerConfig { id, ..config("broker-a", address) }).await
}

/// Waits until a broker shows so many messages of the queue.
async fn shows(broker: &Broker, messages: i64) {
    let wait = async {
        while broker.shared.store.view().unwrap().bounds("t", 0).unwrap().next < messages {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
}

/// Sends until it is told that the message is stored.
async fn send_until_stored(world: &World, body: &str) {
    let wait = async {
        while world.send_with("t", body, &[("UNIQ_KEY", body)]).await.code != response::SUCCESS {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
}

#[tokio::test]
async fn a_lone_master_of_degree_two_tells_nobody_that_it_has_stored_anything() {
    let world = World::new().await;
    let alone = master(&world, &MemoryDisk::default(), 2).await;
    let answer = world.send_with("t", "one", &[]).await;
    assert_eq!(answer.code, response::SYSTEM_ERROR);
    assert!(answer.remark.unwrap().contains("not confirmed by the other members of the group within 500 ms"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = world.send_with("t", "two", &[]).await;
    assert!(answer.remark.unwrap().contains("do not confirm what was written before"));
    assert!(alone.shared.store.view().unwrap().all_topics().unwrap().is_empty(), "nothing is seen");
    assert!(alone.shared.readings().unconfirmed_ms.unwrap() >= 500);
}

#[tokio::test]
async fn with_its_slave_it_serves_and_the_slave_shows_the_same() {
    let world = World::new().await;
    let master = master(&world, &MemoryDisk::default(), 2).await;
    let slave = slave(&world, &MemoryDisk::default(), FIRST_SLAVE).await;
    send_until_stored(&world, "one").await;
    assert!(slave.shared.store.durable().unwrap().bounds("t", 0).unwrap().next >= 1, "before the sender was told");
    shows(&slave, 1).await;
    let popped = world.pop_now(&popping("t")).await;
    assert_eq!(bodies(&popped), ["one"]);
    assert_eq!(world.ack(&popped[0]).await.code, response::SUCCESS);
    assert_eq!(master.shared.readings().unconfirmed_ms, Some(0));
}

#[tokio::test]
async fn what_was_written_while_the_slave_was_away_is_confirmed_when_it_is_back() {
    let world = World::new().await;
    let (disk, slave_disk) = (MemoryDisk::default(), MemoryDisk::default());
    let first = master(&world, &disk, 2).await;
    let follower = slave(&world, &slave_disk, FIRST_SLAVE).await;
    send_until_stored(&world, "one").await;
    follower.shutdown(Duration::from_secs(1)).await;
    assert_ne!(world.send_with("t", "two", &[("UNIQ_KEY", "two")]).await.code, response::SUCCESS);
    // A restart confirms nothing either.
    first.shutdown(Duration::from_secs(1)).await;
    let again = master(&world, &disk, 2).await;
    assert_eq!(again.shared.store.view().unwrap().bounds("t", 0).unwrap().next, 1);
    assert_eq!(again.shared.store.durable().unwrap().bounds("t", 0).unwrap().next, 2);
    let follower = slave(&world, &slave_disk, FIRST_SLAVE).await;
    shows(&again, 2).await;
    send_until_stored(&world, "two").await;
    shows(&follower, 2).await;
    assert_eq!(bodies(&world.pop_now(&popping("t")).await), ["one", "two"], "the repeated send is known");
}

/// How a broker answers a group that pulls the message at this offset, and asks for no wait.
async fn pulled(world: &World, group: &str, topic: &str, offset: i64) -> i32 {
    let header = PullMessageHeader {
        consumer_group: group.into(),
        topic: topic.into(),
        queue_offset: offset,
        max_msg_nums: 1,
        ..PullMessageHeader::default()
    };
    world.ask(MASTER, Command::request(request::PULL_MESSAGE).with_header(&header)).await.code
}

/// Known defect A18: a master that begins again and waits for its slave answers as if the message were gone.
#[tokio::test]
async fn a_reviver_is_never_told_that_what_waits_for_the_slave_is_not_there() {
    const REVIVER: &str = "InnerConsumerGroup_broker-b_0";
    let world = World::new().await;
    let disk = MemoryDisk::default();
    let first = master(&world, &disk, 2).await;
    let follower = slave(&world, &MemoryDisk::default(), FIRST_SLAVE).await;
    send_until_stored(&world, "one").await;
    assert_eq!(pulled(&world, "g", "t", 0).await, response::SUCCESS);
    follower.shutdown(Duration::from_secs(1)).await;
    assert_ne!(world.send_with("t", "two", &[]).await.code, response::SUCCESS);
    first.shutdown(Duration::from_secs(1)).await;
    // Who was told of the second message, it cannot know any more.
    let _again = master(&world, &disk, 2).await;
    assert_eq!(pulled(&world, REVIVER, "t", 0).await, response::SUCCESS);
    assert_eq!(pulled(&world, REVIVER, "t", 1).await, response::SLAVE_NOT_AVAILABLE);
    assert_eq!(pulled(&world, REVIVER, "t", 2).await, response::PULL_OFFSET_MOVED, "nobody has that");
    assert_eq!(pulled(&world, "g", "t", 1).await, response::PULL_NOT_FOUND, "for a consumer there is nothing yet");
}

#[tokio::test]
async fn degree_three_takes_two_slaves() {
    let world = World::new().await;
    let master = master(&world, &MemoryDisk::default(), 3).await;
    let first = slave(&world, &MemoryDisk::default(), FIRST_SLAVE).await;
    assert_ne!(world.send_with("t", "one", &[("UNIQ_KEY", "one")]).await.code, response::SUCCESS);
    let wait = async {
        while first.shared.store.durable().unwrap().last_index().unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
    assert!(first.shared.store.view().unwrap().all_topics().unwrap().is_empty(), "two disks are not enough");
    let second = slave(&world, &MemoryDisk::default(), SECOND_SLAVE).await;
    send_until_stored(&world, "one").await;
    for member in [&master, &first, &second] {
        shows(member, 1).await;
    }
}

#[tokio::test]
async fn who_does_not_say_which_slave_it_is_counts_for_nothing() {
    let world = World::new().await;
    let _master = master(&world, &MemoryDisk::default(), 2).await;
    for broker_id in [0, -1] {
        let header = ReplicateHeader { broker_name: "broker-a".into(), broker_id, ..ReplicateHeader::default() };
        let answer = world.ask(MASTER, Command::request(request::REPLICATE).with_header(&header)).await;
        assert_eq!(answer.code, response::INVALID_PARAMETER);
        assert!(answer.remark.unwrap().contains("the id of a slave, 1 or more"));
    }
}
