//! `cargo sim shrink`: a failing seed made small and written as a scenario file.

use std::{
    io::Write as _,
    num::NonZero,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{
    Unusable, Verdict,
    options::{Engine, jobs, length, sabotage},
    output::write_file,
    selection::one,
    time_limit::TimeLimit,
};
use crate::{
    framework::all_cores,
    {report::failure::Origin, shrink::Shrunk},
};

/// Which seed, how long to try, and where to write what is left of it.
#[derive(Debug, Args)]
pub struct ShrinkOptions {
    /// Name or file of the scenario
    scenario: String,
    /// The seed
    #[arg(long)]
    seed: u64,
    /// The engine to run
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// Try nothing more after this time
    #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "60s")]
    lasts: Duration,
    /// How many runs at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = jobs)]
    jobs: Option<NonZero<usize>>,
    /// Where to write the small scenario [default: NAME-SEED.toml]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Plant this defect in the broker
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<&'static str>,
}

/// Makes the seed small, writes what is left, and tells it.
///
/// # Errors
/// The scenario is unusable, the seed fails for another reason than the planted defect, or something cannot be written.
pub fn shrink(options: &ShrinkOptions) -> Result<Verdict, Unusable> {
    let selected = one(&options.scenario)?;
    let limit = TimeLimit::new(Some(options.lasts));
    let run = selected.seed(options.seed, options.sabotage);
    let jobs = options.jobs.unwrap_or_else(all_cores);
    let shrunk = Shrunk::of(&run, jobs, &|| limit.is_over())?;
    let (text, verdict) = match shrunk {
        None => (format!("nothing to shrink: every promise holds under seed {}\n", options.seed), Verdict::Held),
        Some(shrunk) => {
            let origin = selected.origin(options.engine.name(), options.sabotage);
            let name = || PathBuf::from(format!("{}-{}.toml", selected.scenario.name, options.seed));
            let file = options.out.clone().unwrap_or_else(name);
            (written(&shrunk, origin, &file, limit.why())?, Verdict::Violated)
        }
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))?;
    Ok(verdict)
}

/// Writes the file; gives what is to be told. `why` says why the search has ended if it did so early.
fn written(shrunk: &Shrunk, origin: Origin, file: &Path, why: &str) -> Result<String, Unusable> {
    let origin = Origin { scenario: file.display().to_string(), ..origin };
    write_file(file, &shrunk.to_toml(&origin))?;
    Ok(shrunk.told(&origin, file, why))
}
