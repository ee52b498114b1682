//! In which phases of the recovery path the faults of a run struck.
//!
//! What strikes a request or an answer strikes its phase. What strikes a node does so in the phases of the calls that it
//! has under way, or of what it did just before; at rest if there is nothing of the kind. What lasts strikes the phases of
//! all that passes the link, or reaches the disk, while it lasts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::faults::is_strike;
use crate::{
    history::{Event, EventKind, Frame, History, Noted},
    phases::{Phases, heavier},
    plan::{Fault, Moment, NodeName, SimMs, Window},
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
    let found = watch(&outcome.plan.faults, &outcome.history, &scenario.obligations().slaves).into_iter().enumerate();
    found.map(|(index, hit)| if outcome.unfired.contains(&index) { BTreeSet::new() } else { hit }).collect()
}

fn watch(faults: &[Fault], history: &History, slaves: &BTreeMap<NodeName, NodeName>) -> Vec<BTreeSet<Phase>> {
    let lasting = faults.iter().map(|fault| fault.clone().window_mut().copied()).collect();
    let mut watch = Watch {
        slaves,
        faults,
        lasting,
        hits: vec![BTreeSet::new(); faults.len()],
        phases: Phases::default(),
        frame: None,
        under_way: BTreeMap::new(),
        last: BTreeMap::new(),
        syncing: BTreeMap::new(),
    };
    for event in history.events.iter().take_while(|event| !matches!(event.kind, EventKind::Healed)) {
        watch.event(event);
    }
    watch.hits
}

/// A call that has no answer yet.
struct Call {
    at_ms: SimMs,
    /// What was asked for, and of whom.
    code: i32,
    server: Arc<str>,
    phase: Phase,
}

type Calls = BTreeMap<(u64, i32), Call>;

