//! What a pop is: one transaction of offsets and chains, that nobody shares and nothing interrupts.

use super::*;
use crate::{
    model::record::Record,
    seams::memory_host::StandingClock,
    store::{Step, StoreError, Tables, Txn},
};

/// Records these facts, as an operator's tool or an earlier process might have.
struct Facts(Vec<Record>);

impl Step for Facts {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        self.0.into_iter().try_for_each(|record| txn.record(record))
    }
}

/// Stores a message.
struct Put(Message);

impl Step for Put {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.ensure_internal_topic(&self.0.topic)?;
        txn.append(self.0)?.map(drop).map_err(|_| StoreError::Closed)
    }
}

impl World {
    async fn offset(&self, group: &str) -> i64 {
        let header = QueryConsumerOffsetHeader {
            consumer_group: group.into(),
            topic: "t".into(),
            ..QueryConsumerOffsetHeader::default()
        };
        let answer = self.ask(MASTER, Command::request(request::QUERY_CONSUMER_OFFSET).with_header(&header)).await;
        answer.header::<OffsetResponseHeader>().unwrap().offset
    }
}

/// Known defects A03, A54, B02: the offset of a pop and the chains of what it took are one log entry: no disk ever holds
/// the one without the other.
#[tokio::test]
async fn a_pop_moves_its_offset_and_opens_its_chains_in_one_entry() {
    let (world, broker) = World::with_broker().await;
    for body in ["a", "b", "c"] {
        world.send("t", body).await;
    }
    world.pop_now(&PopMessageHeader { consumer_group: "g".into(), init_mode: 1, queue_id: 0, ..popping("t") }).await;
    world.pop(&PopMessageHeader { consumer_group: "h".into(), invisible_time: 60_000, ..popping("t") }).await;
    let view = broker.shared.store.view().unwrap();
    let last = view.last_index().unwrap();
    let records: Vec<Record> = (0..9).map_while(|number| view.record_at(last, number).unwrap()).collect();
    let offset = Record::Offset { group: "h".into(), topic: "t".into(), queue: 0, offset: 3 };
    assert_eq!(records.iter().filter(|record| **record == offset).count(), 1, "{records:?}");
    assert_eq!(records.iter().filter(|record| matches!(record, Record::Chain(_))).count(), 3, "{records:?}");
}

/// Known defects A51, A09: two pops of the same message in the same millisecond, with the offset set back between them,
/// are two chains: the second gets a pop time of its own, and each is acked by its own handle.
#[tokio::test]
async fn the_same_message_popped_twice_in_one_millisecond_is_two_chains() {
    let world = World::new().await;
    let machine = host(&MemoryDisk::default(), StandingClock::at(BEGAN_MS), &world.net);
    let broker = Broker::start(machine, config("broker-a", MASTER)).await.unwrap();
    world.send("t", "m").await;
    let mut popped = Vec::new();
    for _ in 0..3 {
        popped.extend(world.pop_now(&popping("t")).await);
        let back = Record::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: 0 };
        broker.shared.store.submit(Facts(vec![back])).await.unwrap();
    }
    let times = popped.iter().map(|delivered| delivered.handle.parse::<ReceiptHandle>().unwrap().pop_time);
    let times: Vec<i64> = times.collect();
    // They would be equal if a pop did not look: the clock stands still.
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    let open = || broker.shared.store.view().unwrap().due_keys(9).unwrap().len();
    assert_eq!(open(), 3);
    assert_eq!(world.ack(&popped[1]).await.code, response::SUCCESS);
    assert_eq!(open(), 2, "its own chain only");
}

/// Known defects B11, B14: no lock decides who pops, so none can expire under its holder: pops at the same moment take
/// different messages, all of them, each once.
#[tokio::test]
async fn pops_at_the_same_moment_never_share_a_message() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 2).await;
    for number in 0..40 {
        world.send("t", &number.to_string()).await;
    }
    let header = PopMessageHeader { max_msg_nums: 3, invisible_time: 60_000, ..popping("t") };
    let mut came = Vec::new();
    for _ in 0..4 {
        let pop = || world.pop_now(&header);
        let (a, b, c, d) = tokio::join!(pop(), pop(), pop(), pop());
        came.extend([a, b, c, d].concat().iter().map(|delivered| delivered.body().parse::<i32>().unwrap()));
    }
    came.sort_unstable();
    assert_eq!(came, (0..40).collect::<Vec<_>>());
}

/// Known defects A75, B15: whatever way a pop ends without messages, its queue can be popped at once: refused for its
/// order, filter, group or size, given up while it waited, or for a topic that forbids it.
#[tokio::test]
async fn a_pop_that_ends_early_leaves_its_queue_free() {
    let (world, _broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 1).await;
    for refused in [
        PopMessageHeader { order: true, ..popping("t") },
        PopMessageHeader { max_msg_nums: 99, ..popping("t") },
        PopMessageHeader { exp_type: Some("SQL92".into()), exp: Some("a > 1".into()), ..popping("t") },
        PopMessageHeader { consumer_group: "bad group".into(), ..popping("t") },
        PopMessageHeader { poll_time: 20, ..popping("t") },
        PopMessageHeader { exp: Some("none".into()), poll_time: 0, ..popping("t") },
    ] {
        assert_ne!(world.ask_code(request::POP_MESSAGE, &refused).await, response::SUCCESS, "{refused:?}");
    }
    let given_up = Command::request(request::POP_MESSAGE).with_header(&popping("t"));
    assert!(world.client.call(MASTER, given_up, Duration::from_millis(50)).await.is_err());
    world.send("t", "for the one who gave up").await;
    world.send("t", "m").await;
    let began = world.now_ms();
    let mut came = world.pop(&popping("t")).await;
    while came.last().is_none_or(|delivered| delivered.body() != "m") {
        came.extend(world.pop(&popping("t")).await);
        assert!(came.len() < 9);
    }
    assert!(world.now_ms() - began < 3_000, "no lock had to run out");
}

