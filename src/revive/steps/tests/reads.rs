//! Which message a revival reads, and whose tables it asks.

use super::*;

impl World {
    /// A world with these chains, and the sample message at offset 0 and 1 of queue 0.
    async fn with_chains(chains: &[Chain]) -> Self {
        let world = Self::new().await;
        world.do_step(Put(message())).await;
        world.do_step(Put(message())).await;
        world.do_step(Facts(chains.iter().map(|chain| Record::Chain(Box::new(chain.clone()))).collect())).await;
        world
    }

    fn is_revived(&self, id: &ChainId) -> bool {
        matches!(self.chain(id).state, ChainState::Ended { outcome: Outcome::Revived(_), .. })
    }
}

/// Known defect A13: where the asked offset holds nothing, a later message is not taken in its place.
#[tokio::test]
async fn a_hole_in_the_queue_is_not_filled_by_a_later_message() {
    let hole = at_offset(OWN, 2);
    let world = World::with_chains(std::slice::from_ref(&hole)).await;
    let later = Message { queue_offset: 3, ..message() };
    let stored = later.encode().unwrap();
    world.do_step(Facts(vec![Record::Message { topic: "t".into(), queue: 0, offset: 3, stored }])).await;
    for at_ms in [DUE_MS, DUE_MS + 1_000] {
        world.tick_at(at_ms).await;
        assert_eq!(world.copy_in("%RETRY%g_t"), None);
    }
    assert!(matches!(world.chain(&hole.id).state, ChainState::Parked { .. }), "kept for an operator");
}

/// Known defects A22, A23: a chain of another group's message is judged by that group: neither its topic nor its consumer
/// group need exist here. The wrong tables would skip it or call it a permanent failure.
#[tokio::test]
async fn a_foreign_chain_is_not_judged_by_our_own_tables() {
    let mut foreign = chain(OTHER);
    (foreign.id.topic, foreign.id.group) = ("theirs".into(), "strangers".into());
    let world = World::new().await;
    world.do_step(Facts(vec![Record::Chain(Box::new(foreign.clone()))])).await;
    let ticked = world.tick_at(DUE_MS).await;
    assert!(matches!(&ticked.jobs[..], [Job::Read(chain)] if chain.id == foreign.id), "{:?}", ticked.jobs);
    let outcome = ReadOutcome::Found(Box::new(Message { topic: "theirs".into(), ..message() }));
    let event = Event::Read { round: 0, attempt: 1, outcome };
    world.do_step(Conclude { home: home(), results: vec![(foreign.id.clone(), event)] }).await;
    assert!(world.is_revived(&foreign.id));
    assert!(world.copy_in("%RETRY%strangers_theirs").is_some());
}

/// Known defects A23, A24, A73: a chain popped from a retry topic of either spelling is adopted, and what it becomes can
/// be popped here: the topic exists, has one queue that is read, and is the one it came from.
#[tokio::test]
async fn an_adopted_retry_stays_in_its_topic_and_can_be_popped() {
    for retry in ["%RETRY%g_t", "%RETRY%g+t"] {
        let mut adopted = chain(OTHER);
        adopted.id.topic = retry.into();
        let world = World::new().await;
        assert_eq!(world.do_step(Adopt { chains: vec![adopted.clone()], acting: None }).await.new, 1);
        let view = world.store.view().unwrap();
        let row = view.topic(retry).unwrap().unwrap().config;
        assert_eq!((row.read_queue_nums, row.write_queue_nums), (1, 1), "a pop that reads queue 0 only finds it");
        assert!(row.perm.is_readable() && view.topic("t").unwrap().is_some(), "a pop of t reads its retries");
        world.tick_at(DUE_MS).await;
        let outcome = ReadOutcome::Found(Box::new(Message { topic: retry.into(), reconsume_times: 1, ..message() }));
        let event = Event::Read { round: 0, attempt: 1, outcome };
        world.do_step(Conclude { home: home(), results: vec![(adopted.id, event)] }).await;
        assert_eq!(world.copy_in(retry).unwrap().reconsume_times, 2);
    }
}

