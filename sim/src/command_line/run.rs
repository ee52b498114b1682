//! `cargo sim run`: many seeds of many scenarios.

use std::{
    collections::{BTreeMap, VecDeque},
    io::IsTerminal as _,
    num::NonZero,
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Unusable, Verdict, determinism,
    options::{Engine, Format, Seeds, Shard, jobs, length, sabotage},
    output::{Failed, Output},
    selection::{Selected, select},
    time_limit::TimeLimit,
};
use crate::{
    framework::all_cores,
    report::{
        FailureReport, SeedRecord, Tally,
        expectations::unmet,
        failure::Origin,
        kept::{Fired, KeptSeed, Sweep},
    },
    run::{Outcome, RunError, SeedRun, sweep::sweep},
};

/// Seeds per scenario when nothing else is asked for.
const MODEST: u64 = 20;

/// What to run and how to tell it.
#[derive(Debug, Default, Args)]
pub struct RunOptions {
    /// Names or files of scenarios; all when there is none
    #[arg(value_name = "NAME|FILE")]
    scenarios: Vec<String>,
    /// How many seeds of each scenario, or which (half open) [default: those the scenario names, else 20, or with --for as many as there is time for]
    #[arg(long, value_name = "A..B|N")]
    seeds: Option<Seeds>,
    /// How many seeds run at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = jobs)]
    jobs: Option<NonZero<usize>>,
    /// Start no further seed after this time
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    lasts: Option<Duration>,
    /// The engine to run
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// Run only the I-th of N parts of the sweep
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// How to tell the results
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also write results into this folder, a file for each scenario and range of seeds, and the reports of failing seeds;
    /// seeds whose results are there already are not run again
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Run every seed in a second process too, and compare the event logs byte by byte
    #[arg(long)]
    check_determinism: bool,
    /// Plant this defect in the broker; the run should fail
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<&'static str>,
    /// Also write the event log of every seed into the folder
    #[arg(long, requires = "out")]
    events: bool,
}

/// Runs the sweep and tells its results.
///
/// # Errors
/// A scenario is unusable, or results cannot be written.
pub fn run(options: &RunOptions) -> Result<Verdict, Unusable> {
    let selected = select(&options.scenarios)?;
    let output = Output::new(options.format, options.out.as_deref(), options.events)?;
    let mut sweep = Sweeping::new(options, &selected, output);
    match (&options.seeds, options.lasts) {
        (Some(seeds), _) => drop(sweep.seeds(|_| seeds.0.clone().collect())?),
        (None, None) => drop(sweep.seeds(its_own)?),
        (None, Some(_)) => {
            // A round at a time, so that every scenario gets its share of the time.
            let mut first = 1;
            while sweep.seeds(|_| (first..first + MODEST).collect())? {
                first += MODEST;
            }
        }
    }
    sweep.finish()
}

/// The seeds that the scenario says to run, or the first ones.
fn its_own(selected: &Selected) -> Vec<u64> {
    let seeds = &selected.scenario.seeds;
    if seeds.is_empty() { (1..=MODEST).collect() } else { seeds.clone() }
}

/// What is to be done for one seed of a scenario, which is named by its position.
enum Step {
    /// It is to be run.
    Open(usize, u64),
    /// The folder has its result.
    Known(usize, Box<KeptSeed>),
}

struct Sweeping<'o> {
    options: &'o RunOptions,
    selected: &'o [Selected],
    origins: Vec<Origin>,
    tallies: Vec<Tally>,
    output: Output,
    bar: ProgressBar,
    limit: TimeLimit,
    /// Runs considered so far, those of other shards included.
    considered: u64,
}

impl<'o> Sweeping<'o> {
    fn new(options: &'o RunOptions, selected: &'o [Selected], output: Output) -> Self {
        let origin = |selected: &Selected| selected.origin(options.engine.name(), options.sabotage);
        Self {
            options,
            selected,
            origins: selected.iter().map(origin).collect(),
            tallies: selected.iter().map(|selected| Tally::new(&selected.scenario.name)).collect(),
            output,
            bar: bar("seeds"),
            limit: TimeLimit::new(options.lasts),
            considered: 0,
        }
    }

    /// Runs these seeds of each scenario, as far as the time and the shard allow; tells whether there is time left. What the
    /// folder has already is taken from there.
    fn seeds(&mut self, seeds: impl Fn(&Selected) -> Vec<u64>) -> Result<bool, Unusable> {
        let mut steps = VecDeque::new();
        for (at, selected) in self.selected.iter().enumerate() {
            steps.extend(self.steps(at, &seeds(selected))?);
        }
        let open = steps.iter().filter_map(|step| match step {
            Step::Open(at, seed) => Some(self.selected[*at].seed(*seed, self.options.sabotage)),
            Step::Known(..) => None,
        });
        let work: Vec<SeedRun> = open.collect();
        self.bar.inc_length(work.len() as u64);
        let jobs = self.options.jobs.unwrap_or_else(all_cores);
        let mut result = Ok(true);
        sweep(work, jobs, |run, outcome, took| {
            result = self.known(&mut steps).and_then(|()| self.seed(run, outcome, took));
            steps.pop_front();
            matches!(result, Ok(true))
        });
        let is_time_left = result?;
        // If the time was up there may be open ones between them.
        steps.retain(|step| matches!(step, Step::Known(..)));
        self.known(&mut steps)?;
        Ok(is_time_left)
    }

