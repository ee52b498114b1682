//! `docs/faults.md` names every fault that there is, and what it says of each one is so.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use pop_sim::{
    faults::proof::proof,
    plan::Fault,
    scenario::{Scenario, load_all, reached::REACHED, schema},
    schedule::expand,
};

/// Seeds among which an entry that is repeated at random must occur once.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;

struct Row {
    kind: String,
    toml: String,
    scenario: String,
    point: String,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(repository().join("docs/faults.md")).unwrap();
    let cells = text.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [kind, _, toml, scenario, point] = cells[..] else { panic!("five cells are expected: {line}") };
        let [kind, toml, scenario, point] = [kind, toml, scenario, point].map(str::to_owned);
        Row { kind, toml, scenario, point }
    });
    cells.collect()
}

fn scenarios() -> BTreeMap<String, Scenario> {
    let all = load_all(&repository().join("scenarios")).unwrap();
    all.into_iter().map(|scenario| (scenario.name.clone(), scenario)).collect()
}

/// The kind of a fault, as it is written in a scenario.
fn kind(fault: &Fault) -> String {
    serde_json::to_value(fault).unwrap()["kind"].as_str().unwrap().to_owned()
}

/// What a seed of the scenario breaks: kinds and what proves them.
fn provoked(scenario: &Scenario) -> BTreeSet<(String, &'static str)> {
    let faults = SEEDS.flat_map(|seed| expand(scenario, seed).faults);
    faults.map(|fault| (kind(&fault), proof(&fault))).collect()
}

#[test]
fn every_kind_of_fault_has_a_row_and_every_row_a_kind() {
    let variants = schema()["$defs"]["KindEntry"]["oneOf"].as_array().unwrap().clone();
    let kinds: BTreeSet<String> = variants.iter().map(|it| it["const"].as_str().unwrap().to_owned()).collect();
    assert!(kinds.len() > 10 && kinds.contains("kill"), "{kinds:?}");
    assert_eq!(kinds, rows().into_iter().map(|row| row.kind).collect());
}

#[test]
fn every_row_s_scenario_provokes_its_fault_and_demands_the_proof() {
    let scenarios = scenarios();
    for Row { kind, scenario, point, .. } in rows() {
        let named = scenarios.get(&scenario).unwrap_or_else(|| panic!("{scenario} is no scenario"));
        let provoked = provoked(named);
        assert!(provoked.contains(&(kind.clone(), &*point)), "{scenario} has no {kind} that {point} proves");
        assert!(named.expect.reached.contains(&point), "{scenario} does not expect {point}");
        assert!(REACHED.iter().any(|(name, _)| *name == point), "{point}");
    }
}

#[test]
fn whatever_any_scenario_breaks_is_proved_as_its_row_says() {
    let rows: BTreeSet<(String, String)> = rows().into_iter().map(|row| (row.kind, row.point)).collect();
    for scenario in scenarios().values() {
        for (kind, point) in provoked(scenario) {
            assert!(rows.contains(&(kind.clone(), point.to_owned())), "{kind}, proved by {point}, has no row");
        }
    }
}

#[test]
fn every_row_s_toml_is_a_fault_of_its_kind() {
    let calm = "summary = 'x'\nduration = '2h'\n[[broker]]\nname = 'broker-a'\nslaves = 1\n[[broker]]\nname = 'broker-b'\n\
                [[topic]]\nname = 'orders'\n";
    for Row { kind: named, toml, point, .. } in rows() {
        let text = format!("fault = [{{ {toml} }}]\n{calm}");
        let scenario = Scenario::parse("x", "x.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        let plan = expand(&scenario, 1);
        assert!(plan.faults.iter().all(|fault| (kind(fault), proof(fault)) == (named.clone(), &*point)), "{toml}");
        assert_eq!(plan.faults.len(), 1);
    }
}
