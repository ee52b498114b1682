//! A step in the writer's queue, and what becomes of its caller.

use tokio::sync::oneshot;

use super::{Step, StoreError, Txn};
use crate::model::record::LogEnd;

/// What the writer itself is to do at a step's place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing but the step.
    Commit,
    /// Cut the log back to this end, go on under this term, and run the step before any other.
    CutBack(LogEnd, u64),
    /// Run the step under this term, and go on under it.
    GoOn(u64),
    /// Remember whether, and under which term, this member acts for its master.
    Act(Option<u64>),
    /// Remember that this member and another one agreed upon that term.
    Agree(u64),
    /// Remember whether this member has had all that its master had.
    CaughtUp(bool),
    /// Remember how far the master's clock is ahead of the wall clock, ms.
    MasterAhead(i64),
    /// Stop after this batch.
    Close,
}

/// A step in the queue, whatever its type.
pub(super) trait WaitingStep: Send {
    /// Runs the step; its reply is kept.
    fn decide(&mut self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError>;
    /// Tells the caller.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
    /// Whether somebody waits for the commit.
    fn is_urgent(&self) -> bool {
        true
    }
    /// Whether its caller asks for this disk alone, and is told before the step is confirmed.
    fn is_for_here(&self) -> bool {
        false
    }
    /// What the writer itself is to do.
    fn order(&self) -> Order {
        Order::Commit
    }
}

/// When a step's caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Once it is confirmed.
    Confirmed,
    /// Once it is confirmed, and its commit is in no hurry.
    ConfirmedPatiently,
    /// Once it is on this disk.
    Here,
}

/// A step, and how its caller is told.
pub(super) struct Waiting<S: Step> {
    step: Option<S>,
    told: Told,
    order: Order,
    decided: Option<S::Reply>,
    reply: oneshot::Sender<Result<S::Reply, StoreError>>,
}

impl<S: Step> Waiting<S> {
    pub(super) fn new(step: S, told: Told, reply: oneshot::Sender<Result<S::Reply, StoreError>>) -> Self {
        Self { step: Some(step), told, order: Order::Commit, decided: None, reply }
    }

    pub(super) fn with_order(self, order: Order) -> Self {
        Self { order, ..self }
    }
}

impl<S: Step> WaitingStep for Waiting<S> {
    fn decide(&mut self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        if let Some(step) = self.step.take() {
            self.decided = Some(step.decide(txn)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { decided, reply, .. } = *self;
        let answer = committed.and_then(|()| decided.ok_or(StoreError::Closed));
        let _ = reply.send(answer); // the caller may have given up
    }

    fn is_urgent(&self) -> bool {
        self.told != Told::ConfirmedPatiently
    }

    fn is_for_here(&self) -> bool {
        self.told == Told::Here
    }

    fn order(&self) -> Order {
        self.order
    }
}

/// The request to stop.
pub(super) struct Close {
    reply: oneshot::Sender<()>,
}

impl Close {
    pub(super) const fn new(reply: oneshot::Sender<()>) -> Self {
        Self { reply }
    }
}

impl WaitingStep for Close {
    fn decide(&mut self, _: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        Ok(())
    }
    fn finish(self: Box<Self>, _: Result<(), StoreError>) {
        let _ = self.reply.send(()); // nobody has to wait for the end
    }
    fn order(&self) -> Order {
        Order::Close
    }
}

/// Steps whose entries are committed together.
pub(super) type Batch = Vec<Box<dyn WaitingStep>>;
