//! What can happen next.

use super::{
    logs::{What, messages_of},
    mutants::{Group, Mutant},
    world::{Candidate, Late, Slave, Stage, World},
};

/// One step of the world. Slaves are counted from 0 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The master writes a message, or hands one out.
    Write(What),
    /// The master goes on with taking back what was done: it takes a term, asks, and merges.
    TakeBack(Fate),
    /// The master crashes, or does not hear from the target.
    GiveUp,
    /// The master tells the target that it has merged.
    TellMerged(Fate),
    /// A slave asks for the next entry.
    Follow(usize, Fate),
    /// A slave asks its master whether what it has promised is over.
    AskMerged(usize, Fate),
    /// An answer that took its time is there.
    Receive(usize),
    /// A slave has not heard of its master for long, and asks the other one whether that would vote for it.
    Stand(usize),
    /// It does not hear of the other one either, and goes by what the two agreed upon.
    StandAlone(usize),
    /// It goes on: asks the target for a term, is bound by that, asks the other one for its vote.
    GoOn(usize, Fate),
    /// A slave that acts asks what was done.
    ListActed(usize),
    /// It hands a message out.
    HandOver(usize, u8, Fate),
    /// A slave loses its memory.
    Crash(usize),
    /// A slave loses its disk.
    LoseDisk(usize),
    /// A late request arrives.
    Arrive(Late),
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Heard,
    /// It is not answered in time; it may still arrive.
    Late,
    /// It is answered, and may arrive once more.
    Twice,
    /// The answer takes its time.
    Slow,
}

impl World {
    /// All that can happen next.
    pub(super) fn actions(&self, group: &Group, all: &mut Vec<Action>) {
        self.master_actions(group, all);
        for (at, slave) in self.slaves.iter().enumerate() {
            self.following_actions(at, slave, all);
            self.acting_actions(at, slave, all);
            let forgets_more = group.is(Mutant::VoteForgotten) && slave.acts.is_some();
            if self.left.crashes > 0 && (slave.has_memory() || forgets_more) {
                all.push(Action::Crash(at));
            }
            if self.left.lost_disks > 0 {
                all.push(Action::LoseDisk(at));
            }
        }
        let is_busy = self.master.turn.is_some();
        let is_served = |late: &&Late| !matches!(late, Late::Begin | Late::AskMerged(_)) || !is_busy;
        all.extend(self.late.iter().flatten().filter(is_served).map(|late| Action::Arrive(*late)));
    }

    fn master_actions(&self, group: &Group, all: &mut Vec<Action>) {
        if self.left.writes > 0 {
            let log = &self.master.log;
            let puts = messages_of(!log.messages()).map(What::Put);
            all.extend(puts.chain(log.waiting().map(What::Pop)).map(Action::Write));
        }
        if let Some(turn) = self.master.turn {
            let is_sent = turn.stage == Stage::Begun;
            self.sent([is_sent, is_sent, false], all, Action::TakeBack);
            if self.left.crashes > 0 {
                all.push(Action::GiveUp);
            }
        }
        if self.merged(group) > self.target.facts.iter().flatten().map(|fact| fact.term).min().unwrap_or(u8::MAX) {
            self.sent([true, false, false], all, Action::TellMerged);
        }
    }

    /// What can become of a request, which may be late, come twice, or be answered slowly, or not.
    fn sent(&self, can_be: [bool; 3], all: &mut Vec<Action>, action: impl Fn(Fate) -> Action) {
        all.push(action(Fate::Heard));
        let fates = [Fate::Late, Fate::Twice, Fate::Slow].into_iter().zip(can_be);
        let may_happen = |(fate, can_be): (Fate, bool)| (can_be && self.left.losses > 0).then_some(fate);
        all.extend(fates.filter_map(may_happen).map(action));
    }

    fn following_actions(&self, at: usize, slave: &Slave, all: &mut Vec<Action>) {
        let (is_empty, is_busy) = (slave.log.last() == 0, self.master.turn.is_some());
        if slave.awaited.is_some() {
            all.push(Action::Receive(at));
        } else if slave.is_following() {
            let (tells, lacks) = (slave.log.last() > self.confirmed.last(), slave.log != self.master.log);
            if (tells || lacks) && !(is_empty && is_busy) {
                self.sent([tells || is_empty, false, lacks && !is_empty], all, |fate| Action::Follow(at, fate));
            }
        } else if let Some(acts) = slave.acts
            && !is_busy
        {
            let is_over = acts == 0 || self.master.log.term() > acts;
            self.sent([true, false, is_over], all, |fate| Action::AskMerged(at, fate));
        }
    }

    fn acting_actions(&self, at: usize, slave: &Slave, all: &mut Vec<Action>) {
        if let Some(candidate) = slave.candidate {
            let is_sent = !matches!(candidate, Candidate::Has { .. });
            self.sent([is_sent, is_sent, false], all, |fate| Action::GoOn(at, fate));
        }
        // The other one may have heard of the master again, and then it does not vote.
        let has_no_vote = matches!(slave.candidate, None | Some(Candidate::Bound(_)));
        match slave.acting.map(|acting| acting.popped) {
            Some(None) => all.push(Action::ListActed(at)),
            Some(Some(popped)) => {
                for message in slave.log.waiting().filter(|message| popped & 1 << message == 0) {
                    self.sent([true, false, false], all, |fate| Action::HandOver(at, message, fate));
                }
            }
            None if slave.whole && has_no_vote && self.left.looks > 0 => {
                all.push(Action::Stand(at));
                all.extend(slave.agreed.map(|_| Action::StandAlone(at)));
            }
            None => {}
        }
    }

    /// The last term of the master's whose merge is confirmed.
    pub(super) fn merged(&self, group: &Group) -> u8 {
        let log = if group.is(Mutant::MergeToldBeforeConfirmed) { &self.master.log } else { &self.confirmed };
        log.entries().filter(|entry| matches!(entry.what, What::Merge(_))).last().map_or(0, |entry| entry.term)
    }
}
