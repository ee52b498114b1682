//! Scenarios: what a broker engineer writes by hand in `scenarios/NAME.toml`, as validated values.
//!
//! A [`Scenario`] says who takes part, what may break and what a sweep must reach. It holds no draw: only together with
//! a seed does it become a [`crate::plan::Plan`], in [`crate::schedule::expand`].

mod cast;
mod check;
mod check_apache;
mod check_crash_points;
mod check_faults;
pub mod error;
mod fault_keys;
mod faults;
mod file;
mod findings;
mod lines;
pub mod phase;
pub mod points;
pub mod reached;
mod shapes;
pub mod sites;
pub mod wire_names;
mod write;
mod write_faults;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use pop_revive::broker::BrokerConfig;
use serde::Serialize;

pub use cast::{
    ApacheSlave, Broker, Consumer, CrashPoints, Expect, Group, NAMESRV, Network, OperatorAction, OperatorStep, Policy,
    Producer, Retention, Settle, Topic, name_server_names, slave_name,
};
pub use error::{Place, Problem, ScenarioError, ScenarioErrors};
pub use faults::{Draw, FaultKind, FaultSpec, HitsSpec, MomentSpec, RpcsSpec, VolumeSpec, WindowSpec};
pub use phase::Phase;
pub use write::Remarks;

use crate::{
    ledger::{GroupSpec, Obligations, PolicySpec},
    plan::{NodeName, SimMs},
};

/// One validated scenario. Everything is resolved: defaults are filled in, names exist, times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scenario {
    /// The stem of its file.
    pub name: String,
    /// One sentence: what breaks and what must hold.
    pub summary: String,
    /// Workload and faults live before this; then everything heals and the run settles.
    pub duration_ms: SimMs,
    /// The seeds that are run when nobody asks for others; empty for the first ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<u64>,
    /// How many name servers there are; they do not talk to each other.
    #[serde(skip_serializing_if = "cast::is_one")]
    pub name_servers: u32,
    /// The brokers; at least one.
    pub brokers: Vec<Broker>,
    /// The topics; at least one.
    pub topics: Vec<Topic>,
    /// The consumer groups.
    pub groups: Vec<Group>,
    /// The producers.
    pub producers: Vec<Producer>,
    /// The consumers.
    pub consumers: Vec<Consumer>,
    /// Rewrite policy of every broker.
    pub policy: Policy,
    /// Usual latency, where it is not that of one data centre.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// What breaks, in the order of the file.
    pub faults: Vec<FaultSpec>,
    /// What a human does, in the order of the file; it is done in order of time.
    pub operators: Vec<OperatorStep>,
    /// What a sweep must reach.
    pub expect: Expect,
    /// The small run in which `cargo sim crash-points` crashes everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash_points: Option<CrashPoints>,
}

impl Scenario {
    /// Reads and checks one file; its stem is the name of the scenario.
    ///
    /// # Errors
    /// All that is wrong with the file, or that it cannot be read.
    pub fn load(path: &Path) -> Result<Self, ScenarioErrors> {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&name, &path.display().to_string(), &text)
    }

    /// Checks the text of a file; `path` is used for messages only.
    ///
    /// # Errors
    /// What is no TOML or has a wrong shape is reported alone; otherwise all that makes no sense, in order of place.
    pub fn parse(name: &str, path: &str, text: &str) -> Result<Self, ScenarioErrors> {
        let file = toml::from_str(text).map_err(|error| ScenarioError::of_reader(path, text, &error))?;
        check::check(name, path, text, &file)
    }

    /// The nodes of its name servers.
    pub fn name_servers(&self) -> impl Iterator<Item = NodeName> + use<> {
        name_server_names(self.name_servers)
    }

    /// What a run of it is judged against.
    pub fn obligations(&self) -> Obligations {
        let group = |group: &Group| GroupSpec {
            name: group.name.clone(),
            topic: group.topic.clone(),
            tag_filter: group.tag.clone(),
            reconsume_limit: i32::try_from(group.max_reconsume).unwrap_or(i32::MAX),
            starts_at_end: group.begins_at_end,
        };
        let keeper = |broker: &Broker| broker.escapes_to.clone().or_else(|| broker.acting_to.clone());
        let escape = |broker: &Broker| Some((broker.name.clone(), keeper(broker)?));
        let slaves =
            self.brokers.iter().flat_map(|broker| broker.slaves().map(|(_, node)| (node, broker.name.clone())));
        let mut slow_syncs_ms = BTreeMap::new();
        for fault in &self.faults {
            if let FaultKind::SlowDisk { node, max_ms, .. } = &fault.what {
                let longest_ms = slow_syncs_ms.entry(node.clone()).or_insert(0);
                *longest_ms = (*max_ms).max(*longest_ms);
            }
        }
        Obligations {
            groups: self.groups.iter().map(group).collect(),
            name_servers: self.name_servers().collect(),
            brokers: self.brokers.iter().map(|broker| broker.name.clone()).collect(),
            slaves: slaves.collect(),
            degrees: self.brokers.iter().map(|broker| (broker.name.clone(), broker.degree)).collect(),
            policy: PolicySpec {
                waits_ms: self.policy.waits_ms.clone(),
                rewrites: self.policy.rewrites,
                total_ms: self.policy.total_ms,
                jitter: self.policy.jitter,
                refusals: self.policy.refusals,
            },
            escapes: self.brokers.iter().filter_map(escape).collect(),
            acting: self.brokers.iter().filter_map(|it| Some((it.name.clone(), it.acting_to.clone()?))).collect(),
            acting_after_ms: BrokerConfig::new("", "", Vec::new()).acting_after_ms,
            chain_windows_ms: self.brokers.iter().map(|broker| (broker.name.clone(), broker.chain_window_ms)).collect(),
            retention: self.brokers.iter().map(|broker| (broker.name.clone(), broker.retention)).collect(),
            slow_syncs_ms,
        }
    }

    /// When the last thing a human does happens, ms; 0 when nobody does anything.
    pub fn last_operator_ms(&self) -> SimMs {
        self.operators.iter().map(|step| step.at_ms).max().unwrap_or(0)
    }

    /// A short digest of everything the scenario says; it tells whether two replays had the same scenario.
    pub fn digest(&self) -> String {
        // Plain values with string keys always serialize; should that ever change, the digest is that of the debug form.
        let canonical = serde_json::to_vec(self).unwrap_or_else(|_| format!("{self:?}").into_bytes());
        blake3::hash(&canonical).to_hex()[..16].to_owned()
    }
}

/// Loads every `*.toml` of a folder, in order of name.
///
/// # Errors
/// All that is wrong with any of the files, that the folder cannot be read, or that it has no scenario.
pub fn load_all(folder: &Path) -> Result<Vec<Scenario>, ScenarioErrors> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|error| unreadable(folder, error))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    if paths.is_empty() {
        return Err(ScenarioError::of_file(folder, Problem::EmptyFolder).into());
    }
    let mut scenarios = Vec::new();
    let mut errors = Vec::new();
    for path in &paths {
        match Scenario::load(path) {
            Ok(scenario) => scenarios.push(scenario),
            Err(more) => errors.extend(more.0),
        }
    }
    if errors.is_empty() { Ok(scenarios) } else { Err(ScenarioErrors(errors)) }
}

/// The JSON Schema of scenario files, for editors.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(file::ScenarioFile).to_value()
}

fn unreadable(path: &Path, error: std::io::Error) -> ScenarioError {
    ScenarioError::of_file(path, Problem::Unreadable(error))
}
