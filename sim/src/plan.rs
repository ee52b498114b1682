//! The plan: what a seed breaks, as a value.
//!
//! A scenario and a seed are expanded into a [`Plan`] before anything runs. A plan can be printed, stored, edited and
//! replayed without the seed. Its faults are addressed by event ("the 3rd PULL_MESSAGE from broker-b to broker-a") or
//! by simulated time, never by draw, so that a change elsewhere does not change what they mean.

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

/// Which of the matching requests are hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hits {
    /// These ordinals, counted from 1 over the matching requests of the whole run.
    Nth(Vec<u64>),
    /// All that leave the caller in this window.
    During(Window),
}
