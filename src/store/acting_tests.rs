#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{
    model::chain::{ChainState, LogPosition, Outcome},
    model::checkpoint::ActingTerm,
    revive::{
        samples::{OTHER, OWN, POPPED_MS, chain},
        steps::{
            adopt::Adopt,
            merge::{Acknowledge, Merge},
            seal::{Seal, Sealed},
        },
    },
    store::{Step, direct::Direct},
};

fn seal(member: u64, above: u64) -> Seal {
    Seal { group: OTHER.into(), member, above, agreed: None, end: None, lease: None }
}

fn taken(sealed: Sealed) -> u64 {
    let Sealed::Term(term) = sealed else { panic!("{sealed:?}") };
    term
}

fn adopt(offset: i64, term: u64) -> Adopt {
    let acting = ActingTerm { group: OTHER.into(), term };
    let mut chain = Chain { acted_for: Some(acting.clone()), ..chain(OTHER) };
    chain.id.offset = offset;
    Adopt { chains: vec![chain], acting: Some(acting) }
}

fn acted(store: &Direct) -> Vec<i64> {
    store.view().acted_chains(OTHER, "", 100).unwrap().iter().map(|chain| chain.id.offset).collect()
}

#[test]
fn each_term_is_higher_than_any_before_and_than_what_its_taker_knows() {
    let mut store = Direct::new();
    let terms = [(1, 0), (1, 0), (0, 7), (1, 3)].map(|(member, above)| taken(store.run(0, seal(member, above))));
    assert_eq!(terms, [1, 2, 8, 9]);
    store.reopen();
    assert_eq!(taken(store.run(0, seal(1, 0))), 10, "after a restart too");
}

#[test]
fn a_slave_goes_on_for_the_other_one_until_their_master_has_taken_a_term_and_with_the_same_log_only() {
    let mut store = Direct::new();
    let end = |index| Some(LogEnd { position: LogPosition { term: 1, index }, checksum: 7 });
    let slave = |member, index, agreed| Seal { end: end(index), agreed, ..seal(member, 0) };
    let agreed = Some(taken(store.run(0, slave(1, 5, None))));
    assert_eq!(store.run(0, slave(2, 4, agreed)), Sealed::Outrun, "it lacks what the other one acted upon");
    let next = store.run(0, slave(2, 5, agreed));
    assert_eq!(next, Sealed::Term(2));
    assert_eq!(store.run(0, slave(2, 5, agreed)), Sealed::Term(3), "its answer was lost");
    store.reopen();
    taken(store.run(0, seal(0, 0)));
    assert_eq!(store.run(0, slave(2, 5, agreed)), Sealed::Outrun);
    assert_eq!(store.run(0, slave(1, 5, None)), Sealed::Term(5), "with the other one's vote");
}

/// Known defect A62.
#[test]
fn what_is_handed_over_under_a_term_that_is_not_the_last_is_not_adopted() {
    let mut store = Direct::new();
    let first = taken(store.run(0, seal(1, 0)));
    assert_eq!(store.run(0, adopt(0, first)).new, 1);
    let second = taken(store.run(0, seal(0, 0)));
    let late = store.run(0, adopt(1, first));
    assert_eq!((late.new, late.sealed), (0, Some(second)));
    assert_eq!(acted(&store), [0]);
}

#[test]
fn a_master_is_told_of_every_chain_until_it_has_merged_them_and_none_is_forgotten_before() {
    struct Forget;
    impl Step for Forget {
        type Reply = usize;
        fn decide(self, txn: &mut Txn<'_, '_>) -> Result<usize, StoreError> {
            txn.forget(1_000)
        }
    }
    struct End(Chain);
    impl Step for End {
        type Reply = ();
        fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
            let state = ChainState::Ended { outcome: Outcome::Acked, at_ms: POPPED_MS };
            txn.record_chain(Chain { state, ..self.0 })
        }
    }
    let mut store = Direct::new();
    let term = taken(store.run(0, seal(1, 0)));
    for offset in 0..3 {
        store.run(POPPED_MS, adopt(offset, term));
    }
    let first = store.view().acted_chains(OTHER, "", 1).unwrap().remove(0);
    let rest = store.view().acted_chains(OTHER, &first.id.to_string(), 100).unwrap();
    assert_eq!(rest.iter().map(|chain| chain.id.offset).collect::<Vec<_>>(), [1, 2]);
    store.run(POPPED_MS, End(first));
    assert_eq!(store.run(POPPED_MS + 5_000, Forget), 0, "its master has not asked yet");
    assert_eq!(store.view().next_forgetting_ms(1_000).unwrap(), None);
    let back = taken(store.run(POPPED_MS, seal(0, 0)));
    assert_eq!(acted(&store), [0, 1, 2]);
    store.run(POPPED_MS, Acknowledge { group: OTHER.into(), term: back - 1 });
    assert_eq!(acted(&store), [0, 1, 2], "of an earlier merge");
    store.run(POPPED_MS, Acknowledge { group: OTHER.into(), term: back });
    store.reopen();
    assert_eq!(acted(&store), [0; 0]);
    assert_eq!(store.run(POPPED_MS + 5_000, Forget), 1);
}

