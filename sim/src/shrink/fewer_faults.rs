//! Fewer faults, and fewer requests that each of them hits.

use super::{case::Case, ddmin::ddmin, search::Search};
use crate::plan::{Fault, Hits, Plan, Rpcs};

/// Leaves out the faults that the failure does not need.
pub fn faults(search: &mut Search<'_>) {
    let base = search.best().clone();
    ddmin(base.plan.faults.clone(), |lists| {
        let case = |faults: &Vec<Fault>| base.with_plan(Plan { faults: faults.clone() });
        search.first(&lists.iter().map(case).collect::<Vec<Case>>())
    });
}

/// Leaves out the requests that need not be hit.
pub fn ordinals(search: &mut Search<'_>) {
    for at in 0..search.best().plan.faults.len() {
        let base = search.best().clone();
        let mut fault = base.plan.faults[at].clone();
        let Some(Rpcs { hits: Hits::Nth(ordinals), .. }) = fault.rpcs_mut() else { continue };
        ddmin(ordinals.clone(), |lists| {
            let case = |ordinals: &Vec<u64>| {
                let mut case = base.clone();
                if let Some(rpcs) = case.plan.faults[at].rpcs_mut() {
                    rpcs.hits = Hits::Nth(ordinals.clone());
                }
                case
            };
            search.first(&lists.iter().map(case).collect::<Vec<Case>>())
        });
    }
}
