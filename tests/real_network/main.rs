//! The real thing: a name server and two brokers as processes, on real sockets, disks and clocks.
#![cfg(not(madsim))]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod consumer;
mod node;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use pop_revive::remoting::code::response;

use self::{consumer::Consumer, node::Node};

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const MESSAGES: usize = 20;
const INVISIBLE_MS: i64 = 3_000;
const CALL: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `what` yields something.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const WAITS: [&str; 2] = ["--waits", "1s,1s,1s,1s,2s,2s,2s,2s,2s,2s,2s,2s"];

#[tokio::test]
async fn unacked_messages_of_a_killed_broker_are_revived_elsewhere_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let name_server = Node::name_server(folder.path());
    let b = Node::broker(folder.path(), "broker-b", "127.0.0.1:0", &name_server, &WAITS);
    let escape = [&["--escape-to", "broker-b"][..], &WAITS].concat();
    let mut a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &escape);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    let sent: BTreeSet<String> = (0..MESSAGES).map(|number| format!("order {number}")).collect();
    for body in &sent {
        consumer.send(&a.address, body).await;
    }
    until("the name server has the topic", async || {
        consumer.route(&name_server.address).await.contains_key("broker-a").then_some(())
    })
    .await;

    let popped = consumer.pop(&a.address, "broker-a", INVISIBLE_MS, 5_000).await;
    assert_eq!(popped.iter().map(|delivered| delivered.body.clone()).collect::<BTreeSet<_>>(), sent);
    let (acked, owed) = popped.split_at(MESSAGES / 2);
    for delivered in acked {
        consumer.ack(&a.address, delivered).await;
    }
    a.kill();
    until("broker-b has failed to read from broker-a", async || b.log_text().contains("read failed").then_some(()))
        .await;
    assert_eq!(consumer.parked(&b.address).await, "[]");

    let listen = a.address.clone();
    a = Node::broker(folder.path(), "broker-a", &listen, &name_server, &escape);
    assert_eq!(a.address, listen);
    let route = consumer.route(&name_server.address).await;
    assert_eq!(
        route.get("broker-b"),
        Some(&b.address),
        "a consumer that follows the route finds the copies: {route:?}"
    );
    let mut revived = consumer.take_at_least(owed.len(), &b.address, "broker-b").await;
    // Whatever comes after the last one would be a message too many.
    for (node, name) in [(&b, "broker-b"), (&a, "broker-a")] {
        let late = consumer.pop(&node.address, name, 60_000, 1_500).await;
        revived.extend(late.into_iter().map(|delivered| delivered.body));
    }
    revived.sort();
    let mut expected: Vec<String> = owed.iter().map(|delivered| delivered.body.clone()).collect();
    expected.sort();
    assert_eq!(revived, expected, "broker-b's log:\n{}", b.log_text());
    assert_eq!(consumer.parked(&b.address).await, "[]");
}

#[tokio::test]
async fn unacked_messages_of_a_killed_master_are_revived_from_its_slave_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let name_server = Node::name_server(folder.path());
    let b = Node::broker(folder.path(), "broker-b", "127.0.0.1:0", &name_server, &WAITS);
    // Whatever is confirmed is on the slave's disk too: the master may die at once.
    let escape = [&["--escape-to", "broker-b", "--degree", "2"][..], &WAITS].concat();
    let mut a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &escape);
    let _slave = Node::slave(folder.path(), "broker-a", &name_server, &[]);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    for number in 0..MESSAGES {
        consumer.send(&a.address, &format!("order {number}")).await;
    }
    let popped = consumer.pop(&a.address, "broker-a", INVISIBLE_MS, 5_000).await;
    assert_eq!(popped.len(), MESSAGES);
    let (acked, owed) = popped.split_at(MESSAGES / 2);
    for delivered in acked {
        consumer.ack(&a.address, delivered).await;
    }
    a.kill();

    let mut revived = consumer.take_at_least(owed.len(), &b.address, "broker-b").await;
    let late = consumer.pop(&b.address, "broker-b", 60_000, 1_500).await;
    revived.extend(late.into_iter().map(|delivered| delivered.body));
    revived.sort();
    let mut expected: Vec<String> = owed.iter().map(|delivered| delivered.body.clone()).collect();
    expected.sort();
    assert_eq!(revived, expected, "broker-b's log:\n{}", b.log_text());
}

#[tokio::test]
async fn a_slave_acts_for_a_killed_master_and_the_master_goes_on_where_that_ended() {
    a_master_is_away_and_back(false).await;
}

#[tokio::test]
async fn a_master_whose_disk_is_lost_gets_everything_from_its_slave_and_goes_on() {
    a_master_is_away_and_back(true).await;
}

