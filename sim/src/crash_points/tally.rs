//! The sum of a crash sweep, and its table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::{
    point::{Kind, Point, Points},
    trial::{Judged, Trial},
};
use crate::scenario::Phase;

/// What the trials came to.
#[derive(Debug, Default)]
pub struct Tally {
    rows: BTreeMap<Phase, Row>,
    /// Points at which the run failed, alone or together with a second crash.
    failed: BTreeSet<Point>,
    /// The trials that failed, in the order of the sweep.
    pub failures: Vec<(Points, String)>,
}

/// How many trials there were, and how many of them failed.
#[derive(Debug, Default, Clone, Copy)]
struct Cell {
    run: u64,
    failed: u64,
}

#[derive(Debug, Default)]
struct Row {
    kinds: [Cell; Kind::ALL.len()],
    pairs: Cell,
}

impl Tally {
    /// Adds a trial.
    pub fn add(&mut self, trial: &Trial, judged: &Judged) {
        let row = self.rows.entry(trial.first().phase).or_default();
        let kind = Kind::ALL.iter().position(|kind| *kind == trial.first().point.kind).unwrap_or(0);
        let cell = if trial.is_pair() { &mut row.pairs } else { &mut row.kinds[kind] };
        cell.run += 1;
        if let Some(verdict) = &judged.verdict {
            cell.failed += 1;
            self.failed.insert(trial.first().point.clone());
            self.failures.push((trial.points(), verdict.clone()));
        }
    }

    /// How many points were crashed at.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.rows.values().flat_map(|row| row.kinds).map(|cell| cell.run).sum()
    }

    /// At how many of them the run failed, alone or together with a second crash.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.len() as u64
    }

    /// How many pairs were run, and how many of them failed.
    #[must_use]
    pub fn pairs(&self) -> (u64, u64) {
        let pairs = self.rows.values().map(|row| row.pairs);
        pairs.fold((0, 0), |(run, failed), cell| (run + cell.run, failed + cell.failed))
    }

    /// How many points each phase has.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, u64)> {
        self.rows.iter().map(|(phase, row)| (*phase, row.kinds.iter().map(|cell| cell.run).sum()))
    }

    /// The phases of `wanted` that have no point.
    pub fn empty<'w>(&self, wanted: &'w [Phase]) -> impl Iterator<Item = Phase> + use<'_, 'w> {
        wanted.iter().copied().filter(|phase| self.phases().all(|(known, points)| known != *phase || points == 0))
    }
}

/// Points and failures per phase and kind.
///
/// `for_terminal` chooses nicer lines; otherwise the same sweep always gives the same text.
#[must_use]
pub fn table(tally: &Tally, for_terminal: bool) -> String {
    let mut table = Table::new();
    table.load_style(if for_terminal { presets::UTF8_HORIZONTAL_ONLY } else { presets::ASCII_MARKDOWN });
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["phase"].into_iter().chain(Kind::ALL.iter().map(|kind| kind.name())).chain(["points", "pairs"]));
    let mut sum = Row::default();
    for (phase, row) in &tally.rows {
        table.add_row(cells(phase.name(), row));
        sum.pairs.add(row.pairs);
        sum.kinds.iter_mut().zip(row.kinds).for_each(|(sum, cell)| sum.add(cell));
    }
    table.add_row(cells("all", &sum));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

fn cells(name: &str, row: &Row) -> Vec<String> {
    let mut points = Cell::default();
    row.kinds.iter().for_each(|cell| points.add(*cell));
    let figures = row.kinds.iter().copied().chain([points, row.pairs]);
    std::iter::once(name.to_owned()).chain(figures.map(Cell::told)).collect()
}

impl Cell {
    const fn add(&mut self, other: Self) {
        self.run += other.run;
        self.failed += other.failed;
    }

    fn told(self) -> String {
        let mut text = if self.run == 0 { "-".to_owned() } else { self.run.to_string() };
        if self.failed > 0 {
            let _ = write!(text, " ({} failed)", self.failed); // writing to a String cannot fail
        }
        text
    }
}
