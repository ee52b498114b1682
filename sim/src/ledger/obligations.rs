//! What the brokers of a run owe: who subscribes to what, and by which policy failures are repeated.

use std::collections::BTreeMap;

use crate::{
    plan::NodeName,
    scenario::{Retention, slave_name},
};

/// What a run is judged against, besides its history.
#[derive(Debug, Clone, Default)]
pub struct Obligations {
    /// The consumer groups: all that the workload pops for.
    pub groups: Vec<GroupSpec>,
    /// The name servers.
    pub name_servers: Vec<NodeName>,
    /// The brokers; a broker's name is the name of its master's node.
    pub brokers: Vec<NodeName>,
    /// Node of a slave → the broker whose log it follows.
    pub slaves: BTreeMap<NodeName, NodeName>,
    /// On how many disks of a broker's group a record must be before anybody is told; one for those that are not listed.
    pub degrees: BTreeMap<NodeName, u32>,
    /// How failed attempts are repeated.
    pub policy: PolicySpec,
    /// Broker that may act for an absent master → broker that is then the home of its chains.
    pub escapes: BTreeMap<NodeName, NodeName>,
    /// Broker whose slave acts for it → the same target.
    pub acting: BTreeMap<NodeName, NodeName>,
    /// For how long a slave has not heard its master before it acts, ms.
    pub acting_after_ms: u64,
    /// How long each broker keeps messages; for ever those that are not listed.
    pub retention: BTreeMap<NodeName, Retention>,
    /// How long each broker knows a chain after it was over, ms.
    pub chain_windows_ms: BTreeMap<NodeName, u64>,
    /// How long a fault may have a sync of a node take, ms; a moment for those that are not listed.
    pub slow_syncs_ms: BTreeMap<NodeName, u64>,
}

/// How many syncs a commit has: the store's, and that of the mark which tells how far it has come.
const SYNCS_PER_COMMIT: u64 = 2;

/// A consumer group.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// Name.
    pub name: String,
    /// The topic it subscribes to.
    pub topic: String,
    /// Which tags it takes: `*` or empty for all, else `A || B`.
    pub tag_filter: String,
    /// A message that was revived this often becomes a dead letter.
    pub reconsume_limit: i32,
    /// It begins with what comes after its first pop, not with what is there.
    pub starts_at_end: bool,
}

/// The rewrite policy.
#[derive(Debug, Clone, Default)]
pub struct PolicySpec {
    /// Waits between attempts, ms; the last one repeats.
    pub waits_ms: Vec<u64>,
    /// How many rewrites there may be in one round.
    pub rewrites: u32,
    /// Longest time from the first attempt of a round to the last, ms.
    pub total_ms: Option<u64>,
    /// How far a wait may be off, as a share of itself.
    pub jitter: f64,
    /// How many reads in a row must be refused for good before a chain is given up.
    pub refusals: u32,
}

impl Obligations {
    /// The broker that a node is a member of, if it is a slave; otherwise the node's own name.
    #[must_use]
    pub fn group_of<'a>(&'a self, node: &'a str) -> &'a str {
        self.slaves.get(node).map_or(node, String::as_str)
    }

    /// On how many disks besides its own what a broker tells must be.
    #[must_use]
    pub fn other_disks(&self, broker: &str) -> usize {
        self.degrees.get(broker).map_or(0, |degree| *degree as usize - 1)
    }

    /// Whether a broker's master confirms alone while its slave may act for it, and so needs a lease.
    #[must_use]
    pub fn needs_lease(&self, broker: &str) -> bool {
        self.acting.contains_key(broker) && self.other_disks(broker) == 0
    }

    /// How long it may take at the most, because syncs are slow, until a node has written something and it is confirmed, ms:
    /// on each disk the commit that is under way comes first.
    #[must_use]
    pub fn writes_within_ms(&self, node: &str) -> u64 {
        let confirming = self.slaves_of(node).filter(|_| self.other_disks(node) > 0);
        let disks = std::iter::once(node).chain(confirming);
        let syncs_ms: u64 = disks.filter_map(|disk| self.slow_syncs_ms.get(disk)).sum();
        syncs_ms.saturating_mul(2 * SYNCS_PER_COMMIT)
    }

    /// The slave of a broker that has this id; `None` if there is none.
    #[must_use]
    pub fn slave<'a>(&'a self, broker: &str, id: u64) -> Option<&'a str> {
        let name = slave_name(broker, u32::try_from(id).ok()?);
        self.slaves.get_key_value(&name).map(|(node, _)| node.as_str())
    }

    /// The slaves of a broker.
    pub fn slaves_of<'a>(&'a self, broker: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.slaves.iter().filter(move |(_, master)| *master == broker).map(|(node, _)| node.as_str())
    }
}

