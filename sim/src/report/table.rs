//! The table that ends a sweep.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::{Grid, Tally, grid::number};
use crate::plan::SimMs;

/// The sweep as a table, with below it what failed, what was not reached and what never struck.
///
/// `for_terminal` chooses nicer lines; otherwise the same sweep always gives the same text.
#[must_use]
pub fn table(tallies: &[Tally], for_terminal: bool) -> String {
    let mut table = Table::new();
    table.load_style(if for_terminal { presets::UTF8_HORIZONTAL_ONLY } else { presets::ASCII_MARKDOWN });
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "scenario",
        "seeds",
        "simulated",
        "violations",
        "lost",
        "duplicated",
        "charges",
        "revived",
        "parked",
        "rewrites",
        "faults",
        "verdict",
    ]);
    for tally in tallies {
        table.add_row(row(tally));
    }
    for column in table.column_iter_mut().skip(1).take(10) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{table}\n");
    for tally in tallies {
        below(&mut text, tally);
    }
    text.push_str(&times(tallies));
    text.push_str(&phases(tallies));
    text.push_str(&last_line(tallies));
    text
}

/// How long it took: the middle, what nine of ten stayed below, and the most.
fn times(tallies: &[Tally]) -> String {
    let mut text = String::new();
    for tally in tallies {
        for (name, times) in tally.times.iter().filter(|(_, times)| !times.is_empty()) {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |share: usize| seconds(times[((times.len() - 1) * share).div_ceil(100)]);
            let (half, most, all, count) = (at(50), at(90), at(100), times.len());
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {:<24}{name:<20}{count:>6}{half:>10}{most:>10}{all:>10}", tally.scenario);
        }
    }
    if text.is_empty() {
        return text;
    }
    let head = format!("  {:<24}{:<20}{:>6}{:>10}{:>10}{:>10}", "", "", "times", "median", "90 %", "most");
    format!("\nhow long it took, simulated:\n{head}\n{text}")
}

fn seconds(ms: SimMs) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// In which phases faults struck.
fn phases(tallies: &[Tally]) -> String {
    match Grid::of(tallies).text(number) {
        grid if grid.is_empty() => grid,
        grid => format!("\nin which phase how many faults struck:\n{grid}"),
    }
}

fn row(tally: &Tally) -> [String; 12] {
    let verdict = match tally {
        tally if tally.violations > 0 => format!("VIOLATED in {} of {} seeds", tally.failed_seeds, tally.seeds),
        tally if !tally.passed() => "NOT REACHED".into(),
        _ => "held".into(),
    };
    [
        tally.scenario.clone(),
        tally.seeds.to_string(),
        hours(tally.sim_seconds),
        tally.violations.to_string(),
        tally.lost.to_string(),
        tally.duplicated.to_string(),
        tally.charges.to_string(),
        tally.revived.to_string(),
        tally.parked.to_string(),
        tally.rewrites.to_string(),
        tally.faults_fired.to_string(),
        verdict,
    ]
}

/// Whole minutes, as `45h46m`.
fn hours(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    format!("{}h{:02}m", minutes / 60, minutes % 60)
}

fn below(text: &mut String, tally: &Tally) {
    text.push_str(&tally.failures.told(&tally.scenario));
    // Writing to a String cannot fail.
    let excuse = if tally.is_large() { "" } else { " (too few seeds to count as a failure)" };
    for unmet in &tally.unmet {
        let _ = write!(text, "\n{}: {unmet}{excuse}\n", tally.scenario);
    }
    for kind in tally.never_fired() {
        let _ = write!(text, "\n{}: this fault never fired: {kind}\n", tally.scenario);
    }
}

fn last_line(tallies: &[Tally]) -> String {
    let seeds: u64 = tallies.iter().map(|tally| tally.seeds).sum();
    let violated = tallies.iter().filter(|tally| tally.violations > 0).count();
    let unreached = tallies.iter().filter(|tally| tally.violations == 0 && !tally.passed()).count();
    let of = tallies.len();
    match (violated, unreached) {
        _ if seeds == 0 => "\nno seed was run\n".to_owned(),
        (0, 0) => format!("\nall promises held in {seeds} seeds of {of} scenarios\n"),
        (0, _) => format!("\nall promises held, but {unreached} of {of} scenarios did not get where they should\n"),
        _ => format!("\npromises were broken in {violated} of {of} scenarios\n"),
    }
}
