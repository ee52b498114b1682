//! The pure core: a chain and an event go in, the chain's next state and an effect come out.
//!
//! No I/O and no clock: the caller passes the time and performs the effect, in the same transaction where it can. The
//! engine is a trait so that another algorithm can run in the same world under the same oracles.

use super::{outcome::ReadOutcome, policy::RewritePolicy};
use crate::{
    model::{
        cause::ReadFailure,
        chain::{Chain, ChainId, ChainState, FailedAttempt, Outcome, ParkReason},
        message::Message,
    },
    sabotage, sometimes,
};

/// What happens to a chain.
#[derive(Debug, Clone)]
pub enum Event {
    /// Its wait is over.
    Due,
    /// The peer that it waits for was away and is back: its wait ends here.
    PeerBack,
    /// A read that was begun has come to something.
    Read {
        /// The round in which it was begun.
        round: u32,
        /// The attempt it was.
        attempt: u32,
        /// What it came to.
        outcome: ReadOutcome,
    },
    /// The group it was handed to has answered, or not.
    Handed {
        /// The round in which it was handed over.
        round: u32,
        /// The attempt it was.
        attempt: u32,
        /// `Ok` once that group confirmed.
        result: Result<(), ReadFailure>,
    },
    /// It has lain due for as long as the policy lasts, because its peer is away and is asked for nothing.
    Waited {
        /// The peer, and for how long.
        failure: ReadFailure,
    },
    /// The consumer acks the message.
    Acked,
    /// The consumer renews its handle; the chain goes on as `by`.
    Renewed {
        /// The new chain.
        by: ChainId,
    },
    /// An operator resumes it.
    Resumed,
    /// An operator takes away what it is about: its end, for a chain whose home is here.
    Withdrawn(Outcome),
}

/// What the caller has to do, after or together with storing the chain.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Read the message from this broker's own queues, in the same transaction, and feed the outcome back.
    ReadLocally,
    /// Read it from its owner, once the attempt is durable, and feed the outcome back.
    ReadRemotely,
    /// Ask the target group to take the chain, once the attempt is durable, and feed the answer back.
    HandOver,
    /// Store this copy, in the same transaction, and end the chain with its place.
    Copy(Box<Message>),
}

/// What the one who caused the event is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done: an ack was absorbed, a handle renewed, a chain resumed, a result taken.
    Done,
    /// The message is on its way again, or gone: too late for this.
    TooLate,
    /// The chain goes on under another id.
    Superseded(ChainId),
    /// Another group is the chain's home.
    Elsewhere(String),
    /// Nothing to do: the event is from a past round or attempt, or does not fit the state.
    Stale,
}

/// What an event does to a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The chain's new state; `None` when it stays as it is.
    pub next: Option<Chain>,
    /// What has to be done.
    pub effect: Effect,
    /// What the one who caused the event is told.
    pub answer: Answer,
}

impl Transition {
    const fn stay(answer: Answer) -> Self {
        Self { next: None, effect: Effect::None, answer }
    }

    const fn to(next: Chain, effect: Effect) -> Self {
        Self { next: Some(next), effect, answer: Answer::Done }
    }
}

/// An algorithm that revives popped messages.
pub trait Engine: Send + Sync + 'static {
    /// What `event` does to `chain` at `now_ms` (Unix ms on the chain's home).
    fn step(&self, chain: &Chain, event: Event, now_ms: i64) -> Transition;
}

/// Our algorithm: typed failures, rewrites that end, history that survives.
#[derive(Debug, Clone)]
pub struct Reviver {
    /// The group this broker belongs to: its messages are read locally.
    pub own_broker: String,
    /// When to try again.
    pub policy: RewritePolicy,
    /// The longest an attempt can take, ms: what is planned for a crash must not come before its end.
    pub attempt_limit_ms: i64,
}

