//! Every metric: its name, kind, labels, unit, meaning and source. Names that begin with `rocketmq_` are RocketMQ's
//! (`PopMetricsConstant`); all others are ours.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; begins at 0 with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// Where the value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Log entries, after their commit.
    Log,
    /// The tables, at the scrape; missing while the store is closed.
    Tables,
    /// The process.
    Process,
}

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, without the `_total` of a counter.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels, beside the ones that every metric has.
    pub labels: &'static [&'static str],
    /// What one is.
    pub unit: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// What it means.
    pub meaning: &'static str,
}

impl Metric {
    /// The name of its samples: a counter's end in `_total`.
    #[must_use]
    pub fn sample_name(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge | Kind::Histogram => self.name.to_owned(),
        }
    }
}

/// Labels that every metric has (RocketMQ's common labels).
pub const COMMON_LABELS: [&str; 3] = ["cluster", "node_type", "node_id"];

macro_rules! catalogue {
    ($($ident:ident: $kind:ident, $name:literal, $labels:expr, $unit:literal, $source:ident, $meaning:literal;)+) => {
        $(
            #[doc = $meaning]
            pub const $ident: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &$labels,
                unit: $unit,
                source: Source::$source,
                meaning: $meaning,
            };
        )+
        /// All metrics, in the order in which they are exported.
        pub const ALL: &[Metric] = &[$($ident),+];
    };
}

