#![allow(clippy::unwrap_used, reason = "tests")]

use super::{common, told};
use crate::{
    history::{Event, EventKind, History, Noted},
    plan::{Fault, Moment, Plan},
    run::Outcome,
};

fn history(texts: &[&str]) -> History {
    let event = |(at, text): (usize, &&str)| Event {
        at_ms: at as u64 * 1_000,
        kind: EventKind::Noted(Noted::Operated { command: (*text).into(), result: Ok(1) }),
    };
    History { events: texts.iter().enumerate().map(event).collect() }
}

fn outcome(texts: &[&str], plan: Plan) -> Outcome {
    let (fingerprint, verdict) = ("0123456789abcdef".into(), Default::default());
    Outcome { plan, unfired: Vec::new(), history: history(texts), fingerprint, verdict, sim_ms: 0, is_freed: true }
}

#[test]
fn logs_are_compared_line_by_line() {
    let here = history(&["a", "b", "c"]);
    assert_eq!(common(&here, &here), 3);
    assert_eq!(common(&here, &history(&["a", "b"])), 2);
    assert_eq!(common(&here, &history(&["a", "x", "c"])), 1);
    assert_eq!(common(&here, &history(&[])), 0);
}

#[test]
fn the_same_run_is_identical() {
    let run = outcome(&["a", "b"], Plan::default());
    let text = told([1, 1], [&run, &run]);
    assert_eq!(text, "identical: both logs have the same 2 events, fingerprint 0123456789abcdef\n");
}

#[test]
fn a_log_that_ends_early_is_over() {
    let (here, there) = (outcome(&["a", "b"], Plan::default()), outcome(&["a"], Plan::default()));
    let text = told([1, 2], [&here, &there]);
    assert!(text.contains("seed 1 goes on with 1 events") && text.contains("seed 2 is over"), "{text}");
}

#[test]
fn what_differs_far_to_the_right_is_still_in_sight() {
    let (one, other) = (format!("{}1", "x".repeat(1_000)), format!("{}2", "x".repeat(1_000)));
    let text = told([1, 2], [&outcome(&[&one], Plan::default()), &outcome(&[&other], Plan::default())]);
    assert!(text.contains("x1\"") && text.contains("x2\""), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 260), "{text}");
}

#[test]
fn the_parting_of_two_runs_is_told_with_what_comes_before_and_after() {
    let kill = Fault::Kill { node: "broker-a".into(), when: Moment::At(1_000), down_ms: 2_000 };
    let here = outcome(&["a", "b", "c", "d", "e", "f", "g", "h"], Plan { faults: vec![kill] });
    let there = outcome(&["a", "b", "c", "d", "e", "f", "x"], Plan::default());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("diff", told([7, 8], [&here, &there])));
}
