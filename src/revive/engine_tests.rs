#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{
    model::{
        cause::Cause,
        chain::{CopyPlace, GoneProof},
    },
    revive::samples::{DUE_MS, OTHER, OWN, POPPED_MS, chain, failure, reviver},
};

#[test]
fn time_in_which_nobody_tried_does_not_use_up_the_total() {
    let mut engine = reviver();
    engine.policy.total_ms = Some(5_000);
    let chain = Chain { attempt: 1, round_began_ms: Some(DUE_MS - 4_000), ..chain(OTHER) };
    let an_hour_late = DUE_MS + 3_600_000;
    let next = engine.step(&chain, Event::Due, an_hour_late).next.unwrap();
    assert_eq!((next.attempt, next.round_began_ms), (2, Some(an_hour_late - 4_000)));
    let used_up = Chain { round_began_ms: Some(DUE_MS - 5_001), ..chain };
    let next = engine.step(&used_up, Event::Due, an_hour_late).next.unwrap();
    assert!(matches!(next.state, ChainState::Parked { reason: ParkReason::PolicyExhausted, .. }), "{:?}", next.state);
}

/// Known defect A08.
#[test]
fn a_late_confirmation_counts_whatever_attempt_it_answers() {
    let state = ChainState::Moving { to: OTHER.into(), due_ms: 0, revive_ms: DUE_MS };
    let moving = Chain { state, attempt: 3, ..chain(OWN) };
    let moved = reviver().step(&moving, Event::Handed { round: 0, attempt: 1, result: Ok(()) }, 0).next.unwrap();
    assert_eq!((moved.state, moved.hop), (ChainState::Moved { to: OTHER.into() }, 1));
    let failed = Event::Handed { round: 0, attempt: 1, result: Err(failure(Cause::Timeout)) };
    assert_eq!(reviver().step(&moving, failed, 0), Transition::stay(Answer::Stale));
}

#[test]
fn resuming_an_unknown_hand_over_asks_the_same_group_and_keeps_the_invisible_time() {
    let reason = ParkReason::UnknownAt { broker: OTHER.into() };
    let parked = Chain { state: ChainState::Parked { reason, at_ms: 1 }, attempt: 4, ..chain(OWN) };
    let now_ms = POPPED_MS + 10;
    let next = reviver().step(&parked, Event::Resumed, now_ms).next.unwrap();
    assert_eq!(next.state, ChainState::Moving { to: OTHER.into(), due_ms: now_ms, revive_ms: DUE_MS });
    assert_eq!((next.round, next.attempt), (1, 0));
    assert_eq!(reviver().step(&parked, Event::Acked, now_ms), Transition::stay(Answer::Elsewhere(OTHER.into())));
}

#[test]
fn answers_say_what_became_of_the_chain() {
    let place = CopyPlace { topic: "r".into(), queue: 0, offset: 0 };
    let by = ChainId { pop_time: 9, ..chain(OWN).id };
    let gone = GoneProof::BelowMinimum { minimum: 1 };
    for (outcome, answer) in [
        (Outcome::Acked, Answer::Done),
        (Outcome::Revived(place.clone()), Answer::TooLate),
        (Outcome::DeadLettered(place), Answer::TooLate),
        (Outcome::Gone(gone), Answer::TooLate),
        (Outcome::Superseded(by.clone()), Answer::Superseded(by)),
    ] {
        let ended = end(chain(OWN), 1, outcome);
        assert_eq!(reviver().step(&ended, Event::Acked, 2), Transition::stay(answer));
    }
    for reason in [ParkReason::PolicyExhausted, ParkReason::Permanent] {
        let parked = Chain { state: ChainState::Parked { reason, at_ms: 1 }, ..chain(OWN) };
        let acked = reviver().step(&parked, Event::Acked, 2);
        assert_eq!((acked.answer, acked.next), (Answer::Done, Some(end(parked, 2, Outcome::Acked))));
    }
}
