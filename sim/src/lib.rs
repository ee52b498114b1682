//! The deterministic simulator of `pop-revive`: a world of simulated nodes, networks, clocks and disks that breaks by
//! plan.

#[cfg(not(madsim))]
compile_error!(
    "pop-sim runs under simulation only: build it with `--cfg madsim`, which the repository's .cargo/config.toml sets unless a RUSTFLAGS variable overrides it; unset RUSTFLAGS, or add `--cfg madsim` to it"
);

pub mod bisect;
pub mod command_line;
pub mod crash_points;
pub mod diff;
pub mod evidence;
pub mod explore;
pub mod faults;
pub mod follow;
pub mod history;
pub mod ledger;
pub mod oracles;
pub mod plan;
pub mod random;
pub mod report;
pub mod run;
pub mod sabotages;
pub mod scenario;
pub mod schedule;
pub mod shrink;
pub mod state;
pub mod twin;
pub mod workload;
pub mod world;