/// Known defect A77: a batch of which the filter wants nothing moves the offset once, durably, with no chain and nothing
/// to be done later: what is acked behind it is not pulled back.
#[tokio::test]
async fn a_batch_that_is_filtered_out_moves_the_offset_for_good() {
    let (world, broker) = World::with_broker().await;
    for number in 0..5 {
        world.send_with("t", &number.to_string(), &[("TAGS", "A")]).await;
    }
    let wants = |exp: &str| PopMessageHeader { exp: Some(exp.into()), ..popping("t") };
    assert!(world.pop_now(&wants("B")).await.is_empty());
    assert_eq!(world.offset("g").await, 5);
    assert!(broker.shared.store.view().unwrap().due_keys(9).unwrap().is_empty(), "no chain stands for them");
    world.send_with("t", "b", &[("TAGS", "B")]).await;
    let popped = world.pop(&wants("B")).await;
    assert_eq!(world.ack(&popped[0]).await.code, response::SUCCESS);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(world.offset("g").await, 6);
    assert!(world.pop_now(&popping("t")).await.is_empty());
}

/// Known defects A60, B10: one offset serves pull and pop: what a group committed while it pulled is not popped again,
/// what it pulled without committing is, and after the last pop its lag is zero without another one.
#[tokio::test]
async fn one_offset_serves_pull_and_pop() {
    let (world, _broker) = World::with_broker().await;
    for body in ["a", "b", "c", "d"] {
        world.send("t", body).await;
    }
    let pull = PullMessageHeader {
        consumer_group: "g".into(),
        topic: "t".into(),
        max_msg_nums: 3,
        ..PullMessageHeader::default()
    };
    assert_eq!(world.ask_code(request::PULL_MESSAGE, &pull).await, response::SUCCESS);
    assert_eq!(world.offset("g").await, 0, "a pull commits nothing");
    let commit = UpdateConsumerOffsetHeader {
        consumer_group: "g".into(),
        topic: "t".into(),
        commit_offset: 1,
        ..UpdateConsumerOffsetHeader::default()
    };
    assert_eq!(world.ask_code(request::UPDATE_CONSUMER_OFFSET, &commit).await, response::SUCCESS);
    assert_eq!(bodies(&world.pop(&popping("t")).await), ["b", "c", "d"]);
    assert_eq!(world.offset("g").await, 4);
}

/// Known defects A73, A79: a message that appears in any queue of a retry topic, in either spelling, wakes a pop that
/// waits for the normal topic, and is handed to it.
#[tokio::test]
async fn a_waiting_pop_wakes_for_any_queue_of_its_retry_topics() {
    for (topic, queue_id) in [("%RETRY%g_t", 0), ("%RETRY%g_t", 5), ("%RETRY%g+t", 0)] {
        let (world, broker) = World::with_broker().await;
        world.create_topic(MASTER, "t", 1).await;
        if queue_id > 0 {
            world.create_topic(MASTER, topic, 8).await;
        }
        let header = popping("t");
        let storing = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let retry =
                Message { topic: topic.into(), queue_id, reconsume_times: 1, ..crate::revive::samples::message() };
            broker.shared.store.submit(Put(retry)).await.unwrap();
            world.now_ms()
        };
        let popping = async { (world.pop(&header).await, world.now_ms()) };
        let (stored_ms, (popped, popped_ms)) = tokio::join!(storing, popping);
        assert_eq!(popped.len(), 1, "{topic} {queue_id}");
        assert_eq!((popped[0].real_topic.as_str(), popped[0].queue), (topic, queue_id));
        assert!(popped_ms - stored_ms < 200, "{} ms later", popped_ms - stored_ms);
        assert_eq!(world.ack(&popped[0]).await.code, response::SUCCESS);
    }
}

/// Known defect A68: a message of a queue above 127 is popped, revived and acked under its own number.
#[tokio::test]
async fn a_queue_above_127_is_itself_from_pop_to_ack() {
    let (world, broker) = World::with_broker().await;
    world.create_topic(MASTER, "t", 300).await;
    let mut high = Message { queue_id: 299, ..crate::revive::samples::message() };
    high.properties.remove(names::POP_CK);
    broker.shared.store.submit(Put(high)).await.unwrap();
    let popped = world.pop(&popping("t")).await.remove(0);
    assert_eq!(popped.handle.parse::<ReceiptHandle>().unwrap().queue_id, 299);
    let again = world.pop(&popping("t")).await.remove(0);
    assert_eq!((again.body(), again.message.reconsume_times), ("hello", 1));
    assert_eq!(world.ack(&again).await.code, response::SUCCESS);
}
