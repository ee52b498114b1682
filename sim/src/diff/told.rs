//! Two runs side by side, as text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{common, line};
use crate::{
    history::{EventKind, History, Noted},
    report::faults::fates,
    run::Outcome,
};

/// Events that are shown before and after the runs part.
const CONTEXT: usize = 5;
/// Characters of a line that are shown; that of a commit may be very long.
const WIDTH: usize = 240;
/// Characters that are shown before the first that differs, if it would be out of sight.
const LEAD: usize = 60;

/// Where two seeds of a scenario part, with a few events of each, and how many there are of each kind.
#[must_use]
pub fn told(seeds: [u64; 2], runs: [&Outcome; 2]) -> String {
    let (here, there) = (&runs[0].history, &runs[1].history);
    let common = common(here, there);
    let lengths = [here.events.len(), there.events.len()];
    if lengths == [common; 2] {
        let fingerprint = &runs[0].fingerprint;
        return format!("identical: both logs have the same {common} events, fingerprint {fingerprint}\n");
    }
    let mut text = plans(seeds, runs);
    beginning(&mut text, here, common);
    let ends = [here, there].map(|history| history.events.get(common).map(line).unwrap_or_default());
    let differs = first_difference(&ends[0], &ends[1]);
    for (seed, history) in seeds.into_iter().zip([here, there]) {
        going_on(&mut text, seed, history, (common, differs));
    }
    text.push_str(&counts(seeds, runs));
    text
}

/// What breaks in each, unless it is the same.
fn plans(seeds: [u64; 2], runs: [&Outcome; 2]) -> String {
    if runs[0].plan == runs[1].plan {
        return format!("both plans are the same, with {} faults\n", runs[0].plan.faults.len());
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (seed, run) in seeds.into_iter().zip(runs) {
        let _ = writeln!(text, "plan of seed {seed}");
        for (number, fate) in fates(run).iter().enumerate() {
            let _ = writeln!(text, "  {number}. {}: {}", fate.planned, fate.times);
        }
    }
    text
}

fn beginning(text: &mut String, history: &History, common: usize) {
    let _ = match common {
        0 => writeln!(text, "\nthe first event differs already"),
        _ => writeln!(text, "\nthe first {common} events are the same, at last"),
    };
    for event in &history.events[common.saturating_sub(CONTEXT)..common] {
        let _ = writeln!(text, "    {}", clipped(&line(event), 0));
    }
}

fn going_on(text: &mut String, seed: u64, history: &History, (common, differs): (usize, usize)) {
    let left = &history.events[common..];
    if left.is_empty() {
        let _ = writeln!(text, "\nseed {seed} is over");
        return;
    }
    let _ = writeln!(text, "\nseed {seed} goes on with {} events", left.len());
    for (number, event) in left.iter().take(CONTEXT).enumerate() {
        let (mark, from) = if number == 0 { ('>', differs) } else { (' ', 0) };
        let _ = writeln!(text, "  {mark} {}", clipped(&line(event), from));
    }
}

/// The first character in which two lines differ.
fn first_difference(here: &str, there: &str) -> usize {
    here.chars().zip(there.chars()).take_while(|(here, there)| here == there).count()
}

/// As much of a line as is shown, with the character at `wanted` in it.
fn clipped(line: &str, wanted: usize) -> String {
    let from = if wanted < WIDTH { 0 } else { wanted - LEAD };
    let shown: String = line.chars().skip(from).take(WIDTH).collect();
    let (before, after) =
        (if from > 0 { "… " } else { "" }, if line.chars().count() > from + WIDTH { " …" } else { "" });
    format!("{before}{shown}{after}")
}

fn counts(seeds: [u64; 2], runs: [&Outcome; 2]) -> String {
    let [here, there] = runs.map(|run| kinds(&run.history));
    let mut text =
        format!("\n{:<12} {:>12} {:>12}\n", "events", format!("seed {}", seeds[0]), format!("seed {}", seeds[1]));
    let names: BTreeSet<&str> = here.keys().chain(there.keys()).copied().collect();
    let mut row = |name: &str, figures: [usize; 2]| {
        let _ = writeln!(text, "{name:<12} {:>12} {:>12}", figures[0], figures[1]);
    };
    for name in names {
        row(name, [&here, &there].map(|kinds| kinds.get(name).copied().unwrap_or(0)));
    }
    row("all", runs.map(|run| run.history.events.len()));
    row("violations", runs.map(|run| run.verdict.violations.len()));
    text
}

/// How many events of each kind there are.
fn kinds(history: &History) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for event in &history.events {
        if let Some(kind) = kind(&event.kind) {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    kinds
}

const fn kind(kind: &EventKind) -> Option<&'static str> {
    Some(match kind {
        EventKind::Noted(Noted::Sent(_)) => "sends",
        EventKind::Noted(Noted::Popped(_)) => "pops",
        EventKind::Noted(Noted::Acked(_)) => "acks",
        EventKind::Noted(Noted::Renewed(_)) => "renewals",
        EventKind::Noted(Noted::Operated { .. }) => "commands",
        EventKind::Request(_) => "requests",
        EventKind::Response(_) => "responses",
        EventKind::Noted(Noted::Durable { .. } | Noted::Again { .. }) => "log entries",
        EventKind::Synced { .. } => "syncs",
        EventKind::Node { .. } | EventKind::ClockGained { .. } | EventKind::ClockStands { .. } => "of nodes",
        EventKind::Fault { .. } => "of faults",
        EventKind::Noted(Noted::AtRest { .. } | Noted::Scraped(_)) | EventKind::Healed | EventKind::Over => {
            return None;
        }
    })
}
