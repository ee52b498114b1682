//! `cargo sim twin`: the same seeds in worlds that differ in one respect, and whether they come to the same.

use std::{fmt::Write as _, io::Write as _, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    Unusable, Verdict,
    options::{length, sabotage},
    selection::{Selected, select},
    time_limit::TimeLimit,
};
use crate::{
    history::LedgerId,
    twin::{Compared, Divergence, Parted, Settled, Twin, compare},
};

/// Messages that are told with their lives; of more the number is told.
const TOLD: usize = 3;

/// Which seeds, and what they are compared with.
#[derive(Debug, Args)]
pub struct TwinOptions {
    /// Names or files of scenarios [default: all]
    scenarios: Vec<String>,
    /// What the other world is like [default: each in turn]
    #[arg(long, value_enum)]
    against: Option<Against>,
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 10)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    from_seed: u64,
    /// Compare no further seed after this time
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    lasts: Option<Duration>,
    /// Plant this defect in both worlds; they should part
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Against {
    /// Nothing breaks
    Faultless,
    /// Every broker keeps the chains of its own messages
    Local,
}

impl Against {
    const fn twin(self) -> Twin {
        match self {
            Self::Faultless => Twin::Faultless,
            Self::Local => Twin::Local,
        }
    }
}

/// Compares the seeds with their twins.
///
/// # Errors
/// A scenario is unusable, or a run came to nothing.
pub fn twin(options: &TwinOptions) -> Result<Verdict, Unusable> {
    let limit = TimeLimit::new(options.lasts);
    let twins: Vec<Twin> = options.against.map_or(Twin::ALL.to_vec(), |against| vec![against.twin()]);
    let (mut verdict, mut unrun) = (Verdict::Held, 0);
    for selected in select(&options.scenarios)? {
        for twin in &twins {
            let pair = compared(options, (&selected, *twin), limit)?;
            let result = if pair.parted.is_empty() {
                "the same ends"
            } else {
                verdict = Verdict::Violated;
                "DIFFERENT ends"
            };
            let (name, twin, Pair { seeds, owed, parted }) = (&selected.called, twin.name(), pair);
            unrun += options.seeds - seeds;
            if seeds > 0 {
                print(&format!("{name} against {twin}: {seeds} seeds, {owed} messages, {result}\n{parted}"))?;
            }
        }
    }
    if unrun > 0 {
        print(&format!("{}: {unrun} seeds were not compared\n", limit.why()))?;
    }
    Ok(verdict)
}

fn print(text: &str) -> Result<(), Unusable> {
    std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))
}

/// What came of a scenario and one other world.
#[derive(Default)]
struct Pair {
    /// Seeds that were compared.
    seeds: u64,
    /// Messages that both worlds owe.
    owed: usize,
    /// How seeds part, for people.
    parted: String,
}

/// Compares the seeds of a scenario, as far as the time allows.
fn compared(options: &TwinOptions, (selected, twin): (&Selected, Twin), limit: TimeLimit) -> Result<Pair, Unusable> {
    let mut pair = Pair::default();
    let from = options.from_seed;
    for seed in (from..from.saturating_add(options.seeds)).take_while(|_| !limit.is_over()) {
        let compared = compare(&selected.seed(seed, options.sabotage), twin)?;
        pair.seeds += 1;
        pair.owed += compared.owed;
        if !compared.parted.is_empty() {
            tell(&mut pair.parted, (selected, seed, twin), &compared);
        }
    }
    Ok(pair)
}

/// Tells how a seed and its twin part. Writing to a String cannot fail.
fn tell(text: &mut String, (selected, seed, twin): (&Selected, u64, Twin), compared: &Compared) {
    let (name, other) = (&selected.called, twin.name());
    let _ = writeln!(text, "  seed {seed}: cargo sim twin {name} --against {other} --from-seed {seed} --seeds 1");
    if let Some(Divergence { line, here, there }) = &compared.divergence {
        let ended = "the log has ended";
        let _ = writeln!(text, "  the first event that differs is line {line} of the log");
        let _ = writeln!(text, "    here:  {}", here.as_deref().unwrap_or(ended));
        let _ = writeln!(text, "    there: {}", there.as_deref().unwrap_or(ended));
    }
    for Parted { ledger, group, here, there, lives } in compared.parted.iter().take(TOLD) {
        let LedgerId(ledger) = ledger;
        let _ = writeln!(text, "  {ledger} for {group}: {} here, {} there", told(here), told(there));
        let _ = write!(text, "  here\n{}  there\n{}", lives.0, lives.1);
    }
    let more = compared.parted.len().saturating_sub(TOLD);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
}

fn told(ends: &Settled) -> String {
    if ends.is_empty() {
        return "without an end".to_owned();
    }
    ends.iter().map(|end| end.name()).collect::<Vec<_>>().join(" and ")
}
