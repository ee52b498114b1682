//! Sending, popping, acking, offsets, delays.

use super::*;

#[tokio::test]
async fn what_is_sent_is_popped_once_and_over_once_acked() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 2).await;
    for body in ["a", "b", "c"] {
        world.send("t", body).await;
    }
    let popped = world.pop(&popping("t")).await;
    assert_eq!(bodies(&popped), ["a", "b", "c"]);
    assert!(world.pop_now(&popping("t")).await.is_empty(), "invisible to everybody else of the group");
    for delivered in &popped {
        assert_eq!(world.ack(delivered).await.code, response::SUCCESS);
    }
    assert_eq!(world.ack(&popped[1]).await.code, response::SUCCESS, "a repeated ack gets the same answer");
    let wait = PopMessageHeader { poll_time: 2_000, ..popping("t") };
    assert!(world.pop(&wait).await.is_empty(), "nothing comes back");
    let other = PopMessageHeader { consumer_group: "other".into(), ..popping("t") };
    assert_eq!(world.pop_now(&other).await.len(), 3, "another group has not consumed them");
}

/// Known defect A79.
#[tokio::test]
async fn an_unacked_message_comes_back_with_a_handle_of_its_own() {
    let (world, _broker) = World::with_broker().await;
    let sent = world.send_with("t", "m", &[("KEYS", "k")]).await;
    let id = sent.header::<SendMessageResponseHeader>().unwrap().msg_id;
    let first = world.pop(&popping("t")).await.remove(0);
    assert_eq!(first.message.unique_key(), Some(id.as_str()));
    let popped_ms = world.now_ms();
    let again = world.pop(&popping("t")).await.remove(0);
    assert!(world.now_ms() - popped_ms >= 990, "not before its invisible time is over");
    assert_eq!((again.body(), again.message.reconsume_times), ("m", 1));
    assert_eq!(again.real_topic, "%RETRY%g_t");
    assert_eq!(again.message.unique_key(), Some(id.as_str()));
    assert_eq!(again.message.properties.get("KEYS"), Some("k"));
    let answer = world.ack(&first).await;
    assert_eq!(answer.code, response::NO_MESSAGE);
    assert_eq!(answer.ext.get("ackOutcome").map(String::as_str), Some("too-late"));
    assert_eq!(world.ack(&again).await.code, response::SUCCESS);
    let wait = PopMessageHeader { poll_time: 2_000, ..popping("t") };
    assert!(world.pop(&wait).await.is_empty());
}

/// Known defect A79.
#[tokio::test]
async fn a_waiting_pop_wakes_when_a_message_arrives() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 2).await;
    let header = popping("t");
    let sending = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.send("other", "x").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.send("t", "m").await;
        world.now_ms()
    };
    let popping = async { (world.pop(&header).await, world.now_ms()) };
    let (sent_ms, (popped, popped_ms)) = tokio::join!(sending, popping);
    assert_eq!(bodies(&popped), ["m"]);
    assert!(popped_ms - sent_ms < 200, "{} ms after the send", popped_ms - sent_ms);
}

/// A pop may wait for minutes, and its group may be changed meanwhile: what it is given goes by the group as it is then.
#[tokio::test]
async fn a_waiting_pop_goes_by_what_its_group_may_when_a_message_arrives() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 1).await;
    let set = async |body: &str| {
        let group = Command::request(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).with_body(body.to_owned());
        assert_eq!(world.ask(MASTER, group).await.code, response::SUCCESS);
    };
    let (limited, barred) = (popping("t"), PopMessageHeader { consumer_group: "barred".into(), ..popping("t") });
    let changing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        set(r#"{"groupName":"g","retryMaxTimes":1}"#).await;
        set(r#"{"groupName":"barred","consumeEnable":false}"#).await;
        world.send("t", "m").await;
    };
    let (first, nothing, ()) = tokio::join!(world.pop(&limited), world.pop(&barred), changing);
    assert_eq!((bodies(&first), nothing.len()), (vec!["m"], 0));
    assert_eq!(bodies(&world.pop(&limited).await), ["m"], "given to it once more");
    let dead_letters = PopMessageHeader { consumer_group: "undertaker".into(), ..popping("%DLQ%g") };
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(bodies(&world.pop(&dead_letters).await), ["m"], "and no more than that");
}

#[tokio::test]
async fn a_pop_that_finds_nothing_waits_for_its_poll_time_and_no_longer() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 1).await;
    let began = world.now_ms();
    let wait = PopMessageHeader { poll_time: 700, ..popping("t") };
    let answer = world.ask(MASTER, Command::request(request::POP_MESSAGE).with_header(&wait)).await;
    let fields: PopMessageResponseHeader = answer.header().unwrap();
    assert_eq!((answer.code, fields.rest_num), (response::POLLING_TIMEOUT, 0));
    assert!((690..1_500).contains(&(world.now_ms() - began)));
}

