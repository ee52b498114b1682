//! Gives a member of another group the term under which it may hand chains over for its group.

use std::{sync::Arc, time::Duration};

use super::grant::Granted;
use crate::{
    model::record::LogEnd,
    sometimes,
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
    /// How long a lease of its master lasts, if that needs one, and those that were granted.
    pub lease: Option<(Duration, Arc<Granted>)>,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// The term; to a master it is a lease too.
    Term(u64),
    /// The master may have a lease, for so much longer: nobody may act.
    Leased(Duration),
}

impl Step for Seal {
    type Reply = Sealed;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Sealed, StoreError> {
        let is_master = self.member == 0;
        if let Some((lease, granted)) = &self.lease {
            match granted.left(&self.group, *lease).filter(|_| !is_master) {
                Some(left) => return sometimes!("seal-leased", Ok(Sealed::Leased(left))),
                None if is_master => sometimes!("seal-grants", granted.grant(&self.group, *lease)),
                None => sometimes!("seal-not-leased"),
            }
        }
        txn.seal(&self.group, self.member, self.above, self.end).map(Sealed::Term)
    }
}
