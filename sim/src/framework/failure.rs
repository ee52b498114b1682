//! The report of a failing seed: what is broken, how to see it again, what struck, how it ended.

use std::fmt::Write as _;

use super::{
    oracle::Violation,
    run::{Ran, violations_of},
    scenario::{Scenario, Witness},
};
use crate::plan::Fault;

/// Lines of the log that a report ends with.
const TAIL: usize = 20;

/// A seed that broke a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The first one is the verdict.
    pub violations: Vec<Violation>,
    /// Hash of all that happened; empty when the run panicked.
    pub fingerprint: String,
    /// What was planned, and whether it struck.
    pub faults: Vec<(Fault, bool)>,
    /// How the log ends.
    pub tail: Vec<String>,
}

impl Failure {
    /// `None` when every promise held.
    pub fn of<S: Scenario>(seed: u64, ran: &Ran<S>) -> Option<Self> {
        let violations = violations_of(ran);
        if violations.is_empty() {
            return None;
        }
        let mut failure = Self { seed, violations, fingerprint: String::new(), faults: Vec::new(), tail: Vec::new() };
        if let Ok(outcome) = ran {
            failure.fingerprint.clone_from(&outcome.fingerprint);
            let faults = outcome.plan.faults.iter().enumerate();
            failure.faults = faults.map(|(at, fault)| (fault.clone(), !outcome.unfired.contains(&at))).collect();
            let log = S::Witness::lines(&outcome.history);
            let lines: Vec<&str> = log.lines().collect();
            failure.tail = lines[lines.len().saturating_sub(TAIL)..].iter().map(ToString::to_string).collect();
        }
        Some(failure)
    }

    /// The report; `command` is what runs the scenario, to which the options that repeat this seed are added.
    #[must_use]
    pub fn told(&self, command: &str) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for Violation { promise, at_ms, subject, detail, .. } in &self.violations {
            let _ = writeln!(text, "BROKEN {promise}: {subject}: {detail} (at {at_ms} ms, seed {})", self.seed);
        }
        let _ = writeln!(text, "\nreplay: {}", self.replay_command(command));
        let _ = writeln!(text, "shrink: {command} --seed {} --shrink\n", self.seed);
        for (fault, has_struck) in &self.faults {
            let _ = writeln!(text, "fault: {fault:?}{}", if *has_struck { "" } else { ", which never struck" });
        }
        let _ = writeln!(text);
        self.tail.iter().for_each(|line| text.extend([line, "\n"]));
        text
    }

    fn replay_command(&self, command: &str) -> String {
        let expected = match self.fingerprint.as_str() {
            "" => String::new(),
            fingerprint => format!(" --expect-fingerprint {fingerprint}"),
        };
        format!("{command} --seed {}{expected}", self.seed)
    }
}
