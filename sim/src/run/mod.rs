//! One run: a scenario and a seed become a history and a verdict.

mod cluster;
pub mod fingerprint;
mod observer;
mod progress;
pub mod seed;
pub mod sweep;

pub use cluster::OPERATOR;
pub use seed::{Outcome, RunError, SeedRun, run_seed};
