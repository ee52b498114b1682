//! Topics that are deleted, and created again, while messages of them wait somewhere.

use super::*;
use crate::{
    remote::read::{HOLDER_TERM, TOPIC_DELETED, TOPIC_EPOCH, position_text},
    store::Tables,
};

impl World {
    async fn delete_topic(&self, topic: &str) -> Command {
        let header = DeleteTopicHeader { topic: topic.into() };
        self.ask(MASTER, Command::request(request::DELETE_TOPIC_IN_BROKER).with_header(&header)).await
    }

    async fn pull_one(&self, topic: &str, queue_id: i32, offset: i64) -> Command {
        let header = PullMessageHeader {
            consumer_group: "operator".into(),
            topic: topic.into(),
            queue_id,
            queue_offset: offset,
            max_msg_nums: 1,
            ..PullMessageHeader::default()
        };
        self.ask(MASTER, Command::request(request::PULL_MESSAGE).with_header(&header)).await
    }
}

/// Known defects A63, A81: a client sees nothing of the old topic in the new one: no message, no retry, no offset; its old
/// handles are too late and leave the successor's message alone, which has the same offset.
#[tokio::test]
async fn a_recreated_topic_begins_anew() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 1).await;
    world.send("t", "old").await;
    let header = PopMessageHeader { invisible_time: 300, ..popping("t") };
    let first = world.pop_now(&header).await.remove(0);
    let retried = world.pop(&PopMessageHeader { invisible_time: 60_000, ..popping("t") }).await.remove(0);
    assert_eq!(retried.real_topic, "%RETRY%g_t");
    let answer = world.delete_topic("t").await;
    let told = (answer.code, answer.ext[TOPICS].as_str(), answer.ext[parked::COUNT].as_str());
    assert_eq!(told, (response::SUCCESS, "t,%RETRY%g_t", "1"));
    assert_eq!(world.ask_code(request::POP_MESSAGE, &popping("t")).await, response::TOPIC_NOT_EXIST);
    let again = world.delete_topic("t").await;
    assert_eq!(
        (again.code, again.ext[TOPICS].as_str()),
        (response::SUCCESS, ""),
        "the first answer may have been lost"
    );

    world.create_topic(MASTER, "t", 1).await;
    world.send("t", "new").await;
    let new = world.pop_now(&popping("t")).await;
    assert_eq!(bodies(&new), ["new"]);
    assert_eq!((new[0].offset, new[0].offset), (first.offset, retried.offset));
    for old in [&first, &retried] {
        assert_eq!(world.ack(old).await.code, response::NO_MESSAGE);
        assert_eq!(world.renew(old, 1_000).await.unwrap_err().code, response::NO_MESSAGE);
    }
    assert_eq!(bodies(&world.pop(&popping("t")).await), ["new"], "it was not acked, so it comes again");
    for topic in ["", " ", "rmq_sys_REVIVE_LOG_DefaultCluster"] {
        assert_eq!(world.delete_topic(topic).await.code, response::INVALID_PARAMETER, "{topic:?}");
    }
}

/// Known defect A63.
#[tokio::test]
async fn a_delayed_message_of_a_deleted_topic_does_not_come_in_its_successor() {
    let (world, broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 1).await;
    world.send_with("t", "old", &[(names::TIMER_DELAY_MS, "1000")]).await;
    world.delete_topic("t").await;
    world.create_topic(MASTER, "t", 1).await;
    world.send_with("t", "new", &[(names::TIMER_DELAY_MS, "1500")]).await;
    assert_eq!(bodies(&world.pop(&popping("t")).await), ["new"]);
    assert!(broker.shared.store.view().unwrap().first_timers(1).unwrap().is_empty(), "none waits any more");
}

/// A send that is repeated because its answer was lost is no success if what it had stored was deleted meanwhile.
#[tokio::test]
async fn a_send_repeated_after_the_deletion_is_stored_again() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 1).await;
    let key = [(names::UNIQ_KEY, "K1")];
    world.send_with("t", "m", &key).await;
    world.delete_topic("t").await;
    world.create_topic(MASTER, "t", 1).await;
    for _ in 0..2 {
        let answer = world.send_with("t", "m", &key).await;
        assert_eq!(answer.header::<SendMessageResponseHeader>().unwrap().queue_offset, 0);
    }
    assert_eq!(bodies(&world.pop_now(&popping("t")).await), ["m"]);
}

/// Known defects A14, A63: a reader of another group learns what became of the topic: deleted, or created anew with fewer
/// queues, whatever it asks for.
#[tokio::test]
async fn a_pull_is_told_that_its_topic_is_gone() {
    let (world, broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 2).await;
    world.send("t", "m").await;
    let unknown = world.pull_one("never", 0, 0).await;
    assert_eq!((unknown.code, unknown.ext.get(TOPIC_DELETED)), (response::TOPIC_NOT_EXIST, None), "nothing is proved");
    world.delete_topic("t").await;
    let at = broker.shared.store.view().unwrap().deleted_topic("t").unwrap().unwrap();
    let gone = world.pull_one("t", 1, 0).await;
    assert_eq!((gone.code, gone.ext[TOPIC_DELETED].clone()), (response::TOPIC_NOT_EXIST, position_text(at)));
    world.create_topic(MASTER, "t", 1).await;
    let epoch = broker.shared.store.view().unwrap().topic("t").unwrap().unwrap().epoch;
    for (queue, code) in [(0, response::PULL_NOT_FOUND), (1, response::INVALID_PARAMETER)] {
        let answer = world.pull_one("t", queue, 0).await;
        assert_eq!((answer.code, answer.ext[TOPIC_EPOCH].clone()), (code, position_text(epoch)), "{queue}");
        assert!(answer.ext.contains_key(HOLDER_TERM));
    }
}
