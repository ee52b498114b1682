//! Slaves that act for their masters, and the group that keeps their chains. RocketMQ's acting masters ask nobody
//! (RIP-32); these requests are ours.

use crate::model::{record::LogEnd, timer::TimerId};

header! {
    /// SEAL: gives me the next term.
    pub struct SealHeader {
        /// The caller's group.
        group_name: String = "groupName",
        /// Its id in that group; 0 is the master, who ends the acting.
        member_id: i64 = "memberId",
        /// A term that it knows of: the next one is higher.
        above: i64 = "above",
        /// The term upon which both slaves agreed that one of them acts, where the caller goes on in the place of the other one:
        /// it gets none if the master has taken one since, or if its log does not end as the other's.
        agreed_term: Option<i64> = "agreedTerm",
        /// How the log of a slave ends that is to act. It stays so until its master has merged what is done under the term.
        log_end: Option<LogEnd> = "logEnd",
        /// Of a group whose master confirms alone while it has a lease: how long one lasts, ms. To the master the answer is
        /// one; a slave gets no term while one may last.
        lease_ms: Option<i64> = "leaseMs",
    }
}

header! {
    /// Answer to SEAL.
    pub struct SealResponseHeader {
        /// The term; 0 if there is none.
        term: i64 = "term",
        /// How long the master's lease may last, ms, if that is why there is none.
        leased_ms: Option<i64> = "leasedMs",
        /// Whether what the slaves agreed upon still holds, if that was asked.
        agreed: Option<bool> = "agreed",
    }
}

header! {
    /// VOTE, between the slaves of one group: I want to act for our master, and my log ends so.
    pub struct VoteHeader {
        /// The group.
        group_name: String = "groupName",
        /// The caller's id in it.
        member_id: i64 = "memberId",
        /// The term under which it will act, which it has; 0 to ask whether it would have the vote.
        term: i64 = "term",
        /// How its log ends.
        log_end: LogEnd = "logEnd",
    }
}

header! {
    /// Answer to VOTE. The body has log entries, as they are on disk, that the caller lacks.
    pub struct VoteResponseHeader {
        /// Whether the answering member follows no master any more, until one has merged a later term; or would.
        granted: bool = "granted",
        /// Whether the answering member acts itself.
        acts: bool = "acts",
        /// How the answering member's log ends.
        log_end: LogEnd = "logEnd",
    }
}

header! {
    /// LEASE: let my group's master go on alone for a while.
    pub struct LeaseHeader {
        /// The caller's group.
        group_name: String = "groupName",
        /// The term of its log.
        term: i64 = "term",
        /// For how long, ms.
        lease_ms: i64 = "leaseMs",
    }
}

header! {
    /// Answer to LEASE.
    pub struct LeaseResponseHeader {
        /// The term that another member has taken, if that is why there is none.
        sealed_term: Option<i64> = "sealedTerm",
    }
}

header! {
    /// LIST_ACTED: which chains were handed over for my group since its master last merged them? The body of the answer
    /// is a MessagePack list of them.
    pub struct ListActedHeader {
        /// The caller's group.
        group_name: String = "groupName",
        /// The id after which to go on; empty for the beginning.
        after: String = "after",
        /// How many at the most.
        limit: i64 = "limit",
    }
}

header! {
    /// Answer to LIST_ACTED.
    pub struct ListActedResponseHeader {
        /// Whether there are more.
        more: bool = "more",
        /// The last term that a member of the group has taken; 0 if none has. It may be one that is not confirmed yet.
        sealed_term: i64 = "sealedTerm",
        /// How the log ended of the last member that took one to act, if one has and said so.
        log_end: Option<LogEnd> = "logEnd",
        /// Whether delayed messages were handed over as well since the group's master last merged.
        has_timers: bool = "hasTimers" or false,
    }
}

header! {
    /// TAKE_TIMERS: these delayed messages of my group are due. The body is a MessagePack list of
    /// [`DueTimer`](crate::model::timer::DueTimer)s.
    pub struct TakeTimersHeader {
        /// The caller's group.
        group_name: String = "groupName",
        /// The term under which the caller acts.
        term: i64 = "term",
    }
}

header! {
    /// LIST_TAKEN_TIMERS: which delayed messages were handed over for my group since its master last merged? The body of the
    /// answer is a MessagePack list of [`TakenTimer`](crate::model::timer::TakenTimer)s.
    pub struct ListTakenTimersHeader {
        /// The caller's group.
        group_name: String = "groupName",
        /// The one after which to go on; none for the beginning.
        after: Option<TimerId> = "after",
        /// How many at the most.
        limit: i64 = "limit",
    }
}

header! {
    /// Answer to LIST_TAKEN_TIMERS.
    pub struct ListTakenTimersResponseHeader {
        /// Whether there are more.
        more: bool = "more",
    }
}

header! {
    /// MERGED: what was handed over for my group is merged.
    pub struct MergedHeader {
        /// The caller's group.
        group_name: String = "groupName",
        /// The term under which it is.
        term: i64 = "term",
    }
}
