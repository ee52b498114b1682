#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    model::{
        cause::Cause,
        chain::{CopyPlace, GoneProof, HISTORY_LIMIT},
    },
    revive::samples::{DUE_MS, OTHER, OWN, POPPED_MS, chain, failure, message, reviver},
};

/// What happens next; reads and answers name their attempt relative to the chain's.
#[derive(Debug, Clone)]
enum Happens {
    Due,
    Read { stale_round: bool, stale_attempt: bool, outcome: Came },
    Handed { stale_round: bool, stale_attempt: bool, confirmed: bool },
    Acked,
    Renewed,
    Resumed,
}

#[derive(Debug, Clone, Copy)]
enum Came {
    Found,
    Gone,
    Retry,
    Permanent,
}

impl Came {
    fn outcome(self) -> ReadOutcome {
        match self {
            Self::Found => ReadOutcome::Found(Box::new(message())),
            Self::Gone => ReadOutcome::Gone(GoneProof::BelowMinimum { minimum: 9 }),
            Self::Retry => ReadOutcome::Retry(failure(Cause::Timeout)),
            Self::Permanent => ReadOutcome::Permanent(failure(Cause::TopicUnknown)),
        }
    }
}

fn came() -> impl Strategy<Value = Came> {
    prop_oneof![1 => Just(Came::Found), 1 => Just(Came::Gone), 8 => Just(Came::Retry), 1 => Just(Came::Permanent)]
}

/// What happens, and how much time has passed since what happened before; the wall clock may be stepped back.
fn happenings() -> impl Strategy<Value = Vec<(i64, Happens)>> {
    let stale = || prop::bool::weighted(0.15);
    let what = prop_oneof![
        8 => Just(Happens::Due),
        6 => (stale(), stale(), came()).prop_map(|(stale_round, stale_attempt, outcome)| {
            Happens::Read { stale_round, stale_attempt, outcome }
        }),
        6 => (stale(), stale(), prop::bool::weighted(0.2)).prop_map(|(stale_round, stale_attempt, confirmed)| {
            Happens::Handed { stale_round, stale_attempt, confirmed }
        }),
        1 => Just(Happens::Acked),
        1 => Just(Happens::Renewed),
        2 => Just(Happens::Resumed),
    ];
    vec((prop_oneof![9 => 0i64..70_000, 1 => -5_000i64..0], what), 1..80)
}

fn engines() -> impl Strategy<Value = Reviver> {
    (vec(100u64..20_000, 1..5), 0u32..6, prop::option::of(1_000u64..200_000), 0.0..0.9f64).prop_map(
        |(waits_ms, rewrites, total_ms, jitter)| Reviver {
            policy: RewritePolicy { waits_ms, rewrites, total_ms, jitter },
            ..reviver()
        },
    )
}

fn starts() -> impl Strategy<Value = Chain> {
    let moving = ChainState::Moving { to: "broker-c".into(), due_ms: POPPED_MS + 11_000, revive_ms: DUE_MS };
    let moving = Chain { state: moving, attempt: 1, round_began_ms: Some(POPPED_MS), ..chain(OWN) };
    prop_oneof![Just(chain(OWN)), Just(chain(OTHER)), Just(moving)]
}

/// Plays the shell: performs the effects that belong to the transaction, and checks every step.
struct Play {
    engine: Reviver,
    chain: Chain,
    now_ms: i64,
    acked: bool,
}

impl Play {
    fn event(&self, happens: &Happens) -> Event {
        let begun = |stale_round: bool, stale_attempt: bool| {
            (self.chain.round.wrapping_sub(stale_round.into()), self.chain.attempt.wrapping_sub(stale_attempt.into()))
        };
        match *happens {
            Happens::Due => Event::Due,
            Happens::Read { stale_round, stale_attempt, outcome } => {
                let (round, attempt) = begun(stale_round, stale_attempt);
                Event::Read { round, attempt, outcome: outcome.outcome() }
            }
            Happens::Handed { stale_round, stale_attempt, confirmed } => {
                let (round, attempt) = begun(stale_round, stale_attempt);
                let result = if confirmed { Ok(()) } else { Err(failure(Cause::Refused)) };
                Event::Handed { round, attempt, result }
            }
            Happens::Acked => Event::Acked,
            Happens::Renewed => Event::Renewed { by: ChainId { pop_time: self.now_ms + 1, ..self.chain.id.clone() } },
            Happens::Resumed => Event::Resumed,
        }
    }

