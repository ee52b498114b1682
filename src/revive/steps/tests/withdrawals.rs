//! What an operator takes away: topics with what they hold, and what a reset hands out anew.

use super::*;
use crate::{
    model::{
        chain::LogPosition,
        group::SubscriptionGroupConfig,
        topic::{Perm, TopicConfig},
    },
    revive::steps::{
        delete_topic::{DeleteTopic, TopicDeleted},
        reset_offset::{Reset, ResetOffset, Target},
    },
    store::Bounds,
};

impl World {
    async fn delete(&self, topic: &str) -> TopicDeleted {
        self.do_step(DeleteTopic { home: home(), topic: topic.into() }).await
    }

    async fn reset(&self, target: Target) -> Reset {
        self.do_step(ResetOffset { home: home(), group: "g".into(), topic: "t".into(), target }).await
    }

    fn bounds(&self, topic: &str) -> Bounds {
        self.store.view().unwrap().bounds(topic, 0).unwrap()
    }

    fn offset(&self, topic: &str) -> Option<i64> {
        self.store.view().unwrap().offset("g", topic, 0).unwrap()
    }

    fn epoch(&self, topic: &str) -> Option<LogPosition> {
        self.store.view().unwrap().topic(topic).unwrap().map(|row| row.epoch)
    }

    fn state_at(&self, offset: i64) -> ChainState {
        self.chain(&at_offset(OWN, offset).id).state
    }
}

fn chain_in(state: ChainState, offset: i64) -> Record {
    Record::Chain(Box::new(Chain { state, ..at_offset(OWN, offset) }))
}

fn moved_to(topic: &str, offset: i64) -> Record {
    Record::Offset { group: "g".into(), topic: topic.into(), queue: 0, offset }
}

fn group(name: &str) -> Record {
    Record::Group { config: SubscriptionGroupConfig::named(name) }
}

/// A topic with six messages, all popped, whose chains are in every state; and an ack that waits for a checkpoint.
async fn busy() -> World {
    let world = World::new().await;
    for _ in 0..6 {
        world.do_step(Put(message())).await;
    }
    world.do_step(Put(Message { topic: "%RETRY%g_t".into(), ..message() })).await;
    let parked = |reason| ChainState::Parked { reason, at_ms: 1 };
    let moving = ChainState::Moving { to: OTHER.into(), due_ms: DUE_MS, revive_ms: DUE_MS };
    let retried = Chain { id: ChainId { topic: "%RETRY%g_t".into(), ..chain(OWN).id }, ..chain(OWN) };
    world
        .do_step(Facts(vec![
            group("g"),
            chain_in(ChainState::Open { due_ms: DUE_MS }, 0),
            chain_in(parked(ParkReason::PolicyExhausted), 1),
            chain_in(moving, 2),
            chain_in(ChainState::Moved { to: OTHER.into() }, 3),
            chain_in(parked(ParkReason::UnknownAt { broker: OTHER.into() }), 4),
            chain_in(ChainState::Ended { outcome: Outcome::Acked, at_ms: 1 }, 5),
            Record::Chain(Box::new(chain(OTHER))),
            Record::Chain(Box::new(retried)),
            moved_to("t", 6),
            moved_to("%RETRY%g_t", 1),
            Record::EarlyAck { id: at_offset(OWN, 9).id, until_ms: DUE_MS },
            Record::EarlyAck { id: at_offset(OTHER, 9).id, until_ms: DUE_MS },
        ]))
        .await;
    world
}

