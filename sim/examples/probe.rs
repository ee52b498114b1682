//! TEMP probe
use std::sync::Arc;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let level = std::env::var("LOG").unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    let scenario =
        Arc::new(pop_sim::scenario::Scenario::load(std::path::Path::new(&args[1])).unwrap_or_else(|e| panic!("{e:?}")));
    let (a, b): (u64, u64) = (args[2].parse().unwrap(), args[3].parse().unwrap());
    for seed in a..b {
        let t = std::time::Instant::now();
        let out = pop_sim::run::run_seed(pop_sim::run::SeedRun {
            scenario: scenario.clone(),
            seed,
            sabotage: None,
            until_ms: None,
        })
        .unwrap();
        println!(
            "seed {seed} fp {} sim {} s events {} wall {:?} unfired {:?}",
            out.fingerprint,
            out.sim_ms / 1000,
            out.history.events.len(),
            t.elapsed(),
            out.unfired
        );
        println!("   {:?} reached {:?}", out.verdict.counts, out.verdict.reached);
        for v in out.verdict.violations.iter().take(8) { println!("   VIOLATION {} at {} {}: {}", v.promise, v.at_ms, v.subject, v.detail); }
        if args.len() > 4 {
            let mut line = String::new();
            for event in &out.history.events {
                line.clear();
                pop_sim::run::fingerprint::write_line(&mut line, event);
                print!("{line}");
            }
        }
    }
}