impl PolicySpec {
    /// The shortest wait that may follow `attempt` (from 1), ms.
    #[must_use]
    pub fn shortest_wait_ms(&self, attempt: u32) -> i64 {
        let at = (attempt.max(1) as usize - 1).min(self.waits_ms.len().saturating_sub(1));
        let wait = self.waits_ms.get(at).copied().unwrap_or(0);
        (wait as f64 * (1.0 - self.jitter)).floor() as i64
    }

    /// The longest wait that may follow `attempt` (from 1), ms.
    #[must_use]
    pub fn longest_wait_ms(&self, attempt: u32) -> i64 {
        let at = (attempt.max(1) as usize - 1).min(self.waits_ms.len().saturating_sub(1));
        let wait = self.waits_ms.get(at).copied().unwrap_or(0);
        (wait as f64 * (1.0 + self.jitter)).ceil() as i64
    }

    /// How long a chain may lie due while its peer is away, ms: the total, or what all rewrites would have taken.
    #[must_use]
    pub fn longest_ms(&self) -> i64 {
        let last = self.waits_ms.last().copied().unwrap_or(0);
        let waits = (0..self.rewrites as usize).map(|at| self.waits_ms.get(at).copied().unwrap_or(last));
        i64::try_from(self.total_ms.unwrap_or_else(|| waits.sum())).unwrap_or(i64::MAX)
    }

    /// Attempts that one round may have.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.rewrites.saturating_add(1)
    }
}

impl GroupSpec {
    /// Whether the group takes messages with this tag.
    #[must_use]
    pub fn wants(&self, tag: Option<&str>) -> bool {
        let filter = self.tag_filter.trim();
        filter.is_empty()
            || filter == "*"
            || tag.is_some_and(|tag| filter.split("||").any(|wanted| wanted.trim() == tag))
    }

    /// Whether the topic is this group's retry topic, of either form.
    #[must_use]
    pub fn is_retry_topic(&self, topic: &str) -> bool {
        let tail = topic.strip_prefix("%RETRY%").and_then(|tail| tail.strip_prefix(self.name.as_str()));
        tail.and_then(|tail| tail.strip_prefix(['_', '+'])) == Some(self.topic.as_str())
    }

    /// Whether the topic is this group's dead-letter topic.
    #[must_use]
    pub fn is_dead_letter_topic(&self, topic: &str) -> bool {
        topic.strip_prefix("%DLQ%") == Some(self.name.as_str())
    }

    /// Whether messages of this topic are copies made for this group.
    #[must_use]
    pub fn is_copy_topic(&self, topic: &str) -> bool {
        self.is_retry_topic(topic) || self.is_dead_letter_topic(topic)
    }
}

/// Whether messages of this topic are copies, whoever they were made for.
#[must_use]
pub fn is_any_copy_topic(topic: &str) -> bool {
    topic.starts_with("%RETRY%") || topic.starts_with("%DLQ%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_copy_topics() {
        let group = |tag_filter: &str| GroupSpec {
            name: "g".into(),
            topic: "t".into(),
            tag_filter: tag_filter.into(),
            reconsume_limit: 3,
            starts_at_end: false,
        };
        assert!(group("*").wants(None) && group("").wants(Some("A")));
        assert!(group("A || B").wants(Some("B")) && !group("A || B").wants(Some("C")) && !group("A").wants(None));
        assert!(group("*").is_copy_topic("%RETRY%g_t") && group("*").is_copy_topic("%RETRY%g+t"));
        assert!(group("*").is_copy_topic("%DLQ%g") && !group("*").is_copy_topic("%RETRY%g_tt"));
        assert!(!group("*").is_copy_topic("t") && !group("*").is_copy_topic("%RETRY%g"));
    }

    #[test]
    fn waits_repeat_the_last_and_allow_jitter() {
        let policy = PolicySpec { waits_ms: vec![1000, 4000], rewrites: 3, total_ms: None, jitter: 0.25, refusals: 1 };
        assert_eq!([0, 1, 2, 9].map(|attempt| policy.shortest_wait_ms(attempt)), [750, 750, 3000, 3000]);
        assert_eq!((policy.longest_wait_ms(1), policy.attempts()), (1250, 4));
        assert_eq!(policy.longest_ms(), 9000);
        assert_eq!(PolicySpec { total_ms: Some(500), ..policy }.longest_ms(), 500);
    }
}
