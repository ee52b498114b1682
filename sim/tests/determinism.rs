//! A seed is the same run in any process, beside any other run and after any other run.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

const SCENARIO: &str = "lost-answers";

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pop-sim")).args(arguments).output().unwrap()
}

/// The results of a sweep, one per seed, without the real time they took.
fn results(arguments: &[&str]) -> Vec<serde_json::Value> {
    let mut all = vec!["run", SCENARIO, "--format", "json"];
    all.extend_from_slice(arguments);
    let output = sim(&all);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let seeds = lines.filter(|line| line.get("summary").is_none());
    let seeds = seeds.map(|mut line| {
        line.as_object_mut().unwrap().remove("wall_ms").unwrap();
        line
    });
    seeds.collect()
}

#[test]
fn two_processes_write_the_same_event_log() {
    let arguments = ["event-log", SCENARIO, "--seed", "3"];
    let (first, second) = (sim(&arguments), sim(&arguments));
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(first.stdout.split(|byte| *byte == b'\n').count() > 100, "a run has more than a few events");
    let lines = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let (first, second) = (lines(&first), lines(&second));
    if let Some(at) = first.lines().zip(second.lines()).position(|(a, b)| a != b) {
        panic!("line {} differs:\n{:?}\n{:?}", at + 1, first.lines().nth(at), second.lines().nth(at));
    }
    assert_eq!(first.len(), second.len());
}

#[test]
fn runs_at_the_same_time_do_not_touch_each_other() {
    let one_by_one = results(&["--seeds", "4", "--jobs", "1"]);
    assert_eq!(one_by_one.len(), 4);
    assert_eq!(one_by_one, results(&["--seeds", "4", "--jobs", "2"]));
}

#[test]
fn a_run_after_others_is_the_run_alone() {
    let after_others = results(&["--seeds", "1..4", "--jobs", "1"]);
    let alone = results(&["--seeds", "3..4"]);
    assert_eq!(after_others.last(), alone.first());
    assert!(!alone.is_empty());
}

#[test]
fn the_command_line_compares_processes_itself() {
    let output = sim(&["run", SCENARIO, "--seeds", "2", "--check-determinism", "--format", "json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(!text.contains("P11"), "{text}");
}
