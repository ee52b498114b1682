//! From a planned fault to an entry of a scenario that leaves nothing open.

use crate::{
    plan::{Fault, Hits, Moment, Rpcs, Volume, Window},
    scenario::{Draw, FaultKind, FaultSpec, HitsSpec, MomentSpec, RpcsSpec, VolumeSpec, WindowSpec},
};

/// The entry that becomes this fault under every seed.
#[must_use]
pub fn settled(fault: &Fault) -> FaultSpec {
    FaultSpec { name: None, repeat: Draw::exactly(1), what: kind(fault.clone()) }
}

fn kind(fault: Fault) -> FaultKind {
    match fault {
        Fault::Kill { node, when, down_ms } => {
            FaultKind::Kill { node, when: moment(when), down: Draw::exactly(down_ms) }
        }
        Fault::Crash { node, when, down_ms } => {
            FaultKind::Crash { node, when: moment(when), down: Draw::exactly(down_ms) }
        }
        Fault::Replace { node, when, down_ms, volume } => {
            let volume = match volume {
                Volume::Kept => VolumeSpec::Kept,
                Volume::Lost => VolumeSpec::Lost,
                Volume::AsOf(at_ms) => VolumeSpec::AsOf(Draw::exactly(at_ms)),
            };
            FaultKind::Replace { node, when: moment(when), down: Draw::exactly(down_ms), volume }
        }
        Fault::CrashLoop { node, when, times, up_ms, down_ms, loses_power } => FaultKind::CrashLoop {
            node,
            when: moment(when),
            times: Draw::exactly(times),
            up: Draw::exactly(up_ms),
            down: Draw::exactly(down_ms),
            loses_power,
        },
        Fault::Stop { node, when, down_ms } => {
            FaultKind::Stop { node, when: moment(when), down: Draw::exactly(down_ms) }
        }
        Fault::Pause { node, when, for_ms } => {
            FaultKind::Pause { node, when: moment(when), lasts: Draw::exactly(for_ms) }
        }
        Fault::ClockStep { node, at_ms, by_ms } => FaultKind::ClockStep {
            node,
            at: Draw::exactly(at_ms),
            by: Draw::exactly(by_ms.unsigned_abs()),
            back: by_ms < 0,
        },
        Fault::Partition { from, to, one_way, window: when } => {
            FaultKind::Partition { from, to, one_way, window: window(when) }
        }
        Fault::Latency { from, to, window: when, min_ms, max_ms } => {
            FaultKind::Latency { from, to, window: window(when), min_ms, max_ms }
        }
        Fault::ClockDrift { node, window: when, ppm } => {
            FaultKind::ClockDrift { node, window: window(when), ppm: Draw::exactly(ppm.unsigned_abs()), back: ppm < 0 }
        }
        Fault::FrozenClock { node, window: when } => FaultKind::FrozenClock { node, window: window(when) },
        Fault::DiskError { node, operation, hits: which } => {
            FaultKind::DiskError { node, operation, hits: hits(which) }
        }
        Fault::Buggify { node, site, hits: which } => FaultKind::Buggify { node, site, hits: hits(which) },
        Fault::DiskFull { node, window: when } => FaultKind::DiskFull { node, window: window(when) },
        Fault::SlowDisk { node, window: when, min_ms, max_ms } => {
            FaultKind::SlowDisk { node, window: window(when), min_ms, max_ms }
        }
        Fault::SlowStart { node, window: when, min_ms, max_ms } => {
            FaultKind::SlowStart { node, window: window(when), min_ms, max_ms }
        }
        Fault::Stall { from, to, window: when } => FaultKind::Stall { from, to, window: window(when) },
        Fault::SlowClose { from, to, window: when } => FaultKind::SlowClose { from, to, window: window(when) },
        Fault::Bandwidth { from, to, window: when, bytes_per_second } => {
            let bytes_per_second = Draw::exactly(bytes_per_second);
            FaultKind::Bandwidth { from, to, window: window(when), bytes_per_second }
        }
        Fault::DuplicateRequest { rpcs: which } => FaultKind::DuplicateRequest { rpcs: rpcs(which) },
        Fault::DelayedRequest { by_ms, rpcs: which } => {
            FaultKind::DelayedRequest { by: Draw::exactly(by_ms), rpcs: rpcs(which) }
        }
        Fault::Reset { rpcs: which } => FaultKind::Reset { rpcs: rpcs(which) },
        Fault::LostRequest { rpcs: which } => FaultKind::LostRequest { rpcs: rpcs(which) },
        Fault::LostAnswer { rpcs: which } => FaultKind::LostAnswer { rpcs: rpcs(which) },
        Fault::Answer { code, rpcs: which } => FaultKind::Answer { code, rpcs: rpcs(which) },
        Fault::DamagedAnswer { damage, rpcs: which } => FaultKind::DamagedAnswer { damage, rpcs: rpcs(which) },
    }
}

