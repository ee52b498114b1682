#![allow(clippy::unwrap_used, reason = "tests")]

use std::{path::Path, sync::Arc};

use super::{chains::Chains, holdings, in_flight::InFlight, logs, queues, standing::Standings, told};
use crate::{
    evidence::frame::code,
    history::{EventKind, History, fingerprint::write_line},
    ledger::Ledger,
    oracles::fixture::Story,
    run::{SeedRun, run_seed},
    scenario::Scenario,
};

fn ledger(story: &Story) -> Ledger<'_> {
    Ledger::fold(&story.history, &story.obligations)
}

fn node(story: &mut Story, node: &str, event: &str) {
    story.event(EventKind::Node { node: node.into(), event: event.into() });
}

#[test]
fn the_last_thing_that_happened_to_a_node_is_where_it_stands() {
    let mut story = Story::new();
    node(&mut story, "a", "started");
    node(&mut story, "a", "failed to sync");
    assert_eq!(Standings::of(&story.history).of_node("a"), "up since 0h00m01.000s");
    story.wait(500);
    node(&mut story, "a", "killed");
    assert_eq!(Standings::of(&story.history).of_node("a"), "down, killed since 0h00m01.500s");
    assert_eq!(Standings::of(&story.history).of_node("b"), "not started");
}

#[test]
fn a_log_is_confirmed_as_far_as_enough_disks_have_it() {
    let mut story = Story::with_slave();
    story.obligations.degrees.insert("a".into(), 2);
    story.send(1, 0).replicate(1);
    assert_eq!(logs::master(&ledger(&story), "a"), "durable to 1/2, confirmed to 1/1");
    assert_eq!(logs::slave(&ledger(&story), "a-s1", "a"), "durable to 1/1, one entry behind its master's");
    story.replicate(2);
    assert_eq!(logs::master(&ledger(&story), "a"), "durable to 1/2, confirmed to 1/2");
    assert_eq!(logs::slave(&ledger(&story), "a-s1", "a"), "durable to 1/2, like its master's");
}

#[test]
fn chains_and_queues_are_what_the_disk_says() {
    let mut story = Story::new();
    story.send(1, 0).send(2, 1).send(3, 2);
    let (first, second) = (story.pop("t", 0, 1, 0), story.pop("t", 1, 2, 0));
    story.absorb(&first, 1, 0);
    let ledger = ledger(&story);
    let chains = Chains::of(&ledger, "a");
    assert_eq!((chains.counted().as_str(), chains.live), ("1 acked, 1 open", vec![&second]));
    assert_eq!(queues::lines(&ledger, "a"), ["t/0 holds 0..3; g at 2"]);
    assert_eq!(queues::delayed(&ledger, "a"), 0);
    assert!(queues::lines(&ledger, "b").is_empty() && Chains::of(&ledger, "b").live.is_empty());
}

#[test]
fn a_deleted_topic_has_no_queues() {
    let mut story = Story::new();
    story.send(1, 0).delete_topic();
    assert!(queues::lines(&ledger(&story), "a").is_empty());
}

#[test]
fn a_request_is_in_flight_until_its_answer_leaves_or_an_end_dies() {
    let mut story = Story::new();
    let asked = |story: &Story| InFlight::of(&story.history).of_node("b").len();
    let before = asked(&story);
    let call = story.read(0);
    assert_eq!(asked(&story), before + 1);
    story.response(("a", "b", call), (code::PULL, 0), &[], b"");
    assert_eq!(asked(&story), before);
    story.read(0);
    assert_eq!(asked(&story), before + 1);
    node(&mut story, "a", "crashed");
    assert_eq!(asked(&story), before);
}

#[test]
fn a_consumer_holds_what_it_neither_settled_nor_lost() {
    let mut story = Story::new();
    story.send(1, 0).send(2, 1).send(3, 2);
    let chains = [story.pop("t", 0, 1, 0), story.pop("t", 1, 2, 0), story.pop("t", 2, 3, 0)];
    let held = |story: &Story| holdings::of_consumer(&ledger(story), "c");
    assert_eq!(held(&story).len(), 3);
    story.absorb(&chains[0], 1, 0).revive(&chains[1], 0, 2, 1);
    let wanted = "p#3 from t/0/2 of a for g, popped 0h00m01.000s; its chain is open, next step 0h00m11.000s by its clock \
                  (round 0, attempt 0)";
    assert_eq!(held(&story), [wanted]);
    node(&mut story, "c", "killed");
    assert!(held(&story).is_empty());
    assert_eq!(holdings::of_producer(&story.history, "p"), "3 stored, the last one is p#3");
    assert_eq!(holdings::of_producer(&story.history, "c"), "nothing yet");
}

fn run(until_ms: Option<u64>) -> (Arc<Scenario>, History) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/restart-mid-revive.toml");
    let scenario = Arc::new(Scenario::load(&file).unwrap());
    let run = SeedRun { scenario: scenario.clone(), seed: 1, sabotage: None, until_ms };
    (scenario, run_seed(run).unwrap().history)
}

fn log(history: &History) -> Vec<String> {
    let line = |event| {
        let mut line = String::new();
        write_line(&mut line, event);
        line
    };
    history.events.iter().map(line).collect()
}

#[test]
fn a_run_that_is_stopped_is_the_beginning_of_the_whole_one() {
    let (scenario, whole) = run(None);
    let lines = log(&whole);
    // Before anything, in the middle, at the very time of an event, and while the run settles after its faults.
    let some = whole.events[whole.events.len() / 3].at_ms;
    for until_ms in [0, some, some + 1, scenario.duration_ms + 7_001] {
        let stopped = run(Some(until_ms)).1;
        let known = whole.events.iter().take_while(|event| event.at_ms <= until_ms).count();
        assert!(known < lines.len() - 1, "the whole run is over by {until_ms}");
        let mut wanted = lines[..known].to_vec();
        wanted.push(format!("{until_ms:>12} Over\n"));
        assert_eq!(log(&stopped), wanted, "until {until_ms}");
    }
}

#[test]
fn the_state_of_a_run_in_its_middle_is_shown_node_by_node() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let until_ms = 284_000; // a broker is down
    let (scenario, history) = run(Some(until_ms));
    settings.bind(|| insta::assert_snapshot!("state", told(&history, &scenario, until_ms, false)));
}
