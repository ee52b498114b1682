//! A disk that refuses a while: what is answered then, and what is left afterwards.

use super::*;

impl World {
    /// A world with a broker whose disk is at hand.
    async fn with_disk() -> (Self, Broker, MemoryDisk) {
        let (world, disk) = (Self::new().await, MemoryDisk::default());
        let broker = world.start(&disk, config("broker-a", MASTER)).await;
        (world, broker, disk)
    }
}

fn acking(delivered: &Delivered) -> Command {
    let header = AckMessageHeader {
        consumer_group: "g".into(),
        topic: delivered.real_topic.clone(),
        queue_id: delivered.queue,
        extra_info: delivered.handle.clone(),
        offset: delivered.offset,
        bname: None,
    };
    Command::request(request::ACK_MESSAGE).with_header(&header)
}

fn batch_acking(delivered: &Delivered) -> Command {
    let ReceiptHandle { pop_time, revive_queue, offset, .. } = delivered.handle.parse().unwrap();
    let ack = format!(
        r#"{{"b":"AQ==","c":"g","it":1,"pt":{pop_time},"q":0,"r":"0","rq":{revive_queue},"so":{offset},"t":"t"}}"#
    );
    let body = format!(r#"{{"acks":[{ack}],"brokerName":"broker-a"}}"#);
    Command::request(request::BATCH_ACK_MESSAGE).with_body(body)
}

fn renewing(delivered: &Delivered) -> Command {
    let header = ChangeInvisibleHeader {
        consumer_group: "g".into(),
        topic: delivered.real_topic.clone(),
        queue_id: delivered.queue,
        extra_info: delivered.handle.clone(),
        offset: delivered.offset,
        invisible_time: 60_000,
        bname: None,
    };
    Command::request(request::CHANGE_MESSAGE_INVISIBLETIME).with_header(&header)
}

fn sending(topic: &str, body: String, tag: &str) -> Command {
    let mut properties = Properties::new();
    properties.set(names::TAGS, tag);
    let header = SendMessageHeader {
        producer_group: "p".into(),
        topic: topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 1,
        properties: Some(properties.encode().unwrap()),
        ..SendMessageHeader::default()
    };
    let mut request = Command::request(request::SEND_MESSAGE_V2).with_body(body);
    header.write_v2(&mut request.ext);
    request
}

/// Known defects A05, A26, A59, A66, A67: nothing is answered with success that the disk did not take: not a send, a
/// pop, an ack (alone, in a batch, or as a message), a renewal, a checkpoint or an offset. Asked again, each succeeds.
#[tokio::test]
async fn nothing_is_a_success_that_the_disk_refused() {
    let (world, _broker, disk) = World::with_disk().await;
    for body in ["a", "b", "c", "d"] {
        world.send("t", body).await;
    }
    let popped = world.pop(&PopMessageHeader { max_msg_nums: 3, invisible_time: 60_000, ..popping("t") }).await;
    let revive_topic = "rmq_sys_REVIVE_LOG_DefaultCluster";
    let now_ms = world.now_ms();
    let checkpoint = format!(r#"{{"c":"h","d":[0],"it":60000,"n":1,"pt":{now_ms},"q":0,"so":0,"t":"t"}}"#);
    let ack = format!(r#"{{"ao":0,"c":"h","pt":{now_ms},"q":0,"so":0,"t":"t"}}"#);
    // A group that is new would be recorded first, and that be what fails.
    let group = Command::request(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).with_body(r#"{"groupName":"o"}"#);
    assert_eq!(world.ask(MASTER, group).await.code, response::SUCCESS);
    let offset = UpdateConsumerOffsetHeader {
        consumer_group: "o".into(),
        topic: "t".into(),
        commit_offset: 2,
        ..UpdateConsumerOffsetHeader::default()
    };
    for (name, request) in [
        ("send", sending("t", "e".into(), "A")),
        ("ack", acking(&popped[0])),
        ("batch ack", batch_acking(&popped[1])),
        ("renewal", renewing(&popped[2])),
        ("checkpoint", sending(revive_topic, checkpoint, "ck")),
        ("ack as a message", sending(revive_topic, ack, "ack")),
        ("offset", Command::request(request::UPDATE_CONSUMER_OFFSET).with_header(&offset)),
        ("pop", Command::request(request::POP_MESSAGE).with_header(&popping("t"))),
    ] {
        disk.fail_syncs(1);
        let refused = world.ask(MASTER, request.clone()).await;
        assert_eq!(refused.code, response::SYSTEM_ERROR, "{name}: {:?}", refused.remark);
        assert!(refused.remark.is_some_and(|remark| remark.contains("commit failed")), "{name}");
        let again = world.ask(MASTER, request).await;
        // What a refused pop took comes back when its time is over, if the disk took it all the same.
        assert_eq!(again.code, response::SUCCESS, "{name}: {:?}", again.remark);
    }
}

/// Known defects A52, A54, A75, B15: a pop that the disk refuses holds no lock, moves no offset by itself and leaves
/// nothing in memory: the messages come to the next pop, at the latest when the refused one's invisible time is over.
#[tokio::test]
async fn a_pop_that_the_disk_refuses_takes_nothing_with_it() {
    let (world, _broker, disk) = World::with_disk().await;
    for body in ["a", "b"] {
        world.send("t", body).await;
    }
    for _ in 0..4 {
        disk.fail_syncs(1);
        world.ask_code(request::POP_MESSAGE, &PopMessageHeader { poll_time: 0, ..popping("t") }).await;
    }
    let mut came = Vec::new();
    while came.len() < 2 {
        let popped = world.pop(&PopMessageHeader { invisible_time: 60_000, ..popping("t") }).await;
        assert!(!popped.is_empty(), "only {came:?} came back");
        came.extend(popped.iter().map(|delivered| delivered.body().to_owned()));
    }
    came.sort_unstable();
    assert_eq!(came, ["a", "b"]);
}

/// Known defect A61: a broker whose disk takes nothing any more stops within its deadline. Draining until empty would
/// go on for ever.
#[tokio::test]
async fn a_broker_whose_disk_refuses_everything_stops_in_time() {
    let (world, broker, disk) = World::with_disk().await;
    world.send("t", "m").await;
    world.pop(&PopMessageHeader { invisible_time: 1, ..popping("t") }).await;
    disk.refuse_to_open(usize::MAX);
    disk.fail_syncs(usize::MAX);
    assert_ne!(world.send_with("t", "n", &[]).await.code, response::SUCCESS);
    let stopped = tokio::time::timeout(Duration::from_secs(10), broker.shutdown(Duration::from_secs(1))).await;
    assert!(stopped.is_ok(), "it still waits");
}

/// Known defect A87: a delayed message whose delivery the disk refuses more often than three times stays on the list,
/// and comes once.
#[tokio::test]
async fn a_delayed_message_outlasts_a_disk_that_refuses_its_delivery() {
    let (world, _broker, disk) = World::with_disk().await;
    world.create_topic(MASTER, "t", 1).await;
    assert_eq!(world.send_with("t", "m", &[("TIMER_DELAY_MS", "300")]).await.code, response::SUCCESS);
    assert!(world.in_queue_of("t").await.is_empty());
    disk.fail_syncs(4);
    let mut waited = 0;
    while world.in_queue_of("t").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        waited += 1;
        assert!(waited < 100, "the delayed message never came");
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(world.in_queue_of("t").await, ["m"], "and only once");
}
