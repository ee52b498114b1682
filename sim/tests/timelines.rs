//! What the first seed of every scenario looks like. A change here is a change of behaviour, to be read and accepted.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{path::Path, sync::Arc};

use pop_sim::{
    report::{
        faults::fates,
        timeline::{View, lines},
    },
    run::{SeedRun, run_seed},
    scenario::load_all,
};

/// Lines shown of a run's beginning; a diff of thousands of lines is read by nobody.
const SHOWN: usize = 250;

fn shortened(lines: &[String]) -> Vec<String> {
    let shown = lines.iter().take(SHOWN).cloned();
    let left = lines.len().saturating_sub(SHOWN);
    shown.chain((left > 0).then(|| format!("... and {left} more lines"))).collect()
}

#[test]
fn the_first_seed_of_every_scenario_looks_as_before() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for scenario in load_all(&folder).unwrap() {
            let name = format!("timeline-{}", scenario.name);
            let run = SeedRun { scenario: Arc::new(scenario), seed: 1, sabotage: None, until_ms: None };
            let outcome = run_seed(run).unwrap();
            let plan = fates(&outcome).into_iter().map(|fate| format!("{}: {}", fate.planned, fate.times));
            let timeline = lines(&outcome.history, View::Condensed).map(|line| line.to_string());
            let text: Vec<String> = plan.chain([String::new()]).chain(timeline).collect();
            insta::assert_snapshot!(name, shortened(&text).join("\n"));
        }
    });
}
