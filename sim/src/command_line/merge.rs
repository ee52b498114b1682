//! `cargo sim merge`: the results of shards, and of sweeps that were interrupted, as one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Unusable, Verdict,
    options::{Engine, Format, sabotage},
    output::{Failed, Output},
    selection::one,
};
use crate::report::{
    Tally,
    expectations::unmet,
    failure::Origin,
    kept::{Kept, KeptSeed, Sweep},
};

/// Which results.
#[derive(Debug, Args)]
pub struct MergeOptions {
    /// Folders that `run --out` wrote
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// How to tell the results
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Results that cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A folder without results.
    #[error("{}: no results in it; accepted: a folder that `cargo sim run --out` wrote", .0.display())]
    Empty(PathBuf),
    /// Something else is in a file.
    #[error("{}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        cause: crate::report::kept::Unreadable,
    },
    /// Not even the first line was written.
    #[error("{}: nothing was written yet; run its sweep again, which goes on", .0.display())]
    NotBegun(PathBuf),
    /// A file whose sweep was interrupted.
    #[error("{}: {has} of {of} seeds; run the same sweep again, which goes on with the others", path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// How many seeds it has.
        has: u64,
        /// How many it should have.
        of: u64,
    },
    /// Results that do not belong together.
    #[error("{} does not belong to {}: {why}", path.display(), other.display())]
    Mixed {
        /// A file.
        path: PathBuf,
        /// One before it.
        other: PathBuf,
        /// In what they differ.
        why: String,
    },
    /// A part of a sweep is not there.
    #[error("{name}, seeds {from}..{to}: part {missing} of {of} is missing; accepted: the folders of all parts")]
    Incomplete {
        /// The scenario.
        name: String,
        /// First seed.
        from: u64,
        /// One after the last.
        to: u64,
        /// Which part.
        missing: u64,
        /// Of how many.
        of: u64,
    },
    /// One seed came to two ends: the broken promise is P11.
    #[error("{name}, seed {seed}: its fingerprint is {first} in one file and {second} in {}", path.display())]
    TwoEnds {
        /// The scenario.
        name: String,
        /// The seed.
        seed: u64,
        /// One fingerprint.
        first: String,
        /// The other.
        second: String,
        /// The second file.
        path: PathBuf,
    },
    /// The scenario is not the one that was run.
    #[error("{path}: its digest is {is}, the results are of {was}; accepted: the scenario as it was run")]
    Changed {
        /// The scenario.
        path: String,
        /// Its digest.
        is: String,
        /// That of the results.
        was: String,
    },
}

/// Joins the results and tells them as the sweep would have.
///
/// # Errors
/// Results are missing, unfinished, of different sources, or of a scenario that has changed.
pub fn merge(options: &MergeOptions) -> Result<Verdict, Unusable> {
    let mut files = Vec::new();
    for folder in &options.folders {
        files.extend(read(folder)?);
    }
    belong_together(&files)?;
    are_complete(&files)?;
    let mut output = Output::new(options.format, None, false)?;
    let mut tallies = Vec::new();
    for (sweep, seeds) in joined(files)? {
        tallies.push(tally(&mut output, &sweep, seeds)?);
    }
    let verdict = if tallies.iter().all(Tally::passed) { Verdict::Held } else { Verdict::Violated };
    output.finish(&tallies)?;
    Ok(verdict)
}

type File = (PathBuf, Kept);

