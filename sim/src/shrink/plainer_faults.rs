//! Plainer faults: shorter, earlier, between fewer nodes, at rounder times.

use super::{
    case::Case,
    smaller::{counts, lengths, rounder},
};
use crate::plan::{Fault, Hits, Moment, NodeName, Rpcs, SimMs, Window};

/// The case with one fault plainer.
pub fn plainer(case: &Case) -> Vec<Case> {
    let each = case.plan.faults.iter().enumerate();
    let variants = each.flat_map(|(at, fault)| variants(fault).into_iter().map(move |plainer| (at, plainer)));
    variants
        .map(|(at, plainer)| {
            let mut case = case.clone();
            case.plan.faults[at] = plainer;
            case
        })
        .collect()
}

fn variants(fault: &Fault) -> Vec<Fault> {
    match fault.clone() {
        Fault::Kill { node, when, down_ms } => {
            process(&when, down_ms, |when, down_ms| Fault::Kill { node: node.clone(), when, down_ms })
        }
        Fault::Crash { node, when, down_ms } => {
            process(&when, down_ms, |when, down_ms| Fault::Crash { node: node.clone(), when, down_ms })
        }
        Fault::Replace { node, when, down_ms, volume } => {
            let replace = |when, down_ms| Fault::Replace { node: node.clone(), when, down_ms, volume };
            let killed = Fault::Kill { node: node.clone(), when: when.clone(), down_ms };
            std::iter::once(killed).chain(process(&when, down_ms, replace)).collect()
        }
        Fault::CrashLoop { node, when, times, up_ms, down_ms, loses_power } => {
            let repeat = |when, times, up_ms, down_ms| Fault::CrashLoop {
                node: node.clone(),
                when,
                times,
                up_ms,
                down_ms,
                loses_power,
            };
            let once = match loses_power {
                true => Fault::Crash { node: node.clone(), when: when.clone(), down_ms },
                false => Fault::Kill { node: node.clone(), when: when.clone(), down_ms },
            };
            let fewer = counts(times, 1).map(|times| repeat(when.clone(), times, up_ms, down_ms));
            let sooner = lengths(up_ms).map(|up_ms| repeat(when.clone(), times, up_ms, down_ms));
            let plainer = process(&when, down_ms, |when, down_ms| repeat(when, times, up_ms, down_ms));
            std::iter::once(once).chain(fewer).chain(sooner).chain(plainer).collect()
        }
        Fault::Stop { node, when, down_ms } => {
            process(&when, down_ms, |when, down_ms| Fault::Stop { node: node.clone(), when, down_ms })
        }
        Fault::Pause { node, when, for_ms } => {
            process(&when, for_ms, |when, for_ms| Fault::Pause { node: node.clone(), when, for_ms })
        }
        Fault::ClockStep { node, at_ms, by_ms } => {
            let smaller = lengths(by_ms.unsigned_abs()).map(|by| by.cast_signed() * by_ms.signum());
            let smaller = smaller.map(|by_ms| Fault::ClockStep { node: node.clone(), at_ms, by_ms });
            let earlier = rounder(at_ms).map(|at_ms| Fault::ClockStep { node: node.clone(), at_ms, by_ms });
            smaller.chain(earlier).collect()
        }
        Fault::Partition { from, to, one_way, window } => {
            let sides = |(from, to)| Fault::Partition { from, to, one_way, window };
            let shorter = |window| Fault::Partition { from: from.clone(), to: to.clone(), one_way, window };
            fewer(&from, &to).map(sides).chain(windows(window).map(shorter)).collect()
        }
        Fault::Latency { from, to, window, min_ms, max_ms } => {
            let shorter = |window| Fault::Latency { from: from.clone(), to: to.clone(), window, min_ms, max_ms };
            windows(window).map(shorter).collect()
        }
        Fault::ClockDrift { node, window, ppm } => {
            let shorter = windows(window).map(|window| Fault::ClockDrift { node: node.clone(), window, ppm });
            let weaker = lengths(ppm.unsigned_abs()).map(|by| by.cast_signed() * ppm.signum());
            shorter.chain(weaker.map(|ppm| Fault::ClockDrift { node: node.clone(), window, ppm })).collect()
        }
        Fault::FrozenClock { node, window } => {
            windows(window).map(|window| Fault::FrozenClock { node: node.clone(), window }).collect()
        }
        Fault::Buggify { node, site, hits } => {
            let fewer = |hits| Fault::Buggify { node: node.clone(), site: site.clone(), hits };
            plainer_hits(&hits).into_iter().map(fewer).collect()
        }
        Fault::DiskError { node, operation, hits } => {
            let fewer = |hits| Fault::DiskError { node: node.clone(), operation, hits };
            plainer_hits(&hits).into_iter().map(fewer).collect()
        }
        Fault::DiskFull { node, window } => {
            windows(window).map(|window| Fault::DiskFull { node: node.clone(), window }).collect()
        }
        Fault::SlowDisk { node, window, min_ms, max_ms } => {
            let shorter = |window| Fault::SlowDisk { node: node.clone(), window, min_ms, max_ms };
            windows(window).map(shorter).collect()
        }
        Fault::SlowStart { node, window, min_ms, max_ms } => {
            let shorter = |window| Fault::SlowStart { node: node.clone(), window, min_ms, max_ms };
            windows(window).map(shorter).collect()
        }
        Fault::Stall { from, to, window } => {
            let shorter = |window| Fault::Stall { from: from.clone(), to: to.clone(), window };
            windows(window).map(shorter).collect()
        }
        Fault::SlowClose { from, to, window } => {
            let shorter = |window| Fault::SlowClose { from: from.clone(), to: to.clone(), window };
            windows(window).map(shorter).collect()
        }
        Fault::Bandwidth { from, to, window, bytes_per_second } => {
            let shorter = |window| Fault::Bandwidth { from: from.clone(), to: to.clone(), window, bytes_per_second };
            windows(window).map(shorter).collect()
        }
        Fault::DuplicateRequest { rpcs } => requests(&rpcs).map(|rpcs| Fault::DuplicateRequest { rpcs }).collect(),
        Fault::DelayedRequest { by_ms, rpcs } => {
            let fewer = requests(&rpcs).map(|rpcs| Fault::DelayedRequest { by_ms, rpcs });
            let sooner = lengths(by_ms).map(|by_ms| Fault::DelayedRequest { by_ms, rpcs: rpcs.clone() });
            fewer.chain(sooner).collect()
        }
        Fault::Reset { rpcs } => requests(&rpcs).map(|rpcs| Fault::Reset { rpcs }).collect(),
        Fault::LostRequest { rpcs } => requests(&rpcs).map(|rpcs| Fault::LostRequest { rpcs }).collect(),
        Fault::LostAnswer { rpcs } => requests(&rpcs).map(|rpcs| Fault::LostAnswer { rpcs }).collect(),
        Fault::Answer { code, rpcs } => requests(&rpcs).map(|rpcs| Fault::Answer { code, rpcs }).collect(),
        Fault::DamagedAnswer { damage, rpcs } => {
            requests(&rpcs).map(|rpcs| Fault::DamagedAnswer { damage, rpcs }).collect()
        }
    }
}

