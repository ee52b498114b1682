//! Acks chains.

use crate::{
    model::{
        chain::{Chain, ChainId},
        record::Record,
    },
    revive::{
        apply::Home,
        engine::{Answer, Event},
    },
    sabotage, sometimes,
    store::{Step, StoreError, Tables, Txn},
};

/// Acks each of the chains, in one transaction.
pub struct Ack {
    /// This broker.
    pub home: Home,
    /// What is acked.
    pub ids: Vec<ChainId>,
    /// For an ack that may come before its checkpoint: until when it is kept, Unix ms.
    pub keep_until_ms: Option<i64>,
}

/// What an ack came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acked {
    /// The chain is over; a repeated ack hears the same.
    Absorbed,
    /// The message is on its way again, or is gone.
    TooLate,
    /// The checkpoint has not come yet; the ack waits for it.
    Early,
    /// The chain's home is this group: ask there.
    Elsewhere {
        /// That group.
        to: String,
        /// The chain, after renewals.
        id: ChainId,
    },
    /// No such chain is known here.
    Unknown,
}

/// How many renewals an ack with an old handle is followed through.
const RENEWAL_LIMIT: usize = 1000;

impl Step for Ack {
    type Reply = Vec<Acked>;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Self::Reply, StoreError> {
        self.ids.iter().map(|id| self.ack(txn, id)).collect()
    }
}

impl Ack {
    fn ack(&self, txn: &mut Txn<'_, '_>, id: &ChainId) -> Result<Acked, StoreError> {
        let Some(chain) = newest(txn, id)? else { return self.keep(txn, id) };
        Ok(match self.home.apply(txn, &chain, Event::Acked)?.answer {
            Answer::Done => sometimes!("ack-absorbed", Acked::Absorbed),
            Answer::Elsewhere(to) => sometimes!("ack-elsewhere", Acked::Elsewhere { to, id: chain.id }),
            Answer::TooLate => sometimes!("ack-too-late", Acked::TooLate),
            Answer::Superseded(_) | Answer::Stale => sometimes!("ack-unknown-successor", Acked::Unknown),
        })
    }

    fn keep(&self, txn: &mut Txn<'_, '_>, id: &ChainId) -> Result<Acked, StoreError> {
        let Some(until_ms) = self.keep_until_ms else { return sometimes!("ack-of-nothing", Ok(Acked::Unknown)) };
        if txn.early_ack(id)?.is_none() {
            if !sabotage!("early-acks-pile-up") {
                give_up_expired(txn)?;
            }
            txn.record(Record::EarlyAck { id: id.clone(), until_ms })?;
        }
        sometimes!("ack-early", Ok(Acked::Early))
    }
}

/// Drops early acks that waited in vain. Each new one takes two old ones along, so that they never pile up.
fn give_up_expired(txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
    for (until_ms, key) in txn.first_early_acks(2)? {
        if until_ms > txn.now_ms() {
            break;
        }
        sometimes!("ack-given-up");
        let id = key.parse().map_err(|_| StoreError::Dangling { table: "early-acks-until", key, index: 0 })?;
        txn.record(Record::EarlyAckDropped { id })?;
    }
    Ok(())
}

/// The chain that `id` goes on as, after all renewals of its handle.
///
/// # Errors
/// The store fails.
pub fn newest(tables: &impl Tables, id: &ChainId) -> Result<Option<Chain>, StoreError> {
    use crate::model::chain::{ChainState, Outcome};
    let mut at = tables.chain(id)?;
    for _ in 0..RENEWAL_LIMIT {
        match &at {
            Some(Chain { state: ChainState::Ended { outcome: Outcome::Superseded(by), .. }, .. }) => {
                sometimes!("handle-followed");
                at = tables.chain(by)?;
            }
            _ => return sometimes!("handle-newest", Ok(at)),
        }
    }
    Ok(at)
}
