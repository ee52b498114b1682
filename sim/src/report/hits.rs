//! In which phases of the recovery path the faults of a run struck.
//!
//! What strikes a request or an answer strikes its phase. What strikes a node does so in the phases of the calls that it
//! has under way, or of what it did just before; at rest if there is nothing of the kind. What lasts strikes the phases of
//! all that passes the link, or reaches the disk, while it lasts.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    history::{Event, EventKind, Frame, Noted},
    phases::{Phases, heavier},
    plan::{Fault, Hits, Moment, NodeName, SimMs, Window},
    run::Outcome,
    scenario::{Phase, Scenario},
};

/// What a node did so recently is what it was doing.
const JUST_MS: SimMs = 10;

/// Nobody waits longer for an answer; a call without one is over.
const CALL_MS: SimMs = 10_000;

/// For each fault of the plan, in its order, the phases that it struck; of one that never struck none.
#[must_use]
pub fn hits(outcome: &Outcome, scenario: &Scenario) -> Vec<BTreeSet<Phase>> {
    let slaves = scenario.obligations().slaves;
    let mut watch = Watch { slaves, faults: &outcome.plan.faults, ..Watch::default() };
    watch.hits = vec![BTreeSet::new(); outcome.plan.faults.len()];
    for event in &outcome.history.events {
        if matches!(event.kind, EventKind::Healed) {
            break;
        }
        watch.event(event);
    }
    let fates = watch.hits.into_iter().enumerate();
    fates.map(|(index, hit)| if outcome.unfired.contains(&index) { BTreeSet::new() } else { hit }).collect()
}

type Calls = BTreeMap<(u64, i32), (SimMs, Phase)>;

#[derive(Default)]
struct Watch<'h> {
    slaves: BTreeMap<NodeName, String>,
    faults: &'h [Fault],
    hits: Vec<BTreeSet<Phase>>,
    phases: Phases<'h>,
    /// The phase of the latest frame, which is what a fault of the network has struck when it is told.
    frame: Option<Phase>,
    /// The calls that each node has under way, by their connection and opaque: since when, and their phase.
    under_way: BTreeMap<&'h str, Calls>,
    /// What each node did last, and when.
    last: BTreeMap<&'h str, (SimMs, Phase)>,
    /// The phase of what each node's current sync makes durable.
    syncing: BTreeMap<&'h str, Phase>,
}

impl<'h> Watch<'h> {
    fn event(&mut self, event: &'h Event) {
        let now = event.at_ms;
        match &event.kind {
            EventKind::Request(frame) => {
                let phase = self.phases.request(frame);
                // A poll waits most of the time: whoever has one under way is at rest.
                if !matches!(phase, Phase::Pop | Phase::Replicate) {
                    for node in [&*frame.from, &*frame.to] {
                        let calls = self.under_way.entry(node).or_default();
                        calls.insert((frame.connection, frame.opaque), (now, phase));
                    }
                }
                self.passes(now, frame, phase);
            }
            EventKind::Response(frame) => {
                let phase = self.phases.answer(frame);
                for node in [&*frame.from, &*frame.to] {
                    self.under_way.entry(node).or_default().remove(&(frame.connection, frame.opaque));
                }
                self.passes(now, frame, phase);
            }
            EventKind::Noted(Noted::Durable { node, entry, .. }) => {
                let is_slave = self.slaves.contains_key(node);
                let phase = if is_slave { Some(Phase::Replicate) } else { self.phases.entry(node, entry) };
                if let Some(phase) = heavier(self.syncing.get(node.as_str()).copied(), phase) {
                    self.syncing.insert(node, phase);
                }
            }
            EventKind::Synced { node, .. } => {
                let phase = self.syncing.remove(node.as_str()).unwrap_or(Phase::Recovery);
                self.last.insert(node, (now, phase));
                self.lasting(now, phase, |fault| is_on_disk(fault, node));
            }
            EventKind::Node { node, event } if event == "started" => {
                self.under_way.remove(node.as_str());
                self.last.insert(node, (now, Phase::Recovery));
            }
            EventKind::Fault { index: Some(index), .. } => self.strikes(now, *index),
            _ => {}
        }
    }

