//! The command line as its users meet it: what it prints, what it refuses, how it exits.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

use pop_sim::{
    history::LedgerId,
    oracles::Violation,
    report::{
        FailureReport, SeedRecord, Tally, failure::Origin, faults::Fate, json, kept::Fired, record::ViolationRecord,
        table::table,
    },
    scenario::Phase,
};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pop-sim")).args(arguments).output().unwrap()
}

/// Exit code, stdout, stderr.
fn told(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = sim(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn snapshots() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind_to_scope()
}

fn record(scenario: &str, seed: u64) -> SeedRecord {
    SeedRecord {
        scenario: scenario.into(),
        engine: "ours".into(),
        seed,
        fingerprint: format!("{seed:016x}"),
        sim_seconds: 7_260.25,
        wall_ms: 31,
        events: 4_000,
        rpcs: 900,
        sent: 120,
        acked: 118,
        revived: 17,
        rewrites: 5,
        max_attempts: 3,
        reached: vec!["remote-read".into(), "revived".into()],
        ..SeedRecord::default()
    }
}

fn broken(scenario: &str, seed: u64) -> SeedRecord {
    let (subject, signature) = ("producer-1#17".into(), "P1: sent but neither acked nor in the topic".into());
    let detail = "sent, but neither acked nor in the dead-letter topic".into();
    let violation = ViolationRecord { promise: "P1".into(), at: 7_260.25, subject, detail, signature };
    SeedRecord { lost: 1, violations: vec![violation], ..record(scenario, seed) }
}

fn fate(kind: &str, fired: bool) -> Fate {
    let times = if fired { "fired once" } else { "never fired" };
    Fate { planned: format!("{kind}, drawn"), kind: kind.into(), fired, times: times.into() }
}

fn fired(fault: &str, kind: &str, phases: &[Phase]) -> Fired {
    let (fault, kind, fired) = (fault.into(), kind.into(), !phases.is_empty());
    Fired { fault, kind, fired, phases: phases.iter().copied().collect() }
}

fn tally(scenario: &str, records: impl IntoIterator<Item = SeedRecord>, faults: &[Fired]) -> Tally {
    let mut tally = Tally::new(scenario);
    for record in records {
        tally.add(&record, faults, || format!("cargo sim replay {scenario} --seed {}", record.seed));
    }
    tally
}

/// One scenario that held, one that broke a promise, one that got nowhere, one with too few seeds to get anywhere.
fn sweep() -> Vec<Tally> {
    let held = (1..=20).map(|seed| record("calm", seed));
    let violated =
        (1..=20).map(|seed| if seed % 4 == 3 { broken("broker-outage", seed) } else { record("broker-outage", seed) });
    let faults = [
        fired("kill", "kill broker-a at a time", &[Phase::Send, Phase::RemoteRead]),
        fired("lost-request", "lose PULL_MESSAGE broker-b→any", &[]),
    ];
    let mut nowhere = tally("lost-answers", (1..=20).map(|seed| record("lost-answers", seed)), &[]);
    nowhere.unmet = vec!["never reached parked: a chain was parked".into()];
    let mut few = tally("flaky-link", [record("flaky-link", 1)], &[]);
    few.unmet = vec!["revived: 17, expected at least 20".into()];
    vec![tally("calm", held, &[]), tally("broker-outage", violated, &faults), nowhere, few]
}

#[test]
fn the_table_tells_what_broke_and_how_to_see_it_again() {
    let _guard = snapshots();
    insta::assert_snapshot!("sweep-table", table(&sweep(), false));
}

#[test]
fn a_failure_is_told_in_the_order_in_which_it_is_read() {
    let _guard = snapshots();
    let ledger = LedgerId("producer-1#17".into());
    let violation = |promise, detail: &str| Violation {
        promise,
        at_ms: 7_260_250,
        subject: ledger.to_string(),
        detail: detail.into(),
        ledger: Some(ledger.clone()),
    };
    let report = FailureReport {
        violations: vec![
            violation("P1", "sent, but neither acked nor in the dead-letter topic"),
            violation("P4", "its chain is still open"),
        ],
        seed: 17,
        origin: Origin {
            scenario: "broker-outage".into(),
            digest: "0123456789abcdef".into(),
            engine: "ours",
            revision: "unknown".into(),
            sabotage: Some("dropped-error"),
        },
        fingerprint: "fedcba9876543210".into(),
        faults: vec![fate("kill broker-a at a time", true), fate("lose PULL_MESSAGE broker-b→any", false)],
        biography: Some(
            "producer-1#17\n   0h00m01.000s  producer-1  sent to orders of broker-a: stored at 0/3\n".into(),
        ),
        log_tail: vec!["   2h01m00.250s                the run is over".into()],
    };
    insta::assert_snapshot!("failure-report", report.to_string());
}

#[test]
fn a_seed_is_one_json_object_with_these_keys_in_this_order() {
    let line = json::seed_line(&broken("calm", 7)).unwrap();
    let keys = [
        "scenario",
        "engine",
        "seed",
        "fingerprint",
        "sim_seconds",
        "wall_ms",
        "events",
        "rpcs",
        "sent",
        "acked",
        "revived",
        "dead_lettered",
        "gone",
        "parked",
        "rewrites",
        "max_attempts",
        "lost",
        "duplicated",
        "ambiguous",
        "charges",
        "violations",
        "reached",
    ];
    let places: Vec<usize> = keys.iter().map(|key| line.find(&format!("\"{key}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{line}");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value.as_object().unwrap().len(), keys.len());
    let violation = value["violations"][0].as_object().unwrap();
    assert_eq!(violation.len(), 5);
    assert!(["promise", "at", "subject", "detail", "signature"].iter().all(|key| violation.contains_key(*key)));
}

#[test]
fn the_summary_judges_expectations_of_large_sweeps_only() {
    let sums: serde_json::Value = serde_json::from_str(&json::summary_line(&sweep()).unwrap()).unwrap();
    let scenarios = sums["summary"]["scenarios"].as_array().unwrap();
    let passed: Vec<bool> = scenarios.iter().map(|scenario| scenario["passed"].as_bool().unwrap()).collect();
    assert_eq!(passed, [true, false, false, true]);
    assert_eq!(sums["summary"]["violations"], 5);
    assert_eq!(sums["summary"]["seeds"], 61);
}

#[test]
fn unusable_input_exits_2_and_tells_what_is_accepted() {
    let cases: [(&[&str], &str); 17] = [
        (&["run", "calmm"], "did you mean \"calm\"?"),
        (&["run", "no-such-thing"], "accepted: absent-home, agreement-ended, both-down"),
        (&["run", "no/such/file.toml"], "no/such/file.toml"),
        (&["run", "calm", "--seeds", "9..9"], "a half-open range such as 5..10"),
        (&["run", "calm", "--jobs", "0"], "1 to 1024"),
        (&["run", "calm", "--for", "soon"], "10m"),
        (&["run", "calm", "--engine", "theirs"], "possible values: ours"),
        (&["run", "calm", "--shard", "3/2"], "I/N with 1 <= I <= N"),
        (&["run", "calm", "--format", "xml"], "possible values: table, json, junit"),
        (&["run", "calm", "--sabotage", "everything"], "accepted: mark-before-effect"),
        (&["replay", "calm", "--seed", "1", "--expect-fingerprint", "?"], "16 hex digits"),
        (&["replay", "calm", "--seed", "1", "--follow", "17"], "such as producer-1#000017"),
        (&["replay", "calm", "--seed", "1", "--trace", "svg"], "possible values: text, html, perfetto"),
        (&["diff", "calm", "--seed", "1"], "2 values required"),
        (&["bisect", "calm", "--seed", "1", "--futures", "1"], "a number of futures, 2 to 1024"),
        (&["merge", "no/such/folder"], "no/such/folder"),
        (&["dance"], "unrecognized subcommand"),
    ];
    for (arguments, accepted) in cases {
        let (code, stdout, stderr) = told(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(accepted), "{arguments:?}: {stderr}");
        assert_eq!(stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_wrong_file_is_told_with_line_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "summary = 'x'\nduration = 'soon'\n").unwrap();
    let (code, stdout, stderr) = told(&["check", file.to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("wrong.toml:"), "{stderr}");
}

#[test]
fn scenarios_are_listed_and_sound() {
    let (code, list, stderr) = told(&["list"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(list.contains("calm\n  Nothing breaks"), "{list}");
    assert!(list.contains("kill broker-a at a time"), "{list}");
    let (_, situations, _) = told(&["list", "--situations"]);
    assert!(situations.contains("killed\n  a fault killed a process that was running\n"), "{situations}");
    let calm = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/calm.toml");
    let (code, stdout, stderr) = told(&["check", calm]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("sound"), "{stdout}");
}

#[test]
fn the_schema_is_json() {
    let (code, schema, _) = told(&["schema"]);
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["properties"]["broker"].is_object());
}

#[test]
fn json_has_nothing_but_results_on_stdout() {
    let (_, stdout, stderr) = told(&["run", "calm", "--seeds", "2", "--format", "json"]);
    let lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{stdout}{stderr}");
    assert_eq!((&lines[0]["seed"], &lines[1]["seed"]), (&1.into(), &2.into()));
    assert_eq!(lines[2]["summary"]["seeds"], 2);
    assert_eq!(stderr, "");
}

#[test]
fn what_there_was_no_time_for_is_said() {
    let (code, stdout, stderr) = told(&["twin", "calm", "--seeds", "3", "--against", "local", "--for", "0s"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "the time was up: 3 seeds were not compared\n"), "{stderr}");
    let (code, stdout, stderr) = told(&["crash-points", "calm", "--for", "0s"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("\nthe time was up: ") && stdout.contains(" points with their pairs"), "{stdout}");
    assert!(stdout.ends_with("\ncrash points: 0, failed: 0\n"), "{stdout}");
}

#[test]
fn shards_divide_a_sweep_between_them() {
    let seeds = |shard: &str| -> Vec<u64> {
        let (_, stdout, _) = told(&["run", "calm", "--seeds", "5", "--shard", shard, "--format", "json"]);
        let lines = stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter_map(|line| line["seed"].as_u64()).collect()
    };
    assert_eq!((seeds("1/2"), seeds("2/2")), (vec![1, 3, 5], vec![2, 4]));
}

#[test]
fn a_replay_says_whether_it_is_the_run_that_was_meant() {
    let (_, stdout, _) = told(&["run", "calm", "--seeds", "1", "--format", "json"]);
    let result: serde_json::Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    let fingerprint = result["fingerprint"].as_str().unwrap();
    let (_, same, _) = told(&["replay", "calm", "--seed", "1", "--expect-fingerprint", fingerprint]);
    assert!(same.contains(&format!("\nreproduced: fingerprint {fingerprint}")), "{same}");
    let (code, other, _) = told(&["replay", "calm", "--seed", "1", "--expect-fingerprint", "0000000000000000"]);
    assert_eq!(code, Some(1));
    let wanted = format!("NOT reproduced: fingerprint {fingerprint}, expected 0000000000000000");
    assert!(other.contains(&wanted), "{other}");
}

#[test]
fn a_failing_seed_becomes_a_file_that_fails_in_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.toml");
    let out = file.to_str().unwrap();
    let (code, stdout, stderr) = told(&["shrink", "calm", "--seed", "1", "--out", out]);
    assert_eq!((code, file.exists()), (Some(0), false), "{stderr}");
    assert_eq!(stdout, "nothing to shrink: every promise holds under seed 1\n");
    // Without any time the seed is written as it was found, with all its draws.
    let defect = ["--sabotage", "copy-loses-body"];
    let (code, stdout, stderr) =
        told(&[&["shrink", "calm", "--seed", "1", "--for", "0s", "--out", out], &defect[..]].concat());
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("then the time was up"), "{stdout}");
    let (code, _, stderr) = told(&["check", out]);
    assert_eq!(code, Some(0), "{stderr}");
    let command = stdout.lines().find(|line| line.contains("cargo sim replay")).unwrap().trim();
    let arguments: Vec<&str> = command.split(' ').skip(2).collect();
    let (code, replay, _) = told(&arguments);
    assert_eq!(code, Some(1), "{command}");
    assert!(replay.contains("\nreproduced: fingerprint"), "{command}\n{replay}");
    let (code, held, _) = told(&["run", out]);
    assert_eq!(code, Some(0), "{held}");
    assert!(held.contains("all promises held in 1 seeds"), "the file's own seed: {held}");
}

#[test]
fn results_and_event_logs_go_into_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep/results");
    told(&["run", "calm", "--seeds", "2", "--events", "--out", out.to_str().unwrap()]);
    let results = std::fs::read_to_string(out.join("calm.1..3.jsonl")).unwrap();
    assert_eq!(results.lines().count(), 3, "a head and two seeds");
    assert!(std::fs::metadata(out.join("calm-2.events.log")).unwrap().len() > 1000);
}

#[test]
fn a_message_can_be_followed() {
    let (_, stdout, stderr) = told(&["replay", "calm", "--seed", "1", "--follow", "producer-1#000001"]);
    assert!(stdout.contains("sent producer-1#000001 to orders"), "{stdout}{stderr}");
    assert!(!stdout.contains("GET_ROUTEINFO_BY_TOPIC"), "{stdout}");
    let (code, _, stderr) = told(&["replay", "calm", "--seed", "1", "--follow", "nobody#1"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("accepted: producer-1#000000 to producer-1#0000"), "{stderr}");
}

#[test]
fn a_replay_that_is_stopped_shows_where_every_node_stands() {
    let (code, stdout, stderr) = told(&["replay", "calm", "--seed", "1", "--until", "90s"]);
    assert_eq!(code, Some(0), "{stderr}");
    let state = stdout.split_once("\nstate at 0h01m30.000s\n").unwrap().1;
    for words in
        ["broker-a: master", "durable to 1/", "producer-1: producer of", "consumer-1: consumer of", "operator:"]
    {
        assert!(state.contains(words), "`{words}` is missing in\n{state}");
    }
    let (_, stdout, _) = told(&["replay", "calm", "--seed", "1", "--until", "90d"]);
    assert!(stdout.contains("\nover at ") && stdout.contains(" already, not judged"), "{stdout}");
}

#[test]
fn a_replay_is_text_a_page_or_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let base = ["replay", "calm", "--seed", "1", "--until", "40s", "--out", out, "--trace"];
    let replay = |more: &[&str]| told(&[&base[..], more].concat());
    let written = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (_, text, _) = replay(&["text"]);
    assert!(text.starts_with(&written("timeline.txt")), "{text}");
    let (code, page, stderr) = replay(&["html", "--follow", "producer-1#000001"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    for words in
        ["state at 0h00m40.000s", "lineage of producer-1#000001", "sent producer-1#000001 to orders", "not judged"]
    {
        assert!(page.contains(words), "`{words}` is missing in\n{page}");
    }
    assert_eq!(page, written("timeline.html"));
    let (code, trace, stderr) = replay(&["perfetto"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(trace, written("timeline.json"));
    let events = |trace: &str| -> Vec<serde_json::Value> {
        let trace: serde_json::Value = serde_json::from_str(trace).unwrap();
        trace["traceEvents"].as_array().unwrap().clone()
    };
    let shown = events(&trace);
    assert!(shown.iter().any(|event| event["name"] == "SEND_MESSAGE_V2" && event["ph"] == "b"), "{trace}");
    assert!(shown.iter().all(|event| event["ts"].as_u64().unwrap() <= 40_000_000), "{trace}");
    assert!(!trace.contains("HEART_BEAT") && replay(&["perfetto", "--all"]).1.contains("HEART_BEAT"));
    let followed = events(&replay(&["perfetto", "--follow", "producer-1#000001"]).1).len();
    assert!(followed < shown.len() / 2, "{followed} events of {}", shown.len());
}

#[test]
fn a_page_and_a_trace_tell_what_was_broken() {
    let replay = |trace| told(&[&["replay", "calm", "--seed", "1", "--trace", trace], &DEFECT[..]].concat());
    let (code, page, stderr) = replay("html");
    assert_eq!(code, Some(1));
    assert!(page.contains("<a href=\"#v0\">P") && page.contains("id=\"v0\""), "{page}");
    assert!(stderr.contains(" violated at ") && stderr.contains("cargo sim shrink calm"), "{stderr}");
    let (code, trace, _) = replay("perfetto");
    let trace: serde_json::Value = serde_json::from_str(&trace).unwrap();
    assert_eq!(code, Some(1));
    let broken = |event: &&serde_json::Value| event["cat"] == "violation" && event["s"] == "g";
    assert!(trace["traceEvents"].as_array().unwrap().iter().any(|event| broken(&event)));
}

#[test]
fn two_seeds_part_and_one_seed_does_not() {
    let (code, stdout, stderr) = told(&["diff", "calm", "--seed", "1", "2"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("seed 1 goes on with") && stdout.contains("\nrequests "), "{stdout}");
    let (code, stdout, _) = told(&["diff", "calm", "--seed", "1", "1"]);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("identical: both logs have the same "), "{stdout}");
}

/// A defect that `calm` shows.
const DEFECT: [&str; 2] = ["--sabotage", "copy-loses-body"];

/// A sweep of `calm` that keeps its results; exit code and output.
fn swept(out: &std::path::Path, more: &[&str]) -> (Option<i32>, String) {
    let base = ["run", "calm", "--seeds", "4", "--out", out.to_str().unwrap()];
    let (code, stdout, stderr) = told(&[&base[..], &DEFECT[..], more].concat());
    (code, stdout + &stderr)
}

fn results(folder: &std::path::Path) -> String {
    std::fs::read_to_string(folder.join("calm.1..5.jsonl")).unwrap()
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let whole = swept(folder.path(), &[]);
    let text = results(folder.path());
    // The second result was cut in its middle. The first is marked, to tell whether it is run again.
    let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let marked = lines[1].replacen("\"wall_ms\":", "\"wall_ms\":777000", 1);
    let cut = format!("{}{marked}{}", lines[0], &lines[2][..lines[2].len() / 2]);
    std::fs::write(folder.path().join("calm.1..5.jsonl"), cut).unwrap();
    assert_eq!(swept(folder.path(), &[]), whole);
    let again = results(folder.path());
    assert_eq!(again.lines().count(), 5, "{again}");
    assert!(again.lines().nth(1).unwrap().contains("777000"), "the first seed was run again: {again}");
    let json = swept(folder.path(), &["--format", "json"]).1;
    let seeds: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((seeds.len(), &seeds[3]["seed"]), (5, &4.into()), "{json}");
    // Results of other sources are not gone on with.
    let (code, _, stderr) = told(&["run", "calm", "--seeds", "4", "--out", folder.path().to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("its planted defect is copy-loses-body, not none"), "{stderr}");
}

#[test]
fn shards_that_are_joined_tell_what_the_whole_sweep_tells() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let whole = swept(&path("whole"), &[]);
    assert_eq!(whole.0, Some(1), "{}", whole.1);
    for (name, shard) in [("one", "1/2"), ("two", "2/2")] {
        swept(&path(name), &["--shard", shard]);
    }
    let merge = |names: &[&str]| {
        let paths: Vec<String> = names.iter().map(|name| path(name).to_str().unwrap().to_owned()).collect();
        told(&std::iter::once("merge").chain(paths.iter().map(String::as_str)).collect::<Vec<_>>())
    };
    let (code, stdout, stderr) = merge(&["two", "one"]);
    assert_eq!((code, stdout), (whole.0, whole.1.clone()), "{stderr}");
    assert_eq!(merge(&["whole", "one", "two"]).1, whole.1, "each seed counts once");
    let refused = |names: &[&str], words: &str| {
        let (code, stdout, stderr) = merge(names);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    };
    refused(&["one"], "calm, seeds 1..5: part 2 of 2 is missing");
    let file = path("whole").join("calm.1..5.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let rewrite = |text: &str| std::fs::write(&file, text).unwrap();
    rewrite(&text[..text[..text.len() - 1].rfind('\n').unwrap() + 1]);
    refused(&["whole"], "3 of 4 seeds; run the same sweep again");
    let fingerprint = text.split("\"fingerprint\":\"").nth(1).unwrap().split('"').next().unwrap();
    rewrite(&text.replace(fingerprint, "0000000000000000"));
    refused(&["one", "two", "whole"], "calm, seed 1: its fingerprint is ");
    rewrite(&text.replacen("\"revision\":\"", "\"revision\":\"x", 1));
    refused(&["one", "two", "whole"], "does not belong to");
    rewrite("{}\n");
    refused(&["whole"], "line 1 is no head");
    std::fs::remove_file(&file).unwrap();
    refused(&["whole"], "no results in it");
}
