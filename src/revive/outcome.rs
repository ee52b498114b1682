//! What a read of a popped message came to.

use crate::model::{
    cause::{Cause, ReadFailure},
    chain::GoneProof,
    message::Message,
};

/// What reading one message came to. Nothing but [`Gone`](Self::Gone) says that it does not exist.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadOutcome {
    /// The message that was asked for.
    Found(Box<Message>),
    /// Proof that it does not exist any more.
    Gone(GoneProof),
    /// It may work later.
    Retry(ReadFailure),
    /// The owner answered something that no retry can change.
    Permanent(ReadFailure),
}

/// Whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It can.
    Retry,
    /// It cannot: an operator has to.
    Permanent,
}

impl ReadOutcome {
    /// A failure, classified by its cause.
    #[must_use]
    pub fn failed(failure: ReadFailure) -> Self {
        match class(&failure.cause) {
            Class::Retry => Self::Retry(failure),
            Class::Permanent => Self::Permanent(failure),
        }
    }
}

/// The one table of what a cause means.
#[must_use]
pub const fn class(cause: &Cause) -> Class {
    match cause {
        Cause::NoPermission | Cause::TopicUnknown | Cause::GroupUnknown | Cause::BadRequest | Cause::BeyondEnd => {
            Class::Permanent
        }
        Cause::Timeout
        | Cause::Refused
        | Cause::Reset
        | Cause::NoRoute
        | Cause::Overloaded
        | Cause::Busy
        | Cause::NotServing
        | Cause::NotFound
        | Cause::RetryImmediately
        | Cause::OffsetMoved
        | Cause::WrongMessage { .. }
        | Cause::EmptyAnswer
        | Cause::Undecodable
        | Cause::MalformedAnswer
        | Cause::Code(_)
        | Cause::LocalStore => Class::Retry,
    }
}
