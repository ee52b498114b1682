//! `cargo sim explore`: random clusters, workloads and faults, for as long as there is time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    num::NonZero,
    path::PathBuf,
    time::Duration,
};

use clap::Args;

use super::{
    Unusable, Verdict,
    options::{Engine, jobs, length, sabotage},
    run::bar,
    selection::{every, folder},
    time_limit::TimeLimit,
};
use crate::{
    explore::{Failures, Kept, Reduced, Search, coverage::never_reached},
    framework::all_cores,
    report::{FailureReport, failure::Origin, revision::revision},
    run::{SeedRun, sweep::sweep},
    scenario::{Remarks, Scenario},
    shrink::Signature,
};

/// How long is explored when nothing else is asked for.
const MODEST: Duration = Duration::from_secs(60);
/// Kinds of failures of which it is looked for what they need, and for how long each.
const REDUCED: usize = 5;
const REDUCED_FOR: Duration = Duration::from_secs(10);
/// With how many runs where the number of runs is given, so that time decides nothing.
const REDUCED_IN: u64 = 100;

/// Where to look, and for how long.
#[derive(Debug, Args)]
pub struct ExploreOptions {
    /// Start no further run after this time [default: 60s, or with --runs as long as it takes]
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    lasts: Option<Duration>,
    /// Stop after so many runs
    #[arg(long, value_name = "N")]
    runs: Option<u64>,
    /// Which search: the same number draws the same scenarios
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many runs go on at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = jobs)]
    jobs: Option<NonZero<usize>>,
    /// Where to write the scenarios that failed, and those that showed something new
    #[arg(long, value_name = "DIR", default_value = "target/explore")]
    out: PathBuf,
    /// Plant this defect in the broker; it should be found
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<&'static str>,
}

/// Explores, writes down what it found, and tells it.
///
/// # Errors
/// Something cannot be written.
pub fn run(options: &ExploreOptions) -> Result<Verdict, Unusable> {
    let lasts = options.lasts.or_else(|| options.runs.is_none().then_some(MODEST));
    let limit = TimeLimit::new(lasts);
    let written = every()?.into_iter().map(|selected| selected.scenario).collect();
    let mut search = Search::new(options.seed, written, options.sabotage);
    let bar = bar("runs");
    while !limit.is_over() && options.runs.is_none_or(|runs| search.runs < runs) {
        let mut work = search.round();
        if let Some(runs) = options.runs {
            work.truncate(usize::try_from(runs - search.runs).unwrap_or(usize::MAX));
        }
        bar.inc_length(work.len() as u64);
        let mut told = Ok(());
        sweep(work, options.jobs.unwrap_or_else(all_cores), |run, result, _| {
            let kind = search.take(run, &result);
            bar.inc(1);
            if let Some(kind) = kind
                && let Some(report) = FailureReport::of(run, &origin(options, run), &result)
            {
                // At once, for whoever loses patience.
                println!("{report}");
                told = failed(options, run, &kind.to_string());
            }
            told.is_ok() && !limit.is_over()
        });
        told?;
    }
    bar.finish_and_clear();
    search.kept.iter().try_for_each(|kept| keep(options, kept))?;
    let reduced = reduced(options, &search);
    for (kind, Failures { smallest, .. }) in &search.failures {
        match reduced.get(kind) {
            Some(Reduced { run, .. }) => failed(options, run, &format!("{kind}\nwith no more faults than it needs"))?,
            None => failed(options, smallest, &kind.to_string())?,
        }
    }
    print!("{}", summary(options, &search, &reduced));
    Ok(if search.failures.is_empty() { Verdict::Held } else { Verdict::Violated })
}

