//! Numbers at the ends of their ranges: they come from other brokers, and from clocks that step.

use proptest::prelude::*;

use super::*;
use crate::{
    model::{
        cause::Cause,
        chain::{CopyPlace, GoneProof, History},
    },
    revive::samples::{OTHER, OWN, chain, failure, message},
};

fn counts() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..3, u32::MAX - 2..=u32::MAX, any::<u32>()]
}

fn times() -> impl Strategy<Value = i64> {
    let near = |centre: i64| (-3i64..3).prop_map(move |off| centre.saturating_add(off));
    prop_oneof![near(0), near(i64::MAX), near(i64::MIN), near(1 << 31), near(1 << 32), any::<i64>()]
}

fn states() -> impl Strategy<Value = ChainState> {
    let to = || OTHER.to_owned();
    prop_oneof![
        times().prop_map(|due_ms| ChainState::Open { due_ms }),
        (times(), times()).prop_map(move |(due_ms, revive_ms)| ChainState::Moving { to: to(), due_ms, revive_ms }),
        times().prop_map(|at_ms| ChainState::Parked { reason: ParkReason::PolicyExhausted, at_ms }),
        times().prop_map(|at_ms| ChainState::Parked { reason: ParkReason::UnknownAt { broker: OTHER.into() }, at_ms }),
        Just(ChainState::Moved { to: to() }),
        times().prop_map(|at_ms| ChainState::Ended { outcome: Outcome::Acked, at_ms }),
    ]
}

prop_compose! {
    fn chains()(
        broker in prop::sample::select(vec![OWN, OTHER]), state in states(),
        (offset, pop_time, invisible_ms) in (times(), times(), times()),
        (round, hop, generation, attempt, failures) in (counts(), counts(), counts(), counts(), counts()),
        round_began_ms in prop::option::of(times()),
    ) -> Chain {
        let id = ChainId { offset, pop_time, ..chain(broker).id };
        let history = History { failures, ..History::default() };
        Chain { id, state, invisible_ms, round, hop, generation, attempt, round_began_ms, history, ..chain(broker) }
    }
}

/// Events whose results, if they carry one, are of the chain's own attempt.
fn event_for(chain: &Chain, choice: u8) -> Event {
    let (round, attempt) = (chain.round, chain.attempt);
    let read = |outcome| Event::Read { round, attempt, outcome };
    match choice {
        0 => Event::Due,
        1 => read(ReadOutcome::Found(Box::new(message()))),
        2 => read(ReadOutcome::Gone(GoneProof::BelowMinimum { minimum: i64::MAX })),
        3 => read(ReadOutcome::Retry(failure(Cause::Timeout))),
        4 => read(ReadOutcome::Permanent(failure(Cause::TopicUnknown))),
        5 => Event::Handed { round, attempt, result: Ok(()) },
        6 => Event::Handed { round, attempt, result: Err(failure(Cause::Reset)) },
        7 => Event::Acked,
        8 => Event::Renewed { by: ChainId { term: 9, ..chain.id.clone() } },
        _ => Event::Resumed,
    }
}

/// What a chain is, without where it stands.
fn essence(chain: &Chain) -> Chain {
    let state = ChainState::Moved { to: String::new() };
    let history = History::default();
    Chain { round: 0, resumed_ms: None, hop: 0, attempt: 0, round_began_ms: None, state, history, ..chain.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// Known defects A02, A17, A41, B08, C09: no count, time or offset makes a step fail, none runs over, and a rewrite
    /// changes nothing of what the chain is: not its offset, not its broker, not its invisible time.
    #[test]
    fn no_number_makes_a_step_fail_or_a_rewrite_lose_a_field(
        chain in chains(), choice in 0u8..10, now_ms in times(),
        (rewrites, total_ms, attempt_limit_ms) in (counts(), prop::option::of(any::<u64>()), 0..i64::MAX),
        refusals in counts(),
        waits_ms in prop::collection::vec(prop_oneof![100u64..200, any::<u64>()], 1..4),
    ) {
        let policy = RewritePolicy { waits_ms, rewrites, total_ms, jitter: 0.5, refusals };
        let engine = Reviver { own_broker: OWN.into(), policy, attempt_limit_ms };
        let transition = engine.step(&chain, event_for(&chain, choice), now_ms);
        let Some(next) = transition.next else { return Ok(()) };
        prop_assert_eq!(essence(&next), essence(&chain));
        prop_assert!(next.round >= chain.round && next.hop >= chain.hop);
        prop_assert!(next.history.failures >= chain.history.failures);
        prop_assert!(next.round > chain.round || next.attempt >= chain.attempt || chain.round == u32::MAX);
        if matches!(transition.effect, Effect::ReadLocally | Effect::ReadRemotely | Effect::HandOver) {
            prop_assert!(next.due_ms() >= Some(now_ms), "planned for the past");
        }
    }
}

/// Known defects A20, B13: an ended chain stays ended whatever its numbers, and a parked one is kept, not dropped.
#[test]
fn giving_up_keeps_the_chain() {
    let engine = Reviver { own_broker: OWN.into(), policy: RewritePolicy::default(), attempt_limit_ms: 1 };
    let spent = Chain { attempt: 18, state: ChainState::Open { due_ms: 0 }, ..chain(OTHER) };
    let parked = engine.step(&spent, Event::Due, 1).next.map(|chain| chain.state);
    assert_eq!(parked, Some(ChainState::Parked { reason: ParkReason::PolicyExhausted, at_ms: 1 }));
    let place = CopyPlace { topic: "r".into(), queue: 0, offset: i64::MAX };
    let over = end(chain(OWN), i64::MAX, Outcome::Revived(place));
    assert_eq!(engine.step(&over, Event::Due, i64::MAX), Transition::stay(Answer::Stale));
}
