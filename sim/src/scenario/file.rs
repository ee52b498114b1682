//! The tables of a scenario file as they are written. Their meaning is checked in [`super::check`].
//!
//! The doc comments of this file are what editors show: they become the descriptions of the JSON Schema.

use schemars::JsonSchema;
use serde::Deserialize;

use super::shapes::{Located, NameOrNumber, Nodes, OneOrRange, Ordinals, Time};
use crate::plan::{Damage, DiskOperation};

/// A scenario: who takes part, what breaks, and what a sweep over many seeds must reach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioFile {
    /// One sentence: what breaks and what must hold.
    pub(super) summary: Located<String>,
    /// Workload and faults live in this time; then everything heals and the run settles.
    pub(super) duration: Located<Time>,
    /// The seeds that are run when nobody asks for others; default the first ones. A regression needs them.
    pub(super) seeds: Option<Located<Vec<Located<i64>>>>,
    /// How many name servers there are, 1 to 3: nodes `namesrv`, `namesrv-2` and `namesrv-3`. Brokers register at all of them;
    /// each client asks one first. Default 1.
    pub(super) name_servers: Option<Located<i64>>,
    /// The brokers; at least one.
    pub(super) broker: Vec<BrokerEntry>,
    /// The topics; at least one.
    pub(super) topic: Vec<TopicEntry>,
    /// The consumer groups.
    #[serde(default)]
    pub(super) group: Vec<GroupEntry>,
    /// The producers.
    #[serde(default)]
    pub(super) producer: Vec<ProducerEntry>,
    /// The consumers.
    #[serde(default)]
    pub(super) consumer: Vec<ConsumerEntry>,
    /// Rewrite policy of every broker; default is RocketMQ's.
    pub(super) policy: Option<PolicyEntry>,
    /// The usual network.
    pub(super) network: Option<NetworkEntry>,
    /// What breaks.
    #[serde(default)]
    pub(super) fault: Vec<Located<FaultEntry>>,
    /// What a human does.
    #[serde(default)]
    pub(super) operator: Vec<OperatorEntry>,
    /// What the sweep as a whole must reach.
    pub(super) expect: Option<ExpectEntry>,
    /// The small run of this scenario in which `cargo sim crash-points` crashes everywhere.
    pub(super) crash_points: Option<Located<CrashPointsEntry>>,
}

/// A small run of the scenario for `cargo sim crash-points`: what is written here takes the place of what the scenario
/// says under the same key, everything else stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CrashPointsEntry {
    /// Seed of the run whose points are numbered; default 1.
    pub(super) seed: Option<Located<i64>>,
    /// How long a crashed node stays away; default "1s".
    pub(super) down: Option<Located<Time>>,
    /// Phases of the recovery path that must have points, or the sweep fails.
    #[serde(default)]
    pub(super) phases: Vec<Located<String>>,
    /// Workload and faults live in this time; points after it are not crashed at.
    pub(super) duration: Option<Located<Time>>,
    /// The producers; at most 5 messages in all.
    pub(super) producer: Vec<ProducerEntry>,
    /// The consumers.
    pub(super) consumer: Option<Vec<ConsumerEntry>>,
    /// Rewrite policy of every broker.
    pub(super) policy: Option<PolicyEntry>,
    /// What breaks, besides the crash at a point.
    pub(super) fault: Option<Vec<Located<FaultEntry>>>,
    /// What a human does.
    pub(super) operator: Option<Vec<OperatorEntry>>,
}

/// A replica group: a master, and slaves if it has any.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BrokerEntry {
    /// Broker name, and the name of its master's node.
    pub(super) name: Located<String>,
    /// How many slaves follow its log and serve reads, 0 to 2: nodes named after it, `-s1` and `-s2`; default 0.
    pub(super) slaves: Option<Located<i64>>,
    /// Checkpoints and acks of pops served here are kept by this broker, as those of an acting slave would be.
    pub(super) escapes_to: Option<Located<String>>,
    /// While the master is away its slave acts for it, and this broker keeps what that does; for a broker with one slave, or two at degree 2.
    pub(super) acting_to: Option<Located<String>>,
    /// Disks that must have synced a record before it is confirmed; default 1.
    pub(super) degree: Option<Located<i64>>,
    /// How long messages are kept; default for ever.
    pub(super) retention: Option<Located<RetentionEntry>>,
    /// How long a chain is known after it was over; longer than the policy lasts; default "1day", or
    /// as long as the policy may last.
    pub(super) chain_window: Option<Located<Time>>,
}

