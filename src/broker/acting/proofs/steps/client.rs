//! The consumer: it acks what it was given, at whichever member of the group it finds.

use super::{Action, Handle, Member, Stepping};

impl Stepping<'_> {
    pub(super) fn client_actions(&self, all: &mut Vec<Action>) {
        if self.world.client.acks == 0 {
            return;
        }
        for handle in &self.world.client.given {
            for at in [Member::Master, Member::Slave] {
                let can_tell = || {
                    let world = self.world.clone();
                    Stepping { setting: self.setting, world }.ack_at_slave(*handle).is_some()
                };
                if at == Member::Master || can_tell() {
                    all.push(Action::Ack { at, handle: *handle });
                }
            }
        }
    }

    pub(super) fn ack(&mut self, at: Member, handle: Handle) {
        self.world.client.acks -= 1;
        match at {
            Member::Master => self.ack_at_master(handle),
            Member::Slave => drop(self.ack_at_slave(handle)),
        }
    }
}
