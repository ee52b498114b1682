//! Proofs of terms and merges: what a group of two and the group that keeps the chains of its acting slave can come to.
//!
//! Every log is real: each of its entries is written by the step that writes it in a broker, on a store that was recovered
//! from the log so far. What lies between the logs, the network and what members have in memory, is a model.

#![allow(clippy::unwrap_used, reason = "tests")]

mod deeds;
mod exploration;
mod logs;
mod mutants;
mod steps;
mod three;
mod world;
