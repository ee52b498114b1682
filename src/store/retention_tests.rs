#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    model::{
        chain::{Chain, CopyPlace, LogPosition, ParkReason},
        message::Message,
    },
    revive::samples::{OTHER, OWN, POPPED_MS, chain, message},
    store::{Step, direct::Direct},
};

/// How long messages are kept here.
const AGE_MS: i64 = 1000;
const BY_AGE: Retention = Retention { age_ms: Some(AGE_MS), bytes: None };

/// Stores a message in this queue.
struct Put(i32);

impl Step for Put {
    type Reply = i64;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<i64, StoreError> {
        Ok(txn.append(Message { queue_id: self.0, ..message() })?.unwrap().offset)
    }
}

/// Records these facts.
struct Facts(Vec<Record>);

impl Step for Facts {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        self.0.into_iter().try_for_each(|record| txn.record(record))
    }
}

/// Lets expire what is due.
struct Expire(Retention);

impl Step for Expire {
    type Reply = Expiry;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Expiry, StoreError> {
        txn.expire(OWN, self.0)
    }
}

fn ended(outcome: Outcome) -> ChainState {
    ChainState::Ended { outcome, at_ms: 1 }
}

/// The chain of a message of `broker` in queue 0.
fn in_state(broker: &str, offset: i64, pop_time: i64, state: ChainState) -> Record {
    let mut chain = Chain { state, ..chain(broker) };
    (chain.id.offset, chain.id.pop_time) = (offset, pop_time);
    Record::Chain(Box::new(chain))
}

fn open() -> ChainState {
    ChainState::Open { due_ms: 9 }
}

/// The entries that are in the log.
/// The entries in the log, but for the last expired one, which stays so that followers recognize it.
fn log(store: &Direct) -> Vec<u64> {
    let view = store.view();
    let begins = view.expired_before().unwrap();
    let is_there = |index: &u64| *index + 1 != begins && view.entry(*index).unwrap().is_some();
    (1..=view.last()).filter(is_there).collect()
}

fn readable(store: &Direct, offset: i64) -> bool {
    store.view().message("t", 0, offset).unwrap().is_some()
}

fn minimum(store: &Direct, queue: i32) -> i64 {
    store.view().bounds("t", queue).unwrap().minimum
}

#[test]
fn messages_go_from_the_front_of_every_queue_once_they_are_old() {
    let mut store = Direct::new();
    store.run(POPPED_MS, Put(0));
    store.run(POPPED_MS + 10, Put(1));
    store.run(POPPED_MS + 20, Put(0));
    store.run(POPPED_MS + 500, Put(1));
    assert_eq!(store.view().next_expiry_ms(BY_AGE, POPPED_MS + 500).unwrap(), Some(POPPED_MS + AGE_MS));
    assert_eq!(store.run(POPPED_MS + AGE_MS - 1, Expire(BY_AGE)), Expiry::default(), "not yet");
    assert_eq!(store.run(POPPED_MS + AGE_MS + 20, Expire(BY_AGE)).messages, 3);
    let bounds = |queue| store.view().bounds("t", queue).unwrap();
    assert_eq!(bounds(0), Bounds { minimum: 2, next: 2 });
    assert_eq!(bounds(1), Bounds { minimum: 1, next: 2 });
    assert_eq!((log(&store), readable(&store, 1)), (vec![4, 5], false), "the entries have left the log");
    assert_eq!(store.run(POPPED_MS + AGE_MS + 20, Put(0)), 2, "offsets go on");
    store.reopen();
    assert_eq!((minimum(&store, 0), minimum(&store, 1)), (2, 1));
}

#[test]
fn what_is_held_back_for_a_chain_of_a_deleted_topic_is_not_taken_for_its_successor_s() {
    let mut store = Direct::new();
    store.run(POPPED_MS, Put(0));
    store.run(POPPED_MS, Facts(vec![in_state(OWN, 0, POPPED_MS, open())]));
    store.run(POPPED_MS + AGE_MS, Expire(BY_AGE));
    assert_eq!((store.view().counts().kept, readable(&store, 0)), (1, true));
    let at = LogPosition { term: 1, index: store.view().last() + 1 };
    let deleted = Record::TopicDeleted { topic: "t".into(), epoch: LogPosition::default(), at };
    store.run(POPPED_MS + AGE_MS, Facts(vec![deleted]));
    assert_eq!(store.view().counts().kept, 0);
    assert_eq!(store.run(POPPED_MS + AGE_MS, Put(0)), 0, "offsets begin anew");
    store.run(POPPED_MS + AGE_MS, Facts(vec![in_state(OWN, 0, POPPED_MS, ended(Outcome::Acked))]));
    assert!(readable(&store, 0), "the successor's message is nobody else's");
    store.run(POPPED_MS + 3 * AGE_MS, Expire(BY_AGE));
    assert_eq!((store.view().counts().kept, readable(&store, 0)), (0, false));
}

