//! Plays the shell around a core: performs the effects that belong to the transaction, and checks every step against the
//! promises.

use crate::{
    model::{
        cause::Cause,
        chain::{
            Chain, ChainId, ChainState, CopyPlace, FailedAttempt, GoneProof, HISTORY_LIMIT, History, Outcome,
            ParkReason,
        },
    },
    revive::{
        Engine, ReadOutcome, Reviver,
        engine::{Answer, Effect, Event, Transition, end},
        samples::{POPPED_MS, failure, message},
    },
};

/// A promise that a core has broken.
#[derive(Debug, thiserror::Error)]
#[error("{promise}: {what}")]
pub(super) struct Broken {
    promise: &'static str,
    what: String,
}

macro_rules! keeps {
    ($promise:literal, $holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(Broken { promise: $promise, what: format!($($what)+) });
        }
    };
}

/// What happens next; reads and answers name their attempt relative to the chain's.
#[derive(Debug, Clone)]
pub(super) enum Happens {
    /// The wait is over; a read from the broker's own queues comes to this.
    Due {
        local: Came,
    },
    Read {
        stale_round: bool,
        stale_attempt: bool,
        outcome: Came,
    },
    Handed {
        stale_round: bool,
        stale_attempt: bool,
        confirmed: bool,
    },
    /// Its peer was away, and was asked for nothing, as long as the policy lasts.
    Waited,
    /// Its peer was away and is back.
    PeerBack,
    Acked,
    Renewed,
    Resumed,
}

/// What a read came to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Came {
    Found,
    Gone,
    Retry,
    Permanent,
}

impl Came {
    pub(super) fn outcome(self) -> ReadOutcome {
        match self {
            Self::Found => ReadOutcome::Found(Box::new(message())),
            Self::Gone => ReadOutcome::Gone(GoneProof::BelowMinimum { minimum: 9 }),
            Self::Retry => ReadOutcome::Retry(failure(Cause::Timeout)),
            Self::Permanent => ReadOutcome::Permanent(failure(Cause::TopicUnknown)),
        }
    }
}

/// One chain's life.
pub(super) struct Play<'e> {
    engine: &'e dyn Engine,
    /// Whose numbers the engine has to keep to.
    rules: &'e Reviver,
    pub(super) chain: Chain,
    pub(super) now_ms: i64,
    local: Came,
    absorbed: bool,
    copies: u32,
}

impl<'e> Play<'e> {
    pub(super) fn new(engine: &'e dyn Engine, rules: &'e Reviver, chain: Chain) -> Self {
        let (now_ms, local) = (POPPED_MS, Came::Retry);
        Self { engine, rules, chain, now_ms, local, absorbed: false, copies: 0 }
    }

    pub(super) fn happen(&mut self, happens: &Happens) -> Result<(), Broken> {
        if let Happens::Due { local } = happens {
            self.local = *local;
        }
        let event = self.event(happens);
        self.take(&event)
    }

    fn event(&self, happens: &Happens) -> Event {
        let begun = |stale_round: bool, stale_attempt: bool| {
            (self.chain.round.wrapping_sub(stale_round.into()), self.chain.attempt.wrapping_sub(stale_attempt.into()))
        };
        match *happens {
            Happens::Due { .. } => Event::Due,
            Happens::Read { stale_round, stale_attempt, outcome } => {
                let (round, attempt) = begun(stale_round, stale_attempt);
                Event::Read { round, attempt, outcome: outcome.outcome() }
            }
            Happens::Handed { stale_round, stale_attempt, confirmed } => {
                let (round, attempt) = begun(stale_round, stale_attempt);
                let result = if confirmed { Ok(()) } else { Err(failure(Cause::Refused)) };
                Event::Handed { round, attempt, result }
            }
            Happens::PeerBack => Event::PeerBack,
            Happens::Waited => Event::Waited { failure: failure(Cause::Away) },
            Happens::Acked => Event::Acked,
            Happens::Renewed => Event::Renewed { by: ChainId { pop_time: self.now_ms + 1, ..self.chain.id.clone() } },
            Happens::Resumed => Event::Resumed,
        }
    }

