//! Ticks, their results, and resuming: what the service and the operator do.

use super::*;

// Tick

#[tokio::test]
async fn a_local_revival_copies_and_ends_in_one_entry() {
    let world = World::with(chain(OWN)).await;
    let entries = world.entries();
    let ticked = world.tick_at(DUE_MS).await;
    assert_eq!((ticked.jobs.len(), world.next_due_ms()), (0, None));
    assert_eq!(world.entries(), entries + 1);
    let kinds: Vec<_> = world.last_entry().records.iter().map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), 3, "topic, message, chain: {:?}", world.last_entry());
    let ChainState::Ended { outcome: Outcome::Revived(place), at_ms } = world.state() else { panic!() };
    assert_eq!((place.topic.as_str(), place.queue, place.offset, at_ms), ("%RETRY%g_t", 0, 0, DUE_MS));
    let copy = world.copy_in("%RETRY%g_t").unwrap();
    assert_eq!((&copy.body, copy.reconsume_times), (&message().body, 1));
    world.tick_at(DUE_MS + INVISIBLE_MS).await;
    assert_eq!(world.entries(), entries + 1, "revived once");
}

#[tokio::test]
async fn a_message_at_its_limit_becomes_a_dead_letter() {
    let world = World::with(Chain { reconsume_limit: 0, ..chain(OWN) }).await;
    world.tick_at(DUE_MS).await;
    assert!(matches!(world.state(), ChainState::Ended { outcome: Outcome::DeadLettered(_), .. }));
    assert!(world.copy_in("%DLQ%g").is_some());
    assert_eq!(world.copy_in("%RETRY%g_t"), None);
}

/// Known defect B07.
#[tokio::test]
async fn a_copy_that_the_store_refuses_parks_its_chain_and_holds_up_nobody() {
    let world = World::new().await;
    // It just fits as it is; the copy carries one property more.
    let mut poison = message();
    poison.properties.remove(names::POP_CK);
    let used = poison.properties.encode().unwrap().len();
    let room = crate::model::message::PROPERTIES_BYTES_MAX - used - "FILL".len() - 2;
    poison.properties.set("FILL", "x".repeat(room));
    world.do_step(Put(poison)).await;
    world.do_step(Put(message())).await;
    let chains = [chain(OWN), at_offset(OWN, 1)].map(|chain| Record::Chain(Box::new(chain)));
    world.do_step(Facts(chains.into())).await;
    world.tick_at(DUE_MS).await;
    let parked = world.chain(&chain(OWN).id);
    assert_eq!(parked.state, ChainState::Parked { reason: ParkReason::Permanent, at_ms: DUE_MS });
    assert_eq!(parked.history.last().unwrap().failure.cause, Cause::LocalStore);
    let next = world.chain(&at_offset(OWN, 1).id);
    assert!(matches!(next.state, ChainState::Ended { outcome: Outcome::Revived(_), .. }));
}

/// Known defects A19, B13.
#[tokio::test]
async fn a_local_message_that_cannot_be_read_ends_by_the_policy() {
    let world = World::with(at_offset(OWN, 1)).await;
    let damaged = Record::Message { topic: "t".into(), queue: 0, offset: 1, stored: b"no message".as_slice().into() };
    world.do_step(Facts(vec![damaged])).await;
    world.tick_at(DUE_MS).await;
    let mut waits = Vec::new();
    let mut now_ms = DUE_MS;
    while let Some(due_ms) = world.next_due_ms() {
        waits.push(due_ms - now_ms);
        assert!(waits.len() < 9, "it never ends");
        now_ms = due_ms;
        world.tick_at(now_ms).await;
    }
    assert_eq!(waits, [1_000, 2_000, 4_000]);
    let parked = world.chain(&at_offset(OWN, 1).id);
    assert_eq!(parked.state, ChainState::Parked { reason: ParkReason::PolicyExhausted, at_ms: now_ms });
    assert_eq!((parked.attempt, parked.history.failures), (4, 4));
    assert_eq!(parked.history.last().unwrap().failure.cause, Cause::Undecodable);
}

