//! Acks, adoptions, renewals: what comes with a handle or a checkpoint.

use super::*;

// Ack

#[tokio::test]
async fn a_repeated_ack_gets_the_same_answer_and_costs_nothing() {
    let world = World::with(chain(OWN)).await;
    assert_eq!(world.ack(&chain(OWN).id).await, Acked::Absorbed);
    let entries = world.entries();
    assert_eq!(world.ack(&chain(OWN).id).await, Acked::Absorbed);
    assert_eq!(world.entries(), entries);
    world.tick_at(DUE_MS).await;
    assert_eq!(world.next_due_ms(), None, "an acked chain is never due");
    assert_eq!(world.ack(&at_offset(OWN, 9).id).await, Acked::Unknown);
}

#[tokio::test]
async fn an_ack_after_the_revival_is_too_late_however_often_it_comes() {
    let world = World::with(chain(OWN)).await;
    world.tick_at(DUE_MS).await;
    for _ in 0..2 {
        assert_eq!(world.ack(&chain(OWN).id).await, Acked::TooLate);
    }
}

/// Known defect A71.
#[tokio::test]
async fn an_ack_with_an_old_handle_follows_the_renewals() {
    let world = World::with(chain(OWN)).await;
    let second = world.renewed(&chain(OWN).id).await;
    let third = world.renewed(&second.id).await;
    assert_eq!(world.ack(&chain(OWN).id).await, Acked::Absorbed);
    assert!(matches!(world.chain(&third.id).state, ChainState::Ended { outcome: Outcome::Acked, .. }));
    assert_eq!(world.ack(&second.id).await, Acked::Absorbed);
}

/// Known defect A50.
#[tokio::test]
async fn the_acks_of_one_request_are_one_entry() {
    let world = World::with(chain(OWN)).await;
    world.do_step(Facts(vec![Record::Chain(Box::new(at_offset(OWN, 1)))])).await;
    let entries = world.entries();
    let ids = vec![chain(OWN).id, at_offset(OWN, 7).id, at_offset(OWN, 1).id];
    let acked = world.do_step(Ack { home: home(), ids, keep_until_ms: None }).await;
    assert_eq!(acked, [Acked::Absorbed, Acked::Unknown, Acked::Absorbed]);
    assert_eq!((world.entries(), world.last_entry().records.len()), (entries + 1, 2));
}

#[tokio::test]
async fn an_ack_of_a_chain_that_lives_elsewhere_names_its_home() {
    let world = World::with(Chain { state: ChainState::Moved { to: OTHER.into() }, ..chain(OWN) }).await;
    let elsewhere = Acked::Elsewhere { to: OTHER.into(), id: chain(OWN).id };
    assert_eq!(world.ack(&chain(OWN).id).await, elsewhere);
}

// Adopt

/// Known defects A08, A23, B04.
#[tokio::test]
async fn adopting_twice_is_adopting_once() {
    let world = World::new().await;
    let adopt = || Adopt { chains: vec![chain(OTHER), at_offset(OTHER, 1)], acting: None };
    assert_eq!(world.do_step(adopt()).await.new, 2);
    let view = world.store.view().unwrap();
    let topic = view.topic("t").unwrap().unwrap().config;
    assert!(topic.perm.is_readable() && !topic.perm.is_writable(), "poppable here, but nobody is to send here");
    assert!(view.topic("%RETRY%g_t").unwrap().is_some_and(|row| row.config.perm.is_readable()));
    assert!(view.group("g").unwrap().is_some());
    let entries = world.entries();
    assert_eq!(world.do_step(adopt()).await.new, 0);
    assert_eq!(world.entries(), entries);
    // Whatever has become of it, a repeated hand-over does not bring it back.
    assert_eq!(world.ack(&chain(OTHER).id).await, Acked::Absorbed);
    assert_eq!(world.do_step(adopt()).await.new, 0);
    assert!(matches!(world.chain(&chain(OTHER).id).state, ChainState::Ended { outcome: Outcome::Acked, .. }));
}