    /// Lets the event happen to the chain.
    pub(super) fn take(&mut self, event: &Event) -> Result<(), Broken> {
        let before = self.chain.clone();
        let transition = self.engine.step(&before, event.clone(), self.now_ms);
        let after = transition.next.clone().unwrap_or_else(|| before.clone());
        self.check_ack(&before, event, &transition)?;
        check_reason(&before, &after, event)?;
        self.check_copies(&before, event, &transition)?;
        check_target(&before, &after, event)?;
        check_progress(&before, &after, event)?;
        self.check_attempts(&before, &after, event, &transition)?;
        self.check_history(&before, &after, event)?;
        self.check_end_of_hand_over(&before, &after, event)?;
        self.chain = after;
        self.perform(transition.effect)
    }

    /// What the shell does in the same transaction.
    fn perform(&mut self, effect: Effect) -> Result<(), Broken> {
        let open = matches!(self.chain.state, ChainState::Open { .. });
        let own = self.chain.id.broker == self.rules.own_broker;
        match effect {
            Effect::None => {}
            Effect::ReadLocally => {
                keeps!("P1", own && open, "reads another group's message from its own queues");
                let (round, attempt) = (self.chain.round, self.chain.attempt);
                self.take(&Event::Read { round, attempt, outcome: self.local.outcome() })?;
            }
            Effect::ReadRemotely => keeps!("P1", !own && open, "asks another group for its own message"),
            Effect::HandOver => {
                keeps!("P1", matches!(self.chain.state, ChainState::Moving { .. }), "hands over what is not moving");
            }
            Effect::Copy(copy) => {
                keeps!("P1", *copy == message(), "the copy is of another message");
                self.copies += 1;
                let place = CopyPlace { topic: "r".into(), queue: 0, offset: 0 };
                self.chain = end(self.chain.clone(), self.now_ms, Outcome::Revived(place));
            }
        }
        Ok(())
    }

