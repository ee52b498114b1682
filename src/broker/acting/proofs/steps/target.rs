//! The target: it keeps the chains, decides on them, and forgets them once their master has merged them.

use super::{
    super::{
        logs::Offer,
        world::{Member, Told},
    },
    Action, Deed, Handle, Mutant, Reply, Stepping,
};
use crate::revive::steps::ack::Acked;

impl Stepping<'_> {
    pub(super) fn target_actions(&self, all: &mut Vec<Action>) {
        let (target, left) = (&self.world.target, self.world.left);
        if target.log.due.is_some() && target.reading.is_none() {
            all.push(Action::TakeUp);
        }
        if target.reading.is_some() {
            all.push(Action::Conclude);
            if left.crashes > 0 {
                all.push(Action::CrashTarget);
            }
        }
        let may_forget = target.log.listed.is_empty() || self.is(Mutant::ForgottenBeforeMerge);
        if target.log.can_forget && may_forget {
            all.push(Action::Forget);
        }
    }

    fn at_target(&mut self, deed: &Deed) -> Reply {
        let (log, reply) = self.after(&self.world.target.log, deed);
        self.world.target.log = log;
        reply
    }

    pub(super) fn serve_seal(&mut self, by: Member, above: u64, is_awaited: bool) {
        let Reply::Sealed(term) = self.at_target(&Deed::Seal { by, above }) else { return };
        match (is_awaited, by) {
            (true, Member::Master) => self.master_has_sealed(term),
            (true, Member::Slave) => self.slave_has_sealed(term),
            (false, _) => self.reach("a seal that nobody waits for"),
        }
    }

    pub(super) fn serve_adopt(&mut self, chain: &Offer, term: u64, popped: bool, is_awaited: bool) {
        let is_checked = !self.is(Mutant::SealIgnored);
        let Reply::Adopted(adopted) = self.at_target(&Deed::Adopt { chain: chain.clone(), term, is_checked }) else {
            return;
        };
        match (is_awaited, adopted.sealed, adopted.too_old) {
            (true, Some(_), _) => self.is_sealed(term),
            (true, None, 0) => self.has_handed_over(chain, term, popped),
            (true, None, _) => {
                self.reach("refused because it may be forgotten");
                if popped {
                    self.leave_unanswered(chain, term);
                }
            }
            (false, Some(_), _) => self.reach("a late hand-over refused"),
            (false, None, _) => self.reach("a late hand-over taken"),
        }
    }

    /// What the target does with an ack that is passed on (`Shared::ack_message`).
    pub(super) fn serve_ack(&mut self, handle: Handle, is_awaited: bool) {
        let Reply::Acked(acked) = self.at_target(&Deed::Ack { handle, is_kept: true }) else { return };
        if !is_awaited {
            return;
        }
        match acked {
            Acked::Absorbed if self.world.slave.acts.is_some() => {
                self.reach("acked at the target while the slave acts");
                self.tell(Told::Absorbed);
            }
            Acked::Absorbed => {
                self.reach("acked at the target after the switch-back");
                self.tell(Told::Absorbed);
            }
            Acked::TooLate => self.tell(Told::TooLate),
            Acked::Early | Acked::Elsewhere { .. } | Acked::Unknown => {}
        }
    }

    pub(super) fn serve_merged(&mut self, term: u64, is_awaited: bool) {
        self.at_target(&Deed::Acknowledge { term });
        self.reach("told of the merge");
        if is_awaited {
            self.world.master.merged_told = term;
        }
    }

    pub(super) fn take_up(&mut self) {
        if let Reply::TakenUp(handle) = self.at_target(&Deed::Tick) {
            self.world.target.reading = handle;
        }
    }

    pub(super) fn conclude(&mut self) {
        let Some(handle) = self.world.target.reading.take() else { return };
        let copies = self.world.target.log.copies;
        self.at_target(&Deed::Found { handle });
        let is_new = self.world.target.log.copies > copies;
        self.reach(match (is_new, self.world.slave.acts) {
            (true, Some(_)) => "revived at the target while the slave acts",
            (true, None) => "revived at the target after the switch-back",
            (false, _) => "read, and acked meanwhile",
        });
    }

    pub(super) fn forget(&mut self) {
        self.at_target(&Deed::Forget { is_checked: !self.is(Mutant::ForgottenBeforeMerge) });
        self.reach("forgotten");
    }

    pub(super) fn crash_target(&mut self) {
        self.world.left.crashes -= 1;
        self.world.target.reading = None;
        self.reach("the target restarted while it read");
    }
}
