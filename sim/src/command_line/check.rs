//! `cargo sim check`: whether scenario files are sound.

use std::{io::Write as _, path::PathBuf};

use super::{Unusable, Verdict};
use crate::scenario::{Scenario, ScenarioErrors};

/// Which files.
#[derive(Debug, clap::Args)]
pub struct CheckOptions {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Checks every file and names those that are sound.
///
/// # Errors
/// All that is wrong with any of them.
pub fn check(options: &CheckOptions) -> Result<Verdict, Unusable> {
    let mut errors = Vec::new();
    let mut stdout = std::io::stdout().lock();
    for file in &options.files {
        match Scenario::load(file) {
            Ok(scenario) => {
                writeln!(stdout, "{}: sound (digest {})", file.display(), scenario.digest())
                    .map_err(Unusable::io("stdout"))?;
            }
            Err(more) => errors.extend(more.0),
        }
    }
    if errors.is_empty() { Ok(Verdict::Held) } else { Err(ScenarioErrors(errors).into()) }
}
