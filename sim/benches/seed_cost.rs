//! What one seed costs: median and 90th percentile of wall time over a fixed range of seeds, one at a time, and the
//! share of it that the oracles take. Run with `cargo bench -p pop-sim`.

use std::{path::Path, sync::Arc, time::Instant};

use pop_sim::{
    oracles,
    run::{SeedRun, run_seed},
    scenario::Scenario,
};

/// The command line's, so that a seed costs here what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEEDS: u64 = 40;

fn main() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios"));
    println!(
        "{:<22} {:>10} {:>10} {:>10} {:>12} {:>14}",
        "scenario", "median ms", "p90 ms", "events", "oracles ms", "sim s / wall s"
    );
    for name in ["flaky-link", "calm", "crash-everywhere"] {
        let scenario = Scenario::load(&folder.join(format!("{name}.toml")));
        measure(&Arc::new(scenario.unwrap_or_else(|errors| panic!("{errors}"))));
    }
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]
fn measure(scenario: &Arc<Scenario>) {
    let (mut walls, mut judging, mut events, mut simulated) = (Vec::new(), Vec::new(), 0, 0);
    for seed in 1..=SEEDS {
        let run = SeedRun { scenario: scenario.clone(), seed, sabotage: None, until_ms: None };
        let began = Instant::now();
        let outcome = run_seed(run).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        walls.push(began.elapsed().as_secs_f64() * 1000.0);
        let began = Instant::now();
        let verdict = oracles::judge(&outcome.history, &scenario.obligations());
        judging.push(began.elapsed().as_secs_f64() * 1000.0);
        assert!(verdict.violations.is_empty(), "seed {seed}: {:?}", verdict.violations);
        events += outcome.history.events.len();
        simulated += outcome.sim_ms;
    }
    let total: f64 = walls.iter().sum::<f64>() / 1000.0;
    println!(
        "{:<22} {:>10.1} {:>10.1} {:>10} {:>12.1} {:>14.0}",
        scenario.name,
        percentile(&mut walls, 50),
        percentile(&mut walls, 90),
        events / walls.len(),
        percentile(&mut judging, 50),
        simulated as f64 / 1000.0 / total
    );
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}
