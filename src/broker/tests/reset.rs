//! Resets of offsets, as RocketMQ's tools ask for them.

use super::*;

fn reset_of(group: &str) -> ResetOffsetHeader {
    let (group, topic) = (group.to_owned(), "t".to_owned());
    ResetOffsetHeader { group, topic, queue_id: -1, offset: None, timestamp: 0, is_force: true }
}

impl World {
    async fn reset(&self, header: &ResetOffsetHeader) -> Command {
        self.ask(MASTER, Command::request(request::INVOKE_BROKER_TO_RESET_OFFSET).with_header(header)).await
    }
}

/// Known defect B10: after a reset the group pops from there, once: neither the chain of the first delivery nor a pop that
/// waits brings a message twice, and the next reset finds the one offset where the pops have left it.
#[tokio::test]
async fn a_reset_of_a_popping_group_delivers_once_more() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 1).await;
    for body in ["a", "b", "c"] {
        world.send("t", body).await;
    }
    let first = world.pop_now(&PopMessageHeader { invisible_time: 2_000, ..popping("t") }).await;
    assert_eq!(world.ack(&first[0]).await.code, response::SUCCESS);
    let header = PopMessageHeader { invisible_time: 60_000, ..popping("t") };
    let (answer, again) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            world.reset(&ResetOffsetHeader { queue_id: 0, offset: Some(1), ..reset_of("g") }).await
        },
        world.pop(&header),
    );
    assert_eq!((answer.code, answer.ext[OFFSETS].as_str(), &*answer.ext[parked::COUNT]), (0, "0=1", "2"));
    assert_eq!(answer.body, r#"{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"t"}:1}}"#);
    assert_eq!(bodies(&again), ["b", "c"], "a pop that waits is woken");
    assert_eq!(world.ack(&first[1]).await.code, response::NO_MESSAGE, "that delivery is over");
    assert!(
        world.pop(&PopMessageHeader { poll_time: 4_000, ..popping("t") }).await.is_empty(),
        "no chain is left of it"
    );
    for delivered in &again {
        assert_eq!(world.ack(delivered).await.code, response::SUCCESS);
    }
    let to_end = world.reset(&ResetOffsetHeader { timestamp: -1, ..reset_of("g") }).await;
    assert_eq!((to_end.ext[OFFSETS].as_str(), &*to_end.ext[parked::COUNT]), ("0=3", "0"));
    assert!(world.pop_now(&popping("t")).await.is_empty());
    assert_eq!(world.reset(&reset_of("g")).await.ext[OFFSETS], "0=0");
    assert_eq!(bodies(&world.pop_now(&popping("t")).await), ["a", "b", "c"], "acked or not: it was asked for");
}

/// Known defect B10.
#[tokio::test]
async fn a_reset_to_nowhere_is_refused() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 1).await;
    world.send("t", "a").await;
    world.pop_now(&popping("t")).await;
    let one = |offset| ResetOffsetHeader { queue_id: 0, offset: Some(offset), ..reset_of("g") };
    for (header, code) in [
        (reset_of("nobody"), response::SUBSCRIPTION_GROUP_NOT_EXIST),
        (ResetOffsetHeader { topic: "u".into(), ..reset_of("g") }, response::TOPIC_NOT_EXIST),
        (ResetOffsetHeader { queue_id: 1, ..reset_of("g") }, response::INVALID_PARAMETER),
        (one(2), response::INVALID_PARAMETER),
        (one(-2), response::INVALID_PARAMETER),
        (one(-1), response::SUCCESS), // RocketMQ's tools write that when they give a time
    ] {
        assert_eq!(world.reset(&header).await.code, code, "{header:?}");
    }
}
