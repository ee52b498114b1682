//! Leaves of a failing seed's plan what the failure needs.

use std::num::NonZero;

use super::{
    run::{run_plan, violations_of},
    scenario::Scenario,
    sweep::sweep_by,
};
use crate::{plan::Plan, shrink::ddmin};

/// The faults without which `promise` would not be broken under this seed: none of them can be left out alone.
pub fn shrink<S: Scenario>(scenario: &S, seed: u64, promise: &str, jobs: NonZero<usize>) -> Plan {
    let faults = ddmin(scenario.plan(seed).faults, |lists| {
        let mut first = None;
        let mut at = 0;
        sweep_by(
            lists.to_vec(),
            jobs,
            |faults| violations_of(&run_plan(scenario, seed, Plan { faults: faults.clone() })),
            |_, violations, _| {
                first = violations.iter().any(|it| it.promise == promise).then_some(at);
                at += 1;
                first.is_none()
            },
        );
        first
    });
    Plan { faults }
}
