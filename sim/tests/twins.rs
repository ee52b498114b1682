//! Seeds and their twins come to the same ends, and a defect parts them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{path::Path, sync::Arc};

use pop_sim::{
    run::SeedRun,
    scenario::{Scenario, load_all},
    twin::{Compared, Twin, compare},
};

fn run(scenario: &Arc<Scenario>, seed: u64, sabotage: Option<&'static str>) -> SeedRun {
    SeedRun { scenario: scenario.clone(), seed, sabotage, until_ms: None }
}

fn scenarios() -> Vec<Arc<Scenario>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    load_all(&folder).unwrap().into_iter().map(Arc::new).collect()
}

fn parted(compared: &Compared) -> Vec<String> {
    let told = |it: &pop_sim::twin::Parted| format!("{:?} for {}: {:?} / {:?}", it.ledger, it.group, it.here, it.there);
    compared.parted.iter().map(told).collect()
}

#[test]
fn neither_faults_nor_where_a_message_lies_change_what_becomes_of_it() {
    for scenario in scenarios() {
        for twin in Twin::ALL {
            for seed in 1..=2 {
                let compared = compare(&run(&scenario, seed, None), twin).unwrap();
                let (name, twin) = (&scenario.name, twin.name());
                assert!(compared.owed > 0, "{name} against {twin}, seed {seed}: nothing to compare");
                assert_eq!(parted(&compared), Vec::<String>::new(), "{name} against {twin}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_defect_that_loses_messages_under_faults_parts_them() {
    let scenario = scenarios().into_iter().find(|scenario| scenario.name == "remote-read-timeout").unwrap();
    let compared = compare(&run(&scenario, 1, Some("dropped-error")), Twin::Faultless).unwrap();
    assert!(!compared.parted.is_empty());
    let divergence = compared.divergence.unwrap();
    assert!(divergence.here != divergence.there);
}

#[test]
fn a_world_without_faults_is_its_own_twin() {
    let scenario = scenarios().into_iter().find(|scenario| scenario.name == "calm").unwrap();
    let mut calm = Scenario::clone(&scenario);
    calm.faults.clear();
    let compared = compare(&run(&Arc::new(calm), 1, None), Twin::Faultless).unwrap();
    assert!(compared.owed > 0 && compared.parted.is_empty());
    assert_eq!(compared.divergence, None);
}