/// How long a broker keeps messages; at least one limit, and both hold when both are given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionEntry {
    /// How long after it was stored a message expires.
    pub(super) age: Option<Located<Time>>,
    /// How many bytes of log are kept; the oldest messages go first.
    pub(super) bytes: Option<Located<i64>>,
}

/// A topic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TopicEntry {
    /// Its name.
    pub(super) name: Located<String>,
    /// The brokers that hold it; default all.
    pub(super) brokers: Option<Located<Vec<Located<String>>>>,
    /// Queues per broker; default 4.
    pub(super) queues: Option<Located<i64>>,
}

/// A consumer group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupEntry {
    /// Its name.
    pub(super) name: Located<String>,
    /// The topic it subscribes to.
    pub(super) topic: Located<String>,
    /// Tag filter, for example "A || B"; default "*", everything.
    pub(super) tag: Option<Located<String>>,
    /// Redeliveries before the dead-letter topic; default 16.
    pub(super) max_reconsume: Option<Located<i64>>,
    /// It begins with what is stored after its first pop of a queue; default false, with all there is.
    pub(super) begins_at_end: Option<bool>,
}

/// A client that sends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProducerEntry {
    /// Node name.
    pub(super) name: Located<String>,
    /// Where it sends to.
    pub(super) topic: Located<String>,
    /// How many messages in all.
    pub(super) messages: Located<i64>,
    /// When it begins; default at once.
    pub(super) from: Option<Located<Time>>,
    /// The messages are spread over this span.
    pub(super) over: Located<Time>,
    /// How many messages are sent together, at one moment; default 1.
    pub(super) burst: Option<Located<i64>>,
    /// Size of a body in bytes; default 64.
    pub(super) body_bytes: Option<Located<i64>>,
    /// Tags given to the messages in turn; default none.
    pub(super) tags: Option<Vec<Located<String>>>,
    /// Makes every message a delayed one, due this long after it was sent.
    pub(super) delay: Option<Located<Time>>,
    /// What the `UNIQ_KEY`s of its messages begin with; a producer to another topic may have the same, as an application
    /// has that sends on what it got. Default its name.
    pub(super) keys: Option<Located<String>>,
}

/// A client that pops and acks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsumerEntry {
    /// Node name.
    pub(super) name: Located<String>,
    /// The group it belongs to.
    pub(super) group: Located<String>,
    /// When it begins to pop; default at the start.
    pub(super) from: Option<Located<Time>>,
    /// Most messages per pop, 1 to 32; default 8.
    pub(super) batch: Option<Located<i64>>,
    /// How long a popped message stays invisible; default "30s".
    pub(super) invisible: Option<Located<Time>>,
    /// How long a pop may wait for messages; default "15s".
    pub(super) poll: Option<Located<Time>>,
    /// Time between pop and ack; default "50ms".
    pub(super) think: Option<Located<Time>>,
    /// Probability that a first delivery is acked in time; default 1.
    pub(super) ack: Option<Located<f64>>,
    /// Probability that a later delivery is acked in time; default 1.
    pub(super) ack_retries: Option<Located<f64>>,
    /// Probability that a message is renewed, before its ack or instead of one; default 0.
    pub(super) renew: Option<Located<f64>>,
    /// For how long it is renewed; default as long as it was popped for.
    pub(super) renew_for: Option<Located<Time>>,
    /// How often it is renewed then, each handle in its turn, 1 to 16; default 1.
    pub(super) renewals: Option<Located<i64>>,
    /// Probability that a first delivery is acked only after its invisible time; default 0.
    pub(super) late_ack: Option<Located<f64>>,
    /// Probability that an ack is sent twice; default 0.
    pub(super) repeat_ack: Option<Located<f64>>,
    /// About how long after an ack it is sent again; default "1s".
    pub(super) repeat_after: Option<Located<Time>>,
    /// Acks travel in batches; default false.
    pub(super) batch_ack: Option<bool>,
    /// At one broker it pops through an acting slave of Apache RocketMQ, which keeps its checkpoints and acks at another;
    /// for the only consumer of its group; default none.
    pub(super) apache: Option<Located<ApacheSlaveEntry>>,
}

/// A slave of Apache RocketMQ that acts for its master.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApacheSlaveEntry {
    /// The broker whose messages it hands out.
    pub(super) slave_of: Located<String>,
    /// The broker that keeps its checkpoints and acks.
    pub(super) keeps_at: Located<String>,
    /// Probability that it sends a checkpoint that nobody can read before a sound one; default 0.
    pub(super) garbles: Option<Located<f64>>,
    /// Probability that it acks, beside what it hands out, something that it never sends the checkpoint of; default 0.
    pub(super) strays: Option<Located<f64>>,
}

