//! A deterministic simulator: a world of simulated nodes, networks, clocks and disks that breaks by plan, under oracles
//! that judge what comes out.
//!
//! [`framework`] is what any system can be tested with, and where to begin with one of your own. It stands on [`world`],
//! [`faults`], [`plan`], [`random`] and [`history`], which know nothing of brokers. Everything else is its largest user: the
//! simulator of `pop-revive`, with scenarios in files, a ledger of messages, an oracle for each promise, and `cargo sim`.

#[cfg(not(madsim))]
compile_error!(
    "pop-sim runs under simulation only: build it with `--cfg madsim`, which the repository's .cargo/config.toml sets unless a RUSTFLAGS variable overrides it; unset RUSTFLAGS, or add `--cfg madsim` to it"
);

pub mod bisect;
pub mod command_line;
pub mod crash_points;
mod dice;
pub mod diff;
pub mod evidence;
pub mod explore;
pub mod faults;
pub mod follow;
pub mod framework;
pub mod history;
pub mod ledger;
pub mod oracles;
pub(crate) mod phases;
pub mod plan;
pub mod random;
pub mod report;
pub mod run;
pub mod sabotages;
pub mod scenario;
pub mod schedule;
pub mod shrink;
pub mod state;
pub mod trace;
pub mod twin;
pub mod workload;
pub mod world;