    fn happen(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let before = self.chain.clone();
        let transition = self.engine.step(&before, event.clone(), self.now_ms);
        let after = transition.next.clone().unwrap_or_else(|| before.clone());
        self.check_identity(&before, &after, event)?;
        self.check_attempts(&before, &after, &transition)?;
        self.check_failure(&before, &after, event)?;
        check_target(&before, &after)?;
        check_ends(&before, &transition)?;
        self.acked |= matches!(event, Event::Acked) && transition.answer == Answer::Done;
        if self.acked {
            prop_assert!(matches!(after.state, ChainState::Ended { outcome: Outcome::Acked, .. }), "{:?}", after.state);
            prop_assert_eq!(&transition.effect, &Effect::None);
        }
        self.chain = after;
        match transition.effect {
            Effect::ReadLocally => {
                prop_assert_eq!(&self.chain.id.broker, OWN);
                let (round, attempt) = (self.chain.round, self.chain.attempt);
                let outcome = ReadOutcome::Retry(failure(Cause::Undecodable));
                self.happen(&Event::Read { round, attempt, outcome })?;
            }
            Effect::Copy(_) => {
                prop_assert!(matches!(self.chain.state, ChainState::Open { .. }), "not open");
                let place = CopyPlace { topic: "r".into(), queue: 0, offset: 0 };
                self.chain = end(self.chain.clone(), self.now_ms, Outcome::Revived(place));
            }
            Effect::ReadRemotely => prop_assert!(matches!(self.chain.state, ChainState::Open { .. }), "not open"),
            Effect::HandOver => prop_assert!(matches!(self.chain.state, ChainState::Moving { .. }), "not moving"),
            Effect::None => {}
        }
        Ok(())
    }

    fn check_identity(&self, before: &Chain, after: &Chain, event: &Event) -> Result<(), TestCaseError> {
        prop_assert_eq!(&before.id, &after.id);
        prop_assert!(after.hop >= before.hop && after.generation == before.generation);
        let (was, is) = (&before.history, &after.history);
        prop_assert!(is.failures >= was.failures && is.failures <= was.failures + 1);
        prop_assert!(was.first_ms.is_none() || is.first_ms == was.first_ms);
        prop_assert!(is.latest.len() >= was.latest.len() && is.latest.len() <= HISTORY_LIMIT);
        prop_assert_eq!(is.latest.is_empty(), is.failures == 0);
        let resumed = matches!((event, &before.state), (Event::Resumed, ChainState::Parked { .. }));
        prop_assert_eq!(after.round, before.round + u32::from(resumed));
        Ok(())
    }

    fn check_attempts(&self, before: &Chain, after: &Chain, transition: &Transition) -> Result<(), TestCaseError> {
        prop_assert!(after.attempt <= self.engine.policy.rewrites + 1);
        if after.round != before.round {
            prop_assert_eq!((after.attempt, after.round_began_ms), (0, None));
            return Ok(());
        }
        let begins = matches!(transition.effect, Effect::ReadLocally | Effect::ReadRemotely | Effect::HandOver);
        prop_assert_eq!(after.attempt, before.attempt + u32::from(begins));
        if !begins {
            return Ok(());
        }
        let began = after.round_began_ms.unwrap();
        // It moves on by the time in which the chain was due and nobody tried.
        let late_ms = (self.now_ms - before.due_ms().unwrap()).max(0);
        prop_assert_eq!(began, before.round_began_ms.map_or(self.now_ms, |was| was + late_ms));
        if let Some(total) = self.engine.policy.total_ms {
            prop_assert!(self.now_ms - began <= total as i64, "an attempt after the total time");
        }
        // Whoever recovers from a crash now repeats the attempt only after it must have ended.
        let planned = after.due_ms().unwrap();
        prop_assert!(planned >= self.now_ms + self.engine.attempt_limit_ms + self.shortest_wait(after.attempt));
        Ok(())
    }

