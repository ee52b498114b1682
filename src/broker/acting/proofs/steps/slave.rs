//! The slave: it follows, or acts for its master under a term of the target's.

use std::{collections::BTreeMap, sync::Mutex};

use super::{
    super::{
        deeds::{offered, outcome},
        logs::Offer,
        world::{Acting, Late, Member, Slave, Told, World},
    },
    Action, Deed, Fate, Handle, Mutant, Reply, Stepping, fates,
};
use crate::{
    broker::acting::{Known, Term},
    model::{
        chain::{Chain, ChainState, Outcome},
        checkpoint::ActingTerm,
    },
    remote::acting::Acted,
    revive::samples::{OTHER, OWN, chain},
};

impl Stepping<'_> {
    pub(super) fn slave_actions(&self, all: &mut Vec<Action>) {
        let (slave, left) = (&self.world.slave, self.world.left);
        match (slave.acts, &slave.acting) {
            (None, _) => self.following_actions(all),
            (Some(_), None) if left.terms > 0 => all.extend(fates(left).iter().map(|fate| Action::TakeTerm(*fate))),
            (Some(_), Some(acting)) => self.acting_actions(acting, all),
            (Some(_), None) => {}
        }
        if slave.acts.is_some() && slave.asking.is_none() && self.world.master.turn.is_none() {
            all.push(Action::AskMerged(Fate::Heard));
            if left.losses > 0 {
                all.push(Action::AskMerged(Fate::Late));
            }
        }
        if left.crashes > 0 && (slave.acting.is_some() || slave.asking.is_some()) {
            all.push(Action::CrashSlave);
        }
        if left.lost_disks > 0 {
            all.push(Action::LoseSlave);
        }
    }

    fn following_actions(&self, all: &mut Vec<Action>) {
        let (slave, master, left) = (&self.world.slave, &self.world.master, self.world.left);
        let is_empty = slave.log.last() == 0;
        let is_served = !is_empty || master.turn.is_none();
        if is_served && (slave.log != master.log || slave.log.last() > master.told) {
            all.push(Action::Follow { is_heard: true });
            if left.losses > 0 && (slave.log.last() > master.told || is_empty) {
                all.push(Action::Follow { is_heard: false });
            }
        }
        if left.takeovers > 0 && slave.caught_up {
            all.push(Action::TakeOver { is_late: false });
            if left.losses > 0 && slave.log.last() > master.told {
                all.push(Action::TakeOver { is_late: true });
            }
        }
    }

    fn acting_actions(&self, acting: &Acting, all: &mut Vec<Action>) {
        let fates = fates(self.world.left);
        let log = &self.world.slave.log;
        if acting.unanswered.is_some() || self.setting.logs.popped(log, &real(acting)).is_some() {
            all.extend(fates.iter().map(|fate| Action::PopActing(*fate)));
        }
        for (handle, chain) in &log.chains {
            if matches!(chain.state, ChainState::Open { .. }) && !acting.moved.contains(handle) {
                all.extend(fates.iter().map(|fate| Action::Move(*handle, *fate)));
            }
        }
    }

    pub(super) fn follow(&mut self, is_heard: bool) {
        let end = self.world.slave.log.clone();
        if end.last() == 0 {
            return match is_heard {
                true if self.may_begin() => self.get_next(),
                true => {}
                false => self.leave(Late::Follow { end }),
            };
        }
        self.hear_of_following(&end);
        self.world.left.losses -= u32::from(!is_heard);
        if is_heard {
            self.get_next();
        }
    }

    /// A slave that begins anew gets the first entry.
    pub(super) fn begins(&mut self) {
        if self.world.slave.log.last() == 0 {
            self.get_next();
        }
    }

    fn get_next(&mut self) {
        let World { master, slave, .. } = &self.world;
        let (end, all) = (slave.log.clone(), master.log.clone());
        let (log, reply) = self.after(&end, &Deed::Follow { of: all.clone() });
        self.world.seen.diverged |= reply == Reply::Diverged;
        if log.merged > end.merged {
            self.reach("followed the merge");
        }
        self.world.slave.caught_up |= log == all;
        self.world.slave.log = log;
    }

    pub(super) fn lose_slave(&mut self) {
        self.world.left.lost_disks -= 1;
        if self.world.slave.acting.is_some() {
            self.reach("lost while it acts");
        }
        self.world.lost = self.world.longest_of_slaves().clone();
        let log = self.setting.logs.empty();
        self.world.slave = Slave { log, acts: None, acting: None, asking: None, caught_up: false };
    }

    pub(super) fn take_over(&mut self, is_late: bool) {
        self.world.left.takeovers -= 1;
        self.world.slave.acts = Some(0);
        if is_late {
            let end = self.world.slave.log.clone();
            self.leave(Late::Follow { end });
        }
    }

    /// Takes a term, remembers it, and learns what the target has (`take_term`).
    pub(super) fn take_term(&mut self, fate: Fate) {
        self.world.left.terms -= 1;
        let slave = &self.world.slave;
        let before = slave.log.end.position.term;
        let above = before.max(slave.acts.unwrap_or(0));
        let seal = Late::Seal { by: Member::Slave, above, end: Some(slave.log.clone()) };
        let Some(Reply::Sealed(term)) = self.send(seal, fate) else { return };
        let listed = self.world.target.log.clone();
        let chains = match self.is(Mutant::NothingIsListed) {
            true => Vec::new(),
            false => listed.listed.to_vec(),
        };
        let acted = Acted { chains, ..Acted::default() };
        let acting = ActingTerm { group: OWN.into(), term };
        self.world.slave.acts = Some(term);
        self.world.slave.acting = Some(known_of(&Term::new(OTHER.into(), acting, before, &acted), None));
        self.reach(if listed.listed.is_empty() { "a term taken" } else { "a term taken where chains are" });
    }

    pub(super) fn pop_acting(&mut self, fate: Fate) {
        let Some(acting) = self.world.slave.acting.clone() else { return };
        if let Some(chain) = acting.unanswered {
            self.reach("offered again");
            self.offer(&chain, fate);
            return;
        }
        let Some(chain) = self.setting.logs.popped(&self.world.slave.log, &real(&acting)) else { return };
        let handle = Handle::of(&chain.id);
        let offer = self.setting.logs.offer(offered(chain, acting.term));
        let is_there = self.offer(&offer, fate);
        if is_there || self.is(Mutant::PopWithoutHome) {
            self.reach("popped at the slave");
            self.give(handle);
        } else if let Some(acting) = &mut self.world.slave.acting {
            // The target may have it: until that is known nothing else is handed out.
            acting.unanswered = Some(offer);
        }
    }

    pub(super) fn hand_over(&mut self, handle: Handle, fate: Fate) {
        let slave = &self.world.slave;
        let (Some(acting), Some(chain)) = (&slave.acting, slave.log.chain(handle)) else { return };
        let offer = self.setting.logs.offer(offered(chain.clone(), acting.term));
        self.offer(&offer, fate);
    }

    /// Hands a chain over to the target; tells whether that has confirmed it (`Shared::hand_over_acting`).
    fn offer(&mut self, chain: &Offer, fate: Fate) -> bool {
        let Some(term) = self.world.slave.acting.as_ref().map(|acting| acting.term) else { return false };
        let Some(Reply::Adopted(adopted)) = self.send(Late::Adopt { chain: chain.clone(), term }, fate) else {
            return false;
        };
        if adopted.sealed.is_some() {
            self.is_sealed(term);
            return false;
        }
        if adopted.too_old > 0 {
            self.reach("refused because it may be forgotten");
            return false;
        }
        if let Some(acting) = &mut self.world.slave.acting {
            let unanswered = acting.unanswered.take().filter(|unanswered| unanswered != chain);
            let term = real(acting);
            term.known().takes(chain, chain.id.term == acting.term);
            *acting = known_of(&term, unanswered);
        }
        true
    }

    /// Another has taken a term since.
    pub(super) fn is_sealed(&mut self, term: u64) {
        self.reach("a hand-over refused by a later seal");
        self.world.slave.acting.take_if(|acting| acting.term == term);
    }

    /// Whether an acting slave can tell what becomes of an ack, or where it has to go: a chain that is at home here has to be
    /// moved before.
    pub(super) fn can_ack_at_slave(&self, handle: Handle) -> bool {
        let Some(acting) = &self.world.slave.acting else { return false };
        let chain = self.world.slave.log.chain(handle).filter(|_| !acting.moved.contains(&handle));
        let is_live = chain.is_some_and(Chain::is_live);
        !is_live || self.is(Mutant::SlaveDecidesOnAcks)
    }

    /// What an acting slave does with an ack (`Shared::home_of`).
    pub(super) fn ack_at_slave(&mut self, handle: Handle, fate: Fate) {
        let Some(acting) = &self.world.slave.acting else { return };
        let chain = self.world.slave.log.chain(handle).filter(|_| !acting.moved.contains(&handle));
        match chain.map(|chain| (&chain.state, outcome(chain))) {
            Some((ChainState::Open { .. }, _) | (_, Some(Outcome::Acked))) => self.tell(Told::Absorbed),
            Some((_, Some(_))) => self.tell(Told::TooLate),
            None | Some(_) => self.pass_on(handle, fate),
        }
    }

    pub(super) fn ask_merged(&mut self, fate: Fate) {
        let slave = &mut self.world.slave;
        let (Some(acted), end) = (slave.acts, slave.log.clone()) else { return };
        if fate == Fate::Late {
            return self.leave(Late::AskMerged { end, acted });
        }
        slave.asking = Some(acted);
        self.hear_of_acting(&end, acted);
    }

    /// The master has merged what was done under `acted` (`merged`, and the end of `run`).
    pub(super) fn answered_merged(&mut self, acted: u64) {
        let counts_anyway = self.is(Mutant::OldAnswerCounts);
        let slave = &mut self.world.slave;
        if slave.asking != Some(acted) {
            return;
        }
        slave.asking = None;
        // Under a later term more may have been done meanwhile.
        if slave.acts != Some(acted) && !counts_anyway {
            return self.reach("merged, and a later term taken");
        }
        (slave.acts, slave.acting) = (None, None);
    }

    pub(super) fn answered_diverged(&mut self, acted: u64) {
        self.world.slave.asking.take_if(|asking| *asking == acted);
    }

    pub(super) fn crash_slave(&mut self) {
        self.world.left.crashes -= 1;
        let forgets = self.is(Mutant::TermNotRemembered);
        let slave = &mut self.world.slave;
        (slave.acting, slave.asking) = (None, None);
        if forgets {
            slave.acts = None;
        }
        if slave.acts.is_some() {
            self.reach("restarted while it acts");
        }
    }
}

/// The term as a broker has it.
fn real(acting: &Acting) -> Term {
    let id = chain(OWN).id;
    let next = acting.next.map(|next| ((id.group, id.topic, id.queue), next));
    let moved = acting.moved.iter().map(|handle| handle.id().to_string()).collect();
    Term {
        target: OTHER.into(),
        acting: ActingTerm { group: OWN.into(), term: acting.term },
        known: Mutex::new(Known { moved, next: BTreeMap::from_iter(next), ..Known::default() }),
        unanswered: tokio::sync::Mutex::default(),
    }
}

fn known_of(term: &Term, unanswered: Option<Offer>) -> Acting {
    let known = term.known();
    let handle = |id: &String| Handle::of(&id.parse().unwrap());
    let (moved, next) = (known.moved.iter().map(handle).collect(), known.next.values().next().copied());
    Acting { term: term.acting.term, moved, next, unanswered }
}
