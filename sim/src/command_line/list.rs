//! `cargo sim list`: the scenarios there are, or the situations that one may demand of its runs.

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _};

use super::{Unusable, Verdict, selection::every};
use crate::{report::faults::kind, scenario::reached::reachable, schedule::expand};

/// What is listed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ListOptions {
    /// Instead of scenarios, the situations and points of the code that `[expect] reached` may name
    #[arg(long)]
    situations: bool,
}

/// Prints name, summary and faults of every scenario, or name and meaning of every situation.
///
/// # Errors
/// A scenario file is wrong, or there is no output.
pub fn list(options: ListOptions) -> Result<Verdict, Unusable> {
    let text = if options.situations { situations() } else { scenarios()? };
    std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))?;
    Ok(Verdict::Held)
}

fn situations() -> String {
    reachable().map(|(name, meaning)| format!("{name}\n  {meaning}\n")).collect()
}

fn scenarios() -> Result<String, Unusable> {
    let mut text = String::new();
    for selected in every()? {
        let scenario = &selected.scenario;
        // Seed 1 stands for all: what differs from seed to seed is left out.
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for fault in &expand(scenario, 1).faults {
            *kinds.entry(kind(fault)).or_default() += 1;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}\n  {}", scenario.name, scenario.summary);
        for (kind, times) in kinds {
            let _ = match times {
                1 => writeln!(text, "  - {kind}"),
                _ => writeln!(text, "  - {kind}, {times} times"),
            };
        }
    }
    Ok(text)
}
