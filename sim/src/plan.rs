//! The plan: what a seed breaks, as a value.
//!
//! A scenario and a seed are expanded into a [`Plan`] before anything runs. A plan can be printed, stored, edited and
//! replayed without the seed. Its faults are addressed by event ("the 3rd PULL_MESSAGE from broker-b to broker-a") or
//! by simulated time, never by draw, so that a change elsewhere does not change what they mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Milliseconds of simulated time since the run began.
pub type SimMs = u64;

/// The name of a simulated node, for example `broker-a`, `namesrv`, `producer-1`.
pub type NodeName = String;

/// What one run breaks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The faults; a fault is referred to by its position here.
    pub faults: Vec<Fault>,
}

/// One planned fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// The process dies; what it had written stays, synced or not. Restarted after `down_ms`.
    Kill {
        /// Who dies.
        node: NodeName,
        /// When.
        when: Moment,
        /// How long it stays away.
        down_ms: SimMs,
    },
    /// The machine loses power: a random subset of un-synced writes is lost, torn at 512 bytes. Restarted after `down_ms`.
    Crash {
        /// Who crashes.
        node: NodeName,
        /// When.
        when: Moment,
        /// How long it stays away.
        down_ms: SimMs,
    },
    /// The node goes down, and again each time soon after it has started.
    CrashLoop {
        /// Who.
        node: NodeName,
        /// When it first does.
        when: Moment,
        /// How often in all; at least once.
        times: u64,
        /// How long it lives at the most after a start, drawn for each.
        up_ms: SimMs,
        /// How long it stays away each time.
        down_ms: SimMs,
        /// The machine loses power each time; otherwise the process dies.
        loses_power: bool,
    },
    /// The process dies and comes back at another address, as a pod does.
    Replace {
        /// Who is replaced.
        node: NodeName,
        /// When.
        when: Moment,
        /// How long it stays away.
        down_ms: SimMs,
        /// What it finds on its disk.
        volume: Volume,
    },
    /// The process is asked to stop, does so in order, and is started again after `down_ms`.
    Stop {
        /// Who is stopped.
        node: NodeName,
        /// When.
        when: Moment,
        /// How long it stays away.
        down_ms: SimMs,
    },
    /// The process is frozen for `for_ms`, then goes on as if nothing had happened.
    Pause {
        /// Who is frozen.
        node: NodeName,
        /// When.
        when: Moment,
        /// How long.
        for_ms: SimMs,
    },
    /// The wall clock of a node is set; it stays so.
    ClockStep {
        /// Whose.
        node: NodeName,
        /// When.
        at_ms: SimMs,
        /// By how much, ms; negative is back.
        by_ms: i64,
    },
    /// The wall clock of a node goes faster or slower than time passes; what it has gained or lost stays.
    ClockDrift {
        /// Whose.
        node: NodeName,
        /// When.
        window: Window,
        /// By how many parts in a million it is faster; negative is slower.
        ppm: i64,
    },
    /// The clocks of a node stand still; afterwards its wall clock is right again, its monotonic one goes on where it stood.
    FrozenClock {
        /// Whose.
        node: NodeName,
        /// When.
        window: Window,
    },
    /// Operations of a node's disk fail with an I/O error.
    DiskError {
        /// Whose.
        node: NodeName,
        /// Which of its operations.
        operation: DiskOperation,
        /// Which of those, counted over the whole run, or when.
        hits: Hits,
    },
    /// A node's disk has no block left: what needs a new one fails, what overwrites an old one does not.
    DiskFull {
        /// Whose.
        node: NodeName,
        /// When.
        window: Window,
    },
    /// Syncs of a node's disk take `min_ms..=max_ms`, drawn per sync, instead of the usual time.
    SlowDisk {
        /// Whose.
        node: NodeName,
        /// When.
        window: Window,
        /// Shortest.
        min_ms: SimMs,
        /// Longest.
        max_ms: SimMs,
    },
    /// A start of a node takes `min_ms..=max_ms`, drawn per start, before anything of its code runs.
    SlowStart {
        /// Whose.
        node: NodeName,
        /// When.
        window: Window,
        /// Shortest.
        min_ms: SimMs,
        /// Longest.
        max_ms: SimMs,
    },
    /// A site of a node's code takes its unlikely turn.
    Buggify {
        /// Whose.
        node: NodeName,
        /// Which site, see [`SITES`](crate::scenario::sites::SITES).
        site: String,
        /// Which of the times that it is reached, counted over the whole run, or when.
        hits: Hits,
    },
    /// Nothing passes from `from` to `to` (and back, unless `one_way`): silence, not refusal.
    Partition {
        /// One side.
        from: Vec<NodeName>,
        /// The other side.
        to: Vec<NodeName>,
        /// Only `from` → `to` is silent.
        one_way: bool,
        /// When.
        window: Window,
    },
    /// The connection is reset when a matching request passes; the request is lost.
    Reset {
        /// Which requests.
        rpcs: Rpcs,
    },
    /// Frames from `from` to `to` take `min_ms..=max_ms`, drawn per frame, instead of the usual latency.
    Latency {
        /// Sender; `None` is every node.
        from: Option<NodeName>,
        /// Receiver; `None` is every node.
        to: Option<NodeName>,
        /// When.
        window: Window,
        /// Shortest.
        min_ms: SimMs,
        /// Longest.
        max_ms: SimMs,
    },
    /// What leaves `from` for `to` is held up, and arrives when that is over.
    Stall {
        /// Sender; `None` is every node.
        from: Option<NodeName>,
        /// Receiver; `None` is every node.
        to: Option<NodeName>,
        /// When.
        window: Window,
    },
    /// That `from` has closed a connection `to` hears when that is over; what is sent on it meanwhile is lost.
    SlowClose {
        /// Who closes; `None` is every node.
        from: Option<NodeName>,
        /// Who hears of it; `None` is every node.
        to: Option<NodeName>,
        /// When.
        window: Window,
    },
    /// What goes from `from` to `to` shares so many bytes per second.
    Bandwidth {
        /// Sender; `None` is every node.
        from: Option<NodeName>,
        /// Receiver; `None` is every node.
        to: Option<NodeName>,
        /// When.
        window: Window,
        /// How many bytes each link carries per second; at least 1.
        bytes_per_second: u64,
    },
    /// A matching request arrives twice.
    DuplicateRequest {
        /// Which requests.
        rpcs: Rpcs,
    },
    /// A matching request arrives `by_ms` later than it would have, while what is sent after it overtakes it.
    DelayedRequest {
        /// How much later.
        by_ms: SimMs,
        /// Which requests.
        rpcs: Rpcs,
    },
    /// A matching request never arrives.
    LostRequest {
        /// Which requests.
        rpcs: Rpcs,
    },
    /// A matching request is served, its answer never arrives.
    LostAnswer {
        /// Which requests.
        rpcs: Rpcs,
    },
    /// A matching request is not served; the caller gets this answer code with an empty body.
    Answer {
        /// Response code on the wire.
        code: i32,
        /// Which requests.
        rpcs: Rpcs,
    },
    /// A matching request is served; its answer arrives as something else.
    DamagedAnswer {
        /// What is wrong with it.
        damage: Damage,
        /// Which requests.
        rpcs: Rpcs,
    },
}