struct Watch<'h> {
    slaves: &'h BTreeMap<NodeName, NodeName>,
    faults: &'h [Fault],
    /// From when to when each of them lasts, if it does.
    lasting: Vec<Option<Window>>,
    hits: Vec<BTreeSet<Phase>>,
    phases: Phases<'h>,
    /// The phase of the latest frame, which is what a fault of the network has struck when it is told.
    frame: Option<Phase>,
    /// The calls that each node has under way, by their connection and opaque.
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
                for node in [&*frame.from, &*frame.to] {
                    let call = Call { at_ms: now, code: frame.request_code, server: frame.to.clone(), phase };
                    self.under_way.entry(node).or_default().insert((frame.connection, frame.opaque), call);
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
                self.syncing.remove(node.as_str());
                self.last.insert(node, (now, Phase::Recovery));
            }
            EventKind::Fault { index: Some(index), text } if is_strike(text) => self.strikes(now, *index),
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
        self.lasting(now, phase, |fault| is_on_link(fault, frame));
    }

    /// Something happens in `phase` while faults last that concern it.
    fn lasting(&mut self, now: SimMs, phase: Phase, concerns: impl Fn(&Fault) -> bool) {
        for ((fault, window), hits) in self.faults.iter().zip(&self.lasting).zip(&mut self.hits) {
            let lasts = window.is_some_and(|window| window.from_ms <= now && now < window.to_ms);
            if lasts && concerns(fault) {
                hits.insert(phase);
            }
        }
    }

    /// A fault is told of, which it is after it has struck.
    fn strikes(&mut self, now: SimMs, index: usize) {
        let Some(fault) = self.faults.get(index) else { return };
        let phases: Vec<Phase> = match fault {
            Fault::Kill { node, when, .. }
            | Fault::Crash { node, when, .. }
            | Fault::Replace { node, when, .. }
            | Fault::Stop { node, when, .. }
            | Fault::Pause { node, when, .. } => match when {
                Moment::OnRequest { .. } => self.frame.into_iter().collect(),
                // The answer has not left: it is still under way.
                Moment::OnAnswer { code, .. } => self.serving(now, node, *code),
                Moment::At(_) | Moment::BeforeSync(_) | Moment::AfterSync(_) => self.doing(now, node),
            },
            // It strikes again and again, and only the first time at its moment.
            Fault::CrashLoop { node, .. }
            | Fault::ClockStep { node, .. }
            | Fault::DiskError { node, .. }
            | Fault::DiskFull { node, .. }
            | Fault::SlowStart { node, .. }
            | Fault::Buggify { node, .. } => self.doing(now, node),
            Fault::Reset { .. }
            | Fault::DuplicateRequest { .. }
            | Fault::DelayedRequest { .. }
            | Fault::LostRequest { .. }
            | Fault::LostAnswer { .. }
            | Fault::Answer { .. }
            | Fault::DamagedAnswer { .. } => self.frame.into_iter().collect(),
            // What lasts strikes whatever happens meanwhile.
            Fault::ClockDrift { .. }
            | Fault::FrozenClock { .. }
            | Fault::SlowDisk { .. }
            | Fault::Partition { .. }
            | Fault::Latency { .. }
            | Fault::Stall { .. }
            | Fault::SlowClose { .. }
            | Fault::Bandwidth { .. } => return,
        };
        self.hits[index].extend(phases);
    }

    fn calls(&self, now: SimMs, node: &str) -> impl Iterator<Item = &Call> {
        let calls = self.under_way.get(node).into_iter().flat_map(Calls::values);
        calls.filter(move |call| now - call.at_ms <= CALL_MS)
    }

    /// The requests of that code, or any, that a node is about to answer.
    fn serving(&self, now: SimMs, node: &str, code: Option<i32>) -> Vec<Phase> {
        let served = self.calls(now, node).filter(|call| &*call.server == node);
        served.filter(|call| code.is_none_or(|code| code == call.code)).map(|call| call.phase).collect()
    }

    /// What a node is doing. A poll waits most of the time: whoever has one under way is at rest.
    fn doing(&self, now: SimMs, node: &str) -> Vec<Phase> {
        let calls = self.calls(now, node).map(|call| call.phase);
        let calls = calls.filter(|phase| !matches!(phase, Phase::Pop | Phase::Replicate));
        let just = self.last.get(node).filter(|(at_ms, _)| now - at_ms <= JUST_MS).map(|(_, phase)| *phase);
        let doing: Vec<Phase> = calls.chain(just).chain(self.syncing.get(node).copied()).collect();
        if doing.is_empty() { vec![Phase::Idle] } else { doing }
    }
}

/// Whether the fault slows that node's disk down, or is one of the clock that stamps what goes there.
fn is_on_disk(fault: &Fault, node: &str) -> bool {
    match fault {
        Fault::SlowDisk { node: broken, .. }
        | Fault::ClockDrift { node: broken, .. }
        | Fault::FrozenClock { node: broken, .. } => broken == node,
        _ => false,
    }
}

