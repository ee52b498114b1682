//! Why reading a message, or handing a chain to another group, failed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an attempt failed. What it means for the chain (try again, give up) is decided in `revive::classify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// No answer in time: the request may or may not have been served.
    Timeout,
    /// Nobody listens there.
    Refused,
    /// The connection broke while the answer was awaited.
    Reset,
    /// The name server knows no address, or could not be asked.
    NoRoute,
    /// The caller had too many requests under way.
    Overloaded,
    /// The peer is busy or sheds load.
    Busy,
    /// The peer runs but does not serve this: starting, stopping, or not the holder of its group.
    NotServing,
    /// The peer says "not found", which a lagging replica says too: no proof of anything.
    NotFound,
    /// The owner has the message and does not know yet that enough members of its group do.
    Unconfirmed,
    /// The peer says "retry at once": it skipped what was asked for.
    RetryImmediately,
    /// The peer says the offset is outside its queue, without proving that the message is gone.
    OffsetMoved,
    /// The peer answered with another message than the one asked for.
    WrongMessage {
        /// The offset it sent; the right one when the message is of another queue or topic.
        offset: i64,
    },
    /// Success without a message.
    EmptyAnswer,
    /// A message that cannot be decoded.
    Undecodable,
    /// An answer whose header makes no sense.
    MalformedAnswer,
    /// The owner does not allow the read.
    NoPermission,
    /// The owner does not know the topic.
    TopicUnknown,
    /// The owner does not know the group.
    GroupUnknown,
    /// The owner finds the request itself wrong.
    BadRequest,
    /// The owner has no such offset and never had: the queue ends before it.
    BeyondEnd,
    /// Another response code.
    Code(i32),
    /// The copy was refused by this broker's own store.
    LocalStore,
    /// The peer was not asked: for as long as the policy lasts it had answered no probe.
    Away,
}

impl Cause {
    /// Whether it says of the peer that it is not there for anybody. One that is busy or does not serve runs, but whatever
    /// it is asked it sheds: asking for something else would not help it.
    #[must_use]
    pub const fn means_absent(&self) -> bool {
        match self {
            Self::Timeout | Self::Refused | Self::Reset | Self::NoRoute | Self::Busy | Self::NotServing => true,
            Self::Overloaded
            | Self::NotFound
            | Self::Unconfirmed
            | Self::RetryImmediately
            | Self::OffsetMoved
            | Self::WrongMessage { .. }
            | Self::EmptyAnswer
            | Self::Undecodable
            | Self::MalformedAnswer
            | Self::NoPermission
            | Self::TopicUnknown
            | Self::GroupUnknown
            | Self::BadRequest
            | Self::BeyondEnd
            | Self::Code(_)
            | Self::LocalStore
            | Self::Away => false,
        }
    }

    /// Its name without what it carries: one of a fixed set, fit for a label.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::NoRoute => "no-route",
            Self::Overloaded => "overloaded",
            Self::Busy => "busy",
            Self::NotServing => "not-serving",
            Self::NotFound => "not-found",
            Self::Unconfirmed => "unconfirmed",
            Self::RetryImmediately => "retry-immediately",
            Self::OffsetMoved => "offset-moved",
            Self::WrongMessage { .. } => "wrong-message",
            Self::EmptyAnswer => "empty-answer",
            Self::Undecodable => "undecodable",
            Self::MalformedAnswer => "malformed-answer",
            Self::NoPermission => "no-permission",
            Self::TopicUnknown => "topic-unknown",
            Self::GroupUnknown => "group-unknown",
            Self::BadRequest => "bad-request",
            Self::BeyondEnd => "beyond-end",
            Self::Code(_) => "code",
            Self::LocalStore => "local-store",
            Self::Away => "away",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::WrongMessage { offset } => write!(f, "(offset {offset})"),
            Self::Code(code) => write!(f, "({code})"),
            _ => Ok(()),
        }
    }
}

/// A failed attempt: what, where, how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadFailure {
    /// What failed.
    pub cause: Cause,
    /// Whom we asked: broker name, with its address once one is known.
    pub peer: String,
    /// How long the attempt took, ms.
    pub took_ms: u64,
}

impl ReadFailure {
    /// The broker's name alone, without its address.
    #[must_use]
    pub fn broker(&self) -> &str {
        self.peer.split_once('@').map_or(self.peer.as_str(), |(broker, _)| broker)
    }
}

impl fmt::Display for ReadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} after {} ms", self.cause, self.peer, self.took_ms)
    }
}
