//! A sweep as lines of JSON: one object per seed, then the summary.

use serde::Serialize;

use super::{Grid, SeedRecord, Tally, failures::Group};

/// One seed as one line, without its end of line.
///
/// # Errors
/// Never, for values that a run yields.
pub fn seed_line(record: &SeedRecord) -> serde_json::Result<String> {
    serde_json::to_string(record)
}

#[derive(Serialize)]
struct Summary<'t> {
    scenarios: Vec<ScenarioSummary<'t>>,
    seeds: u64,
    failed_seeds: u64,
    violations: u64,
    lost: u64,
    duplicated: u64,
    charges: u64,
    /// By kind of fault and phase, how many struck.
    grid: Grid,
    passed: bool,
}

#[derive(Serialize)]
struct ScenarioSummary<'t> {
    scenario: &'t str,
    seeds: u64,
    failed_seeds: u64,
    violations: u64,
    lost: u64,
    duplicated: u64,
    charges: u64,
    missing: &'t [String],
    never_fired: Vec<&'t str>,
    failures: Vec<Kind<'t>>,
    passed: bool,
}

/// Failures of one kind, with the smallest of them.
#[derive(Serialize)]
struct Kind<'t> {
    signature: &'t str,
    #[serde(flatten)]
    group: &'t Group,
}

/// The last line: the sums of each scenario and of all, without its end of line.
///
/// # Errors
/// Never, for values that a sweep yields.
pub fn summary_line(tallies: &[Tally]) -> serde_json::Result<String> {
    let sum = |figure: fn(&Tally) -> u64| tallies.iter().map(figure).sum();
    let summary = Summary {
        scenarios: tallies.iter().map(scenario).collect(),
        seeds: sum(|tally| tally.seeds),
        failed_seeds: sum(|tally| tally.failed_seeds),
        violations: sum(|tally| tally.violations),
        lost: sum(|tally| tally.lost),
        duplicated: sum(|tally| tally.duplicated),
        charges: sum(|tally| tally.charges),
        grid: Grid::of(tallies),
        passed: tallies.iter().all(Tally::passed),
    };
    #[derive(Serialize)]
    struct Line<'t> {
        summary: Summary<'t>,
    }
    serde_json::to_string(&Line { summary })
}

fn scenario(tally: &Tally) -> ScenarioSummary<'_> {
    ScenarioSummary {
        scenario: &tally.scenario,
        seeds: tally.seeds,
        failed_seeds: tally.failed_seeds,
        violations: tally.violations,
        lost: tally.lost,
        duplicated: tally.duplicated,
        charges: tally.charges,
        missing: &tally.unmet,
        never_fired: tally.never_fired().collect(),
        failures: tally.failures.kinds().map(|(signature, group)| Kind { signature, group }).collect(),
        passed: tally.passed(),
    }
}
