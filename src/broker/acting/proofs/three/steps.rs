//! What happens: what becomes of requests, and what the target and the master do.

use super::{
    actions::{Action, Fate},
    logs::{End, What},
    mutants::{Group, Mutant, Reached},
    world::{Answer, Claim, Fact, Late, MASTER, Slave, Stage, Turn, World},
};

/// A world in which something happens.
pub(super) struct Stepping<'g> {
    pub(super) group: &'g Group,
    pub(super) world: World,
}

impl Stepping<'_> {
    pub(super) fn perform(&mut self, action: Action) {
        let World { left, master, .. } = &mut self.world;
        match action {
            Action::Write(what) => {
                left.writes -= 1;
                master.log.push(master.log.term(), what);
            }
            Action::TakeBack(fate) => self.take_back(fate),
            Action::GiveUp => {
                left.crashes -= 1;
                master.turn = None;
            }
            Action::TellMerged(fate) => {
                let term = self.world.merged(self.group);
                if self.is_answered(Late::Merged(term), fate) {
                    self.forget(term);
                }
            }
            Action::Follow(at, fate) => self.follow(at, fate),
            Action::AskMerged(at, fate) => self.ask_merged(at, fate),
            Action::Receive(at) => self.receive(at),
            Action::Stand(at) => self.stand(at),
            Action::StandAlone(at) => self.stand_alone(at),
            Action::GoOn(at, fate) => self.go_on(at, fate),
            Action::ListActed(at) => self.list_acted(at),
            Action::HandOver(at, message, fate) => self.hand_over(at, message, fate),
            Action::Crash(at) => self.crash(at),
            Action::LoseDisk(at) => {
                left.lost_disks -= 1;
                self.world.slaves[at] = Slave::EMPTY;
            }
            Action::Arrive(late) => self.arrive(late),
        }
    }

    /// Has a request arrive late, if it does at all. Whether somebody waits for the answer.
    pub(super) fn is_answered(&mut self, request: Late, fate: Fate) -> bool {
        let World { left, late, .. } = &mut self.world;
        if fate != Fate::Heard {
            left.losses -= 1;
        }
        if let Fate::Late | Fate::Twice = fate
            && !late.contains(&Some(request))
            && let Some(free) = late.iter_mut().find(|late| late.is_none())
        {
            *free = Some(request);
        }
        fate != Fate::Late
    }

    fn arrive(&mut self, late: Late) {
        self.world.late.iter_mut().filter(|other| **other == Some(late)).for_each(|other| *other = None);
        let (has_effect, reached) = match late {
            Late::Seal(claim) => (self.gives_term(claim).is_some() && claim.by != MASTER, Reached::LateTermTaken),
            Late::HandOver { by, term, message } => (self.adopts(by, term, message), Reached::LateHandOver),
            Late::Merged(term) => (self.forget(term), Reached::Forgotten),
            Late::Follow(end) => (self.confirm(end), Reached::LateConfirmed),
            Late::Begin => (!self.may_begin(), Reached::LateMergeBegun),
            Late::AskMerged(acts) => (!self.is_merged(acts), Reached::LateMergeBegun),
            Late::Vote { by, term, end } => (self.grants(by, term, end), Reached::LateVote),
        };
        self.reach_if(has_effect, reached);
    }

    pub(super) fn reach_if(&self, is_so: bool, what: Reached) -> bool {
        if is_so {
            self.group.reach(what);
        }
        is_so
    }
}

/// The target.
impl Stepping<'_> {
    /// Gives a term, unless what the slaves agreed upon is over, or the one that asks lacks what the other acted upon.
    pub(super) fn gives_term(&mut self, Claim { by, agreed, end }: Claim) -> Option<u8> {
        let (target, group) = (&mut self.world.target, self.group);
        if let Some(agreed) = agreed {
            let is_over = target.master_sealed >= agreed && !group.is(Mutant::AgreementNeverOver);
            if is_over || (target.end != end && !group.is(Mutant::SuccessorLacksSome)) {
                group.reach(Reached::TermRefused);
                return None;
            }
        }
        (target.sealed, target.by) = (target.sealed + 1, by);
        if by == MASTER {
            target.master_sealed = target.sealed;
        } else {
            target.end = if group.is(Mutant::ShorterEndCounts) { end } else { target.end.max(end) };
        }
        Some(target.sealed)
    }

    /// Adopts what is handed over under the last term.
    pub(super) fn adopts(&mut self, by: u8, term: u8, message: u8) -> bool {
        let World { target, handed_over, confirmed, seen, .. } = &mut self.world;
        if term != target.sealed && !self.group.is(Mutant::SealIgnored) {
            return false;
        }
        let fact = &mut target.facts[usize::from(message)];
        if fact.is_none_or(|fact| fact.term != term) {
            seen.popped_twice |= *handed_over & 1 << message != 0;
            seen.two_effective |= confirmed.last() > usize::from(target.end.last);
            *handed_over |= 1 << message;
            *fact = Some(Fact { term, by });
        }
        true
    }

    /// Forgets what is merged, all of an earlier term than this one.
    fn forget(&mut self, term: u8) -> bool {
        let facts = &mut self.world.target.facts;
        facts.iter_mut().for_each(|fact| *fact = fact.filter(|fact| fact.term >= term));
        self.reach_if(true, Reached::Forgotten)
    }
}

