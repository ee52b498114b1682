//! Gives a member of another group the term under which it may hand chains over for its group.

use std::{sync::Arc, time::Duration};

use super::grant::Granted;
use crate::{
    model::record::LogEnd,
    sabotage, sometimes,
    store::{Step, StoreError, Tables, Txn},
};

/// Takes the next term.
pub struct Seal {
    /// The group it is a member of.
    pub group: String,
    /// The member; 0 is the master, who takes back what was done for it.
    pub member: u64,
    /// A term that it knows of: the next one is higher.
    pub above: u64,
    /// The term upon which both slaves of the group agreed that one of them acts, where one goes on in the place of the other
    /// without asking it: it gets a term only if the master has taken none since, and if its log ends as the other's.
    pub agreed: Option<u64>,
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
    /// A slave may not go on without asking the other one: what they agreed upon may be over.
    Outrun,
}

impl Seal {
    /// Whether what the slaves agreed upon under that term still holds: none has followed the master since, and the caller has all
    /// that the one acted upon which took a term last.
    fn still_holds(&self, agreed: u64, txn: &Txn<'_, '_>) -> Result<bool, StoreError> {
        let is_over = txn.master_sealed(&self.group)? >= agreed && !sabotage!("agreement-never-over");
        let has_all = txn.acted_end(&self.group)? == self.end || sabotage!("successor-lacks-some");
        Ok(!is_over && has_all)
    }
}

impl Step for Seal {
    type Reply = Sealed;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Sealed, StoreError> {
        if let Some(agreed) = self.agreed
            && !self.still_holds(agreed, txn)?
        {
            return sometimes!("seal-outrun", Ok(Sealed::Outrun));
        }
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