impl Fault {
    /// The word for its kind, as in a scenario file.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Crash { .. } => "crash",
            Self::CrashLoop { .. } => "crash-loop",
            Self::Replace { .. } => "replace",
            Self::Stop { .. } => "stop",
            Self::Pause { .. } => "pause",
            Self::ClockStep { .. } => "clock-step",
            Self::ClockDrift { .. } => "clock-drift",
            Self::FrozenClock { .. } => "frozen-clock",
            Self::DiskError { .. } => "disk-error",
            Self::DiskFull { .. } => "disk-full",
            Self::SlowDisk { .. } => "slow-disk",
            Self::SlowStart { .. } => "slow-start",
            Self::Buggify { .. } => "buggify",
            Self::Partition { .. } => "partition",
            Self::Reset { .. } => "reset",
            Self::Latency { .. } => "latency",
            Self::Stall { .. } => "stall",
            Self::SlowClose { .. } => "slow-close",
            Self::Bandwidth { .. } => "bandwidth",
            Self::DuplicateRequest { .. } => "duplicate-request",
            Self::DelayedRequest { .. } => "delayed-request",
            Self::LostRequest { .. } => "lost-request",
            Self::LostAnswer { .. } => "lost-answer",
            Self::Answer { .. } => "answer",
            Self::DamagedAnswer { .. } => "damaged-answer",
        }
    }

    /// The requests that it hits, if it hits requests.
    pub const fn rpcs_mut(&mut self) -> Option<&mut Rpcs> {
        match self {
            Self::Reset { rpcs }
            | Self::DuplicateRequest { rpcs }
            | Self::DelayedRequest { rpcs, .. }
            | Self::LostRequest { rpcs }
            | Self::LostAnswer { rpcs }
            | Self::Answer { rpcs, .. }
            | Self::DamagedAnswer { rpcs, .. } => Some(rpcs),
            Self::Kill { .. }
            | Self::Crash { .. }
            | Self::CrashLoop { .. }
            | Self::Replace { .. }
            | Self::Stop { .. }
            | Self::Pause { .. }
            | Self::ClockStep { .. }
            | Self::ClockDrift { .. }
            | Self::FrozenClock { .. }
            | Self::DiskError { .. }
            | Self::DiskFull { .. }
            | Self::SlowDisk { .. }
            | Self::SlowStart { .. }
            | Self::Buggify { .. }
            | Self::Partition { .. }
            | Self::Latency { .. }
            | Self::Stall { .. }
            | Self::SlowClose { .. }
            | Self::Bandwidth { .. } => None,
        }
    }

    /// From when to when it lasts; `None` for what strikes at an event or a moment.
    pub const fn window_mut(&mut self) -> Option<&mut Window> {
        let hits = match self {
            Self::ClockDrift { window, .. }
            | Self::FrozenClock { window, .. }
            | Self::DiskFull { window, .. }
            | Self::SlowDisk { window, .. }
            | Self::SlowStart { window, .. }
            | Self::Partition { window, .. }
            | Self::Latency { window, .. }
            | Self::Stall { window, .. }
            | Self::SlowClose { window, .. }
            | Self::Bandwidth { window, .. } => return Some(window),
            Self::DiskError { hits, .. } | Self::Buggify { hits, .. } => hits,
            other => match other.rpcs_mut() {
                Some(rpcs) => &mut rpcs.hits,
                None => return None,
            },
        };
        match hits {
            Hits::During(window) => Some(window),
            Hits::Nth(_) => None,
        }
    }
}

