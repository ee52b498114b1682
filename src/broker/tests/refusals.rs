//! What is refused, with which code.

use super::*;

#[tokio::test]
async fn a_pop_that_cannot_be_served_says_why() {
    let world = World::new().await;
    let settings = BrokerConfig { auto_create_groups: false, ..config("broker-a", MASTER) };
    let _broker = world.start(&MemoryDisk::default(), settings).await;
    world.create_topic(MASTER, "t", 2).await;
    let good = || popping("t");
    for (header, code) in [
        (popping("nowhere"), response::TOPIC_NOT_EXIST),
        (good(), response::SUBSCRIPTION_GROUP_NOT_EXIST),
        (PopMessageHeader { queue_id: 2, ..good() }, response::INVALID_PARAMETER),
        (PopMessageHeader { max_msg_nums: 33, ..good() }, response::INVALID_PARAMETER),
        (PopMessageHeader { max_msg_nums: 0, ..good() }, response::INVALID_PARAMETER),
        (PopMessageHeader { invisible_time: 0, ..good() }, response::INVALID_PARAMETER),
        (PopMessageHeader { invisible_time: 259_200_001, ..good() }, response::INVALID_PARAMETER),
        (
            PopMessageHeader { exp_type: Some("SQL92".into()), exp: Some("a > 1".into()), ..good() },
            response::SUBSCRIPTION_PARSE_FAILED,
        ),
        (PopMessageHeader { order: true, ..good() }, response::REQUEST_CODE_NOT_SUPPORTED),
    ] {
        let answer = world.ask(MASTER, Command::request(request::POP_MESSAGE).with_header(&header)).await;
        assert_eq!(answer.code, code, "{header:?}: {:?}", answer.remark);
        assert!(answer.remark.is_some_and(|remark| !remark.is_empty()));
    }
    assert_eq!(world.ask(MASTER, Command::request(request::POP_MESSAGE)).await.code, response::INVALID_PARAMETER);
    assert_eq!(world.ask(MASTER, Command::request(4_711)).await.code, response::REQUEST_CODE_NOT_SUPPORTED);
}

#[tokio::test]
async fn a_group_or_topic_that_forbids_it_is_obeyed() {
    let (world, _broker) = World::with_broker().await;
    world.send("t", "m").await;
    let body = r#"{"groupName":"g","consumeEnable":false}"#;
    let create = Command::request(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).with_body(body);
    assert_eq!(world.ask(MASTER, create).await.code, response::SUCCESS);
    assert_eq!(world.ask_code(request::POP_MESSAGE, &popping("t")).await, response::NO_PERMISSION);
    for (perm, code) in [(4, response::SUCCESS), (2, response::NO_PERMISSION)] {
        let topic = format!("perm-{perm}");
        let header = CreateTopicHeader {
            topic: topic.clone(),
            default_topic: "TBW102".into(),
            read_queue_nums: 1,
            write_queue_nums: 1,
            perm,
            topic_filter_type: "SINGLE_TAG".into(),
            ..CreateTopicHeader::default()
        };
        assert_eq!(world.ask_code(request::UPDATE_AND_CREATE_TOPIC, &header).await, response::SUCCESS);
        let sent = world.send_with(&topic, "m", &[]).await.code;
        assert_eq!(sent == response::SUCCESS, perm == 2);
        let popped = PopMessageHeader { consumer_group: "h".into(), poll_time: 0, ..popping(&topic) };
        let popped = world.ask_code(request::POP_MESSAGE, &popped).await;
        assert_eq!(popped == response::NO_PERMISSION, code == response::NO_PERMISSION);
    }
}