impl Engine for Reviver {
    fn step(&self, chain: &Chain, event: Event, now_ms: i64) -> Transition {
        match event {
            Event::Due => self.due(chain, now_ms),
            Event::PeerBack => self.peer_back(chain, now_ms),
            Event::Read { round, attempt, outcome } => self.read(chain, (round, attempt), outcome, now_ms),
            Event::Handed { round, attempt, result } => self.handed(chain, (round, attempt), result, now_ms),
            Event::Waited { failure } => waited(chain, failure, now_ms),
            Event::Acked => settled(chain, Outcome::Acked, now_ms),
            Event::Renewed { by } => settled(chain, Outcome::Superseded(by), now_ms),
            Event::Resumed => resumed(chain, now_ms),
            Event::Withdrawn(outcome) => withdrawn(chain, outcome, now_ms),
        }
    }
}

impl Reviver {
    fn due(&self, chain: &Chain, now_ms: i64) -> Transition {
        match &chain.state {
            ChainState::Open { due_ms } if *due_ms <= now_ms => {
                sometimes!("due-open");
                let forgotten = sabotage!("rewrite-forgets-broker") && chain.attempt > 0;
                let local = chain.id.broker == self.own_broker || forgotten;
                self.begin_attempt(chain, now_ms, if local { Effect::ReadLocally } else { Effect::ReadRemotely })
            }
            ChainState::Moving { due_ms, .. } if *due_ms <= now_ms => {
                sometimes!("due-moving", self.begin_attempt(chain, now_ms, Effect::HandOver))
            }
            _ => sometimes!("due-stale", Transition::stay(Answer::Stale)),
        }
    }

    fn peer_back(&self, chain: &Chain, now_ms: i64) -> Transition {
        match &chain.state {
            // Only a wait after a failure may be cut short; before the first attempt it is the invisible time.
            _ if chain.attempt == 0 => sometimes!("peer-back-untried", Transition::stay(Answer::Stale)),
            ChainState::Open { .. } if chain.id.broker != self.own_broker => {
                sometimes!("peer-back-open", self.begin_attempt(chain, now_ms, Effect::ReadRemotely))
            }
            ChainState::Moving { .. } => {
                sometimes!("peer-back-moving", self.begin_attempt(chain, now_ms, Effect::HandOver))
            }
            _ => sometimes!("peer-back-stale", Transition::stay(Answer::Stale)),
        }
    }

    /// Counts the attempt and plans the next one as if this one had failed already: whoever recovers from a crash in
    /// the middle of it goes on from there, and no crash loop becomes a hot loop.
    fn begin_attempt(&self, chain: &Chain, now_ms: i64, effect: Effect) -> Transition {
        let mut next = chain.clone();
        // Time in which it lay down (the broker or the peer was away) is not time in which anybody tried.
        let late_ms = chain.due_ms().map_or(0, |due_ms| now_ms.saturating_sub(due_ms).max(0));
        next.round_began_ms = Some(next.round_began_ms.map_or(now_ms, |began_ms| began_ms.saturating_add(late_ms)));
        if self.policy.is_used_up(&next, now_ms) {
            sometimes!("attempt-used-up");
            return Transition::to(park(next, now_ms, ParkReason::PolicyExhausted), Effect::None);
        }
        next.attempt = next.attempt.saturating_add(1);
        let wait = self.policy.wait_ms(&chain.id, chain.round, next.attempt);
        set_due(&mut next.state, now_ms.saturating_add(self.attempt_limit_ms).saturating_add(wait));
        Transition::to(next, effect)
    }