    /// What is to be done for these seeds of the scenario at a position.
    fn steps(&mut self, at: usize, seeds: &[u64]) -> Result<Vec<Step>, Unusable> {
        let shard = self.options.shard.unwrap_or(Shard::WHOLE);
        let first = self.considered;
        self.considered += seeds.len() as u64;
        let share: Vec<u64> = (first..).zip(seeds).filter(|(n, _)| shard.has(*n)).map(|(_, seed)| *seed).collect();
        let sweep = self.kept_as(at, seeds, share.len());
        let known = self.output.begin(&sweep)?;
        let mut known: BTreeMap<u64, KeptSeed> = known.into_iter().map(|it| (it.record.seed, it)).collect();
        let step = |seed| known.remove(&seed).map_or(Step::Open(at, seed), |it| Step::Known(at, Box::new(it)));
        Ok(share.into_iter().map(step).collect())
    }

    /// The sweep of these seeds of a scenario, `share` of which this shard has, as a file names it.
    fn kept_as(&self, at: usize, seeds: &[u64], share: usize) -> Sweep {
        let Origin { scenario, digest, engine, revision, sabotage } = self.origins[at].clone();
        let (first, last) = (seeds.iter().min().copied().unwrap_or(0), seeds.iter().max().copied().unwrap_or(0));
        Sweep {
            name: self.selected[at].scenario.name.clone(),
            scenario,
            digest,
            engine: engine.into(),
            revision,
            sabotage: sabotage.map(str::to_owned),
            seeds: (first, last.saturating_add(1)),
            shard: self.options.shard.unwrap_or(Shard::WHOLE).numbers(),
            of: self.options.lasts.is_none().then_some(share as u64),
        }
    }

    /// Takes in the results that were known before the next open seed.
    fn known(&mut self, steps: &mut VecDeque<Step>) -> Result<(), Unusable> {
        while let Some(Step::Known(..)) = steps.front() {
            let Some(Step::Known(at, kept)) = steps.pop_front() else { break };
            let command = || self.origins[at].replay_command(kept.record.seed, &kept.record.fingerprint);
            self.tallies[at].add(&kept.record, &kept.faults, command);
            let failed = self.output.failed(&kept.record);
            self.output.seed(&kept, failed.as_ref())?;
        }
        Ok(())
    }

    /// Takes one result in; tells whether there is time left.
    fn seed(&mut self, run: &SeedRun, mut result: Result<Outcome, RunError>, took: Duration) -> Result<bool, Unusable> {
        let Some(at) = self.selected.iter().position(|selected| selected.scenario.name == run.scenario.name) else {
            return Ok(true);
        };
        if self.options.check_determinism {
            determinism::check(run, &self.selected[at].path, &mut result)?;
        }
        let record = SeedRecord::of(run, self.options.engine.name(), &result, took);
        let report = FailureReport::of(run, &self.origins[at], &result);
        let fired = |outcome: &Outcome| Fired::of(outcome, &run.scenario);
        let faults = result.as_ref().map(fired).unwrap_or_default();
        let kept = KeptSeed { record, faults };
        let command = || self.origins[at].replay_command(run.seed, &kept.record.fingerprint);
        self.tallies[at].add(&kept.record, &kept.faults, command);
        let failed = report.as_ref().and_then(|report| Failed::of(&kept.record, report));
        self.output.seed_run(&kept, failed.as_ref(), result.as_ref().ok().map(|outcome| &outcome.history))?;
        if report.is_some() {
            self.bar
                .set_message(format!("{} failed", self.tallies.iter().map(|tally| tally.failed_seeds).sum::<u64>()));
        }
        self.bar.inc(1);
        Ok(!self.limit.is_over())
    }

    fn finish(mut self) -> Result<Verdict, Unusable> {
        self.bar.finish_and_clear();
        for (tally, selected) in self.tallies.iter_mut().zip(self.selected) {
            tally.unmet = unmet(&selected.scenario.expect, tally);
        }
        self.output.finish(&self.tallies)?;
        Ok(if self.tallies.iter().all(Tally::passed) { Verdict::Held } else { Verdict::Violated })
    }
}

/// A bar on a terminal that counts `what`; it moves when one is done, never by itself.
pub(super) fn bar(what: &str) -> ProgressBar {
    let shown = std::io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(&format!(
        "{{wide_bar}} {{pos}}/{{len}} {what}, {{elapsed}}, {{eta}} left {{msg}}"
    ));
    ProgressBar::with_draw_target(Some(0), target).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
