//! What is drawn and changed can be written down, read again, and run.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, num::NonZero, path::Path};

use super::{mutate::mutated, swarm::draw, *};
use crate::{
    run::run_seed,
    scenario::{Broker, Expect, FaultKind, Remarks, VolumeSpec, load_all},
    schedule::expand,
};

fn written(scenario: &Scenario) -> Scenario {
    let text = scenario.to_toml(&Remarks::default());
    Scenario::parse(&scenario.name, "x.toml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// What can be written of a scenario.
fn plain(scenario: &Scenario) -> Scenario {
    Scenario { expect: Expect::default(), crash_points: None, ..scenario.clone() }
}

fn written_by_people() -> Vec<Arc<Scenario>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    load_all(&folder).unwrap().into_iter().map(Arc::new).collect()
}

#[test]
fn every_scenario_of_the_swarm_can_be_written_and_read() {
    for seed in 0..300 {
        let drawn = draw(seed);
        let read = written(&drawn);
        assert_eq!(expand(&read, seed), expand(&drawn, seed));
        assert_eq!(read, drawn);
    }
}

#[test]
fn every_changed_scenario_can_be_written_and_read() {
    let mut rng = Streams::new(1).stream("test");
    let by_people = written_by_people();
    let by_people = by_people.iter().map(|scenario| Scenario::clone(scenario));
    for (seed, mut scenario) in (0..).zip((0..100).map(draw).chain(by_people)) {
        for _ in 0..5 {
            scenario = mutated(&scenario, &mut rng);
            let read = written(&scenario);
            assert_eq!(expand(&read, seed), expand(&scenario, seed));
            assert_eq!(read, plain(&scenario));
        }
    }
}

#[test]
fn a_seed_draws_the_same_scenario_and_another_one_another() {
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7).faults, draw(8).faults);
}

#[test]
fn what_a_search_runs_depends_on_its_seed_alone() {
    let searched = || {
        let mut search = Search::new(1, written_by_people(), None);
        for run in search.round().into_iter().take(4) {
            let result = run_seed(run.clone());
            search.take(&run, &result);
        }
        let names = search.round().into_iter().map(|run| (run.scenario.digest(), run.seed)).collect::<Vec<_>>();
        (names, search.shown, search.kept.into_iter().map(|kept| kept.fingerprint).collect::<Vec<_>>())
    };
    assert_eq!(searched(), searched());
}

/// Changed, it might come back when nobody tells it that its disk is old.
#[test]
fn no_changed_scenario_puts_a_slave_s_old_disk_back() {
    let restores = |scenario: &Scenario| {
        let is_as_of = |what: &FaultKind| matches!(what, FaultKind::Replace { volume: VolumeSpec::AsOf(_), .. });
        scenario.faults.iter().any(|fault| is_as_of(&fault.what))
    };
    let by_people = written_by_people();
    let named = |name: &str| by_people.iter().find(|scenario| scenario.name == name).unwrap();
    let mut rng = Streams::new(1).stream("test");
    assert!(restores(named("slave-restored")));
    assert!((0..50).all(|_| !restores(&mutated(named("slave-restored"), &mut rng))));
    assert!((0..50).any(|_| restores(&mutated(named("master-restored"), &mut rng))), "a master finds out by itself");
}

#[test]
fn of_a_master_and_its_slave_one_keeps_its_disk() {
    let loses = |scenario: &Scenario, whose: &str| {
        let is_it = |what: &FaultKind| match what {
            FaultKind::Replace { node, volume, .. } => node == whose && !matches!(volume, VolumeSpec::Kept),
            _ => false,
        };
        scenario.faults.iter().any(|fault| is_it(&fault.what))
    };
    let drawn: Vec<Scenario> = (0..4_000).map(draw).collect();
    let of = |scenario: &Scenario| {
        let of_one = |broker: &Broker| {
            let slave = broker.slaves().any(|(_, slave)| loses(scenario, &slave));
            (loses(scenario, &broker.name), slave)
        };
        scenario.brokers.iter().map(of_one).collect::<Vec<_>>()
    };
    let seen: BTreeSet<(bool, bool)> = drawn.iter().flat_map(of).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(false, false), (false, true), (true, false)]);
}

#[test]
fn what_a_failure_does_not_need_is_left_out() {
    let mut search = Search::new(1, Vec::new(), None);
    let scenario = written_by_people().into_iter().find(|it| it.name == "restart-mid-revive").unwrap();
    let run = SeedRun { scenario, seed: 1, sabotage: Some("mark-before-effect"), until_ms: None };
    let kind = search.take(&run, &run_seed(run.clone())).unwrap();
    let planned = expand(&run.scenario, run.seed).faults.len();
    let reduced = |runs, is_over| search.failures[&kind].reduced(&kind, NonZero::<usize>::MIN, runs, &move || is_over);
    let small = reduced(u64::MAX, false).unwrap();
    assert!(!small.is_cut_short && small.faults.len() < planned, "{:?} of {planned}", small.faults);
    assert_eq!(small.run.scenario.faults.len(), small.faults.len());
    assert!(Signature::all_of(&run_seed(small.run.clone()), &small.run.scenario).contains(&kind));
    let unreduced = reduced(0, false).unwrap();
    assert_eq!((unreduced.faults.len(), unreduced.is_cut_short), (planned, true));
    assert!(reduced(u64::MAX, true).is_none(), "nothing is known without a run");
}

#[test]
fn what_was_kept_replays_from_its_file_to_the_same_fingerprint() {
    let mut search = Search::new(1, written_by_people(), None);
    for run in search.round().into_iter().take(6) {
        let result = run_seed(run.clone());
        search.take(&run, &result);
    }
    assert!(search.kept.len() > 3);
    for kept in &search.kept {
        let scenario = Arc::new(written(&kept.scenario));
        let run = SeedRun { scenario, seed: kept.seed, sabotage: None, until_ms: None };
        assert_eq!(run_seed(run).unwrap().fingerprint, kept.fingerprint, "{}", kept.scenario.name);
    }
}

#[test]
fn a_planted_defect_is_one_kind_of_failure() {
    let mut search = Search::new(1, Vec::new(), Some("success-before-commit"));
    let runs = search.round().into_iter().map(|run| (run_seed(run.clone()), run));
    let is_failed = |(result, run): &(_, SeedRun)| !Signature::all_of(result, &run.scenario).is_empty();
    let (result, run) = runs.into_iter().find(is_failed).unwrap();
    assert!(search.take(&run, &result).is_some(), "the first of its kind");
    assert!(search.take(&run, &result).is_none(), "the second of its kind");
    assert_eq!(search.failures.values().map(|failures| failures.count).sum::<u64>(), 2);
}
