//! Ctrl-C: what is known so far is told as if the time were up, and no half of a sweep passes for a whole one.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

/// Begins a command, interrupts it when it has told its first line, and gives its exit code and all that it told.
fn interrupted(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pop-sim"));
    let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut text) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    stdout.read_line(&mut text).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    stdout.read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text)
}

fn summary(text: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(text.lines().last().unwrap()).unwrap()["summary"].clone()
}

#[test]
fn an_interrupted_sweep_tells_what_it_has() {
    let sweep = ["run", "calm", "--seeds", "100000", "--format", "json"];
    let (code, text) = interrupted(&sweep);
    let seeds = summary(&text)["seeds"].as_u64().unwrap();
    assert!((1..100_000).contains(&seeds) && seeds as usize == text.lines().count() - 1, "{seeds}");
    assert_eq!(code, Some(130), "half a sweep has not held");
    let (code, text) = interrupted(&[&sweep[..], &["--sabotage", "copy-loses-body"]].concat());
    assert_eq!(code, Some(1), "what was found was found");
    assert!(summary(&text)["failed_seeds"].as_u64().unwrap() > 0, "{text}");
}

#[test]
fn an_interrupted_search_keeps_its_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    // Nothing is told before something fails.
    let (code, text) = interrupted(&["explore", "--for", "1h", "--out", out, "--sabotage", "success-before-commit"]);
    assert_eq!(code, Some(1), "{text}");
    let told = text.lines().find(|line| line.contains(" words of coverage, first shown by ")).unwrap();
    let kept: usize = told.split("first shown by ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(kept > 0 && std::fs::read_dir(folder.path()).unwrap().count() >= kept, "{text}");
}

#[test]
fn an_interrupted_crash_sweep_says_what_it_lacks() {
    let (code, text) = interrupted(&["crash-points", "calm", "--format", "json"]);
    let summary = summary(&text);
    assert!(summary["points_without_time"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!((code, &summary["passed"]), (Some(130), &true.into()), "{summary}");
}
