//! Revive: what becomes of a popped message that nobody acked.
//!
//! [`engine`] is the pure core, [`policy`] says when to try again, [`outcome`] what a failure means. [`apply`] performs
//! a transition in one transaction, [`steps`] are those transactions, and [`service`] drives them: `agenda` holds what
//! is due, `work` gathers it into trips, `results` gathers what they came to, `claims` keeps any from being taken up
//! twice, `returns` tells whose wait is cut short.

mod admission;
mod agenda;
pub mod apply;
mod claims;
pub mod copy;
pub mod engine;
pub mod outcome;
pub mod policy;
mod poppable;
mod results;
mod returns;
pub mod service;
pub mod steps;
pub mod trace;
mod work;

#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod proofs;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod service_tests;

pub use admission::Admission;
pub use engine::{Engine, Reviver};
pub use outcome::ReadOutcome;
pub use policy::RewritePolicy;
pub use service::{Peers, ReviveConfig, ReviveService};
pub use work::checkpoints;
