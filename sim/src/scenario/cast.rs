//! Who takes part in a scenario, as validated values: the cluster, its clients and what a human does.

use serde::Serialize;

use super::{Scenario, phase::Phase};
use crate::plan::{NodeName, SimMs};

/// The name server that every scenario has.
pub const NAMESRV: &str = "namesrv";

/// The nodes of so many name servers.
pub fn name_server_names(count: u32) -> impl Iterator<Item = NodeName> {
    (1..=count).map(|number| if number == 1 { NAMESRV.to_owned() } else { format!("{NAMESRV}-{number}") })
}

/// A replica group; its master is the node of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broker {
    /// Broker name, and the name of its master's node.
    pub name: NodeName,
    /// How many slaves follow its log and serve reads.
    #[serde(skip_serializing_if = "is_zero")]
    pub slaves: u32,
    /// The broker that keeps the checkpoints and acks of pops served here, as for an acting slave.
    pub escapes_to: Option<NodeName>,
    /// The broker that keeps what its slave does in the place of its absent master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acting_to: Option<NodeName>,
    /// Disks that must have synced a record before it is confirmed.
    pub degree: u32,
    /// How long messages are kept.
    #[serde(skip_serializing_if = "Retention::is_for_ever")]
    pub retention: Retention,
    /// How long a chain is known after it was over.
    pub chain_window_ms: SimMs,
}

/// How long a chain is known after it was over unless a broker says otherwise: a day, as `BrokerConfig` has it, or longer
/// where the policy asks for it.
pub(super) const CHAIN_WINDOW_MS: SimMs = 86_400_000;

/// RocketMQ's waits between revive attempts, in seconds.
const ROCKETMQ_WAITS_S: [SimMs; 17] =
    [10, 20, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1_200, 1_800, 3_600, 7_200];

impl Default for Broker {
    /// What a broker is of whom a file tells nothing but its name.
    fn default() -> Self {
        Self {
            name: NodeName::new(),
            slaves: 0,
            escapes_to: None,
            acting_to: None,
            degree: 1,
            retention: Retention::default(),
            chain_window_ms: CHAIN_WINDOW_MS,
        }
    }
}

/// The node of a broker's slave; the master's id is 0.
#[must_use]
pub fn slave_name(broker: &str, id: u32) -> NodeName {
    format!("{broker}-s{id}")
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) const fn is_one(number: &u32) -> bool {
    *number == 1
}

impl Consumer {
    /// For how long a renewed message is invisible, ms.
    #[must_use]
    pub fn renewed_ms(&self) -> SimMs {
        self.renew_for_ms.unwrap_or(self.invisible_ms)
    }
}

impl Broker {
    /// Its slaves: each one's id and node.
    pub fn slaves(&self) -> impl Iterator<Item = (u32, NodeName)> + use<'_> {
        (1..=self.slaves).map(|id| (id, slave_name(&self.name, id)))
    }

    /// Whether its master confirms alone while its slave may act for it, and so needs a lease.
    #[must_use]
    pub const fn needs_lease(&self) -> bool {
        self.degree == 1 && self.acting_to.is_some()
    }
}

/// How long a broker keeps messages; without any limit for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// How long after it was stored a message expires.
    pub age_ms: Option<SimMs>,
    /// How many bytes of log are kept.
    pub bytes: Option<u64>,
}

impl Retention {
    /// Whether nothing ever expires.
    #[must_use]
    pub fn is_for_ever(&self) -> bool {
        *self == Self::default()
    }
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// Name on the wire.
    pub name: String,
    /// The brokers that hold it, in the order of the file; never empty.
    pub brokers: Vec<NodeName>,
    /// Queues per broker.
    pub queues: u32,
}

impl Default for Topic {
    fn default() -> Self {
        Self { name: String::new(), brokers: Vec::new(), queues: 4 }
    }
}