/// Known defect A77.
#[tokio::test]
async fn a_filter_skips_what_it_does_not_want_for_good() {
    let (world, _broker) = World::with_broker().await;
    for (body, tag) in [("1", "A"), ("2", "B"), ("3", "C"), ("4", "A")] {
        world.send_with("t", body, &[("TAGS", tag)]).await;
    }
    let only = |exp: &str| PopMessageHeader { exp_type: Some("TAG".into()), exp: Some(exp.into()), ..popping("t") };
    let popped = world.pop(&only("A || C")).await;
    assert_eq!(bodies(&popped), ["1", "3", "4"]);
    assert!(world.pop_now(&popping("t")).await.is_empty(), "2 was passed over");
}

/// Known defect A77.
#[tokio::test]
async fn a_wanted_message_behind_many_unwanted_ones_does_not_wait_for_the_next_arrival() {
    let (world, _broker) = World::with_broker().await;
    for number in 0..900 {
        world.send_with("t", &number.to_string(), &[("TAGS", "B")]).await;
    }
    world.send_with("t", "wanted", &[("TAGS", "A")]).await;
    let began = world.now_ms();
    let popped = world.pop(&PopMessageHeader { exp: Some("A".into()), ..popping("t") }).await;
    assert_eq!(bodies(&popped), ["wanted"]);
    assert!(world.now_ms() - began < 2_000);
}

#[tokio::test]
async fn a_group_that_begins_at_the_end_gets_what_arrives_while_it_waits() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "empty", 1).await;
    world.send("used", "old").await;
    for topic in ["empty", "used"] {
        let header = PopMessageHeader { init_mode: 1, ..popping(topic) };
        let sending = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            world.send(topic, "new").await;
        };
        let ((), popped) = tokio::join!(sending, world.pop(&header));
        assert_eq!(bodies(&popped), ["new"], "{topic}");
    }
}

