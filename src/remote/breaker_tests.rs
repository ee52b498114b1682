use proptest::{collection::vec, prelude::*};

use super::*;

const CONFIG: BreakerConfig =
    BreakerConfig { failures: 3, probe_first_ms: 5_000, probe_longest_ms: 30_000, at_once: 8, per_second: 100 };

fn later(wait_ms: impl Into<Option<u64>>) -> Admission {
    Admission::Later { wait_ms: wait_ms.into() }
}

/// One call that ends at once.
fn call(breaker: &mut Breaker, ended: Ended, now_ms: u64) -> bool {
    breaker.begin(now_ms);
    breaker.end(ended, now_ms)
}

fn opened() -> Breaker {
    let mut breaker = Breaker::new(CONFIG, 0);
    assert!(!call(&mut breaker, Ended::Failed, 10));
    assert!(!call(&mut breaker, Ended::Failed, 20));
    assert!(call(&mut breaker, Ended::Failed, 30));
    breaker
}

#[test]
fn a_row_of_failures_opens_it_and_an_answer_in_between_does_not() {
    let mut breaker = Breaker::new(CONFIG, 0);
    for now_ms in 0..20 {
        call(&mut breaker, if now_ms % 3 == 2 { Ended::Answered } else { Ended::Failed }, now_ms * 1_000);
    }
    assert_eq!(breaker.state().0, BreakerState::Closed);
    assert_eq!(opened().state(), (BreakerState::Open, 30));
}

#[test]
fn an_open_breaker_lets_one_probe_through_per_interval() {
    let mut breaker = opened();
    assert_eq!(breaker.admission(31), later(4_999));
    assert!(!breaker.is_worth_a_try(5_029));
    assert_eq!(breaker.admission(5_030), Admission::Probe);
    assert!(breaker.is_worth_a_try(5_030));
    breaker.begin(5_030);
    assert_eq!(breaker.state(), (BreakerState::HalfOpen, 5_030));
    assert_eq!(breaker.admission(60_000), later(None), "one at a time, however long it takes");
    assert!(breaker.end(Ended::Failed, 15_030));
    assert_eq!(breaker.admission(15_030), later(10_000));
    breaker.begin(25_030);
    assert!(breaker.end(Ended::Unknown, 25_040));
    assert_eq!(breaker.admission(25_040), later(20_000), "a probe that told nothing closes nothing");
    assert_eq!(breaker.admission(45_040), Admission::Probe);
    assert_eq!(breaker.opened_ms(), Some(30));
}

