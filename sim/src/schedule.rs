//! The schedule: a scenario and a seed become a [`Plan`].
//!
//! Each fault entry draws from streams of its own, `plan/<name or position>/<n-th repeat>`, so that editing, adding or
//! removing one entry leaves the draws of the named and of the earlier ones as they were.

use std::collections::BTreeSet;

use rand::{Rng, RngExt};

use crate::plan::{Fault, Hits, Moment, Plan, Rpcs, Volume, Window};
use crate::random::Streams;
use crate::scenario::{Draw, FaultKind, HitsSpec, MomentSpec, RpcsSpec, Scenario, VolumeSpec, WindowSpec};

/// Settles all that the scenario leaves open. The faults are in the order of the scenario's entries.
pub fn expand(scenario: &Scenario, seed: u64) -> Plan {
    let streams = Streams::new(seed);
    let mut faults = Vec::new();
    for (position, entry) in scenario.faults.iter().enumerate() {
        let entry_name = entry.name.clone().unwrap_or_else(|| position.to_string());
        let repeats = draw(entry.repeat, &mut streams.stream(&format!("plan/{entry_name}/repeat")));
        for n in 0..repeats {
            let mut stream = streams.stream(&format!("plan/{entry_name}/{n}"));
            faults.push(fault(&entry.what, &mut stream));
        }
    }
    Plan { faults }
}

fn fault(what: &FaultKind, rng: &mut impl Rng) -> Fault {
    match what.clone() {
        FaultKind::Kill { node, when, down } => Fault::Kill { node, when: moment(when, rng), down_ms: draw(down, rng) },
        FaultKind::Crash { node, when, down } => {
            Fault::Crash { node, when: moment(when, rng), down_ms: draw(down, rng) }
        }
        FaultKind::Replace { node, when, down, volume } => {
            let (when, down_ms) = (moment(when, rng), draw(down, rng));
            let volume = match volume {
                VolumeSpec::Kept => Volume::Kept,
                VolumeSpec::Lost => Volume::Lost,
                VolumeSpec::AsOf(at) => Volume::AsOf(draw(at, rng)),
            };
            Fault::Replace { node, when, down_ms, volume }
        }
        FaultKind::CrashLoop { node, when, times, up, down, loses_power } => {
            let (when, times, up_ms) = (moment(when, rng), draw(times, rng), draw(up, rng));
            Fault::CrashLoop { node, when, times, up_ms, down_ms: draw(down, rng), loses_power }
        }
        FaultKind::Stop { node, when, down } => Fault::Stop { node, when: moment(when, rng), down_ms: draw(down, rng) },
        FaultKind::Pause { node, when, lasts } => {
            Fault::Pause { node, when: moment(when, rng), for_ms: draw(lasts, rng) }
        }
        FaultKind::ClockStep { node, at, by, back } => {
            let (at_ms, by_ms) = (draw(at, rng), draw(by, rng).cast_signed());
            Fault::ClockStep { node, at_ms, by_ms: if back { -by_ms } else { by_ms } }
        }
        FaultKind::ClockDrift { node, window: spec, ppm, back } => {
            let (window, ppm) = (window(spec, rng), draw(ppm, rng).cast_signed());
            Fault::ClockDrift { node, window, ppm: if back { -ppm } else { ppm } }
        }
        FaultKind::FrozenClock { node, window: spec } => Fault::FrozenClock { node, window: window(spec, rng) },
        FaultKind::DiskError { node, operation, hits: spec } => {
            Fault::DiskError { node, operation, hits: hits(spec, rng) }
        }
        FaultKind::Buggify { node, site, hits: spec } => Fault::Buggify { node, site, hits: hits(spec, rng) },
        FaultKind::DiskFull { node, window: spec } => Fault::DiskFull { node, window: window(spec, rng) },
        FaultKind::SlowDisk { node, window: spec, min_ms, max_ms } => {
            Fault::SlowDisk { node, window: window(spec, rng), min_ms, max_ms }
        }
        FaultKind::SlowStart { node, window: spec, min_ms, max_ms } => {
            Fault::SlowStart { node, window: window(spec, rng), min_ms, max_ms }
        }
        FaultKind::Partition { from, to, one_way, window: spec } => {
            Fault::Partition { from, to, one_way, window: window(spec, rng) }
        }
        FaultKind::Latency { from, to, window: spec, min_ms, max_ms } => {
            Fault::Latency { from, to, window: window(spec, rng), min_ms, max_ms }
        }
        FaultKind::Stall { from, to, window: spec } => Fault::Stall { from, to, window: window(spec, rng) },
        FaultKind::SlowClose { from, to, window: spec } => Fault::SlowClose { from, to, window: window(spec, rng) },
        FaultKind::Bandwidth { from, to, window: spec, bytes_per_second } => {
            let window = window(spec, rng);
            Fault::Bandwidth { from, to, window, bytes_per_second: draw(bytes_per_second, rng) }
        }
        FaultKind::DuplicateRequest { rpcs: spec } => Fault::DuplicateRequest { rpcs: rpcs(spec, rng) },
        FaultKind::DelayedRequest { by, rpcs: spec } => {
            Fault::DelayedRequest { by_ms: draw(by, rng), rpcs: rpcs(spec, rng) }
        }
        FaultKind::Reset { rpcs: spec } => Fault::Reset { rpcs: rpcs(spec, rng) },
        FaultKind::LostRequest { rpcs: spec } => Fault::LostRequest { rpcs: rpcs(spec, rng) },
        FaultKind::LostAnswer { rpcs: spec } => Fault::LostAnswer { rpcs: rpcs(spec, rng) },
        FaultKind::Answer { code, rpcs: spec } => Fault::Answer { code, rpcs: rpcs(spec, rng) },
        FaultKind::DamagedAnswer { damage, rpcs: spec } => Fault::DamagedAnswer { damage, rpcs: rpcs(spec, rng) },
    }
}

