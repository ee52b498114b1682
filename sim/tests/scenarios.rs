//! Every scenario under its first ten seeds: one test per file of `scenarios/`, named after it, so that
//! `cargo test remote_read` runs those about remote reads.

use std::{path::Path, process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Failed, Trial};
use pop_sim::{
    report::{FailureReport, failure::Origin, revision::revision},
    run::{SeedRun, run_seed},
    scenario::{Scenario, load_all},
};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let scenarios = match load_all(&folder) {
        Ok(scenarios) => scenarios,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::FAILURE;
        }
    };
    let trial = |scenario: Scenario| {
        let name = format!("scenario::{}", scenario.name.replace('-', "_"));
        Trial::test(name, move || every_promise_holds(&Arc::new(scenario)))
    };
    libtest_mimic::run(&arguments, scenarios.into_iter().map(trial).collect()).exit_code()
}

fn every_promise_holds(scenario: &Arc<Scenario>) -> Result<(), Failed> {
    let origin = Origin {
        scenario: scenario.name.clone(),
        digest: scenario.digest(),
        engine: "ours",
        revision: revision(Path::new(env!("CARGO_MANIFEST_DIR"))),
        sabotage: None,
    };
    for seed in SEEDS {
        let run = SeedRun { scenario: scenario.clone(), seed, sabotage: None, until_ms: None };
        let result = run_seed(run.clone());
        if let Some(report) = FailureReport::of(&run, &origin, &result) {
            return Err(report.to_string().into());
        }
        let charges = result.map_or_else(|_| Vec::new(), |outcome| outcome.verdict.charges);
        if !charges.is_empty() {
            return Err(format!("seed {seed}: nothing may be tolerated here, but this was: {charges:#?}").into());
        }
    }
    Ok(())
}
