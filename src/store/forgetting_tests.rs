#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    model::chain::{Outcome, ParkReason},
    revive::{
        samples::{INVISIBLE_MS, OTHER, OWN, POPPED_MS, chain, home},
        steps::{
            ack::{Ack, Acked},
            adopt::{Adopt, Adopted},
        },
    },
    store::{Step, direct::Direct},
};

/// How long chains are known after they were over.
const WINDOW_MS: i64 = 10_000;

/// Forgets what may be forgotten.
struct Forget;

impl Step for Forget {
    type Reply = usize;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<usize, StoreError> {
        txn.forget(WINDOW_MS)
    }
}

/// Makes a chain what it is.
struct Put(Chain);

impl Step for Put {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.record_chain(self.0)
    }
}

fn ended() -> ChainState {
    ChainState::Ended { outcome: Outcome::Acked, at_ms: POPPED_MS }
}

fn popped(broker: &str, pop_time: i64, state: ChainState) -> Chain {
    let mut chain = Chain { state, ..chain(broker) };
    chain.id.pop_time = pop_time;
    chain
}

fn is_known(store: &Direct, id: &ChainId) -> bool {
    store.view().chain(id).unwrap().is_some()
}

#[test]
fn a_chain_is_forgotten_a_window_after_it_was_over() {
    for (state, since_ms) in [
        (ended(), POPPED_MS + 5),
        // Whoever popped it may ack it here as long as it is invisible, wherever it lives.
        (ChainState::Moved { to: OTHER.into() }, POPPED_MS + INVISIBLE_MS),
    ] {
        let (mut store, chain) = (Direct::new(), popped(OWN, POPPED_MS, state));
        store.run(POPPED_MS + 5, Put(chain.clone()));
        let due_ms = since_ms + WINDOW_MS;
        assert_eq!(store.view().next_forgetting_ms(WINDOW_MS).unwrap(), Some(due_ms));
        assert_eq!(store.run(due_ms - 1, Forget), 0);
        assert!(is_known(&store, &chain.id));
        assert_eq!(store.run(due_ms, Forget), 1);
        store.reopen();
        assert!(!is_known(&store, &chain.id), "{:?}", chain.state);
        assert_eq!(store.view().forgotten_until_ms(OWN).unwrap(), Some(POPPED_MS));
        assert_eq!(store.view().next_forgetting_ms(WINDOW_MS).unwrap(), None, "nothing is due any more");
    }
}

#[test]
fn what_is_not_over_is_never_forgotten() {
    for state in [
        ChainState::Open { due_ms: 1 },
        ChainState::Moving { to: OTHER.into(), due_ms: 1, revive_ms: 1 },
        ChainState::Parked { reason: ParkReason::Permanent, at_ms: 1 },
    ] {
        let (mut store, chain) = (Direct::new(), popped(OWN, POPPED_MS, state));
        store.run(POPPED_MS, Put(chain.clone()));
        assert_eq!(store.run(i64::MAX, Forget), 0);
        assert!(is_known(&store, &chain.id));
    }
}

#[test]
fn a_pop_time_ahead_of_the_clock_does_not_move_the_mark_ahead() {
    for pop_time in [POPPED_MS + 1_000_000, i64::MAX] {
        let mut store = Direct::new();
        store.run(POPPED_MS, Put(popped(OTHER, pop_time, ended())));
        store.run(POPPED_MS + WINDOW_MS, Forget);
        assert_eq!(store.view().forgotten_until_ms(OTHER).unwrap(), None);
    }
}

#[test]
fn many_chains_are_forgotten_in_bounded_steps() {
    let mut store = Direct::new();
    let count = i64::try_from(BATCH).unwrap() + 3;
    for number in 0..count {
        store.run(POPPED_MS, Put(popped(OWN, POPPED_MS - number, ended())));
    }
    let forgotten = [(); 3].map(|()| store.run(POPPED_MS + WINDOW_MS, Forget));
    assert_eq!(forgotten, [BATCH, 3, 0]);
}

#[derive(Debug, Clone)]
enum Act {
    Adopt(i64),
    Ack(usize),
    Again(usize),
    Forget,
    Reopen,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..20_000_i64).prop_map(Act::Adopt),
        4 => any::<usize>().prop_map(Act::Ack),
        4 => any::<usize>().prop_map(Act::Again),
        3 => Just(Act::Forget),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// However late a hand-over or an ack is repeated, and whatever the clock does: a chain that was here never begins
    /// anew, one that is not over stays, and one that was popped after all forgotten ones is always taken.
    #[test]
    fn what_was_forgotten_never_begins_anew(
        acts in proptest::collection::vec((any_act(), -4_000..9_000_i64), 1..60),
        recent_rows in prop_oneof![Just(1_usize), Just(4096)],
    ) {
        let mut store = Direct::with(crate::store::StoreConfig { recent_rows, ..Default::default() });
        let (mut now_ms, mut taken, mut over) = (POPPED_MS, Vec::<ChainId>::new(), BTreeSet::new());
        for (act, step_ms) in acts {
            now_ms += step_ms;
            match act {
                Act::Adopt(ago_ms) => {
                    let chain = popped(OTHER, now_ms - ago_ms, ChainState::Open { due_ms: now_ms + 1 });
                    let mark = store.view().forgotten_until_ms(OTHER).unwrap();
                    let Adopted { new, too_old, .. } = store.run(now_ms, Adopt { chains: vec![chain.clone()], acting: None });
                    let is_new = !taken.contains(&chain.id) && mark.is_none_or(|mark| chain.id.pop_time > mark);
                    prop_assert_eq!(new == 1, is_new, "popped at {}, mark {:?}", chain.id.pop_time, mark);
                    prop_assert!(new == 1 || taken.contains(&chain.id) || too_old == 1);
                    if new == 1 {
                        taken.push(chain.id);
                    }
                }
                Act::Ack(which) if !taken.is_empty() => {
                    let id = taken[which % taken.len()].clone();
                    let acked = store.run(now_ms, Ack { home: home(), ids: vec![id.clone()], keep_until_ms: None });
                    prop_assert!(matches!(acked[..], [Acked::Absorbed] | [Acked::Unknown]));
                    prop_assert!(acked == [Acked::Absorbed] || over.contains(&id), "a live chain is unknown");
                    over.insert(id);
                }
                Act::Again(which) if !taken.is_empty() => {
                    let id = taken[which % taken.len()].clone();
                    let again = Chain { id, ..popped(OTHER, 0, ChainState::Open { due_ms: now_ms + 1 }) };
                    prop_assert_eq!(store.run(now_ms, Adopt { chains: vec![again], acting: None }).new, 0, "taken a second time");
                }
                Act::Forget => drop(store.run(now_ms, Forget)),
                Act::Reopen => store.reopen(),
                Act::Ack(_) | Act::Again(_) => {}
            }
            for id in &taken {
                prop_assert!(over.contains(id) || is_known(&store, id), "{id} is not over, and forgotten");
            }
        }
    }
}