/// Whether the fault is one of the way that a frame goes; of what is silent, one that the frame does not arrive for.
fn is_on_link(fault: &Fault, frame: &Frame) -> bool {
    let (from, to) = (&*frame.from, &*frame.to);
    match fault {
        Fault::Partition { from: one, to: other, one_way, .. } => {
            let has = |side: &[NodeName], node: &str| side.iter().any(|it| it == node);
            let is_cut = has(one, from) && has(other, to) || !one_way && has(one, to) && has(other, from);
            is_cut && frame.arrived_ms.is_none()
        }
        Fault::Latency { from: sender, to: receiver, .. }
        | Fault::Stall { from: sender, to: receiver, .. }
        | Fault::SlowClose { from: sender, to: receiver, .. }
        | Fault::Bandwidth { from: sender, to: receiver, .. } => {
            let is = |end: &Option<NodeName>, node: &str| end.as_ref().is_none_or(|end| end == node);
            is(sender, from) && is(receiver, to)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::frame::code,
        oracles::fixture::Story,
        plan::{DiskOperation, Hits, Rpcs},
    };

    const ALWAYS: Window = Window { from_ms: 0, to_ms: 1_000_000 };

    /// What brokers do when they start is long over.
    fn at_rest() -> Story {
        let mut story = Story::new();
        story.event(EventKind::Synced { node: "a".into(), sync: 1, bytes: 1 }).wait(60_000);
        story
    }

    fn struck(story: &Story, fault: Fault) -> Vec<Phase> {
        watch(&[fault], &story.history, &story.obligations.slaves).remove(0).into_iter().collect()
    }

    fn told(story: &mut Story, text: &str) {
        story.event(EventKind::Fault { index: Some(0), text: text.into() });
    }

    fn kill(when: Moment) -> Fault {
        Fault::Kill { node: "a".into(), when, down_ms: 1 }
    }

    #[test]
    fn what_hits_a_frame_strikes_its_phase() {
        let mut story = at_rest();
        story.read(0);
        told(&mut story, "lost-request: b→a");
        let rpcs = Rpcs { from: None, to: None, code: None, hits: Hits::Nth(vec![1]) };
        assert_eq!(struck(&story, Fault::LostRequest { rpcs }), [Phase::RemoteRead]);
    }

    #[test]
    fn a_node_is_struck_in_what_it_has_under_way_or_did_just_before() {
        let killed = |wait_ms, answered| {
            let mut story = at_rest();
            let call = story.read(0);
            if answered {
                story.response(("a", "b", call), (code::PULL, 0), &[], b"");
            }
            told(story.wait(wait_ms), "kill: a for 1 ms");
            struck(&story, kill(Moment::At(0)))
        };
        assert_eq!(killed(5_000, false), [Phase::RemoteRead], "it has not answered");
        assert_eq!(killed(5, true), [Phase::RemoteRead], "it has just answered");
        assert_eq!(killed(5_000, true), [Phase::Idle]);
        assert_eq!(killed(20_000, false), [Phase::Idle], "nobody waits any more");
    }

    #[test]
    fn one_that_dies_at_its_answer_is_struck_in_that_whatever_else_happens() {
        let mut story = at_rest();
        story.request("c", "a", code::ACK, &[], b"");
        story.request("c", "a", code::POP, &[], b"");
        story.read_slave(0);
        told(&mut story, "kill: a for 1 ms");
        let when = |code| Moment::OnAnswer { from: Some("a".into()), to: None, code: Some(code), nth: 1 };
        assert_eq!(struck(&story, kill(when(code::POP))), [Phase::Pop]);
        assert_eq!(struck(&story, kill(when(code::ACK))), [Phase::Ack]);
    }

    #[test]
    fn what_lasts_strikes_what_passes_meanwhile_and_a_partition_what_does_not_arrive() {
        let mut story = at_rest();
        story.read(0);
        story.arrives(None).request("c", "a", code::ACK, &[], b"");
        let (from, to) = (vec!["a".into()], vec!["b".into(), "c".into()]);
        let cut = Fault::Partition { from, to, one_way: false, window: ALWAYS };
        assert_eq!(struck(&story, cut), [Phase::RemoteRead]);
        let slow = |to_ms| Window { from_ms: 0, to_ms };
        let latency = |window| Fault::Latency { from: None, to: Some("a".into()), window, min_ms: 1, max_ms: 2 };
        assert_eq!(struck(&story, latency(ALWAYS)), [Phase::Ack, Phase::RemoteRead]);
        assert_eq!(struck(&story, latency(slow(story.now_ms))), []);
    }

    #[test]
    fn a_disk_is_struck_when_an_operation_fails_and_not_when_it_may() {
        let failing =
            || Fault::DiskError { node: "a".into(), operation: DiskOperation::Write, hits: Hits::During(ALWAYS) };
        let mut story = at_rest();
        told(&mut story, "disk-error begins");
        story.send(1, 0);
        assert_eq!(struck(&story, failing()), []);
        told(&mut story, "disk-error: write 7 of a");
        assert_eq!(struck(&story, failing()), [Phase::Send]);
    }
}
