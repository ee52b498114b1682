//! `cargo sim list`: the scenarios there are, or the situations that one may demand of its runs, or the sites of the
//! code that a fault may strike.

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _};

use super::{Unusable, Verdict, selection::every};
use crate::{
    report::faults::kind,
    scenario::{points::NOT_REACHED, reached::reachable, sites::SITES},
    schedule::expand,
};

/// What is listed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ListOptions {
    /// Instead of scenarios, the situations and points of the code that `[expect] reached` may name
    #[arg(long)]
    situations: bool,
    /// Instead of scenarios, the sites of the broker's code that a `buggify` fault may name
    #[arg(long, conflicts_with = "situations")]
    sites: bool,
}

/// Prints name, summary and faults of every scenario, or name and meaning of every situation or site.
///
/// # Errors
/// A scenario file is wrong, or there is no output.
pub fn list(options: ListOptions) -> Result<Verdict, Unusable> {
    let text = match options {
        ListOptions { situations: true, .. } => told(reachable()),
        ListOptions { sites: true, .. } => told(SITES.iter().copied()),
        ListOptions { .. } => scenarios()?,
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))?;
    Ok(Verdict::Held)
}

fn told(named: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    named.map(|(name, meaning)| format!("{name}\n  {meaning}\n{}", why_not(name))).collect()
}

/// Why no scenario gets there, where none does.
fn why_not(name: &str) -> String {
    let excused = NOT_REACHED.iter().find(|(excused, _)| *excused == name);
    excused.map_or_else(String::new, |(_, reason)| format!("  no scenario gets there: {reason}\n"))
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