/// Known defect A63: what belongs to a deleted topic goes in one entry: messages, offsets, chains kept here, acks that
/// wait. Whatever of the old topic comes later finds an end, and nothing of the new one.
#[tokio::test]
async fn a_deleted_topic_leaves_nothing_to_its_successor() {
    let world = busy().await;
    let entries = world.entries();
    let TopicDeleted { topics, ended } = world.delete("t").await;
    assert_eq!((topics, ended), (vec!["t".to_owned(), "%RETRY%g_t".to_owned()], 3));
    assert_eq!(world.entries(), entries + 1);
    let at = world.last_entry().position;
    let gone = ChainState::Ended { outcome: Outcome::Gone(GoneProof::TopicDeleted { at }), at_ms: POPPED_MS };
    assert_eq!([0, 1].map(|offset| world.state_at(offset)), [gone.clone(), gone]);
    assert!(matches!(world.state_at(2), ChainState::Moving { .. }), "its new home will hear of it");
    assert!(matches!(world.state_at(3), ChainState::Moved { .. }));
    assert!(matches!(world.state_at(4), ChainState::Parked { .. }), "nobody knows who keeps it");
    assert!(matches!(world.state_at(5), ChainState::Ended { outcome: Outcome::Acked, .. }), "an end is an end");
    assert!(matches!(world.chain(&chain(OTHER).id).state, ChainState::Open { .. }), "another broker's topic");
    let view = world.store.view().unwrap();
    assert_eq!((view.early_ack(&at_offset(OWN, 9).id).unwrap(), view.deleted_topic("t").unwrap()), (None, Some(at)));
    assert_eq!(view.early_ack(&at_offset(OTHER, 9).id).unwrap(), Some(DUE_MS));
    for topic in ["t", "%RETRY%g_t"] {
        assert_eq!((world.epoch(topic), world.offset(topic)), (None, None), "{topic}");
        assert_eq!(world.bounds(topic), Bounds { minimum: 0, next: 0 }, "{topic}");
        assert!(view.messages(topic, 0, 0, 9).unwrap().is_empty(), "{topic}");
    }
    assert_eq!(world.delete("t").await, TopicDeleted::default(), "it is gone already");

    world.do_step(Put(message())).await;
    assert!(world.epoch("t") > Some(at));
    assert_eq!(world.store.view().unwrap().deleted_topic("t").unwrap(), None, "its epoch says it now");
    assert_eq!((world.bounds("t"), world.offset("t")), (Bounds { minimum: 0, next: 1 }, None));
    let mut successors = chain(OWN);
    successors.id.pop_time += 1;
    world.do_step(Facts(vec![Record::Chain(Box::new(successors.clone()))])).await;
    assert_eq!(world.ack(&chain(OWN).id).await, Acked::TooLate);
    assert_eq!(world.renew(&chain(OWN).id, INVISIBLE_MS).await, Renewed::TooLate);
    assert_eq!(world.ack(&at_offset(OWN, 9).id).await, Acked::Unknown);
    assert_eq!(world.chain(&successors.id), successors);
}

/// Known defects A14, A63: a chain that comes to its home after the deletion, or was overlooked there, ends by the same
/// proof when it is due.
#[tokio::test]
async fn a_chain_that_comes_after_the_deletion_is_gone_too() {
    let world = World::new().await;
    world.do_step(Put(message())).await;
    world.delete("t").await;
    let at = world.last_entry().position;
    world.do_step(Facts(vec![Record::Chain(Box::new(chain(OWN)))])).await;
    world.tick_at(DUE_MS).await;
    let outcome = Outcome::Gone(GoneProof::TopicDeleted { at });
    assert_eq!(world.state(), ChainState::Ended { outcome, at_ms: DUE_MS });
}

/// Known defect A81: retry topics go by their parsed names with the topic that they belong to; no other topic goes
/// because its name ends alike, and none that an existing topic may share.
#[tokio::test]
async fn only_the_retry_topics_of_the_topic_go_with_it() {
    let world = World::new().await;
    world.do_step(Facts(["g", "a", "a_b"].map(group).to_vec())).await;
    let names = [
        "t",
        "tt",
        "x_t",
        "b_c",
        "c",
        "%RETRY%g_t",
        "%RETRY%g+t",
        "%RETRY%g_tt",
        "%RETRY%g_x_t",
        "%RETRY%a_b_c",
        "%RETRY%a+b_c",
        "%RETRY%g",
        "%RETRY%unknown_t",
        "%DLQ%g",
    ];
    for name in names {
        world.do_step(Put(Message { topic: name.into(), ..message() })).await;
    }
    assert_eq!(world.delete("t").await.topics, ["t", "%RETRY%g+t", "%RETRY%g_t"]);
    assert_eq!(world.delete("c").await.topics, ["c"], "a_b retries c where a retries b_c: nobody can tell them apart");
    assert_eq!(world.delete("b_c").await.topics, ["b_c", "%RETRY%a+b_c", "%RETRY%a_b_c"]);
    let left: Vec<_> = names.into_iter().filter(|name| world.epoch(name).is_some()).collect();
    assert_eq!(left, ["tt", "x_t", "%RETRY%g_tt", "%RETRY%g_x_t", "%RETRY%g", "%RETRY%unknown_t", "%DLQ%g"]);
}

/// Known defects A23, A81: the topic of another group's chains may be deleted here while they wait: what they become can
/// be popped all the same.
#[tokio::test]
async fn a_foreign_chain_revives_where_its_topic_was_deleted() {
    let world = World::new().await;
    world.do_step(Adopt { chains: vec![chain(OTHER)], acting: None }).await;
    assert_eq!(world.delete("t").await.topics, ["t", "%RETRY%g_t"]);
    let begun = world.tick_at(DUE_MS).await.jobs.remove(0).chain().clone();
    let outcome = ReadOutcome::Found(Box::new(message()));
    let event = Event::Read { round: begun.round, attempt: begun.attempt, outcome };
    world.do_step(Conclude { home: home(), results: vec![(begun.id, event)] }).await;
    assert!(world.copy_in("%RETRY%g_t").is_some());
    let row = world.store.view().unwrap().topic("t").unwrap().unwrap();
    assert_eq!((row.config.perm, row.config.write_queue_nums), (Perm(Perm::READ), 0), "nobody sends to it");
}

