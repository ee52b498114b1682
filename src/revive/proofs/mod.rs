//! Proofs of the pure core: any order of events by chance ([`any_order`]), every order in a small world ([`exploration`]),
//! and defective cores ([`mutants`]) that both must reject.

#![allow(clippy::unwrap_used, reason = "tests")]

mod any_order;
mod exploration;
mod mutants;
mod play;
