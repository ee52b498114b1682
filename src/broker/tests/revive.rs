//! Checkpoints from other brokers, parked chains, restarts.

use super::*;

/// Known defect A96.
#[tokio::test]
async fn a_popped_message_is_revived_by_the_broker_that_comes_back() {
    let world = World::new().await;
    let disk = MemoryDisk::default();
    let broker = world.start(&disk, config("broker-a", MASTER)).await;
    world.send("t", "kept").await;
    world.send("t", "acked").await;
    let popped = world.pop(&popping("t")).await;
    assert_eq!(world.ack(&popped[1]).await.code, response::SUCCESS);
    broker.shutdown(LIMIT).await;
    let _broker = world.start(&disk, config("broker-a", MASTER)).await;
    assert_eq!(bodies(&world.pop(&popping("t")).await), ["kept"]);
}

#[tokio::test]
async fn a_message_redelivered_to_its_limit_is_a_dead_letter() {
    let (world, _broker) = World::with_broker().await;
    let body = r#"{"groupName":"g","retryMaxTimes":1}"#;
    world.ask(MASTER, Command::request(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).with_body(body)).await;
    world.send("t", "m").await;
    for _ in 0..2 {
        assert_eq!(bodies(&world.pop(&popping("t")).await), ["m"]);
    }
    assert!(world.pop(&PopMessageHeader { poll_time: 2_000, ..popping("t") }).await.is_empty());
    let header = PullMessageHeader {
        consumer_group: "operator".into(),
        topic: "%DLQ%g".into(),
        max_msg_nums: 1,
        ..PullMessageHeader::default()
    };
    let dead = world.ask(MASTER, Command::request(request::PULL_MESSAGE).with_header(&header)).await;
    let dead = Message::decode(&mut dead.body.clone()).unwrap();
    assert_eq!((&dead.body[..], dead.reconsume_times), (&b"m"[..], 2));
    assert_eq!(dead.properties.get(names::DLQ_ORIGIN_TOPIC), Some("%RETRY%g_t"));
}

