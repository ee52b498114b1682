//! What a read of a popped message came to.

use crate::model::{
    cause::{Cause, ReadFailure},
    chain::GoneProof,
    message::Message,
};
use crate::{sabotage, sometimes};

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
            Class::Retry => sometimes!("failure-to-retry", Self::Retry(failure)),
            Class::Permanent => sometimes!("failure-for-good", Self::Permanent(failure)),
        }
    }
}

/// The one table of what a cause means.
#[must_use]
pub fn class(cause: &Cause) -> Class {
    if *cause == Cause::Busy && sabotage!("busy-for-good") {
        return Class::Permanent;
    }
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
        | Cause::Unconfirmed
        | Cause::RetryImmediately
        | Cause::OffsetMoved
        | Cause::WrongMessage { .. }
        | Cause::EmptyAnswer
        | Cause::Undecodable
        | Cause::MalformedAnswer
        | Cause::Code(_)
        | Cause::LocalStore
        | Cause::Away => Class::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is intended, apart from the table itself; a new cause does not compile until it is decided here.
    const fn waiting_helps(cause: &Cause) -> bool {
        match cause {
            // The network, or nobody there.
            Cause::Timeout | Cause::Refused | Cause::Reset | Cause::NoRoute | Cause::Away => true,
            // Load, or the peer is not in service yet.
            Cause::Overloaded | Cause::Busy | Cause::NotServing => true,
            // The other members of its group may come back.
            Cause::Unconfirmed => true,
            // A lagging replica says these; so does a broker that skipped over what was asked for.
            Cause::NotFound | Cause::RetryImmediately | Cause::OffsetMoved => true,
            // A defective answer says nothing about the message; the next answer may be sound.
            Cause::WrongMessage { .. } | Cause::EmptyAnswer | Cause::Undecodable | Cause::MalformedAnswer => true,
            // What we do not understand is no reason to give up, and our own disk may recover.
            Cause::Code(_) | Cause::LocalStore => true,
            // The owner decided; only an operator can change that.
            Cause::NoPermission | Cause::TopicUnknown | Cause::GroupUnknown | Cause::BadRequest => false,
            // The owner, in the very term of the pop, never had the message.
            Cause::BeyondEnd => false,
        }
    }

    /// Known defects A01, A20.
    #[test]
    fn every_cause_has_the_intended_class() {
        let causes = [
            Cause::Timeout,
            Cause::Refused,
            Cause::Reset,
            Cause::NoRoute,
            Cause::Overloaded,
            Cause::Busy,
            Cause::NotServing,
            Cause::NotFound,
            Cause::Unconfirmed,
            Cause::RetryImmediately,
            Cause::OffsetMoved,
            Cause::WrongMessage { offset: 1 },
            Cause::EmptyAnswer,
            Cause::Undecodable,
            Cause::MalformedAnswer,
            Cause::NoPermission,
            Cause::TopicUnknown,
            Cause::GroupUnknown,
            Cause::BadRequest,
            Cause::BeyondEnd,
            Cause::Code(1),
            Cause::LocalStore,
            Cause::Away,
        ];
        for cause in causes {
            let failure = ReadFailure { cause: cause.clone(), peer: "b".into(), took_ms: 1 };
            let expected = match waiting_helps(&cause) {
                true => ReadOutcome::Retry(failure.clone()),
                false => ReadOutcome::Permanent(failure.clone()),
            };
            assert_eq!(ReadOutcome::failed(failure), expected, "{cause}");
        }
    }
}
