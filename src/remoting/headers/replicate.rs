//! Following a master's log. RocketMQ replicates over a protocol of its own (`HAService`); this one is ours.

use crate::model::record::LogEnd;

header! {
    /// REPLICATE: what comes after the end of my log? The body has what the master asked for, if it did.
    pub struct ReplicateHeader {
        /// Broker group.
        broker_name: String = "brokerName",
        /// The follower's id in the group.
        broker_id: i64 = "brokerId",
        /// Term of the follower's last entry; 0 for an empty log.
        last_term: i64 = "lastTerm",
        /// Index of the follower's last entry; 0 for an empty log.
        last_index: i64 = "lastIndex",
        /// Checksum of the follower's last entry; 0 for an empty log.
        last_checksum: i64 = "lastChecksum",
        /// Up to which index the follower knows entries to be confirmed; the master says when there is more.
        confirmed_index: i64 = "confirmedIndex",
        /// Set by a follower that acts for the master: the term under which it has, 0 if it has done nothing yet. It asks
        /// whether that is merged, and for nothing else.
        acting_term: Option<i64> = "actingTerm",
        /// Whether the follower has ever had all that its master had, so that it may act for it.
        caught_up: Option<bool> = "caughtUp",
        /// The mark of the last answer that the follower has heard, 0 for none, where the master has its lease of that.
        heard: Option<i64> = "heard",
        /// The entry after which those come that the body has.
        gives_after: Option<LogEnd> = "givesAfter",
        /// How long the master may hold the request while there is nothing new, ms.
        suspend_timeout_millis: i64 = "suspendTimeoutMillis",
    }
}

header! {
    /// Answer to REPLICATE; the entries are the body, one after the other as they are on disk.
    pub struct ReplicateResponseHeader {
        /// Index of the master's last entry.
        last_index: i64 = "lastIndex",
        /// Up to which index entries are on as many disks as the master's degree says once the follower has them. Missing
        /// where that is all of them.
        confirmed_index: Option<i64> = "confirmedIndex",
        /// The master's clock, Unix ms: due times in its log are by it.
        now_ms: Option<i64> = "nowMs",
        /// What the follower is to name when it asks next: until a while after it has heard this it does not act.
        mark: Option<i64> = "mark",
        /// Set when the master has merged what the follower has done for it: the term since which it goes on.
        merged_term: Option<i64> = "mergedTerm",
        /// Set when the follower's log is not the beginning of the master's.
        diverged: bool = "diverged" or false,
        /// Set when the follower has less than it had: it forgets that it had all of it, and asks again.
        has_less: bool = "hasLess" or false,
        /// Set when the follower has something that the master lacks, whose disk is an older one: the last entry that the
        /// master knows to be confirmed. The follower gives what comes after that.
        lacks_after: Option<LogEnd> = "lacksAfter",
        /// Set when what comes next has left the master's log: the next entry that it still has.
        next_index: Option<i64> = "nextIndex",
    }
}
