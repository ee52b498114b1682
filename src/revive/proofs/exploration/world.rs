//! One chain between two groups: what their disks hold, what is under way between them, and what may still go wrong.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{
    model::chain::{Chain, ChainState, Outcome},
    revive::samples::{OTHER, OWN},
};

/// The two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Side {
    /// Owns the message; the chain begins here, on its way to the other.
    Owner,
    /// Becomes the chain's home, and has to read the message from its owner.
    Home,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Owner, Self::Home];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Owner => OWN,
            Self::Home => OTHER,
        }
    }
}

/// A chain as a disk keeps it.
///
/// Time is the disk's own, and it is always 0: what is planned lies so far ahead, and time that passes until something
/// is due makes that 0. So one group's clock says nothing about the other's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept(pub(super) Arc<Chain>);

impl Kept {
    pub(super) fn new(chain: Chain) -> Self {
        Self(Arc::new(chain))
    }
}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        rmp_serde::to_vec(&*self.0).unwrap().hash(state);
    }
}

/// What a group has durably.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Disk {
    pub(super) chain: Option<Kept>,
    /// An ack that came before its checkpoint.
    pub(super) early_ack: bool,
    pub(super) copies: u8,
}

impl Disk {
    pub(super) fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref().map(|kept| &*kept.0)
    }

    pub(super) fn state(&self) -> Option<&ChainState> {
        self.chain().map(|chain| &chain.state)
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        match self.state()? {
            ChainState::Ended { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    pub(super) fn is_parked(&self) -> bool {
        matches!(self.state(), Some(ChainState::Parked { .. }))
    }

    pub(super) fn has_moved(&self) -> bool {
        matches!(self.state(), Some(ChainState::Moved { .. }))
    }

    pub(super) fn due_ms(&self) -> Option<i64> {
        self.chain()?.due_ms()
    }
}

/// What is asked of the other group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Asks {
    /// The owner asks the home to take the chain.
    HandOver,
    /// The home asks the owner for the message.
    Read,
}

impl Asks {
    pub(super) const fn by(self) -> Side {
        match self {
            Self::HandOver => Side::Owner,
            Self::Read => Side::Home,
        }
    }
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Answered {
    /// The home has the chain.
    Adopted,
    /// The message.
    Found,
    /// The queue begins after it.
    BelowMinimum,
    /// A lagging replica does not find it.
    NotFound,
    /// Nothing, in time: lost, or the request was, or it is still under way.
    Nothing,
}

/// A request under way, or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Call {
    pub(super) asks: Asks,
    pub(super) round: u32,
    pub(super) attempt: u32,
    /// `None` while the request is under way.
    pub(super) answered: Option<Answered>,
    /// Somebody still waits for the answer.
    pub(super) awaited: bool,
}

/// Where the consumer's ack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ack {
    /// With the consumer, who may send it at any time.
    Unsent,
    /// On its way from the group that was asked to the chain's home.
    Forwarded,
    /// Answered, or lost.
    Over,
}

/// What the consumer was told, by a group that decided so durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Told {
    Nothing,
    Absorbed,
    TooLate,
}

/// What has been broken on the way here, where the state alone does not show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    /// An attempt that failed or began can be followed by another at once.
    pub(super) hot: bool,
    /// A chain's history lost a failure.
    pub(super) forgot: bool,
    /// A round, attempt or hop went back, or what was over went on.
    pub(super) went_back: bool,
    /// A step used nothing up: it could be repeated for ever.
    pub(super) stalled: bool,
    /// An early ack met its checkpoint.
    pub(super) met_early_ack: bool,
}

/// How often what goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Faults {
    /// A group loses its memory.
    pub(super) crashes: u32,
    /// A request or its answer is lost, late, or wrong.
    pub(super) losses: u32,
    /// A parked chain is resumed.
    pub(super) resumes: u32,
    /// Retention takes the message away.
    pub(super) removals: u32,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) owner: Disk,
    pub(super) home: Disk,
    /// In order, because the order in which they were begun means nothing.
    pub(super) calls: Vec<Call>,
    pub(super) ack: Ack,
    pub(super) told: Told,
    /// Retention took the message away.
    pub(super) removed: bool,
    /// What may still go wrong.
    pub(super) left: Faults,
    /// Attempts really begun in the round, by group.
    pub(super) begun: [u32; 2],
    pub(super) seen: Seen,
}

impl World {
    pub(super) fn disk(&self, side: Side) -> &Disk {
        match side {
            Side::Owner => &self.owner,
            Side::Home => &self.home,
        }
    }

    pub(super) fn disk_mut(&mut self, side: Side) -> &mut Disk {
        match side {
            Side::Owner => &mut self.owner,
            Side::Home => &mut self.home,
        }
    }

    pub(super) fn copies(&self) -> u8 {
        self.owner.copies + self.home.copies
    }

    /// Whether nothing more happens unless somebody from outside does something.
    pub(super) fn is_still(&self) -> bool {
        self.calls.is_empty()
            && self.ack != Ack::Forwarded
            && Side::BOTH.iter().all(|side| self.disk(*side).due_ms().is_none())
    }

    /// What is left to happen. Every step must make it smaller: then every run ends.
    pub(super) fn rank(&self, attempts: u32) -> [u32; 4] {
        let ack = match self.ack {
            Ack::Unsent => 2,
            Ack::Forwarded => 1,
            Ack::Over => 0,
        };
        let Faults { crashes, losses, resumes, removals } = self.left;
        let outside = crashes + losses + resumes + removals + ack;
        let left = |side: Side| match self.disk(side).chain() {
            None if side == Side::Home => attempts + 2,
            Some(chain) if chain.due_ms().is_some() => attempts + 1 - chain.attempt.min(attempts),
            _ => 0,
        };
        let calls = self.calls.iter().map(|call| if call.answered.is_none() { 2 } else { 1 }).sum();
        let waiting = |side: &&Side| self.disk(**side).due_ms().is_some_and(|due_ms| due_ms > 0);
        let waits = Side::BOTH.iter().filter(waiting).count() as u32;
        [outside, left(Side::Owner) + left(Side::Home), calls, waits]
    }
}
