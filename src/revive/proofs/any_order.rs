//! Any order of events, by chance: after each one the core has kept the promises, and once the faults end so does the
//! chain. Cores with a planted defect are rejected by the promise that they break.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{RngAlgorithm, TestError, TestRng, TestRunner},
};

use super::{
    mutants::{Mutant, Mutated},
    play::{Broken, Came, Happens, Play},
};
use crate::{
    model::{
        cause::Cause,
        chain::{Chain, ChainState},
    },
    revive::{
        Engine, Reviver, RewritePolicy,
        engine::Event,
        samples::{DUE_MS, OTHER, OWN, POPPED_MS, chain, failure, reviver},
    },
};

const CASES: u32 = 10_000;

fn came() -> impl Strategy<Value = Came> {
    prop_oneof![1 => Just(Came::Found), 1 => Just(Came::Gone), 8 => Just(Came::Retry), 1 => Just(Came::Permanent)]
}

/// What happens, and how much time has passed since what happened before; the wall clock may be stepped back.
fn happenings() -> impl Strategy<Value = Vec<(i64, Happens)>> {
    let stale = || prop::bool::weighted(0.15);
    let what = prop_oneof![
        8 => came().prop_map(|local| Happens::Due { local }),
        6 => (stale(), stale(), came()).prop_map(|(stale_round, stale_attempt, outcome)| {
            Happens::Read { stale_round, stale_attempt, outcome }
        }),
        6 => (stale(), stale(), prop::bool::weighted(0.2)).prop_map(|(stale_round, stale_attempt, confirmed)| {
            Happens::Handed { stale_round, stale_attempt, confirmed }
        }),
        1 => Just(Happens::Waited),
        2 => Just(Happens::PeerBack),
        1 => Just(Happens::Acked),
        1 => Just(Happens::Renewed),
        2 => Just(Happens::Resumed),
    ];
    vec((prop_oneof![9 => 0i64..70_000, 1 => -5_000i64..0], what), 1..80)
}

fn engines() -> impl Strategy<Value = Reviver> {
    (vec(100u64..20_000, 1..5), 0u32..6, prop::option::of(1_000u64..200_000), 0.0..0.9f64, 1u32..4).prop_map(
        |(waits_ms, rewrites, total_ms, jitter, refusals)| Reviver {
            policy: RewritePolicy { waits_ms, rewrites, total_ms, jitter, refusals },
            ..reviver()
        },
    )
}

fn starts() -> impl Strategy<Value = Chain> {
    let moving = ChainState::Moving { to: "broker-c".into(), due_ms: POPPED_MS + 11_000, revive_ms: DUE_MS };
    let moving = Chain { state: moving, attempt: 1, round_began_ms: Some(POPPED_MS), ..chain(OWN) };
    prop_oneof![Just(chain(OWN)), Just(chain(OTHER)), Just(moving)]
}

/// Lets all this happen to the chain, and then the faults end.
fn play(engine: &dyn Engine, rules: &Reviver, start: Chain, happenings: &[(i64, Happens)]) -> Result<(), Broken> {
    let mut play = Play::new(engine, rules, start);
    for (passed_ms, happens) in happenings {
        play.now_ms += passed_ms;
        play.happen(happens)?;
    }
    play.faults_end()
}

fn fails(broken: Broken) -> TestCaseError {
    TestCaseError::fail(broken.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    /// Known defects A01, A08, A31, B01.
    #[test]
    fn every_order_of_events_keeps_the_promises(core in engines(), start in starts(), happenings in happenings()) {
        play(&core, &core, start, &happenings).map_err(fails)?;
    }

    /// Known defect A20.
    #[test]
    fn a_chain_that_always_fails_is_parked_after_the_last_rewrite(
        mut core in engines(), start in starts(), late_ms in 0i64..5_000,
    ) {
        core.policy.total_ms = None;
        let rewrites = core.policy.rewrites;
        let start = Chain { attempt: 0, round_began_ms: None, ..start };
        let mut play = Play::new(&core, &core, start);
        for round in 0..3 {
            while let Some(due_ms) = play.chain.due_ms() {
                prop_assert!(play.chain.attempt <= rewrites, "more attempts than the policy allows");
                play.now_ms = due_ms.max(play.now_ms) + late_ms;
                play.happen(&Happens::Due { local: Came::Retry }).map_err(fails)?;
                let (round, attempt) = (play.chain.round, play.chain.attempt);
                let event = match play.chain.state {
                    ChainState::Moving { .. } => {
                        Event::Handed { round, attempt, result: Err(failure(Cause::Timeout)) }
                    }
                    // A local read has failed within the same step already.
                    _ if play.chain.id.broker == OWN => continue,
                    _ => Event::Read { round, attempt, outcome: Came::Retry.outcome() },
                };
                play.take(&event).map_err(fails)?;
            }
            prop_assert!(matches!(play.chain.state, ChainState::Parked { .. }), "{:?}", play.chain.state);
            prop_assert_eq!(play.chain.history.failures, (round + 1) * (rewrites + 1));
            play.happen(&Happens::Resumed).map_err(fails)?;
        }
    }
}

/// The property can fail: each planted defect is found, and named by the promise it breaks.
#[test]
fn every_defective_core_is_rejected_by_the_promise_it_breaks() {
    for mutant in Mutant::ALL {
        let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let outcome = runner.run(&(engines(), starts(), happenings()), |(core, start, happenings)| {
            let defective = Mutated { core: core.clone(), mutant };
            play(&defective, &core, start, &happenings).map_err(fails)
        });
        match outcome {
            Err(TestError::Fail(reason, (_, _, happenings))) => {
                println!("{mutant:?}: {reason} after {happenings:?}");
                assert!(reason.message().starts_with(mutant.breaks()), "{mutant:?} is found by another: {reason}");
            }
            other => panic!("{mutant:?} is not found: {other:?}"),
        }
    }
}
