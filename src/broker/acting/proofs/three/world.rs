//! The members of the group, the target, what is under way between them, and what may still go wrong.

use super::logs::{End, Entry, Log, MESSAGES, What};

/// The member that writes the log; the slaves are 1 and 2.
pub(super) const MASTER: u8 = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) master: Master,
    pub(super) slaves: [Slave; 2],
    pub(super) target: Target,
    pub(super) late: [Option<Late>; 2],
    pub(super) left: Left,
    /// What the master has ever been told to be on a second disk.
    pub(super) confirmed: Log,
    /// The messages that were handed over, merged or not.
    pub(super) handed_over: u8,
    pub(super) seen: Seen,
}

/// How often what may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Left {
    pub(super) crashes: u8,
    /// A request or its answer is lost, late, or comes twice.
    pub(super) losses: u8,
    /// A slave would like to act.
    pub(super) looks: u8,
    /// The master writes a message, or hands one out.
    pub(super) writes: u8,
    pub(super) lost_disks: u8,
}

/// What was broken on the way here, where the state alone does not show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) popped_twice: bool,
    /// Something was confirmed, or handed over, behind the back of the other side.
    pub(super) two_effective: bool,
    /// The log of a slave is not the beginning of its master's.
    pub(super) diverged: bool,
}

impl World {
    pub(super) fn beginning(left: Left) -> Self {
        let mut log = Log::EMPTY;
        log.push(1, What::Put(0));
        let facts = [None; MESSAGES as usize];
        Self {
            master: Master { log, turn: None },
            slaves: [Slave { log, whole: true, ..Slave::EMPTY }; 2],
            target: Target { sealed: 1, by: MASTER, master_sealed: 0, end: End::default(), facts },
            late: [None; 2],
            left,
            confirmed: log,
            handed_over: 0,
            seen: Seen::default(),
        }
    }
}

/// The master: it forgets in a crash what it is about to do, and that is all that it has in memory here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Master {
    pub(super) log: Log,
    /// It takes back what was done.
    pub(super) turn: Option<Turn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Turn {
    /// For a slave whose log is empty, or else for one that has acted, or voted.
    pub(super) is_for_lost: bool,
    pub(super) stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Begun,
    /// It has this term.
    Sealed(u8),
    /// And knows what was done.
    Listed(u8, Listed),
}

/// What the target tells who asks for all that is not merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Listed {
    pub(super) popped: u8,
    /// The last term under which anything was done.
    pub(super) latest: u8,
    pub(super) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Target {
    /// The last term that a member has taken, and who that was.
    pub(super) sealed: u8,
    pub(super) by: u8,
    /// The last term that the master has taken.
    pub(super) master_sealed: u8,
    /// The furthest that the log of a slave went which took a term.
    pub(super) end: End,
    /// What was handed over and is not merged, by message.
    pub(super) facts: [Option<Fact>; MESSAGES as usize],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fact {
    pub(super) term: u8,
    pub(super) by: u8,
}

impl Target {
    pub(super) fn listed(&self) -> Listed {
        let facts = || (0..).zip(&self.facts).filter_map(|(message, fact)| fact.map(|fact| (message, fact)));
        let popped = facts().fold(0, |all, (message, _)| all | 1 << message);
        Listed { popped, latest: facts().map(|(_, fact)| fact.term).max().unwrap_or(0), end: self.end }
    }
}

/// A slave. What it follows and would like is in memory, the rest on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slave {
    pub(super) log: Log,
    /// It follows nobody until a master has merged a later term than this one.
    pub(super) acts: Option<u8>,
    /// The last term upon which it and the other one agreed.
    pub(super) agreed: Option<u8>,
    /// It has once had all that its master had.
    pub(super) whole: bool,
    /// Its master has told that `acts` is over.
    pub(super) follows: bool,
    /// An answer of the master's that takes its time.
    pub(super) awaited: Option<Answer>,
    pub(super) candidate: Option<Candidate>,
    pub(super) acting: Option<Acting>,
}

