//! `cargo sim crash-points`: a power loss at every numbered point of a small run in turn.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    num::NonZero,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;

use super::{
    Unusable, Verdict,
    options::{jobs, length, sabotage},
    output::{make_folder, write_file},
    replay::plan,
    run::bar,
    selection::{Selected, one},
    time_limit::TimeLimit,
};
use crate::{
    crash_points::{Base, Judged, Numbers, Points, STEP_MS, Tally, Trial, table},
    framework::all_cores,
    ledger::biography::SimTime,
    plan::SimMs,
    report::{
        FailureReport,
        failure::Origin,
        faults::{fates, span},
        record::ViolationRecord,
    },
    run::{Outcome, RunError, SeedRun, run_seed, sweep::sweep},
    scenario::{CrashPoints, Phase},
};

/// Second crashes per point unless told otherwise: a sweep of one scenario stays within a few minutes.
const PAIRS: usize = 16;
/// Failures that are told in full lines; of more the number is told.
const TOLD: usize = 10;
/// The engine there is.
const ENGINE: &str = "ours";

/// Where to crash and how to tell it.
#[derive(Debug, Args)]
pub struct CrashPointsOptions {
    /// Name or file of the scenario; it needs a [crash_points] section
    scenario: String,
    /// Seed of the run whose points are numbered [default: the section's]
    #[arg(long)]
    seed: Option<u64>,
    /// Second crashes for each point at which a chain or message is worked on; 0 for none
    #[arg(long, value_name = "N", default_value_t = PAIRS)]
    pairs: usize,
    /// Run this point (or pair, POINT+POINT) alone, with its plan and its whole report
    #[arg(long, value_name = "POINT", conflicts_with_all = ["pairs", "format", "out", "lasts"])]
    only: Option<Points>,
    /// Start no further run after this time
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    lasts: Option<Duration>,
    /// How many runs at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = jobs)]
    jobs: Option<NonZero<usize>>,
    /// How to tell the results
    #[arg(long, value_enum, default_value_t)]
    format: Told,
    /// Also write the reports of failing runs into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Plant this defect in the broker; the sweep should fail
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<&'static str>,
}

/// How a crash sweep is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Told {
    /// A table, for people.
    #[default]
    Table,
    /// One JSON object per run, then a summary.
    Json,
}

/// Crashes everywhere, or at the one point that was asked for.
///
/// # Errors
/// The scenario is unusable or has no section, there is no such point, or something cannot be written.
pub fn crash_points(options: &CrashPointsOptions) -> Result<Verdict, Unusable> {
    let selected = one(&options.scenario)?;
    let Some(section) = &selected.scenario.crash_points else {
        let (path, known) = (selected.path.display(), "docs/scenarios.md tells what it holds");
        return Err(Unusable::Options(format!(
            "{path} has no [crash_points] section, so there is no run to crash in; {known}"
        )));
    };
    let base = Base::new(section, options.seed, options.sabotage);
    let run = base.reference();
    let result = run_seed(run.clone());
    let origin = selected.origin(ENGINE, options.sabotage);
    let report = FailureReport::of(&run, &origin, &result);
    let reference = result?;
    let (numbers, singles) = base.singles(&reference);
    match &options.only {
        Some(points) => only(options, &origin, &base, &singles, points),
        None => {
            if let Some(folder) = &options.out {
                make_folder(folder)?;
            }
            let mut sweep = Sweep {
                options,
                selected: &selected,
                section,
                origin,
                base,
                bar: bar("runs"),
                tally: Tally::default(),
                without: 0,
                left: 0,
                limit: TimeLimit::new(options.lasts),
                unrun: Unrun::default(),
            };
            sweep.run(singles)?;
            sweep.finish(&reference, report.as_ref(), &numbers)
        }
    }
}

struct Sweep<'o> {
    options: &'o CrashPointsOptions,
    selected: &'o Selected,
    section: &'o CrashPoints,
    origin: Origin,
    base: Base,
    bar: ProgressBar,
    tally: Tally,
    /// Points without pairs: nothing was being worked on there.
    without: u64,
    /// Pairs that were not to be run.
    left: u64,
    limit: TimeLimit,
    unrun: Unrun,
}