    /// A frame leaves.
    fn passes(&mut self, now: SimMs, frame: &'h Frame, phase: Phase) {
        self.frame = Some(phase);
        if phase.is_busy() {
            self.last.insert(&frame.from, (now, phase));
            self.last.insert(&frame.to, (now, phase));
        }
        self.lasting(now, phase, |fault| is_on_link(fault, &frame.from, &frame.to));
    }

    /// Something happens in `phase` while faults last that concern it.
    fn lasting(&mut self, now: SimMs, phase: Phase, concerns: impl Fn(&Fault) -> bool) {
        for (fault, hits) in self.faults.iter().zip(&mut self.hits) {
            let lasts = window(fault).is_some_and(|window| window.from_ms <= now && now < window.to_ms);
            if lasts && concerns(fault) {
                hits.insert(phase);
            }
        }
    }

    /// A fault is told of, which it is after it has struck.
    fn strikes(&mut self, now: SimMs, index: usize) {
        let Some(fault) = self.faults.get(index) else { return };
        let phases: Vec<Phase> = match fault {
            _ if fault.rpcs().is_some() => self.frame.into_iter().collect(),
            Fault::Kill { node, when, .. }
            | Fault::Crash { node, when, .. }
            | Fault::Stop { node, when, .. }
            | Fault::Pause { node, when, .. } => match when {
                Moment::OnRequest { .. } | Moment::OnAnswer { .. } => self.frame.into_iter().collect(),
                Moment::At(_) | Moment::BeforeSync(_) | Moment::AfterSync(_) => self.doing(now, node),
            },
            Fault::ClockStep { node, .. } | Fault::DiskError { node, .. } => self.doing(now, node),
            _ => return,
        };
        self.hits[index].extend(phases);
    }

    /// What a node is doing.
    fn doing(&self, now: SimMs, node: &str) -> Vec<Phase> {
        let calls = self.under_way.get(node).into_iter().flat_map(Calls::values);
        let calls = calls.filter(|(at_ms, _)| now - at_ms <= CALL_MS).map(|(_, phase)| *phase);
        let just = self.last.get(node).filter(|(at_ms, _)| now - at_ms <= JUST_MS).map(|(_, phase)| *phase);
        let doing: Vec<Phase> = calls.chain(just).chain(self.syncing.get(node).copied()).collect();
        if doing.is_empty() { vec![Phase::Idle] } else { doing }
    }
}

/// How long a fault lasts that strikes all that happens in that time.
const fn window(fault: &Fault) -> Option<Window> {
    match fault {
        Fault::ClockDrift { window, .. }
        | Fault::DiskFull { window, .. }
        | Fault::SlowDisk { window, .. }
        | Fault::Partition { window, .. }
        | Fault::Latency { window, .. }
        | Fault::Bandwidth { window, .. }
        | Fault::DiskError { hits: Hits::During(window), .. } => Some(*window),
        _ => None,
    }
}

/// Whether the fault is one of that node's disk, or of the clock that stamps what goes there.
fn is_on_disk(fault: &Fault, node: &str) -> bool {
    match fault {
        Fault::DiskError { node: broken, .. }
        | Fault::DiskFull { node: broken, .. }
        | Fault::SlowDisk { node: broken, .. }
        | Fault::ClockDrift { node: broken, .. } => broken == node,
        _ => false,
    }
}

/// Whether the fault is one of the way from a node to another.
fn is_on_link(fault: &Fault, from: &str, to: &str) -> bool {
    match fault {
        Fault::Partition { from: one, to: other, one_way, .. } => {
            let has = |side: &[NodeName], node: &str| side.iter().any(|it| it == node);
            has(one, from) && has(other, to) || !one_way && has(one, to) && has(other, from)
        }
        Fault::Latency { from: sender, to: receiver, .. } | Fault::Bandwidth { from: sender, to: receiver, .. } => {
            let is = |end: &Option<NodeName>, node: &str| end.as_ref().is_none_or(|end| end == node);
            is(sender, from) && is(receiver, to)
        }
        _ => false,
    }
}
