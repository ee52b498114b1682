//! Every safety rule has a planted defect, and the simulator notices each: in at least 10 of the first 200 seeds of the
//! scenario that is made for it, by the promise it breaks. A simulator that does not see them proves nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

mod sources;

use std::{num::NonZero, path::Path, process::Command, sync::Arc};

use pop_sim::{
    framework::sweep_by,
    run::{SeedRun, run_seed},
    sabotages::{SABOTAGES, Sabotage},
    scenario::Scenario,
};
use sources::names_given_to;

const SEEDS: u64 = 200;
const ENOUGH: usize = 10;
/// The promise that no single run can show to be broken.
const TWO_PROCESSES: &str = "P11";

fn load(name: &str) -> Arc<Scenario> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios"));
    Arc::new(Scenario::load(&folder.join(format!("{name}.toml"))).unwrap_or_else(|errors| panic!("{errors}")))
}

/// How many of the first seeds notice the defect by its promise; stops once that is enough.
fn caught(sabotage: &'static Sabotage) -> (usize, u64) {
    let scenario = load(sabotage.scenario);
    let mut seeds = 0;
    for seed in 1..=SEEDS {
        let run = SeedRun { scenario: scenario.clone(), seed, sabotage: Some(sabotage.name), until_ms: None };
        let by_promise = run_seed(run).is_ok_and(|outcome| {
            outcome.verdict.violations.iter().any(|violation| violation.promise == sabotage.promise)
        });
        seeds += usize::from(by_promise);
        if seeds >= ENOUGH {
            return (seeds, seed);
        }
    }
    (seeds, SEEDS)
}

#[test]
fn every_planted_defect_is_caught_by_the_promise_it_breaks() {
    let mut missed = Vec::new();
    let planted: Vec<_> = SABOTAGES.iter().filter(|sabotage| sabotage.promise != TWO_PROCESSES).collect();
    let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let count = |sabotage: &&'static Sabotage| caught(sabotage);
    sweep_by(planted, cores, count, |Sabotage { name, scenario, promise, .. }, (seeds, of), _| {
        println!("{name:<28} {scenario} caught by {promise} in {seeds} of {of} seeds");
        if seeds < ENOUGH {
            missed.push(format!("{name}: {seeds} of {of} seeds of {scenario}"));
        }
        true
    });
    assert!(missed.is_empty(), "not noticed often enough:\n{}", missed.join("\n"));
}

#[test]
fn what_differs_from_process_to_process_is_noticed_and_whoever_does_it_is_named() {
    for sabotage in SABOTAGES.iter().filter(|sabotage| sabotage.promise == TWO_PROCESSES) {
        let arguments = ["run", sabotage.scenario, "--seeds", "10", "--check-determinism", "--format", "json"];
        let mut sim = Command::new(env!("CARGO_BIN_EXE_pop-sim"));
        let output = sim.args(arguments).args(["--sabotage", sabotage.name]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let seeds = text.lines().filter(|line| !line.contains("\"summary\""));
        let named = |line: &&str| {
            ["P11", "here by broker", "at src/remoting/client_connection.rs:"].iter().all(|word| line.contains(word))
        };
        assert_eq!(seeds.filter(named).count(), ENOUGH, "{}: {text}", sabotage.name);
    }
}

#[test]
fn every_defect_planted_in_the_code_is_listed() {
    let planted: std::collections::BTreeSet<String> = names_given_to("sabotage").into_keys().collect();
    let listed: std::collections::BTreeSet<String> =
        SABOTAGES.iter().map(|sabotage| sabotage.name.to_owned()).collect();
    assert_eq!(planted, listed);
}