    /// Whatever has happened: once reads and hand-overs succeed and parked chains are resumed, the chain ends.
    pub(super) fn faults_end(mut self) -> Result<(), Broken> {
        for _ in 0..4 {
            match self.chain.state {
                ChainState::Ended { .. } | ChainState::Moved { .. } => return Ok(()),
                ChainState::Parked { .. } => self.happen(&Happens::Resumed)?,
                ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. } => {
                    self.now_ms = self.now_ms.max(due_ms);
                    self.happen(&Happens::Due { local: Came::Found })?;
                    let (round, attempt) = (self.chain.round, self.chain.attempt);
                    match self.chain.state {
                        ChainState::Open { .. } => {
                            self.take(&Event::Read { round, attempt, outcome: Came::Found.outcome() })?;
                        }
                        ChainState::Moving { .. } => self.take(&Event::Handed { round, attempt, result: Ok(()) })?,
                        _ => {}
                    }
                }
            }
        }
        Err(Broken { promise: "P4", what: format!("no end after the faults: {:?}", self.chain.state) })
    }

    /// An ack is absorbed by a chain that is not revived yet and at home here, and by no other; it hears the same again.
    fn check_ack(&mut self, before: &Chain, event: &Event, transition: &Transition) -> Result<(), Broken> {
        keeps!("P3", !self.absorbed || transition.next.is_none(), "an acked chain changes at {event:?}");
        if !matches!(event, Event::Acked) {
            return Ok(());
        }
        let ended = |chain: &Chain| matches!(chain.state, ChainState::Ended { outcome: Outcome::Acked, .. });
        let expected = match &before.state {
            ChainState::Open { .. } | ChainState::Parked { reason: ParkReason::PolicyExhausted, .. } => Answer::Done,
            ChainState::Parked { reason: ParkReason::Permanent, .. } => Answer::Done,
            ChainState::Moving { to, .. } | ChainState::Moved { to } => Answer::Elsewhere(to.clone()),
            ChainState::Parked { reason: ParkReason::UnknownAt { broker }, .. } => Answer::Elsewhere(broker.clone()),
            ChainState::Ended { outcome: Outcome::Acked, .. } => Answer::Done,
            ChainState::Ended { outcome: Outcome::Superseded(by), .. } => Answer::Superseded(by.clone()),
            ChainState::Ended { .. } => Answer::TooLate,
        };
        let answer = &transition.answer;
        keeps!("P3", *answer == expected, "the ack of {:?} hears {answer:?}, not {expected:?}", before.state);
        let is_over = ended(transition.next.as_ref().unwrap_or(before));
        keeps!("P3", (expected == Answer::Done) == is_over, "the ack of {:?} leaves it so", before.state);
        self.absorbed |= is_over;
        Ok(())
    }

    /// One copy at the most, of an open chain, made of what was found.
    fn check_copies(&self, before: &Chain, event: &Event, transition: &Transition) -> Result<(), Broken> {
        if matches!(transition.effect, Effect::None) {
            return Ok(());
        }
        keeps!("P3", !self.absorbed, "{:?} although it was acked", transition.effect);
        keeps!("P2", self.copies == 0, "{:?} although it was revived", transition.effect);
        if matches!(transition.effect, Effect::Copy(_)) {
            let open = matches!(before.state, ChainState::Open { .. });
            keeps!("P2", open && transition.next.is_none(), "a copy of a chain that is {:?}", before.state);
            let found = matches!(event, Event::Read { outcome: ReadOutcome::Found(_), .. });
            keeps!("P1", found, "a copy of what was not found");
        }
        Ok(())
    }

    /// An attempt is counted in the very state that its effect comes with, and the next one is planned for a crash.
    fn check_attempts(
        &self,
        before: &Chain,
        after: &Chain,
        event: &Event,
        transition: &Transition,
    ) -> Result<(), Broken> {
        let rewrites = self.rules.policy.rewrites;
        keeps!("P4", after.attempt <= rewrites + 1, "attempt {} of {} at the most", after.attempt, rewrites + 1);
        if after.round != before.round {
            keeps!("P4", (after.attempt, after.round_began_ms) == (0, None), "a round does not begin anew");
            return Ok(());
        }
        let begins = matches!(transition.effect, Effect::ReadLocally | Effect::ReadRemotely | Effect::HandOver);
        let counted = after.attempt == before.attempt + u32::from(begins);
        keeps!("P4", counted, "attempt {} after {}, begins: {begins}", after.attempt, before.attempt);
        if !begins {
            return Ok(());
        }
        let (was_due, planned) = (before.due_ms().unwrap(), after.due_ms().unwrap());
        let cut_short = before.attempt > 0 && matches!(event, Event::PeerBack);
        keeps!("P4", was_due <= self.now_ms || cut_short, "begins {} ms too early", was_due - self.now_ms);
        // It moves on by the time in which the chain was due and nobody tried.
        let began = before.round_began_ms.map_or(self.now_ms, |was| was + (self.now_ms - was_due).max(0));
        keeps!("P4", after.round_began_ms == Some(began), "the round began {:?}, not {began}", after.round_began_ms);
        let in_time = self.rules.policy.total_ms.is_none_or(|total| self.now_ms - began <= total as i64);
        keeps!("P4", in_time, "an attempt after the total time");
        // Whoever recovers from a crash now repeats the attempt only after it must have ended.
        let soonest = self.now_ms + self.rules.attempt_limit_ms + self.shortest_wait(after.attempt);
        keeps!("P4", planned >= soonest, "after a crash it is repeated {} ms too early", soonest - planned);
        Ok(())
    }

    /// A failure is remembered, and waited for or given up after as many as the policy allows.
    fn check_history(&self, before: &Chain, after: &Chain, event: &Event) -> Result<(), Broken> {
        let (was, is) = (&before.history, &after.history);
        let failed = is_failure(before, event, self.now_ms);
        let counted = was.failures + u32::from(failed);
        keeps!("P4", is.failures == counted, "remembers {} failures, not {counted}", is.failures);
        keeps!("P4", was.first_ms.is_none() || is.first_ms == was.first_ms, "the first failure is forgotten");
        let bounded = is.latest.len() == HISTORY_LIMIT.min(is.failures as usize);
        keeps!("P4", bounded, "remembers {} of {} failures", is.latest.len(), is.failures);
        if !failed {
            return Ok(());
        }
        let is_last = matches!(event, Event::Waited { .. }) || self.is_refused(after, event);
        let last = is.last().unwrap();
        let fits = (last.round, last.attempt, last.at_ms) == (before.round, before.attempt, self.now_ms);
        keeps!("P4", fits, "remembers another failure: {last:?}");
        match &after.state {
            ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. } => {
                let soonest = self.now_ms + self.shortest_wait(before.attempt);
                keeps!("P4", !is_last && *due_ms >= soonest, "tried again {} ms too early", soonest - due_ms);
            }
            ChainState::Parked { .. } => {
                let spent = before.attempt == self.rules.policy.rewrites + 1 || self.rules.policy.total_ms.is_some();
                keeps!("P1", is_last || spent, "parked after attempt {}", before.attempt);
            }
            other => keeps!("P1", false, "a failure led to {other:?}"),
        }
        Ok(())
    }

    /// Whether this refusal is as many in a row, of one round and by one peer, as the policy asks for.
    fn is_refused(&self, after: &Chain, event: &Event) -> bool {
        let refused = matches!(event, Event::Read { outcome: ReadOutcome::Permanent(_), .. });
        let needed = self.rules.policy.refusals as usize;
        let row: Vec<_> = after.history.latest.iter().rev().take(needed).collect();
        let in_row =
            |failed: &&FailedAttempt| failed.round == after.round && failed.failure.cause == Cause::TopicUnknown;
        refused && row.len() == needed && row.iter().all(in_row)
    }

    /// A confirmation ends the hand-over whatever attempt it answers: the target has the chain.
    fn check_end_of_hand_over(&self, before: &Chain, after: &Chain, event: &Event) -> Result<(), Broken> {
        let confirmed = matches!(event, Event::Handed { result: Ok(()), .. });
        let moving = matches!(before.state, ChainState::Moving { .. });
        let moved = matches!(after.state, ChainState::Moved { .. });
        keeps!("P4", !(confirmed && moving) || moved, "a confirmation is not taken in");
        Ok(())
    }

    fn shortest_wait(&self, attempt: u32) -> i64 {
        let policy = &self.rules.policy;
        let step = (attempt.max(1) as usize - 1).min(policy.waits_ms.len() - 1);
        (policy.waits_ms[step] as f64 * (1.0 - policy.jitter)).floor() as i64
    }
}

