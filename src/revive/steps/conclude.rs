//! Takes in what a job came to.

use crate::{
    model::chain::ChainId,
    revive::{
        apply::Home,
        engine::{Answer, Event},
    },
    sometimes,
    store::{Step, StoreError, Tables, Txn},
};

/// Lets the result of a read or of a hand-over happen to its chains.
pub struct Conclude {
    /// This broker.
    pub home: Home,
    /// The chains, each with its result.
    pub results: Vec<(ChainId, Event)>,
}

impl Step for Conclude {
    type Reply = Vec<Answer>;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Self::Reply, StoreError> {
        let mut answers = Vec::with_capacity(self.results.len());
        for (id, event) in self.results {
            answers.push(match txn.chain(&id)? {
                Some(chain) => sometimes!("result-of-chain", self.home.apply(txn, &chain, event)?.answer),
                None => sometimes!("result-of-nothing", Answer::Stale),
            });
        }
        Ok(answers)
    }
}