/// A consumer group, subscribed to one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Name on the wire.
    pub name: String,
    /// What it subscribes to.
    pub topic: String,
    /// Tag filter; `*` is every message.
    pub tag: String,
    /// Redeliveries after which a message goes to the dead-letter topic.
    pub max_reconsume: u32,
    /// It begins with what is stored after its first pop of a queue, not with all there is.
    pub begins_at_end: bool,
}

impl Default for Group {
    fn default() -> Self {
        Self { name: String::new(), topic: String::new(), tag: "*".into(), max_reconsume: 16, begins_at_end: false }
    }
}

/// A client that sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Producer {
    /// Node name.
    pub name: NodeName,
    /// Where it sends to.
    pub topic: String,
    /// How many messages it sends in all.
    pub messages: u32,
    /// When it begins.
    pub from_ms: SimMs,
    /// The span, from `from_ms`, over which the messages are spread.
    pub over_ms: SimMs,
    /// How many messages are sent together, at one moment.
    pub burst: u32,
    /// Size of a body.
    pub body_bytes: u32,
    /// Tags given to the messages in turn; empty for none.
    pub tags: Vec<String>,
    /// `Some`: every message is a delayed one, due this long after it was sent.
    pub delay_ms: Option<SimMs>,
    /// What the `UNIQ_KEY`s of its messages begin with, in the place of its name.
    pub keys: Option<String>,
}

impl Default for Producer {
    fn default() -> Self {
        Self {
            name: NodeName::new(),
            topic: String::new(),
            messages: 1,
            from_ms: 0,
            over_ms: 1,
            burst: 1,
            body_bytes: 64,
            tags: Vec::new(),
            delay_ms: None,
            keys: None,
        }
    }
}

/// A client that pops and acks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Consumer {
    /// Node name.
    pub name: NodeName,
    /// The group it belongs to.
    pub group: String,
    /// When it begins to pop.
    pub from_ms: SimMs,
    /// Most messages per pop, `1..=32`.
    pub batch: u32,
    /// How long a popped message stays invisible.
    pub invisible_ms: SimMs,
    /// How long a pop may wait for messages.
    pub poll_ms: SimMs,
    /// Time between pop and ack.
    pub think_ms: SimMs,
    /// Probability that a first delivery is acked in time.
    pub ack: f64,
    /// Probability that a later delivery is acked in time.
    pub ack_retries: f64,
    /// Probability that a message is renewed, before its ack or instead of one.
    pub renew: f64,
    /// For how long it is renewed, ms; `None` is as long as it was popped for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_for_ms: Option<SimMs>,
    /// How often it is renewed then, each handle in its turn.
    #[serde(skip_serializing_if = "is_one")]
    pub renewals: u32,
    /// Probability that a first delivery is acked only after its invisible time; `ack + late_ack <= 1`.
    pub late_ack: f64,
    /// Probability that an ack is sent twice.
    pub repeat_ack: f64,
    /// About how long after an ack it is sent again, ms: half as long to one and a half times.
    pub repeat_after_ms: SimMs,
    /// Acks travel in batches.
    pub batch_ack: bool,
    /// The slave of Apache's through which it pops at one of the brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apache: Option<ApacheSlave>,
}

/// A slave of Apache RocketMQ that acts for its master, as a consumer and brokers of ours meet it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApacheSlave {
    /// The broker whose messages it hands out.
    pub slave_of: NodeName,
    /// The broker that keeps its checkpoints and acks.
    pub keeps_at: NodeName,
    /// Share of its checkpoints before which it sends one that is cut off, as a version does that writes another form.
    pub garbles: f64,
    /// Share of what it hands out before which it acks something whose checkpoint it lost, and never sends.
    pub strays: f64,
}

impl Default for Consumer {
    fn default() -> Self {
        Self {
            name: NodeName::new(),
            group: String::new(),
            from_ms: 0,
            batch: 8,
            invisible_ms: 30_000,
            poll_ms: 15_000,
            think_ms: 50,
            ack: 1.0,
            ack_retries: 1.0,
            renew: 0.0,
            renew_for_ms: None,
            renewals: 1,
            late_ack: 0.0,
            repeat_ack: 0.0,
            repeat_after_ms: 1000,
            batch_ack: false,
            apache: None,
        }
    }
}

