//! One run: a scenario and a seed become a history and a verdict.

mod cluster;
pub mod fingerprint;
mod observer;
mod progress;
pub mod seed;
pub mod sweep;
mod turn;

pub use cluster::OPERATOR;
pub use seed::{Outcome, RunError, SeedRun, run_future, run_seed};
pub use turn::Turn;