#[test]
fn the_oldest_go_when_there_are_too_many_bytes() {
    let mut store = Direct::new();
    for _ in 0..10 {
        store.run(POPPED_MS, Put(0));
    }
    let whole = store.view().counts().retained_bytes;
    let some = Retention { age_ms: None, bytes: Some(whole / 2) };
    assert_eq!(store.view().next_expiry_ms(some, POPPED_MS).unwrap(), Some(POPPED_MS));
    assert_eq!(store.run(POPPED_MS, Expire(some)).messages, 5);
    assert_eq!(minimum(&store, 0), 5);
    let kept = store.view().counts().retained_bytes;
    let on_disk: u64 =
        log(&store).iter().map(|index| store.view().committed().sized_entry(*index).unwrap().unwrap().1).sum();
    assert_eq!(kept, on_disk);
}

#[test]
fn what_says_only_that_others_have_gone_makes_nothing_expire() {
    let mut store = Direct::new();
    store.run(POPPED_MS, Put(0));
    let mut now_ms = POPPED_MS;
    for messages in [1, 0, 0] {
        now_ms += 2 * AGE_MS;
        assert_eq!(store.run(now_ms, Expire(BY_AGE)).messages, messages);
    }
    assert_eq!(store.view().next_expiry_ms(BY_AGE, now_ms).unwrap(), None, "nothing is due any more");
    assert_eq!(log(&store), [2]);
    let nothing = Retention { age_ms: None, bytes: Some(1) };
    assert_eq!(store.view().next_expiry_ms(nothing, now_ms).unwrap(), None);
}

/// Everything there is expires, twice.
fn expire_all(store: &mut Direct) {
    store.run(POPPED_MS + 9 * AGE_MS, Expire(BY_AGE));
    store.run(POPPED_MS + 99 * AGE_MS, Expire(BY_AGE));
}

#[test]
fn a_live_chain_holds_its_message_back_until_it_ends() {
    let copy = CopyPlace { topic: "r".into(), queue: 0, offset: 0 };
    let parked = ChainState::Parked { reason: ParkReason::Permanent, at_ms: 1 };
    let moving = ChainState::Moving { to: OTHER.into(), due_ms: 9, revive_ms: 9 };
    let moved = ChainState::Moved { to: OTHER.into() };
    for (live, over) in [
        (open(), ended(Outcome::Acked)),
        (open(), ended(Outcome::Revived(copy.clone()))),
        (parked, ended(Outcome::DeadLettered(copy))),
        (moving, moved),
    ] {
        let mut store = Direct::new();
        store.run(POPPED_MS, Put(0));
        store.run(POPPED_MS, Put(0));
        store.run(POPPED_MS, Facts(vec![in_state(OWN, 0, 1, live), in_state(OTHER, 1, 1, open())]));
        expire_all(&mut store);
        assert_eq!(minimum(&store, 0), 2, "the queue begins later all the same");
        assert_eq!((readable(&store, 0), readable(&store, 1)), (true, false), "another broker's chain holds nothing");
        assert_eq!(log(&store).first(), Some(&1));
        store.reopen();
        store.run(POPPED_MS, Facts(vec![in_state(OTHER, 0, 1, open()), in_state(OTHER, 0, 1, over.clone())]));
        assert!(readable(&store, 0), "the message of that name at the other broker");
        store.run(POPPED_MS, Facts(vec![in_state(OWN, 0, 1, over)]));
        assert!(!readable(&store, 0), "nobody needs it");
        assert_eq!(store.view().next_expiry_ms(BY_AGE, POPPED_MS).unwrap(), Some(POPPED_MS), "it can be freed now");
        store.reopen();
        store.run(POPPED_MS, Expire(BY_AGE));
        assert!(!log(&store).contains(&1), "its entry has left the log: {:?}", log(&store));
    }
}

#[test]
fn the_last_of_several_chains_lets_the_message_go() {
    let mut store = Direct::new();
    store.run(POPPED_MS, Put(0));
    store.run(POPPED_MS, Facts(vec![in_state(OWN, 0, 1, open()), in_state(OWN, 0, 2, open())]));
    expire_all(&mut store);
    store.run(POPPED_MS, Facts(vec![in_state(OWN, 0, 1, ended(Outcome::Acked))]));
    assert!(readable(&store, 0));
    // The second one is renewed; what follows it needs the message too.
    let third = Chain { id: ChainId { pop_time: 3, ..chain(OWN).id }, state: open(), ..chain(OWN) };
    let renewed = in_state(OWN, 0, 2, ended(Outcome::Superseded(third.id.clone())));
    store.run(POPPED_MS, Facts(vec![renewed, Record::Chain(Box::new(third.clone()))]));
    assert!(readable(&store, 0));
    store.run(POPPED_MS, Facts(vec![in_state(OWN, 0, 3, ended(Outcome::Acked))]));
    assert!(!readable(&store, 0));
}

