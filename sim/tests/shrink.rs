//! A failing seed is made small, and what is left fails again: few faults, few messages, a file, a command.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{num::NonZero, path::Path, sync::Arc};

use pop_sim::{
    oracles::Violation,
    plan::{Fault, Hits, Moment, Plan, Rpcs},
    report::failure::Origin,
    run::{SeedRun, run_seed},
    scenario::Scenario,
    shrink::{Case, Goal, Necessity, Shrunk, Signature},
};

/// Defects that need a fault or none, one broker or two, each with a scenario and a seed at which it shows.
const DEFECTS: [(&str, &str, u64); 4] = [
    ("mark-before-effect", "restart-mid-revive", 1),
    ("dropped-error", "remote-read-timeout", 1),
    ("send-dedupe-off", "lost-answers", 1),
    ("ack-index-off-by-one", "calm", 1),
];

fn load(name: &str) -> Arc<Scenario> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios"));
    Arc::new(Scenario::load(&folder.join(format!("{name}.toml"))).unwrap_or_else(|errors| panic!("{errors}")))
}

fn shrink(sabotage: &'static str, scenario: &str, seed: u64, jobs: usize) -> Shrunk {
    let run = SeedRun { scenario: load(scenario), seed, sabotage: Some(sabotage), until_ms: None };
    Shrunk::of(&run, NonZero::new(jobs).unwrap(), &|| false).unwrap().unwrap()
}

fn origin(sabotage: Option<&'static str>) -> Origin {
    let digest = "0123456789abcdef".into();
    Origin { scenario: "small.toml".into(), digest, engine: "ours", revision: "unknown".into(), sabotage }
}

#[test]
fn a_planted_defect_is_made_small_and_its_file_fails_again() {
    for (sabotage, scenario, seed) in DEFECTS {
        let shrunk = shrink(sabotage, scenario, seed, 2);
        let text = shrunk.to_toml(&origin(Some(sabotage)));
        let faults = shrunk.case.plan.faults.len();
        let messages: u32 = shrunk.case.scenario.producers.iter().map(|producer| producer.messages).sum();
        assert!(faults <= 5 && messages <= 10, "{sabotage}: {faults} faults, {messages} messages\n{text}");
        assert!(!shrunk.necessities.contains(&Necessity::Idle), "{sabotage}: {:?}\n{text}", shrunk.necessities);
        let read = Scenario::parse("small", "small.toml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let run = SeedRun { seed: read.seeds[0], scenario: Arc::new(read), sabotage: Some(sabotage), until_ms: None };
        let result = run_seed(run.clone());
        let ways = Signature::all_of(&result, &run.scenario);
        assert!(ways.contains(&shrunk.goal.signature), "{sabotage}: {ways:?}\n{text}");
        assert_eq!(result.unwrap().fingerprint, shrunk.fingerprint, "{sabotage}\n{text}");
        let sound = run_seed(SeedRun { sabotage: None, ..run }).unwrap();
        assert_eq!(sound.verdict.violations, [], "{sabotage}\n{text}");
    }
}

#[test]
fn a_failure_is_always_made_small_in_the_same_way() {
    let small = |jobs| shrink("copy-loses-body", "calm", 1, jobs);
    assert_eq!(small(1), small(3));
}

#[test]
fn without_time_nobody_says_what_a_fault_is_needed_for() {
    let (sabotage, scenario, seed) = DEFECTS[0];
    let run = SeedRun { scenario: load(scenario), seed, sabotage: Some(sabotage), until_ms: None };
    let shrunk = Shrunk::of(&run, NonZero::<usize>::MIN, &|| true).unwrap().unwrap();
    assert_eq!(shrunk.necessities, vec![Necessity::Untried; shrunk.from.plan.faults.len()]);
    assert!(!shrunk.necessities.is_empty() && shrunk.is_cut_short && shrunk.runs == 0);
}

#[test]
fn a_seed_that_holds_is_left_alone() {
    let run = SeedRun { scenario: load("calm"), seed: 1, sabotage: None, until_ms: None };
    assert_eq!(Shrunk::of(&run, NonZero::<usize>::MIN, &|| false).unwrap(), None);
}

#[test]
fn what_is_left_is_told_with_what_each_fault_is_needed_for() {
    let scenario = load("remote-read-timeout");
    let violation = |promise, detail: &str| {
        let (subject, detail) = ("producer-1#17".into(), detail.into());
        Signature::of(&Violation { promise, at_ms: 7, subject, detail, ledger: None }, &scenario)
    };
    let signature =
        violation("P1", "lost for billing: chain broker-a/orders/0/1/billing/5/1 is still open at broker-b");
    let other = violation("P4", "chain broker-a/orders/0/1/billing/5/1: attempt 4 of 3");
    let from = Case::of(&scenario, 7);
    let rpcs =
        Rpcs { from: Some("broker-b".into()), to: Some("broker-a".into()), code: Some(11), hits: Hits::Nth(vec![3]) };
    let kill = Fault::Kill { node: "broker-b".into(), when: Moment::AfterSync(17), down_ms: 1_000 };
    let plan = Plan { faults: vec![Fault::LostAnswer { rpcs }, kill] };
    let case = from.with_plan(plan).with(|it| {
        it.duration_ms = 90_000;
        it.producers.iter_mut().for_each(|producer| (producer.messages, producer.over_ms) = (1, 1_000));
        it.consumers.truncate(1);
    });
    let shrunk = Shrunk {
        from,
        case,
        goal: Goal { signature, sabotage: None },
        necessities: vec![Necessity::Passes, Necessity::FailsAs(other)],
        fingerprint: "fedcba9876543210".into(),
        runs: 112,
        is_cut_short: false,
    };
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        let told = shrunk.told(&origin(None), Path::new("small.toml"), "the time was up");
        insta::assert_snapshot!("shrunk", format!("{told}\n--- small.toml\n{}", shrunk.to_toml(&origin(None))));
    });
}
