//! Takes chains that another group hands over: from now on this group is their home.

use crate::{
    model::{
        chain::{Chain, ChainId, Outcome},
        checkpoint::ActingTerm,
        record::Record,
    },
    revive::{engine::end, poppable::make_poppable},
    sabotage, sometimes,
    store::{Step, StoreError, Tables, Txn},
};

/// Adopts chains; one that is known already, in whatever state, is left alone and confirmed again. One that may have been
/// known and is forgotten is not taken: it would be revived twice.
pub struct Adopt {
    /// The chains, each open.
    pub chains: Vec<Chain>,
    /// The term under which an acting slave hands them over, if it is one that does.
    pub acting: Option<ActingTerm>,
}

/// What an adoption came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Adopted {
    /// How many of the chains are new here.
    pub new: usize,
    /// How many may have been here before and are forgotten.
    pub too_old: usize,
    /// Nothing was adopted: another member of that group has taken this term since.
    pub sealed: Option<u64>,
}

impl Step for Adopt {
    type Reply = Adopted;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Adopted, StoreError> {
        let mut adopted = Adopted::default();
        if let Some(acting) = &self.acting {
            let sealed = txn.sealed_term(&acting.group)?;
            if sealed != acting.term && !sabotage!("seal-ignored") {
                return sometimes!("adopt-sealed", Ok(Adopted { sealed: Some(sealed), ..adopted }));
            }
        }
        for chain in self.chains {
            let known =
                txn.chain(&chain.id)?.is_some() || (sabotage!("dedupe-without-group") && same_but_group(txn, &chain)?);
            let is_too_old = txn.forgotten_until_ms(&chain.id.broker)?.is_some_and(|until| chain.id.pop_time <= until);
            if !known && is_too_old && !sabotage!("forgotten-is-new") {
                sometimes!("adopt-forgotten");
                adopted.too_old += 1;
                continue;
            }
            make_poppable(txn, &chain)?;
            if known {
                sometimes!("adopt-known");
                continue;
            }
            adopted.new += 1;
            if txn.early_ack(&chain.id)?.is_some() && !sabotage!("early-ack-unused") {
                sometimes!("adopt-acked-early");
                txn.record(Record::EarlyAckDropped { id: chain.id.clone() })?;
                let now_ms = txn.now_ms();
                txn.record_chain(end(chain, now_ms, Outcome::Acked))?;
            } else {
                sometimes!("adopt-new");
                txn.record_chain(chain)?;
            }
        }
        Ok(adopted)
    }
}

fn same_but_group(txn: &Txn<'_, '_>, chain: &Chain) -> Result<bool, StoreError> {
    let like = |key: &str| {
        key.parse::<ChainId>().is_ok_and(|mut id| {
            id.group.clone_from(&chain.id.group);
            id == chain.id
        })
    };
    Ok(txn.due_keys(10_000)?.iter().any(|(_, key)| like(key)))
}