/// The master.
impl Stepping<'_> {
    /// A slave has this log. Whether that is new.
    pub(super) fn confirm(&mut self, end: End) -> bool {
        let World { master, target, confirmed, handed_over, seen, .. } = &mut self.world;
        let last = usize::from(end.last);
        seen.diverged |= !master.log.has(end);
        if seen.diverged || last <= confirmed.last() {
            return false;
        }
        let is_acted_for = target.listed().latest > master.log.term();
        seen.two_effective |= is_acted_for && end.last > target.end.last;
        *confirmed = master.log.up_to(last);
        let is_acted = *handed_over != 0;
        self.reach_if(is_acted && self.world.merged(self.group) > 0, Reached::ConfirmedAfterMerge);
        true
    }

    /// The next entry for a slave.
    pub(super) fn next(&mut self, at: usize) -> Option<Answer> {
        let World { master, slaves, seen, .. } = &mut self.world;
        seen.diverged |= !master.log.begins_with(&slaves[at].log);
        let last = slaves[at].log.last();
        let entry = master.log.after(last).filter(|_| !seen.diverged);
        entry.map(|entry| Answer::Next(entry, master.log.last() == last + 1))
    }

    /// Whether what was promised under this term is over; if not, the master begins to end it.
    pub(super) fn is_merged(&mut self, acts: u8) -> bool {
        let is_over = acts == 0 || self.world.master.log.term() > acts;
        self.begins_unless(is_over || self.group.is(Mutant::FollowsWithoutMerge), false)
    }

    /// Whether a slave may follow at once whose log is empty; if not, the master begins to end what another may have begun.
    pub(super) fn may_begin(&mut self) -> bool {
        let World { master, target, .. } = &self.world;
        let is_over = target.sealed <= master.log.term() || self.group.is(Mutant::EmptyFollowsUnasked);
        let may_begin = self.begins_unless(is_over, true);
        self.reach_if(may_begin, Reached::BegunAtLook)
    }

    fn begins_unless(&mut self, is_over: bool, is_for_lost: bool) -> bool {
        if !is_over {
            self.world.master.turn = Some(Turn { is_for_lost, stage: Stage::Begun });
        }
        is_over
    }

    fn take_back(&mut self, fate: Fate) {
        let Some(turn) = self.world.master.turn.take() else { return };
        let stage = match turn.stage {
            Stage::Begun => {
                let is_answered = self.is_answered(Late::Seal(Claim::OF_MASTER), fate);
                is_answered.then(|| self.gives_term(Claim::OF_MASTER)).flatten().map(Stage::Sealed)
            }
            Stage::Sealed(term) => Some(Stage::Listed(term, self.world.target.listed())),
            Stage::Listed(..) => {
                self.merge(turn);
                None
            }
        };
        self.world.master.turn = stage.map(|stage| Turn { stage, ..turn });
    }

    fn merge(&mut self, Turn { is_for_lost, stage }: Turn) {
        let Stage::Listed(term, listed) = stage else { return };
        let World { master, slaves, target, confirmed, seen, .. } = &mut self.world;
        let (group, log) = (self.group, &mut master.log);
        let is_done = listed.latest > log.term();
        if is_done || (group.is(Mutant::UnusedTermCuts) && listed.end.last > 0) {
            let shortest = slaves.iter().map(|slave| slave.log.end()).min();
            let end = shortest.filter(|_| group.is(Mutant::CutAtShortest)).unwrap_or(listed.end);
            seen.diverged |= !log.has(end);
            let last = usize::from(end.last);
            if last < log.last() && !group.is(Mutant::TailKept) {
                *log = log.up_to(last);
                group.reach(Reached::TailCut);
            }
            if last > confirmed.last() {
                *confirmed = log.up_to(last); // a slave has had it
            }
            let is_by = |slave: u8| target.facts.iter().flatten().any(|fact| fact.by == slave);
            if is_by(1) && is_by(2) {
                group.reach(Reached::MergedOfBoth);
            }
        }
        log.push(term, What::Merge(if is_done { listed.popped } else { 0 }));
        group.reach(match (is_done, is_for_lost) {
            (true, true) => Reached::MergedForLost,
            (true, false) => Reached::FollowedAgain,
            (false, true) => Reached::NothingForLost,
            (false, false) => Reached::MergedNothing,
        });
        // A slave that has waited for it gets the first entry.
        for at in 0..2 {
            let slave = &self.world.slaves[at];
            if is_for_lost
                && slave.log.last() == 0
                && slave.is_following()
                && let Some(next) = self.next(at)
            {
                self.world.slaves[at].hear(next);
            }
        }
    }
}
