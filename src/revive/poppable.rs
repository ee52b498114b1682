//! Topics that chains of another group's messages, or those messages themselves, need here.

use crate::{
    model::{
        chain::Chain,
        group::SubscriptionGroupConfig,
        record::Record,
        topic::{Perm, TopicConfig, is_retry, normal_topic_of_retry, retry_topic_v1},
    },
    sabotage,
    store::{StoreError, Tables, Txn},
};

/// Makes what the chain may become poppable here: the retry topic and its normal topic exist, and so does the group.
/// A topic that is not this broker's own is readable only, so that nobody sends to it.
pub(super) fn make_poppable(txn: &mut Txn<'_, '_>, chain: &Chain) -> Result<(), StoreError> {
    if sabotage!("retry-topic-without-route") {
        return Ok(());
    }
    let (topic, group) = (&chain.id.topic, &chain.id.group);
    let normal = if is_retry(topic) { normal_topic_of_retry(topic, group) } else { Some(topic.clone()) };
    if let Some(normal) = normal {
        ensure_readable(txn, &normal)?;
        let retry = if is_retry(topic) { topic.clone() } else { retry_topic_v1(group, &normal) };
        txn.ensure_internal_topic(&retry)?;
    }
    ensure_group(txn, group)
}

/// Creates a topic if it is missing, with one queue that is readable only.
pub(super) fn ensure_readable(txn: &mut Txn<'_, '_>, topic: &str) -> Result<(), StoreError> {
    if txn.topic(topic)?.is_none() {
        let mut config = TopicConfig::with_queues(topic, 1);
        config.write_queue_nums = 0;
        config.perm = Perm(Perm::READ);
        txn.put_topic(config)?;
    }
    Ok(())
}

/// Creates a consumer group if it is missing.
pub(super) fn ensure_group(txn: &mut Txn<'_, '_>, group: &str) -> Result<(), StoreError> {
    if txn.group(group)?.is_none() {
        txn.record(Record::Group { config: SubscriptionGroupConfig::named(group) })?;
    }
    Ok(())
}