    fn check_failure(&self, before: &Chain, after: &Chain, event: &Event) -> Result<(), TestCaseError> {
        let failed = after.history.failures > before.history.failures;
        let result_of_failure = matches!(
            event,
            Event::Read { outcome: ReadOutcome::Retry(_) | ReadOutcome::Permanent(_), .. }
                | Event::Handed { result: Err(_), .. }
        );
        prop_assert!(!failed || result_of_failure);
        if !failed {
            return Ok(());
        }
        let last = after.history.last().unwrap();
        prop_assert_eq!((last.round, last.attempt, last.at_ms), (before.round, before.attempt, self.now_ms));
        match (&before.state, &after.state) {
            (ChainState::Open { .. }, ChainState::Open { due_ms })
            | (ChainState::Moving { .. }, ChainState::Moving { due_ms, .. }) => {
                prop_assert!(*due_ms >= self.now_ms + self.shortest_wait(before.attempt));
            }
            (ChainState::Open { .. }, ChainState::Parked { reason, .. }) => {
                let permanent = matches!(event, Event::Read { outcome: ReadOutcome::Permanent(_), .. });
                prop_assert_eq!(reason == &ParkReason::Permanent, permanent);
                let total = self.engine.policy.total_ms.is_some();
                prop_assert!(permanent || total || before.attempt == self.engine.policy.rewrites + 1);
            }
            (ChainState::Moving { to, .. }, ChainState::Parked { reason, .. }) => {
                prop_assert_eq!(reason, &ParkReason::UnknownAt { broker: to.clone() });
            }
            (was, is) => prop_assert!(false, "a failure led from {was:?} to {is:?}"),
        }
        Ok(())
    }

    fn shortest_wait(&self, attempt: u32) -> i64 {
        let policy = &self.engine.policy;
        let step = (attempt.max(1) as usize - 1).min(policy.waits_ms.len() - 1);
        (policy.waits_ms[step] as f64 * (1.0 - policy.jitter)).floor() as i64
    }
}

/// While it is not known whether the target has the chain, no other group is asked.
fn check_target(before: &Chain, after: &Chain) -> Result<(), TestCaseError> {
    let target = |chain: &Chain| match &chain.state {
        ChainState::Moving { to, .. }
        | ChainState::Moved { to }
        | ChainState::Parked { reason: ParkReason::UnknownAt { broker: to }, .. } => Some(to.clone()),
        _ => None,
    };
    prop_assert_eq!(target(before), target(after));
    if let (ChainState::Moving { revive_ms: was, .. }, ChainState::Moving { revive_ms: is, .. }) =
        (&before.state, &after.state)
    {
        prop_assert_eq!(was, is);
    }
    Ok(())
}

fn check_ends(before: &Chain, transition: &Transition) -> Result<(), TestCaseError> {
    if matches!(before.state, ChainState::Ended { .. } | ChainState::Moved { .. }) {
        prop_assert_eq!((&transition.next, &transition.effect), (&None, &Effect::None));
    }
    Ok(())
}

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Known defects A01, A08, A31, B01.
    #[test]
    fn every_order_of_events_keeps_the_rules(engine in engines(), start in starts(), happenings in happenings()) {
        let mut play = Play { engine, chain: start, now_ms: POPPED_MS, acked: false };
        for (passed_ms, happens) in happenings {
            play.now_ms += passed_ms;
            let event = play.event(&happens);
            play.happen(&event)?;
        }
    }

    /// Known defect A20.
    #[test]
    fn a_chain_that_always_fails_is_parked_after_the_last_rewrite(
        mut engine in engines(), start in starts(), late_ms in 0i64..5_000,
    ) {
        engine.policy.total_ms = None;
        let rewrites = engine.policy.rewrites;
        let start = Chain { attempt: 0, round_began_ms: None, ..start };
        let mut play = Play { engine, chain: start, now_ms: POPPED_MS, acked: false };
        for round in 0..3 {
            while let Some(due_ms) = play.chain.due_ms() {
                prop_assert!(play.chain.attempt <= rewrites, "more attempts than the policy allows");
                play.now_ms = due_ms.max(play.now_ms) + late_ms;
                play.happen(&Event::Due)?;
                let (round, attempt) = (play.chain.round, play.chain.attempt);
                let event = match play.chain.state {
                    ChainState::Moving { .. } => {
                        Event::Handed { round, attempt, result: Err(failure(Cause::Timeout)) }
                    }
                    // A local read has failed within the same step already.
                    _ if play.chain.id.broker == OWN => continue,
                    _ => Event::Read { round, attempt, outcome: Came::Retry.outcome() },
                };
                play.happen(&event)?;
            }
            prop_assert!(matches!(play.chain.state, ChainState::Parked { .. }), "{:?}", play.chain.state);
            prop_assert_eq!(play.chain.history.failures, (round + 1) * (rewrites + 1));
            play.happen(&Event::Resumed)?;
        }
    }
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