fn moment(spec: MomentSpec, rng: &mut impl Rng) -> Moment {
    match spec {
        MomentSpec::At(at) => Moment::At(draw(at, rng)),
        MomentSpec::BeforeSync(nth) => Moment::BeforeSync(draw(nth, rng)),
        MomentSpec::AfterSync(nth) => Moment::AfterSync(draw(nth, rng)),
        MomentSpec::OnRequest { from, to, code, nth } => Moment::OnRequest { from, to, code, nth: draw(nth, rng) },
        MomentSpec::OnAnswer { from, to, code, nth } => Moment::OnAnswer { from, to, code, nth: draw(nth, rng) },
    }
}

fn window(spec: WindowSpec, rng: &mut impl Rng) -> Window {
    let from_ms = draw(spec.begins, rng);
    Window { from_ms, to_ms: from_ms + draw(spec.lasts, rng) }
}

fn rpcs(spec: RpcsSpec, rng: &mut impl Rng) -> Rpcs {
    Rpcs { from: spec.from, to: spec.to, code: spec.code, hits: hits(spec.hits, rng) }
}

fn hits(spec: HitsSpec, rng: &mut impl Rng) -> Hits {
    match spec {
        HitsSpec::Nth(ordinals) => Hits::Nth(ordinals),
        HitsSpec::Pick { pick, of } => Hits::Nth(picked(pick, of, rng)),
        HitsSpec::During(spec) => Hits::During(window(spec, rng)),
    }
}

/// `pick` distinct ordinals out of `1..=of`, ascending, all sets equally likely (Floyd's sampling: one draw for each).
fn picked(pick: u64, of: u64, rng: &mut impl Rng) -> Vec<u64> {
    let mut ordinals = BTreeSet::new();
    for largest in (of.saturating_sub(pick) + 1)..=of {
        let candidate = rng.random_range(1..=largest);
        if !ordinals.insert(candidate) {
            ordinals.insert(largest);
        }
    }
    ordinals.into_iter().collect()
}

