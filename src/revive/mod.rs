//! Revive: what becomes of a popped message that nobody acked.
//!
//! [`engine`] is the pure core, [`policy`] says when to try again, [`outcome`] what a failure means. [`apply`] performs
//! a transition in one transaction, [`steps`] are those transactions, and [`service`] drives them.

pub mod apply;
pub mod copy;
pub mod engine;
pub mod outcome;
pub mod policy;
pub mod service;
pub mod steps;
pub mod trace;
mod work;

#[cfg(test)]
mod change_tests;
#[cfg(test)]
pub(crate) mod samples;

pub use engine::{Engine, Reviver};
pub use outcome::ReadOutcome;
pub use policy::RewritePolicy;
pub use service::{Peers, ReviveConfig, ReviveService};