/// What should have been run, had there been time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Unrun {
    points: u64,
    pairs: u64,
}

impl Unrun {
    fn is_some(self) -> bool {
        self != Self::default()
    }
}

impl Sweep<'_> {
    /// Runs every single crash, then the pairs, as far as the time allows.
    fn run(&mut self, singles: Vec<Trial>) -> Result<(), Unusable> {
        let mut pairs = Vec::new();
        self.unrun.points = self.trials(&singles, |sweep, trial, outcome| {
            if trial.first().phase.is_busy() {
                let (more, left) = trial.seconds(&sweep.base, outcome, sweep.options.pairs);
                pairs.extend(more);
                sweep.left += left;
            } else {
                sweep.without += 1;
            }
        })?;
        self.unrun.pairs = self.trials(&pairs, |_, _, _| ())?;
        self.bar.finish_and_clear();
        Ok(())
    }

    /// Runs these, and gives how many there was no time for.
    fn trials(&mut self, trials: &[Trial], mut then: impl FnMut(&mut Self, &Trial, &Outcome)) -> Result<u64, Unusable> {
        if self.limit.is_over() {
            return Ok(trials.len() as u64);
        }
        self.bar.inc_length(trials.len() as u64);
        let work = trials.iter().map(|trial| trial.run(&self.base)).collect();
        let jobs = self.options.jobs.unwrap_or_else(all_cores);
        let (mut next, mut written) = (trials.iter(), Ok(()));
        // Results come in the order of the work, whatever the number of jobs.
        sweep(work, jobs, |run, result, _: Duration| {
            let Some(trial) = next.next() else { return false };
            let judged = trial.judge(&result);
            self.tally.add(trial, &judged);
            written = self.tell(trial, run, &judged, &result);
            if let Ok(outcome) = &result {
                then(self, trial, outcome);
            }
            if judged.verdict.is_some() {
                self.bar.set_message(format!("{} failed", self.tally.failures.len()));
            }
            self.bar.inc(1);
            written.is_ok() && !self.limit.is_over()
        });
        written.map(|()| next.len() as u64)
    }

    fn tell(
        &self,
        trial: &Trial,
        run: &SeedRun,
        judged: &Judged,
        result: &Result<Outcome, RunError>,
    ) -> Result<(), Unusable> {
        if self.options.format == Told::Json {
            let line = serde_json::to_string(&Line::of(self.selected, trial, run, judged, result))?;
            writeln!(std::io::stdout(), "{line}").map_err(Unusable::io("stdout"))?;
        }
        let (Some(folder), Some(verdict)) = (&self.options.out, &judged.verdict) else { return Ok(()) };
        let points = trial.points();
        let command = self.origin.crash_point_command(self.options.seed, &points);
        let text = match FailureReport::of(run, &self.origin, result) {
            Some(report) => report.with_command(&command).to_string(),
            None => format!("{verdict}\n\n  {command}\n"),
        };
        let name = format!("{}-{points}.failure.txt", self.selected.scenario.name).replace(':', "-");
        write_file(&folder.join(name), &text)
    }

    fn finish(
        self,
        reference: &Outcome,
        report: Option<&FailureReport>,
        numbers: &Numbers,
    ) -> Result<Verdict, Unusable> {
        let is_whole = !self.unrun.is_some();
        // A part of a sweep need not have points everywhere.
        let empty: Vec<Phase> = self.tally.empty(&self.section.phases).filter(|_| is_whole).collect();
        let has_points = self.tally.points() > 0 || !is_whole;
        let passed = report.is_none() && self.tally.failures.is_empty() && empty.is_empty() && has_points;
        let text = match self.options.format {
            Told::Table => self.text(reference, report, numbers, &empty),
            Told::Json => {
                let summary = self.summary(reference, report, numbers, empty, passed);
                format!("{}\n", serde_json::to_string(&SummaryLine { summary })?)
            }
        };
        std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))?;
        Ok(if passed { Verdict::Held } else { Verdict::Violated })
    }

    fn text(&self, reference: &Outcome, report: Option<&FailureReport>, numbers: &Numbers, empty: &[Phase]) -> String {
        let tally = &self.tally;
        let mut text = self.header(reference, numbers);
        text.push_str(&table(tally, std::io::stdout().is_terminal()));
        // Writing to a String cannot fail.
        if let Some(report) = report {
            let _ = write!(text, "\nthe run fails without a crash at a point: {}\n", report.verdict());
        }
        for (points, verdict) in tally.failures.iter().take(TOLD) {
            let command = self.origin.crash_point_command(self.options.seed, points);
            let _ = write!(text, "\n{points}: {verdict}\n  {command}\n");
        }
        if tally.failures.len() > TOLD {
            let _ = write!(text, "\n{} more runs failed\n", tally.failures.len() - TOLD);
        }
        for phase in empty {
            let _ = write!(text, "\nno point in phase {}, which the section says must have some\n", phase.name());
        }
        for fate in fates(reference).iter().filter(|fate| !fate.fired) {
            let _ = write!(text, "\nthis fault never fired without a crash: {}\n", fate.planned);
        }
        let _ = write!(text, "\ncrash points: {}, failed: {}\n", tally.points(), tally.failed());
        text
    }

    /// What was run, what was not, and what was broken besides.
    fn header(&self, reference: &Outcome, numbers: &Numbers) -> String {
        let (points, (pairs, _)) = (self.tally.points(), self.tally.pairs());
        let (name, seed, length) = (&self.selected.scenario.name, self.base.seed(), SimTime(reference.sim_ms));
        let Numbers { planned, healed, .. } = numbers;
        let limit = self.options.pairs;
        let step = span(STEP_MS);
        let mut text = format!("{name}, seed {seed}: {points} points in a run of {length}\n");
        let _ = writeln!(
            text,
            "not crashed at: {planned} points where the plan takes the node down itself, {healed} after all faults had ended"
        );
        let _ = writeln!(
            text,
            "pairs: {pairs} run, at most {limit} for each of {} points, the nearest first, up to {step} after the node's \
             return; not run: {} further ones, and those of the {} points where no chain or message was worked on",
            points - self.without,
            self.left,
            self.without
        );
        let Unrun { points, pairs } = self.unrun;
        if self.unrun.is_some() {
            let why = self.limit.why();
            let _ = writeln!(text, "{why}: {points} points with their pairs and {pairs} other pairs were not run");
        }
        let _ = writeln!(text, "{}", plan(reference));
        text
    }

    fn summary(
        &self,
        reference: &Outcome,
        report: Option<&FailureReport>,
        numbers: &Numbers,
        empty: Vec<Phase>,
        passed: bool,
    ) -> Summary<'_> {
        let (pairs, failed_pairs) = self.tally.pairs();
        Summary {
            scenario: &self.selected.scenario.name,
            seed: self.base.seed(),
            points: self.tally.points(),
            failed: self.tally.failed(),
            pairs,
            failed_pairs,
            pairs_per_point: self.options.pairs,
            pairs_not_run: self.left,
            points_without_time: self.unrun.points,
            pairs_without_time: self.unrun.pairs,
            points_without_pairs: self.without,
            points_of_the_plan: numbers.planned,
            points_after_the_end: numbers.healed,
            phases: self.tally.phases().map(|(phase, points)| (phase.name(), points)).collect(),
            empty,
            never_fired: fates(reference).into_iter().filter(|fate| !fate.fired).map(|fate| fate.planned).collect(),
            fails_without_a_crash: report.map(FailureReport::verdict),
            passed,
        }
    }
}