/// How long a chain waits before each further revive attempt, and when it gives up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Policy {
    /// The waits, one per rewrite; the last one serves for all further rewrites. Never empty.
    pub waits_ms: Vec<SimMs>,
    /// Rewrites after which the chain is parked.
    pub rewrites: u32,
    /// Time after the first failure at which the chain is parked, whatever rewrites are left.
    pub total_ms: Option<SimMs>,
    /// Share of a wait that may be added to it at random, `0..=1`.
    pub jitter: f64,
    /// Reads in a row that must be refused for good before the chain is parked.
    pub refusals: u32,
}

impl Default for Policy {
    /// RocketMQ's.
    fn default() -> Self {
        let waits_ms: Vec<SimMs> = ROCKETMQ_WAITS_S.iter().map(|seconds| seconds * 1_000).collect();
        Self { rewrites: Self::one_rewrite_per_wait(&waits_ms), waits_ms, total_ms: None, jitter: 0.0, refusals: 2 }
    }
}

impl Policy {
    /// How many rewrites there are unless a file says otherwise.
    pub(super) fn one_rewrite_per_wait(waits_ms: &[SimMs]) -> u32 {
        u32::try_from(waits_ms.len()).unwrap_or(u32::MAX)
    }
}

/// The usual latency of every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Shortest.
    pub min_ms: SimMs,
    /// Longest.
    pub max_ms: SimMs,
}

/// What a human does, and when; it may be after the end of the workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorStep {
    /// When.
    pub at_ms: SimMs,
    /// What.
    pub action: OperatorAction,
}

/// Something a human can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorAction {
    /// Resumes all parked chains: each begins another round.
    ResumeParked {
        /// Whose; `None` is every broker's.
        broker: Option<NodeName>,
    },
    /// Resumes all parked chains one by one, as they are listed, and each twice: who is not sure asks again.
    ResumeEach {
        /// Whose; `None` is every broker's.
        broker: Option<NodeName>,
    },
    /// Deletes a topic; repeated until it works.
    DeleteTopic {
        /// Which.
        topic: String,
        /// Where; `None` is every broker that holds it.
        broker: Option<NodeName>,
    },
    /// Creates a topic as the scenario describes it; repeated until it works.
    CreateTopic {
        /// Which.
        topic: String,
        /// Where; `None` is every broker that holds it.
        broker: Option<NodeName>,
    },
    /// Sets a group's offsets in its topic; repeated until it works.
    ResetOffset {
        /// Whose.
        group: String,
        /// Where; `None` is every broker that holds its topic.
        broker: Option<NodeName>,
        /// To what was stored since then; `None` is the end.
        to_ms: Option<SimMs>,
    },
}

/// What a sweep over many seeds must reach as a whole, or the scenario provokes nothing any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Expect {
    /// Names from [`super::reached::REACHED`].
    pub reached: Vec<String>,
    /// Minimum totals over the sweep.
    pub settle: Settle,
}

/// Minimum totals over a sweep; 0 demands nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Settle {
    /// Chains that ended revived.
    pub revived_at_least: u64,
    /// Chains that were parked.
    pub parked_at_least: u64,
    /// Rewrites.
    pub rewrites_at_least: u64,
    /// The highest attempt count of any chain.
    pub max_attempts_at_least: u64,
    /// Faults that fired.
    pub faults_at_least: u64,
}

/// The small run of a scenario in which every point is crashed at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrashPoints {
    /// Seed of the run whose points are numbered.
    pub seed: u64,
    /// How long a crashed node stays away.
    pub down_ms: SimMs,
    /// Phases that must have points.
    pub phases: Vec<Phase>,
    /// What is run: the scenario with the section's tables in the place of its own.
    pub scenario: Box<Scenario>,
}