async fn a_master_is_away_and_back(loses_disk: bool) {
    let folder = tempfile::tempdir().unwrap();
    let name_server = Node::name_server(folder.path());
    let b = Node::broker(folder.path(), "broker-b", "127.0.0.1:0", &name_server, &WAITS);
    let acting = [&["--acting-to", "broker-b", "--acting-after", "2s", "--degree", "2"][..], &WAITS].concat();
    let mut a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &acting);
    let slave = Node::slave(folder.path(), "broker-a", &name_server, &acting);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    for number in 0..MESSAGES {
        consumer.send(&a.address, &format!("popped {number}")).await;
    }
    let popped = consumer.pop(&a.address, "broker-a", INVISIBLE_MS, 5_000).await;
    assert_eq!(popped.len(), MESSAGES);
    let (acked, owed) = popped.split_at(MESSAGES / 2);
    for delivered in acked {
        consumer.ack(&a.address, delivered).await;
    }
    for number in 0..MESSAGES {
        consumer.send(&a.address, &format!("left {number}")).await;
    }
    let address = a.address.clone();
    a.kill();

    // What nobody had popped is handed out by the slave, and acked there.
    let mut left = Vec::new();
    until("the slave hands out what was left", async || {
        for delivered in consumer.try_to_pop(&slave.address, "broker-a", 60_000, 200).await.unwrap_or_default() {
            consumer.ack(&slave.address, &delivered).await;
            left.push(delivered.body);
        }
        (left.len() >= MESSAGES).then_some(())
    })
    .await;
    left.sort();
    let mut expected: Vec<String> = (0..MESSAGES).map(|number| format!("left {number}")).collect();
    expected.sort();
    assert_eq!(left, expected, "the slave's log:\n{}", slave.log_text());
    // What the master had handed out and nobody had acked is revived by the other group.
    let mut revived = consumer.take_at_least(owed.len(), &b.address, "broker-b").await;

    if loses_disk {
        std::fs::remove_dir_all(folder.path().join("broker-a")).unwrap();
    }
    // The master is back: it hands out what is new, and nothing that was handed out or revived meanwhile.
    let a = Node::broker(folder.path(), "broker-a", &address, &name_server, &acting);
    until("the master has taken back what its slave did", async || {
        let answer = consumer.try_to_create_topic(&a.address, "another").await;
        (answer.code == response::SUCCESS).then_some(())
    })
    .await;
    consumer.send(&a.address, "new").await;
    let new: Vec<String> = consumer.take_at_least(1, &a.address, "broker-a").await.into_iter().collect();
    assert_eq!(new, ["new"], "the master's log:\n{}", a.log_text());
    let late = consumer.pop(&b.address, "broker-b", 60_000, 1_500).await;
    revived.extend(late.into_iter().map(|delivered| delivered.body));
    revived.sort();
    let mut expected: Vec<String> = owed.iter().map(|delivered| delivered.body.clone()).collect();
    expected.sort();
    assert_eq!(revived, expected, "broker-b's log:\n{}", b.log_text());
}

#[tokio::test]
async fn the_second_slave_goes_on_when_the_master_and_the_first_slave_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let name_server = Node::name_server(folder.path());
    let b = Node::broker(folder.path(), "broker-b", "127.0.0.1:0", &name_server, &WAITS);
    let acting = ["--acting-to", "broker-b", "--acting-slaves", "2", "--acting-after", "2s", "--degree", "2"];
    let acting = [&acting[..], &WAITS].concat();
    let mut a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &acting);
    let slave = |id| Node::slave_of(folder.path(), ("broker-a", id), &name_server, &acting);
    let (mut first, second) = (slave(1), slave(2));
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    consumer.send(&a.address, "zero").await;
    assert_eq!(consumer.take_at_least(1, &a.address, "broker-a").await, ["zero"], "the consumer group is known now");
    let mut expected: Vec<String> = (0..2 * MESSAGES).map(|number| format!("left {number}")).collect();
    for body in &expected {
        consumer.send(&a.address, body).await;
    }
    // One that has never had all that its master had neither acts nor votes.
    let log_of = |node: &Node| node.metric("pop_revive_log_bytes", "");
    until("both slaves have everything", async || {
        [&first, &second].into_iter().all(|slave| log_of(slave) == log_of(&a)).then_some(())
    })
    .await;
    let address = a.address.clone();
    a.kill();

    let take = async |at: &Node| {
        let popped = consumer.try_to_pop(&at.address, "broker-a", 60_000, 200).await.unwrap_or_default();
        for delivered in &popped {
            consumer.ack(&at.address, delivered).await;
        }
        popped.into_iter().map(|delivered| delivered.body).collect::<Vec<_>>()
    };
    // One pop takes no more than 32.
    let acts = async || Some(take(&first).await).filter(|taken| !taken.is_empty());
    let mut left = until("the first slave acts", acts).await;
    first.kill();
    until("the second slave hands out the rest", async || {
        left.extend(take(&second).await);
        (left.len() >= expected.len()).then_some(())
    })
    .await;
    left.sort();
    expected.sort();
    assert_eq!(left, expected, "the second slave's log:\n{}", second.log_text());

    let (a, _first) = (Node::broker(folder.path(), "broker-a", &address, &name_server, &acting), slave(1));
    until("the master has taken back what its slaves did", async || {
        let answer = consumer.try_to_create_topic(&a.address, "another").await;
        (answer.code == response::SUCCESS).then_some(())
    })
    .await;
    consumer.send(&a.address, "new").await;
    assert_eq!(consumer.take_at_least(1, &a.address, "broker-a").await, ["new"], "its log:\n{}", a.log_text());
    assert!(consumer.pop(&b.address, "broker-b", 60_000, 1_500).await.is_empty(), "its log:\n{}", b.log_text());
}

