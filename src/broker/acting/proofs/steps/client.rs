//! The consumer: it acks what it was given, at whichever member of the group it finds.

use super::{Action, Fate, Handle, Member, Stepping, fates};

impl Stepping<'_> {
    pub(super) fn client_actions(&self, all: &mut Vec<Action>) {
        if self.world.left.acks == 0 {
            return;
        }
        for handle in self.world.client.given.iter().copied() {
            let ack = |at| fates(self.world.left).iter().map(move |fate| Action::Ack { at, handle, fate: *fate });
            all.extend(ack(Member::Master));
            if self.can_ack_at_slave(handle) {
                all.extend(ack(Member::Slave));
            }
        }
    }

    pub(super) fn ack(&mut self, at: Member, handle: Handle, fate: Fate) {
        self.world.left.acks -= 1;
        match at {
            Member::Master => self.ack_at_master(handle, fate),
            Member::Slave => self.ack_at_slave(handle, fate),
        }
    }
}
