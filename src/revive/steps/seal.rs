//! Gives a member of another group the term under which it may hand chains over for its group.

use crate::{
    model::record::LogEnd,
    store::{Step, StoreError, Txn},
};

/// Takes the next term.
pub struct Seal {
    /// The group it is a member of.
    pub group: String,
    /// The member; 0 is the master, who takes back what was done for it.
    pub member: u64,
    /// A term that it knows of: the next one is higher.
    pub above: u64,
    /// How the log of a slave ends that is to act.
    pub end: Option<LogEnd>,
}

impl Step for Seal {
    type Reply = u64;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<u64, StoreError> {
        txn.seal(&self.group, self.member, self.above, self.end)
    }
}
