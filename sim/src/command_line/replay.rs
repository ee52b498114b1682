//! `cargo sim replay`: one seed in a fresh process, with everything visible.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{
    Unusable, Verdict,
    options::{Engine, Trace, fingerprint, ledger_id, length, sabotage},
    output::{make_folder, write_events, write_file},
    selection::one,
};
use crate::{
    follow::Story,
    history::LedgerId,
    ledger::biography::SimTime,
    plan::SimMs,
    report::{
        FailureReport,
        faults::fates,
        timeline::{Line, View, lines},
    },
    run::{Outcome, SeedRun, run_seed},
    state,
    trace::{Note, Picture, html, perfetto},
};

/// Which seed, and how much of it to show.
#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// Name or file of the scenario
    scenario: String,
    /// The seed
    #[arg(long)]
    seed: u64,
    /// The engine to run
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// Stop at this simulated time and show where every node stands; nothing is judged then
    #[arg(long, value_name = "TIME", value_parser = length, conflicts_with = "expect_fingerprint")]
    until: Option<Duration>,
    /// Show one message alone, with the faults beside it: what clients saw, its frames, what disks hold, its copies
    #[arg(long, value_name = "MSGID", value_parser = ledger_id)]
    follow: Option<LedgerId>,
    /// Show idle traffic too: polls that find nothing, heartbeats, registrations, route look-ups; and whole lists of state
    #[arg(long)]
    all: bool,
    /// How to show the run; of a page and of a trace nothing else goes to stdout, the failure report goes to stderr
    #[arg(long, value_enum, default_value_t)]
    trace: Trace,
    /// Also write timeline (.txt, .html or .json), event log and failure report into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Say whether the run is the one that had this fingerprint
    #[arg(long, value_name = "HEX", value_parser = fingerprint)]
    expect_fingerprint: Option<String>,
    /// Plant this defect in the broker
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<&'static str>,
}

/// Runs the seed and shows it.
///
/// # Errors
/// The scenario is unusable, the message is unknown, or something cannot be written.
pub fn replay(options: &ReplayOptions) -> Result<Verdict, Unusable> {
    let selected = one(&options.scenario)?;
    let origin = selected.origin(options.engine.name(), options.sabotage);
    let mut run = selected.seed(options.seed, options.sabotage);
    run.until_ms = options.until.map(|until| u64::try_from(until.as_millis()).unwrap_or(u64::MAX));
    let result = run_seed(run.clone());
    let report = FailureReport::of(&run, &origin, &result);
    let mut shown = String::new();
    if let Ok(outcome) = &result {
        let replayed = Replayed::of(options, &run, outcome, report.as_ref())?;
        shown = replayed.told(options.trace)?;
        if let Some(folder) = &options.out {
            replayed.write_folder(folder, options.trace, &shown)?;
        }
    }
    let mut rest = report.as_ref().map_or_else(String::new, |report| format!("\n{report}"));
    let fingerprint = result.as_ref().map_or("", |outcome| &outcome.fingerprint);
    let reproduced = reproduced(&mut rest, options, fingerprint);
    tell(options.trace, &shown, &rest)?;
    Ok(if report.is_none() && reproduced { Verdict::Held } else { Verdict::Violated })
}

/// A page and a trace have nothing but themselves on stdout; what else there is to say goes to stderr then.
fn tell(trace: Trace, shown: &str, rest: &str) -> Result<(), Unusable> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(shown.as_bytes()).map_err(Unusable::io("stdout"))?;
    match trace {
        Trace::Text => stdout.write_all(rest.as_bytes()).map_err(Unusable::io("stdout")),
        Trace::Html | Trace::Perfetto => {
            std::io::stderr().write_all(rest.trim_start().as_bytes()).map_err(Unusable::io("stderr"))
        }
    }
}

/// Says whether the run is the expected one; true when none was expected.
fn reproduced(text: &mut String, options: &ReplayOptions, fingerprint: &str) -> bool {
    let Some(expected) = &options.expect_fingerprint else { return true };
    let reproduced = expected == fingerprint;
    let shown = if fingerprint.is_empty() { "none, it panicked" } else { fingerprint };
    // Writing to a String cannot fail.
    let _ = match reproduced {
        true => writeln!(text, "\nreproduced: fingerprint {fingerprint}"),
        false => writeln!(text, "\nNOT reproduced: fingerprint {shown}, expected {expected}"),
    };
    reproduced
}

