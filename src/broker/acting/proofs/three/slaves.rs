//! What slaves do.

use super::{
    actions::Fate,
    logs::End,
    mutants::{Mutant, Reached},
    steps::Stepping,
    world::{Acting, Answer, Candidate, Claim, Late, World, id_of, other_than},
};

/// A slave that follows, or would like to.
impl Stepping<'_> {
    pub(super) fn follow(&mut self, at: usize, fate: Fate) {
        let end = self.world.slaves[at].log.end();
        let is_empty = end.last == 0;
        if !self.is_answered(if is_empty { Late::Begin } else { Late::Follow(end) }, fate) {
            return;
        }
        if !is_empty {
            self.confirm(end);
        } else if !self.may_begin() {
            return;
        }
        let next = self.next(at);
        self.told(at, next, fate);
    }

    pub(super) fn ask_merged(&mut self, at: usize, fate: Fate) {
        let Some(acts) = self.world.slaves[at].acts else { return };
        if self.is_answered(Late::AskMerged(acts), fate) && self.is_merged(acts) {
            self.told(at, Some(Answer::Over(acts)), fate);
        }
    }

    fn told(&mut self, at: usize, answer: Option<Answer>, fate: Fate) {
        self.world.slaves[at].awaited = answer;
        if fate != Fate::Slow {
            self.receive(at);
        }
    }

    pub(super) fn receive(&mut self, at: usize) {
        let slave = &mut self.world.slaves[at];
        if let Some(answer) = slave.awaited.take() {
            slave.hear(answer);
        }
    }

    pub(super) fn crash(&mut self, at: usize) {
        self.world.left.crashes -= 1;
        let slave = &mut self.world.slaves[at];
        slave.forget_memory();
        if self.group.is(Mutant::VoteForgotten) {
            (slave.acts, slave.agreed) = (None, None);
        }
    }
}