/// Known defect A35.
#[tokio::test]
async fn a_checkpoint_from_apache_is_revived_by_the_wall_clock() {
    let (world, _broker) = World::with_broker().await;
    for body in ["a", "acked in its map", "c", "d"] {
        world.send("t", body).await;
    }
    // Neither our extension nor a broker name: an old broker knew only its own. Message 1 is acked in the bit map.
    let popped_ms = world.now_ms() - 5_000;
    let revive_ms = popped_ms + 6_000;
    let body = format!(r#"{{"bm":2,"c":"g","d":[0,1,2],"it":6000,"n":3,"pt":{popped_ms},"q":0,"so":0,"t":"t"}}"#);
    assert_eq!(world.revive_message("ck", &body).await.code, response::SUCCESS);
    assert_eq!(world.revive_message("ck", &body).await.code, response::SUCCESS, "sent twice, as a producer may");
    let ack = format!(r#"{{"ao":2,"c":"g","pt":{popped_ms},"q":0,"so":0,"t":"t"}}"#);
    let answer = world.revive_message("ack", &ack).await;
    assert_eq!(answer.ext.get("ackOutcome").map(String::as_str), Some("absorbed"));
    // The group has consumed the topic as far as that broker is concerned.
    let offset = UpdateConsumerOffsetHeader {
        consumer_group: "g".into(),
        topic: "t".into(),
        commit_offset: 4,
        ..UpdateConsumerOffsetHeader::default()
    };
    assert_eq!(world.ask_code(request::UPDATE_CONSUMER_OFFSET, &offset).await, response::SUCCESS);
    let popped = world.pop(&PopMessageHeader { invisible_time: 60_000, ..popping("t") }).await;
    assert_eq!(bodies(&popped), ["a"]);
    // Whatever is due waits for company for the service's interval of 1 s.
    assert!((0..1_200).contains(&(world.now_ms() - revive_ms)), "{}", world.now_ms() - revive_ms);
    assert!(world.pop(&PopMessageHeader { poll_time: 1_000, ..popping("t") }).await.is_empty());
}

#[tokio::test]
async fn an_ack_from_apache_may_come_before_its_checkpoint() {
    let (world, _broker) = World::with_broker().await;
    world.send("t", "m").await;
    let popped_ms = world.now_ms() - 5_000;
    let ack = format!(r#"{{"ao":0,"bn":"broker-a","c":"h","pt":{popped_ms},"q":0,"so":0,"t":"t"}}"#);
    let answer = world.revive_message("ack", &ack).await;
    assert_eq!(answer.ext.get("ackOutcome").map(String::as_str), Some("early"));
    let body =
        format!(r#"{{"bm":0,"bn":"broker-a","c":"h","d":[0],"it":1,"n":1,"pt":{popped_ms},"q":0,"so":0,"t":"t"}}"#);
    assert_eq!(world.revive_message("ck", &body).await.code, response::SUCCESS);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let retry = PullMessageHeader {
        consumer_group: "operator".into(),
        topic: "%RETRY%h_t".into(),
        max_msg_nums: 1,
        ..PullMessageHeader::default()
    };
    assert_eq!(world.ask_code(request::PULL_MESSAGE, &retry).await, response::PULL_NOT_FOUND);
}

/// Known defect B07.
#[tokio::test]
async fn what_is_not_understood_is_set_aside_and_listed() {
    let (world, _broker) = World::with_broker().await;
    let sound = r#""c":"g","d":[0],"it":1,"n":1,"pt":1,"q":0,"so":0"#;
    for (tag, body, reason) in [
        ("ck", "{not json".to_owned(), "JSON"),
        ("ck", r#"{"c":"g","it":1,"n":1,"pt":1,"q":0,"so":0}"#.to_owned(), "`t`"),
        ("ck", format!(r#"{{{sound},"t":"a/b"}}"#), "`t`"),
        ("ck", format!(r#"{{{sound},"t":"t","bn":"a/b"}}"#), "`bn`"),
        ("ack", r#"{"c":"g g","ao":1,"pt":1,"q":0,"so":0,"t":"t"}"#.to_owned(), "`c`"),
        ("rollback", "{}".to_owned(), "expected ck, ack or bAck"),
    ] {
        let before = world.list(MASTER, request::LIST_SET_ASIDE).await.len();
        assert_eq!(world.revive_message(tag, &body).await.code, response::SUCCESS, "it is kept, so it blocks nobody");
        let listed = world.list(MASTER, request::LIST_SET_ASIDE).await;
        assert_eq!(listed.len(), before + 1, "{body}");
        let row = listed.last().unwrap();
        assert_eq!((row["tag"].as_str(), row["body"].as_str()), (Some(tag), Some(body.as_str())));
        assert!(row["reason"].as_str().unwrap().contains(reason), "{row}");
    }
    assert!(world.list(MASTER, request::LIST_PARKED).await.is_empty());
}

#[tokio::test]
async fn parked_chains_are_listed_with_their_history_and_resumed() {
    let (world, _broker) = World::with_broker().await;
    let parked = async || {
        let mut tries = 0;
        loop {
            let rows = world.list(MASTER, request::LIST_PARKED).await;
            if rows.len() == 2 || tries == 50 {
                return rows;
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let popped_ms = world.now_ms() - 10;
    let body = format!(r#"{{"c":"g","d":[0,1],"it":1,"n":2,"pt":{popped_ms},"q":0,"so":7,"t":"t"}}"#);
    assert_eq!(world.revive_message("ck", &body).await.code, response::SUCCESS);
    let rows = parked().await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0]["history"]["failures"], 2, "refused twice");
    assert_eq!(rows[0]["history"]["latest"][0]["failure"]["cause"], "beyond-end");

    let mut page = Command::request(request::LIST_PARKED);
    page.ext.insert(parked::LIMIT.into(), "1".into());
    let first = world.ask(MASTER, page.clone()).await;
    page.ext.insert(parked::AFTER.into(), first.ext[parked::NEXT].clone());
    let second = world.ask(MASTER, page.clone()).await;
    assert_ne!(first.body, second.body);
    page.ext.insert(parked::LIMIT.into(), "0".into());
    assert_eq!(world.ask(MASTER, page).await.code, response::INVALID_PARAMETER);

    let resume = |chain: &str| {
        let mut resume = Command::request(request::RESUME_PARKED);
        resume.ext.insert(parked::CHAIN.into(), chain.to_owned());
        resume
    };
    let key = &first.ext[parked::NEXT];
    assert_eq!(world.ask(MASTER, resume(key)).await.ext[parked::COUNT], "1");
    assert_eq!(world.ask(MASTER, resume("nonsense")).await.code, response::INVALID_PARAMETER);
    let rows = parked().await;
    assert_eq!(rows.iter().filter(|row| row["round"] == 1).count(), 1, "{rows:?}");
    assert_eq!(rows.iter().map(|row| row["history"]["failures"].as_u64().unwrap()).sum::<u64>(), 6);

    let all = world.ask(MASTER, Command::request(request::RESUME_PARKED)).await;
    assert_eq!(all.ext[parked::COUNT], "2");
}

#[tokio::test]
async fn a_pull_ends_at_the_bytes_that_were_asked_for_but_brings_the_first_message() {
    let (world, _broker) = World::with_broker().await;
    for _ in 0..4 {
        world.send("t", &"x".repeat(1_000)).await;
    }
    let pulled = async |max_msg_bytes| {
        let header = PullMessageHeader {
            consumer_group: "operator".into(),
            topic: "t".into(),
            max_msg_nums: 32,
            max_msg_bytes,
            ..PullMessageHeader::default()
        };
        let answer = world.ask(MASTER, Command::request(request::PULL_MESSAGE).with_header(&header)).await;
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
        Message::decode_all(answer.body.clone()).unwrap().len()
    };
    assert_eq!(pulled(Some(10)).await, 1);
    assert_eq!(pulled(Some(2_500)).await, 2);
    assert_eq!((pulled(None).await, pulled(Some(0)).await), (4, 4));
}
