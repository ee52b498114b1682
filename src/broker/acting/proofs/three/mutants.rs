//! Groups with a planted defect, each of which the exploration has to reject; and what it has to come by.

use std::sync::atomic::{AtomicU32, Ordering};

use super::world::Left;

/// Declares an enum, and lists what it has.
macro_rules! listed {
    ($(#[$of_all:meta])* $name:ident { $($(#[$of_one:meta])* $variant:ident,)* }) => {
        $(#[$of_all])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name { $($(#[$of_one])* $variant,)* }

        impl $name {
            pub(super) const ALL: &[Self] = &[$(Self::$variant,)*];
        }
    };
}

listed! {
    /// A planted defect.
    Mutant {
        /// The target gives a slave a term by what was agreed upon before the master took one.
        AgreementNeverOver,
        /// The target gives a slave a term by what was agreed upon, whatever its log lacks of what the other acted upon.
        SuccessorLacksSome,
        /// A slave follows its master on while it asks for the vote.
        VoteAskedUnbound,
        /// A slave takes it for agreed that it acts before the other one has voted.
        AgreedBeforeVote,
        /// A slave takes it for agreed when it is asked whether it would vote.
        AgreedWhenAsked,
        /// A slave votes for another with a shorter log.
        VoteForShorter,
        /// A slave votes that has lost what it had.
        VoteOfEmpty,
        /// A slave that has voted for a later term votes for an earlier one.
        VoteForEarlier,
        /// What a slave has promised is forgotten in a crash.
        VoteForgotten,
        /// A slave that has voted goes on following.
        VoteUnheeded,
        /// A slave that has voted takes what its master has answered before.
        LateAnswerTaken,
        /// What the master has said of one term counts for a later one.
        OldAnswerCounts,
        /// A slave follows whose log is empty, and nobody asks what it may have lost.
        EmptyFollowsUnasked,
        /// The target goes by the log of the slave that asked last, not by the furthest.
        ShorterEndCounts,
        /// A term that was taken is one under which something was done.
        UnusedTermCuts,
        /// The master cuts its log back to where that of the slave ends that has less.
        CutAtShortest,
        /// The target adopts what is handed over under a term that is not the last.
        SealIgnored,
        /// The master does not cut off what contradicts what was done.
        TailKept,
        /// A slave that has a term does not ask what was done before.
        NothingIsListed,
        /// The target hears of a merge that may be taken back.
        MergeToldBeforeConfirmed,
        /// The slave follows its master although nothing is merged.
        FollowsWithoutMerge,
    }
}

impl Mutant {
    /// Whether it shows only where a disk is lost.
    pub(super) const fn needs_lost_disk(self) -> bool {
        matches!(self, Self::EmptyFollowsUnasked | Self::VoteOfEmpty)
    }

    /// The promise it breaks.
    pub(super) const fn breaks(self) -> &'static str {
        match self {
            Self::LateAnswerTaken => "P5",
            Self::SealIgnored | Self::TailKept | Self::NothingIsListed | Self::MergeToldBeforeConfirmed => "P6",
            Self::FollowsWithoutMerge => "P9",
            _ => "P1",
        }
    }
}

listed! {
    /// What must happen on some way, or the world is too small to show anything.
    Reached {
        FirstActs, SecondActs, FirstTakesOver, SecondAloneAfterFirst, AloneAfterItself,
        LogOfTheOther, VoteRefusedByActing, VoteRefusedByLost, VoteRefusedByLonger, VoteRefusedForLater, VotedMeanwhile,
        TermRefused, HandOverRefused, LateTermTaken, LateVote, LateHandOver, LateConfirmed, LateMergeBegun,
        TailCut, MergedOfBoth, MergedNothing, MergedForLost, NothingForLost, BegunAtLook,
        Forgotten, FollowedAgain, ConfirmedAfterMerge,
    }
}

impl Reached {
    pub(super) const fn needs_lost_disk(self) -> bool {
        matches!(self, Self::VoteRefusedByLost | Self::MergedForLost | Self::NothingForLost | Self::BegunAtLook)
    }
}

/// A group, and what its exploration has come by.
pub(super) struct Group {
    pub(super) left: Left,
    mutant: Option<Mutant>,
    /// Whether it is tried in each state that all comes right again.
    pub(super) heals: bool,
    /// A bit for each thing that was reached.
    reached: AtomicU32,
}

impl Group {
    pub(super) const fn new(left: Left, mutant: Option<Mutant>, heals: bool) -> Self {
        Self { left, mutant, heals, reached: AtomicU32::new(0) }
    }

    /// The same one, when all goes well.
    pub(super) const fn healing(&self) -> Self {
        Self::new(self.left, self.mutant, false)
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(super) const fn has_mutant(&self) -> bool {
        self.mutant.is_some()
    }

    pub(super) fn reach(&self, what: Reached) {
        let bit = 1 << what as u32;
        if self.reached.load(Ordering::Relaxed) & bit == 0 {
            self.reached.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// What was not reached.
    pub(super) fn missed(&self) -> Vec<Reached> {
        let reached = self.reached.load(Ordering::Relaxed);
        Reached::ALL.iter().copied().filter(|what| reached & 1 << *what as u32 == 0).collect()
    }
}
