//! What is left of a failing seed, for people and as a file.

use std::{fmt::Write as _, path::Path};

use super::{search::Goal, shrunk::Shrunk};
use crate::{
    report::{
        failure::Origin,
        faults::{describe, span},
    },
    scenario::{Remarks, Scenario},
};

/// The folder of the small failures that are kept.
const REGRESSIONS: &str = "scenarios/regressions";

type Size = fn(&Scenario) -> usize;

/// What a scenario's size is told by.
const SIZES: [(&str, Size); 3] = [
    ("messages", |it| it.producers.iter().map(|producer| producer.messages as usize).sum()),
    ("clients", |it| it.producers.len() + it.consumers.len()),
    ("brokers", |it| it.brokers.iter().map(|broker| 1 + broker.slaves as usize).sum()),
];

impl Shrunk {
    /// The scenario file that fails alike; `origin` is that of the file.
    #[must_use]
    pub fn to_toml(&self, origin: &Origin) -> String {
        let Self { from, case, goal: Goal { signature, sabotage }, .. } = self;
        let defect = sabotage.map_or_else(String::new, |name| format!(", with the planted defect {name}"));
        let found = format!("Shrunk from {}, seed {}", from.scenario.name, from.seed);
        let replay = origin.replay_command(case.seed, "");
        let head = format!(
            "{found}{defect}. It fails as\n  {signature}\n  {replay}\n\
             under this seed alone: the plan below leaves it nothing to choose, but the order of tasks, latencies and what\n\
             clients do are drawn by it."
        );
        let faults = self.necessities.iter().map(ToString::to_string).collect();
        let summary = format!("{found}: {signature}");
        case.with(|it| it.summary = summary).to_toml(&Remarks { head, faults })
    }

    /// What was made of the seed, how to see it fail, and how to keep it; `origin` is that of `file`, and `why` says why the
    /// search has ended if it did so early.
    #[must_use]
    pub fn told(&self, origin: &Origin, file: &Path, why: &str) -> String {
        let mut text = format!("{}\n\n", self.goal.signature);
        self.sizes(&mut text, why);
        self.faults(&mut text);
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\nwritten, and it fails again by");
        let _ = writeln!(text, "  {}", origin.replay_command(self.case.seed, &self.fingerprint));
        let when = if origin.sabotage.is_some() { "it holds without the planted defect" } else { "once it holds" };
        let _ = writeln!(text, "\n{when}: to keep it so, make it a regression, which every `cargo test` runs");
        if !file.parent().is_some_and(|folder| folder.ends_with(REGRESSIONS)) {
            let _ = writeln!(text, "  mv {} {REGRESSIONS}/", file.display());
        }
        let _ = writeln!(text, "  cargo test -p pop-sim --test scenarios regression::{stem}");
        text
    }

    fn sizes(&self, text: &mut String, why: &str) {
        let (from, case) = (&self.from, &self.case);
        let _ = writeln!(text, "  faults    {} → {}", from.plan.faults.len(), case.plan.faults.len());
        for (what, size) in SIZES {
            let _ = writeln!(text, "  {what:<9} {} → {}", size(&from.scenario), size(&case.scenario));
        }
        let (before, after) = (span(from.scenario.duration_ms), span(case.scenario.duration_ms));
        let _ = writeln!(text, "  duration  {before} → {after}");
        let end = match self.is_cut_short {
            true => format!("then {why}; more time (--for) may make the case smaller"),
            false => "and nothing simpler fails alike".to_owned(),
        };
        let _ = writeln!(text, "\nafter {} runs, {end}", self.runs);
    }

    fn faults(&self, text: &mut String) {
        let _ = writeln!(text, "\nfaults");
        for (number, (fault, necessity)) in self.case.plan.faults.iter().zip(&self.necessities).enumerate() {
            let _ = writeln!(text, "  {number}. {}\n     {necessity}", describe(fault));
        }
        if self.case.plan.faults.is_empty() {
            let _ = writeln!(text, "  none: it fails although nothing breaks");
        }
    }
}
