//! `cargo sim event-log`: the event log of one seed, line by line, for comparing processes.

use std::io::{BufWriter, Write as _};

use super::{Unusable, Verdict, interrupt, options::sabotage, selection::one};
use crate::{
    history::fingerprint::lines,
    run::{culprit_of, run_seed},
};

/// Which seed.
#[derive(Debug, clap::Args)]
pub struct EventLogOptions {
    /// Name or file of the scenario
    scenario: String,
    /// The seed
    #[arg(long)]
    seed: u64,
    /// Tell who did what is noted in this line, instead of printing lines
    #[arg(long, value_name = "LINE")]
    culprit: Option<usize>,
    /// Plant this defect
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<&'static str>,
}

/// Runs the seed and prints its log.
///
/// # Errors
/// The scenario is unusable, or the run came to nothing.
pub fn event_log(options: &EventLogOptions) -> Result<Verdict, Unusable> {
    // A sweep that compares processes ends with whole seeds.
    interrupt::leave_to_parent();
    let selected = one(&options.scenario)?;
    let run = selected.seed(options.seed, options.sabotage);
    let mut stdout = BufWriter::new(std::io::stdout().lock());
    if let Some(line) = options.culprit {
        let told = culprit_of(run, line)?.map_or_else(|| "nobody".into(), |culprit| culprit.to_string());
        writeln!(stdout, "{told}").map_err(Unusable::io("stdout"))?;
        stdout.flush().map_err(Unusable::io("stdout"))?;
        return Ok(Verdict::Held);
    }
    let outcome = run_seed(run)?;
    stdout.write_all(lines(&outcome.history).as_bytes()).map_err(Unusable::io("stdout"))?;
    stdout.flush().map_err(Unusable::io("stdout"))?;
    Ok(Verdict::Held)
}
