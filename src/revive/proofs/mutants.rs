//! Cores with a planted defect. What proves the sound core has to reject each of them, by the promise it breaks.

use crate::{
    model::chain::{Chain, ChainState, GoneProof, Outcome},
    revive::{
        Engine, ReadOutcome, Reviver,
        engine::{Answer, Effect, Event, Transition, end},
    },
};

/// A planted defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// A failed read passes for proof that the message is gone.
    GoneWithoutProof,
    /// What should be parked is in no table any more.
    ParkedIsForgotten,
    /// A hand-over that failed passes for a confirmed one.
    FailedHandOverConfirms,
    /// A result that comes after the revival is copied too.
    SecondCopy,
    /// After a failed hand-over the chain is opened here, although the target may have it.
    HandOverTakenBack,
    /// An ack after the revival is told that it was absorbed.
    AckAfterRevivalAbsorbed,
    /// A result that comes after the ack is copied.
    RevivedAfterAck,
    /// An ack is absorbed by a group that no longer keeps the chain.
    AckAbsorbedElsewhere,
    /// A parked chain does not take an ack.
    ParkedRefusesAck,
    /// Attempts are not counted.
    AttemptNotCounted,
    /// An attempt begins before anything about it is stored.
    AttemptNotDurable,
    /// Nothing is planned for a crash in the middle of an attempt: it is due at the time it was due at.
    NothingPlannedForCrash,
    /// A failed attempt is repeated at once.
    RewriteAtOnce,
    /// The policy's limit is passed.
    NeverGivesUp,
    /// A rewrite forgets what went wrong before.
    HistoryForgotten,
    /// A confirmation that answers an earlier attempt is not taken in.
    LateConfirmationIgnored,
    /// A peer that is back cuts the invisible time short.
    InvisibleTimeCutShort,
    /// Resuming counts attempts afresh in the old round, so that old results fit new attempts.
    RoundNotCounted,
}

impl Mutant {
    pub(super) const ALL: [Self; 18] = [
        Self::GoneWithoutProof,
        Self::ParkedIsForgotten,
        Self::FailedHandOverConfirms,
        Self::SecondCopy,
        Self::HandOverTakenBack,
        Self::AckAfterRevivalAbsorbed,
        Self::RevivedAfterAck,
        Self::AckAbsorbedElsewhere,
        Self::ParkedRefusesAck,
        Self::AttemptNotCounted,
        Self::AttemptNotDurable,
        Self::NothingPlannedForCrash,
        Self::RewriteAtOnce,
        Self::NeverGivesUp,
        Self::HistoryForgotten,
        Self::LateConfirmationIgnored,
        Self::InvisibleTimeCutShort,
        Self::RoundNotCounted,
    ];

    /// The promise it breaks.
    pub(super) const fn breaks(self) -> &'static str {
        match self {
            Self::GoneWithoutProof | Self::ParkedIsForgotten | Self::FailedHandOverConfirms => "P1",
            Self::SecondCopy | Self::HandOverTakenBack => "P2",
            Self::AckAfterRevivalAbsorbed
            | Self::RevivedAfterAck
            | Self::AckAbsorbedElsewhere
            | Self::ParkedRefusesAck => "P3",
            Self::AttemptNotCounted
            | Self::AttemptNotDurable
            | Self::NothingPlannedForCrash
            | Self::RewriteAtOnce
            | Self::NeverGivesUp
            | Self::HistoryForgotten
            | Self::LateConfirmationIgnored
            | Self::InvisibleTimeCutShort => "P4",
            Self::RoundNotCounted => "P5",
        }
    }
}

/// A core with a defect.
pub(super) struct Mutated {
    pub(super) core: Reviver,
    pub(super) mutant: Mutant,
}

impl Engine for Mutated {
    fn step(&self, chain: &Chain, event: Event, now_ms: i64) -> Transition {
        let sound = self.core.step(chain, event.clone(), now_ms);
        self.instead(chain, &event, &sound, now_ms).unwrap_or(sound)
    }
}

