//! What is shrunk: a scenario, the faults that a seed made of it, and the seed.

use std::sync::Arc;

use crate::{
    plan::Plan,
    run::SeedRun,
    scenario::{FaultSpec, Remarks, Scenario, ScenarioErrors},
    schedule::expand,
};

use super::settled::settled;

/// A failing run as a value that can be made smaller.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The cluster, the workload and the times. Its faults do not count.
    pub scenario: Scenario,
    /// What breaks.
    pub plan: Plan,
    /// Of all draws besides the plan's, and of the interleaving of tasks.
    pub seed: u64,
}

impl Case {
    /// One seed of a scenario.
    #[must_use]
    pub fn of(scenario: &Scenario, seed: u64) -> Self {
        Self { scenario: scenario.clone(), plan: expand(scenario, seed), seed }
    }

    /// The same with another plan.
    #[must_use]
    pub fn with_plan(&self, plan: Plan) -> Self {
        Self { plan, ..self.clone() }
    }

    /// The same with another scenario.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&mut Scenario)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.scenario);
        changed
    }

    /// The file that says all this: each seed makes the same plan of it.
    #[must_use]
    pub fn to_toml(&self, remarks: &Remarks) -> String {
        let faults: Vec<FaultSpec> = self.plan.faults.iter().map(settled).collect();
        Scenario { seeds: vec![self.seed], faults, ..self.scenario.clone() }.to_toml(remarks)
    }

    /// The run that the file makes. It is read from the file's text, so that nothing is tried that no file can say.
    ///
    /// # Errors
    /// There is no such file: something that is left refers to what is gone, or happens after the end.
    pub fn run(&self, sabotage: Option<&'static str>) -> Result<SeedRun, ScenarioErrors> {
        let name = &self.scenario.name;
        let scenario = Scenario::parse(name, name, &self.to_toml(&Remarks::default()))?;
        Ok(SeedRun { scenario: Arc::new(scenario), seed: self.seed, sabotage, until_ms: None })
    }
}