#[tokio::test]
async fn a_send_that_cannot_be_stored_says_why() {
    let world = World::new().await;
    let settings = BrokerConfig { auto_create_topics: false, ..config("broker-a", MASTER) };
    let _broker = world.start(&MemoryDisk::default(), settings).await;
    world.create_topic(MASTER, "t", 1).await;
    let too_far = (world.now_ms() + 259_300_000).to_string();
    let huge = "x".repeat((4 << 20) + 1);
    for (topic, body, properties, code) in [
        ("nowhere", "m", vec![], response::TOPIC_NOT_EXIST),
        ("bad+name", "m", vec![], response::INVALID_PARAMETER),
        ("SCHEDULE_TOPIC_XXXX", "m", vec![], response::NO_PERMISSION),
        ("t", huge.as_str(), vec![], response::MESSAGE_ILLEGAL),
        ("t", "m", vec![("TIMER_DELIVER_MS", too_far.as_str())], response::MESSAGE_ILLEGAL),
        ("t", "m", vec![("DELAY", "soon")], response::MESSAGE_ILLEGAL),
    ] {
        let answer = world.send_with(topic, body, &properties).await;
        assert_eq!(answer.code, code, "{topic} {properties:?}: {:?}", answer.remark);
    }
    assert!(world.pop_now(&popping("t")).await.is_empty());
}

#[tokio::test]
async fn an_ack_or_renewal_that_names_nothing_says_so() {
    let (world, _broker) = World::with_broker().await;
    world.send("t", "m").await;
    let popped = world.pop(&popping("t")).await.remove(0);
    let stranger: ReceiptHandle = popped.handle.parse().unwrap();
    let stranger = ReceiptHandle { pop_time: stranger.pop_time - 1, ..stranger }.to_string();
    let unknown = Delivered { handle: stranger, ..popped.clone() };
    let answer = world.ack(&unknown).await;
    assert_eq!(answer.code, response::NO_MESSAGE);
    assert_eq!(answer.ext.get("ackOutcome").map(String::as_str), Some(UNKNOWN));
    assert_eq!(world.renew(&unknown, 1_000).await.unwrap_err().code, response::NO_MESSAGE);
    for wrong in [
        Delivered { handle: "no handle".into(), ..popped.clone() },
        Delivered { offset: 1, ..popped.clone() },
        Delivered { queue: 1, ..popped.clone() },
    ] {
        assert_eq!(world.ack(&wrong).await.code, response::INVALID_PARAMETER);
        assert_eq!(world.renew(&wrong, 1_000).await.unwrap_err().code, response::INVALID_PARAMETER);
    }
    assert_eq!(world.renew(&popped, 0).await.unwrap_err().code, response::INVALID_PARAMETER);
    assert_eq!(world.ack(&popped).await.code, response::SUCCESS, "none of that hurt the real one");
}

#[tokio::test]
async fn a_pull_answers_with_the_codes_that_a_reviver_reads() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "empty", 1).await;
    world.send_with("t", "m", &[("TAGS", "A")]).await;
    let at = |topic: &str, queue_offset| PullMessageHeader {
        consumer_group: "InnerConsumerGroup_b_0".into(),
        topic: topic.into(),
        queue_offset,
        max_msg_nums: 1,
        sys_flag: 4,
        subscription: Some("*".into()),
        ..PullMessageHeader::default()
    };
    for (header, code) in [
        (at("t", 0), response::SUCCESS),
        (at("t", 1), response::PULL_NOT_FOUND),
        (at("t", 2), response::PULL_OFFSET_MOVED),
        (at("t", -1), response::PULL_OFFSET_MOVED),
        (at("empty", 0), response::PULL_NOT_FOUND),
        (at("empty", 1), response::PULL_OFFSET_MOVED),
        (PullMessageHeader { subscription: Some("B".into()), ..at("t", 0) }, response::PULL_RETRY_IMMEDIATELY),
        (PullMessageHeader { queue_id: 7, ..at("t", 0) }, response::INVALID_PARAMETER),
        (at("nowhere", 0), response::TOPIC_NOT_EXIST),
    ] {
        assert_eq!(world.ask_code(request::PULL_MESSAGE, &header).await, code, "{header:?}");
    }
}

#[tokio::test]
async fn a_broker_that_others_cannot_reach_does_not_start() {
    let world = World::new().await;
    for (listen, advertise) in [("0.0.0.0:10911", None), (MASTER, Some("broker-a:10911")), (MASTER, Some("[::]:1"))] {
        let settings = BrokerConfig { advertise: advertise.map(str::to_owned), ..config("broker-a", listen) };
        let machine = host(&MemoryDisk::default(), world.clock.clone(), &world.net);
        let refused = Broker::start(machine, settings).await.err();
        assert!(matches!(refused, Some(BrokerError::Address { .. })), "{listen} {advertise:?}");
    }
}
