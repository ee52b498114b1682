//! The register holds under every fault of the swarm, and its planted defect is caught, and repeats by its seed.

#![allow(clippy::unwrap_used, reason = "tests")]

use pop_sim::framework::{
    EventKind, Fault, Moment, Plan, Violation, all_cores, check, run_plan, run_seed, shrink, violations_of,
};

use super::Register;

const SOUND: Register = Register { forgetful: false };
const FORGETFUL: Register = Register { forgetful: true };

#[test]
fn every_promise_holds_over_hundreds_of_seeds() {
    let checked = check(&SOUND, 1..401, all_cores());
    checked.expect_held("cargo run --release -p pop-sim --example register --");
    assert_eq!((checked.seeds, checked.faults.len()), (400, 20), "{checked}");
    // A register looks at no clock, so that nothing shows whether one stands still.
    let strikes = |(kind, (_, struck)): (&_, &(_, _))| *struck > 0 || *kind == "frozen-clock";
    assert!(checked.faults.iter().all(strikes), "{checked}");
}

fn losing_power_at(register: &Register, when: Moment) -> Vec<Violation> {
    let fault = Fault::Crash { node: "server".into(), when, down_ms: 1_000 };
    violations_of(&run_plan(register, 1, Plan { faults: vec![fault] }))
}

#[test]
fn every_promise_holds_wherever_the_power_fails() {
    let whole = run_plan(&SOUND, 1, Plan::default()).unwrap();
    let is_sync = |kind: &EventKind<_>| matches!(kind, EventKind::Synced { .. });
    let syncs = whole.history.events.iter().filter(|event| is_sync(&event.kind)).count() as u64;
    assert!(syncs > 50, "{syncs}");
    for number in 1..=syncs {
        assert_eq!(losing_power_at(&SOUND, Moment::BeforeSync(number)), []);
        assert_eq!(losing_power_at(&SOUND, Moment::AfterSync(number)), []);
    }
}

#[test]
fn what_was_confirmed_without_a_sync_is_missed_and_the_seed_shows_it_again() {
    let failure = check(&FORGETFUL, 1..401, all_cores()).failure.unwrap();
    assert_eq!(failure.violations[0].promise, "never goes back");
    let again = run_seed(&FORGETFUL, failure.seed);
    assert_eq!(violations_of(&again), failure.violations);
    assert_eq!(again.unwrap().fingerprint, failure.fingerprint);
    assert!(violations_of(&run_seed(&SOUND, failure.seed)).is_empty());
    let report = failure.told("register --forgetful");
    let replay = format!("--forgetful --seed {} --expect-fingerprint {}", failure.seed, failure.fingerprint);
    assert!(report.contains(&replay), "{report}");
}

#[test]
fn of_its_faults_only_those_are_left_that_the_failure_needs() {
    let failure = check(&FORGETFUL, 1..401, all_cores()).failure.unwrap();
    let plan = shrink(&FORGETFUL, failure.seed, "never goes back", all_cores());
    assert!(!plan.faults.is_empty() && plan.faults.len() <= failure.faults.len());
    let fails = |plan| !violations_of(&run_plan(&FORGETFUL, failure.seed, plan)).is_empty();
    assert!(fails(plan.clone()));
    for left_out in 0..plan.faults.len() {
        let mut fewer = plan.clone();
        fewer.faults.remove(left_out);
        assert!(!fails(fewer), "{:?} is not needed", plan.faults[left_out]);
    }
}
