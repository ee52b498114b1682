//! The slave: it follows, or acts for its master under a term of the target's.

use std::{collections::BTreeMap, sync::Mutex};

use super::{
    super::{
        deeds::{NOW_MS, offered, outcome, pop},
        logs::Offer,
        world::{Acting, Member, Told, What},
    },
    Action, Deed, Handle, Mutant, Reply, Stepping,
};
use crate::{
    broker::acting::{Known, Term},
    model::{
        chain::{Chain, ChainState, Outcome},
        checkpoint::ActingTerm,
    },
    revive::samples::{OTHER, OWN, chain},
};

impl Stepping<'_> {
    pub(super) fn slave_actions(&self, all: &mut Vec<Action>) {
        let (slave, left) = (&self.world.slave, self.world.left);
        match (slave.acts, &slave.acting) {
            (None, _) => self.following_actions(all),
            (Some(_), None) if !slave.is_sealing && left.terms > 0 => all.push(Action::TakeTerm),
            (Some(_), Some(acting)) => self.acting_actions(acting, all),
            (Some(_), None) => {}
        }
        if slave.acts.is_some() && slave.asking.is_none() {
            all.push(Action::AskMerged);
        }
        let in_memory = slave.is_sealing || slave.acting.is_some() || slave.asking.is_some();
        if left.crashes > 0 && (in_memory || self.is_under_way(is_asked_by_slave)) {
            all.push(Action::CrashSlave);
        }
    }

    fn following_actions(&self, all: &mut Vec<Action>) {
        let (slave, master, left) = (&self.world.slave, &self.world.master, self.world.left);
        if slave.log != master.log || slave.log.last() > master.told {
            all.push(Action::Follow { is_heard: true });
            if left.losses > 0 && slave.log.last() > master.told {
                all.push(Action::Follow { is_heard: false });
            }
        }
        if left.takeovers > 0 {
            all.push(Action::TakeOver { is_late: false });
            if left.losses > 0 && slave.log.last() > master.told {
                all.push(Action::TakeOver { is_late: true });
            }
        }
    }

    fn acting_actions(&self, acting: &Acting, all: &mut Vec<Action>) {
        let is_popping = self.is_under_way(|what| matches!(what, What::Adopt { popped: true, .. }));
        if !is_popping && (acting.unanswered.is_some() || self.popped_under(acting).is_some()) {
            all.push(Action::PopActing);
        }
        for (handle, chain) in &self.world.slave.log.chains {
            let is_open = matches!(chain.state, ChainState::Open { .. });
            let is_offered =
                |what: &What| matches!(what, What::Adopt { chain, .. } if Handle::of(&chain.id) == *handle);
            if is_open && !acting.moved.contains(handle) && !self.is_under_way(is_offered) {
                all.push(Action::Move(*handle));
            }
        }
    }

    pub(super) fn follow(&mut self, is_heard: bool) {
        let end = self.world.slave.log.clone();
        self.heard_of_slave(&end);
        self.world.left.losses -= u32::from(!is_heard);
        if is_heard {
            let (log, reply) = self.after(&end, &Deed::Follow { of: self.world.master.log.clone() });
            self.world.seen.diverged |= reply == Reply::Diverged;
            if log.merged > end.merged {
                self.reach("followed the merge");
            }
            self.world.slave.log = log;
        }
    }

    pub(super) fn take_over(&mut self, is_late: bool) {
        self.world.left.takeovers -= 1;
        self.world.left.losses -= u32::from(is_late);
        self.world.slave.acts = Some(0);
        if is_late {
            let end = self.world.slave.log.clone();
            self.add(super::Call { what: What::Follow { end }, awaited: false });
        }
    }

    /// Asks the target for a term (`take_term`).
    pub(super) fn take_term(&mut self) {
        self.world.left.terms -= 1;
        let slave = &mut self.world.slave;
        slave.is_sealing = true;
        let above = slave.log.end.position.term.max(slave.acts.unwrap_or(0));
        self.ask(What::Seal { by: Member::Slave, above });
    }

    /// It has a term: it remembers that, and learns what the target has.
    pub(super) fn slave_has_sealed(&mut self, term: u64) {
        let listed = self.world.target.log.clone();
        let slave = &mut self.world.slave;
        slave.is_sealing = false;
        if slave.acts.is_none() {
            return; // its master has merged meanwhile
        }
        slave.acts = Some(term);
        let (acting, before) = (ActingTerm { group: OWN.into(), term }, slave.log.end.position.term);
        let chains = match self.is(Mutant::NothingIsListed) {
            true => &[][..],
            false => &listed.listed[..],
        };
        let term = Term::new(OTHER.into(), acting, before, chains);
        self.world.slave.acting = Some(known_of(&term, None));
        self.reach(if listed.listed.is_empty() { "a term taken" } else { "a term taken where chains are" });
    }

    /// What it would hand out next (`Shared::hand_out`).
    fn popped_under(&self, acting: &Acting) -> Option<Chain> {
        let (term, step) = (real(acting), pop(acting.term));
        let from = |topic: &str, queue| term.next(&step.group, topic, queue);
        let (taken, rest) = self.setting.logs.look(&self.world.slave.log, |view| step.look(view, &from)).unwrap();
        step.popped(taken, rest, NOW_MS).queues.first().map(|queue| queue.chains[0].clone())
    }

    pub(super) fn pop_acting(&mut self) {
        let Some(acting) = self.world.slave.acting.clone() else { return };
        if let Some(chain) = acting.unanswered {
            self.reach("offered again");
            return self.ask(What::Adopt { chain, term: acting.term, popped: false });
        }
        let Some(chain) = self.popped_under(&acting) else { return };
        let handle = Handle::of(&chain.id);
        let chain = self.setting.logs.offer(offered(chain, acting.term));
        self.ask(What::Adopt { chain, term: acting.term, popped: true });
        if self.is(Mutant::PopWithoutHome) {
            self.give(handle);
        }
    }

    pub(super) fn hand_over(&mut self, handle: Handle) {
        let slave = &self.world.slave;
        let (Some(acting), Some(chain)) = (&slave.acting, slave.log.chain(handle)) else { return };
        let term = acting.term;
        let chain = self.setting.logs.offer(offered(chain.clone(), term));
        self.ask(What::Adopt { chain, term, popped: false });
    }

    /// The target may have it: until that is known nothing else is handed out.
    pub(super) fn leave_unanswered(&mut self, chain: &Offer, term: u64) {
        if let Some(acting) = self.world.slave.acting.as_mut().filter(|acting| acting.term == term) {
            acting.unanswered = Some(chain.clone());
        }
    }

    /// The target has confirmed a chain (`Shared::hand_over_acting`).
    pub(super) fn has_handed_over(&mut self, chain: &Offer, term: u64, popped: bool) {
        let handle = Handle::of(&chain.id);
        if let Some(acting) = self.world.slave.acting.as_mut().filter(|acting| acting.term == term) {
            let is_offered_again = acting.unanswered.as_ref() == Some(chain);
            let unanswered = acting.unanswered.take().filter(|_| !is_offered_again);
            let term = real(acting);
            term.known().takes(chain, chain.id.term == acting.term);
            *acting = known_of(&term, unanswered);
        }
        if popped && !self.is(Mutant::PopWithoutHome) {
            self.reach("popped at the slave");
            self.give(handle);
        }
    }

    /// Another has taken a term since.
    pub(super) fn is_sealed(&mut self, term: u64) {
        self.reach("a hand-over refused by a later seal");
        self.world.slave.acting.take_if(|acting| acting.term == term);
    }

    /// What an acting slave does with an ack (`Shared::home_of`), once the chain is moved if it has to be. `None` where it
    /// cannot be told yet.
    pub(super) fn ack_at_slave(&mut self, handle: Handle) -> Option<()> {
        let acting = self.world.slave.acting.as_ref()?;
        let chain = self.world.slave.log.chain(handle).filter(|_| !acting.moved.contains(&handle));
        match chain.map(|chain| (&chain.state, outcome(chain))) {
            Some((ChainState::Open { .. }, _)) if self.is(Mutant::SlaveDecidesOnAcks) => self.tell(Told::Absorbed),
            Some((ChainState::Open { .. } | ChainState::Moving { .. } | ChainState::Parked { .. }, _)) => return None,
            Some((_, Some(Outcome::Acked))) => self.tell(Told::Absorbed),
            Some((_, Some(_))) => self.tell(Told::TooLate),
            None | Some(_) => self.ask(What::Ack { handle, via: Member::Slave }),
        }
        Some(())
    }

    pub(super) fn ask_merged(&mut self) {
        let slave = &mut self.world.slave;
        let Some(acted) = slave.acts else { return };
        slave.asking = Some(acted);
        let end = slave.log.clone();
        self.ask(What::AskMerged { end, acted });
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
        (slave.acts, slave.acting, slave.is_sealing) = (None, None, false);
        self.abandon_all(|what| matches!(what, What::Seal { by: Member::Slave, .. }));
    }

    pub(super) fn answered_diverged(&mut self, acted: u64) {
        self.world.slave.asking.take_if(|asking| *asking == acted);
    }

    pub(super) fn crash_slave(&mut self) {
        self.world.left.crashes -= 1;
        let forgets = self.is(Mutant::TermNotRemembered);
        let slave = &mut self.world.slave;
        (slave.acting, slave.asking, slave.is_sealing) = (None, None, false);
        if forgets {
            slave.acts = None;
        }
        if slave.acts.is_some() {
            self.reach("restarted while it acts");
        }
        self.abandon_all(is_asked_by_slave);
    }
}

const fn is_asked_by_slave(what: &What) -> bool {
    matches!(
        what,
        What::Seal { by: Member::Slave, .. }
            | What::Ack { via: Member::Slave, .. }
            | What::Adopt { .. }
            | What::AskMerged { .. }
    )
}

/// The term as a broker has it.
fn real(acting: &Acting) -> Term {
    let id = chain(OWN).id;
    let next = acting.next.map(|next| ((id.group, id.topic, id.queue), next));
    let moved = acting.moved.iter().map(|handle| handle.id().to_string()).collect();
    Term {
        target: OTHER.into(),
        acting: ActingTerm { group: OWN.into(), term: acting.term },
        known: Mutex::new(Known { moved, next: BTreeMap::from_iter(next) }),
        unanswered: tokio::sync::Mutex::default(),
    }
}

fn known_of(term: &Term, unanswered: Option<Offer>) -> Acting {
    let known = term.known();
    let handle = |id: &String| Handle::of(&id.parse().unwrap());
    let (moved, next) = (known.moved.iter().map(handle).collect(), known.next.values().next().copied());
    Acting { term: term.acting.term, moved, next, unanswered }
}