/// Known defect A20.
#[tokio::test]
async fn a_chain_whose_message_or_topic_never_was_is_parked() {
    for (id, cause) in [
        (at_offset(OWN, 5).id, Cause::BeyondEnd),
        (ChainId { topic: "nowhere".into(), ..chain(OWN).id }, Cause::TopicUnknown),
    ] {
        let world = World::with(Chain { id: id.clone(), ..chain(OWN) }).await;
        world.tick_at(DUE_MS).await;
        assert_eq!(world.chain(&id).state, ChainState::Open { due_ms: DUE_MS + 1_000 }, "it is looked for once more");
        world.tick_at(DUE_MS + 1_000).await;
        let parked = world.chain(&id);
        assert_eq!(parked.state, ChainState::Parked { reason: ParkReason::Permanent, at_ms: DUE_MS + 1_000 });
        assert_eq!((parked.history.last().unwrap().failure.cause.clone(), parked.history.failures), (cause, 2));
    }
}

/// Known defect A14.
#[tokio::test]
async fn a_message_of_a_recreated_topic_is_gone() {
    let epoch = crate::model::chain::LogPosition { term: 0, index: 1 };
    let world = World::with(Chain { topic_epoch: epoch, ..chain(OWN) }).await;
    world.tick_at(DUE_MS).await;
    let ChainState::Ended { outcome: Outcome::Gone(GoneProof::TopicRecreated { epoch }), .. } = world.state() else {
        panic!("{:?}", world.state())
    };
    assert_eq!((epoch.term, epoch.index), (1, 1));
}

/// Known defect A03.
#[tokio::test]
async fn a_remote_read_is_durable_before_it_starts() {
    let world = World::with(chain(OTHER)).await;
    let ticked = world.tick_at(DUE_MS).await;
    let begun = world.chain(&chain(OTHER).id);
    assert_eq!(ticked.jobs, [Job::Read(begun.clone())]);
    assert_eq!((begun.attempt, begun.round_began_ms), (1, Some(DUE_MS)));
    // Its next attempt is planned for the case that this one is never heard of again.
    assert_eq!(begun.state, ChainState::Open { due_ms: DUE_MS + 10_000 + 1_000 });
}

#[tokio::test]
async fn what_is_not_due_any_more_is_left_alone() {
    let world = World::with(chain(OTHER)).await;
    world.do_step(Facts(vec![Record::Chain(Box::new(at_offset(OTHER, 1)))])).await;
    let tick = || Tick {
        home: home(),
        keys: vec![chain(OTHER).id.to_string(), at_offset(OTHER, 1).id.to_string()],
        hurried: BTreeSet::new(),
        waited: Vec::new(),
        is_away: Box::new(|_| true),
    };
    world.clock.set(DUE_MS - 1);
    let ticked = world.do_step(tick()).await;
    assert_eq!((ticked.jobs.len(), ticked.not_yet_ms), (0, Some(DUE_MS)), "the clock was set back");
    world.ack(&chain(OTHER).id).await;
    world.clock.set(DUE_MS);
    let ticked = world.do_step(tick()).await;
    let taken: Vec<_> = ticked.jobs.iter().map(|job| job.chain().id.offset).collect();
    assert_eq!((taken, ticked.not_yet_ms), (vec![1], None));
    let ticked = world.do_step(tick()).await;
    assert_eq!(ticked.jobs.len(), 0, "its attempt is under way, and the next one is planned");
}

#[tokio::test]
async fn what_waited_for_a_peer_is_parked_only_if_that_is_away_still() {
    let world = World::with(chain(OTHER)).await;
    world.clock.set(DUE_MS + 60_000);
    let tick = |is_away: bool| Tick {
        home: home(),
        keys: Vec::new(),
        hurried: BTreeSet::new(),
        waited: vec![(chain(OTHER).id.to_string(), failure(Cause::Away))],
        is_away: Box::new(move |peer| is_away && peer == failure(Cause::Away).peer),
    };
    let state = || world.chain(&chain(OTHER).id).state;
    let ticked = world.do_step(tick(false)).await;
    assert_eq!((ticked.not_yet_ms, state()), (Some(DUE_MS), ChainState::Open { due_ms: DUE_MS }));
    world.do_step(tick(true)).await;
    assert!(matches!(state(), ChainState::Parked { reason: ParkReason::PolicyExhausted, .. }));
}

// Conclude

