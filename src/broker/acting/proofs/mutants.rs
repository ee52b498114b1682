//! Groups with a planted defect. The exploration has to reject each of them, by the promise it breaks.

/// A planted defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// The target adopts what is handed over under a term that is not the last.
    SealIgnored,
    /// The master takes the chains that the target has for its own still.
    MergedWithoutMoves,
    /// The master does not go on behind what its slave has handed out.
    MergedWithoutOffsets,
    /// What the master had not confirmed stays in its log.
    TailKept,
    /// The slave follows its master although nothing is merged.
    FollowsWithoutMerge,
    /// A slave that restarts does not know any more that it acts.
    TermNotRemembered,
    /// What a master says of an earlier term counts for a later one.
    OldAnswerCounts,
    /// The master needs nobody to confirm, whoever acts.
    MasterConfirmsAlone,
    /// The master tells what it has written before it is confirmed.
    ToldBeforeConfirmed,
    /// The target forgets chains that the master has not merged.
    ForgottenBeforeMerge,
    /// The target hears of a merge that may be taken back.
    MergeToldBeforeConfirmed,
    /// The slave hands a message out before the target has its chain.
    PopWithoutHome,
    /// The slave absorbs an ack of its own accord.
    SlaveDecidesOnAcks,
    /// The slave takes the chain that it has not heard of for unknown to the target, too, and goes on.
    NothingIsListed,
    /// The master does not ask what a slave has done that is lost.
    LostSlaveForgotten,
    /// What the master does not know to be confirmed is cut off for a slave that is lost.
    CutAtKnown,
    /// A term that was taken is one under which something was done.
    UnusedTermCounts,
    /// A term that was taken, and under which nothing was done, is not over when another slave has begun.
    UnusedTermGoesOn,
}

impl Mutant {
    pub(super) const ALL: [Self; 18] = [
        Self::SealIgnored,
        Self::MergedWithoutMoves,
        Self::MergedWithoutOffsets,
        Self::TailKept,
        Self::FollowsWithoutMerge,
        Self::TermNotRemembered,
        Self::OldAnswerCounts,
        Self::MasterConfirmsAlone,
        Self::ToldBeforeConfirmed,
        Self::ForgottenBeforeMerge,
        Self::MergeToldBeforeConfirmed,
        Self::PopWithoutHome,
        Self::SlaveDecidesOnAcks,
        Self::NothingIsListed,
        Self::LostSlaveForgotten,
        Self::CutAtKnown,
        Self::UnusedTermCounts,
        Self::UnusedTermGoesOn,
    ];

    /// Whether it shows only where a disk is lost.
    pub(super) const fn needs_lost_disk(self) -> bool {
        matches!(self, Self::LostSlaveForgotten | Self::CutAtKnown | Self::UnusedTermCounts | Self::UnusedTermGoesOn)
    }

    /// The promise it breaks.
    pub(super) const fn breaks(self) -> &'static str {
        match self {
            Self::CutAtKnown | Self::UnusedTermCounts | Self::UnusedTermGoesOn => "P1",
            Self::MergedWithoutMoves | Self::TailKept => "P2",
            Self::MergedWithoutOffsets
            | Self::SealIgnored
            | Self::FollowsWithoutMerge
            | Self::TermNotRemembered
            | Self::OldAnswerCounts
            | Self::ForgottenBeforeMerge
            | Self::MergeToldBeforeConfirmed
            | Self::NothingIsListed
            | Self::LostSlaveForgotten => "P6",
            Self::MasterConfirmsAlone | Self::ToldBeforeConfirmed | Self::PopWithoutHome | Self::SlaveDecidesOnAcks => {
                "P9"
            }
        }
    }
}