catalogue! {
    REVIVE_IN: Counter, "rocketmq_pop_revive_in_message",
        ["consumer_group", "topic", "revive_message_type", "put_status"], "messages", Log,
        "Checkpoints (CK) that began to wait: popped, taken over, renewed, resumed or put back; acks (ACK) taken in";
    REVIVE_OUT: Counter, "rocketmq_pop_revive_out_message",
        ["consumer_group", "topic", "queue_id", "revive_message_type"], "messages", Log,
        "Checkpoints (CK) that were ended, moved, parked or put back; acks (ACK) that took effect. queue_id is 0";
    REVIVE_RETRY: Counter, "rocketmq_pop_revive_retry_messages",
        ["consumer_group", "topic", "put_status"], "messages", Log,
        "Retry copies and dead letters: PUT_OK when stored, MESSAGE_ILLEGAL when the store refused the copy";
    REVIVE_LAG: Gauge, "rocketmq_pop_revive_lag", ["queue_id"], "chains", Tables,
        "Chains that are overdue, at most 10,000 are counted. queue_id is 0";
    REVIVE_LATENCY: Gauge, "rocketmq_pop_revive_latency", ["queue_id"], "ms", Tables,
        "How long the first due chain has been overdue. queue_id is 0";
    ENDED: Counter, "pop_revive_chains_ended", ["outcome"], "chains", Log,
        "Chains that ended, or moved to another group, by outcome";
    READ_FAILURES: Counter, "pop_revive_read_failures", ["cause", "peer"], "attempts", Log,
        "Failed reads of a popped message, by cause and by the broker that was asked";
    HAND_OVER_FAILURES: Counter, "pop_revive_hand_over_failures", ["cause", "peer"], "attempts", Log,
        "Failed attempts to make another group the home of a chain, by cause and group; one per chain";
    REWRITES: Counter, "pop_revive_rewrites", ["attempt"], "attempts", Log,
        "Failed attempts that will be repeated, by the number of the attempt in its round";
    PARKED: Counter, "pop_revive_parked", ["reason"], "chains", Log,
        "Chains that were given up until an operator resumes them, by reason";
    RESUMED: Counter, "pop_revive_resumed", [], "chains", Log,
        "Chains that an operator resumed";
    EXPIRED: Counter, "pop_revive_messages_expired", [], "messages", Log,
        "Messages that were past their retention; live chains may still hold some of them back";
    FORGOTTEN: Counter, "pop_revive_chains_forgotten", [], "chains", Log,
        "Chains that were taken off the tables some time after they were over";
    RETAINED: Gauge, "pop_revive_log_bytes", [], "bytes", Tables,
        "Bytes of the log entries that have not expired";
    HELD_BACK: Gauge, "pop_revive_messages_held_back", [], "messages", Tables,
        "Expired messages that live chains still need";
    CHAINS_PARKED: Gauge, "pop_revive_chains_parked", [], "chains", Tables,
        "Chains that are parked now";
    CHAINS_WAITING: Gauge, "pop_revive_chains_waiting", [], "chains", Tables,
        "Chains that wait for an ack, for their time, or for the next attempt";
    CHAINS_FAILING: Gauge, "pop_revive_chains_failing", [], "chains", Log,
        "Waiting chains whose last attempt failed";
    OLDEST_FAILING: Gauge, "pop_revive_oldest_failing_chain_age_seconds", [], "s", Log,
        "How long ago the oldest failing chain began its first attempt; 0 when none fails";
    STALLED: Gauge, "pop_revive_stalled_seconds", [], "s", Tables,
        "How long chains have been overdue while none was taken up; 0 when none is overdue";
    BREAKER: Gauge, "pop_revive_breaker_state", ["peer"], "state", Process,
        "Circuit breaker towards a broker: 0 closed, 1 half-open, 2 open";
    COMMITS: Counter, "pop_revive_store_commits", [], "commits", Log,
        "Commits of the store";
    STEPS: Histogram, "pop_revive_store_steps_per_commit", [], "steps", Log,
        "Steps that one commit made durable together";
    COMMIT_FAILURES: Counter, "pop_revive_store_commit_failures", ["outcome"], "commits", Process,
        "Commits that failed: not-committed took no effect, unknown may have";
    STORE_OPEN: Gauge, "pop_revive_store_open", [], "bool", Process,
        "1 while the store can be read";
    SET_ASIDE: Gauge, "pop_revive_set_aside", [], "messages", Tables,
        "Messages to the revive topic that were not understood and are kept for the operator";
    REGISTERED: Gauge, "pop_revive_registered", [], "bool", Process,
        "1 when the last registration was taken by a name server";
    LONG_POLLS: Gauge, "pop_revive_long_polls_waiting", [], "requests", Process,
        "Requests that wait for a message to arrive";
    REPLICA_BEHIND: Gauge, "pop_revive_replica_behind_entries", [], "entries", Process,
        "At a slave: log entries of its master that it does not have, as of the master's last answer";
    REPLICA_STUCK: Gauge, "pop_revive_replica_stuck", [], "bool", Process,
        "At a slave: 1 while its log cannot go on from its master's, which waiting does not mend";
    UNCONFIRMED: Gauge, "pop_revive_unconfirmed_seconds", [], "s", Process,
        "Where a record has to be on several disks: how long the oldest has waited for that, or the process for the first word \
         of the slave that it needs; 0 when none waits";
    ACTS: Gauge, "pop_revive_acts", [], "bool", Process,
        "At a slave that may act for its master: 1 from when it takes it for away, or has voted for the other slave to act, \
         until the master has merged what was done";
    ACTING_TERM: Gauge, "pop_revive_acting_term", [], "term", Process,
        "At a slave that may act for its master: the term under which it does; 0 while it has none, and so does nothing";
    MERGED_TERM: Gauge, "pop_revive_merged_term", [], "term", Tables,
        "At a master whose slave may act for it: the term under which it last merged what was done; 0 if it never did";
    MERGE_WAITS: Gauge, "pop_revive_merge_waits_seconds", [], "s", Process,
        "At a master whose slave may act for it: how long it could not find out what was done in its place; 0 when it does not wait";
    UNMERGED: Gauge, "pop_revive_groups_unmerged", [], "groups", Tables,
        "Groups whose acting slaves have handed chains over that their masters have not merged; no chain is forgotten meanwhile";
    REQUESTS: Counter, "pop_revive_requests", ["request_code", "response_code"], "requests", Process,
        "Requests by their code and the code they were answered with";
}
