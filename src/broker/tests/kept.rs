//! What is kept, and for how long: expired messages and forgotten chains, as clients see them.

use super::*;
use crate::{
    remote::read::HOLDER_TERM,
    remoting::headers::{GetMinOffsetHeader, PullMessageResponseHeader},
};

const AGE_MS: u64 = 5_000;

fn keeping() -> BrokerConfig {
    BrokerConfig { retention: RetentionConfig { age_ms: Some(AGE_MS), bytes: None }, ..config("broker-a", MASTER) }
}

async fn pull(world: &World, queue_offset: i64) -> Command {
    let header = PullMessageHeader {
        consumer_group: "g".into(),
        topic: "t".into(),
        queue_id: 0,
        queue_offset,
        max_msg_nums: 32,
        ..PullMessageHeader::default()
    };
    world.ask(MASTER, Command::request(request::PULL_MESSAGE).with_header(&header)).await
}

#[tokio::test]
async fn an_expired_offset_has_moved_and_pops_go_on_at_the_minimum() {
    let world = World::new().await;
    let broker = world.start(&MemoryDisk::default(), keeping()).await;
    for body in ["a", "b"] {
        world.send("t", body).await;
    }
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    world.send("t", "c").await;
    assert_eq!(pull(&world, 0).await.code, response::SUCCESS, "not yet");
    tokio::time::sleep(Duration::from_millis(3_000)).await;

    let moved = pull(&world, 1).await;
    let header: PullMessageResponseHeader = moved.header().unwrap();
    assert_eq!((moved.code, moved.remark.as_deref()), (response::PULL_OFFSET_MOVED, Some("OFFSET_TOO_SMALL")));
    assert_eq!((header.next_begin_offset, header.min_offset, header.max_offset), (2, 2, 3));
    assert!(moved.ext.contains_key(HOLDER_TERM), "with it, it is proof");
    let minimum = GetMinOffsetHeader { topic: "t".into(), queue_id: 0, bname: None };
    let answer = world.ask(MASTER, Command::request(request::GET_MIN_OFFSET).with_header(&minimum)).await;
    assert_eq!(answer.header::<OffsetResponseHeader>().unwrap().offset, 2);
    assert_eq!(bodies(&world.pop_now(&popping("t")).await), ["c"]);
    broker.shutdown(LIMIT).await;
}

#[tokio::test]
async fn a_popped_message_is_revived_though_it_has_expired() {
    let (world, disk) = (World::new().await, MemoryDisk::default());
    let broker = world.start(&disk, keeping()).await;
    world.send("t", "m").await;
    let header = PopMessageHeader { invisible_time: 8_000, ..popping("t") };
    assert_eq!(bodies(&world.pop(&header).await), ["m"]);
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    assert_eq!(pull(&world, 0).await.code, response::PULL_OFFSET_MOVED);
    broker.shutdown(LIMIT).await;
    let broker = world.start(&disk, keeping()).await;
    assert_eq!(bodies(&world.pop(&header).await), ["m"], "its copy, which is young");
    broker.shutdown(LIMIT).await;
}

#[tokio::test]
async fn the_file_grows_with_what_is_kept_and_not_with_what_was_sent() {
    let (world, disk) = (World::new().await, MemoryDisk::default());
    let broker = world.start(&disk, keeping()).await;
    let body = "x".repeat(64 << 10);
    let mut largest = Vec::new();
    for _ in 0..6 {
        for _ in 0..50 {
            world.send("t", &body).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        largest.push(disk.length(crate::store::FILE));
    }
    let (first, last) = (largest[0], largest[5]);
    assert!(last <= 2 * first, "the file grows: {largest:?}");
    broker.shutdown(LIMIT).await;
}

#[tokio::test]
async fn a_checkpoint_of_a_forgotten_chain_is_refused_and_its_ack_is_unknown() {
    let world = World::new().await;
    let window = BrokerConfig { chain_window_ms: 100_000, ..config("broker-a", MASTER) };
    let broker = world.start(&MemoryDisk::default(), window).await;
    world.send("t", "m").await;
    let popped = world.pop(&popping("t")).await;
    assert_eq!(world.ack(&popped[0]).await.code, response::SUCCESS);
    tokio::time::sleep(Duration::from_millis(90_000)).await;
    assert_eq!(world.ack(&popped[0]).await.code, response::SUCCESS, "a repeated ack hears the same");
    tokio::time::sleep(Duration::from_millis(30_000)).await;

    let again = world.ack(&popped[0]).await;
    assert_eq!((again.code, again.ext.get("ackOutcome").map(String::as_str)), (response::NO_MESSAGE, Some("unknown")));
    let pop_time = popped[0].handle.split(' ').nth(1).unwrap();
    let checkpoint = format!(
        r#"{{"bn":"broker-a","c":"g","d":[0],"n":1,"pt":{pop_time},"it":1000,"q":0,"so":0,"t":"t","ro":0,"bm":0}}"#
    );
    let refused = world.revive_message("ck", &checkpoint).await;
    assert_eq!(refused.code, response::MESSAGE_ILLEGAL, "{:?}", refused.remark);
    assert!(refused.remark.unwrap().contains("forgotten here"));
    assert!(world.pop_now(&popping("t")).await.is_empty());
    broker.shutdown(LIMIT).await;
}

#[test]
fn what_keeps_nothing_or_forgets_too_early_is_refused() {
    let with = |age_ms, bytes| BrokerConfig { retention: RetentionConfig { age_ms, bytes }, ..keeping() }.check();
    assert_eq!(with(Some(0), None), Err(ConfigError::NothingKept { field: "retention.age_ms" }));
    assert_eq!(with(None, Some(0)), Err(ConfigError::NothingKept { field: "retention.bytes" }));
    assert!(matches!(with(Some(u64::MAX), None), Err(ConfigError::Span { field: "retention.age_ms", .. })));
    assert_eq!((with(None, None), with(Some(1), Some(1))), (Ok(()), Ok(())));

    // 20 waits of 500 ms, and 21 attempts of 4 s.
    let window = |chain_window_ms| BrokerConfig { chain_window_ms, ..keeping() }.check();
    assert_eq!(window(93_999), Err(ConfigError::ChainWindow { found: 93_999, least: 94_000 }));
    assert_eq!((window(94_000), window(0)), (Ok(()), Ok(())));
    assert!(matches!(window(u64::MAX), Err(ConfigError::Span { field: "chain_window_ms", .. })));
}
