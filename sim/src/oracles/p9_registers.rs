//! Part of P9: a broker tells each name server that it is there, again and again, whatever became of the last time.
//!
//! Rule: a process that has begun to register at a name server, and whose disk has not failed, registers there again within
//! [`AGAIN_MS`], where nothing was broken meanwhile and that name server runs.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::{history::EventKind, ledger::Ledger, plan::SimMs};

/// How long it may take, ms: it does so every half minute, after the last one has come to something.
const AGAIN_MS: SimMs = 60_000;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let mut watch = Watch::default();
    let registrations = ledger.naming.told.iter().filter(|told| told.topics.is_some()).map(|told| told.asked.event);
    let registrations: BTreeSet<usize> = registrations.collect();
    for (number, event) in ledger.history.events.iter().enumerate() {
        let late = match &event.kind {
            EventKind::Request(frame) if registrations.contains(&number) => {
                let late = watch.late(event.at_ms, Some((&frame.from, &frame.to)));
                watch.registers(event.at_ms, (&frame.from, &frame.to), &ledger.obligations.name_servers);
                late
            }
            EventKind::Node { node, event: what } => {
                let late = watch.late(event.at_ms, None);
                watch.hit(event.at_ms, node, what);
                late
            }
            EventKind::Fault { index, text } => {
                let late = watch.late(event.at_ms, None);
                watch.broken(event.at_ms, *index, text);
                late
            }
            EventKind::ClockStands { .. } | EventKind::ClockGained { .. } | EventKind::Healed | EventKind::Over => {
                let late = watch.late(event.at_ms, None);
                watch.begin_anew(event.at_ms);
                late
            }
            _ => continue,
        };
        for ((node, server), for_ms) in late {
            let detail = format!("it has not registered at {server} for {for_ms} ms, and nothing hinders it");
            found.broken(event.at_ms, node, detail);
        }
    }
}

/// Who registers, and what hinders it.
#[derive(Default)]
struct Watch<'l> {
    /// Node, name server → since when it is to register again.
    since: BTreeMap<(&'l str, &'l str), SimMs>,
    /// Nodes that do not run, of brokers and name servers.
    down: BTreeSet<&'l str>,
    /// Nodes whose disk has failed the process.
    failed: BTreeSet<&'l str>,
    /// Faults that last.
    lasting: BTreeSet<Option<usize>>,
}

impl<'l> Watch<'l> {
    /// Those, or the one, for whom it is too late.
    fn late(&self, at_ms: SimMs, only: Option<(&str, &str)>) -> Vec<((&'l str, &'l str), SimMs)> {
        if !self.lasting.is_empty() {
            return Vec::new();
        }
        let late = self.since.iter().map(|(who, since_ms)| (*who, at_ms.saturating_sub(*since_ms)));
        let late = late.filter(|(who, for_ms)| *for_ms > AGAIN_MS && only.is_none_or(|only| only == *who));
        let runs = |(node, server): (&str, &str)| !self.down.contains(node) && !self.down.contains(server);
        late.filter(|(who, _)| runs(*who) && !self.failed.contains(who.0)).collect()
    }

    /// It has registered at one name server; from then on it is to at every one.
    fn registers(&mut self, at_ms: SimMs, (node, server): (&'l str, &'l str), servers: &'l [String]) {
        for other in servers {
            self.since.entry((node, other)).or_insert(at_ms);
        }
        self.since.insert((node, server), at_ms);
    }

    fn hit(&mut self, at_ms: SimMs, node: &'l str, what: &str) {
        match what {
            "started" => {
                self.failed.remove(node);
                self.since.retain(|(registers, _), _| *registers != node);
                self.down.remove(node);
            }
            "began" | "resumed" => drop(self.down.remove(node)),
            "killed" | "crashed" | "stopping" | "stopped" | "paused" => drop(self.down.insert(node)),
            // Its disk has failed it; or it is lost or moves, and begins anew afterwards.
            _ => drop(self.failed.insert(node)),
        }
        self.begin_anew(at_ms);
    }

    fn broken(&mut self, at_ms: SimMs, index: Option<usize>, text: &str) {
        if text.ends_with(" begins") {
            self.lasting.insert(index);
        } else if text.ends_with(" ends") {
            self.lasting.remove(&index);
        } else if text == "healed" {
            self.lasting.clear();
        }
        // Who is slow to start says so when it runs.
        let slow = text.strip_prefix("slow-start: ").and_then(|rest| rest.split(' ').next());
        let slow = self.since.keys().map(|(_, server)| *server).find(|server| slow == Some(*server));
        self.down.extend(slow);
        self.begin_anew(at_ms);
    }

    fn begin_anew(&mut self, at_ms: SimMs) {
        self.since.values_mut().for_each(|since_ms| *since_ms = at_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::AGAIN_MS;
    use crate::{evidence::frame::code, history::EventKind, oracles::fixture::Story};

    fn fault(text: &str) -> EventKind {
        EventKind::Fault { index: Some(0), text: text.into() }
    }

    fn node(node: &str, event: &str) -> EventKind {
        EventKind::Node { node: node.into(), event: event.into() }
    }

    fn registers(story: &mut Story) -> &mut Story {
        story.register("a", "10.0.1.1:10911", "{}", Some(0))
    }

    /// Whether a broker is blamed that registered once, so long after that and after this at half time.
    fn is_blamed(other: Option<EventKind>, after_ms: u64) -> bool {
        let mut story = Story::new();
        registers(&mut story).wait(AGAIN_MS / 2 - 10);
        if let Some(other) = other {
            story.event(other);
        }
        story.wait(after_ms - AGAIN_MS / 2);
        story.is_blamed("P9", "it has not registered at namesrv for")
    }

    #[test]
    fn whoever_runs_registers_again_and_again() {
        assert!(!is_blamed(None, AGAIN_MS) && is_blamed(None, AGAIN_MS + 1));
        let mut story = Story::new();
        for _ in 0..3 {
            registers(&mut story).wait(AGAIN_MS / 2);
        }
        assert!(!story.is_blamed("P9", "it has not registered at namesrv for"));
    }

    #[test]
    fn it_registers_at_every_name_server() {
        let mut story = Story::new();
        story.obligations.name_servers = ["namesrv", "namesrv-2"].map(String::from).to_vec();
        let at = |story: &mut Story, server: &str| {
            let who = [("brokerName", "a"), ("brokerId", "0"), ("brokerAddr", "10.0.1.1:10911")];
            story.request("a", server, code::REGISTER_BROKER, &who, b"{}");
        };
        for _ in 0..4 {
            at(&mut story, "namesrv");
            story.wait(AGAIN_MS / 2);
        }
        assert!(story.is_blamed("P9", "it has not registered at namesrv-2 for"));
        assert!(!story.is_blamed("P9", "it has not registered at namesrv for"));
    }

    #[test]
    fn what_is_broken_gives_it_time() {
        assert!(!is_blamed(Some(fault("partition begins")), 3 * AGAIN_MS));
        assert!(!is_blamed(Some(node("namesrv", "killed")), 3 * AGAIN_MS));
        assert!(!is_blamed(Some(fault("answer: SYSTEM_BUSY")), AGAIN_MS + 1));
        assert!(is_blamed(Some(fault("answer: SYSTEM_BUSY")), 2 * AGAIN_MS));
        assert!(!is_blamed(Some(node("a", "failed to sync")), AGAIN_MS + 1));
    }
}