#[test]
fn a_delayed_message_stays_until_it_is_delivered() {
    let mut store = Direct::new();
    let stored = message().encode().unwrap();
    let epoch = LogPosition::default();
    let timer = |due_ms| Record::Timer { due_ms, epoch, stored: stored.clone() };
    store.run(POPPED_MS, Facts(vec![timer(7), timer(8)]));
    store.run(POPPED_MS, Put(0));
    expire_all(&mut store);
    assert!(store.view().record_at(1, 1).unwrap().is_some());
    store.run(POPPED_MS, Facts(vec![Record::TimerFired { due_ms: 7, index: 1, record: 0 }]));
    store.run(POPPED_MS + 199 * AGE_MS, Expire(BY_AGE));
    assert!(store.view().record_at(1, 1).unwrap().is_some(), "the other one is still to come");
    store.run(POPPED_MS, Facts(vec![Record::TimerFired { due_ms: 8, index: 1, record: 1 }]));
    store.run(POPPED_MS, Expire(BY_AGE));
    assert!(!log(&store).contains(&1));
}

#[test]
fn much_expires_in_bounded_steps() {
    let mut store = Direct::new();
    for _ in 0..BATCH + 10 {
        store.run(POPPED_MS, Put(0));
    }
    let first = store.run(POPPED_MS + AGE_MS, Expire(BY_AGE));
    assert_eq!(first, Expiry { messages: BATCH, more: true });
    assert_eq!(store.run(POPPED_MS + AGE_MS, Expire(BY_AGE)), Expiry { messages: 10, more: false });
}

/// A broker that was quiet while very many chains were forgotten, an entry each.
#[test]
fn more_than_a_batch_that_only_goes_along_holds_nothing_back() {
    let mut store = Direct::new();
    for _ in 0..=BATCH {
        store.run(POPPED_MS, Facts(vec![Record::Forgotten { chains: Vec::new() }]));
    }
    store.run(POPPED_MS, Put(0));
    assert_eq!(store.run(POPPED_MS + AGE_MS, Expire(BY_AGE)), Expiry { messages: 1, more: true });
}

#[derive(Debug, Clone)]
enum Act {
    Put(i32),
    Chain(i64, i64, ChainState),
    Expire,
    Reopen,
}

fn any_act() -> impl Strategy<Value = Act> {
    let state = prop_oneof![
        3 => Just(open()),
        1 => Just(ChainState::Parked { reason: ParkReason::Permanent, at_ms: 1 }),
        1 => Just(ChainState::Moved { to: OTHER.into() }),
        3 => Just(ended(Outcome::Acked)),
    ];
    prop_oneof![
        3 => (0..2_i32).prop_map(Act::Put),
        4 => (0..6_i64, 0..2_i64, state).prop_map(|(offset, pop_time, state)| Act::Chain(offset, pop_time, state)),
        2 => Just(Act::Expire),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever happens: a message that is not old enough can be read, one that a live chain has needed since before it
    /// expired can be read, nothing else can; and once no chain is live the log holds nothing that has expired.
    #[test]
    fn nothing_goes_too_early_and_everything_goes(
        acts in proptest::collection::vec((any_act(), 0..600_i64), 1..40),
        recent_rows in prop_oneof![Just(1_usize), Just(8), Just(4096)],
    ) {
        let mut store = Direct::with(super::super::StoreConfig { recent_rows, ..Default::default() });
        let (mut now_ms, mut stored_ms, mut live) = (POPPED_MS, BTreeMap::new(), BTreeMap::new());
        let mut held: BTreeMap<i64, bool> = BTreeMap::new(); // expired messages of queue 0, and whether they are needed
        for (act, wait_ms) in acts {
            now_ms += wait_ms;
            match act {
                Act::Put(queue) => {
                    let offset = store.run(now_ms, Put(queue));
                    if queue == 0 {
                        stored_ms.insert(offset, now_ms);
                    }
                }
                Act::Chain(offset, pop_time, state) => {
                    let is_live = matches!(state, ChainState::Open { .. } | ChainState::Parked { .. });
                    live.insert((offset, pop_time), is_live);
                    store.run(now_ms, Facts(vec![in_state(OWN, offset, pop_time, state)]));
                }
                Act::Expire => {
                    store.run(now_ms, Expire(BY_AGE));
                    for offset in stored_ms.iter().filter(|(_, at_ms)| **at_ms + AGE_MS <= now_ms).map(|(offset, _)| *offset) {
                        held.entry(offset).or_insert(true);
                    }
                }
                Act::Reopen => store.reopen(),
            }
            for (offset, needed) in &mut held {
                *needed &= live.iter().any(|((of, _), is_live)| of == offset && *is_live);
                prop_assert_eq!(readable(&store, *offset), *needed, "{} is expired", offset);
            }
            for offset in stored_ms.keys().filter(|offset| !held.contains_key(offset)) {
                prop_assert!(readable(&store, *offset), "{} is not expired", offset);
            }
        }
        let over = live.keys().map(|(offset, pop_time)| in_state(OWN, *offset, *pop_time, ended(Outcome::Acked)));
        store.run(now_ms, Facts(over.collect()));
        store.run(now_ms + AGE_MS, Expire(BY_AGE));
        let begins = store.view().expired_before().unwrap();
        prop_assert!(log(&store).iter().all(|index| *index >= begins), "{:?} before {begins}", log(&store));
    }
}
