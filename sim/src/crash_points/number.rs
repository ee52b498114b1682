//! Numbers the points of a run.

use std::collections::BTreeMap;

use super::point::{Kind, Point};
use crate::{
    history::{Event, EventKind, History, Noted},
    ledger::Obligations,
    phases::{Phases, heavier},
    plan::{Fault, Moment, NodeName, Plan, SimMs},
    scenario::{Phase, Scenario},
};

/// A point of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Where.
    pub point: Point,
    /// What the node was doing.
    pub phase: Phase,
    /// When, simulated ms.
    pub at_ms: SimMs,
    /// Events that come before a crash here.
    pub prefix: usize,
}

/// The points of a run.
#[derive(Debug, Default)]
pub struct Numbers {
    /// Those that can be crashed at, in the order of the run.
    pub points: Vec<Numbered>,
    /// Points at which a fault of the plan takes the same node down: they are in the run that was numbered.
    pub planned: u64,
    /// Points after all faults ended: nothing strikes there.
    pub healed: u64,
}

/// Numbers the points of a run of `scenario`: syncs, requests and answers of every broker and slave, answers of name
/// servers.
#[must_use]
pub fn number(scenario: &Scenario, history: &History, plan: &Plan) -> Numbers {
    let Obligations { brokers, slaves, .. } = scenario.obligations();
    let node = |is_slave| Node { is_slave, ..Node::default() };
    let masters = brokers.into_iter().map(|name| (name, node(false)));
    let name_servers = scenario.name_servers().map(|name| (name, Node { is_name_server: true, ..Node::default() }));
    let nodes = masters.chain(name_servers).chain(slaves.into_keys().map(|name| (name, node(true)))).collect();
    let mut numbering = Numbering { nodes, phases: Phases::default(), events: &history.events, plan, healed: false };
    let mut numbers = Numbers::default();
    for (at, event) in history.events.iter().enumerate() {
        numbering.healed |= matches!(event.kind, EventKind::Healed);
        for (numbered, is_planned) in numbering.event(at, event) {
            match is_planned {
                _ if numbering.healed => numbers.healed += 1,
                true => numbers.planned += 1,
                false => numbers.points.push(numbered),
            }
        }
    }
    numbers
}

/// What was counted of one node.
#[derive(Default)]
struct Node {
    /// Its entries are its master's.
    is_slave: bool,
    /// It asks nobody.
    is_name_server: bool,
    requests: u64,
    answers: u64,
    /// It has committed something.
    has_begun: bool,
    /// The sync whose entries come in now: its number, where they begin, and their phase.
    syncing: Option<(u64, usize, Option<Phase>)>,
}

struct Numbering<'h> {
    nodes: BTreeMap<NodeName, Node>,
    phases: Phases<'h>,
    events: &'h [Event],
    plan: &'h Plan,
    healed: bool,
}

impl<'h> Numbering<'h> {
    /// The points at this event, each with whether the plan itself strikes there.
    fn event(&mut self, at: usize, event: &'h Event) -> Vec<(Numbered, bool)> {
        match &event.kind {
            EventKind::Noted(Noted::Durable { node, sync, entry }) => {
                if let Some(known) = self.nodes.get_mut(node.as_str()) {
                    let phase = if known.is_slave { Some(Phase::Replicate) } else { self.phases.entry(node, entry) };
                    let same = known.syncing.filter(|(number, ..)| number == sync);
                    let (_, from, before) = same.unwrap_or((*sync, at, None));
                    known.syncing = Some((*sync, from, heavier(before, phase)));
                }
                Vec::new()
            }
            EventKind::Synced { node, sync, .. } => self.sync(at, event.at_ms, node, *sync),
            EventKind::Request(frame) => {
                let phase = self.phases.request(frame);
                let Some(known) = self.nodes.get_mut(&*frame.from).filter(|node| !node.is_name_server) else {
                    return Vec::new();
                };
                known.requests += 1;
                let point = Point { node: frame.from.to_string(), kind: Kind::Request, nth: known.requests };
                let is_planned = self.is_planned(at, &point);
                vec![(Numbered { point, phase, at_ms: event.at_ms, prefix: at + 1 }, is_planned)]
            }
            EventKind::Response(frame) => {
                let phase = self.phases.answer(frame);
                let Some(known) = self.nodes.get_mut(&*frame.from) else { return Vec::new() };
                known.answers += 1;
                let point = Point { node: frame.from.to_string(), kind: Kind::Answer, nth: known.answers };
                vec![(Numbered { point, phase, at_ms: event.at_ms, prefix: at }, false)]
            }
            EventKind::Fault { index: Some(index), .. } => {
                // The answer at which its server died never left; it was counted.
                if let Some(known) = self.silenced(*index).and_then(|node| self.nodes.get_mut(node)) {
                    known.answers += 1;
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// The node that a fault of the plan took down at an answer of its own.
    fn silenced(&self, index: usize) -> Option<&'h str> {
        match self.plan.faults.get(index)? {
            Fault::Kill { node, when: Moment::OnAnswer { from, .. }, .. }
            | Fault::Crash { node, when: Moment::OnAnswer { from, .. }, .. } => {
                from.as_ref().is_none_or(|from| from == node).then_some(node.as_str())
            }
            _ => None,
        }
    }

    fn sync(&mut self, at: usize, at_ms: SimMs, node: &NodeName, sync: u64) -> Vec<(Numbered, bool)> {
        let Some(known) = self.nodes.get_mut(node.as_str()) else { return Vec::new() };
        let syncing = known.syncing.take().filter(|(number, ..)| *number == sync);
        let (_, from, phase) = syncing.unwrap_or((sync, at, None));
        let idle = if known.has_begun { Phase::Recovery } else { Phase::SetUp };
        known.has_begun |= phase.is_some();
        let phase = phase.unwrap_or(idle);
        let point = |kind| Point { node: node.clone(), kind, nth: sync };
        let before = Numbered { point: point(Kind::BeforeSync), phase, at_ms, prefix: from };
        let after = Numbered { point: point(Kind::AfterSync), phase, at_ms, prefix: at + 1 };
        let is_planned = self.is_planned(at, &after.point);
        vec![(before, false), (after, is_planned)]
    }

    /// Whether a fault of the plan that strikes at this very event takes the node down.
    fn is_planned(&self, at: usize, point: &Point) -> bool {
        let mut next = self.events[at + 1..].iter();
        let strikes = |kind: &EventKind| match kind {
            EventKind::Fault { index: Some(index), .. } => self.strikes_at(*index, point),
            _ => false,
        };
        // The fault is told after what it did: what survives, the node's end.
        let mut went_down = false;
        loop {
            match next.next().map(|event| &event.kind) {
                Some(EventKind::Node { node, event }) if *node == point.node => {
                    went_down = event == "crashed" || event == "killed";
                    if !went_down {
                        return false;
                    }
                }
                Some(kind @ EventKind::Fault { .. }) if went_down => return strikes(kind),
                Some(EventKind::Fault { .. } | EventKind::Noted(Noted::Durable { .. } | Noted::Again { .. })) => {}
                _ => return false,
            }
        }
    }

    fn strikes_at(&self, index: usize, point: &Point) -> bool {
        match (self.plan.faults.get(index), point.kind) {
            (Some(Fault::Kill { when, .. } | Fault::Crash { when, .. }), Kind::AfterSync) => {
                matches!(when, Moment::AfterSync(_))
            }
            (Some(Fault::Kill { when, .. } | Fault::Crash { when, .. }), Kind::Request) => {
                matches!(when, Moment::OnRequest { .. })
            }
            _ => false,
        }
    }
}