/// Known defect A38.
#[tokio::test]
async fn a_chain_adopted_after_its_early_ack_is_acked() {
    let world = World::new().await;
    let early = || Ack { home: home(), ids: vec![chain(OTHER).id], keep_until_ms: Some(POPPED_MS + 9) };
    assert_eq!(world.do_step(early()).await, [Acked::Early]);
    let entries = world.entries();
    assert_eq!(world.do_step(early()).await, [Acked::Early]);
    assert_eq!(world.entries(), entries, "kept once");
    world.do_step(Adopt { chains: vec![chain(OTHER), at_offset(OTHER, 1)], acting: None }).await;
    assert!(matches!(world.chain(&chain(OTHER).id).state, ChainState::Ended { outcome: Outcome::Acked, .. }));
    assert_eq!(world.chain(&at_offset(OTHER, 1).id), at_offset(OTHER, 1));
    assert_eq!(world.store.view().unwrap().early_ack(&chain(OTHER).id).unwrap(), None);
    assert_eq!(world.do_step(early()).await, [Acked::Absorbed]);
}

/// Known defect A37.
#[tokio::test]
async fn early_acks_that_waited_in_vain_do_not_pile_up() {
    let world = World::new().await;
    for offset in 0..50 {
        world.clock.set(POPPED_MS + 10 * offset);
        let keep_until_ms = Some(POPPED_MS + 10 * offset + 25);
        world.do_step(Ack { home: home(), ids: vec![at_offset(OTHER, offset).id], keep_until_ms }).await;
        let kept = world.store.view().unwrap().first_early_acks(99).unwrap();
        assert!(kept.len() <= 4, "{kept:?}");
    }
}

// Renew

/// Known defects A67, C03.
#[tokio::test]
async fn renewing_is_one_entry_and_repeating_it_tells_the_same_handle() {
    let world = World::with(chain(OWN)).await;
    let entries = world.entries();
    world.clock.set(POPPED_MS + 500);
    let renewed = match world.renew(&chain(OWN).id, 9_000).await {
        Renewed::As(chain) => *chain,
        other => panic!("{other:?}"),
    };
    assert_eq!((world.entries(), world.last_entry().records.len()), (entries + 1, 2));
    assert_eq!((renewed.id.pop_time, renewed.generation, renewed.invisible_ms), (POPPED_MS + 500, 1, 9_000));
    assert_eq!(renewed.state, ChainState::Open { due_ms: POPPED_MS + 9_500 });
    let superseded = Outcome::Superseded(renewed.id.clone());
    assert_eq!(world.state(), ChainState::Ended { outcome: superseded, at_ms: POPPED_MS + 500 });
    assert_eq!(world.renew(&chain(OWN).id, 9_000).await, Renewed::As(Box::new(renewed.clone())));
    assert_eq!(world.entries(), entries + 1);
    // The old time passes without a revival, the new one does not.
    world.tick_at(POPPED_MS + 9_499).await;
    assert_eq!(world.next_due_ms(), Some(POPPED_MS + 9_500));
    assert_eq!(world.copy_in("%RETRY%g_t"), None);
    world.tick_at(POPPED_MS + 9_500).await;
    assert!(world.copy_in("%RETRY%g_t").is_some());
    assert_eq!(world.renew(&chain(OWN).id, 9_000).await, Renewed::TooLate);
    assert_eq!(world.renew(&renewed.id, 9_000).await, Renewed::TooLate);
}

#[tokio::test]
async fn a_renewed_handle_never_equals_an_older_one() {
    let world = World::with(chain(OWN)).await;
    let mut id = chain(OWN).id;
    for step in 1..=3 {
        world.clock.set(POPPED_MS - 1_000 * step);
        let next = world.renewed(&id).await.id;
        assert!(next.pop_time > id.pop_time, "although the clock went back");
        id = next;
    }
    assert_eq!(world.renew(&at_offset(OWN, 9).id, 1).await, Renewed::Unknown);
    world.ack(&id).await;
    assert_eq!(world.renew(&id, 1).await, Renewed::TooLate);
}
