//! Whether a run is the same in a process of its own: P11, which no single history shows.
//!
//! The run it is compared with comes from this process, usually after other seeds, so what one seed leaves behind for
//! the next is noticed too. The whole logs are compared, byte by byte: equal lengths or equal ends prove nothing.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use super::Unusable;
use crate::{
    history::{History, fingerprint::write_line},
    oracles::Violation,
    plan::SimMs,
    run::{Outcome, RunError, SeedRun, culprit_of},
};

/// The first place where two logs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Line, from 1.
    pub line: usize,
    /// When it happened here, simulated ms.
    pub at_ms: SimMs,
    /// The line here; `None` when the log has ended.
    pub here: Option<String>,
    /// The line there; `None` when the log has ended.
    pub there: Option<String>,
}

/// Adds a violation of P11 to a run that is not the same in a process of its own. `scenario` is the scenario's file.
///
/// # Errors
/// The other process cannot be started or read.
pub fn check(run: &SeedRun, scenario: &Path, result: &mut Result<Outcome, RunError>) -> Result<(), Unusable> {
    let Ok(outcome) = result else { return Ok(()) };
    let what = || format!("the second process of seed {}", run.seed);
    let mut child =
        event_log(run, scenario)?.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(Unusable::io(what()))?;
    let difference = match child.stdout.take() {
        Some(stdout) => first_difference(&outcome.history, BufReader::new(stdout)),
        None => Ok(None), // cannot be: it was asked for right above
    };
    // Reading may have ended early; a child that writes on finds its pipe closed and ends.
    let status = child.wait().map_err(Unusable::io(what()))?;
    let difference = difference.map_err(Unusable::io(what()))?;
    let (at_ms, detail) = match difference {
        Some(difference) => (difference.at_ms, format!("{difference}{}", culprits(run, scenario, &difference)?)),
        None if !status.success() => (0, format!("the second process ended with {status}")),
        None => return Ok(()),
    };
    outcome.verdict.violations.push(Violation {
        promise: "P11",
        at_ms,
        subject: "the run".into(),
        detail,
        ledger: None,
    });
    Ok(())
}

/// The command that writes the event log of a run in a process of its own.
fn event_log(run: &SeedRun, scenario: &Path) -> Result<Command, Unusable> {
    let program = std::env::current_exe().map_err(Unusable::io("this program"))?;
    let mut command = Command::new(program);
    command.arg("event-log").arg(scenario).args(["--seed", &run.seed.to_string()]);
    if let Some(name) = run.sabotage {
        command.args(["--sabotage", name]);
    }
    Ok(command)
}

/// Who did what differs, here and there. Either may be another one in the runs that are made to find out, if what differs
/// is not the same each time.
fn culprits(run: &SeedRun, scenario: &Path, difference: &Difference) -> Result<String, Unusable> {
    let here = culprit_of(run.clone(), difference.line)?;
    let there = event_log(run, scenario)?.args(["--culprit", &difference.line.to_string()]).output();
    let there = there.map_err(Unusable::io("another process of the run"))?;
    let here = here.map_or_else(|| "nobody".to_owned(), |culprit| culprit.to_string());
    Ok(format!("\n  here by {here}\n  there by {}", String::from_utf8_lossy(&there.stdout).trim_end()))
}

/// Where a history and a log part, if they do.
///
/// # Errors
/// The log cannot be read.
pub fn first_difference(history: &History, mut log: impl BufRead) -> std::io::Result<Option<Difference>> {
    let (mut here, mut there) = (String::new(), Vec::new());
    let mut at_ms = 0;
    let mut events = history.events.iter();
    for line in 1.. {
        here.clear();
        there.clear();
        let event = events.next();
        if let Some(event) = event {
            write_line(&mut here, event);
            at_ms = event.at_ms;
        }
        log.read_until(b'\n', &mut there)?;
        if here.as_bytes() != there {
            let there = (!there.is_empty()).then(|| String::from_utf8_lossy(&there).trim_end().to_owned());
            let here = event.map(|_| here.trim_end().to_owned());
            return Ok(Some(Difference { line, at_ms, here, there }));
        }
        if event.is_none() {
            break;
        }
    }
    Ok(None)
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ended = "the log has ended";
        writeln!(f, "two processes differ first in line {} of the event log", self.line)?;
        writeln!(f, "  here:  {}", self.here.as_deref().unwrap_or(ended))?;
        write!(f, "  there: {}", self.there.as_deref().unwrap_or(ended))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::history::{Event, EventKind};

    fn history(events: usize) -> History {
        let event = |at: usize| Event { at_ms: at as u64, kind: EventKind::Healed };
        History { events: (0..events).map(event).collect() }
    }

    fn log(events: usize) -> Vec<u8> {
        let mut log = String::new();
        history(events).events.iter().for_each(|event| write_line(&mut log, event));
        log.into_bytes()
    }

    #[test]
    fn equal_logs_do_not_differ() {
        assert_eq!(first_difference(&history(3), log(3).as_slice()).unwrap(), None);
        assert_eq!(first_difference(&history(0), log(0).as_slice()).unwrap(), None);
    }

    #[test]
    fn a_log_that_ends_early_differs() {
        let shorter = first_difference(&history(3), log(2).as_slice()).unwrap().unwrap();
        assert_eq!((shorter.line, shorter.there), (3, None));
        let longer = first_difference(&history(2), log(3).as_slice()).unwrap().unwrap();
        assert_eq!((longer.line, longer.here), (3, None));
    }

    #[test]
    fn the_first_changed_line_is_shown_from_both_sides() {
        let changed = String::from_utf8(log(3)).unwrap().replacen("1 Healed", "1 Hurt", 1);
        let difference = first_difference(&history(3), changed.as_bytes()).unwrap().unwrap();
        assert_eq!((difference.line, difference.at_ms), (2, 1));
        let text = difference.to_string();
        assert!(text.contains("1 Healed") && text.contains("1 Hurt") && text.contains("line 2"), "{text}");
    }
}
