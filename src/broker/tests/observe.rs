//! What an operator sees of a running broker.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::seams::Transport;

const METRICS: &str = "10.0.0.1:5557";

fn observed() -> BrokerConfig {
    BrokerConfig { metrics_listen: Some(METRICS.into()), ..config("broker-a", MASTER) }
}

/// The status and body of a page.
async fn get(net: &MemoryTransport, path: &str) -> (u16, String) {
    let mut stream = net.connect(METRICS).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The sum of the samples that begin with `name` and hold `label`.
async fn sum(net: &MemoryTransport, name: &str, label: &str) -> f64 {
    let (_, text) = get(net, "/metrics").await;
    let samples = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn a_fresh_broker_shows_every_metric_at_its_beginning() {
    let world = World::new().await;
    let broker = world.start(&MemoryDisk::default(), observed()).await;
    assert_eq!(broker.metrics_address(), Some(METRICS));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (status, text) = get(&world.net, "/metrics").await;
    assert_eq!(status, 200);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("metrics-fresh-broker", text));
    assert_eq!(get(&world.net, "/health").await.0, 200);
}

#[tokio::test]
async fn counters_follow_a_message_that_is_revived_and_one_that_is_acked() {
    let world = World::new().await;
    let disk = MemoryDisk::default();
    let broker = world.start(&disk, observed()).await;
    world.send("t", "kept").await;
    world.send("t", "acked").await;
    let popped = world.pop(&popping("t")).await;
    assert_eq!(sum(&world.net, "pop_revive_chains_waiting", "").await, 2.0);
    assert_eq!(world.ack(&popped[1]).await.code, response::SUCCESS);
    assert_eq!(bodies(&world.pop(&PopMessageHeader { invisible_time: 60_000, ..popping("t") }).await), ["kept"]);
    assert_eq!(sum(&world.net, "pop_revive_chains_ended_total", "\"revived\"").await, 1.0);
    assert_eq!(sum(&world.net, "pop_revive_chains_ended_total", "\"acked\"").await, 1.0);
    assert_eq!(sum(&world.net, "rocketmq_pop_revive_retry_messages_total", "PUT_OK").await, 1.0);
    assert_eq!(sum(&world.net, "pop_revive_requests_total", "\"ACK_MESSAGE\"").await, 1.0);
    broker.shutdown(LIMIT).await;
    let _broker = world.start(&disk, observed()).await;
    assert_eq!(sum(&world.net, "pop_revive_chains_waiting", "").await, 1.0, "read off the tables, not counted");
}

#[tokio::test]
async fn failing_and_parked_chains_are_seen_also_after_a_restart() {
    let world = World::new().await;
    let disk = MemoryDisk::default();
    let mut settings = observed();
    settings.policy.refusals = 1;
    let broker = world.start(&disk, settings).await;
    let popped_ms = world.now_ms() - 10;
    // The owner of these is unknown to everybody.
    let body = format!(r#"{{"bn":"nobody","c":"g","d":[0],"it":1,"n":1,"pt":{popped_ms},"q":0,"so":0,"t":"t"}}"#);
    assert_eq!(world.revive_message("ck", &body).await.code, response::SUCCESS);
    // And this one's offset was never there.
    let body = format!(r#"{{"c":"g","d":[0],"it":1,"n":1,"pt":{popped_ms},"q":0,"so":7,"t":"t"}}"#);
    assert_eq!(world.revive_message("ck", &body).await.code, response::SUCCESS);
    assert_eq!(world.revive_message("ck", "nonsense").await.code, response::SUCCESS);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(sum(&world.net, "pop_revive_read_failures_total", "cause=\"no-route\",peer=\"nobody\"").await, 1.0);
    assert_eq!(sum(&world.net, "pop_revive_rewrites_total", "attempt=\"1\"").await, 1.0);
    assert_eq!(sum(&world.net, "pop_revive_parked_total", "\"permanent\"").await, 1.0);
    broker.shutdown(LIMIT).await;
    let _broker = world.start(&disk, observed()).await;
    assert_eq!(sum(&world.net, "pop_revive_chains_failing", "").await, 1.0);
    assert!(sum(&world.net, "pop_revive_oldest_failing_chain_age_seconds", "").await > 0.1);
    assert_eq!(sum(&world.net, "pop_revive_chains_parked", "").await, 1.0);
    assert_eq!(sum(&world.net, "pop_revive_set_aside", "").await, 1.0);
    assert_eq!(sum(&world.net, "pop_revive_parked_total", "").await, 0.0, "counters begin with the process");
}

#[tokio::test]
async fn a_failed_commit_and_a_lost_name_server_are_seen() {
    let world = World::new().await;
    let disk = MemoryDisk::default();
    let settings = BrokerConfig { register_every_ms: 300, ..observed() };
    let _broker = world.start(&disk, settings).await;
    world.send("t", "m").await;
    assert_eq!(sum(&world.net, "pop_revive_long_polls_waiting", "").await, 0.0);
    disk.fail_syncs(1);
    assert_ne!(world.send_with("t", "lost", &[]).await.code, response::SUCCESS);
    assert_eq!(sum(&world.net, "pop_revive_store_commit_failures_total", "").await, 1.0);
    world.name_server.shutdown().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(sum(&world.net, "pop_revive_registered", "").await, 0.0);
    let (status, health) = get(&world.net, "/health").await;
    assert_eq!((status, health.contains("\"registered\":false")), (503, true), "{health}");
    assert_eq!(get(&world.net, "/health/live").await.0, 200);
}

#[tokio::test]
async fn nothing_is_served_unless_it_is_configured() {
    let (world, broker) = World::with_broker().await;
    assert_eq!(broker.metrics_address(), None);
    assert!(world.net.connect(METRICS).await.is_err());
}

#[tokio::test]
async fn the_breaker_towards_a_peer_that_nobody_knows_is_seen_open() {
    let world = World::new().await;
    let _broker = world.start(&MemoryDisk::default(), observed()).await;
    assert_eq!(sum(&world.net, "pop_revive_breaker_state", "peer=\"nobody\"").await, 0.0);
    let popped_ms = world.now_ms() - 10;
    // So far apart that each is read on a trip of its own: three failures open the breaker.
    for offset in [0, 100, 200] {
        let body =
            format!(r#"{{"bn":"nobody","c":"g","d":[0],"it":1,"n":1,"pt":{popped_ms},"q":0,"so":{offset},"t":"t"}}"#);
        assert_eq!(world.revive_message("ck", &body).await.code, response::SUCCESS);
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(sum(&world.net, "pop_revive_breaker_state", "peer=\"nobody\"").await, 2.0, "open");
}