/// What is wrong with an answer that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// On its way a bit of its body was flipped, and the network's own checksums did not see it.
    FlippedBit,
    /// On its way the second half of its body was lost.
    Cut,
    /// It is no frame.
    Garbage,
    /// The peer sends no message, and says that it found some; PULL_MESSAGE only.
    Empty,
    /// The peer sends a message that its disk has damaged; PULL_MESSAGE only.
    DamagedMessage,
    /// The peer leaves out the message that was asked for first; PULL_MESSAGE only.
    LaterMessage,
    /// The peer sends messages of another queue; PULL_MESSAGE only.
    OtherQueue,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::FlippedBit,
        Self::Cut,
        Self::Garbage,
        Self::Empty,
        Self::DamagedMessage,
        Self::LaterMessage,
        Self::OtherQueue,
    ];

    /// As it is written in a scenario.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FlippedBit => "flipped-bit",
            Self::Cut => "cut",
            Self::Garbage => "garbage",
            Self::Empty => "empty",
            Self::DamagedMessage => "damaged-message",
            Self::LaterMessage => "later-message",
            Self::OtherQueue => "other-queue",
        }
    }

    /// Whether the peer itself is wrong about messages, not the way from it: what it sends is what it meant to send.
    #[must_use]
    pub const fn is_of_messages(self) -> bool {
        matches!(self, Self::Empty | Self::DamagedMessage | Self::LaterMessage | Self::OtherQueue)
    }
}

/// The instant at which a process fault strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// A simulated time.
    At(SimMs),
    /// While the node performs its n-th disk sync (from 1), before that sync takes effect.
    BeforeSync(u64),
    /// Right after the node's n-th disk sync (from 1) took effect, before anybody can be told.
    AfterSync(u64),
    /// When the n-th (from 1) matching request leaves its sender.
    OnRequest {
        /// Sender; `None` is every node.
        from: Option<NodeName>,
        /// Receiver; `None` is every node.
        to: Option<NodeName>,
        /// Request code; `None` is every code.
        code: Option<i32>,
        /// Counted from 1 per matching request.
        nth: u64,
    },
    /// When the n-th (from 1) matching answer is about to leave its server. A node that dies at its own answer has done
    /// what was asked, and nobody is told.
    OnAnswer {
        /// Who answers; `None` is every node.
        from: Option<NodeName>,
        /// Who asked; `None` is every node.
        to: Option<NodeName>,
        /// Code of the request that is answered; `None` is every code.
        code: Option<i32>,
        /// Counted from 1 per matching answer.
        nth: u64,
    },
}

/// What a node that is replaced finds on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Volume {
    /// All that it had written.
    Kept,
    /// Nothing.
    Lost,
    /// What was durable at this time: somebody put a snapshot back. All that it had written if that time is still to come.
    AsOf(SimMs),
}

/// What a disk is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskOperation {
    /// To read a piece of a file.
    Read,
    /// To write a piece of a file.
    Write,
    /// To make what was written durable.
    Sync,
    /// To read a piece of a file, of which one bit comes turned over.
    Flip,
    /// To read a piece of a file, of which one bit has turned over for good.
    Rot,
}

impl DiskOperation {
    /// As it is written in a scenario.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Flip => "flip",
            Self::Rot => "rot",
        }
    }
}

/// A span of simulated time, `from_ms <= t < to_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Begins.
    pub from_ms: SimMs,
    /// Ends.
    pub to_ms: SimMs,
}

/// Which requests a network fault hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rpcs {
    /// Caller; `None` is every node.
    pub from: Option<NodeName>,
    /// Callee; `None` is every node.
    pub to: Option<NodeName>,
    /// Request code; `None` is every code.
    pub code: Option<i32>,
    /// Which of the matching requests.
    pub hits: Hits,
}

/// Which of the matching requests or operations are hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hits {
    /// These ordinals, counted from 1 over all that match in the whole run.
    Nth(Vec<u64>),
    /// All that leave the caller, or begin, in this window.
    During(Window),
}