#[tokio::test]
async fn an_operator_sees_a_revive_and_an_outage() {
    let folder = tempfile::tempdir().unwrap();
    let mut name_server = Node::name_server(folder.path());
    let a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &[]);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    consumer.send(&a.address, "order").await;
    until("the broker is ready", async || (a.get("/health").0 == 200).then_some(())).await;
    let revived = || a.metric("pop_revive_chains_ended_total", "outcome=\"revived\"");
    assert_eq!((revived(), a.metric("pop_revive_chains_waiting", "")), (0.0, 0.0));
    assert_eq!(consumer.pop(&a.address, "broker-a", 1_000, 5_000).await.len(), 1);
    assert_eq!(a.metric("pop_revive_chains_waiting", ""), 1.0);
    until("the message is revived", async || (revived() > 0.0).then_some(())).await;
    assert_eq!(a.metric("rocketmq_pop_revive_retry_messages_total", "put_status=\"PUT_OK\""), 1.0);
    assert_eq!(a.metric("pop_revive_requests_total", "request_code=\"POP_MESSAGE\""), 1.0);
    assert_eq!(a.metric("pop_revive_chains_waiting", ""), 0.0);
    assert_eq!(consumer.pop(&a.address, "broker-a", 60_000, 5_000).await.len(), 1);
    name_server.kill();
    consumer.create_topic_named(&a.address, "more").await;
    until("it is not registered any more", async || (a.get("/health").0 == 503).then_some(())).await;
    assert_eq!((a.get("/health/live").0, a.metric("pop_revive_registered", "")), (200, 0.0));
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_does_so_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut name_server = Node::name_server(folder.path());
    let mut a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &[]);
    let mut b = Node::broker(folder.path(), "broker-b", "127.0.0.1:0", &name_server, &[]);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    consumer.send(&a.address, "kept").await;
    until("the name server has the topic", async || {
        consumer.route(&name_server.address).await.contains_key("broker-a").then_some(())
    })
    .await;
    assert!(a.stop_by("-INT").success(), "{}", a.log_text());
    assert!(b.stop_by("-TERM").success(), "{}", b.log_text());
    assert!(consumer.route(&name_server.address).await.is_empty(), "it took leave of the name server");
    let a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &[]);
    let popped = consumer.pop(&a.address, "broker-a", INVISIBLE_MS, 1_000).await;
    assert_eq!(popped.len(), 1, "the store was closed in order and opened again");
    assert!(name_server.stop_by("-TERM").success());
}

#[tokio::test]
async fn a_lone_broker_goes_on_with_what_is_left_of_its_damaged_store() {
    let folder = tempfile::tempdir().unwrap();
    let name_server = Node::name_server(folder.path());
    let mut a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &[]);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    for body in ["one", "two"] {
        consumer.send(&a.address, body).await;
    }
    a.kill();

    let store = folder.path().join("broker-a").join("store.redb");
    let mut damaged = std::fs::read(&store).unwrap();
    let is_there = |at: &usize| damaged[*at..].starts_with(b"two");
    let copies: Vec<usize> = (0..damaged.len()).filter(is_there).collect();
    assert!(!copies.is_empty());
    copies.into_iter().for_each(|at| damaged[at] ^= 1);
    damaged[1] ^= 1; // and redb's magic number, so that it does not open at all
    std::fs::write(&store, &damaged).unwrap();

    let a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &["--salvages-after", "1s"]);
    let popped = consumer.pop(&a.address, "broker-a", INVISIBLE_MS, 5_000).await;
    let bodies: BTreeSet<_> = popped.iter().map(|delivered| delivered.body.as_str()).collect();
    assert_eq!(bodies, BTreeSet::from(["one", "two"]), "the bit was put right");
    assert_eq!(std::fs::read(folder.path().join("broker-a").join("store.redb.damaged-1")).unwrap(), damaged);
    assert!(a.log_text().contains("nothing of the damaged store is lost"), "{}", a.log_text());
    assert_eq!(a.metric("pop_revive_set_aside", ""), 1.0);
}