/// How long a chain waits before each further revive attempt, and when it gives up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyEntry {
    /// One wait per rewrite, the last one serves for all further ones; default RocketMQ's 17, from "10s" to "2h".
    pub(super) waits: Option<Located<Vec<Located<Time>>>>,
    /// Rewrites after which the chain is parked; default the number of waits.
    pub(super) rewrites: Option<Located<i64>>,
    /// Time after the first failure at which the chain is parked in any case; default none.
    pub(super) total: Option<Located<Time>>,
    /// Share of a wait that may be added to it at random; default 0.
    pub(super) jitter: Option<Located<f64>>,
    /// Reads in a row that must be refused for good (no such topic, no permission) before the chain is parked; default 2.
    pub(super) refusals: Option<Located<i64>>,
}

/// The usual network.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkEntry {
    /// Latency of a frame.
    pub(super) latency: Located<LatencyEntry>,
}

/// Latency of a frame, drawn per frame.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LatencyEntry {
    /// Shortest.
    pub(super) min: Located<Time>,
    /// Longest.
    pub(super) max: Located<Time>,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum KindEntry {
    /// The process dies; what it had written stays.
    Kill,
    /// The machine loses power; writes that were not synced may be lost or torn.
    Crash,
    /// The process dies, and again each time soon after it has started.
    CrashLoop,
    /// The process stops in order.
    Stop,
    /// The process dies and comes back at another address.
    Replace,
    /// The process is frozen for a while.
    Pause,
    /// A wall clock is set forward or back.
    ClockStep,
    /// A wall clock goes too fast or too slowly for a while.
    ClockDrift,
    /// The clocks of a node stand still for a while.
    FrozenClock,
    /// Reads, writes or syncs of a disk fail.
    DiskError,
    /// A disk is full.
    DiskFull,
    /// Syncs of a disk are slow.
    SlowDisk,
    /// A node that starts takes long until its code runs.
    SlowStart,
    /// A site of a broker's code takes its unlikely turn.
    Buggify,
    /// Silence between two sides.
    Partition,
    /// Matching requests reset their connection.
    Reset,
    /// Frames are slow.
    Latency,
    /// Frames are held up, and all arrive when that is over.
    Stall,
    /// That a connection was closed is heard when that is over.
    SlowClose,
    /// Links carry few bytes per second.
    Bandwidth,
    /// Matching requests arrive twice.
    DuplicateRequest,
    /// Matching requests arrive late, after others that were sent later.
    DelayedRequest,
    /// Matching requests never arrive.
    LostRequest,
    /// Matching requests are served, their answers never arrive.
    LostAnswer,
    /// Matching requests get an answer code unserved.
    Answer,
    /// Matching requests are served, their answers arrive damaged or wrong.
    DamagedAnswer,
}

