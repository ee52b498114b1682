//! The planted defects: what each breaks, which promise notices, and the scenario that is made to provoke it.

/// A planted defect.
#[derive(Debug, Clone, Copy)]
pub struct Sabotage {
    /// Its name, as in `sabotage!("...")` at its site and in `--sabotage`.
    pub name: &'static str,
    /// The rule it breaks.
    pub breaks: &'static str,
    /// The promise that notices.
    pub promise: &'static str,
    /// The scenario that provokes it.
    pub scenario: &'static str,
}

/// All of them.
pub const SABOTAGES: &[Sabotage] = &[
    Sabotage {
        name: "mark-before-effect",
        breaks: "a chain ends as revived in a transaction of its own, and the copy that was to follow is forgotten",
        promise: "P1",
        scenario: "restart-mid-revive",
    },
    Sabotage {
        name: "dedupe-without-group",
        breaks: "a checkpoint counts as known when another consumer group's is",
        promise: "P1",
        scenario: "shared-topic",
    },
    Sabotage {
        name: "rewrite-forgets-broker",
        breaks: "after a rewrite the message is looked for at home instead of at its owner",
        promise: "P1",
        scenario: "remote-read-timeout",
    },
    Sabotage {
        name: "success-before-commit",
        breaks: "an answer leaves before what it confirms is synced",
        promise: "P9",
        scenario: "calm",
    },
    Sabotage {
        name: "empty-found-is-gone",
        breaks: "a success without a message passes for proof that the message is gone",
        promise: "P1",
        scenario: "remote-read-timeout",
    },
    Sabotage {
        name: "attempt-not-persisted",
        breaks: "a failed attempt is not counted",
        promise: "P4",
        scenario: "remote-read-timeout",
    },
    Sabotage {
        name: "backoff-from-old-time",
        breaks: "the wait is counted from the pop instead of from the failure",
        promise: "P4",
        scenario: "remote-read-timeout",
    },
    Sabotage {
        name: "dropped-error",
        breaks: "a failed remote read ends the chain",
        promise: "P1",
        scenario: "remote-read-timeout",
    },
    Sabotage {
        name: "retry-topic-without-route",
        breaks: "an adopted chain's topic is neither created nor routed",
        promise: "P1",
        scenario: "restart-mid-revive",
    },
    Sabotage {
        name: "ack-index-off-by-one",
        breaks: "an ack ends the next message's chain",
        promise: "P3",
        scenario: "calm",
    },
    Sabotage {
        name: "send-dedupe-off",
        breaks: "a send that a client repeats is stored again",
        promise: "P2",
        scenario: "lost-answers",
    },
    Sabotage {
        name: "copy-loses-body",
        breaks: "the retry copy holds half of the message's body",
        promise: "P7",
        scenario: "calm",
    },
    Sabotage {
        name: "waits-for-ever",
        breaks: "a chain whose peer is away waits for it without end",
        promise: "P4",
        scenario: "outwaited",
    },
    Sabotage {
        name: "hurries-after-any-absence",
        breaks: "a peer that is back cuts every wait for it short, however short its absence",
        promise: "P4",
        scenario: "flaky-link",
    },
    Sabotage {
        name: "slave-speaks-for-master",
        breaks: "a slave answers reads as the holder of its group's term, and what it says is taken for final",
        promise: "P1",
        scenario: "lagging-slave",
    },
    Sabotage {
        name: "follower-leaves-gaps",
        breaks: "a slave leaves out entries of its master's log",
        promise: "P5",
        scenario: "lagging-slave",
    },
    Sabotage {
        name: "clock-jumps",
        breaks: "due times follow a wall clock that somebody sets",
        promise: "P6",
        scenario: "clock-steps",
    },
    Sabotage {
        name: "no-breaker",
        breaks: "a peer that does not answer is asked for every chain that waits for it",
        promise: "P8",
        scenario: "dead-remote",
    },
    Sabotage {
        name: "coalesced-miss-is-gone",
        breaks: "a message that the answer to a read of several does not bring passes for gone",
        promise: "P1",
        scenario: "coalesced-reads",
    },
    Sabotage {
        name: "epoch-ignored",
        breaks: "what was sent to a deleted topic passes for its successor's: chains, delayed messages, repeated sends",
        promise: "P7",
        scenario: "topic-recreated",
    },
    Sabotage {
        name: "retry-topic-survives",
        breaks: "a topic is deleted and its groups' retry topics are not",
        promise: "P2",
        scenario: "topic-recreated",
    },
    Sabotage {
        name: "reset-keeps-chains",
        breaks: "chains of messages that a reset hands out anew go on",
        promise: "P2",
        scenario: "offset-reset",
    },
    Sabotage {
        name: "retention-too-early",
        breaks: "a message expires although a live chain still needs it",
        promise: "P1",
        scenario: "retention",
    },
    Sabotage {
        name: "expired-before-its-time",
        breaks: "a message expires at a quarter of the age it is to be kept for",
        promise: "P1",
        scenario: "retention",
    },
    Sabotage {
        name: "cut-without-settling",
        breaks: "entries leave the log before what follows from them is settled",
        promise: "P1",
        scenario: "retention",
    },
    Sabotage {
        name: "chain-forgotten-early",
        breaks: "a chain is forgotten after an eighth of the time in which it is to be known",
        promise: "P2",
        scenario: "forgetting",
    },
    Sabotage {
        name: "forgotten-is-new",
        breaks: "a checkpoint whose chain may have been forgotten is taken for a new one",
        promise: "P2",
        scenario: "forgetting",
    },
    Sabotage {
        name: "answers-before-confirmed",
        breaks: "whoever waits is told, and gets messages, as soon as one disk has it, though the degree says two",
        promise: "P9",
        scenario: "degree-two",
    },
    Sabotage {
        name: "confirmed-by-one-too-few",
        breaks: "a record counts as confirmed with one disk less than the degree says",
        promise: "P9",
        scenario: "degree-two",
    },
    Sabotage {
        name: "seal-ignored",
        breaks: "chains are taken from a slave that acts no longer",
        promise: "P2",
        scenario: "paused-holder",
    },
    Sabotage {
        name: "seal-not-recorded",
        breaks: "a term is given, and the log that decides does not know of it",
        promise: "P9",
        scenario: "master-down",
    },
    Sabotage {
        name: "forgotten-unmerged",
        breaks: "what was done for a master that is away is forgotten before it has merged that",
        promise: "P2",
        scenario: "long-absence",
    },
    Sabotage {
        name: "clock-begins-anew",
        breaks: "a broker that starts goes by a clock that was set back behind its log",
        promise: "P5",
        scenario: "clock-steps",
    },
    Sabotage {
        name: "tail-kept",
        breaks: "a master that is back keeps what it had written and never confirmed",
        promise: "P2",
        scenario: "master-cut-off",
    },
    Sabotage {
        name: "offers-another",
        breaks: "a slave that acts does not offer the same chains again when the answer to the first offer is lost",
        promise: "P2",
        scenario: "master-cut-off",
    },
    Sabotage {
        name: "follows-without-merge",
        breaks: "a slave that has acted follows a master that has not merged what it did",
        promise: "P2",
        scenario: "master-flaps",
    },
    Sabotage {
        name: "lost-slave-forgotten",
        breaks: "a slave that comes back without its disk follows its master, and nobody asks what it had done before",
        promise: "P2",
        scenario: "slave-lost-after-acting",
    },
    Sabotage {
        name: "acting-pop-without-home",
        breaks: "a slave that acts hands out messages whose chains nobody has confirmed",
        promise: "P9",
        scenario: "master-cut-off",
    },
    Sabotage {
        name: "slave-decides-on-acks",
        breaks: "a slave that acts answers an ack by itself, and nobody else knows of it",
        promise: "P9",
        scenario: "master-down",
    },
    Sabotage {
        name: "merge-without-moves",
        breaks: "a master that is back does not take over that chains were moved while it was away",
        promise: "P2",
        scenario: "master-flaps",
    },
    Sabotage {
        name: "ends-one-early",
        breaks: "the policy ends one rewrite before its last, and an operator resumes what was given up",
        promise: "P1",
        scenario: "long-outage-parks",
    },
    Sabotage {
        name: "busy-for-good",
        breaks: "an owner that is busy passes for one that refuses for good",
        promise: "P1",
        scenario: "remote-read-timeout",
    },
    Sabotage {
        name: "first-failure-forgotten",
        breaks: "the history of a chain tells of its last failure as of its first",
        promise: "P4",
        scenario: "remote-read-timeout",
    },
    Sabotage {
        name: "jobs-dropped",
        breaks: "of the attempts that begin together only the first is made",
        promise: "P4",
        scenario: "mass-expiry",
    },
    Sabotage {
        name: "timer-early",
        breaks: "delayed messages come up to ten seconds early",
        promise: "P6",
        scenario: "calm",
    },
    Sabotage {
        name: "renewed-for-less",
        breaks: "a renewed message comes back after half the time that was asked for",
        promise: "P6",
        scenario: "calm",
    },
    Sabotage {
        name: "due-by-foreign-clock",
        breaks: "the home of a chain takes the popping broker's clock for its own",
        promise: "P6",
        scenario: "clock-steps",
    },
    Sabotage {
        name: "sends-forgotten",
        breaks: "a broker that starts again does not know what it was sent just before",
        promise: "P2",
        scenario: "restart-mid-send",
    },
    Sabotage {
        name: "limit-lost",
        breaks: "a hand-over forgets how many redeliveries the group allows",
        promise: "P7",
        scenario: "shared-topic",
    },
    Sabotage {
        name: "merge-without-offsets",
        breaks: "a master that is back hands out again what its slave has handed out",
        promise: "P2",
        scenario: "master-cut-off",
    },
    Sabotage {
        name: "acts-at-once",
        breaks: "a slave acts as soon as one answer of its master fails to come",
        promise: "P6",
        scenario: "master-flaps",
    },
    Sabotage {
        name: "reset-skips-some",
        breaks: "a reset to a time passes over what was stored in the minute after it",
        promise: "P5",
        scenario: "offset-reset",
    },
    Sabotage {
        name: "frame-unchecked",
        breaks: "a frame is taken whose body is not the one that was sent",
        promise: "P7",
        scenario: "wrong-answers",
    },
    Sabotage {
        name: "sends-stay-known",
        breaks: "a client's send is known for ever, long after anybody could repeat it",
        promise: "P8",
        scenario: "flaky-link",
    },
    Sabotage {
        name: "expired-stays",
        breaks: "what is past its retention leaves the queues, and its entries stay in the log",
        promise: "P8",
        scenario: "retention",
    },
    Sabotage {
        name: "merged-stays-listed",
        breaks: "chains that a slave handed over are kept for a master that has merged them",
        promise: "P8",
        scenario: "master-cut-off",
    },
    Sabotage {
        name: "shown-as-acked",
        breaks: "the metrics count whatever ended as acked",
        promise: "P9",
        scenario: "flaky-link",
    },
    Sabotage {
        name: "failing-for-ever",
        breaks: "a chain that has failed once is shown as failing after it is over",
        promise: "P9",
        scenario: "broker-outage",
    },
    Sabotage {
        name: "registered-for-ever",
        breaks: "a broker shows itself registered whatever the name servers say",
        promise: "P9",
        scenario: "no-name-server",
    },
    Sabotage {
        name: "early-ack-dropped",
        breaks: "an ack that comes before its checkpoint is not kept",
        promise: "P3",
        scenario: "foreign-checkpoints",
    },
    Sabotage {
        name: "early-ack-unused",
        breaks: "a checkpoint begins a chain whose ack is here already",
        promise: "P3",
        scenario: "foreign-checkpoints",
    },
    Sabotage {
        name: "bit-map-ignored",
        breaks: "messages that a checkpoint tells as acked are revived",
        promise: "P3",
        scenario: "foreign-checkpoints",
    },
    Sabotage {
        name: "old-form-names-one",
        breaks: "a checkpoint that tells no distances stands for its first message alone",
        promise: "P1",
        scenario: "foreign-checkpoints",
    },
    Sabotage {
        name: "list-cut-short",
        breaks: "of what was done for an absent master only the first part of the list is asked for",
        promise: "P3",
        scenario: "unlikely-turns",
    },
    Sabotage {
        name: "timers-left-behind",
        breaks: "of the delayed messages that are due only as many are delivered as one transaction takes",
        promise: "P1",
        scenario: "unlikely-turns",
    },
    Sabotage {
        name: "acts-half-full",
        breaks: "a slave counts as having all that its master has once it has the first part",
        promise: "P5",
        scenario: "pod-churn",
    },
    Sabotage {
        name: "goodbye-left-out",
        breaks: "a broker that stops in order stays in the routes",
        promise: "P9",
        scenario: "restart-mid-revive",
    },
    Sabotage {
        name: "route-kept-for-ever",
        breaks: "a group that does not answer is not looked for anew",
        promise: "P1",
        scenario: "pod-churn",
    },
    Sabotage {
        name: "refusals-shown-as-success",
        breaks: "every answer is counted as a success",
        promise: "P9",
        scenario: "calm",
    },
    Sabotage {
        name: "merge-told-once",
        breaks: "a target that does not answer is never told again that its chains are merged",
        promise: "P8",
        scenario: "switch-back-mid-revive",
    },
    Sabotage {
        name: "begins-at-beginning",
        breaks: "a group that is to begin at the end gets what was there before",
        promise: "P5",
        scenario: "calm",
    },
    Sabotage {
        name: "filter-takes-untagged",
        breaks: "a filter lets messages without a tag pass",
        promise: "P7",
        scenario: "calm",
    },
    Sabotage {
        name: "taken-up-late",
        breaks: "chains that are due are looked for once a minute",
        promise: "P4",
        scenario: "calm",
    },
    Sabotage {
        name: "total-ignored",
        breaks: "the policy's whole time ends nothing",
        promise: "P4",
        scenario: "refused-reads",
    },
    Sabotage {
        name: "nothing-expires",
        breaks: "what is past its retention is never looked for",
        promise: "P8",
        scenario: "retention",
    },
    Sabotage {
        name: "writes-on-unconfirmed",
        breaks: "more is written however long nobody confirms what was",
        promise: "P9",
        scenario: "degree-two",
    },
    Sabotage {
        name: "moved-by-another-clock",
        breaks: "a slave that moves its master's chains takes the master's clock for its own",
        promise: "P6",
        scenario: "switch-back-mid-revive",
    },
    Sabotage {
        name: "given-up-shown-as-free",
        breaks: "a peer that is given up is shown as one that answers",
        promise: "P9",
        scenario: "dead-remote",
    },
    Sabotage {
        name: "differs-by-process",
        breaks: "a broker's first step depends on which process it runs in",
        promise: "P11",
        scenario: "calm",
    },
    Sabotage {
        name: "unreadable-thrown-away",
        breaks: "a checkpoint that nobody can read is answered as stored, and thrown away",
        promise: "P9",
        scenario: "foreign-checkpoints",
    },
];

/// The sabotage of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Sabotage> {
    SABOTAGES.iter().find(|sabotage| sabotage.name == name)
}
