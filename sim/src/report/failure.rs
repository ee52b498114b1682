//! The report of a failing seed: what, how to see it again, what was broken, whom it hit, how it ended.

use std::fmt;

use super::{
    faults::{Fate, fates},
    timeline::{View, lines},
};
use crate::{
    crash_points::Points,
    ledger::{Ledger, biography::SimTime},
    oracles::Violation,
    run::{Outcome, RunError, SeedRun},
};

/// Lines of the log that a report ends with.
const TAIL: usize = 30;

/// The report. It is written in the order in which one reads: the verdict, the command that repeats it, what it was
/// about, the faults, the message's life, the end of the log, what to do next.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureReport {
    /// The first broken promise is the verdict; the others come last.
    pub violations: Vec<Violation>,
    /// The seed.
    pub seed: u64,
    /// What identifies the run.
    pub origin: Origin,
    /// Hash of the event log; empty when the run panicked.
    pub fingerprint: String,
    /// What was planned to break.
    pub faults: Vec<Fate>,
    /// The life of the message that the verdict is about, if it is about one.
    pub biography: Option<String>,
    /// The end of the log.
    pub log_tail: Vec<String>,
}

/// What a run was a run of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The scenario, as the command line takes it: its name or its file.
    pub scenario: String,
    /// Digest of all the scenario says.
    pub digest: String,
    /// The engine.
    pub engine: &'static str,
    /// Revision of the sources.
    pub revision: String,
    /// The planted defect, if any.
    pub sabotage: Option<&'static str>,
}

impl Origin {
    /// The command that crashes at these points again; `seed` if it was not the scenario's own.
    #[must_use]
    pub fn crash_point_command(&self, seed: Option<u64>, points: &Points) -> String {
        let mut command = format!("cargo sim crash-points {}", quoted(&self.scenario));
        if let Some(seed) = seed {
            command.push_str(&format!(" --seed {seed}"));
        }
        command.push_str(&format!(" --only {points}"));
        if let Some(name) = self.sabotage {
            command.push_str(&format!(" --sabotage {name}"));
        }
        command
    }

    /// The command that makes a failing seed small.
    #[must_use]
    pub fn shrink_command(&self, seed: u64) -> String {
        let mut command = format!("cargo sim shrink {} --seed {seed}", quoted(&self.scenario));
        if let Some(name) = self.sabotage {
            command.push_str(&format!(" --sabotage {name}"));
        }
        command
    }

    /// The command that runs a seed again, and says whether it is the same run.
    #[must_use]
    pub fn replay_command(&self, seed: u64, fingerprint: &str) -> String {
        let mut command = format!("cargo sim replay {} --seed {seed}", quoted(&self.scenario));
        if let Some(name) = self.sabotage {
            command.push_str(&format!(" --sabotage {name}"));
        }
        if !fingerprint.is_empty() {
            command.push_str(&format!(" --expect-fingerprint {fingerprint}"));
        }
        command
    }
}

/// Names go as they are; the path of a file may need quotes.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

impl FailureReport {
    /// The report of a run, `None` when every promise held.
    #[must_use]
    pub fn of(run: &SeedRun, origin: &Origin, result: &Result<Outcome, RunError>) -> Option<Self> {
        Some(match result {
            Err(error) => Self::empty(vec![Outcome::violation_of(error)], run.seed, origin.clone()),
            Ok(outcome) if outcome.verdict.violations.is_empty() => return None,
            Ok(outcome) => Self {
                fingerprint: outcome.fingerprint.clone(),
                faults: fates(outcome),
                biography: biography(run, outcome),
                log_tail: tail(outcome),
                ..Self::empty(outcome.verdict.violations.clone(), run.seed, origin.clone())
            },
        })
    }

    const fn empty(violations: Vec<Violation>, seed: u64, origin: Origin) -> Self {
        Self {
            violations,
            seed,
            origin,
            fingerprint: String::new(),
            faults: Vec::new(),
            biography: None,
            log_tail: Vec::new(),
        }
    }

    /// The report of a run that something else than a seed identifies: `command` repeats it.
    pub fn with_command(&self, command: &str) -> impl fmt::Display {
        fmt::from_fn(move |f| self.write(f, command))
    }

    /// The verdict in one line.
    #[must_use]
    pub fn verdict(&self) -> String {
        self.violations.first().map_or_else(|| "every promise held".into(), told)
    }
}

/// A broken promise in one line.
#[must_use]
pub fn told(violation: &Violation) -> String {
    let Violation { promise, at_ms, subject, detail, .. } = violation;
    format!("{promise} violated at {}: {subject}: {detail}", SimTime(*at_ms))
}

fn biography(run: &SeedRun, outcome: &Outcome) -> Option<String> {
    let stamp = outcome.verdict.violations.first()?.ledger.as_ref()?;
    let obligations = run.scenario.obligations();
    Some(Ledger::fold(&outcome.history, &obligations).biography(stamp).to_string())
}

fn tail(outcome: &Outcome) -> Vec<String> {
    let lines: Vec<_> = lines(&outcome.history, View::Busy).collect();
    lines[lines.len().saturating_sub(TAIL)..].iter().map(ToString::to_string).collect()
}

impl fmt::Display for FailureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &self.origin.replay_command(self.seed, &self.fingerprint))?;
        writeln!(f, "\nto make it small\n  {}", self.origin.shrink_command(self.seed))
    }
}

impl FailureReport {
    fn write(&self, f: &mut fmt::Formatter<'_>, command: &str) -> fmt::Result {
        let Origin { scenario, digest, engine, revision, sabotage } = &self.origin;
        writeln!(f, "{}\n", self.verdict())?;
        writeln!(f, "  {command}")?;
        writeln!(f, "  scenario {scenario} (digest {digest}), engine {engine}, revision {revision}")?;
        if let Some(name) = sabotage {
            writeln!(f, "  with a planted defect: {name}")?;
        }
        writeln!(f, "\nfaults")?;
        for (number, fate) in self.faults.iter().enumerate() {
            writeln!(f, "  {number}. {}: {}", fate.planned, fate.times)?;
        }
        if self.faults.is_empty() {
            writeln!(f, "  none")?;
        }
        if let Some(biography) = &self.biography {
            writeln!(f, "\nlife of {}", biography.trim_end())?;
        }
        if !self.log_tail.is_empty() {
            writeln!(f, "\nend of the log")?;
        }
        for line in &self.log_tail {
            writeln!(f, "  {line}")?;
        }
        if let Some((_, others)) = self.violations.split_first().filter(|(_, others)| !others.is_empty()) {
            writeln!(f, "\nfurther violations: {}", others.len())?;
            for violation in others.iter().take(TAIL) {
                writeln!(f, "  {}", told(violation))?;
            }
        }
        Ok(())
    }
}