/// What the first kinds of failures need.
fn reduced<'s>(options: &ExploreOptions, search: &'s Search) -> BTreeMap<&'s Signature, Reduced> {
    let bar = bar("kinds of failures");
    let mut reduced = BTreeMap::new();
    for (kind, failures) in search.failures.iter().take(REDUCED) {
        bar.inc_length(1);
        let (lasts, runs) = match options.runs {
            None => (Some(REDUCED_FOR), u64::MAX),
            Some(_) => (None, REDUCED_IN),
        };
        let (limit, jobs) = (TimeLimit::new(lasts), options.jobs.unwrap_or_else(all_cores));
        reduced.extend(failures.reduced(kind, jobs, runs, &|| limit.is_over()).map(|it| (kind, it)));
        bar.inc(1);
    }
    bar.finish_and_clear();
    reduced
}

/// The file of a run's scenario.
fn path_of(options: &ExploreOptions, scenario: &Scenario) -> PathBuf {
    options.out.join(format!("{}.toml", scenario.name))
}

fn origin(options: &ExploreOptions, run: &SeedRun) -> Origin {
    Origin {
        scenario: path_of(options, &run.scenario).display().to_string(),
        digest: run.scenario.digest(),
        engine: Engine::Ours.name(),
        revision: revision(&folder()),
        sabotage: options.sabotage,
    }
}

/// Writes a failing scenario down, and how it fails.
fn failed(options: &ExploreOptions, run: &SeedRun, how: &str) -> Result<(), Unusable> {
    write(options, &run.scenario, format!("Found by exploring: with seed {} it fails as\n{how}", run.seed))
}

fn keep(options: &ExploreOptions, kept: &Kept) -> Result<(), Unusable> {
    let Kept { scenario, seed, fingerprint, first_shown } = kept;
    let words: String = first_shown.iter().map(|word| format!("\n- {word}")).collect();
    write(
        options,
        scenario,
        format!("Kept by exploring: seed {seed}, fingerprint {fingerprint}. First to show:{words}"),
    )
}

fn write(options: &ExploreOptions, scenario: &Scenario, head: String) -> Result<(), Unusable> {
    let path = path_of(options, scenario);
    let text = scenario.to_toml(&Remarks { head, ..Remarks::default() });
    std::fs::create_dir_all(&options.out).map_err(Unusable::io(options.out.display()))?;
    std::fs::write(&path, text).map_err(Unusable::io(path.display()))
}

fn summary(options: &ExploreOptions, search: &Search, reduced: &BTreeMap<&Signature, Reduced>) -> String {
    let mut text = String::new();
    let out = options.out.display();
    let _ = writeln!(
        text,
        "{} runs: {} words of coverage, first shown by {} runs, which are in {out}",
        search.runs,
        search.shown.len(),
        search.kept.len()
    );
    let (missing, excused) = never_reached(&search.shown);
    if missing.is_empty() {
        text.push_str("every situation was reached that scenarios get into\n");
    } else {
        let _ = writeln!(text, "never reached: {}", missing.join(", "));
    }
    if !excused.is_empty() {
        let _ = writeln!(text, "nor, as `cargo sim list --situations` explains: {}", excused.join(", "));
    }
    for (kind, Failures { smallest, count }) in &search.failures {
        let reduced = reduced.get(kind);
        let example = reduced.map_or(smallest, |reduced| &reduced.run);
        let command = origin(options, example).replay_command(example.seed, "");
        let _ = writeln!(text, "\n{kind}\n  in {count} runs{}, for example\n  {command}", needs(reduced));
    }
    if search.failures.is_empty() {
        text.push_str("all promises held\n");
    }
    text
}

/// What a kind of failure needs, as far as it is known.
fn needs(reduced: Option<&Reduced>) -> String {
    let Some(Reduced { faults, is_cut_short, .. }) = reduced else { return String::new() };
    let kinds: BTreeSet<&str> = faults.iter().copied().collect();
    match (kinds.len(), is_cut_short) {
        (0, _) => "; it needs no fault".to_owned(),
        (_, false) => format!("; it needs {}", Vec::from_iter(kinds).join(", ")),
        (_, true) => format!("; it needs no more than {}", Vec::from_iter(kinds).join(", ")),
    }
}
