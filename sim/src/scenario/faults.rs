//! What a scenario may break: fault entries with their open choices, which a seed settles.

use serde::Serialize;

use crate::plan::{Damage, DiskOperation, NodeName, SimMs};

/// A whole number that the seed chooses from `from..=to`; `from == to` is no choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Draw {
    /// Smallest.
    pub from: u64,
    /// Largest.
    pub to: u64,
}

impl Draw {
    /// No choice: always `value`.
    pub fn exactly(value: u64) -> Self {
        Self { from: value, to: value }
    }
}

/// One `[[fault]]` entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultSpec {
    /// Names the random stream of this entry; without a name it is the entry's position, from 0.
    pub name: Option<String>,
    /// How many independent faults the entry stands for.
    pub repeat: Draw,
    /// What breaks.
    pub what: FaultKind,
}

/// What breaks; each variant becomes the [`crate::plan::Fault`] of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FaultKind {
    /// The process dies.
    Kill {
        /// Who.
        node: NodeName,
        /// When.
        when: MomentSpec,
        /// How long it stays away, in ms.
        down: Draw,
    },
    /// The machine loses power.
    Crash {
        /// Who.
        node: NodeName,
        /// When.
        when: MomentSpec,
        /// How long it stays away, in ms.
        down: Draw,
    },
    /// The node goes down again and again.
    CrashLoop {
        /// Who.
        node: NodeName,
        /// When it first does.
        when: MomentSpec,
        /// How often in all.
        times: Draw,
        /// How long it lives at the most after a start, in ms.
        up: Draw,
        /// How long it stays away, in ms.
        down: Draw,
        /// The machine loses power.
        loses_power: bool,
    },
    /// The process dies and comes back at another address.
    Replace {
        /// Who.
        node: NodeName,
        /// When.
        when: MomentSpec,
        /// How long it stays away, in ms.
        down: Draw,
        /// What it finds on its disk.
        volume: VolumeSpec,
    },
    /// The process stops in order.
    Stop {
        /// Who.
        node: NodeName,
        /// When.
        when: MomentSpec,
        /// How long it stays away, in ms.
        down: Draw,
    },
    /// The process is frozen.
    Pause {
        /// Who.
        node: NodeName,
        /// When.
        when: MomentSpec,
        /// How long, in ms.
        lasts: Draw,
    },
    /// A wall clock is set.
    ClockStep {
        /// Whose.
        node: NodeName,
        /// When, in ms.
        at: Draw,
        /// By how much, in ms.
        by: Draw,
        /// Back instead of forward.
        back: bool,
    },
    /// A wall clock goes too fast or too slowly.
    ClockDrift {
        /// Whose.
        node: NodeName,
        /// When.
        window: WindowSpec,
        /// By how many parts in a million.
        ppm: Draw,
        /// Too slowly instead of too fast.
        back: bool,
    },
    /// The clocks of a node stand still.
    FrozenClock {
        /// Whose.
        node: NodeName,
        /// When.
        window: WindowSpec,
    },
    /// Operations of a disk fail.
    DiskError {
        /// Whose.
        node: NodeName,
        /// Which of its operations.
        operation: DiskOperation,
        /// Which of those.
        hits: HitsSpec,
    },
    /// A disk has no block left.
    DiskFull {
        /// Whose.
        node: NodeName,
        /// When.
        window: WindowSpec,
    },
    /// Syncs of a disk are slow.
    SlowDisk {
        /// Whose.
        node: NodeName,
        /// When.
        window: WindowSpec,
        /// Shortest.
        min_ms: SimMs,
        /// Longest.
        max_ms: SimMs,
    },
    /// Starts of a node take long.
    SlowStart {
        /// Whose.
        node: NodeName,
        /// When.
        window: WindowSpec,
        /// Shortest.
        min_ms: SimMs,
        /// Longest.
        max_ms: SimMs,
    },
    /// A site of the code takes its unlikely turn.
    Buggify {
        /// Whose.
        node: NodeName,
        /// Which site.
        site: String,
        /// Which of the times that it is reached.
        hits: HitsSpec,
    },
    /// Silence between two sides.
    Partition {
        /// One side.
        from: Vec<NodeName>,
        /// The other side.
        to: Vec<NodeName>,
        /// Only `from` → `to` is silent.
        one_way: bool,
        /// When.
        window: WindowSpec,
    },
    /// Connections are reset by matching requests.
    Reset {
        /// Which requests.
        rpcs: RpcsSpec,
    },
    /// Frames are slow.
    Latency {
        /// Sender; `None` is every node.
        from: Option<NodeName>,
        /// Receiver; `None` is every node.
        to: Option<NodeName>,
        /// When.
        window: WindowSpec,
        /// Shortest.
        min_ms: SimMs,
        /// Longest.
        max_ms: SimMs,
    },
    /// Frames are held up and arrive together.
    Stall {
        /// Sender; `None` is every node.
        from: Option<NodeName>,
        /// Receiver; `None` is every node.
        to: Option<NodeName>,
        /// When.
        window: WindowSpec,
    },
    /// That a connection was closed is heard late.
    SlowClose {
        /// Who closes; `None` is every node.
        from: Option<NodeName>,
        /// Who hears of it; `None` is every node.
        to: Option<NodeName>,
        /// When.
        window: WindowSpec,
    },
    /// Links carry so many bytes per second.
    Bandwidth {
        /// Sender; `None` is every node.
        from: Option<NodeName>,
        /// Receiver; `None` is every node.
        to: Option<NodeName>,
        /// When.
        window: WindowSpec,
        /// How many bytes per second.
        bytes_per_second: Draw,
    },
    /// Matching requests arrive twice.
    DuplicateRequest {
        /// Which requests.
        rpcs: RpcsSpec,
    },
    /// Matching requests arrive late and out of order.
    DelayedRequest {
        /// How much later, in ms.
        by: Draw,
        /// Which requests.
        rpcs: RpcsSpec,
    },
    /// Matching requests never arrive.
    LostRequest {
        /// Which requests.
        rpcs: RpcsSpec,
    },
    /// Matching requests are served, their answers never arrive.
    LostAnswer {
        /// Which requests.
        rpcs: RpcsSpec,
    },
    /// Matching requests get this answer code unserved.
    Answer {
        /// Response code on the wire.
        code: i32,
        /// Which requests.
        rpcs: RpcsSpec,
    },
    /// Matching requests are served, their answers arrive as something else.
    DamagedAnswer {
        /// What is wrong with them.
        damage: Damage,
        /// Which requests.
        rpcs: RpcsSpec,
    },
}