/// Known defect A68: queues above 127, and above 32,767, are read as themselves.
#[tokio::test]
async fn a_message_of_a_high_queue_is_read_from_that_queue() {
    for queue in [128, 200, 40_000, i32::MAX] {
        let mut high = chain(OWN);
        high.id.queue = queue;
        let world = World::new().await;
        world.do_step(Put(Message { queue_id: queue, body: "high".into(), ..message() })).await;
        world.do_step(Put(Message { queue_id: queue & 0x7f, body: "low".into(), ..message() })).await;
        world.do_step(Facts(vec![Record::Chain(Box::new(high.clone()))])).await;
        world.tick_at(DUE_MS).await;
        assert_eq!(&world.copy_in("%RETRY%g_t").unwrap().body[..], b"high", "queue {queue}");
    }
}

/// Known defects A09, A41: chains come up in the order of their times, however far these lie apart, and two with the same
/// offset, or with offsets 2^32 apart, are two.
#[tokio::test]
async fn chains_far_apart_in_time_or_offset_keep_their_order_and_their_places() {
    let at = |due_ms: i64, offset: i64| Chain { state: ChainState::Open { due_ms }, ..at_offset(OTHER, offset) };
    let times = [i64::MIN, -(1 << 32), -1, 0, 1 << 31, (1 << 31) + 1, 1 << 32, 1 << 40, i64::MAX];
    let chains: Vec<Chain> = (0i64..).zip(times).map(|(step, due_ms)| at(due_ms, (8 - step) << 31)).collect();
    let mut shuffled = chains.clone();
    shuffled.rotate_left(4);
    shuffled.swap(0, 7);
    let world = World::with_chains(&shuffled).await;
    let due = world.store.view().unwrap().due_keys(99).unwrap();
    let expected: Vec<_> = chains.iter().map(|chain| (chain.due_ms().unwrap(), chain.id.to_string())).collect();
    assert_eq!(due, expected);
}

/// Known defects A04, A28, B07: one chain that cannot be read, one whose topic is unknown and one at a hole are each its
/// own failure: the chain behind them is revived in the same transaction.
#[tokio::test]
async fn a_chain_that_fails_takes_nobody_along() {
    let unknown = Chain { id: ChainId { topic: "nowhere".into(), ..chain(OWN).id }, ..chain(OWN) };
    let chains = [unknown, at_offset(OWN, 2), at_offset(OWN, 7), at_offset(OWN, 1), chain(OWN)];
    let world = World::with_chains(&chains).await;
    let damaged = Record::Message { topic: "t".into(), queue: 0, offset: 2, stored: b"no message".as_slice().into() };
    world.do_step(Facts(vec![damaged])).await;
    world.tick_at(DUE_MS).await;
    assert!(world.is_revived(&chain(OWN).id) && world.is_revived(&at_offset(OWN, 1).id));
    assert_eq!(world.next_due_ms(), Some(DUE_MS + 1_000), "only the damaged one is tried again");
}

/// Known defects A37, A38: acks whose checkpoint never comes cost a row each until they are given up, and neither hold up
/// nor end anything else; one ack of a checkpoint ends its own message only, though the checkpoint comes later.
#[tokio::test]
async fn acks_without_a_checkpoint_hold_up_nobody() {
    let world = World::with_chains(&[chain(OWN)]).await;
    let strays = (100..140).map(|offset| at_offset(OTHER, offset).id).collect();
    let keep_until_ms = Some(POPPED_MS + 180_000);
    let acked = world.do_step(Ack { home: home(), ids: strays, keep_until_ms }).await;
    assert!(acked.iter().all(|acked| *acked == Acked::Early));
    world.tick_at(DUE_MS).await;
    assert!(world.is_revived(&chain(OWN).id));
    assert_eq!(world.next_due_ms(), None, "acks are not waited for");
    world.do_step(Adopt { chains: vec![at_offset(OTHER, 100), at_offset(OTHER, 99)], acting: None }).await;
    assert!(matches!(world.chain(&at_offset(OTHER, 100).id).state, ChainState::Ended { outcome: Outcome::Acked, .. }));
    assert_eq!(world.chain(&at_offset(OTHER, 99).id).state, ChainState::Open { due_ms: DUE_MS });
}
