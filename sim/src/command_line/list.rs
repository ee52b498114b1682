//! `cargo sim list`: the scenarios there are.

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _};

use super::{Unusable, Verdict, selection::every};
use crate::{report::faults::kind, schedule::expand};

/// Prints name, summary and faults of every scenario.
///
/// # Errors
/// A scenario file is wrong.
pub fn list() -> Result<Verdict, Unusable> {
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
    std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))?;
    Ok(Verdict::Held)
}