/// The plan, and what became of each fault.
pub(super) fn plan(outcome: &Outcome) -> String {
    let mut text = String::from("plan\n");
    for (number, fate) in fates(outcome).iter().enumerate() {
        let _ = writeln!(text, "  {number}. {}: {}", fate.planned, fate.times);
    }
    if outcome.plan.faults.is_empty() {
        text.push_str("  nothing breaks\n");
    }
    text
}

/// A run that did not panic, and what is shown of it.
struct Replayed<'r> {
    title: String,
    outcome: &'r Outcome,
    lines: Vec<Line>,
    /// How the message that is followed lies where, and its copies.
    lineage: Option<String>,
    verdict: String,
    /// Where every node stands, when the run was stopped.
    state: Option<String>,
    failure: Option<String>,
}

impl<'r> Replayed<'r> {
    fn of(
        options: &ReplayOptions,
        run: &SeedRun,
        outcome: &'r Outcome,
        report: Option<&FailureReport>,
    ) -> Result<Self, Unusable> {
        let view = if options.all { View::All } else { View::Busy };
        let (lines, lineage) = match &options.follow {
            None => (lines(&outcome.history, view).collect(), None),
            Some(stamp) => {
                let story = Story::of(&outcome.history, &run.scenario.obligations(), stamp)?;
                let lineage = story.lineage.iter().map(|line| format!("  {line}\n")).collect::<String>();
                (story.lines, Some(format!("lineage of {stamp}\n{lineage}")))
            }
        };
        let state = |_| state::told(&outcome.history, &run.scenario, outcome.sim_ms, options.all);
        Ok(Self {
            title: format!("{}, seed {}", options.scenario, run.seed),
            outcome,
            lines,
            lineage,
            verdict: verdict(outcome, run.until_ms),
            state: run.until_ms.map(state),
            failure: report.map(ToString::to_string),
        })
    }

    /// The run in the form asked for.
    fn told(&self, trace: Trace) -> Result<String, Unusable> {
        Ok(match trace {
            Trace::Text => {
                let state = self.state.as_ref().map_or_else(String::new, |state| format!("\n{state}"));
                format!("{}\n{}{state}", self.timeline(), self.verdict)
            }
            Trace::Html => html::page(&self.picture()),
            Trace::Perfetto => perfetto::json(&self.picture())?,
        })
    }

    fn timeline(&self) -> String {
        let lineage = self.lineage.as_ref().map_or_else(String::new, |lineage| format!("{lineage}\n"));
        let mut text = format!("{}\n{lineage}timeline\n", plan(self.outcome));
        for line in &self.lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        }
        text
    }

    fn picture(&self) -> Picture<'_> {
        let mut notes = vec![Note { heading: "verdict".into(), text: self.verdict.clone() }];
        notes.extend(self.failure.iter().map(|text| Note { heading: "failure".into(), text: text.clone() }));
        notes.push(Note::headed(&plan(self.outcome)));
        notes.extend(self.lineage.iter().chain(&self.state).map(|text| Note::headed(text)));
        Picture { title: self.title.clone(), outcome: self.outcome, lines: &self.lines, notes }
    }

    fn write_folder(&self, folder: &Path, trace: Trace, shown: &str) -> Result<(), Unusable> {
        make_folder(folder)?;
        let file = folder.join(trace.file());
        match trace {
            Trace::Text => write_file(&file, &self.timeline())?,
            Trace::Html | Trace::Perfetto => write_file(&file, shown)?,
        }
        write_events(&folder.join("events.log"), &self.outcome.history)?;
        self.failure.as_ref().map_or(Ok(()), |failure| write_file(&folder.join("failure.txt"), failure))
    }
}

fn verdict(outcome: &Outcome, until_ms: Option<SimMs>) -> String {
    let (length, fingerprint) = (SimTime(outcome.sim_ms), &outcome.fingerprint);
    let violations = &outcome.verdict.violations;
    let mut text = match violations.len() {
        _ if until_ms.is_some_and(|until_ms| outcome.sim_ms < until_ms) => {
            format!("over at {length} already, not judged, fingerprint {fingerprint}\n")
        }
        _ if until_ms.is_some() => format!("stopped at {length}, not judged, fingerprint {fingerprint}\n"),
        0 => format!("every promise held for {length}, fingerprint {fingerprint}\n"),
        n => format!("{n} violations in {length}, fingerprint {fingerprint}\n"),
    };
    for charge in &outcome.verdict.charges {
        let _ = writeln!(text, "  charged: {} {}: {}", charge.promise, charge.subject, charge.excuse);
    }
    let reached: Vec<&str> = outcome.verdict.reached.iter().copied().collect();
    if !reached.is_empty() {
        let _ = writeln!(text, "reached {}", reached.join(", "));
    }
    text
}
