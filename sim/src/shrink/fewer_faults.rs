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
        let Some(Rpcs { hits: Hits::Nth(ordinals), .. }) = rpcs(&base.plan.faults[at]).cloned() else { continue };
        ddmin(ordinals, |lists| {
            let case = |ordinals: &Vec<u64>| {
                let mut case = base.clone();
                if let Some(rpcs) = rpcs_mut(&mut case.plan.faults[at]) {
                    rpcs.hits = Hits::Nth(ordinals.clone());
                }
                case
            };
            search.first(&lists.iter().map(case).collect::<Vec<Case>>())
        });
    }
}

fn rpcs(fault: &Fault) -> Option<&Rpcs> {
    match fault {
        Fault::Reset { rpcs }
        | Fault::LostRequest { rpcs }
        | Fault::LostAnswer { rpcs }
        | Fault::Answer { rpcs, .. } => Some(rpcs),
        _ => None,
    }
}

fn rpcs_mut(fault: &mut Fault) -> Option<&mut Rpcs> {
    match fault {
        Fault::Reset { rpcs }
        | Fault::LostRequest { rpcs }
        | Fault::LostAnswer { rpcs }
        | Fault::Answer { rpcs, .. } => Some(rpcs),
        _ => None,
    }
}
