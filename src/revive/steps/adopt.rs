//! Takes chains that another group hands over: from now on this group is their home.

use crate::{
    model::{
        chain::{Chain, ChainId, Outcome},
        group::SubscriptionGroupConfig,
        record::Record,
        topic::{Perm, TopicConfig, is_retry, normal_topic_of_retry, retry_topic_v1},
    },
    revive::engine::end,
    sabotage,
    store::{Step, StoreError, Tables, Txn},
};

/// Adopts chains; one that is known already, in whatever state, is left alone and confirmed again. One that may have been
/// known and is forgotten is not taken: it would be revived twice.
pub struct Adopt {
    /// The chains, each open.
    pub chains: Vec<Chain>,
}

/// What an adoption came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Adopted {
    /// How many of the chains are new here.
    pub new: usize,
    /// How many may have been here before and are forgotten.
    pub too_old: usize,
}

impl Step for Adopt {
    type Reply = Adopted;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Adopted, StoreError> {
        let mut adopted = Adopted::default();
        for chain in self.chains {
            let known =
                txn.chain(&chain.id)?.is_some() || (sabotage!("dedupe-without-group") && same_but_group(txn, &chain)?);
            let is_too_old = txn.forgotten_until_ms(&chain.id.broker)?.is_some_and(|until| chain.id.pop_time <= until);
            if !known && is_too_old && !sabotage!("forgotten-is-new") {
                adopted.too_old += 1;
                continue;
            }
            make_poppable(txn, &chain)?;
            if known {
                continue;
            }
            adopted.new += 1;
            if txn.early_ack(&chain.id)?.is_some() {
                txn.record(Record::EarlyAckDropped { id: chain.id.clone() })?;
                let now_ms = txn.now_ms();
                txn.record_chain(end(chain, now_ms, Outcome::Acked))?;
            } else {
                txn.record_chain(chain)?;
            }
        }
        Ok(adopted)
    }
}

/// Makes what the chain may become poppable here: the retry topic and its normal topic exist, and so does the group.
/// A topic that is not this broker's own is readable only, so that nobody sends to it.
fn make_poppable(txn: &mut Txn<'_, '_>, chain: &Chain) -> Result<(), StoreError> {
    if sabotage!("retry-topic-without-route") {
        return Ok(());
    }
    let (topic, group) = (&chain.id.topic, &chain.id.group);
    let normal = if is_retry(topic) { normal_topic_of_retry(topic, group) } else { Some(topic.clone()) };
    if let Some(normal) = normal {
        if txn.topic(&normal)?.is_none() {
            let mut config = TopicConfig::with_queues(&normal, 1);
            config.write_queue_nums = 0;
            config.perm = Perm(Perm::READ);
            txn.put_topic(config)?;
        }
        let retry = if is_retry(topic) { topic.clone() } else { retry_topic_v1(group, &normal) };
        txn.ensure_internal_topic(&retry)?;
    }
    if txn.group(group)?.is_none() {
        txn.record(Record::Group { config: SubscriptionGroupConfig::named(group) })?;
    }
    Ok(())
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
