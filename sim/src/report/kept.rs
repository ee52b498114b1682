//! Results of a sweep as they are kept in a file: which sweep it is, then one line for each seed.
//!
//! A line is written whole or not at all: what an interrupted sweep left of one is no line.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    SeedRecord,
    faults::{Fate, fates},
    hits::hits,
};
use crate::{
    run::Outcome,
    scenario::{Phase, Scenario},
};

/// Which seeds of which scenario a file is about, and all that their results depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Name of the scenario.
    pub name: String,
    /// The scenario, as the command line takes it: its name or its file.
    pub scenario: String,
    /// Digest of all the scenario says.
    pub digest: String,
    /// The engine.
    pub engine: String,
    /// Revision of the sources.
    pub revision: String,
    /// The planted defect, if any.
    pub sabotage: Option<String>,
    /// The first seed of the range, and the one after its last.
    pub seeds: (u64, u64),
    /// Which part of the sweep, from 1, and of how many.
    pub shard: (u64, u64),
    /// How many seeds of the range this part has; unknown when time decides.
    pub of: Option<u64>,
}

impl Sweep {
    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        let Self { name, seeds: (from, to), .. } = self;
        match self.shard {
            (1, 1) => format!("{name}.{from}..{to}.jsonl"),
            (number, of) => format!("{name}.{from}..{to}.{number}-of-{of}.jsonl"),
        }
    }

    /// In what another sweep differs, in words; `None` if their results may stand in one table.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> Option<String> {
        let mut pairs = vec![("engine", &self.engine, &other.engine), ("revision", &self.revision, &other.revision)];
        if self.name == other.name {
            pairs.push(("scenario", &self.scenario, &other.scenario));
            pairs.push(("digest of the scenario", &self.digest, &other.digest));
        }
        let none = "none".to_owned();
        pairs.push((
            "planted defect",
            self.sabotage.as_ref().unwrap_or(&none),
            other.sabotage.as_ref().unwrap_or(&none),
        ));
        let differs = pairs.into_iter().find(|(_, here, there)| here != there);
        differs.map(|(what, here, there)| format!("its {what} is {here}, not {there}"))
    }
}

/// The result of one seed, with what only a tally asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptSeed {
    /// Its result, as everywhere.
    #[serde(flatten)]
    pub record: SeedRecord,
    /// The planned faults.
    pub faults: Vec<Fired>,
}

/// A planned fault, without what a seed draws.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// The word for its kind, as in a scenario file.
    pub fault: String,
    /// What was planned.
    pub kind: String,
    /// Whether it struck.
    pub fired: bool,
    /// In which phases it did.
    pub phases: BTreeSet<Phase>,
}

impl Fired {
    /// What became of each fault of a run's plan.
    #[must_use]
    pub fn of(outcome: &Outcome, scenario: &Scenario) -> Vec<Self> {
        let fates = outcome.plan.faults.iter().zip(fates(outcome)).zip(hits(outcome, scenario));
        fates
            .map(|((fault, fate), phases)| {
                let Fate { kind, fired, .. } = fate;
                Self { fault: fault.kind().to_owned(), kind, fired, phases }
            })
            .collect()
    }
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Head {
    sweep: Sweep,
}

/// A file that is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Which sweep.
    pub sweep: Sweep,
    /// The seeds, in the order of the file.
    pub seeds: Vec<KeptSeed>,
    /// How many bytes of the file are whole lines.
    pub whole: usize,
}

/// A file that holds something else.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is no {expected} that `cargo sim run --out` writes: {cause}")]
pub struct Unreadable {
    line: usize,
    expected: &'static str,
    #[source]
    cause: serde_json::Error,
}

