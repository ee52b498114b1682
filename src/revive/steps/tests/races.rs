//! Acks, renewals and expiry in every order, and clocks that step between them.

use super::*;
use crate::seams::Clock as _;

/// What a client or the clock does to one popped message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// The consumer renews the handle it got first.
    Renew,
    /// It acks with the handle it got first.
    AckOld,
    /// It acks with the handle of the renewal, if there is one.
    AckNew,
    /// Every time that stands runs out.
    Expire,
}

/// All orders of these.
fn orders(of: &[Does]) -> Vec<Vec<Does>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in of.iter().enumerate() {
        let mut rest = of.to_vec();
        rest.remove(at);
        all.extend(orders(&rest).into_iter().map(|order| [vec![*first], order].concat()));
    }
    all
}

impl World {
    fn copies(&self) -> i64 {
        self.store.view().unwrap().bounds("%RETRY%g_t", 0).unwrap().next
    }

    /// Lets all times run out that stand.
    async fn expire(&self) {
        while let Some(due_ms) = self.next_due_ms() {
            self.tick_at(due_ms.max(self.clock.now_ms())).await;
        }
    }
}

/// Known defects A38, A56, A67, A71, B04, C03, C11: whatever the order of a renewal, acks with either handle and the
/// expiry, an absorbed ack is the end, an ack that is not absorbed leaves exactly one copy, and both hear the same again.
/// A renewal that replaced the chain in two steps, or an ack that met the replaced chain only, breaks one of these.
#[tokio::test]
async fn in_every_order_of_acks_renewal_and_expiry_the_answers_come_true() {
    let all = [Does::Renew, Does::AckOld, Does::AckNew, Does::Expire];
    for order in orders(&all).into_iter().chain(orders(&[Does::Renew, Does::Expire, Does::Renew, Does::AckOld])) {
        let world = World::with(chain(OWN)).await;
        let old = chain(OWN).id;
        let (mut renewed, mut absorbed) = (None, false);
        for does in &order {
            let handle = match does {
                Does::Expire => {
                    world.expire().await;
                    continue;
                }
                Does::Renew => {
                    if let Renewed::As(chain) = world.renew(&old, INVISIBLE_MS).await {
                        assert!(!absorbed && world.copies() == 0, "{order:?}: renewed although it is over");
                        renewed = Some(chain.id);
                    }
                    continue;
                }
                Does::AckOld => Some(&old),
                Does::AckNew => renewed.as_ref(),
            };
            let Some(handle) = handle else { continue };
            let acked = world.ack(handle).await;
            assert_eq!(acked == Acked::Absorbed, world.copies() == 0, "{order:?}: {acked:?}");
            assert!(acked == Acked::Absorbed || acked == Acked::TooLate, "{order:?}: {acked:?}");
            assert_eq!(world.ack(handle).await, acked, "{order:?}: a repeated ack hears the same");
            absorbed |= acked == Acked::Absorbed;
        }
        world.expire().await;
        assert_eq!(world.copies(), i64::from(!absorbed), "{order:?}");
    }
}

/// Known defects A43, A44, A56, C11: an ack counts until the revival itself, not until some margin before it: there is no
/// age limit of acks, and none is dropped because its checkpoint is about to be handled.
#[tokio::test]
async fn an_ack_is_absorbed_until_the_very_revival() {
    for at_ms in [POPPED_MS, DUE_MS - 2_000, DUE_MS - 1, DUE_MS, DUE_MS + 60_000] {
        let world = World::with(chain(OWN)).await;
        world.clock.set(at_ms);
        assert_eq!(world.ack(&chain(OWN).id).await, Acked::Absorbed, "{} ms after it was due", at_ms - DUE_MS);
        world.expire().await;
        assert_eq!(world.copies(), 0);
    }
}

/// Known defects A94, C09: a clock that steps forward expires what is not acked and nothing else; one that steps back
/// delays, but repeats nothing. What is acked is out of the clock's reach.
#[tokio::test]
async fn a_clock_that_steps_revives_nothing_that_was_acked_and_nothing_twice() {
    let world = World::with(chain(OWN)).await;
    world.do_step(Facts(vec![Record::Chain(Box::new(at_offset(OWN, 1)))])).await;
    world.do_step(Put(message())).await;
    assert_eq!(world.ack(&chain(OWN).id).await, Acked::Absorbed);
    for clock_ms in [0, DUE_MS + 86_400_000, i64::MIN / 2, 0, DUE_MS + 2 * 86_400_000] {
        world.tick_at(clock_ms).await;
    }
    assert_eq!(world.copies(), 1);
    assert!(matches!(world.state(), ChainState::Ended { outcome: Outcome::Acked, .. }));

    // A read that is under way while the clock steps back is repeated a wait after its end, not a day later.
    let world = World::with(chain(OTHER)).await;
    world.tick_at(DUE_MS + 86_400_000).await;
    world.clock.set(DUE_MS);
    let outcome = ReadOutcome::Retry(failure(Cause::Timeout));
    let event = Event::Read { round: 0, attempt: 1, outcome };
    world.do_step(Conclude { home: home(), results: vec![(chain(OTHER).id, event)] }).await;
    assert_eq!(world.chain(&chain(OTHER).id).due_ms(), Some(DUE_MS + 1_000));
}

/// Known defects C09, B08: counts and times that another broker sends are taken as they are, up to the last number;
/// a renewal or a resumption of such a chain neither fails nor starts the count over.
#[tokio::test]
async fn counts_at_the_end_of_their_range_neither_fail_nor_start_over() {
    let last = Chain { round: u32::MAX, hop: u32::MAX, generation: u32::MAX, attempt: u32::MAX, ..chain(OWN) };
    let world = World::with(last.clone()).await;
    assert_eq!(world.renewed(&last.id).await.generation, u32::MAX);

    let state = ChainState::Parked { reason: ParkReason::PolicyExhausted, at_ms: 1 };
    let world = World::with(Chain { state, ..last.clone() }).await;
    let one = Resume { home: home(), which: Which::One(last.id) };
    assert_eq!(world.do_step(one).await.count, 1);
    world.expire().await;
    assert_eq!(world.copies(), 1);

    // After the last time there is none for another handle.
    let mut chain = chain(OWN);
    chain.id.pop_time = i64::MAX;
    let world = World::with(chain.clone()).await;
    assert_eq!(world.renew(&chain.id, INVISIBLE_MS).await, Renewed::TooLate);
    assert_eq!(world.ack(&chain.id).await, Acked::Absorbed, "the refused renewal left it as it was");
}
