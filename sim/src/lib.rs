//! pop-sim

#[cfg(not(madsim))]
compile_error!(
    "pop-sim runs under simulation only: build it with `--cfg madsim`, which the repository's .cargo/config.toml sets unless a RUSTFLAGS variable overrides it; unset RUSTFLAGS, or add `--cfg madsim` to it"
);

pub mod evidence;
pub mod history;
pub mod ledger;
pub mod oracles;
pub mod plan;
