//! Checkpoints and acks as other brokers write them, of every age, and nonsense.

use super::*;
use crate::store::Tables;

impl World {
    /// Sends a message to a queue of the revive topic, to be delivered there at some time.
    async fn revive_message_at(&self, queue_id: i32, deliver_ms: i64, tag: &str, body: &str) -> Command {
        let mut properties = Properties::new();
        properties.set(names::TAGS, tag);
        properties.set(names::TIMER_DELIVER_MS, deliver_ms.to_string());
        let header = SendMessageHeader {
            producer_group: "p".into(),
            topic: "rmq_sys_REVIVE_LOG_DefaultCluster".into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: 8,
            queue_id,
            properties: Some(properties.encode().unwrap()),
            ..SendMessageHeader::default()
        };
        let mut request = Command::request(request::SEND_MESSAGE_V2).with_body(body.to_owned());
        header.write_v2(&mut request.ext);
        self.ask(MASTER, request).await
    }

    /// What lies in queue 0 of a topic.
    pub(super) async fn in_queue_of(&self, topic: &str) -> Vec<String> {
        let header = PullMessageHeader {
            consumer_group: "operator".into(),
            topic: topic.into(),
            max_msg_nums: 32,
            ..PullMessageHeader::default()
        };
        let answer = self.ask(MASTER, Command::request(request::PULL_MESSAGE).with_header(&header)).await;
        let messages = Message::decode_all(answer.body).unwrap();
        messages.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
    }
}