/// What the master answers to a slave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// The next entry; whether it is the last one.
    Next(Entry, bool),
    /// What was promised under this term is over.
    Over(u8),
}

/// A slave that would like to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Candidate {
    /// It may ask for a term: the other one would vote for it, or is not heard of, and this is what the two agreed upon.
    Stands(Option<u8>),
    /// The target has given it this one, by what the two agreed upon before or not.
    Has { term: u8, is_agreed: bool },
    /// And it is bound by it: it may ask for the other one's vote.
    Bound(u8),
}

/// A slave that acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Acting {
    pub(super) term: u8,
    /// What was handed out by whoever acted; not known at first.
    pub(super) popped: Option<u8>,
}

impl Slave {
    /// One that is new, or has lost its disk.
    pub(super) const EMPTY: Self = Self {
        log: Log::EMPTY,
        acts: None,
        agreed: None,
        whole: false,
        follows: false,
        awaited: None,
        candidate: None,
        acting: None,
    };

    pub(super) const fn is_following(&self) -> bool {
        self.acts.is_none() || self.follows
    }

    pub(super) const fn has_memory(&self) -> bool {
        self.follows || self.awaited.is_some() || self.candidate.is_some() || self.acting.is_some()
    }

    pub(super) fn forget_memory(&mut self) {
        (self.follows, self.awaited, self.candidate, self.acting) = (false, None, None, None);
    }

    /// Whether it has promised more since it got that term, or follows again.
    pub(super) fn has_voted_since(&self, term: u8) -> bool {
        self.acts.is_none_or(|acts| acts > term)
    }

    /// It does nothing of what its master says until that has merged a later term than this one.
    pub(super) fn bind(&mut self, term: u8) {
        if self.acts != Some(term) {
            self.acts = Some(term);
            self.stop_following();
        }
    }

    pub(super) fn stop_following(&mut self) {
        self.follows = false;
        self.awaited = self.awaited.filter(|awaited| matches!(awaited, Answer::Over(_)));
    }

    pub(super) fn hear(&mut self, answer: Answer) {
        match answer {
            Answer::Next(entry, is_last) => {
                self.log.push(entry.term, entry.what);
                self.whole |= is_last;
            }
            Answer::Over(acts) if self.acts != Some(acts) => return, // it has promised more since
            Answer::Over(acts) => {
                self.acts = self.acts.filter(|_| acts > 0);
                (self.follows, self.candidate, self.acting) = (acts > 0, None, None);
            }
        }
        self.is_over();
    }

    /// What it has promised is over once a later term is in its log.
    pub(super) fn is_over(&mut self) {
        if self.acts.is_some_and(|acts| acts < self.log.term()) {
            (self.acts, self.follows) = (None, false);
        }
    }
}

/// What a member asks for that takes a term. Whatever it knows of is known to the target: it need not say above which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) by: u8,
    /// What the slaves agreed upon, where one asks in the place of the other.
    pub(super) agreed: Option<u8>,
    /// How the log of a slave ends.
    pub(super) end: End,
}

impl Claim {
    pub(super) const OF_MASTER: Self = Self { by: MASTER, agreed: None, end: End { term: 0, last: 0 } };
}

/// A request that nobody waits for any more, and that may arrive all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Late {
    /// To the target.
    Seal(Claim),
    /// To the target: a message is handed out.
    HandOver { by: u8, term: u8, message: u8 },
    /// To the target: all of an earlier term is merged.
    Merged(u8),
    /// To the master: a slave has this log.
    Follow(End),
    /// To the master: a slave has nothing.
    Begin,
    /// To the master: is this term over?
    AskMerged(u8),
    /// To the other slave.
    Vote { by: u8, term: u8, end: End },
}

/// The number of a slave that is counted from 0, and how the other is counted than the one with a number.
pub(super) const fn id_of(at: usize) -> u8 {
    if at == 0 { 1 } else { 2 }
}

pub(super) const fn other_than(by: u8) -> usize {
    if by == 1 { 1 } else { 0 }
}