/// Runs one point and shows everything.
fn only(
    options: &CrashPointsOptions,
    origin: &Origin,
    base: &Base,
    singles: &[Trial],
    points: &Points,
) -> Result<Verdict, Unusable> {
    let trial = find(base, singles, points)?;
    let run = trial.run(base);
    let result = run_seed(run.clone());
    let judged = trial.judge(&result);
    let command = origin.crash_point_command(options.seed, points);
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Ok(outcome) = &result {
        let _ = writeln!(text, "{}", plan(outcome));
    }
    let phase = trial.phase().name();
    match (&judged.verdict, FailureReport::of(&run, origin, &result)) {
        (None, _) => {
            let _ = writeln!(text, "{points} ({phase}): every promise held");
        }
        (Some(verdict), report) => {
            let _ = writeln!(text, "{points} ({phase}): {verdict}\n");
            if let Some(report) = report {
                let _ = write!(text, "{}", report.with_command(&command));
            }
        }
    }
    let _ = write!(text, "\ncrash points: 1, failed: {}\n", u64::from(judged.verdict.is_some()));
    std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))?;
    Ok(if judged.verdict.is_none() { Verdict::Held } else { Verdict::Violated })
}

fn find(base: &Base, singles: &[Trial], points: &Points) -> Result<Trial, Unusable> {
    let Some(single) = singles.iter().find(|trial| trial.first().point == points.first) else {
        let same = |trial: &&Trial| {
            let point = &trial.first().point;
            point.node == points.first.node && point.kind == points.first.kind
        };
        let (from, to) = (singles.iter().find(same), singles.iter().rfind(same));
        let known = match from.zip(to) {
            Some((from, to)) => format!("{} to {}, but for those of the plan", from.first().point, to.first().point),
            None => "a broker's syncs, requests and answers, the name server's answers".to_owned(),
        };
        return Err(Unusable::Options(format!("no point {} in this run; accepted: {known}", points.first)));
    };
    let Some(second) = &points.second else { return Ok(single.clone()) };
    let outcome = run_seed(single.run(base))?;
    single.second(base, &outcome, second).ok_or_else(|| {
        Unusable::Options(format!("no point {second} after a crash at {}; accepted: a point of that run", points.first))
    })
}

