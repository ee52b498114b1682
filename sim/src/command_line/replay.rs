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
    /// How to show the run
    #[arg(long, value_enum, default_value_t)]
    trace: Trace,
    /// Also write timeline, event log and failure report into this folder
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
    let mut text = String::new();
    if let Ok(outcome) = &result {
        let timeline = match options.trace {
            Trace::Text => timeline(options, &run, outcome)?,
        };
        let _ = write!(text, "{}\n{timeline}\n{}", plan(outcome), verdict(outcome, run.until_ms));
        if run.until_ms.is_some() {
            let state = state::told(&outcome.history, &run.scenario, outcome.sim_ms, options.all);
            let _ = write!(text, "\n{state}");
        }
        if let Some(folder) = &options.out {
            write_folder(folder, outcome, &timeline, report.as_ref())?;
        }
    }
    if let Some(report) = &report {
        let _ = write!(text, "\n{report}");
    }
    let reproduced = reproduced(&mut text, options, &result.map_or_else(|_| String::new(), |it| it.fingerprint));
    std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))?;
    Ok(if report.is_none() && reproduced { Verdict::Held } else { Verdict::Violated })
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

fn timeline(options: &ReplayOptions, run: &SeedRun, outcome: &Outcome) -> Result<String, Unusable> {
    let mut text = String::new();
    let view = if options.all { View::All } else { View::Busy };
    let lines: Vec<Line> = match &options.follow {
        None => lines(&outcome.history, view).collect(),
        Some(stamp) => {
            let story = Story::of(&outcome.history, &run.scenario.obligations(), stamp)?;
            let _ = writeln!(text, "lineage of {stamp}");
            story.lineage.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
            text.push('\n');
            story.lines
        }
    };
    text.push_str("timeline\n");
    for line in &lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
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

fn write_folder(
    folder: &Path,
    outcome: &Outcome,
    timeline: &str,
    report: Option<&FailureReport>,
) -> Result<(), Unusable> {
    make_folder(folder)?;
    write_file(&folder.join("timeline.txt"), &format!("{}\n{timeline}", plan(outcome)))?;
    write_events(&folder.join("events.log"), &outcome.history)?;
    report.map_or(Ok(()), |report| write_file(&folder.join("failure.txt"), &report.to_string()))
}
