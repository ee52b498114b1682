//! The swarm: faults drawn by seed, for a scenario that does not say which ones it means.
//!
//! Not every seed has a bit of everything: each first draws which kinds there are for it at all, because much that is rare
//! shows only where something else is missing (swarm testing). Every kind draws from a stream of its own, so that leaving
//! one out leaves the others as they were.

use std::time::Duration;

use crate::{
    dice::Dice,
    plan::{DiskOperation, Fault, Hits, Moment, NodeName, Plan, Rpcs, SimMs, Window},
    random::{Stream, Streams},
};

/// How likely a seed has a kind of fault.
const SHARE: f64 = 0.4;
/// How often a kind strikes in a seed that has it, at the most.
const MOST: u32 = 3;

/// Which faults can be drawn.
#[derive(Debug, Clone)]
pub struct Swarm {
    nodes: Vec<NodeName>,
    peers: Vec<NodeName>,
    duration_ms: SimMs,
    kinds: Vec<Kind>,
}

/// The word for a kind of fault, as in a scenario file, and how one is drawn.
type Kind = (&'static str, fn(&mut Dice<Stream>, &Swarm) -> Fault);

/// What can happen to a protocol over TCP that tells its frames apart by their order only: no frame arrives twice, or
/// after one that was sent later.
const KINDS: [Kind; 20] = [
    ("kill", |dice, swarm| Fault::Kill { node: swarm.node(dice), when: swarm.moment(dice), down_ms: swarm.span(dice) }),
    ("crash", |dice, swarm| Fault::Crash {
        node: swarm.node(dice),
        when: swarm.moment(dice),
        down_ms: swarm.span(dice),
    }),
    ("crash-loop", |dice, swarm| Fault::CrashLoop {
        node: swarm.node(dice),
        when: swarm.moment(dice),
        times: dice.count(2..=5).into(),
        up_ms: swarm.span(dice),
        down_ms: 1 + dice.below(1_000),
        loses_power: dice.likely(0.5),
    }),
    ("stop", |dice, swarm| Fault::Stop { node: swarm.node(dice), when: swarm.moment(dice), down_ms: swarm.span(dice) }),
    ("pause", |dice, swarm| Fault::Pause {
        node: swarm.node(dice),
        when: swarm.moment(dice),
        for_ms: swarm.span(dice),
    }),
    ("clock-step", |dice, swarm| {
        let by_ms = swarm.span(dice).cast_signed() * 10;
        let by_ms = if dice.likely(0.5) { -by_ms } else { by_ms };
        Fault::ClockStep { node: swarm.node(dice), at_ms: swarm.time(dice), by_ms }
    }),
    ("clock-drift", |dice, swarm| {
        let ppm = i64::from(dice.count(1..=500));
        let ppm = if dice.likely(0.5) { -ppm } else { ppm };
        Fault::ClockDrift { node: swarm.node(dice), window: swarm.window(dice), ppm }
    }),
    ("frozen-clock", |dice, swarm| Fault::FrozenClock { node: swarm.node(dice), window: swarm.window(dice) }),
    ("disk-error", |dice, swarm| {
        let operation = *dice.one(&[DiskOperation::Read, DiskOperation::Write, DiskOperation::Sync]);
        Fault::DiskError { node: swarm.node(dice), operation, hits: swarm.hits(dice) }
    }),
    ("disk-full", |dice, swarm| Fault::DiskFull { node: swarm.node(dice), window: swarm.window(dice) }),
    ("slow-disk", |dice, swarm| Fault::SlowDisk {
        node: swarm.node(dice),
        window: swarm.window(dice),
        min_ms: 20,
        max_ms: 2_000,
    }),
    ("slow-start", |dice, swarm| Fault::SlowStart {
        node: swarm.node(dice),
        window: swarm.window(dice),
        min_ms: 100,
        max_ms: 10_000,
    }),
    ("partition", |dice, swarm| {
        let (from, to) = (vec![swarm.node(dice)], dice.some(&swarm.peers));
        Fault::Partition { from, to, one_way: dice.likely(0.3), window: swarm.window(dice) }
    }),
    ("latency", |dice, swarm| {
        let (from, to) = swarm.link(dice);
        Fault::Latency { from, to, window: swarm.window(dice), min_ms: 20, max_ms: 2_000 }
    }),
    ("stall", |dice, swarm| {
        let (from, to) = swarm.link(dice);
        Fault::Stall { from, to, window: swarm.window(dice) }
    }),
    ("slow-close", |dice, swarm| {
        let (from, to) = swarm.link(dice);
        Fault::SlowClose { from, to, window: swarm.window(dice) }
    }),
    ("bandwidth", |dice, swarm| {
        let (from, to) = swarm.link(dice);
        Fault::Bandwidth { from, to, window: swarm.window(dice), bytes_per_second: 1 + dice.below(10_000) }
    }),
    ("reset", |dice, swarm| Fault::Reset { rpcs: swarm.rpcs(dice) }),
    ("lost-request", |dice, swarm| Fault::LostRequest { rpcs: swarm.rpcs(dice) }),
    ("lost-answer", |dice, swarm| Fault::LostAnswer { rpcs: swarm.rpcs(dice) }),
];

impl Swarm {
    /// Any kind of fault, at `nodes` and between them and their `peers`, while a run has `duration` to go.
    ///
    /// # Panics
    /// There are no nodes, or no peers.
    #[must_use]
    pub fn new(nodes: &[&str], peers: &[&str], duration: Duration) -> Self {
        assert!(!nodes.is_empty() && !peers.is_empty(), "faults strike nodes, and links to their peers");
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let duration_ms = SimMs::try_from(duration.as_millis()).unwrap_or(SimMs::MAX);
        Self { nodes: names(nodes), peers: names(peers), duration_ms, kinds: KINDS.to_vec() }
    }

    /// Without one kind, named as in a scenario file: `disk-error`.
    ///
    /// # Panics
    /// There is no such kind.
    #[must_use]
    pub fn without(mut self, kind: &str) -> Self {
        let known = self.kinds.len();
        self.kinds.retain(|(word, _)| *word != kind);
        assert!(self.kinds.len() < known, "the swarm draws no {kind:?}");
        self
    }

    /// Draws what a seed breaks.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        let streams = Streams::new(seed);
        let mut faults = Vec::new();
        for (word, fault) in &self.kinds {
            let mut dice = Dice(streams.stream(&format!("plan/{word}")));
            if dice.likely(SHARE) {
                faults.extend((0..dice.count(1..=MOST)).map(|_| fault(&mut dice, self)));
            }
        }
        Plan { faults }
    }

    fn node(&self, dice: &mut Dice<Stream>) -> NodeName {
        dice.one(&self.nodes).clone()
    }

    /// A link between a node and a peer, in either direction.
    fn link(&self, dice: &mut Dice<Stream>) -> (Option<NodeName>, Option<NodeName>) {
        let (node, peer) = (self.node(dice), dice.one(&self.peers).clone());
        if dice.likely(0.5) { (Some(node), Some(peer)) } else { (Some(peer), Some(node)) }
    }

    fn time(&self, dice: &mut Dice<Stream>) -> SimMs {
        dice.below(self.duration_ms)
    }

    /// A while, up to a sixth of the run.
    fn span(&self, dice: &mut Dice<Stream>) -> SimMs {
        1 + dice.below(self.duration_ms / 6)
    }

    fn moment(&self, dice: &mut Dice<Stream>) -> Moment {
        match dice.count(0..=3) {
            0 => Moment::BeforeSync(1 + dice.below(100)),
            1 => Moment::AfterSync(1 + dice.below(100)),
            _ => Moment::At(self.time(dice)),
        }
    }

    fn window(&self, dice: &mut Dice<Stream>) -> Window {
        let from_ms = self.time(dice);
        Window { from_ms, to_ms: from_ms + self.span(dice) }
    }

    fn hits(&self, dice: &mut Dice<Stream>) -> Hits {
        if dice.likely(0.5) { Hits::Nth(vec![1 + dice.below(100)]) } else { Hits::During(self.window(dice)) }
    }

    fn rpcs(&self, dice: &mut Dice<Stream>) -> Rpcs {
        Rpcs {
            from: dice.maybe(0.5, |dice| dice.one(&self.peers).clone()),
            to: None,
            code: None,
            hits: self.hits(dice),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn swarm() -> Swarm {
        Swarm::new(&["store"], &["client"], Duration::from_secs(60))
    }

    fn words(plan: &Plan) -> BTreeSet<String> {
        plan.faults.iter().map(|fault| fault.kind().to_owned()).collect()
    }

    #[test]
    fn every_kind_is_drawn_by_some_seed_and_none_by_all() {
        let plans: Vec<_> = (0..200).map(|seed| words(&swarm().plan(seed))).collect();
        for (word, _) in KINDS {
            let seeds = plans.iter().filter(|plan| plan.contains(word)).count();
            assert!((40..120).contains(&seeds), "{word}: {seeds}");
        }
    }

    #[test]
    fn leaving_a_kind_out_leaves_the_others_as_they_were() {
        for seed in 0..50 {
            let (mut all, without) = (swarm().plan(seed), swarm().without("crash").plan(seed));
            all.faults.retain(|fault| fault.kind() != "crash");
            assert_eq!(all, without);
        }
    }
}