#[derive(Serialize)]
struct Line<'l> {
    scenario: &'l str,
    engine: &'static str,
    seed: u64,
    point: Points,
    phase: Phase,
    at: f64,
    fingerprint: &'l str,
    struck: bool,
    same_before: bool,
    verdict: &'l Option<String>,
    violations: Vec<ViolationRecord>,
}

impl<'l> Line<'l> {
    fn of(
        selected: &'l Selected,
        trial: &Trial,
        run: &SeedRun,
        judged: &'l Judged,
        result: &'l Result<Outcome, RunError>,
    ) -> Self {
        Self {
            scenario: &selected.scenario.name,
            engine: ENGINE,
            seed: run.seed,
            point: trial.points(),
            phase: trial.phase(),
            at: seconds(trial.first().at_ms),
            fingerprint: result.as_ref().map_or("", |outcome| outcome.fingerprint.as_str()),
            struck: judged.struck,
            same_before: judged.same,
            verdict: &judged.verdict,
            violations: ViolationRecord::all_of(result, &run.scenario),
        }
    }
}

fn seconds(ms: SimMs) -> f64 {
    ms as f64 / 1000.0
}

#[derive(Serialize)]
struct SummaryLine<'s> {
    summary: Summary<'s>,
}

#[derive(Serialize)]
struct Summary<'s> {
    scenario: &'s str,
    seed: u64,
    points: u64,
    failed: u64,
    pairs: u64,
    failed_pairs: u64,
    pairs_per_point: usize,
    pairs_not_run: u64,
    points_without_time: u64,
    pairs_without_time: u64,
    points_without_pairs: u64,
    points_of_the_plan: u64,
    points_after_the_end: u64,
    phases: std::collections::BTreeMap<&'static str, u64>,
    empty: Vec<Phase>,
    never_fired: Vec<String>,
    fails_without_a_crash: Option<String>,
    passed: bool,
}