#[test]
fn a_day_of_silence_costs_less_than_three_thousand_probes_and_the_next_one_begins_anew() {
    let mut breaker = opened();
    let (mut now_ms, mut probes) = (30, 0);
    while now_ms < 24 * 3_600_000 {
        match breaker.admission(now_ms) {
            Admission::Later { wait_ms: Some(wait_ms) } => now_ms += wait_ms,
            Admission::Probe => {
                call(&mut breaker, Ended::Failed, now_ms);
                probes += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(probes, 2_881);
    call(&mut breaker, Ended::Answered, now_ms);
    assert_eq!(breaker.opened_ms(), None);
    for _ in 0..CONFIG.failures {
        call(&mut breaker, Ended::Failed, now_ms);
    }
    assert_eq!(breaker.admission(now_ms), later(CONFIG.probe_first_ms));
}

#[test]
fn what_has_piled_up_is_drained_at_a_bounded_rate() {
    let mut breaker = opened();
    breaker.begin(5_030);
    assert!(breaker.end(Ended::Answered, 5_040));
    assert_eq!(breaker.admission(5_040), Admission::Calls(1), "not with a full bucket");
    let mut begun = 0;
    for now_ms in 5_040..15_040 {
        while let Admission::Calls(_) = breaker.admission(now_ms) {
            call(&mut breaker, Ended::Answered, now_ms);
            begun += 1;
        }
    }
    assert_eq!(begun, 1_000);
}

#[test]
fn only_so_many_calls_are_under_way() {
    let mut breaker = Breaker::new(CONFIG, 0);
    assert_eq!(breaker.admission(0), Admission::Calls(8));
    (0..8).for_each(|_| breaker.begin(0));
    assert_eq!(breaker.admission(60_000), later(None));
    breaker.end(Ended::Answered, 60_000);
    assert_eq!(breaker.admission(60_000), Admission::Calls(1));
}

#[test]
fn a_late_answer_of_an_earlier_call_closes_it_too() {
    let mut breaker = Breaker::new(CONFIG, 0);
    (0..4).for_each(|_| breaker.begin(0));
    for _ in 0..3 {
        breaker.end(Ended::Failed, 100);
    }
    assert_eq!(breaker.state().0, BreakerState::Open);
    assert!(breaker.end(Ended::Answered, 200));
    assert_eq!(breaker.state(), (BreakerState::Closed, 200));
}

#[derive(Debug, Clone, Copy)]
enum Does {
    /// Begins whatever is admitted.
    Start,
    /// The oldest call under way ends.
    End(Ended),
}

fn deeds(peer_answers: bool) -> impl Strategy<Value = Vec<(u64, Does)>> {
    let ended = if peer_answers {
        prop_oneof![3 => Just(Ended::Answered), 4 => Just(Ended::Failed), 1 => Just(Ended::Unknown)].boxed()
    } else {
        Just(Ended::Failed).boxed()
    };
    let does = prop_oneof![3 => Just(Does::Start), 4 => ended.prop_map(Does::End)];
    vec((0u64..2_000, does), 1..400)
}

/// Plays deeds and gives the times at which calls began.
fn play(breaker: &mut Breaker, deeds: &[(u64, Does)]) -> Result<Vec<u64>, TestCaseError> {
    let (mut now_ms, mut under_way, mut begun) = (0, 0_usize, Vec::new());
    for (passed, does) in deeds {
        now_ms += passed;
        match does {
            Does::End(ended) if under_way > 0 => {
                breaker.end(*ended, now_ms);
                under_way -= 1;
            }
            Does::End(_) => {}
            Does::Start => {
                let calls = match breaker.admission(now_ms) {
                    Admission::Calls(calls) => calls,
                    Admission::Probe => 1,
                    Admission::Later { wait_ms } => {
                        prop_assert!(wait_ms.is_some() || under_way > 0, "it would wait for ever");
                        prop_assert!(wait_ms != Some(0), "it would spin");
                        0
                    }
                };
                for _ in 0..calls {
                    breaker.begin(now_ms);
                    begun.push(now_ms);
                }
                under_way += calls;
                prop_assert!(under_way <= CONFIG.at_once + 1, "{under_way} under way");
            }
        }
    }
    Ok(begun)
}

proptest! {
    #[test]
    fn a_dead_peer_costs_a_trickle(deeds in deeds(false)) {
        let mut breaker = Breaker::new(CONFIG, 0);
        let begun = play(&mut breaker, &deeds)?;
        let first = begun.first().copied().unwrap_or(0);
        for (count, at_ms) in (1_u64..).zip(&begun) {
            // What was under way when it opened, what began before the third failure, and one for each interval.
            let allowed = CONFIG.at_once as u64 + u64::from(CONFIG.failures) + (at_ms - first) / CONFIG.probe_first_ms;
            prop_assert!(count <= allowed, "{count} calls by {at_ms}, {allowed} are allowed");
        }
    }

    #[test]
    fn calls_are_paced_and_a_living_peer_is_never_given_up(deeds in deeds(true)) {
        let mut breaker = Breaker::new(CONFIG, 0);
        let begun = play(&mut breaker, &deeds)?;
        for (at, from_ms) in begun.iter().enumerate() {
            let within = begun[at..].iter().take_while(|at_ms| **at_ms < from_ms + 1_000).count() as u64;
            prop_assert!(within <= CONFIG.at_once as u64 + CONFIG.per_second + 1, "{within} calls in a second");
        }
        // Once everything under way has ended, a call is possible within one probe interval.
        let end_ms = deeds.iter().map(|(passed, _)| passed).sum::<u64>();
        for _ in 0..begun.len() {
            breaker.end(Ended::Failed, end_ms);
        }
        let later_ms = end_ms + CONFIG.probe_longest_ms;
        let waits = matches!(breaker.admission(later_ms), Admission::Later { .. });
        prop_assert!(!waits, "{:?}", breaker);
    }
}

#[test]
fn a_budget_that_nobody_can_live_on_is_refused() {
    let usual = BreakerConfig::default();
    assert_eq!(usual.check(), Ok(()));
    let nothing = |field| Err(BudgetError::Nothing { field });
    assert_eq!(BreakerConfig { at_once: 0, ..usual }.check(), nothing("at_once"));
    assert_eq!(BreakerConfig { per_second: 0, ..usual }.check(), nothing("per_second"));
    assert_eq!(BreakerConfig { failures: 0, ..usual }.check(), nothing("failures"));
    assert_eq!(BreakerConfig { probe_first_ms: 0, ..usual }.check(), nothing("probe_first_ms"));
    let shrinks = BreakerConfig { probe_longest_ms: 4_999, ..usual }.check();
    assert_eq!(shrinks, Err(BudgetError::Shrinks { probe_first_ms: 5_000, probe_longest_ms: 4_999 }));
    let too_much = |field, most| Err(BudgetError::TooMuch { field, found: u64::MAX, most });
    let rare = BreakerConfig { probe_longest_ms: u64::MAX, ..usual }.check();
    assert_eq!(rare, too_much("probe_longest_ms", 86_400_000));
    assert_eq!(BreakerConfig { per_second: u64::MAX, ..usual }.check(), too_much("per_second", 1_000_000));
    assert_eq!(BreakerConfig { at_once: usize::MAX, ..usual }.check(), too_much("at_once", 1_000_000));
}