/// Known defect A02.
#[tokio::test]
async fn a_result_counts_once_and_only_for_its_own_attempt() {
    let world = World::with(chain(OTHER)).await;
    world.tick_at(DUE_MS).await;
    let id = chain(OTHER).id;
    let conclude = |attempt, outcome| Conclude {
        home: home(),
        results: vec![(id.clone(), Event::Read { round: 0, attempt, outcome })],
    };
    let found = || ReadOutcome::Found(Box::new(message()));
    let failed = || ReadOutcome::Retry(failure(Cause::Timeout));
    assert_eq!(world.do_step(conclude(0, found())).await, [Answer::Stale]);
    assert_eq!(world.do_step(conclude(1, failed())).await, [Answer::Done]);
    assert_eq!(world.chain(&id).state, ChainState::Open { due_ms: DUE_MS + 1_000 });
    world.tick_at(DUE_MS + 1_000).await;
    assert_eq!(world.do_step(conclude(1, found())).await, [Answer::Stale], "the first attempt's late answer");
    let entries = world.entries();
    assert_eq!(world.do_step(conclude(2, found())).await, [Answer::Done]);
    assert_eq!(world.entries(), entries + 1, "copy and end are one entry");
    assert!(world.copy_in("%RETRY%g_t").is_some());
    assert_eq!(world.do_step(conclude(2, found())).await, [Answer::Stale]);
    assert_eq!(world.store.view().unwrap().bounds("%RETRY%g_t", 0).unwrap().next, 1, "copied once");
    assert_eq!(world.chain(&id).history.failures, 1);
}

/// Known defect B04.
#[tokio::test]
async fn an_ack_during_the_read_wins_over_what_was_read() {
    let world = World::with(chain(OTHER)).await;
    world.tick_at(DUE_MS).await;
    assert_eq!(world.ack(&chain(OTHER).id).await, Acked::Absorbed);
    let event = Event::Read { round: 0, attempt: 1, outcome: ReadOutcome::Found(Box::new(message())) };
    let conclude = Conclude { home: home(), results: vec![(chain(OTHER).id, event)] };
    assert_eq!(world.do_step(conclude).await, [Answer::Stale]);
    assert_eq!(world.copy_in("%RETRY%g_t"), None);
}

#[tokio::test]
async fn a_confirmed_hand_over_moves_the_chain() {
    let state = ChainState::Moving { to: OTHER.into(), due_ms: POPPED_MS, revive_ms: DUE_MS };
    let world = World::with(Chain { state, ..chain(OWN) }).await;
    let ticked = world.tick_at(POPPED_MS).await;
    assert!(matches!(&ticked.jobs[..], [Job::HandOver(chain)] if chain.attempt == 1));
    let result: Result<(), ReadFailure> = Ok(());
    let event = Event::Handed { round: 0, attempt: 1, result };
    let unknown = (at_offset(OWN, 9).id, event.clone());
    let conclude = Conclude { home: home(), results: vec![unknown, (chain(OWN).id, event)] };
    assert_eq!(world.do_step(conclude).await, [Answer::Stale, Answer::Done]);
    assert_eq!(world.state(), ChainState::Moved { to: OTHER.into() });
}

// Resume

#[tokio::test]
async fn resuming_opens_the_next_round_of_what_is_parked() {
    let world = World::new().await;
    let parked = |offset| {
        let state = ChainState::Parked { reason: ParkReason::PolicyExhausted, at_ms: 1 };
        let mut chain = Chain { state, attempt: 4, round_began_ms: Some(3), ..at_offset(OTHER, offset) };
        let failed =
            crate::model::chain::FailedAttempt { round: 0, attempt: 4, at_ms: 1, failure: failure(Cause::Refused) };
        chain.history.push(failed);
        chain
    };
    let mut records: Vec<_> = (0..3).map(|offset| Record::Chain(Box::new(parked(offset)))).collect();
    records.push(Record::Chain(Box::new(at_offset(OTHER, 7))));
    world.do_step(Facts(records)).await;

    let one = Resume { home: home(), which: Which::One(parked(1).id) };
    assert_eq!(world.do_step(one).await, Resumed { count: 1, last: None });
    let chain = world.chain(&parked(1).id);
    assert_eq!((chain.round, chain.attempt, chain.history.failures), (1, 0, 1));
    assert_eq!(chain.state, ChainState::Open { due_ms: POPPED_MS });
    for id in [parked(1).id, at_offset(OTHER, 7).id, at_offset(OTHER, 9).id] {
        let again = Resume { home: home(), which: Which::One(id) };
        assert_eq!(world.do_step(again).await, Resumed::default(), "neither open nor unknown chains");
    }

    let (mut key, mut resumed) = (String::new(), 0);
    loop {
        let which = Which::After { key, limit: 1 };
        let step = world.do_step(Resume { home: home(), which }).await;
        resumed += step.count;
        match step.last {
            Some(last) => key = last,
            None => break,
        }
    }
    assert_eq!(resumed, 2);
    assert!(world.store.view().unwrap().parked("", 9).unwrap().is_empty());
}