    fn read(&self, chain: &Chain, begun: (u32, u32), outcome: ReadOutcome, now_ms: i64) -> Transition {
        let open = matches!(chain.state, ChainState::Open { .. });
        if !open || begun != (chain.round, chain.attempt) {
            return sometimes!("read-stale", Transition::stay(Answer::Stale));
        }
        match outcome {
            ReadOutcome::Found(message) => {
                sometimes!("read-to-copy");
                Transition { next: None, effect: Effect::Copy(message), answer: Answer::Done }
            }
            ReadOutcome::Gone(proof) => {
                sometimes!("read-to-gone");
                Transition::to(end(chain.clone(), now_ms, Outcome::Gone(proof)), Effect::None)
            }
            ReadOutcome::Retry(failure) => sometimes!("read-to-rewrite", self.rewrite(chain, failure, now_ms)),
            ReadOutcome::Permanent(failure) => sometimes!("read-to-refused", self.refused(chain, failure, now_ms)),
        }
    }

    fn handed(&self, chain: &Chain, begun: (u32, u32), result: Result<(), ReadFailure>, now_ms: i64) -> Transition {
        let ChainState::Moving { to, .. } = &chain.state else {
            return sometimes!("handed-stale", Transition::stay(Answer::Stale));
        };
        match result {
            // A late confirmation counts whatever attempt it belongs to: the target has the chain.
            Ok(()) => {
                sometimes!("handed-taken");
                let mut next = chain.clone();
                next.state = ChainState::Moved { to: to.clone() };
                next.hop = next.hop.saturating_add(u32::from(!sabotage!("hop-not-counted")));
                Transition::to(next, Effect::None)
            }
            Err(_) if begun != (chain.round, chain.attempt) => {
                sometimes!("handed-failed-before", Transition::stay(Answer::Stale))
            }
            Err(failure) => sometimes!("handed-failed", self.rewrite(chain, failure, now_ms)),
        }
    }

    /// One refusal is no proof: the owner's topics and permissions may just be set up. It is asked again after a wait.
    fn refused(&self, chain: &Chain, failure: ReadFailure, now_ms: i64) -> Transition {
        let next = remember(chain.clone(), failure.clone(), now_ms);
        if self.policy.is_refused(&next) {
            sometimes!("refused-for-good");
            return Transition::to(park(next, now_ms, ParkReason::Permanent), Effect::None);
        }
        sometimes!("refused-once", self.rewrite(chain, failure, now_ms))
    }

    fn rewrite(&self, chain: &Chain, failure: ReadFailure, now_ms: i64) -> Transition {
        let mut next = remember(chain.clone(), failure, now_ms);
        let from = if sabotage!("backoff-from-old-time") { next.id.pop_time } else { now_ms };
        match self.policy.next_due_ms(&next, from) {
            Some(due) => {
                sometimes!("rewritten");
                if !sabotage!("due-as-planned") {
                    set_due(&mut next.state, due);
                }
                if sabotage!("attempt-not-persisted") {
                    next.attempt -= 1;
                }
                Transition::to(next, Effect::None)
            }
            None => sometimes!(
                "rewrites-end",
                Transition::to(park(next, now_ms, ParkReason::PolicyExhausted), Effect::None)
            ),
        }
    }
}

fn set_due(state: &mut ChainState, at_ms: i64) {
    if let ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. } = state {
        *due_ms = at_ms;
    }
}

fn remember(mut chain: Chain, failure: ReadFailure, now_ms: i64) -> Chain {
    chain.history.push(FailedAttempt { round: chain.round, attempt: chain.attempt, at_ms: now_ms, failure });
    chain
}

fn park(mut chain: Chain, at_ms: i64, reason: ParkReason) -> Chain {
    let reason = match (&chain.state, reason) {
        (ChainState::Moving { to, .. }, _) => {
            sometimes!("parked-as-unknown", ParkReason::UnknownAt { broker: to.clone() })
        }
        (_, reason) => sometimes!("parked-as-given", reason),
    };
    chain.state = ChainState::Parked { reason, at_ms };
    chain
}