/// Six messages stored a second apart, all popped but the last; the chains of 0 and 2 are open, those of 1 and 4 ended
/// acked and revived, that of 3 is parked.
async fn popped() -> World {
    let world = World::new().await;
    world
        .do_step(Facts(vec![
            group("g"),
            Record::Topic { config: TopicConfig::with_queues("t", 2), epoch: LogPosition { term: 1, index: 1 } },
        ]))
        .await;
    for second in 0..6 {
        world.clock.set(POPPED_MS + 1000 * second);
        world.do_step(Put(message())).await;
    }
    let copy = CopyPlace { topic: "%RETRY%g_t".into(), queue: 0, offset: 0 };
    let ended = |outcome| ChainState::Ended { outcome, at_ms: 1 };
    let open = ChainState::Open { due_ms: DUE_MS };
    let mut others = at_offset(OWN, 2);
    others.id.group = "h".into();
    world
        .do_step(Facts(vec![
            chain_in(open.clone(), 0),
            chain_in(ended(Outcome::Acked), 1),
            chain_in(open, 2),
            chain_in(ChainState::Parked { reason: ParkReason::Permanent, at_ms: 1 }, 3),
            chain_in(ended(Outcome::Revived(copy)), 4),
            Record::Chain(Box::new(others)),
            moved_to("t", 5),
        ]))
        .await;
    world
}

/// Known defect B10: a reset moves the one offset there is; what it hands out anew has no chain left that would bring it
/// a second time, and what lies before stays owed. Acks of handles from before change nothing of what comes after.
#[tokio::test]
async fn a_reset_hands_out_anew_and_ends_what_would_bring_it_twice() {
    let world = popped().await;
    let entries = world.entries();
    let reset = world.reset(Target::Offset { queue: 0, offset: 1 }).await;
    assert_eq!(reset, Reset::To { offsets: [(0, 1)].into(), ended: 2 });
    assert_eq!((world.entries(), world.offset("t")), (entries + 1, Some(1)), "in one entry");
    let anew = ChainState::Ended { outcome: Outcome::Reset, at_ms: POPPED_MS + 5_000 };
    assert_eq!([2, 3].map(|offset| world.state_at(offset)), [anew.clone(), anew]);
    assert_eq!(world.state_at(0), ChainState::Open { due_ms: DUE_MS }, "handed out, and still owed");
    assert!(matches!(world.state_at(1), ChainState::Ended { outcome: Outcome::Acked, .. }));
    let mut others = at_offset(OWN, 2);
    others.id.group = "h".into();
    assert_eq!(world.chain(&others.id).state, ChainState::Open { due_ms: DUE_MS }, "another group's");

    let mut again = at_offset(OWN, 2);
    again.id.pop_time += 9_000;
    world.do_step(Facts(vec![Record::Chain(Box::new(again.clone()))])).await;
    assert_eq!(world.ack(&at_offset(OWN, 2).id).await, Acked::TooLate, "it is on its way again");
    assert_eq!(world.ack(&at_offset(OWN, 1).id).await, Acked::Absorbed, "a repeated ack hears the same");
    assert_eq!(world.chain(&again.id), again);
    assert_eq!(world.offset("t"), Some(1));
}

/// Known defect B10.
#[tokio::test]
async fn a_reset_goes_to_a_time_an_offset_or_the_end_of_real_queues() {
    let world = popped().await;
    let at = |queue, at_ms| Target::Time { queue, at_ms };
    let to = |offsets: &[(i32, i64)], ended| Reset::To { offsets: offsets.iter().copied().collect(), ended };
    assert_eq!(world.reset(at(None, -1)).await, to(&[(0, 6), (1, 0)], 0), "forward: what was handed out stays owed");
    assert_eq!(world.state_at(2), ChainState::Open { due_ms: DUE_MS });
    assert_eq!(world.reset(at(Some(0), POPPED_MS + 2_500)).await, to(&[(0, 3)], 1));
    assert_eq!(world.reset(at(Some(0), POPPED_MS + 2_000)).await, to(&[(0, 2)], 1), "at that time counts");
    assert_eq!(world.reset(at(Some(0), i64::MAX)).await, to(&[(0, 6)], 0));
    assert_eq!(world.reset(at(None, 0)).await, to(&[(0, 0), (1, 0)], 1));
    let outside = Reset::OutOfRange { minimum: 0, next: 6 };
    for offset in [-2, 7] {
        assert_eq!(world.reset(Target::Offset { queue: 0, offset }).await, outside, "{offset}");
    }
    assert_eq!(world.reset(Target::Offset { queue: 2, offset: 0 }).await, Reset::QueueUnknown { queues: 2 });
    let nowhere = ResetOffset { home: home(), group: "g".into(), topic: "u".into(), target: at(None, 0) };
    assert_eq!(world.do_step(nowhere).await, Reset::TopicUnknown);
}
