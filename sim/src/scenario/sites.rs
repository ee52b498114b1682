//! The sites of the broker's code that may take an unlikely turn: `buggify!("name")` stands there.
//!
//! A `buggify` fault names one. A test compares this list with the sources, and demands a scenario for each.

/// Every site: its name, and what it does when it is struck.
pub const SITES: &[(&str, &str)] = &[
    ("concludes-one", "the results of one trip are taken into a transaction, where many could be"),
    ("expires-one-entry", "one entry of the log expires in a transaction, where a thousand could"),
    ("fires-one-timer", "one delayed message is delivered in a transaction, where many could be"),
    ("forgets-one", "one chain is forgotten in a transaction, where many could be"),
    ("gives-one-entry", "a slave gives its master one entry of what that lacks, where a mebibyte could follow"),
    ("hands-one-timer", "a slave that acts hands delayed messages over one by one"),
    ("hands-over-one", "one chain travels in a checkpoint, where 32 could"),
    ("lists-one-acted", "a list of what was done for an absent master is asked for chain by chain"),
    ("lists-one-timer", "a list of what was delivered for an absent master is asked for message by message"),
    ("looks-at-one-due", "one chain that is due is looked at in one go, where thousands could be"),
    ("looks-at-one-waiting", "one chain that waits for a peer that is back is looked at in one go"),
    ("moves-one-due", "a slave that acts looks for what is due chain by chain"),
    ("pops-one", "a queue gives one message to a pop, as if the next were too large"),
    ("pulls-one", "a pull is answered with one message, whatever was asked for"),
    ("reads-few-bytes", "a read of another broker asks for a byte, which brings one message"),
    ("refuses-step", "a step is refused before anything of it is done, as when its commit fails"),
    ("replicates-one-entry", "a slave gets one entry of the log, where a mebibyte could follow"),
    ("resumes-one", "one parked chain is resumed in a transaction, where many could be"),
    ("settles-rows-now", "changed rows go to the disk with this commit, however few they are"),
    ("skips-one", "a pop passes over no more messages that its filter does not want than it may bring"),
];
