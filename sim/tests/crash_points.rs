//! The crash sweep: it covers a run, it can fail, and what fails can be seen again alone.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output},
};

use pop_sim::{
    crash_points::{Base, Kind, Points},
    run::run_seed,
    scenario::{Scenario, load_all},
};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pop-sim")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    Scenario::load(&folder.join(format!("{name}.toml"))).unwrap()
}

/// The figures of the last line.
fn last_line(output: &Output) -> (u64, u64) {
    let text = text(&output.stdout);
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("crash points: ")).collect();
    assert_eq!(told.len(), 1, "{text}");
    assert_eq!(text.lines().last(), Some(told[0]));
    let (points, failed) = told[0]["crash points: ".len()..].split_once(", failed: ").unwrap();
    (points.parse().unwrap(), failed.parse().unwrap())
}

#[test]
fn a_small_scenario_survives_a_crash_everywhere_at_any_number_of_jobs() {
    let one = sim(&["crash-points", "calm", "--pairs", "1", "--jobs", "1"]);
    let (points, failed) = last_line(&one);
    assert_eq!((one.status.code(), failed), (Some(0), 0), "{}", text(&one.stdout));
    assert!(points > 100, "{points}");
    let two = sim(&["crash-points", "calm", "--pairs", "1", "--jobs", "2"]);
    assert_eq!(text(&one.stdout), text(&two.stdout));
}

#[test]
fn every_run_is_one_line_of_json() {
    let output = sim(&["crash-points", "restart-mid-revive", "--pairs", "1", "--format", "json"]);
    let text = text(&output.stdout);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, runs) = lines.split_last().unwrap();
    let summary = &summary["summary"];
    assert_eq!((output.status.code(), &summary["passed"]), (Some(0), &true.into()), "{summary}");
    let count = |key: &str| usize::try_from(summary[key].as_u64().unwrap()).unwrap();
    assert_eq!(runs.len(), count("points") + count("pairs"));
    assert!(count("pairs") > 50);
    let points: BTreeSet<&str> = runs.iter().map(|run| run["point"].as_str().unwrap()).collect();
    assert_eq!(points.len(), runs.len(), "no point is run twice");
    assert!(runs.iter().all(|run| run["struck"] == true && run["same_before"] == true));
    for kind in Kind::ALL {
        assert!(points.iter().any(|point| point.contains(kind.name())), "{}", kind.name());
    }
}

#[test]
fn a_planted_defect_fails_the_sweep_and_its_point_fails_alone() {
    let arguments = ["crash-points", "calm", "--pairs", "0", "--sabotage", "mark-before-effect"];
    let output = sim(&arguments);
    let (_, failed) = last_line(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(failed > 0);
    let told = text(&output.stdout);
    let command = told.lines().find_map(|line| line.trim().strip_prefix("cargo sim ")).unwrap();
    let alone = sim(&command.split(' ').collect::<Vec<_>>());
    assert_eq!((alone.status.code(), last_line(&alone)), (Some(1), (1, 1)), "{command}");
    let told = text(&alone.stdout);
    for part in ["plan\n  0. crash ", "P1 violated", "life of producer-", "end of the log", command] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
}

#[test]
fn what_cannot_be_crashed_at_is_unusable_input() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.toml");
    let sound = "summary = 'x'\nduration = '1m'\n[[broker]]\nname = 'b'\n[[topic]]\nname = 'orders'\n";
    std::fs::write(&plain, sound).unwrap();
    let path = plain.to_str().unwrap();
    for (arguments, said) in [
        (vec!["crash-points", path], "has no [crash_points] section"),
        (vec!["crash-points", "calm", "--only", "broker-a:after-sync:100000"], "accepted: broker-a:after-sync:1 to"),
        (vec!["crash-points", "calm", "--only", "broker-a:fsync:1"], "accepted: NODE:KIND:N"),
        (vec!["crash-points", "calm", "--only", "consumer-1:answer:1"], "accepted: a broker's syncs"),
    ] {
        let output = sim(&arguments);
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), told.contains(said)), (Some(2), true), "{arguments:?}: {told}");
    }
}

#[test]
fn a_phase_that_is_not_reached_fails_the_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.toml");
    let small = "summary = 'x'\nduration = '20s'\n[[broker]]\nname = 'b'\n[[topic]]\nname = 'orders'\n\
                 [crash_points]\nphases = ['send', 'park']\n[[crash_points.producer]]\nname = 'p'\ntopic = 'orders'\n\
                 messages = 1\nover = '5s'\n";
    std::fs::write(&path, small).unwrap();
    let output = sim(&["crash-points", path.to_str().unwrap()]);
    assert_eq!((output.status.code(), last_line(&output).1), (Some(1), 0));
    assert!(text(&output.stdout).contains("no point in phase park"));
}

/// What every scenario's section asks for can be crashed at.
#[test]
fn the_run_of_every_scenario_reaches_the_phases_that_it_names() {
    let scenarios = load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")).unwrap();
    let mut missing = Vec::new();
    for scenario in &scenarios {
        let section = scenario.crash_points.as_ref().unwrap_or_else(|| panic!("{} has no section", scenario.name));
        let base = Base::new(section, None, None);
        let numbers = base.singles(&run_seed(base.reference()).unwrap()).0;
        let is_reached = |phase: &&_| numbers.points.iter().any(|numbered| numbered.phase == **phase);
        let unreached = section.phases.iter().filter(|phase| !is_reached(phase));
        missing.extend(unreached.map(|phase| format!("{}: {}", scenario.name, phase.name())));
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn a_crash_that_does_not_strike_where_it_should_is_noticed() {
    let scenario = load("calm");
    let section = scenario.crash_points.as_ref().unwrap();
    let base = Base::new(section, None, None);
    let reference = run_seed(base.reference()).unwrap();
    let (_, singles) = base.singles(&reference);
    let at = |points: &str| {
        let points: Points = points.parse().unwrap();
        singles.iter().find(|trial| trial.points() == points).unwrap()
    };
    let verdict = |trial: &pop_sim::crash_points::Trial, run| trial.judge(&run_seed(run)).verdict;
    let trial = at("broker-a:after-sync:20");
    assert_eq!(verdict(trial, trial.run(&base)), None);
    let missed = verdict(trial, base.reference()).unwrap();
    assert_eq!(missed, "the crash at broker-a:after-sync:20 never struck");
    for (what, run) in [
        ("a crash somewhere else", at("broker-a:after-sync:21").run(&base)),
        ("a run of another seed", trial.run(&Base::new(section, Some(99), None))),
    ] {
        let strayed = verdict(trial, run).unwrap();
        assert!(strayed.starts_with("the run is not the numbered one"), "{what}: {strayed}");
    }
}
