//! The fault × phase grid of a few seeds of every scenario. A cell that becomes empty is something that is tested no more:
//! the snapshot shows it, and is changed only by somebody who has looked.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{num::NonZero, path::Path, sync::Arc};

use pop_sim::{
    report::{Grid, kept::Fired},
    run::{SeedRun, sweep::sweep},
    scenario::load_all,
};

const SEEDS: u64 = 4;

#[test]
fn what_is_tested_stays_tested() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios"));
    let scenarios = load_all(folder).unwrap_or_else(|errors| panic!("{errors:?}"));
    let runs = scenarios.into_iter().map(Arc::new).flat_map(|scenario| {
        let run = move |seed| SeedRun { scenario: scenario.clone(), seed, sabotage: None, until_ms: None };
        (1..=SEEDS).map(run)
    });
    let mut grid = Grid::default();
    sweep(runs.collect(), NonZero::new(2).unwrap(), |run, outcome, _| {
        let outcome = outcome.unwrap_or_else(|error| panic!("{} seed {}: {error}", run.scenario.name, run.seed));
        Fired::of(&outcome, &run.scenario).iter().for_each(|fired| grid.add(fired));
        true
    });
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    let cell = |count| if count == 0 { "·".to_owned() } else { "x".to_owned() };
    insta::assert_snapshot!("fault-phase-grid", grid.text(cell));
}