impl Kept {
    /// Reads a file; `None` if not even its first line was written whole.
    ///
    /// # Errors
    /// A line that was written whole is another one than expected.
    pub fn read(text: &str) -> Result<Option<Self>, Unreadable> {
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = text[..whole].lines();
        let Some(head) = lines.next() else { return Ok(None) };
        let unreadable = |line, expected| move |cause| Unreadable { line, expected, cause };
        let Head { sweep } = serde_json::from_str(head).map_err(unreadable(1, "head"))?;
        let seeds =
            lines.enumerate().map(|(at, line)| serde_json::from_str(line).map_err(unreadable(at + 2, "result")));
        Ok(Some(Self { sweep, seeds: seeds.collect::<Result<_, _>>()?, whole }))
    }
}

/// The first line of a sweep's file, with its end.
///
/// # Errors
/// Never, for what a sweep is.
pub fn head_line(sweep: &Sweep) -> serde_json::Result<String> {
    Ok(format!("{}\n", serde_json::to_string(&Head { sweep: sweep.clone() })?))
}

/// A seed's line, with its end.
///
/// # Errors
/// Never, for values that a run yields.
pub fn seed_line(seed: &KeptSeed) -> serde_json::Result<String> {
    Ok(format!("{}\n", serde_json::to_string(seed)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn sweep() -> Sweep {
        let (name, digest) = ("calm".to_owned(), "0123".to_owned());
        let (engine, revision) = ("ours".into(), "abc".into());
        let (seeds, shard) = ((1, 51), (1, 1));
        Sweep { scenario: name.clone(), name, digest, engine, revision, sabotage: None, seeds, shard, of: Some(50) }
    }

    fn seed(seed: u64) -> KeptSeed {
        let record = SeedRecord {
            scenario: "calm".into(),
            engine: "ours".into(),
            seed,
            sim_seconds: 1230.1,
            ..SeedRecord::default()
        };
        let (fault, kind) = ("kill".into(), "kill a at a time".into());
        let fired = Fired { fault, kind, fired: true, phases: BTreeSet::from([Phase::RemoteRead]) };
        KeptSeed { record, faults: vec![fired] }
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let text = head_line(&sweep()).unwrap() + &seed_line(&seed(1)).unwrap() + &seed_line(&seed(2)).unwrap();
        let kept = Kept::read(&text).unwrap().unwrap();
        assert_eq!(kept, Kept { sweep: sweep(), seeds: vec![seed(1), seed(2)], whole: text.len() });
    }

    #[test]
    fn a_line_that_was_cut_is_none() {
        let (head, line) = (head_line(&sweep()).unwrap(), seed_line(&seed(1)).unwrap());
        for cut in 0..line.len() {
            let kept = Kept::read(&format!("{head}{}", &line[..cut])).unwrap().unwrap();
            assert_eq!((kept.seeds.len(), kept.whole), (0, head.len()));
        }
        assert_eq!(Kept::read(&head[..head.len() - 1]).unwrap(), None);
    }

    #[test]
    fn another_file_is_told_with_its_line() {
        let told = |text: &str| Kept::read(text).unwrap_err().to_string();
        assert!(told("{}\n").starts_with("line 1 is no head"), "{}", told("{}\n"));
        let text = head_line(&sweep()).unwrap() + "{\"seed\":7}\n";
        assert!(told(&text).starts_with("line 2 is no result"), "{}", told(&text));
    }

    #[test]
    fn sweeps_of_other_sources_do_not_stand_in_one_table() {
        let other = |change: fn(&mut Sweep)| {
            let mut other = sweep();
            change(&mut other);
            sweep().differs_from(&other)
        };
        assert_eq!(other(|it| it.shard = (2, 4)), None);
        assert_eq!(other(|it| it.revision = "def".into()).as_deref(), Some("its revision is abc, not def"));
        assert_eq!(other(|it| it.sabotage = Some("x".into())).as_deref(), Some("its planted defect is none, not x"));
        assert!(other(|it| it.digest = "9".into()).is_some());
        assert_eq!(other(|it| (it.name, it.digest) = ("other".into(), "9".into())), None);
    }
}
