//! Faults that no broker can get over together, so that nothing is learned from a search that draws both.

use crate::{
    plan::{DiskOperation, NodeName},
    scenario::{FaultKind, Scenario},
};

/// Takes flips off the nodes that lose power. That may tear their last commit, and a torn one cannot be told from one that
/// is read wrongly: the commit before it goes for the last (docs/limits.md).
pub(super) fn tell_torn_from_flipped(scenario: &mut Scenario) {
    let lose_power: Vec<NodeName> =
        scenario.faults.iter().filter_map(|fault| loses_power(&fault.what)).cloned().collect();
    scenario.faults.retain(|fault| match &fault.what {
        FaultKind::DiskError { node, operation: DiskOperation::Flip, .. } => !lose_power.contains(node),
        _ => true,
    });
}

const fn loses_power(fault: &FaultKind) -> Option<&NodeName> {
    match fault {
        FaultKind::Crash { node, .. } | FaultKind::CrashLoop { node, loses_power: true, .. } => Some(node),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::swarm::draw;

    #[test]
    fn bits_turn_over_only_where_the_power_stays() {
        let mut flips = 0;
        for seed in 0..600 {
            let scenario = draw(seed);
            let lose_power: Vec<_> = scenario.faults.iter().filter_map(|fault| loses_power(&fault.what)).collect();
            for fault in &scenario.faults {
                if let FaultKind::DiskError { node, operation: DiskOperation::Flip, .. } = &fault.what {
                    flips += 1;
                    assert!(!lose_power.contains(&node), "seed {seed}");
                }
            }
        }
        assert!(flips > 20, "{flips} in 600 seeds");
    }
}