/// A slave that would like to act, or does.
impl Stepping<'_> {
    /// It follows nobody meanwhile.
    fn looks(&mut self, at: usize) {
        self.world.left.looks -= 1;
        let slave = &mut self.world.slaves[at];
        slave.acts = slave.acts.or(Some(0));
        slave.candidate = None;
        slave.stop_following();
    }

    pub(super) fn stand(&mut self, at: usize) {
        self.looks(at);
        let World { slaves: [first, second], target, seen, .. } = &mut self.world;
        let (slave, other) = if at == 0 { (first, second) } else { (second, first) };
        if other.whole && other.log.end() > slave.log.end() && !self.group.is(Mutant::VoteForShorter) {
            seen.diverged |= !other.log.begins_with(&slave.log);
            slave.log = other.log;
            slave.is_over();
            slave.acts = slave.acts.or(Some(0));
            self.group.reach(Reached::LogOfTheOther);
        }
        if self.group.is(Mutant::AgreedWhenAsked) {
            other.agreed = Some(target.sealed + 1);
        }
        let end = slave.log.end();
        self.world.slaves[at].candidate = self.would_vote(id_of(at), end).then_some(Candidate::Stands(None));
    }

    pub(super) fn stand_alone(&mut self, at: usize) {
        self.looks(at);
        let slave = &mut self.world.slaves[at];
        slave.candidate = slave.agreed.map(|agreed| Candidate::Stands(Some(agreed)));
    }

    /// Whether the other slave would vote for one whose log ends there.
    fn would_vote(&self, by: u8, end: End) -> bool {
        let (group, other) = (self.group, &self.world.slaves[other_than(by)]);
        let is_lost = !other.whole && !group.is(Mutant::VoteOfEmpty);
        let is_longer = other.log.end() > end && !group.is(Mutant::VoteForShorter);
        let acts_itself = other.acting.is_some() && by == 2;
        !(self.reach_if(is_lost, Reached::VoteRefusedByLost)
            || self.reach_if(is_longer, Reached::VoteRefusedByLonger)
            || self.reach_if(acts_itself, Reached::VoteRefusedByActing))
    }

    pub(super) fn go_on(&mut self, at: usize, fate: Fate) {
        match self.world.slaves[at].candidate.take() {
            Some(Candidate::Stands(agreed)) => self.take_term(at, agreed, fate),
            Some(Candidate::Has { term, is_agreed: true }) => self.agree(at, term),
            Some(Candidate::Has { term, is_agreed: false }) => self.bind(at, term),
            Some(Candidate::Bound(term)) => {
                let (by, end) = (id_of(at), self.world.slaves[at].log.end());
                if self.is_answered(Late::Vote { by, term, end }, fate) && self.grants(by, term, end) {
                    self.agree(at, term);
                }
            }
            None => {}
        }
    }

    fn take_term(&mut self, at: usize, agreed: Option<u8>, fate: Fate) {
        let World { slaves, target, .. } = &self.world;
        let (before, is_agreed) = (target.by, agreed.is_some());
        let claim = Claim { by: id_of(at), agreed, end: slaves[at].log.end() };
        if !self.is_answered(Late::Seal(claim), fate) {
            return;
        }
        let Some(term) = self.gives_term(claim) else { return };
        self.world.slaves[at].candidate = Some(Candidate::Has { term, is_agreed });
        self.group.reach(match (at, before, is_agreed) {
            (1, 1, true) => Reached::SecondAloneAfterFirst,
            (0, 2, false) => Reached::FirstTakesOver,
            (_, _, true) => Reached::AloneAfterItself,
            (0, _, false) => Reached::FirstActs,
            _ => Reached::SecondActs,
        });
    }

    /// It promises what it asks the other one to promise.
    fn bind(&mut self, at: usize, term: u8) {
        let (group, slave) = (self.group, &mut self.world.slaves[at]);
        if slave.has_voted_since(term) {
            return group.reach(Reached::VotedMeanwhile);
        }
        if !group.is(Mutant::VoteAskedUnbound) {
            slave.bind(term);
        }
        if group.is(Mutant::AgreedBeforeVote) {
            slave.agreed = Some(term);
        }
        slave.candidate = Some(Candidate::Bound(term));
    }

    /// It acts, and may go on without the other one.
    fn agree(&mut self, at: usize, term: u8) {
        let slave = &mut self.world.slaves[at];
        if slave.has_voted_since(term) {
            return self.group.reach(Reached::VotedMeanwhile);
        }
        slave.bind(term);
        slave.agreed = Some(term);
        slave.acting = Some(Acting { term, popped: None });
    }

    /// Whether the other slave promises not to follow before this term is over.
    pub(super) fn grants(&mut self, by: u8, term: u8, end: End) -> bool {
        let group = self.group;
        let acts = self.world.slaves[other_than(by)].acts;
        let is_earlier = acts > Some(term) && !group.is(Mutant::VoteForEarlier);
        if !self.would_vote(by, end) || self.reach_if(is_earlier, Reached::VoteRefusedForLater) {
            return false;
        }
        let other = &mut self.world.slaves[other_than(by)];
        other.acting = None;
        if group.is(Mutant::VoteUnheeded) {
            return true;
        }
        let before = *other;
        other.bind(term);
        other.agreed = Some(term);
        if group.is(Mutant::OldAnswerCounts) {
            other.follows = before.follows;
        }
        if group.is(Mutant::LateAnswerTaken) {
            other.awaited = before.awaited;
        }
        true
    }

    pub(super) fn list_acted(&mut self, at: usize) {
        let listed = self.world.target.listed();
        let popped = if self.group.is(Mutant::NothingIsListed) { 0 } else { listed.popped };
        self.world.slaves[at].acting.iter_mut().for_each(|acting| acting.popped = Some(popped));
    }

    pub(super) fn hand_over(&mut self, at: usize, message: u8, fate: Fate) {
        let Some(Acting { term, popped }) = self.world.slaves[at].acting else { return };
        let by = id_of(at);
        if self.is_answered(Late::HandOver { by, term, message }, fate) {
            let popped = popped.map(|popped| popped | 1 << message);
            let is_adopted = self.adopts(by, term, message);
            self.world.slaves[at].acting = is_adopted.then_some(Acting { term, popped });
            self.reach_if(!is_adopted, Reached::HandOverRefused);
        }
    }
}
