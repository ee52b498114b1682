//! Two brokers: the chains of pops made at one live at the other.

use super::*;

pub(super) struct Pair {
    pub(super) world: World,
    pub(super) disk: MemoryDisk,
    pub(super) a: Broker,
    pub(super) b: Broker,
}

pub(super) fn escaping() -> BrokerConfig {
    BrokerConfig { escape_to: Some("broker-b".into()), ..config("broker-a", MASTER) }
}

impl Pair {
    pub(super) async fn new() -> Self {
        let world = World::new().await;
        let disk = MemoryDisk::default();
        let b = world.start(&MemoryDisk::default(), config("broker-b", NEIGHBOUR)).await;
        let a = world.start(&disk, escaping()).await;
        // Until both have registered, a pop has nowhere to put its chains.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Self { world, disk, a, b }
    }

    async fn pop_b(&self, poll_time: i64) -> Vec<Delivered> {
        let header = PopMessageHeader { poll_time, invisible_time: 60_000, ..popping("t") };
        self.world.pop_at(NEIGHBOUR, &header).await
    }
}

#[tokio::test]
async fn unacked_messages_come_back_at_the_chains_home_and_acked_ones_do_not() {
    let pair = Pair::new().await;
    let world = &pair.world;
    for body in ["a", "b", "c"] {
        world.send("t", body).await;
    }
    let popped = world.pop(&popping("t")).await;
    assert_eq!(bodies(&popped), ["a", "b", "c"]);
    assert_eq!(world.ack(&popped[1]).await.code, response::SUCCESS);
    assert_eq!(world.ack(&popped[1]).await.code, response::SUCCESS);
    let renewed = world.renew(&popped[2], 3_000).await.unwrap();
    assert_eq!(bodies(&pair.pop_b(3_000).await), ["a"]);
    assert_eq!(world.ack(&popped[0]).await.ext.get("ackOutcome").map(String::as_str), Some("too-late"));
    assert_eq!(world.ack(&renewed).await.code, response::SUCCESS, "the new handle still goes through the owner");
    assert!(pair.pop_b(3_500).await.is_empty());
    pair.a.shutdown(LIMIT).await;
    pair.b.shutdown(LIMIT).await;
}

#[tokio::test]
async fn a_message_is_revived_once_its_owner_is_back() {
    let pair = Pair::new().await;
    let world = &pair.world;
    world.send("t", "m").await;
    assert_eq!(bodies(&world.pop(&popping("t")).await), ["m"]);
    pair.a.shutdown(LIMIT).await;
    let header = PopMessageHeader { poll_time: 3_000, invisible_time: 60_000, ..popping("t") };
    assert!(world.pop_at(NEIGHBOUR, &header).await.is_empty(), "its owner is away");
    assert!(world.list(NEIGHBOUR, request::LIST_PARKED).await.is_empty());
    let a = world.start(&pair.disk, escaping()).await;
    let back = world.pop_at(NEIGHBOUR, &PopMessageHeader { poll_time: 5_000, ..header }).await;
    assert_eq!(bodies(&back), ["m"]);
    a.shutdown(LIMIT).await;
    pair.b.shutdown(LIMIT).await;
}

/// Known defect A23.
#[tokio::test]
async fn a_pop_whose_chains_have_no_home_is_no_success_but_loses_nothing() {
    let world = World::new().await;
    let disk = MemoryDisk::default();
    let a = world.start(&disk, escaping()).await;
    world.send("t", "m").await;
    assert_eq!(world.ask_code(request::POP_MESSAGE, &popping("t")).await, response::SYSTEM_BUSY);
    let b = world.start(&MemoryDisk::default(), config("broker-b", NEIGHBOUR)).await;
    let header = PopMessageHeader { poll_time: 10_000, invisible_time: 60_000, ..popping("t") };
    // The topic appears there with the first chain that is handed over.
    let mut tries = 0;
    let back = loop {
        let answer = world.ask(NEIGHBOUR, Command::request(request::POP_MESSAGE).with_header(&header)).await;
        if answer.code != response::TOPIC_NOT_EXIST {
            break answer;
        }
        tries += 1;
        assert!(tries < 200, "never handed over");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(back.code, response::SUCCESS);
    assert_eq!(&Message::decode(&mut back.body.clone()).unwrap().body[..], b"m");
    a.shutdown(LIMIT).await;
    b.shutdown(LIMIT).await;
    world.name_server.shutdown().await;
}