fn draw(draw: Draw, rng: &mut impl Rng) -> u64 {
    rng.random_range(draw.from..=draw.to.max(draw.from))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// A fault entry of any of the shapes that hold a draw, valid in a scenario of one hour.
    fn entry() -> impl Strategy<Value = String> {
        let span = (0u64..1_800, 0u64..=600, 1u64..600, 0u64..=600);
        let timed = (prop::sample::select(vec!["kill", "crash", "stop"]), span.clone()).prop_map(
            |(kind, (at, wider, down, longer))| {
                let (at_to, down_to) = (at + wider, down + longer);
                format!(
                    "kind = '{kind}'\nnode = 'broker-a'\nat = {{ from = '{at}s', to = '{at_to}s' }}\n\
                 down = {{ from = '{down}s', to = '{down_to}s' }}"
                )
            },
        );
        let silence = span.prop_map(|(at, wider, lasts, longer)| {
            let (at_to, lasts_to) = (at + wider, lasts + longer);
            format!(
                "kind = 'partition'\nbetween = [['broker-a'], ['namesrv']]\n\
                 at = {{ from = '{at}s', to = '{at_to}s' }}\nfor = {{ from = '{lasts}s', to = '{lasts_to}s' }}"
            )
        });
        let picked = (1u64..=50, 0u64..=200, 0u64..=3).prop_map(|(pick, more, repeat)| {
            format!(
                "kind = 'lost-answer'\nrpc = 'PULL_MESSAGE'\nrepeat = {{ from = {repeat}, to = {} }}\n\
                 nth = {{ pick = {pick}, of = {} }}",
                repeat + 2,
                pick + more
            )
        });
        let synced = (1u64..100, 0u64..100).prop_map(|(from, wider)| {
            let to = from + wider;
            format!(
                "kind = 'crash'\nnode = 'broker-a'\nbefore_sync = {{ from = {from}, to = {to} }}\ndown = '5s'\nrepeat = 2"
            )
        });
        prop_oneof![timed, silence, picked, synced]
    }

    fn scenario(entries: &[String]) -> Scenario {
        let mut text = String::from("summary = 'x'\nduration = '1h'\n[[broker]]\nname = 'broker-a'\n");
        text.push_str("[[topic]]\nname = 'orders'\n");
        for entry in entries {
            text.push_str(&format!("[[fault]]\n{entry}\n"));
        }
        Scenario::parse("x", "x.toml", &text).unwrap()
    }

    fn check_fault(fault: &Fault, end_ms: u64) {
        match fault {
            Fault::Kill { when, down_ms, .. }
            | Fault::Crash { when, down_ms, .. }
            | Fault::Stop { when, down_ms, .. } => {
                if let Moment::At(at) = when {
                    assert!(at + down_ms <= end_ms);
                }
                assert!(*down_ms > 0);
            }
            Fault::Partition { window, .. } => assert!(window.from_ms < window.to_ms && window.to_ms <= end_ms),
            Fault::LostAnswer { rpcs } => {
                let Hits::Nth(ordinals) = &rpcs.hits else { panic!("ordinals expected") };
                assert!(ordinals.iter().all(|n| *n >= 1) && ordinals.is_sorted_by(|a, b| a < b));
            }
            other => panic!("{other:?} was not asked for"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_expansion_is_deterministic_and_within_the_scenario(
            entries in prop::collection::vec(entry(), 0..6), seed: u64,
        ) {
            let scenario = scenario(&entries);
            let plan = expand(&scenario, seed);
            prop_assert_eq!(&plan, &expand(&scenario, seed));
            plan.faults.iter().for_each(|fault| check_fault(fault, scenario.duration_ms));
        }

        #[test]
        fn a_fault_added_at_the_end_leaves_the_earlier_ones(
            entries in prop::collection::vec(entry(), 1..6), seed: u64,
        ) {
            let fewer = expand(&scenario(&entries[..entries.len() - 1]), seed);
            let more = expand(&scenario(&entries), seed);
            prop_assert!(more.faults.starts_with(&fewer.faults));
        }

        #[test]
        fn a_named_fault_keeps_its_draws_wherever_it_stands(before in entry(), named in entry(), seed: u64) {
            let named = format!("name = 'kept'\n{named}");
            let alone = expand(&scenario(std::slice::from_ref(&named)), seed);
            let behind = expand(&scenario(&[before, named]), seed);
            prop_assert!(behind.faults.ends_with(&alone.faults));
        }

        #[test]
        fn picks_are_distinct_ascending_and_as_many_as_asked(pick in 1u64..200, more in 0u64..200, seed: u64) {
            let ordinals = picked(pick, pick + more, &mut Streams::new(seed).stream("test"));
            prop_assert_eq!(ordinals.len() as u64, pick);
            prop_assert!(ordinals.is_sorted_by(|a, b| a < b));
            prop_assert!(ordinals.iter().all(|n| (1..=pick + more).contains(n)));
        }
    }

    #[test]
    fn seeds_differ() {
        let entry = "kind = 'lost-answer'\nnth = { pick = 5, of = 1000 }".to_owned();
        let scenario = scenario(&[entry]);
        assert_ne!(expand(&scenario, 1), expand(&scenario, 2));
    }
}
