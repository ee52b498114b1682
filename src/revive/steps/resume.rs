//! Resumes parked chains.

use crate::{
    model::chain::ChainId,
    revive::{
        apply::Home,
        engine::{Answer, Event},
    },
    sometimes,
    store::{Step, StoreError, Tables, Txn},
};

/// Opens a new round for parked chains.
pub struct Resume {
    /// This broker.
    pub home: Home,
    /// Which.
    pub which: Which,
}

/// Which parked chains are resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All, from the first after this key, at most `limit`.
    After {
        /// The key; empty for the beginning.
        key: String,
        /// How many in one transaction.
        limit: usize,
    },
    /// One.
    One(ChainId),
}

/// What a resumption came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resumed {
    /// How many chains were opened again.
    pub count: usize,
    /// The last key looked at; `None` when there are no more.
    pub last: Option<String>,
}

impl Step for Resume {
    type Reply = Resumed;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Resumed, StoreError> {
        let (chains, full) = match &self.which {
            Which::After { key, limit } => {
                sometimes!("resume-all");
                let chains = txn.parked(key, *limit)?;
                let full = chains.len() == *limit;
                (chains, full)
            }
            Which::One(id) => sometimes!("resume-one", (txn.chain(id)?.into_iter().collect(), false)),
        };
        let mut resumed = Resumed::default();
        for chain in &chains {
            if self.home.apply(txn, chain, Event::Resumed)?.answer == Answer::Done {
                resumed.count += 1;
            }
        }
        resumed.last = chains.last().filter(|_| full).map(|chain| chain.id.to_string());
        Ok(resumed)
    }
}
