//! `cargo sim`: sweeps, replays, and what one asks before either.

pub mod bisect;
pub mod check;
pub mod crash_points;
pub mod determinism;
pub mod diff;
pub mod event_log;
pub mod explore;
pub mod interrupt;
pub mod list;
pub mod merge;
pub mod options;
pub mod output;
pub mod replay;
pub mod results;
pub mod run;
pub mod schema;
pub mod selection;
pub mod shrink;
pub mod time_limit;
pub mod twin;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::scenario::ScenarioErrors;

/// Breaks pop-revive by seed and judges what comes out. Without a command: a few seeds of every scenario.
#[derive(Debug, Parser)]
#[command(
    name = "cargo sim",
    version,
    after_help = "Exit codes: 0 all promises held, 1 a violation, 2 unusable input, 130 interrupted before a violation was found."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run many seeds
    Run(run::RunOptions),
    /// Run one seed in this fresh process, with everything visible
    Replay(replay::ReplayOptions),
    /// Make a failing seed small and write it as a scenario file
    Shrink(shrink::ShrinkOptions),
    /// Lose power at every numbered point of a small run in turn
    CrashPoints(crash_points::CrashPointsOptions),
    /// Look for what nobody has thought of: random clusters, workloads and faults
    Explore(explore::ExploreOptions),
    /// Compare seeds with the same seeds in a world without faults, or with local reads only
    Twin(twin::TwinOptions),
    /// Show where two seeds of a scenario part
    Diff(diff::DiffOptions),
    /// Find the event of a failing seed after which it fails whatever comes
    Bisect(bisect::BisectOptions),
    /// Join the results of shards, and of sweeps that were interrupted
    Merge(merge::MergeOptions),
    /// Show the scenarios there are, or the situations that one may demand of its runs
    List(list::ListOptions),
    /// Check scenario files
    Check(check::CheckOptions),
    /// Print the JSON Schema of scenario files, for editors
    Schema,
    /// Print the event log of one seed
    #[command(hide = true)]
    EventLog(event_log::EventLogOptions),
}

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All promises held.
    Held,
    /// A promise was broken, or an expectation was not met.
    Violated,
}

/// Why a command could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Scenario files with errors, or none.
    #[error("{0}")]
    Scenarios(#[from] ScenarioErrors),
    /// No such scenario.
    #[error("there is no scenario \"{name}\"{hint}; accepted: {}, or the path of a .toml file", known.join(", "))]
    UnknownScenario {
        /// What was asked for.
        name: String,
        /// The name that was probably meant, in words.
        hint: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Options that make no sense together.
    #[error("{0}")]
    Options(String),
    /// Something could not be written or read.
    #[error("{what}: {error}")]
    Io {
        /// What.
        what: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// A result could not be written as JSON.
    #[error("no JSON for a result")]
    Json(#[from] serde_json::Error),
    /// A seed cannot be made small.
    #[error(transparent)]
    Shrink(#[from] crate::shrink::ShrinkError),
    /// Results that cannot be joined.
    #[error(transparent)]
    Merge(#[from] merge::MergeError),
    /// Results that cannot be gone on with.
    #[error(transparent)]
    Results(#[from] results::ResultsError),
    /// A seed has no moments.
    #[error(transparent)]
    Bisect(#[from] crate::bisect::BisectError),
    /// A message that the run has not.
    #[error(transparent)]
    Message(#[from] crate::follow::UnknownMessage),
    /// A run came to nothing.
    #[error(transparent)]
    Run(#[from] crate::run::RunError),
}

impl Unusable {
    /// Adds what was being written or read to an I/O error.
    fn io(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Io { what: what.to_string(), error }
    }
}

/// Reads the command line, does what it says, and tells the exit code: 0 all held, 1 violated, 2 unusable input, 130 if it
/// was interrupted and all held so far, for that is no answer to what was asked.
#[must_use]
pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    trace_if_asked();
    let result = match line.command {
        None => run::run(&run::RunOptions::default()),
        Some(Command::Run(options)) => run::run(&options),
        Some(Command::Replay(options)) => replay::replay(&options),
        Some(Command::Shrink(options)) => shrink::shrink(&options),
        Some(Command::CrashPoints(options)) => crash_points::crash_points(&options),
        Some(Command::Explore(options)) => explore::run(&options),
        Some(Command::Twin(options)) => twin::twin(&options),
        Some(Command::Diff(options)) => diff::diff(&options),
        Some(Command::Bisect(options)) => bisect::bisect(&options),
        Some(Command::Merge(options)) => merge::merge(&options),
        Some(Command::List(options)) => list::list(options),
        Some(Command::Check(options)) => check::check(&options),
        Some(Command::Schema) => schema::schema(),
        Some(Command::EventLog(options)) => event_log::event_log(&options),
    };
    match result {
        Ok(Verdict::Held) if interrupt::has_come() => ExitCode::from(interrupt::INTERRUPTED),
        Ok(Verdict::Held) => ExitCode::SUCCESS,
        Ok(Verdict::Violated) => ExitCode::from(1),
        Err(error) => {
            // Who closes the pipe has read enough and needs no explanation.
            if !matches!(&error, Unusable::Io { error, .. } if error.kind() == std::io::ErrorKind::BrokenPipe) {
                eprintln!("error: {error}");
            }
            ExitCode::from(2)
        }
    }
}

/// The broker's own log goes to stderr when `RUST_LOG` asks for it. No real time in it: runs live in simulated time.
fn trace_if_asked() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_default_env() {
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).without_time();
        log.with_ansi(false).init();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_options_are_consistent() {
        CommandLine::command().debug_assert();
    }
}