/// Whether the event is a failure of the very attempt that the chain is waiting for, or of its patience.
pub(super) fn is_failure(chain: &Chain, event: &Event, now_ms: i64) -> bool {
    let current = |round: u32, attempt: u32| (round, attempt) == (chain.round, chain.attempt);
    match (&chain.state, event) {
        (ChainState::Open { .. }, Event::Read { round, attempt, outcome }) => {
            current(*round, *attempt) && matches!(outcome, ReadOutcome::Retry(_) | ReadOutcome::Permanent(_))
        }
        (ChainState::Moving { .. }, Event::Handed { round, attempt, result: Err(_) }) => current(*round, *attempt),
        (_, Event::Waited { .. }) => chain.due_ms().is_some_and(|due_ms| due_ms <= now_ms),
        _ => false,
    }
}

/// A chain leaves the table of what is due only for a reason that the event gives.
fn check_reason(before: &Chain, after: &Chain, event: &Event) -> Result<(), Broken> {
    if before.state == after.state {
        return Ok(());
    }
    let current = |round: u32, attempt: u32| (round, attempt) == (before.round, before.attempt);
    let has_reason = match (&after.state, event) {
        (ChainState::Open { .. } | ChainState::Moving { .. } | ChainState::Parked { .. }, _) => true,
        (ChainState::Moved { .. }, Event::Handed { result: Ok(()), .. }) => true,
        (ChainState::Ended { outcome: Outcome::Acked, .. }, Event::Acked) => true,
        (ChainState::Ended { outcome: Outcome::Superseded(is), .. }, Event::Renewed { by }) => is == by,
        (ChainState::Ended { outcome: is, .. }, Event::Withdrawn(outcome)) => is == outcome,
        (ChainState::Ended { outcome: Outcome::Gone(is), .. }, Event::Read { round, attempt, outcome }) => {
            current(*round, *attempt) && matches!(outcome, ReadOutcome::Gone(proof) if proof == is)
        }
        _ => false,
    };
    keeps!("P1", has_reason, "{event:?} made it {:?}", after.state);
    Ok(())
}

