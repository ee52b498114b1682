//! Scenarios: what a broker engineer writes by hand in `scenarios/NAME.toml`, as validated values.
//!
//! A [`Scenario`] says who takes part, what may break and what a sweep must reach. It holds no draw: only together with
//! a seed does it become a [`crate::plan::Plan`], in [`crate::schedule::expand`].

mod cast;
mod faults;
pub mod reached;
pub mod wire_names;

use serde::Serialize;

pub use cast::{
    Broker, Consumer, Expect, Group, NAMESRV, Network, OperatorAction, OperatorStep, Policy, Producer, Settle, Topic,
};
pub use faults::{Draw, FaultKind, FaultSpec, HitsSpec, MomentSpec, RpcsSpec, WindowSpec};

use crate::plan::SimMs;

/// One validated scenario. Everything is resolved: defaults are filled in, names exist, times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scenario {
    /// The stem of its file.
    pub name: String,
    /// One sentence: what breaks and what must hold.
    pub summary: String,
    /// Workload and faults live before this; then everything heals and the run settles.
    pub duration_ms: SimMs,
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
    /// Usual latency.
    pub network: Network,
    /// What breaks, in the order of the file.
    pub faults: Vec<FaultSpec>,
    /// What a human does, in order of time.
    pub operators: Vec<OperatorStep>,
    /// What a sweep must reach.
    pub expect: Expect,
}
