//! Which scenarios a command is about, and where they are.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Unusable;
use crate::{
    report::{failure::Origin, revision::revision},
    run::SeedRun,
    scenario::{Scenario, load_all},
};

/// A scenario and how the command line calls it.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Its file.
    pub path: PathBuf,
    /// Its name, or the path if it was asked for by path.
    pub called: String,
}

impl Selected {
    /// What identifies a run of it.
    #[must_use]
    pub fn origin(&self, engine: &'static str, sabotage: Option<&'static str>) -> Origin {
        let (scenario, digest) = (self.called.clone(), self.scenario.digest());
        Origin { scenario, digest, engine, revision: revision(&folder()), sabotage }
    }

    /// One seed of it.
    #[must_use]
    pub fn seed(&self, seed: u64, sabotage: Option<&'static str>) -> SeedRun {
        SeedRun { scenario: self.scenario.clone(), seed, sabotage, until_ms: None }
    }
}

/// The folder of the scenarios: that of the workspace we are in, else of the workspace we were built in.
#[must_use]
pub fn folder() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let is_workspace = |folder: &&Path| folder.join("scenarios").is_dir() && folder.join("Cargo.toml").is_file();
    match here.ancestors().find(is_workspace) {
        Some(workspace) => workspace.join("scenarios"),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios"),
    }
}

/// Every scenario, in order of name.
///
/// # Errors
/// The folder cannot be read, or any of its files is wrong.
pub fn every() -> Result<Vec<Selected>, Unusable> {
    let folder = folder();
    let of = |scenario: Scenario| {
        let path = folder.join(format!("{}.toml", scenario.name));
        Selected { called: scenario.name.clone(), scenario: Arc::new(scenario), path }
    };
    Ok(load_all(&folder)?.into_iter().map(of).collect())
}

/// The scenarios that were asked for by name or by file, in that order and once each; all of them if none was.
///
/// # Errors
/// There is no such scenario, two files have one name, or a file is wrong.
pub fn select(asked: &[String]) -> Result<Vec<Selected>, Unusable> {
    if asked.is_empty() {
        return every();
    }
    let mut selected: Vec<Selected> = Vec::new();
    for asked in asked {
        let next = one(asked)?;
        match selected.iter().find(|known| known.scenario.name == next.scenario.name) {
            Some(known) if known.scenario == next.scenario => {}
            Some(known) => {
                let (first, second) = (known.path.display(), next.path.display());
                return Err(Unusable::Options(format!("{first} and {second} differ but have one name; rename one")));
            }
            None => selected.push(next),
        }
    }
    Ok(selected)
}

/// The scenario of that name, or in that file.
///
/// # Errors
/// There is no such scenario, or its file is wrong.
pub fn one(asked: &str) -> Result<Selected, Unusable> {
    if asked.ends_with(".toml") || asked.contains(std::path::is_separator) {
        let path = PathBuf::from(asked);
        let scenario = Arc::new(Scenario::load(&path)?);
        return Ok(Selected { scenario, path, called: asked.to_owned() });
    }
    let path = folder().join(format!("{asked}.toml"));
    if path.is_file() {
        let scenario = Arc::new(Scenario::load(&path)?);
        return Ok(Selected { scenario, path, called: asked.to_owned() });
    }
    let known: Vec<String> = every()?.into_iter().map(|selected| selected.called).collect();
    let closest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, asked));
    let close = closest.filter(|known| strsim::damerau_levenshtein(known, asked) <= asked.len() / 3);
    let hint = close.map_or_else(String::new, |name| format!(", did you mean \"{name}\"?"));
    Err(Unusable::UnknownScenario { name: asked.to_owned(), hint, known })
}
