//! Whether a run has anything left to do, judged by what disks hold and clients saw.
//!
//! This only decides when to stop: what must have happened by then is the oracles' business.

use std::collections::{BTreeMap, BTreeSet};

use super::outstanding::{Outstanding, Place};
use crate::{
    evidence::DurableEntry,
    history::{EventKind, Noted},
    plan::{NodeName, SimMs},
};

/// What is left to do.
#[derive(Debug, Default)]
pub struct Progress {
    /// Topic → the groups that subscribe to it.
    groups: BTreeMap<String, Vec<String>>,
    /// What the logs leave to be done.
    left: Outstanding,
    /// Clients that still have something to do.
    busy: BTreeSet<NodeName>,
    /// Node of a slave → its master's.
    slaves: BTreeMap<NodeName, NodeName>,
    /// The last log index on each disk, if there are slaves.
    last_index: BTreeMap<NodeName, u64>,
    last_ms: SimMs,
}

impl Progress {
    /// Follows these groups, as (name, topic), and waits for these clients to be done.
    pub fn new(groups: impl IntoIterator<Item = (String, String)>, busy: impl IntoIterator<Item = NodeName>) -> Self {
        let mut progress = Self { busy: busy.into_iter().collect(), ..Self::default() };
        for (group, topic) in groups {
            progress.groups.entry(topic.clone()).or_default().push(group.clone());
            for retry in [format!("%RETRY%{group}_{topic}"), format!("%RETRY%{group}+{topic}")] {
                progress.groups.entry(retry).or_default().push(group.clone());
            }
        }
        progress
    }

    /// Waits for these slaves (node → broker) to have all that their masters have, too.
    pub fn with_slaves(self, slaves: BTreeMap<NodeName, NodeName>) -> Self {
        Self { slaves, ..self }
    }

    /// A client has nothing left to do.
    pub fn done(&mut self, client: &str) {
        self.busy.remove(client);
    }

    /// A log entry became durable.
    pub fn durable(&mut self, at_ms: SimMs, node: &str, entry: &DurableEntry) {
        self.last_ms = at_ms;
        if !self.slaves.is_empty() {
            self.last_index.insert(node.to_owned(), entry.index);
        }
        // A slave's entries are the same facts once more.
        if !self.slaves.contains_key(node) {
            self.left.durable(node, entry);
        }
    }

    /// A log entry that a master had is on its disk again: what follows from it was left to be done all the while.
    pub fn again(&mut self, at_ms: SimMs, node: &str, index: u64) {
        self.last_ms = at_ms;
        self.last_index.insert(node.to_owned(), index);
    }

    /// A master has another disk, with nothing on it as far as is known.
    pub fn replaced(&mut self, node: &str) {
        self.last_index.insert(node.to_owned(), 0);
    }

    /// Whether a node follows another one's log.
    pub fn is_slave(&self, node: &str) -> bool {
        self.slaves.contains_key(node)
    }

    /// Clients or the runner saw something; empty polls are nothing new.
    pub fn seen(&mut self, at_ms: SimMs, kind: &EventKind) {
        use crate::history::Seen;
        let idle = match kind {
            EventKind::Noted(Noted::Popped(popped)) => matches!(&popped.seen, Seen::Ok(list) if list.is_empty()),
            EventKind::Noted(Noted::Scraped(_)) => true,
            _ => false,
        };
        if !idle {
            self.last_ms = at_ms;
        }
    }

    /// When the last thing happened, if nothing is left to do.
    pub fn settled_since(&self) -> Option<SimMs> {
        let settled = self.left.open.is_empty()
            && self.left.timers.is_empty()
            && self.busy.is_empty()
            && self.waiting().next().is_none();
        (settled && self.behind().next().is_none()).then_some(self.last_ms)
    }

    /// Slaves that lack something of their master's log, or give it what that lacks.
    fn behind(&self) -> impl Iterator<Item = &NodeName> {
        let last = |node: &str| self.last_index.get(node).copied().unwrap_or(0);
        self.slaves.iter().filter(move |(slave, master)| last(slave) != last(master)).map(|(slave, _)| slave)
    }

    /// Queues with messages that a group has not popped yet.
    fn waiting(&self) -> impl Iterator<Item = (&Place, &String)> {
        self.left.ends.iter().flat_map(move |(place, end)| {
            let (node, topic, queue) = place;
            let groups = self.groups.get(topic).into_iter().flatten();
            groups.filter_map(move |group| {
                let key = (node.clone(), group.clone(), topic.clone(), *queue);
                (self.left.offsets.get(&key).copied().unwrap_or(0) < *end).then_some((place, group))
            })
        })
    }

    /// What is left to do, in words.
    pub fn describe(&self) -> String {
        let mut left = Vec::new();
        left.extend(self.left.open.iter().take(3).map(|(node, id)| format!("chain {id} is open at {node}")));
        if self.left.open.len() > 3 {
            left.push(format!("and {} more chains", self.left.open.len() - 3));
        }
        left.extend(
            self.waiting().take(3).map(|((node, topic, queue), group)| {
                format!("{group} has not popped all of {topic}/{queue} at {node}")
            }),
        );
        left.extend(
            self.behind().map(|slave| format!("the logs of {slave} and its master are not as long as each other")),
        );
        left.extend(self.busy.iter().take(3).map(|client| format!("{client} is not done")));
        let at = |node: &&NodeName| self.left.timers.iter().filter(|(at, ..)| at == *node).count();
        let nodes: BTreeSet<&NodeName> = self.left.timers.iter().map(|(node, ..)| node).collect();
        left.extend(nodes.iter().map(|node| format!("{} delayed messages wait at {node}", at(node))));
        left.join("; ")
    }
}
