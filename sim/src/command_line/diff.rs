//! `cargo sim diff`: where two seeds of a scenario part.

use std::io::Write as _;

use clap::Args;

use super::{
    Unusable, Verdict,
    options::{Engine, sabotage},
    selection::one,
};
use crate::{diff, run::run_seed};

/// Which two runs.
#[derive(Debug, Args)]
pub struct DiffOptions {
    /// Name or file of the scenario
    scenario: String,
    /// The two seeds; twice the same one runs it twice, and must come to the same
    #[arg(long, value_names = ["A", "B"], num_args = 2, required = true)]
    seed: Vec<u64>,
    /// The engine to run
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// Plant this defect in the broker, in both runs
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<&'static str>,
}

/// Runs both and tells where they part. That two seeds do breaks no promise; that one seed does breaks P11.
///
/// # Errors
/// The scenario is unusable, or a run came to nothing.
pub fn diff(options: &DiffOptions) -> Result<Verdict, Unusable> {
    let selected = one(&options.scenario)?;
    let [first, second] = options.seed[..] else {
        // The parser lets no other number through.
        return Err(Unusable::Options("accepted: two seeds, --seed A B".into()));
    };
    let run = |seed| run_seed(selected.seed(seed, options.sabotage));
    let runs = (run(first)?, run(second)?);
    let text = diff::told([first, second], [&runs.0, &runs.1]);
    std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))?;
    let is_broken = first == second && runs.0.fingerprint != runs.1.fingerprint;
    Ok(if is_broken { Verdict::Violated } else { Verdict::Held })
}