/// Only a chain that is still due has waited: what was acked or resumed meanwhile goes its own way.
fn waited(chain: &Chain, failure: ReadFailure, now_ms: i64) -> Transition {
    if chain.due_ms().is_none_or(|due_ms| due_ms > now_ms) {
        return sometimes!("waited-stale", Transition::stay(Answer::Stale));
    }
    sometimes!("waited-out-its-policy");
    let next = remember(chain.clone(), failure, now_ms);
    Transition::to(park(next, now_ms, ParkReason::PolicyExhausted), Effect::None)
}

/// Ends a chain.
#[must_use]
pub fn end(mut chain: Chain, at_ms: i64, outcome: Outcome) -> Chain {
    chain.state = ChainState::Ended { outcome, at_ms };
    chain
}

/// What happens to a chain that is acked or renewed.
fn settled(chain: &Chain, outcome: Outcome, now_ms: i64) -> Transition {
    match refusal_of(&chain.state) {
        None => sometimes!("settled", Transition::to(end(chain.clone(), now_ms, outcome), Effect::None)),
        Some(answer) => sometimes!("not-settled", Transition::stay(answer)),
    }
}

/// A chain that goes, or may have gone, to another group ends there: only its home decides.
fn withdrawn(chain: &Chain, outcome: Outcome, now_ms: i64) -> Transition {
    match refusal_of(&chain.state).filter(|_| !sabotage!("withdrawn-elsewhere")) {
        None => sometimes!("withdrawn", Transition::to(end(chain.clone(), now_ms, outcome), Effect::None)),
        Some(_) => sometimes!("not-withdrawn", Transition::stay(Answer::Stale)),
    }
}

/// What an ack or a renewal is told by a chain that takes neither any more; `None` from one that does.
fn refusal_of(state: &ChainState) -> Option<Answer> {
    match state {
        ChainState::Open { .. } => sometimes!("settles-while-open", None),
        ChainState::Parked { reason: ParkReason::PolicyExhausted | ParkReason::Permanent, .. } => {
            sometimes!("settles-while-parked", None)
        }
        ChainState::Moving { to, .. }
        | ChainState::Moved { to }
        | ChainState::Parked { reason: ParkReason::UnknownAt { broker: to }, .. } => {
            sometimes!("settles-elsewhere", Some(Answer::Elsewhere(to.clone())))
        }
        ChainState::Ended { outcome, .. } => Some(match outcome {
            Outcome::Acked => sometimes!("settled-before", Answer::Done),
            Outcome::Superseded(by) => sometimes!("settles-by-successor", Answer::Superseded(by.clone())),
            Outcome::Revived(_) | Outcome::DeadLettered(_) | Outcome::Gone(_) | Outcome::Reset => {
                sometimes!("settles-too-late", Answer::TooLate)
            }
        }),
    }
}

/// Resuming opens a new round at once; the history stays. A chain whose handing over is unknown asks the same group
/// again before anything else.
fn resumed(chain: &Chain, now_ms: i64) -> Transition {
    let ChainState::Parked { reason, .. } = &chain.state else {
        return sometimes!("resumed-stale", Transition::stay(Answer::Stale));
    };
    let mut next = chain.clone();
    next.round = next.round.saturating_add(1); // counts come from other brokers too
    next.attempt = 0;
    next.round_began_ms = None;
    next.resumed_ms = Some(now_ms);
    next.state = match reason {
        ParkReason::UnknownAt { broker } => {
            sometimes!("resumed-unknown");
            // Resuming asks again at once, but it does not cut the message's invisible time short.
            let visible_ms = chain.id.pop_time.saturating_add(chain.invisible_ms);
            let revive_ms = if sabotage!("resume-cuts-short") { now_ms } else { visible_ms };
            ChainState::Moving { to: broker.clone(), due_ms: now_ms, revive_ms }
        }
        ParkReason::PolicyExhausted | ParkReason::Permanent => {
            sometimes!("resumed-open", ChainState::Open { due_ms: now_ms })
        }
    };
    Transition::to(next, Effect::None)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "engine_limits_tests.rs"]
mod limits_tests;
