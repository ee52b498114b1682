//! Performs a transition inside a step: the chain's new state, a local read, and the copy are one transaction.

use std::{net::SocketAddr, sync::Arc};

use super::{
    copy::copy_of,
    engine::{Answer, Effect, Engine, Event, end},
    outcome::ReadOutcome,
    poppable::make_poppable,
};
use crate::{
    model::{
        cause::{Cause, ReadFailure},
        chain::{Chain, ChainState, CopyPlace, FailedAttempt, GoneProof, LogPosition, Outcome, ParkReason},
        message::Message,
    },
    sabotage, sometimes,
    store::{StoreError, Tables, Txn},
};

/// What every step on chains needs.
#[derive(Clone)]
pub struct Home {
    /// The group this broker belongs to.
    pub broker: String,
    /// This broker's address, as stamped on what it stores.
    pub store_host: SocketAddr,
    /// The algorithm.
    pub engine: Arc<dyn Engine>,
}

/// What a transition left to be done after the commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// For the one who caused the event.
    pub answer: Answer,
    /// A job for the time after the commit.
    pub job: Option<Job>,
}

/// Work on a chain that needs another node; its attempt is durable already.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// Read the message from its owner.
    Read(Chain),
    /// Ask the target group to take the chain.
    HandOver(Chain),
}

impl Job {
    /// The chain it is for.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        match self {
            Self::Read(chain) | Self::HandOver(chain) => chain,
        }
    }
}

impl Home {
    /// Lets `event` happen to `chain`: records the new state and every effect that belongs to this transaction.
    ///
    /// # Errors
    /// The store fails.
    pub fn apply(&self, txn: &mut Txn<'_, '_>, chain: &Chain, event: Event) -> Result<Applied, StoreError> {
        let transition = self.engine.step(chain, event, txn.now_ms());
        let current = transition.next.as_ref().unwrap_or(chain).clone();
        if transition.effect == Effect::ReadLocally {
            // The attempt and its result are one transaction, so only the state after the result is recorded.
            let outcome = read_locally(txn, &current)?;
            let event = Event::Read { round: current.round, attempt: current.attempt, outcome };
            return self.apply(txn, &current, event);
        }
        if let Some(next) = transition.next {
            txn.record_chain(next)?;
        }
        let job = match transition.effect {
            Effect::None | Effect::ReadLocally => sometimes!("effect-none", None),
            Effect::ReadRemotely => sometimes!("effect-read", Some(Job::Read(current))),
            Effect::HandOver => sometimes!("effect-hand-over", Some(Job::HandOver(current))),
            Effect::Copy(message) => {
                sometimes!("effect-copy");
                self.store_copy(txn, current, &message)?;
                None
            }
        };
        Ok(Applied { answer: transition.answer, job })
    }

    fn store_copy(&self, txn: &mut Txn<'_, '_>, chain: Chain, original: &Message) -> Result<(), StoreError> {
        let now_ms = txn.now_ms();
        let copy = copy_of(original, &chain, self.store_host, now_ms);
        let topic = copy.message.topic.clone();
        if chain.id.broker != self.broker {
            make_poppable(txn, &chain)?; // its topic may have been deleted here since it came
        }
        txn.ensure_internal_topic(&topic)?;
        if sabotage!("mark-before-effect") {
            return self.mark_without_effect(txn, chain, topic);
        }
        match txn.append(copy.message)? {
            Ok(place) => {
                sometimes!("copy-stored");
                let place = CopyPlace { topic, queue: place.queue, offset: place.offset };
                let outcome = if copy.dead_letter { Outcome::DeadLettered(place) } else { Outcome::Revived(place) };
                txn.record_chain(end(chain, now_ms, outcome))
            }
            Err(refused) => {
                sometimes!("copy-refused");
                // Trying again cannot help: the copy itself is what the store refuses.
                tracing::error!(chain = %chain.id, error = %refused, "the store refuses the retry copy; parked");
                let mut parked = chain;
                let failure = ReadFailure { cause: Cause::LocalStore, peer: self.broker.clone(), took_ms: 0 };
                let (round, attempt) = (parked.round, parked.attempt);
                parked.history.push(FailedAttempt { round, attempt, at_ms: now_ms, failure });
                parked.state = ChainState::Parked { reason: ParkReason::Permanent, at_ms: now_ms };
                txn.record_chain(parked)
            }
        }
    }

    fn mark_without_effect(&self, txn: &mut Txn<'_, '_>, chain: Chain, topic: String) -> Result<(), StoreError> {
        let now_ms = txn.now_ms();
        let place = CopyPlace { topic, queue: 0, offset: -1 };
        txn.record_chain(end(chain, now_ms, Outcome::Revived(place)))
    }
}

/// Reads a chain's message from this broker's own queues.
///
/// # Errors
/// The store fails.
fn read_locally(txn: &Txn<'_, '_>, chain: &Chain) -> Result<ReadOutcome, StoreError> {
    let id = &chain.id;
    let failed = |cause| ReadOutcome::failed(ReadFailure { cause, peer: id.broker.clone(), took_ms: 0 });
    let Some(row) = txn.topic(&id.topic)? else {
        let deleted = txn.deleted_topic(&id.topic)?.filter(|at| *at > chain.topic_epoch);
        return Ok(match deleted {
            Some(at) => sometimes!("here-topic-deleted", ReadOutcome::Gone(GoneProof::TopicDeleted { at })),
            None => sometimes!("here-topic-unknown", failed(Cause::TopicUnknown)),
        });
    };
    let is_later = chain.topic_epoch != LogPosition::default() && row.epoch > chain.topic_epoch;
    if is_later && !sabotage!("epoch-ignored") {
        return sometimes!(
            "here-topic-recreated",
            Ok(ReadOutcome::Gone(GoneProof::TopicRecreated { epoch: row.epoch }))
        );
    }
    let bounds = txn.bounds(&id.topic, id.queue)?;
    match txn.message(&id.topic, id.queue, id.offset) {
        Ok(Some(mut stored)) => Ok(match Message::decode(&mut stored) {
            Ok(message) => sometimes!("here-found", ReadOutcome::Found(Box::new(message))),
            Err(_) => sometimes!("here-undecodable", failed(Cause::Undecodable)),
        }),
        // An expired message stays where it is as long as a chain of ours needs it.
        Ok(None) if id.offset < bounds.minimum => {
            sometimes!("here-below-minimum", Ok(ReadOutcome::Gone(GoneProof::BelowMinimum { minimum: bounds.minimum })))
        }
        Ok(None) => sometimes!("here-beyond-end", Ok(failed(Cause::BeyondEnd))),
        // A damaged entry is this chain's failure alone: as an error it would hold up every chain that is due.
        Err(error @ (StoreError::Entry(_) | StoreError::Dangling { .. })) => {
            sometimes!("here-damaged");
            tracing::error!(chain = %id, %error, "the message is damaged");
            Ok(failed(Cause::Undecodable))
        }
        Err(error) => Err(error),
    }
}
