//! What kinds of events there are, for whoever chooses among them.

use crate::history::{EventKind, Noted};

/// A kind of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What came of what a client did.
    Client,
    /// What came of an operator's command.
    Operator,
    /// A request left.
    Request,
    /// An answer left.
    Answer,
    /// An entry became durable.
    Commit,
    /// A disk synced.
    Sync,
    /// Something happened to a node.
    Node,
    /// A fault struck, began or ended.
    Fault,
    /// The run went on to its next part.
    Run,
}

impl Kind {
    /// All of them, in the order in which they are offered.
    pub(super) const ALL: [Self; 9] = [
        Self::Fault,
        Self::Node,
        Self::Client,
        Self::Operator,
        Self::Request,
        Self::Answer,
        Self::Commit,
        Self::Sync,
        Self::Run,
    ];

    pub(super) const fn of(kind: &EventKind) -> Self {
        match kind {
            EventKind::Request(_) => Self::Request,
            EventKind::Response(_) => Self::Answer,
            EventKind::Synced { .. } => Self::Sync,
            EventKind::Node { .. } | EventKind::ClockGained { .. } | EventKind::ClockStands { .. } => Self::Node,
            EventKind::Fault { .. } => Self::Fault,
            EventKind::Healed | EventKind::Over => Self::Run,
            EventKind::Noted(Noted::Sent(_) | Noted::Popped(_) | Noted::Acked(_) | Noted::Renewed(_)) => Self::Client,
            EventKind::Noted(Noted::Operated { .. } | Noted::Scraped(_)) => Self::Operator,
            EventKind::Noted(Noted::Durable { .. } | Noted::Again { .. } | Noted::AtRest { .. }) => Self::Commit,
        }
    }

    /// The word for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Operator => "operator",
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Commit => "commit",
            Self::Sync => "sync",
            Self::Node => "node",
            Self::Fault => "fault",
            Self::Run => "run",
        }
    }
}
