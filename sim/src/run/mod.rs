//! One run of a cluster: a scenario and a seed become a history and a verdict.

mod cluster;
pub mod culprit;
mod damage;
mod observer;
mod outstanding;
mod progress;
mod remoting;
pub mod seed;
pub mod sweep;
mod turn;

pub use cluster::OPERATOR;
pub use culprit::Culprit;
pub use remoting::Remoting;
pub use seed::{Outcome, SeedRun, culprit_of, run_future, run_seed};
pub use turn::Turn;

pub use crate::framework::RunError;