/// Known defect A93.
#[test]
fn a_master_goes_on_behind_what_was_popped_and_knows_where_the_chains_are() {
    let mut store = Direct::new();
    let merge = |offsets: &[(i64, u64)], term| {
        let chains = offsets.iter().map(|(offset, term)| {
            let mut chain = Chain { hop: 1, ..chain(OWN) };
            (chain.id.offset, chain.id.term) = (*offset, *term);
            chain
        });
        Merge { group: OWN.into(), target: OTHER.into(), before: 1, term, chains: chains.collect(), timers: Vec::new() }
    };
    store.run(0, merge(&[(3, 2), (9, 1), (5, 2)], 3));
    let view = store.view();
    assert_eq!(view.offset("g", "t", 0).unwrap(), Some(6), "what was popped under an earlier term tells nothing");
    for (offset, term) in [(3, 2), (9, 1), (5, 2)] {
        let mut id = chain(OWN).id;
        (id.offset, id.term) = (offset, term);
        let moved = view.chain(&id).unwrap().unwrap();
        assert_eq!((moved.state, moved.hop), (ChainState::Moved { to: OTHER.into() }, 1));
    }
    assert_eq!(view.merged_term(OWN).unwrap(), 3);
    store.run(0, merge(&[(4, 4)], 5));
    assert_eq!(store.view().offset("g", "t", 0).unwrap(), Some(6), "an offset never falls");
}

/// A seal that comes late, when its master has merged already, or that nobody ever used, holds nothing back.
#[test]
fn a_term_under_which_nothing_was_handed_over_keeps_nothing() {
    let mut store = Direct::new();
    let first = taken(store.run(0, seal(1, 0)));
    store.run(POPPED_MS, adopt(0, first));
    let back = taken(store.run(POPPED_MS, seal(0, 0)));
    let late = taken(store.run(POPPED_MS, seal(1, 0)));
    assert_eq!(store.view().count_unmerged().unwrap(), 1);
    store.run(POPPED_MS, Acknowledge { group: OTHER.into(), term: back });
    assert_eq!((acted(&store), store.view().count_unmerged().unwrap()), (vec![], 0));
    // Under the late term somebody acts after all: the word about the earlier merge is not about that.
    store.run(POPPED_MS, adopt(1, late));
    store.run(POPPED_MS, Acknowledge { group: OTHER.into(), term: back });
    assert_eq!((acted(&store), store.view().is_any_unmerged().unwrap()), (vec![1], true));
}

#[test]
fn where_the_log_of_who_acts_ends_is_known_until_another_log_goes_further() {
    let mut store = Direct::new();
    let end = |term, index| LogEnd { position: LogPosition { term, index }, checksum: 7 };
    let known = |store: &Direct| store.view().acted_end(OTHER).unwrap();
    assert_eq!(known(&store), None);
    for (said, is) in [
        (Some(end(1, 5)), end(1, 5)),
        (None, end(1, 5)),
        (Some(end(1, 9)), end(1, 9)),
        // Of a request that came late.
        (Some(end(1, 5)), end(1, 9)),
        // Its master has merged in between.
        (Some(end(3, 6)), end(3, 6)),
        (Some(end(1, 9)), end(3, 6)),
    ] {
        store.run(0, Seal { end: said, ..seal(1, 0) });
        assert_eq!(known(&store), Some(is), "{said:?}");
    }
    store.reopen();
    assert_eq!(known(&store), Some(end(3, 6)));
}

#[test]
fn groups_are_counted_whatever_their_names_begin_with() {
    let mut store = Direct::new();
    for (offset, group) in ["a", "ab", "a-b", "b"].into_iter().enumerate() {
        let term = taken(
            store.run(0, Seal { group: group.into(), member: 1, above: 0, agreed: None, end: None, lease: None }),
        );
        for number in 0..3 {
            let acting = ActingTerm { group: group.into(), term };
            let mut chain = Chain { acted_for: Some(acting.clone()), ..chain(OTHER) };
            chain.id.offset = i64::try_from(offset).unwrap() * 10 + number;
            store.run(POPPED_MS, Adopt { chains: vec![chain], acting: Some(acting) });
        }
        assert_eq!(store.view().count_unmerged().unwrap(), offset + 1);
    }
}