/// The files of results in a folder, in order of name.
fn read(folder: &Path) -> Result<Vec<File>, Unusable> {
    let list = fs::read_dir(folder).map_err(Unusable::io(folder.display()))?;
    let mut paths = Vec::new();
    for entry in list {
        paths.push(entry.map_err(Unusable::io(folder.display()))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    if paths.is_empty() {
        return Err(MergeError::Empty(folder.into()).into());
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).map_err(Unusable::io(path.display()))?;
        match Kept::read(&text) {
            Ok(Some(kept)) => Ok((path, kept)),
            Ok(None) => Err(MergeError::NotBegun(path).into()),
            Err(cause) => Err(MergeError::Unreadable { path, cause }.into()),
        }
    };
    paths.into_iter().map(read).collect()
}

/// Whether all results are of the same sources; of each scenario the first file is the measure.
fn belong_together(files: &[File]) -> Result<(), MergeError> {
    let mut firsts: BTreeMap<&str, &File> = BTreeMap::new();
    for file in files {
        let first = *firsts.entry(&file.1.sweep.name).or_insert(file);
        for (other, measure) in [&files[0], first] {
            if let Some(why) = file.1.sweep.differs_from(&measure.sweep) {
                return Err(MergeError::Mixed { path: file.0.clone(), other: other.clone(), why });
            }
        }
    }
    Ok(())
}

/// Whether every part of each sweep is there, with all its seeds: what was not run has not held. Where time decided how much
/// was run, there is no whole that something could lack.
fn are_complete(files: &[File]) -> Result<(), MergeError> {
    let mut parts: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
    for (path, kept) in files {
        let Sweep { name, seeds, shard: (number, of), of: Some(seeds_of_part), .. } = &kept.sweep else { continue };
        parts.entry((name.as_str(), *seeds, *of)).or_default().insert(*number);
        let has = kept.seeds.iter().map(|it| it.record.seed).collect::<BTreeSet<_>>().len() as u64;
        if has < *seeds_of_part {
            return Err(MergeError::Unfinished { path: path.clone(), has, of: *seeds_of_part });
        }
    }
    for ((name, (from, to), of), numbers) in parts {
        if let Some(missing) = (1..=of).find(|number| !numbers.contains(number)) {
            return Err(MergeError::Incomplete { name: name.into(), from, to, missing, of });
        }
    }
    Ok(())
}

/// A seed's result, and the folder that may have the report of its failure.
type Found = (KeptSeed, PathBuf);

/// All seeds of a scenario.
type Joined = (Sweep, BTreeMap<u64, Found>);

/// The seeds of each scenario in order, each once.
fn joined(files: Vec<File>) -> Result<Vec<Joined>, MergeError> {
    let mut scenarios: BTreeMap<String, Joined> = BTreeMap::new();
    for (path, Kept { sweep, seeds, .. }) in files {
        let name = sweep.name.clone();
        let (_, known) = scenarios.entry(name.clone()).or_insert_with(|| (sweep, BTreeMap::new()));
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        for seed in seeds {
            let (number, second) = (seed.record.seed, seed.record.fingerprint.clone());
            let (first, _) = known.entry(number).or_insert_with(|| (seed, folder.clone()));
            if first.record.fingerprint != second {
                let first = first.record.fingerprint.clone();
                return Err(MergeError::TwoEnds { name, seed: number, first, second, path });
            }
        }
    }
    Ok(scenarios.into_values().collect())
}

fn tally(output: &mut Output, sweep: &Sweep, seeds: BTreeMap<u64, Found>) -> Result<Tally, Unusable> {
    let scenario = one(&sweep.scenario)?.scenario;
    if scenario.digest() != sweep.digest {
        let (path, is, was) = (sweep.scenario.clone(), scenario.digest(), sweep.digest.clone());
        return Err(MergeError::Changed { path, is, was }.into());
    }
    let Sweep { scenario: called, digest, revision, .. } = sweep.clone();
    let planted = sweep.sabotage.as_deref().map(sabotage).transpose();
    let sabotage =
        planted.map_err(|accepted| Unusable::Options(format!("a planted defect of the results: {accepted}")))?;
    let origin = Origin { scenario: called, digest, engine: Engine::Ours.name(), revision, sabotage };
    let mut tally = Tally::new(&sweep.name);
    for (seed, folder) in seeds.into_values() {
        let command = || origin.replay_command(seed.record.seed, &seed.record.fingerprint);
        tally.add(&seed.record, &seed.faults, command);
        let failed = Failed::of_kept(&seed.record, &folder);
        output.seed(&seed, failed.as_ref())?;
    }
    tally.unmet = unmet(&scenario.expect, &tally);
    Ok(tally)
}
