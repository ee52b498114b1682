//! Why a call got no answer.

use std::time::Duration;

use super::frame::FrameError;

/// A call that got no answer. Only `Connect` and `Overloaded` prove that the peer never saw the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection could be made; nothing was sent.
    #[error("cannot connect to {peer}: {cause}")]
    Connect {
        /// The address called.
        peer: String,
        /// What the network said.
        cause: String,
    },
    /// Connecting, writing and waiting together took too long; whether the peer acted is unknown.
    #[error("no answer from {peer} within {after:?}")]
    Timeout {
        /// The address called.
        peer: String,
        /// The call's whole time.
        after: Duration,
    },
    /// The connection ended before the answer; whether the peer acted is unknown.
    #[error("connection to {peer} was lost: {cause}")]
    Reset {
        /// The address called.
        peer: String,
        /// How it ended.
        cause: String,
    },
    /// Too many calls of this client are under way; nothing was sent.
    #[error("call to {peer} refused: {limit} calls are under way already")]
    Overloaded {
        /// The address called.
        peer: String,
        /// The client's limit.
        limit: usize,
    },
    /// The request cannot be framed, or the peer sent what is no frame.
    #[error("malformed frame in exchange with {peer}: {cause}")]
    Malformed {
        /// The address called.
        peer: String,
        /// What is wrong with the frame.
        #[source]
        cause: FrameError,
    },
}

impl CallError {
    /// The address called.
    pub fn peer(&self) -> &str {
        match self {
            Self::Connect { peer, .. }
            | Self::Timeout { peer, .. }
            | Self::Reset { peer, .. }
            | Self::Overloaded { peer, .. }
            | Self::Malformed { peer, .. } => peer,
        }
    }

    /// A short stable name for logs, metrics and tests.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Timeout { .. } => "timeout",
            Self::Reset { .. } => "reset",
            Self::Overloaded { .. } => "overloaded",
            Self::Malformed { .. } => "malformed",
        }
    }
}