/// Known defect A50.
#[tokio::test]
async fn a_batch_ack_tells_what_became_of_each_message() {
    let (world, _broker) = World::with_broker().await;
    for body in ["a", "b", "c"] {
        world.send("t", body).await;
    }
    let header = PopMessageHeader { invisible_time: 1_500, ..popping("t") };
    let popped = world.pop(&header).await;
    let handle: ReceiptHandle = popped[0].handle.parse().unwrap();
    let batch = |bits: &str| {
        let (time, revive) = (handle.pop_time, handle.revive_queue);
        let ack =
            format!(r#"{{"b":"{bits}","c":"g","it":1500,"pt":{time},"q":0,"r":"0","rq":{revive},"so":0,"t":"t"}}"#);
        let body = format!(r#"{{"acks":[{ack}],"brokerName":"broker-a"}}"#);
        Command::request(request::BATCH_ACK_MESSAGE).with_body(body)
    };
    // Bits 0 and 1.
    assert_eq!(world.ask(MASTER, batch("Aw==")).await.code, response::SUCCESS);
    let again = world.pop(&header).await;
    assert_eq!(bodies(&again), ["c"]);
    // Bits 0, 2 and 3: absorbed, too late, unknown.
    let answer = world.ask(MASTER, batch("DQ==")).await;
    assert_eq!(answer.code, response::NO_MESSAGE);
    let time = handle.pop_time;
    let outcomes = format!("0/0/{time}=absorbed;0/2/{time}=too-late;0/3/{time}=unknown");
    assert_eq!(answer.ext.get(ACK_OUTCOMES), Some(&outcomes));
    let empty = Command::request(request::BATCH_ACK_MESSAGE).with_body(r#"{"acks":[],"brokerName":"broker-a"}"#);
    assert_eq!(world.ask(MASTER, empty).await.code, response::NO_MESSAGE);
}

/// Known defects A32, A33, A60.
#[tokio::test]
async fn offsets_never_go_back() {
    let (world, broker) = World::with_broker().await;
    drop(broker);
    let disk = MemoryDisk::default();
    let broker = world.start(&disk, config("broker-a", MASTER)).await;
    for body in ["a", "b", "c"] {
        world.send("t", body).await;
    }
    let query = QueryConsumerOffsetHeader {
        consumer_group: "g".into(),
        topic: "t".into(),
        ..QueryConsumerOffsetHeader::default()
    };
    let offset = async || {
        let answer = world.ask(MASTER, Command::request(request::QUERY_CONSUMER_OFFSET).with_header(&query)).await;
        answer.header::<OffsetResponseHeader>().unwrap().offset
    };
    let commit = async |commit_offset| {
        let header = UpdateConsumerOffsetHeader {
            consumer_group: "g".into(),
            topic: "t".into(),
            commit_offset,
            ..UpdateConsumerOffsetHeader::default()
        };
        world.ask_code(request::UPDATE_CONSUMER_OFFSET, &header).await
    };
    assert_eq!(offset().await, 0);
    world.pop(&PopMessageHeader { max_msg_nums: 2, ..popping("t") }).await;
    assert_eq!(offset().await, 2);
    for refused in [1, 4, -1] {
        assert_eq!(commit(refused).await, response::INVALID_PARAMETER);
    }
    assert_eq!((commit(2).await, offset().await), (response::SUCCESS, 2));
    broker.shutdown(LIMIT).await;
    let _broker = world.start(&disk, config("broker-a", MASTER)).await;
    assert_eq!(offset().await, 2);
    assert_eq!((commit(3).await, offset().await), (response::SUCCESS, 3));
}

#[tokio::test]
async fn a_delayed_message_comes_when_it_is_due() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 1).await;
    let due_ms = world.now_ms() + 1_500;
    let timed = due_ms.to_string();
    for (body, properties) in [
        ("level", [("DELAY", "1")]),
        ("timed", [("TIMER_DELIVER_MS", timed.as_str())]),
        ("past", [("TIMER_DELIVER_MS", "5")]),
    ] {
        assert_eq!(world.send_with("t", body, &properties).await.code, response::SUCCESS);
    }
    let header = PopMessageHeader { invisible_time: 60_000, ..popping("t") };
    let mut came = Vec::new();
    for _ in 0..3 {
        let popped = world.pop(&header).await;
        came.push((bodies(&popped).join(","), world.now_ms() - due_ms));
    }
    let order: Vec<_> = came.iter().map(|(body, _)| body.as_str()).collect();
    assert_eq!(order, ["past", "level", "timed"]);
    assert!((-520..-300).contains(&came[1].1) && (0..200).contains(&came[2].1), "{came:?}");
}

#[tokio::test]
async fn a_delayed_message_survives_a_restart() {
    let world = World::new().await;
    let disk = MemoryDisk::default();
    let broker = world.start(&disk, config("broker-a", MASTER)).await;
    assert_eq!(world.send_with("t", "m", &[("TIMER_DELAY_SEC", "1")]).await.code, response::SUCCESS);
    broker.shutdown(LIMIT).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let _broker = world.start(&disk, config("broker-a", MASTER)).await;
    assert_eq!(bodies(&world.pop(&popping("t")).await), ["m"]);
}

#[tokio::test]
async fn a_renewed_handle_keeps_the_message_away() {
    let (world, _broker) = World::with_broker().await;
    world.send("t", "m").await;
    let popped = world.pop(&popping("t")).await.remove(0);
    let renewed = world.renew(&popped, 3_000).await.unwrap();
    assert_eq!(world.renew(&popped, 3_000).await.unwrap().handle, renewed.handle, "the answer may have been lost");
    let wait = PopMessageHeader { poll_time: 2_000, ..popping("t") };
    assert!(world.pop(&wait).await.is_empty());
    assert_eq!(world.ack(&popped).await.code, response::SUCCESS, "the old handle stands for the same message");
    let refused = world.renew(&renewed, 3_000).await.unwrap_err();
    assert_eq!(refused.code, response::NO_MESSAGE);
    assert!(world.pop(&PopMessageHeader { poll_time: 2_500, ..popping("t") }).await.is_empty());
}

#[tokio::test]
async fn a_send_that_is_repeated_is_answered_as_the_first_one_and_stored_once() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 1).await;
    let told = async |topic: &str, key: &str, delay: Option<(&'static str, &'static str)>| {
        let properties: Vec<_> = [("UNIQ_KEY", key)].into_iter().chain(delay).collect();
        let answer = world.send_with(topic, "m", &properties).await;
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
        let fields: SendMessageResponseHeader = answer.header().unwrap();
        (fields.queue_id, fields.queue_offset, fields.msg_id)
    };
    let (first, other) = (told("t", "k-1", None).await, told("t", "k-2", None).await);
    assert_eq!((told("t", "k-1", None).await, told("t", "k-2", None).await), (first.clone(), other));
    assert_eq!(told("u", "k-1", None).await.1, 0, "another topic's send");
    let delayed = told("t", "k-3", Some(("TIMER_DELAY_SEC", "1"))).await;
    assert_eq!(told("t", "k-3", Some(("TIMER_DELAY_SEC", "1"))).await, delayed);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.pop(&popping("t")).await.len(), 3);
    // A message without a key of its own, and one that a consumer sends back, is no repeated send.
    for (topic, properties) in [("t", &[][..]), ("%RETRY%g_t", &[("UNIQ_KEY", "k-1")][..])] {
        let [one, two] = [world.send_with(topic, "m", properties).await, world.send_with(topic, "m", properties).await];
        assert_ne!(one.header::<SendMessageResponseHeader>().unwrap().msg_id, {
            two.header::<SendMessageResponseHeader>().unwrap().msg_id
        });
    }
}

#[tokio::test]
async fn a_repeated_send_is_known_after_a_restart() {
    let world = World::new().await;
    let disk = MemoryDisk::default();
    let broker = world.start(&disk, config("broker-a", MASTER)).await;
    let first: SendMessageResponseHeader = world.send_with("t", "m", &[("UNIQ_KEY", "k")]).await.header().unwrap();
    broker.shutdown(LIMIT).await;
    let _broker = world.start(&disk, config("broker-a", MASTER)).await;
    let again: SendMessageResponseHeader = world.send_with("t", "m", &[("UNIQ_KEY", "k")]).await.header().unwrap();
    assert_eq!((first.msg_id, first.queue_offset), (again.msg_id, again.queue_offset));
    assert_eq!(world.pop(&popping("t")).await.len(), 1);
}
