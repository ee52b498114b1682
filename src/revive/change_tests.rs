//! The engine's transitions, read back from the records they leave.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::{
    Engine, ReadOutcome,
    engine::{Effect, Event},
    samples::{DUE_MS, OTHER, OWN, chain, failure, reviver},
};
use crate::model::{
    cause::Cause,
    chain::{Chain, ChainState, Outcome, ParkReason},
    change::{Change, change},
};

fn step(chain: &Chain, event: Event, now_ms: i64) -> Chain {
    reviver().step(chain, event, now_ms).next.unwrap()
}

fn read(chain: &Chain, cause: Cause, now_ms: i64) -> Chain {
    let outcome = ReadOutcome::failed(failure(cause));
    step(chain, Event::Read { round: chain.round, attempt: chain.attempt, outcome }, now_ms)
}

#[test]
fn a_life_is_read_off_its_records() {
    let mut chain = chain(OTHER);
    assert_eq!(change(&chain, DUE_MS - 60_000), Change::Opened);
    let mut now_ms = DUE_MS;
    for attempt in 1..=3 {
        chain = step(&chain, Event::Due, now_ms);
        assert_eq!(change(&chain, now_ms), Change::AttemptBegun);
        now_ms += 10;
        chain = read(&chain, Cause::Timeout, now_ms);
        let Change::PutBack(failed) = change(&chain, now_ms) else { panic!("{:?}", change(&chain, now_ms)) };
        assert_eq!((failed.attempt, &failed.failure.cause), (attempt, &Cause::Timeout));
        now_ms = chain.due_ms().unwrap();
    }
    chain = step(&chain, Event::Due, now_ms);
    chain = read(&chain, Cause::Reset, now_ms + 5);
    let Change::Parked { reason, failed } = change(&chain, now_ms + 5) else { panic!("{chain:?}") };
    assert_eq!((reason, &failed.unwrap().failure.cause), (&ParkReason::PolicyExhausted, &Cause::Reset));
    chain = step(&chain, Event::Resumed, now_ms + 99);
    assert_eq!(change(&chain, now_ms + 99), Change::Resumed);
    chain = step(&chain, Event::Due, now_ms + 99);
    assert_eq!(change(&chain, now_ms + 99), Change::AttemptBegun);
    chain = step(&chain, Event::Acked, now_ms + 100);
    assert_eq!(change(&chain, now_ms + 100), Change::Ended(&Outcome::Acked));
}

/// Whoever dies in the middle of every attempt has no failure to remember, and is resumed all the same.
#[test]
fn a_chain_that_never_failed_is_resumed_too() {
    let state = ChainState::Parked { reason: ParkReason::PolicyExhausted, at_ms: DUE_MS };
    let parked = Chain { state, attempt: 4, ..chain(OTHER) };
    let resumed = step(&parked, Event::Resumed, DUE_MS + 9);
    assert_eq!(change(&resumed, DUE_MS + 9), Change::Resumed);
    assert_eq!(change(&step(&resumed, Event::Due, DUE_MS + 9), DUE_MS + 9), Change::AttemptBegun);
    assert_eq!(change(&Chain { round: 1, ..chain(OTHER) }, DUE_MS), Change::Opened, "handed over in its second round");
}

#[test]
fn a_failure_is_told_once_even_if_an_ack_follows_in_the_same_commit() {
    let begun = step(&chain(OTHER), Event::Due, DUE_MS);
    let failed = read(&begun, Cause::Busy, DUE_MS + 1);
    let acked = step(&failed, Event::Acked, DUE_MS + 1);
    assert!(matches!(change(&failed, DUE_MS + 1), Change::PutBack(_)));
    assert_eq!(change(&acked, DUE_MS + 1), Change::Ended(&Outcome::Acked));
}

#[test]
fn a_hand_over_begins_with_its_chain() {
    let state = ChainState::Moving { to: OWN.into(), due_ms: DUE_MS, revive_ms: DUE_MS };
    let popped = Chain { attempt: 1, round_began_ms: Some(7), state, ..chain(OTHER) };
    assert_eq!(change(&popped, 7), Change::Opened);
    let again = step(&popped, Event::Due, DUE_MS);
    assert_eq!(change(&again, DUE_MS), Change::AttemptBegun);
    let handed = Event::Handed { round: 0, attempt: 2, result: Err(failure(Cause::Timeout)) };
    assert!(matches!(change(&step(&again, handed, DUE_MS + 1), DUE_MS + 1), Change::PutBack(_)));
    let handed = Event::Handed { round: 0, attempt: 2, result: Ok(()) };
    let transition = reviver().step(&again, handed, DUE_MS + 2);
    assert_eq!(
        (change(transition.next.as_ref().unwrap(), DUE_MS + 2), transition.effect),
        (Change::Moved, Effect::None)
    );
}

#[test]
fn the_successor_of_a_failing_chain_begins_anew() {
    let failed = read(&step(&chain(OTHER), Event::Due, DUE_MS), Cause::Busy, DUE_MS + 1);
    let state = ChainState::Open { due_ms: DUE_MS + 60_000 };
    let successor = Chain { attempt: 0, round_began_ms: None, generation: 1, state, ..failed };
    assert_eq!(change(&successor, DUE_MS + 2), Change::Opened);
}