/// A shorter fault of a process, then an earlier one.
fn process(when: &Moment, lasts_ms: SimMs, fault: impl Fn(Moment, SimMs) -> Fault) -> Vec<Fault> {
    let shorter = lengths(lasts_ms).map(|lasts_ms| fault(when.clone(), lasts_ms));
    let earlier = moments(when).into_iter().map(|when| fault(when, lasts_ms));
    shorter.chain(earlier).collect()
}

fn moments(when: &Moment) -> Vec<Moment> {
    match when.clone() {
        Moment::At(at_ms) => rounder(at_ms).map(Moment::At).collect(),
        Moment::BeforeSync(nth) => counts(nth, 1).map(Moment::BeforeSync).collect(),
        Moment::AfterSync(nth) => counts(nth, 1).map(Moment::AfterSync).collect(),
        Moment::OnRequest { from, to, code, nth } => {
            let earlier = |nth| Moment::OnRequest { from: from.clone(), to: to.clone(), code, nth };
            counts(nth, 1).map(earlier).collect()
        }
        Moment::OnAnswer { from, to, code, nth } => {
            let earlier = |nth| Moment::OnAnswer { from: from.clone(), to: to.clone(), code, nth };
            counts(nth, 1).map(earlier).collect()
        }
    }
}

/// Parts of the window, then the window with rounder ends.
fn windows(window: Window) -> impl Iterator<Item = Window> {
    let Window { from_ms, to_ms } = window;
    let length = to_ms.saturating_sub(from_ms);
    let beginnings = lengths(length).map(move |length| Window { from_ms, to_ms: from_ms + length });
    let ends = lengths(length).map(move |length| Window { from_ms: to_ms - length, to_ms });
    let rounder = rounder(from_ms).map(move |from_ms| Window { from_ms, to_ms: from_ms + length });
    beginnings.chain(ends).chain(rounder)
}

fn requests(rpcs: &Rpcs) -> impl Iterator<Item = Rpcs> {
    plainer_hits(&rpcs.hits).into_iter().map(|hits| Rpcs { hits, ..rpcs.clone() })
}

fn plainer_hits(hits: &Hits) -> Vec<Hits> {
    match hits {
        // Several ordinals may be one failure's several steps; only a lonely one is moved.
        Hits::Nth(ordinals) => match ordinals[..] {
            [nth] => counts(nth, 1).map(|nth| Hits::Nth(vec![nth])).collect(),
            _ => Vec::new(),
        },
        Hits::During(window) => windows(*window).map(Hits::During).collect(),
    }
}

/// The two sides with one node less.
fn fewer(from: &[NodeName], to: &[NodeName]) -> impl Iterator<Item = (Vec<NodeName>, Vec<NodeName>)> {
    let fewer_from = without_one(from).map(|from| (from, to.to_vec()));
    fewer_from.chain(without_one(to).map(|to| (from.to_vec(), to)))
}

fn without_one(nodes: &[NodeName]) -> impl Iterator<Item = Vec<NodeName>> {
    (0..nodes.len()).map(|left_out| {
        let kept = nodes.iter().enumerate().filter(|(at, _)| *at != left_out);
        kept.map(|(_, node)| node.clone()).collect()
    })
}
