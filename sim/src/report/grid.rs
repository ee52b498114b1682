//! Which fault struck in which phase of the recovery path, over a whole sweep. An empty cell was never tested.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde::Serialize;

use super::{Tally, kept::Fired};
use crate::scenario::Phase;

/// How often faults of each kind struck in each phase.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Grid(BTreeMap<String, BTreeMap<Phase, u64>>);

/// Width of a cell, which a count of four digits leaves room in.
const CELL: usize = 6;

impl Grid {
    /// Counts what became of a planned fault.
    pub fn add(&mut self, fired: &Fired) {
        let row = self.0.entry(fired.fault.clone()).or_default();
        for phase in &fired.phases {
            *row.entry(*phase).or_default() += 1;
        }
    }

    /// Of all scenarios of a sweep.
    #[must_use]
    pub fn of(tallies: &[Tally]) -> Self {
        let mut grid = Self::default();
        tallies.iter().for_each(|tally| grid.merge(&tally.grid));
        grid
    }

    /// Adds another grid's counts.
    pub fn merge(&mut self, other: &Self) {
        for (fault, counts) in &other.0 {
            let row = self.0.entry(fault.clone()).or_default();
            for (phase, count) in counts {
                *row.entry(*phase).or_default() += count;
            }
        }
    }

    /// How often a fault of that kind struck in that phase.
    #[must_use]
    pub fn count(&self, fault: &str, phase: Phase) -> u64 {
        self.0.get(fault).and_then(|row| row.get(&phase)).copied().unwrap_or(0)
    }

    /// A line for each kind of fault, a column for each phase in which one struck; `cell` writes a count. Empty if no fault
    /// was planned.
    #[must_use]
    pub fn text(&self, cell: impl Fn(u64) -> String) -> String {
        let struck: BTreeSet<Phase> = self.0.values().flat_map(BTreeMap::keys).copied().collect();
        let first = self.0.keys().map(String::len).max().unwrap_or(0);
        let mut text = String::new();
        // Writing to a String cannot fail. Names stand upright, or they would not fit a terminal.
        let height = struck.iter().map(|phase| phase.name().len()).max().unwrap_or(0);
        for line in 0..height {
            let letter = |phase: &Phase| phase.name().chars().nth((line + phase.name().len()).wrapping_sub(height));
            let letters = struck.iter().map(|phase| format!("{:>CELL$}", letter(phase).unwrap_or(' ')));
            let _ = writeln!(text, "{}", format!("{:first$}{}", "", letters.collect::<String>()).trim_end());
        }
        for (fault, counts) in &self.0 {
            let count = |phase: &Phase| counts.get(phase).copied().unwrap_or(0);
            let cells = struck.iter().map(|phase| format!("{:>CELL$}", cell(count(phase))));
            let _ = writeln!(text, "{fault:first$}{}", cells.collect::<String>());
        }
        text
    }
}

/// A count; nothing is a dot.
#[must_use]
pub fn number(count: u64) -> String {
    if count == 0 { "·".to_owned() } else { count.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(fault: &str, phases: &[Phase]) -> Fired {
        let (fault, kind) = (fault.to_owned(), String::new());
        Fired { fault, kind, fired: !phases.is_empty(), phases: phases.iter().copied().collect() }
    }

    #[test]
    fn a_sweep_s_grid_has_a_line_for_each_fault_and_a_column_for_each_phase() {
        let (mut one, mut other) = (Grid::default(), Grid::default());
        one.add(&fired("kill", &[Phase::Pop, Phase::Send]));
        one.add(&fired("kill", &[Phase::Pop]));
        other.add(&fired("lost-answer", &[Phase::Send]));
        other.add(&fired("pause", &[]));
        one.merge(&other);
        assert_eq!((one.count("kill", Phase::Pop), one.count("pause", Phase::Pop)), (2, 0));
        let text = "                s     \n                e     p\n                n     o\n                d     p\n\
                    kill            1     2\nlost-answer     1     ·\npause           ·     ·\n";
        let expected: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(one.text(number).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_sweep_without_faults_has_no_grid() {
        assert_eq!(Grid::default().text(number), "");
    }
}
