//! The target: it keeps the chains, decides on them, and forgets them once their master has merged them.

use super::{
    super::world::{Late, Told},
    Action, Deed, Fate, Handle, Mutant, Reply, Stepping, deed_of,
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
        let (log, reply) = self.setting.logs.after_unfollowed(&self.world.target.log, deed);
        self.world.target.log = log;
        reply
    }

    /// What the target answers to a request; nothing if it is for the master.
    pub(super) fn at_target_of(&mut self, request: &Late) -> Option<Reply> {
        deed_of(request, self.setting.mutant).map(|deed| self.at_target(&deed))
    }

    /// An ack is passed on to the target (`Shared::settle_elsewhere`).
    pub(super) fn pass_on(&mut self, handle: Handle, fate: Fate) {
        let Some(Reply::Acked(acked)) = self.send(Late::Ack { handle }, fate) else { return };
        match acked {
            Acked::Absorbed => {
                self.reach(match self.world.slave.acts {
                    Some(_) => "acked at the target while the slave acts",
                    None => "acked at the target after the switch-back",
                });
                self.tell(Told::Absorbed);
            }
            Acked::TooLate => self.tell(Told::TooLate),
            Acked::Early | Acked::Elsewhere { .. } | Acked::Unknown => {}
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