/// What a node that is replaced finds on its disk, still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeSpec {
    /// All that it had written.
    Kept,
    /// Nothing.
    Lost,
    /// What was durable at this time, in ms.
    AsOf(Draw),
}

/// The instant of a process fault, still open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MomentSpec {
    /// A simulated time, in ms.
    At(Draw),
    /// Before the node's n-th disk sync takes effect.
    BeforeSync(Draw),
    /// After the node's n-th disk sync took effect.
    AfterSync(Draw),
    /// When the n-th matching request leaves its sender.
    OnRequest {
        /// Sender; `None` is every node.
        from: Option<NodeName>,
        /// Receiver; `None` is every node.
        to: Option<NodeName>,
        /// Request code; `None` is every code.
        code: Option<i32>,
        /// Counted from 1.
        nth: Draw,
    },
    /// When the n-th matching answer is about to leave its server.
    OnAnswer {
        /// Who answers; `None` is every node.
        from: Option<NodeName>,
        /// Who asked; `None` is every node.
        to: Option<NodeName>,
        /// Code of the request that is answered; `None` is every code.
        code: Option<i32>,
        /// Counted from 1.
        nth: Draw,
    },
}

/// A span of simulated time, still open; its latest end is within the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WindowSpec {
    /// Begins, in ms.
    pub begins: Draw,
    /// Lasts, in ms; at least 1.
    pub lasts: Draw,
}

/// Which requests a network fault hits, still open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RpcsSpec {
    /// Caller; `None` is every node.
    pub from: Option<NodeName>,
    /// Callee; `None` is every node.
    pub to: Option<NodeName>,
    /// Request code; `None` is every code.
    pub code: Option<i32>,
    /// Which of the matching requests.
    pub hits: HitsSpec,
}

/// Which of the matching requests or operations are hit, still open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HitsSpec {
    /// These ordinals: from 1, ascending, distinct.
    Nth(Vec<u64>),
    /// `pick` distinct ordinals out of `1..=of`; `1 <= pick <= of`.
    Pick {
        /// How many.
        pick: u64,
        /// The largest.
        of: u64,
    },
    /// All in this window.
    During(WindowSpec),
}
