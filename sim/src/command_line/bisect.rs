//! `cargo sim bisect`: the event of a failing seed after which nothing could save it.

use std::{io::Write as _, num::NonZero, time::Duration};

use clap::Args;

use super::{
    Unusable, Verdict,
    options::{Engine, futures, jobs, length, sabotage},
    selection::one,
    time_limit::TimeLimit,
};
use crate::{bisect, framework::all_cores};

/// Which seed, and how hard to look.
#[derive(Debug, Args)]
pub struct BisectOptions {
    /// Name or file of the scenario
    scenario: String,
    /// The seed
    #[arg(long)]
    seed: u64,
    /// The engine to run
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// How many futures must fail where there is no return; four times as many where it is found
    #[arg(long, value_name = "N", value_parser = futures, default_value = "12")]
    futures: NonZero<u64>,
    /// Try nothing more after this time
    #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "60s")]
    lasts: Duration,
    /// How many runs at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = jobs)]
    jobs: Option<NonZero<usize>>,
    /// Plant this defect in the broker
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<&'static str>,
}

/// Looks for the seed's point of no return and tells it.
///
/// # Errors
/// The scenario is unusable, or the run came to nothing.
pub fn bisect(options: &BisectOptions) -> Result<Verdict, Unusable> {
    let selected = one(&options.scenario)?;
    let limit = TimeLimit::new(Some(options.lasts));
    let run = selected.seed(options.seed, options.sabotage);
    let jobs = options.jobs.unwrap_or_else(all_cores);
    let found = bisect::bisect(&run, options.futures, jobs, &|| limit.is_over())?;
    let (text, verdict) = match found {
        None => (format!("nothing to look for: every promise holds under seed {}\n", options.seed), Verdict::Held),
        Some((whole, moment)) => {
            let origin = selected.origin(options.engine.name(), options.sabotage);
            (bisect::told(&run, &origin, &whole, &moment, limit.why()), Verdict::Violated)
        }
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))?;
    Ok(verdict)
}
