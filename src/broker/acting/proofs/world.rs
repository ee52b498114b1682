//! The members of a group, the group that keeps what its slave does, a consumer, what is under way between them, and what
//! may still go wrong.

use std::collections::BTreeSet;

use super::logs::{Handle, Log, Offer};

/// Who asks another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Member {
    Master,
    Slave,
}

/// The master: its log, and what it has in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Master {
    pub(super) log: Log,
    /// Up to here it knows entries to be confirmed.
    pub(super) told: u64,
    /// What it would know of that after a restart.
    pub(super) kept: u64,
    /// Who waits for entries to be confirmed.
    pub(super) waits: Vec<Wait>,
    /// It takes back what its slave has done.
    pub(super) turn: Option<Turn>,
    /// The last term of which it knows that the target knows it to be merged.
    pub(super) merged_told: u64,
}

impl Master {
    /// What its views show.
    pub(super) fn shown(&self) -> Log {
        self.log.up_to(self.told)
    }
}

/// Somebody who is told something once an entry is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Wait {
    pub(super) index: u64,
    pub(super) what: Awaited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Awaited {
    /// The message.
    Popped(Handle),
    /// What became of an ack.
    Acked(Told),
    /// An ack is passed on to the target.
    Forward(Handle),
}

/// Where a master stands that takes back what was done under a term.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Turn {
    /// The slave's log, as its end says; that of a lost one the target has to tell.
    pub(super) end: Option<Log>,
    /// Another slave waits, whose log is empty.
    pub(super) is_anew: bool,
    pub(super) acted: u64,
    pub(super) stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// It is about to seal.
    Begun,
    /// It has this term.
    Sealed(u64),
    /// And knows what the target had then.
    Listed(u64, Log),
}

/// The slave: what is on its disk, and what it has in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Slave {
    pub(super) log: Log,
    /// It acts, and under which term; 0 before it has one. On disk.
    pub(super) acts: Option<u64>,
    pub(super) acting: Option<Acting>,
    /// It waits for what its master says of this term.
    pub(super) asking: Option<u64>,
    /// It has once had all that its master had. On disk.
    pub(super) caught_up: bool,
}

/// A term of acting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Acting {
    pub(super) term: u64,
    /// The chains that the target has.
    pub(super) moved: BTreeSet<Handle>,
    /// Where the consumer group goes on.
    pub(super) next: Option<i64>,
    /// What the target may have, and nobody was given.
    pub(super) unanswered: Option<Offer>,
}

/// The target: its log, and what it has in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) log: Log,
    /// A chain whose message it reads.
    pub(super) reading: Option<Handle>,
}

/// What the consumer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Told {
    Nothing,
    Absorbed,
    TooLate,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Client {
    /// Each time it was given the message.
    pub(super) given: Vec<Handle>,
    pub(super) told: Told,
}

/// A request that nobody waits for any more, and that may arrive all the same. The others take no time: whoever sends one
/// later has the same effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Late {
    /// SEAL, to the target.
    Seal { by: Member, above: u64, end: Option<Log> },
    /// A checkpoint, to the target.
    Adopt { chain: Offer, term: u64 },
    /// An ack that is passed on to the target.
    Ack { handle: Handle },
    /// MERGED, to the target.
    Merged { term: u64 },
    /// REPLICATE with a term, to the master.
    AskMerged { end: Log, acted: u64 },
    /// REPLICATE of a slave that has not acted yet, or has nothing at all, to the master.
    Follow { end: Log },
}

/// How often what may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Left {
    /// A member loses its memory.
    pub(super) crashes: u32,
    /// A request or its answer is lost, late, or comes twice.
    pub(super) losses: u32,
    /// The slave does not hear of its master for long.
    pub(super) takeovers: u32,
    /// The slave takes a term.
    pub(super) terms: u32,
    /// The consumer acks.
    pub(super) acks: u32,
    /// The slave loses its disk.
    pub(super) lost_disks: u32,
}

/// What was broken on the way here, where the state alone does not show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    /// The message was given away although a chain of it was elsewhere.
    pub(super) given_twice: bool,
    /// It was given away after an ack was absorbed.
    pub(super) given_after_ack: bool,
    /// It was given away without a chain.
    pub(super) given_without_chain: bool,
    /// An ack was told something else than before.
    pub(super) changed_mind: bool,
    /// What was confirmed has left the master's log.
    pub(super) cut_confirmed: bool,
    /// The master refused its slave's log.
    pub(super) diverged: bool,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) master: Master,
    pub(super) slave: Slave,
    /// What a slave had whose disk is lost.
    pub(super) lost: Log,
    pub(super) target: Target,
    pub(super) client: Client,
    /// In order, because the order in which they were sent means nothing.
    pub(super) late: Vec<Late>,
    pub(super) left: Left,
    pub(super) seen: Seen,
}

impl World {
    pub(super) fn beginning(log: Log, target: Log, left: Left) -> Self {
        let told = log.last();
        Self {
            slave: Slave { log: log.clone(), acts: None, acting: None, asking: None, caught_up: true },
            lost: target.clone(),
            master: Master { log, told, kept: told, waits: Vec::new(), turn: None, merged_told: 0 },
            target: Target { log: target, reading: None },
            client: Client { given: Vec::new(), told: Told::Nothing },
            late: Vec::new(),
            left,
            seen: Seen::default(),
        }
    }

    /// What consumers can find in retry topics. The slave's log is the master's beginning, or one of the two is wrong: then
    /// each counts.
    pub(super) fn copies(&self) -> u8 {
        let (shown, slave) = (self.master.shown(), self.longest_of_slaves());
        let own = if shown.begins_with(slave) || slave.begins_with(&shown) {
            shown.copies.max(slave.copies)
        } else {
            shown.copies + slave.copies
        };
        own + self.target.log.copies
    }

    pub(super) fn is_acked(&self) -> bool {
        self.master.shown().acked || self.longest_of_slaves().acked || self.target.log.acked
    }

    /// What a slave has, or had before its disk was lost: on two disks at the time, and so confirmed.
    pub(super) fn longest_of_slaves(&self) -> &Log {
        if self.lost.last() > self.slave.log.last() { &self.lost } else { &self.slave.log }
    }
}
