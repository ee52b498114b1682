//! A scenario a little different: one fault more or less, earlier or later, longer or shorter.

use rand::{Rng, RngExt};

use super::swarm_faults::{any_fault, spare_one_disk};
use crate::{
    plan::{NodeName, SimMs},
    scenario::{Draw, FaultKind, HitsSpec, MomentSpec, Scenario, VolumeSpec},
};

/// The most that is changed at once.
const CHANGES: u32 = 3;

/// Changes one to three things about the faults of a scenario.
#[must_use]
pub fn mutated(scenario: &Scenario, rng: &mut impl Rng) -> Scenario {
    let mut scenario = scenario.clone();
    // A slave's older disk is safe only where its master is heard soon, which whoever wrote the scenario saw to.
    let masters: Vec<NodeName> = scenario.brokers.iter().map(|broker| broker.name.clone()).collect();
    scenario.faults.retain(|fault| match &fault.what {
        FaultKind::Replace { volume: VolumeSpec::AsOf(_), node, .. } => masters.contains(node),
        _ => true,
    });
    for _ in 0..rng.random_range(1..=CHANGES) {
        let count = scenario.faults.len();
        match (rng.random_range(0..4), count) {
            (0, _) | (_, 0) => {
                let fault = any_fault(rng, &scenario);
                scenario.faults.push(fault);
            }
            (1, _) => drop(scenario.faults.remove(rng.random_range(0..count))),
            (2, _) => {
                let (at, end_ms) = (rng.random_range(0..count), scenario.duration_ms);
                shift(&mut scenario.faults[at].what, rng, end_ms);
            }
            (_, _) => {
                let (at, end_ms) = (rng.random_range(0..count), scenario.duration_ms);
                stretch(&mut scenario.faults[at].what, rng, end_ms);
            }
        }
    }
    spare_one_disk(&mut scenario);
    scenario
}

/// When a fault begins, and how long it lasts; a moment that is no time has no beginning.
fn times(what: &mut FaultKind) -> (Option<&mut Draw>, Option<&mut Draw>) {
    fn begins(when: &mut MomentSpec) -> Option<&mut Draw> {
        match when {
            MomentSpec::At(at) => Some(at),
            MomentSpec::BeforeSync(_)
            | MomentSpec::AfterSync(_)
            | MomentSpec::OnRequest { .. }
            | MomentSpec::OnAnswer { .. } => None,
        }
    }
    match what {
        FaultKind::Kill { when, down, .. }
        | FaultKind::Crash { when, down, .. }
        | FaultKind::CrashLoop { when, down, .. }
        | FaultKind::Replace { when, down, .. }
        | FaultKind::Stop { when, down, .. } => (begins(when), Some(down)),
        FaultKind::Pause { when, lasts, .. } => (begins(when), Some(lasts)),
        FaultKind::ClockStep { at, .. } => (Some(at), None),
        FaultKind::Partition { window, .. }
        | FaultKind::Latency { window, .. }
        | FaultKind::Stall { window, .. }
        | FaultKind::SlowClose { window, .. }
        | FaultKind::ClockDrift { window, .. }
        | FaultKind::FrozenClock { window, .. }
        | FaultKind::DiskFull { window, .. }
        | FaultKind::SlowDisk { window, .. }
        | FaultKind::SlowStart { window, .. }
        | FaultKind::Bandwidth { window, .. } => (Some(&mut window.begins), Some(&mut window.lasts)),
        FaultKind::DiskError { hits, .. } | FaultKind::Buggify { hits, .. } => window(hits),
        FaultKind::Reset { rpcs }
        | FaultKind::LostRequest { rpcs }
        | FaultKind::LostAnswer { rpcs }
        | FaultKind::DuplicateRequest { rpcs }
        | FaultKind::DelayedRequest { rpcs, .. }
        | FaultKind::Answer { rpcs, .. }
        | FaultKind::DamagedAnswer { rpcs, .. } => window(&mut rpcs.hits),
    }
}

fn window(hits: &mut HitsSpec) -> (Option<&mut Draw>, Option<&mut Draw>) {
    match hits {
        HitsSpec::During(window) => (Some(&mut window.begins), Some(&mut window.lasts)),
        HitsSpec::Nth(_) | HitsSpec::Pick { .. } => (None, None),
    }
}

/// Begins at another time, by up to two minutes; what strikes at no time is left alone.
fn shift(what: &mut FaultKind, rng: &mut impl Rng, end_ms: SimMs) {
    let by = rng.random_range(-120..=120_i64) * 1_000;
    let (Some(begins), lasts) = times(what) else { return };
    // What begins and does not last still begins before the end.
    let latest = end_ms - lasts.map_or(1, |lasts| lasts.to.max(1));
    *begins = Draw::exactly(begins.from.saturating_add_signed(by).min(latest));
}

/// Lasts four times, twice, half or a quarter as long.
fn stretch(what: &mut FaultKind, rng: &mut impl Rng, end_ms: SimMs) {
    let factor = [1, 2, 8, 16][rng.random_range(0..4)];
    let (begins, Some(lasts)) = times(what) else { return };
    let longest = end_ms - begins.map_or(0, |begins| begins.to);
    *lasts = Draw::exactly((lasts.from * factor / 4).clamp(1, longest.max(1)));
}