impl Mutated {
    /// What happens instead, where the defect shows.
    fn instead(&self, chain: &Chain, event: &Event, sound: &Transition, now_ms: i64) -> Option<Transition> {
        match (self.mutant, event) {
            (Mutant::GoneWithoutProof, Event::Read { round, attempt, outcome: ReadOutcome::Retry(_) }) => {
                let outcome = ReadOutcome::Gone(GoneProof::BelowMinimum { minimum: 0 });
                Some(self.core.step(chain, Event::Read { round: *round, attempt: *attempt, outcome }, now_ms))
            }
            (Mutant::FailedHandOverConfirms, Event::Handed { round, attempt, result: Err(_) }) => {
                Some(self.core.step(chain, Event::Handed { round: *round, attempt: *attempt, result: Ok(()) }, now_ms))
            }
            (Mutant::SecondCopy, Event::Read { outcome: ReadOutcome::Found(message), .. }) => {
                let revived = matches!(chain.state, ChainState::Ended { outcome: Outcome::Revived(_), .. });
                revived.then(|| Transition { effect: Effect::Copy(message.clone()), ..done(None) })
            }
            (Mutant::RevivedAfterAck, Event::Read { outcome: ReadOutcome::Found(message), .. }) => {
                let acked = matches!(chain.state, ChainState::Ended { outcome: Outcome::Acked, .. });
                acked.then(|| Transition { effect: Effect::Copy(message.clone()), ..done(None) })
            }
            (Mutant::HandOverTakenBack, Event::Handed { result: Err(_), .. }) => {
                let mut next = sound.next.clone()?;
                next.state = ChainState::Open { due_ms: next.due_ms()? };
                Some(Transition { next: Some(next), ..sound.clone() })
            }
            (Mutant::InvisibleTimeCutShort, Event::PeerBack) if chain.attempt == 0 => {
                Some(self.core.step(chain, Event::Due, chain.due_ms()?.max(now_ms)))
            }
            (_, Event::Acked) => self.ack_instead(chain, now_ms),
            (Mutant::LateConfirmationIgnored, Event::Handed { round, attempt, result: Ok(()) }) => {
                let late = (*round, *attempt) != (chain.round, chain.attempt);
                late.then(|| Transition { answer: Answer::Stale, ..done(None) })
            }
            _ => self.next_instead(chain, event, sound, now_ms),
        }
    }

    fn ack_instead(&self, chain: &Chain, now_ms: i64) -> Option<Transition> {
        match (self.mutant, &chain.state) {
            (Mutant::AckAfterRevivalAbsorbed, ChainState::Ended { outcome: Outcome::Revived(_), .. }) => {
                Some(done(None))
            }
            (Mutant::AckAbsorbedElsewhere, ChainState::Moving { .. } | ChainState::Moved { .. }) => {
                Some(done(Some(end(chain.clone(), now_ms, Outcome::Acked))))
            }
            (Mutant::ParkedRefusesAck, ChainState::Parked { .. }) => {
                Some(Transition { answer: Answer::TooLate, ..done(None) })
            }
            _ => None,
        }
    }

    /// The same transition to another state.
    fn next_instead(&self, chain: &Chain, event: &Event, sound: &Transition, now_ms: i64) -> Option<Transition> {
        let mut next = sound.next.clone()?;
        let begins = matches!(sound.effect, Effect::ReadLocally | Effect::ReadRemotely | Effect::HandOver);
        let rewritten = !begins && next.history.failures > chain.history.failures;
        match self.mutant {
            Mutant::ParkedIsForgotten if matches!(next.state, ChainState::Parked { .. }) => {
                next = end(next, now_ms, Outcome::Superseded(chain.id.clone()));
            }
            Mutant::AttemptNotCounted if begins => next.attempt = chain.attempt,
            Mutant::AttemptNotDurable if begins => return Some(Transition { next: None, ..sound.clone() }),
            Mutant::NothingPlannedForCrash if begins => next.state = chain.state.clone(),
            Mutant::RewriteAtOnce if rewritten => set_due(&mut next.state, now_ms),
            Mutant::HistoryForgotten if rewritten => {
                next.history.latest.drain(..next.history.latest.len() - 1);
                next.history.failures = 1;
            }
            Mutant::NeverGivesUp if matches!(next.state, ChainState::Parked { .. }) => {
                let mut patient = self.core.clone();
                (patient.policy.rewrites, patient.policy.total_ms) = (u32::MAX, None);
                return Some(patient.step(chain, event.clone(), now_ms));
            }
            Mutant::RoundNotCounted => next.round = chain.round,
            _ => return None,
        }
        Some(Transition { next: Some(next), ..sound.clone() })
    }
}

const fn done(next: Option<Chain>) -> Transition {
    Transition { next, effect: Effect::None, answer: Answer::Done }
}

fn set_due(state: &mut ChainState, at_ms: i64) {
    if let ChainState::Open { due_ms } | ChainState::Moving { due_ms, .. } = state {
        *due_ms = at_ms;
    }
}
