//! The phases of the recovery path that a crash can hit.

use serde::{Deserialize, Serialize};

/// What a node was doing at a point of a run, judged by the frame or by the facts of the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Topics, groups, an empty store.
    SetUp,
    /// Registrations and route look-ups.
    Routes,
    /// Heartbeats, and polls that find nothing.
    Idle,
    /// A producer's message is stored.
    Send,
    /// A delayed message is accepted, or falls due.
    Timer,
    /// Messages that are past their retention go.
    Expire,
    /// Chains that have long been over are forgotten.
    Forget,
    /// Messages are handed out, each with its chain.
    Pop,
    /// A chain goes to the group that is to be its home.
    HandOver,
    /// A chain comes in from another group.
    Adopt,
    /// A chain ends by an ack.
    Ack,
    /// A handle is renewed.
    Renew,
    /// An attempt is made durable before it begins.
    Attempt,
    /// A message is asked for at the group that owns it.
    RemoteRead,
    /// An attempt has failed, and the chain waits for the next one.
    Rewrite,
    /// A chain ends with its copy in the retry or dead-letter topic, or with the proof that the message is gone.
    Revive,
    /// A chain is parked.
    Park,
    /// A parked chain begins another round.
    Resume,
    /// An operator deletes a topic or resets offsets.
    Operate,
    /// A slave asks for what its master's log has got, and appends it to its own.
    Replicate,
    /// A slave takes a term to act for its master, or the master takes back what was done for it.
    TakeOver,
    /// A store is opened again, repaired or closed.
    Recovery,
    /// Whatever else.
    Other,
}

impl Phase {
    /// All of them, in the order in which a message may meet them.
    pub const ALL: [Self; 23] = [
        Self::SetUp,
        Self::Routes,
        Self::Idle,
        Self::Send,
        Self::Timer,
        Self::Expire,
        Self::Forget,
        Self::Pop,
        Self::HandOver,
        Self::Adopt,
        Self::Ack,
        Self::Renew,
        Self::Attempt,
        Self::RemoteRead,
        Self::Rewrite,
        Self::Revive,
        Self::Park,
        Self::Resume,
        Self::Operate,
        Self::Replicate,
        Self::TakeOver,
        Self::Recovery,
        Self::Other,
    ];

    /// Its name in scenario files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SetUp => "set-up",
            Self::Routes => "routes",
            Self::Idle => "idle",
            Self::Send => "send",
            Self::Timer => "timer",
            Self::Expire => "expire",
            Self::Forget => "forget",
            Self::Pop => "pop",
            Self::HandOver => "hand-over",
            Self::Adopt => "adopt",
            Self::Ack => "ack",
            Self::Renew => "renew",
            Self::Attempt => "attempt",
            Self::RemoteRead => "remote-read",
            Self::Rewrite => "rewrite",
            Self::Revive => "revive",
            Self::Park => "park",
            Self::Resume => "resume",
            Self::Operate => "operate",
            Self::Replicate => "replicate",
            Self::TakeOver => "take-over",
            Self::Recovery => "recovery",
            Self::Other => "other",
        }
    }

    /// The phase of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// Whether a chain or a message is being worked on.
    #[must_use]
    pub const fn is_busy(self) -> bool {
        !matches!(self, Self::SetUp | Self::Routes | Self::Idle)
    }
}