fn moment(moment: Moment) -> MomentSpec {
    match moment {
        Moment::At(at_ms) => MomentSpec::At(Draw::exactly(at_ms)),
        Moment::BeforeSync(nth) => MomentSpec::BeforeSync(Draw::exactly(nth)),
        Moment::AfterSync(nth) => MomentSpec::AfterSync(Draw::exactly(nth)),
        Moment::OnRequest { from, to, code, nth } => MomentSpec::OnRequest { from, to, code, nth: Draw::exactly(nth) },
        Moment::OnAnswer { from, to, code, nth } => MomentSpec::OnAnswer { from, to, code, nth: Draw::exactly(nth) },
    }
}

fn window(window: Window) -> WindowSpec {
    let Window { from_ms, to_ms } = window;
    WindowSpec { begins: Draw::exactly(from_ms), lasts: Draw::exactly(to_ms.saturating_sub(from_ms)) }
}

fn rpcs(rpcs: Rpcs) -> RpcsSpec {
    let Rpcs { from, to, code, hits: which } = rpcs;
    RpcsSpec { from, to, code, hits: hits(which) }
}

fn hits(hits: Hits) -> HitsSpec {
    match hits {
        Hits::Nth(ordinals) => HitsSpec::Nth(ordinals),
        Hits::During(when) => HitsSpec::During(window(when)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::{
        plan::{Damage, DiskOperation, NodeName, Plan},
        scenario::{Scenario, sites::SITES},
        schedule::expand,
        shrink::Case,
    };

    const HOUR_MS: u64 = 3_600_000;

    fn scenario() -> Scenario {
        let text = "summary = 'x'\nduration = '1h'\n[[broker]]\nname = 'a'\nslaves = 1\n[[broker]]\nname = 'b'\n\
                    [[topic]]\nname = 't'\n";
        Scenario::parse("x", "x.toml", text).unwrap()
    }

    fn node() -> impl Strategy<Value = NodeName> {
        prop::sample::select(vec!["a", "b", "a-s1"]).prop_map(Into::into)
    }

    fn window() -> impl Strategy<Value = Window> {
        (0..HOUR_MS - 1)
            .prop_flat_map(|from_ms| (Just(from_ms), from_ms + 1..=HOUR_MS))
            .prop_map(|(from_ms, to_ms)| Window { from_ms, to_ms })
    }

    type Frames = (Option<NodeName>, Option<NodeName>, Option<i32>);

    fn frames() -> impl Strategy<Value = Frames> {
        let code = prop_oneof![Just(11), Just(200_050), any::<i32>()];
        (prop::option::of(node()), prop::option::of(node()), prop::option::of(code))
    }

    fn hits() -> impl Strategy<Value = Hits> {
        let ordinals = prop::collection::btree_set(1u64..1_000_000, 1..20);
        let nth = ordinals.prop_map(|ordinals| Hits::Nth(ordinals.into_iter().collect()));
        prop_oneof![nth, window().prop_map(Hits::During)]
    }

    fn rpcs() -> impl Strategy<Value = Rpcs> {
        (frames(), hits()).prop_map(|((from, to, code), hits)| Rpcs { from, to, code, hits })
    }

    /// A moment, and how long what begins then may last.
    fn moment() -> impl Strategy<Value = (Moment, u64)> {
        let nth = 1u64..1_000_000;
        let long = 1u64..HOUR_MS;
        let asked = |((from, to, code), nth)| Moment::OnRequest { from, to, code, nth };
        let answered = |((from, to, code), nth)| Moment::OnAnswer { from, to, code, nth };
        prop_oneof![
            window().prop_map(|it| (Moment::At(it.from_ms), it.to_ms - it.from_ms)),
            (nth.clone().prop_map(Moment::BeforeSync), long.clone()),
            (nth.clone().prop_map(Moment::AfterSync), long.clone()),
            ((frames(), nth.clone()).prop_map(asked), long.clone()),
            ((frames(), nth).prop_map(answered), long),
        ]
    }

    fn fault() -> impl Strategy<Value = Fault> {
        let sides = prop::sample::select(vec![(vec!["a"], vec!["b"]), (vec!["a", "a-s1"], vec!["b", "namesrv"])]);
        let named = |side: Vec<&str>| side.into_iter().map(NodeName::from).collect();
        let process = (0..6, node(), moment()).prop_map(|(kind, node, (when, lasts))| match kind {
            0 => Fault::Kill { node, when, down_ms: lasts },
            1 => Fault::Crash { node, when, down_ms: lasts },
            2 => Fault::Stop { node, when, down_ms: lasts },
            4 => {
                let (times, up_ms, loses_power) = (1 + lasts % 1_000, 1 + lasts % 9_999, lasts % 2 == 0);
                Fault::CrashLoop { node, when, times, up_ms, down_ms: lasts, loses_power }
            }
            3 => {
                let volume = match (node == "a-s1", lasts % 3) {
                    (true, 1) => Volume::Lost,
                    (true, 2) => Volume::AsOf(lasts),
                    _ => Volume::Kept,
                };
                Fault::Replace { volume, node, when, down_ms: lasts }
            }
            _ => Fault::Pause { node, when, for_ms: lasts },
        });
        let site = prop::sample::select(SITES).prop_map(|(name, _)| name);
        let operation = prop::sample::select(vec![
            DiskOperation::Read,
            DiskOperation::Write,
            DiskOperation::Sync,
            DiskOperation::Flip,
            DiskOperation::Rot,
        ]);
        let network = (0..7, any::<i32>(), 1..HOUR_MS, rpcs()).prop_map(|(kind, code, by_ms, mut rpcs)| match kind {
            0 => Fault::Reset { rpcs },
            1 => Fault::LostRequest { rpcs },
            2 => Fault::LostAnswer { rpcs },
            3 => Fault::DuplicateRequest { rpcs },
            4 => Fault::DelayedRequest { by_ms, rpcs },
            5 => Fault::Answer { code, rpcs },
            _ => {
                rpcs.code = Some(11); // what is wrong with messages can be wrong with PULL_MESSAGE's answers only
                let damage = Damage::ALL[by_ms as usize % Damage::ALL.len()];
                Fault::DamagedAnswer { damage, rpcs }
            }
        });
        let by_ms = (1i64..1_000_000_000, any::<bool>()).prop_map(|(by, back)| if back { -by } else { by });
        prop_oneof![
            4 => process,
            4 => network,
            1 => (node(), 0..HOUR_MS, by_ms)
                .prop_map(|(node, at_ms, by_ms)| Fault::ClockStep { node, at_ms, by_ms }),
            1 => (sides, any::<bool>(), window()).prop_map(move |((from, to), one_way, window)| {
                Fault::Partition { from: named(from), to: named(to), one_way, window }
            }),
            1 => (frames(), window(), 0u64..100, 0u64..100).prop_map(|((from, to, _), window, min_ms, more)| {
                Fault::Latency { from, to, window, min_ms, max_ms: min_ms + more }
            }),
            1 => (node(), window(), 1..=50_000_i64, any::<bool>()).prop_map(|(node, window, ppm, back)| {
                Fault::ClockDrift { node, window, ppm: if back { -ppm } else { ppm } }
            }),
            1 => (node(), operation, hits()).prop_map(|(node, operation, hits)| {
                // No other's disk may rot.
                let node = if operation == DiskOperation::Rot { "a-s1".into() } else { node };
                Fault::DiskError { node, operation, hits }
            }),
            1 => (node(), site, hits())
                .prop_map(|(node, site, hits)| Fault::Buggify { node, site: site.into(), hits }),
            1 => (node(), window()).prop_map(|(node, window)| Fault::FrozenClock { node, window }),
            1 => (node(), window()).prop_map(|(node, window)| Fault::DiskFull { node, window }),
            1 => (node(), window(), 1u64..100, 0u64..100).prop_map(|(node, window, min_ms, more)| {
                Fault::SlowDisk { node, window, min_ms, max_ms: min_ms + more }
            }),
            1 => (node(), window(), 1u64..100, 0u64..100).prop_map(|(node, window, min_ms, more)| {
                Fault::SlowStart { node, window, min_ms, max_ms: min_ms + more }
            }),
            1 => (frames(), window()).prop_map(|((from, to, _), window)| Fault::Stall { from, to, window }),
            1 => (frames(), window()).prop_map(|((from, to, _), window)| Fault::SlowClose { from, to, window }),
            1 => (frames(), window(), 1_000u64..1_000_000).prop_map(|((from, to, _), window, bytes_per_second)| {
                Fault::Bandwidth { from, to, window, bytes_per_second }
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_plan_that_is_written_and_read_is_the_same_plan(
            faults in prop::collection::vec(fault(), 0..8), seed in 0..=i64::MAX as u64, other: u64,
        ) {
            let plan = Plan { faults };
            let case = Case { scenario: scenario(), plan: plan.clone(), seed };
            let run = case.run(None).unwrap_or_else(|errors| panic!("{errors}"));
            prop_assert_eq!(&run.scenario.seeds, &[seed]);
            prop_assert_eq!(expand(&run.scenario, seed), plan.clone());
            prop_assert_eq!(expand(&run.scenario, other), plan);
        }
    }
}