/// Known defects A35, C07, C08: checkpoints of every age are read, with what they lack filled in: a broker name that
/// is absent, null or blank is our own, distances that are absent follow each other. None panics, none is set aside,
/// each revives its message.
#[tokio::test]
async fn checkpoints_of_every_age_revive_their_message() {
    let (world, _broker) = World::with_broker().await;
    world.send("t", "m").await;
    let rest = r#""c":"g","it":1,"n":1,"q":0,"so":0,"t":"t""#;
    let forms = [
        format!(r#"{{{rest},"pt":PT}}"#),
        format!(r#"{{{rest},"pt":PT,"bn":null,"d":null,"bm":null,"ro":null,"rp":null}}"#),
        format!(r#"{{{rest},"pt":PT,"bn":" ","d":[]}}"#),
        format!(r#"{{{rest},"pt":PT,"bn":"","d":[0],"rp":3}}"#),
        format!(r#"{{{rest},"pt":PT,"bn":"broker-a","d":[0],"rp":"many","reviveTime":-1,"new":{{"a":[1]}}}}"#),
        format!(r#"{{{rest},"pt":PT,"bn":"broker-a","d":[0],"x":"another writer's"}}"#),
        format!(r#"{{{rest},"pt":PT,"bn":"broker-a","d":[0],"x":{{"hop":-1}}}}"#),
    ];
    for (number, form) in (1i64..).zip(&forms) {
        let body = form.replace("PT", &(world.now_ms() - 1_000 * number).to_string());
        assert_eq!(world.revive_message("ck", &body).await.code, response::SUCCESS, "{body}");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(world.list(MASTER, request::LIST_SET_ASIDE).await.is_empty());
    assert_eq!(world.in_queue_of("%RETRY%g_t").await, vec!["m"; forms.len()]);
}

/// A checkpoint by a clock that is ahead of ours was popped before it came all the same.
#[tokio::test]
async fn a_checkpoint_of_a_later_time_revives_its_message_after_its_invisible_time() {
    let (world, _broker) = World::with_broker().await;
    world.send("t", "m").await;
    let later_ms = world.now_ms() + 3_600_000;
    let body = format!(r#"{{"c":"g","d":[0],"it":300,"n":1,"pt":{later_ms},"q":0,"so":0,"t":"t"}}"#);
    assert_eq!(world.revive_message("ck", &body).await.code, response::SUCCESS);
    assert_eq!(world.in_queue_of("%RETRY%g_t").await, Vec::<String>::new());
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(world.in_queue_of("%RETRY%g_t").await, ["m"]);
}

/// Known defects A34, A35, A36, C08: acks of every age end the chain of their checkpoint: alone or in a batch, with the
/// short names or the long ones, with or without a broker name.
#[tokio::test]
async fn acks_of_every_age_end_their_chain() {
    let (world, _broker) = World::with_broker().await;
    world.send("t", "m").await;
    let now_ms = world.now_ms();
    for (number, (tag, ack)) in (1i64..).zip([
        ("ack", r#"{"ao":0,"c":"g","pt":PT,"q":0,"so":0,"t":"t"}"#),
        ("ack", r#"{"ao":0,"bn":"broker-a","c":"g","pt":PT,"q":0,"so":0,"t":"t"}"#),
        ("ack", r#"{"ao":0,"bn":"","c":"g","pt":PT,"q":0,"so":0,"t":"t","new":7}"#),
        ("ack", r#"{"ackOffset":0,"consumerGroup":"g","popTime":PT,"queueId":0,"startOffset":0,"topic":"t"}"#),
        ("bAck", r#"{"ao":-1,"aol":[0],"c":"g","pt":PT,"q":0,"so":0,"t":"t"}"#),
        ("bAck", r#"{"ackOffsetList":[0],"brokerName":"broker-a","consumerGroup":"g","popTime":PT,"queueId":0,"startOffset":0,"topic":"t"}"#),
    ]) {
        let popped_ms = now_ms - number;
        let body = format!(r#"{{"c":"g","d":[0],"it":600,"n":1,"pt":{popped_ms},"q":0,"so":0,"t":"t"}}"#);
        assert_eq!(world.revive_message("ck", &body).await.code, response::SUCCESS);
        let answer = world.revive_message(tag, &ack.replace("PT", &popped_ms.to_string())).await;
        assert_eq!(answer.ext.get("ackOutcome").map(String::as_str), Some("absorbed"), "{ack}");
    }
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(world.in_queue_of("%RETRY%g_t").await, Vec::<String>::new());
}

/// Known defect A36: a batch ack that names no broker is for this one.
#[tokio::test]
async fn a_batch_ack_without_a_broker_name_is_for_this_broker() {
    let (world, _broker) = World::with_broker().await;
    world.send("t", "m").await;
    let popped = world.pop(&popping("t")).await.remove(0);
    let ReceiptHandle { pop_time, revive_queue, .. } = popped.handle.parse().unwrap();
    let body = format!(
        r#"{{"acks":[{{"b":"AQ==","c":"g","it":1000,"pt":{pop_time},"q":0,"r":"0","rq":{revive_queue},"so":0,"t":"t"}}]}}"#
    );
    let answer = world.ask(MASTER, Command::request(request::BATCH_ACK_MESSAGE).with_body(body)).await;
    assert_eq!(answer.code, response::SUCCESS);
    assert!(world.pop(&PopMessageHeader { poll_time: 2_000, ..popping("t") }).await.is_empty());
}

/// Known defects A30, A31, A37, A43, C04, C05: a checkpoint and its ack meet by what they name, not by the queue of the
/// revive topic they were sent to, nor by the times at which a timer would deliver them there.
#[tokio::test]
async fn a_checkpoint_and_its_ack_meet_whatever_their_queues_and_delivery_times() {
    let (world, _broker) = World::with_broker().await;
    for body in ["a", "b", "c"] {
        world.send("t", body).await;
    }
    let popped_ms = world.now_ms();
    let checkpoint = format!(r#"{{"c":"g","d":[0,1,2],"it":1500,"n":3,"pt":{popped_ms},"q":0,"so":0,"t":"t"}}"#);
    let ack = |offset: i64| format!(r#"{{"ao":{offset},"c":"g","pt":{popped_ms},"q":0,"so":0,"t":"t"}}"#);
    let (long_ago, in_days) = (5, popped_ms + 2 * 86_400_000);
    for (queue, deliver_ms, tag, body) in [
        (5, in_days, "ack", ack(0)),
        (2, in_days, "ck", checkpoint),
        (7, in_days, "ack", ack(1)),
        (0, long_ago, "ack", ack(1)),
    ] {
        let answer = world.revive_message_at(queue, deliver_ms, tag, &body).await;
        assert_eq!(answer.code, response::SUCCESS, "{:?}", answer.remark);
    }
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(
        world.in_queue_of("%RETRY%g_t").await,
        Vec::<String>::new(),
        "the delivery times are not when it is due"
    );
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    assert_eq!(world.in_queue_of("%RETRY%g_t").await, ["c"]);
}

/// Known defects A30, A43: how many revive queues a cluster has may change between a checkpoint, its ack and a restart.
/// Nothing here depends on the number: neither the queue that a checkpoint or an ack is sent to, nor the one that a handle
/// names, so that nothing is lost and nothing is revived twice.
#[tokio::test]
async fn the_number_of_revive_queues_may_change_over_a_restart() {
    let world = World::new().await;
    let disk = MemoryDisk::default();
    let broker = world.start(&disk, config("broker-a", MASTER)).await;
    for body in ["a", "b", "c", "d"] {
        world.send("t", body).await;
    }
    let popped_ms = world.now_ms();
    let checkpoint = |offsets: &str, count: u32| {
        format!(r#"{{"c":"g","d":{offsets},"it":3000,"n":{count},"pt":{popped_ms},"q":0,"so":0,"t":"t"}}"#)
    };
    let ack = |offset: i64| format!(r#"{{"ao":{offset},"c":"g","pt":{popped_ms},"q":0,"so":0,"t":"t"}}"#);
    // Eight queues, and the peer has picked the last; the ack of "b" comes before its checkpoint.
    for (queue, tag, body) in [(7, "ck", checkpoint("[0,2,3]", 3)), (7, "ack", ack(1))] {
        assert_eq!(world.revive_message_at(queue, popped_ms, tag, &body).await.code, response::SUCCESS, "{body}");
    }
    broker.shutdown(LIMIT).await;
    let _broker = world.start(&disk, config("broker-a", MASTER)).await;
    // Three queues, so that the same checkpoint goes to another; a peer that knows of eight repeats what it had sent.
    for (queue, tag, body) in [
        (1, "ck", checkpoint("[1]", 1)),
        (1, "ack", ack(2)),
        (7, "ck", checkpoint("[0,2,3]", 3)),
        (1, "ck", checkpoint("[0,2,3]", 3)),
    ] {
        assert_eq!(world.revive_message_at(queue, popped_ms, tag, &body).await.code, response::SUCCESS, "{body}");
    }
    // A handle that names a revive queue of either number is the same handle: terms begin where queues end.
    for queue in [7, 1] {
        let handle = format!("0 {popped_ms} 3000 {queue} 0 broker-a 0 3");
        let header = AckMessageHeader {
            consumer_group: "g".into(),
            topic: "t".into(),
            queue_id: 0,
            extra_info: handle,
            offset: 3,
            bname: None,
        };
        assert_eq!(world.ask_code(request::ACK_MESSAGE, &header).await, response::SUCCESS, "{queue}");
    }
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert_eq!(world.in_queue_of("%RETRY%g_t").await, ["a"], "one lost its ack nowhere, none came twice");
    assert!(world.list(MASTER, request::LIST_SET_ASIDE).await.is_empty());
}

/// Known defects C09, B08, A41: numbers at the ends of their ranges, from a body that anybody can send, fail no task and
/// hold up nobody: the broker goes on, renews, resumes and revives.
#[tokio::test]
async fn numbers_at_the_ends_of_their_ranges_fail_no_task() {
    let (world, broker) = World::with_broker().await;
    world.send("t", "m").await;
    let (most, last) = (u32::MAX, i64::MAX);
    let now_ms = world.now_ms();
    let ours =
        format!(r#""attempt":{most},"generation":{most},"hop":{most},"round":{most},"reconsumeLimit":16,"term":5"#);
    let bodies = [
        format!(
            r#"{{"c":"g","d":[0],"it":{last},"n":1,"pt":{last},"q":0,"so":0,"t":"t","x":{{{ours},"remainingMs":{last}}}}}"#
        ),
        format!(
            r#"{{"c":"g","d":[0],"it":1,"n":1,"pt":{now_ms},"q":0,"so":0,"t":"t","x":{{{ours},"remainingMs":900}}}}"#
        ),
        format!(
            r#"{{"c":"g","d":[9],"it":0,"n":1,"pt":0,"q":0,"so":0,"t":"t","x":{{{ours},"remainingMs":{}}}}}"#,
            i64::MIN
        ),
        format!(r#"{{"c":"h","d":[0],"it":1,"n":1,"pt":0,"q":2147483647,"so":{},"t":"t","rp":"127"}}"#, last - 1),
    ];
    for body in &bodies {
        assert_eq!(world.revive_message("ck", body).await.code, response::SUCCESS, "{body}");
    }
    let popped = world.pop(&PopMessageHeader { consumer_group: "o".into(), ..popping("t") }).await.remove(0);
    let renew = |pop_time: i64| Delivered { handle: format!("0 {pop_time} 1 1005 0 broker-a 0 0"), ..popped.clone() };
    assert_eq!(world.renew(&renew(last), 1_000).await.unwrap_err().code, response::NO_MESSAGE);
    let renewed = world.renew(&renew(now_ms), 300).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    assert_eq!(world.in_queue_of("%RETRY%g_t").await, ["m"], "revived when its renewal was over");
    assert_eq!(world.ack(&renewed).await.code, response::NO_MESSAGE, "too late");
    assert_eq!(world.ack(&renew(last)).await.code, response::SUCCESS, "the other is open until the end of time");
    assert_eq!(world.list(MASTER, request::LIST_PARKED).await.len(), 2);
    let resumed = world.ask(MASTER, Command::request(request::RESUME_PARKED)).await;
    assert_eq!(resumed.ext[parked::COUNT], "2");
    world.send("t", "after").await;
    assert!(broker.shared.store.view().unwrap().bounds("t", 0).unwrap().next == 2);
}