/// While it is not known whether the target has the chain, no other group is asked, and it is not opened here.
fn check_target(before: &Chain, after: &Chain, event: &Event) -> Result<(), Broken> {
    let target = |chain: &Chain| match &chain.state {
        ChainState::Moving { to, .. }
        | ChainState::Moved { to }
        | ChainState::Parked { reason: ParkReason::UnknownAt { broker: to }, .. } => Some(to.clone()),
        _ => None,
    };
    let acked = matches!(event, Event::Acked);
    keeps!("P2", acked || target(before) == target(after), "from {:?} to {:?}", before.state, after.state);
    if let (ChainState::Moving { revive_ms: was, .. }, ChainState::Moving { revive_ms: is, .. }) =
        (&before.state, &after.state)
    {
        keeps!("P2", was == is, "the time of its revival over there changed");
    }
    Ok(())
}

/// Nothing goes back, what is over stays over, and nothing changes that says which message it is.
fn check_progress(before: &Chain, after: &Chain, event: &Event) -> Result<(), Broken> {
    let resumed = matches!((event, &before.state), (Event::Resumed, ChainState::Parked { .. }));
    keeps!("P5", after.round == before.round + u32::from(resumed), "round {} after {}", after.round, before.round);
    keeps!("P5", resumed || after.attempt >= before.attempt, "attempt {} after {}", after.attempt, before.attempt);
    let moved = matches!(after.state, ChainState::Moved { .. }) && !matches!(before.state, ChainState::Moved { .. });
    keeps!("P5", after.hop == before.hop + u32::from(moved), "hop {} after {}", after.hop, before.hop);
    let is_over = matches!(before.state, ChainState::Ended { .. } | ChainState::Moved { .. });
    keeps!("P5", !is_over || before == after, "what was {:?} is {:?}", before.state, after.state);
    let parked = |chain: &Chain| matches!(chain.state, ChainState::Parked { .. });
    let due = |chain: &Chain| chain.due_ms().is_some();
    keeps!("P5", resumed || !(parked(before) && due(after)), "nobody resumed it");
    keeps!("P5", resumed || before.resumed_ms == after.resumed_ms, "resumed at {:?}, by nobody", after.resumed_ms);
    let essence = |chain: &Chain| {
        let (state, history) = (ChainState::Moved { to: String::new() }, History::default());
        let chain = Chain { round: 0, hop: 0, attempt: 0, round_began_ms: None, state, history, ..chain.clone() };
        Chain { resumed_ms: None, ..chain }
    };
    keeps!("P5", essence(before) == essence(after), "it became another chain");
    Ok(())
}
