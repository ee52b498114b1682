//! Why a request is refused, and the wire code that says so.

use crate::{
    model::cause::ReadFailure,
    remoting::{Command, HeaderError, code::response},
    sabotage,
    store::StoreError,
};

use super::filter::FilterError;

/// Why a request is refused. The remark carries the text, so that a caller can act on it.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The header is wrong.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// The filter is wrong.
    #[error("{0}")]
    Filter(#[from] FilterError),
    /// The body is wrong.
    #[error("the body is not understood: {0}")]
    Body(String),
    /// A field is out of its range.
    #[error("`{field}` is {found}: expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What came.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// No such topic.
    #[error("topic {0:?} does not exist here")]
    TopicUnknown(String),
    /// No such group.
    #[error("consumer group {0:?} does not exist here")]
    GroupUnknown(String),
    /// The topic or group does not allow it.
    #[error("not allowed: {0}")]
    NotPermitted(String),
    /// The message cannot be stored.
    #[error("the message is refused: {0}")]
    MessageIllegal(String),
    /// Nothing that matches the handle or the offset.
    #[error("{0}")]
    NoMessage(String),
    /// A checkpoint so old that what it is about may have been here and is forgotten.
    #[error("popped at {pop_time}, before the last chain that was forgotten here: whether it was known cannot be told")]
    Forgotten {
        /// Pop time of the checkpoint, Unix ms.
        pop_time: i64,
    },
    /// Another member of the caller's group has taken a later term.
    #[error("term {term} has been taken since by another member of that group")]
    Sealed {
        /// The term.
        term: u64,
    },
    /// This kind of request is not served.
    #[error("{0} is not supported")]
    NotSupported(String),
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// Another group, which has to confirm, did not.
    #[error("not confirmed by its home: {0}")]
    NotConfirmed(ReadFailure),
    /// The route of what is stored here is not known to any name server yet.
    #[error("no name server has taken the route of this broker's topics: {0}")]
    NotRouted(String),
    /// Only the master of the group does this.
    #[error("this member of the group is a slave: ask its master")]
    Slave,
    /// A slave that does not know what was asked for, which its master may know.
    #[error("this member of the group is a slave and may be behind: {0}")]
    SlaveBehind(Box<Refusal>),
    /// The message is on this disk, perhaps confirmed before this broker began: only the other members can tell.
    #[error("the message is here, and the other members of the group have not said yet that they have it too")]
    Unconfirmed,
    /// This broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

impl Refusal {
    /// The wire code.
    #[must_use]
    pub const fn code(&self) -> i32 {
        match self {
            Self::Header(_) | Self::Field { .. } => response::INVALID_PARAMETER,
            Self::Filter(_) => response::SUBSCRIPTION_PARSE_FAILED,
            Self::Body(_) | Self::MessageIllegal(_) | Self::Forgotten { .. } => response::MESSAGE_ILLEGAL,
            Self::TopicUnknown(_) => response::TOPIC_NOT_EXIST,
            Self::GroupUnknown(_) => response::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::NotPermitted(_) => response::NO_PERMISSION,
            Self::NoMessage(_) => response::NO_MESSAGE,
            Self::Sealed { .. } => response::SEALED,
            Self::NotSupported(_) => response::REQUEST_CODE_NOT_SUPPORTED,
            Self::Store(StoreError::Closed | StoreError::Reopening | StoreError::NoLease | StoreError::MayLack)
            | Self::Slave
            | Self::SlaveBehind(_)
            | Self::Stopping => response::SERVICE_NOT_AVAILABLE,
            Self::Store(StoreError::Overloaded { .. }) | Self::NotConfirmed(_) | Self::NotRouted(_) => {
                response::SYSTEM_BUSY
            }
            Self::Unconfirmed => response::SLAVE_NOT_AVAILABLE,
            Self::Store(_) => response::SYSTEM_ERROR,
        }
    }

    /// The answer.
    #[must_use]
    pub fn into_answer(self) -> Command {
        let is_hidden = matches!(self, Self::NotConfirmed(_)) && sabotage!("absence-as-error");
        let code = if is_hidden { response::SYSTEM_ERROR } else { self.code() };
        Command::response(code).with_remark(self.to_string())
    }
}