/// Something that breaks. Which keys belong to which kind is told by `cargo sim check`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultEntry {
    /// What it does.
    pub(super) kind: Located<KindEntry>,
    /// Keeps the draws of this fault when others are added or removed before it.
    pub(super) name: Option<Located<String>>,
    /// Draw this fault so many times; default 1.
    pub(super) repeat: Option<Located<OneOrRange<i64>>>,
    /// The process that kill, crash, crash-loop, replace, stop or pause strikes, or whose clock, disk or code does something unusual.
    pub(super) node: Option<Located<String>>,
    /// When it begins.
    pub(super) at: Option<Located<OneOrRange<Time>>>,
    /// How long it lasts.
    #[serde(rename = "for")]
    pub(super) lasts: Option<Located<OneOrRange<Time>>>,
    /// Strike before the node's n-th disk sync takes effect.
    pub(super) before_sync: Option<Located<OneOrRange<i64>>>,
    /// Strike after the node's n-th disk sync took effect, before anybody can be told.
    pub(super) after_sync: Option<Located<OneOrRange<i64>>>,
    /// Strike when a request leaves its sender.
    pub(super) on: Option<Located<OnEntry>>,
    /// Strike when an answer is about to leave its server; a node that dies at its own answer has told nobody.
    pub(super) on_answer: Option<Located<OnEntry>>,
    /// How long the process stays away.
    pub(super) down: Option<Located<OneOrRange<Time>>>,
    /// How often a crash loop takes the process down in all.
    pub(super) times: Option<Located<OneOrRange<i64>>>,
    /// How long the process of a crash loop lives at the most after each start.
    pub(super) up: Option<Located<OneOrRange<Time>>>,
    /// A crash loop takes the power of the machine, so that what was not synced may be lost; default false.
    pub(super) loses_power: Option<Located<bool>>,
    /// A slave comes back with an empty disk; default false.
    pub(super) loses_disk: Option<Located<bool>>,
    /// A slave comes back with its disk as it was at this time.
    pub(super) disk_as_of: Option<Located<OneOrRange<Time>>>,
    /// By how much a clock is set, or how much later a request arrives.
    pub(super) by: Option<Located<OneOrRange<Time>>>,
    /// It is set back, not forward, or goes too slowly, not too fast; default false.
    pub(super) back: Option<Located<bool>>,
    /// By how many parts in a million a clock is too fast.
    pub(super) ppm: Option<Located<OneOrRange<i64>>>,
    /// Which site of the code; `cargo sim list --sites` lists them.
    pub(super) site: Option<Located<String>>,
    /// What a disk cannot do.
    pub(super) operation: Option<Located<DiskOperation>>,
    /// The two sides of a partition.
    pub(super) between: Option<Located<Vec<Vec<Located<String>>>>>,
    /// Sender; default every node.
    pub(super) from: Option<Located<Nodes>>,
    /// Receiver; default every node.
    pub(super) to: Option<Located<Nodes>>,
    /// Only the way from `from` to `to` is silent; default false.
    pub(super) one_way: Option<Located<bool>>,
    /// Request code; default every code.
    pub(super) rpc: Option<Located<NameOrNumber>>,
    /// Which of the matching requests or operations, or of the times that a site is reached, counted from 1.
    pub(super) nth: Option<Located<Ordinals>>,
    /// Shortest latency, of a frame, a sync or a start.
    pub(super) min: Option<Located<Time>>,
    /// Longest latency, of a frame, a sync or a start.
    pub(super) max: Option<Located<Time>>,
    /// How many bytes a link carries per second.
    pub(super) bytes_per_second: Option<Located<OneOrRange<i64>>>,
    /// Answer code.
    pub(super) code: Option<Located<NameOrNumber>>,
    /// What is wrong with an answer.
    pub(super) damage: Option<Located<Damage>>,
}

/// A frame that leaves its sender: a request, or the answer to one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OnEntry {
    /// Request code; default every code.
    pub(super) rpc: Option<Located<NameOrNumber>>,
    /// Sender; default every node.
    pub(super) from: Option<Located<String>>,
    /// Receiver; default every node.
    pub(super) to: Option<Located<String>>,
    /// Which of the matching frames, counted from 1; default the first.
    pub(super) nth: Option<Located<OneOrRange<i64>>>,
}

/// Something a human can do.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ActionEntry {
    /// Resume all parked chains.
    ResumeParked,
    /// Resume all parked chains one by one, as they are listed, each twice.
    ResumeEach,
    /// Delete a topic.
    DeleteTopic,
    /// Create a topic again as the scenario describes it.
    CreateTopic,
    /// Set a group's offsets in its topic back or forward to a time.
    ResetOffset,
}

/// What a human does.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OperatorEntry {
    /// When; it may be after the end of the workload.
    pub(super) at: Located<Time>,
    /// What.
    #[serde(rename = "do")]
    pub(super) action: ActionEntry,
    /// Where; default at every broker, or at every broker that holds the topic.
    pub(super) broker: Option<Located<String>>,
    /// Which topic is deleted or created.
    pub(super) topic: Option<Located<String>>,
    /// Whose offsets are reset.
    pub(super) group: Option<Located<String>>,
    /// To what was stored since when offsets are reset, in the time of the run; default to the end of each queue.
    pub(super) to: Option<Located<Time>>,
}

/// What the sweep as a whole must reach, or the scenario provokes nothing any more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectEntry {
    /// Names of situations.
    #[serde(default)]
    pub(super) reached: Vec<Located<String>>,
    /// Minimum totals over the sweep.
    pub(super) settle: Option<SettleEntry>,
}

/// Minimum totals over the sweep.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SettleEntry {
    /// Chains that ended revived.
    pub(super) revived_at_least: Option<Located<i64>>,
    /// Chains that were parked.
    pub(super) parked_at_least: Option<Located<i64>>,
    /// Rewrites.
    pub(super) rewrites_at_least: Option<Located<i64>>,
    /// The highest attempt count of any chain.
    pub(super) max_attempts_at_least: Option<Located<i64>>,
    /// Faults that fired.
    pub(super) faults_at_least: Option<Located<i64>>,
}
