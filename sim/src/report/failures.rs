//! The failing seeds of a sweep, grouped by kind: a thousand failures of one kind are one thing to look at.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::SeedRecord;

/// Kinds of failures that are told with an example; of more it is told how many there are.
const TOLD: usize = 10;

/// The failing seeds of a scenario by the kind of their verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures(BTreeMap<String, Group>);

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// How many seeds failed so.
    pub count: u64,
    /// The one with the fewest faults, and of those the first.
    #[serde(flatten)]
    pub smallest: Failed,
}

/// A failing seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Which.
    pub seed: u64,
    /// How many faults its plan has.
    pub faults: usize,
    /// Its first violation in one line.
    pub verdict: String,
    /// The command that runs it again.
    pub command: String,
}

impl Failures {
    /// Adds a seed if it failed; its plan has so many faults, and `command` runs it again.
    pub fn add(&mut self, record: &SeedRecord, faults: usize, command: impl FnOnce() -> String) {
        let Some(first) = record.violations.first() else { return };
        let verdict = format!("{} {}: {}", first.promise, first.subject, first.detail);
        let failed = Failed { seed: record.seed, faults, verdict, command: command() };
        match self.0.get_mut(&first.signature) {
            Some(group) => {
                group.count += 1;
                if (failed.faults, failed.seed) < (group.smallest.faults, group.smallest.seed) {
                    group.smallest = failed;
                }
            }
            None => drop(self.0.insert(first.signature.clone(), Group { count: 1, smallest: failed })),
        }
    }

    /// Each kind and its failures.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.0.iter().map(|(kind, group)| (kind.as_str(), group))
    }

    /// What failed, for people: each kind with its smallest example. They are those of `scenario`.
    #[must_use]
    pub fn told(&self, scenario: &str) -> String {
        let mut text = String::new();
        for (kind, Group { count, smallest: Failed { seed, faults, verdict, command } }) in self.kinds().take(TOLD) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n{scenario}, {} failed: {kind}", number(*count, "seed"));
            let _ = writeln!(text, "  seed {seed}, {}: {verdict}\n  {command}", number(*faults as u64, "fault"));
        }
        let more = self.0.len().saturating_sub(TOLD);
        if more > 0 {
            let seeds = self.0.values().skip(TOLD).map(|group| group.count).sum();
            let (kinds, seeds) = (number(more as u64, "more kind"), number(seeds, "seed"));
            let _ = writeln!(text, "\n{scenario}: {kinds} of failures in {seeds}");
        }
        text
    }
}

fn number(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::record::ViolationRecord;

    fn record(seed: u64, kind: &str) -> SeedRecord {
        let (subject, detail, signature) = (format!("p#{seed}"), "lost".into(), kind.to_owned());
        let violation = ViolationRecord { promise: "P1".into(), at: 1.0, subject, detail, signature };
        SeedRecord { seed, violations: vec![violation], ..SeedRecord::default() }
    }

    fn failures(seeds: &[(u64, usize, &str)]) -> Failures {
        let mut failures = Failures::default();
        for (seed, faults, kind) in seeds {
            failures.add(&record(*seed, kind), *faults, || format!("replay {seed}"));
        }
        failures
    }

    #[test]
    fn the_smallest_of_a_kind_stands_for_it_in_whatever_order_they_come() {
        let mut seeds = [(1, 3, "P1: a"), (2, 1, "P1: b"), (3, 2, "P1: a"), (4, 2, "P1: a")];
        let found = failures(&seeds);
        let told: Vec<_> = found
            .kinds()
            .map(|(kind, group)| (kind, group.count, group.smallest.seed, group.smallest.faults))
            .collect();
        assert_eq!(told, [("P1: a", 3, 3, 2), ("P1: b", 1, 2, 1)]);
        seeds.reverse();
        assert_eq!(failures(&seeds), found);
    }

    #[test]
    fn of_many_kinds_the_rest_is_counted() {
        let kinds: Vec<String> = (10..24).map(|kind| format!("P1: {kind}")).collect();
        let seeds: Vec<(u64, usize, &str)> = (1..).zip(&kinds).map(|(seed, kind)| (seed, 1, kind.as_str())).collect();
        let told = failures(&seeds).told("calm");
        assert_eq!(told.matches("  replay ").count(), TOLD);
        assert!(
            told.starts_with("\ncalm, 1 seed failed: P1: 10\n  seed 1, 1 fault: P1 p#1: lost\n  replay 1\n"),
            "{told}"
        );
        assert!(told.ends_with("\ncalm: 4 more kinds of failures in 4 seeds\n"), "{told}");
    }

    #[test]
    fn what_held_is_no_failure() {
        let mut failures = Failures::default();
        failures.add(&SeedRecord::default(), 1, String::new);
        assert_eq!((failures.kinds().count(), failures.told("calm")), (0, String::new()));
    }
}
