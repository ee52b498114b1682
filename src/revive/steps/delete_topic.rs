//! Deletes a topic, and everything that would otherwise reach a successor of its name.

use std::collections::BTreeSet;

use crate::{
    model::{
        chain::{ChainId, GoneProof, LogPosition, Outcome},
        record::Record,
        topic::{is_retry, normal_topic_of_retry},
    },
    revive::{
        apply::Home,
        engine::{Answer, Event},
    },
    sabotage,
    store::{Step, StoreError, Tables, TopicRow, Txn},
};

/// Deletes a topic with its messages, its groups' offsets, the retry topics that belong to it and to nothing else, and
/// the acks that wait for checkpoints of it. Chains of its messages whose home is here end: the messages are gone, and
/// this entry is the proof. Chains that another group keeps end there, once it asks for the message.
pub struct DeleteTopic {
    /// This broker.
    pub home: Home,
    /// The topic.
    pub topic: String,
}

/// What a deletion came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicDeleted {
    /// The topics that are gone, the one that was named first; none if it did not exist.
    pub topics: Vec<String>,
    /// How many chains ended with them.
    pub ended: usize,
}

impl Step for DeleteTopic {
    type Reply = TopicDeleted;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<TopicDeleted, StoreError> {
        let mut deleted = TopicDeleted::default();
        let Some(row) = txn.topic(&self.topic)? else { return Ok(deleted) };
        let mut rows = vec![row];
        if !sabotage!("retry-topic-survives") {
            rows.extend(retry_topics_of(txn, &self.topic)?);
        }
        for row in rows {
            deleted.ended += self.delete(txn, &row)?;
            deleted.topics.push(row.config.topic_name);
        }
        Ok(deleted)
    }
}

impl DeleteTopic {
    fn delete(&self, txn: &mut Txn<'_, '_>, row: &TopicRow) -> Result<usize, StoreError> {
        let (topic, at) = (row.config.topic_name.clone(), txn.position());
        txn.record(Record::TopicDeleted { topic: topic.clone(), epoch: row.epoch, at })?;
        self.drop_early_acks(txn, &topic)?;
        self.end_chains(txn, &topic, at)
    }

    fn end_chains(&self, txn: &mut Txn<'_, '_>, topic: &str, at: LogPosition) -> Result<usize, StoreError> {
        let mut ended = 0;
        if sabotage!("epoch-ignored") {
            return Ok(ended);
        }
        for chain in txn.pending_chains(&self.home.broker, topic)? {
            let event = Event::Withdrawn(Outcome::Gone(GoneProof::TopicDeleted { at }));
            ended += usize::from(self.home.apply(txn, &chain, event)?.answer == Answer::Done);
        }
        Ok(ended)
    }

    fn drop_early_acks(&self, txn: &mut Txn<'_, '_>, topic: &str) -> Result<(), StoreError> {
        for (_, key) in txn.first_early_acks(usize::MAX)? {
            let is_about_it = |id: &ChainId| id.broker == self.home.broker && id.topic == topic;
            if let Some(id) = key.parse().ok().filter(is_about_it) {
                txn.record(Record::EarlyAckDropped { id })?;
            }
        }
        Ok(())
    }
}

/// The retry topics that hold copies of this topic's messages and of no other's.
///
/// The first form joins group and topic by a character that both may hold: `%RETRY%a_b_c` is what group `a` retries of
/// topic `b_c`, and what `a_b` retries of `c`. One that an existing topic may share stays.
fn retry_topics_of(txn: &Txn<'_, '_>, topic: &str) -> Result<Vec<TopicRow>, StoreError> {
    let groups = txn.all_groups()?;
    let rows = txn.all_topics()?;
    let names: BTreeSet<&str> = rows.iter().map(|row| row.config.topic_name.as_str()).collect();
    let belongs = |row: &&TopicRow| {
        let retry = &row.config.topic_name;
        let owners: BTreeSet<String> =
            groups.iter().filter_map(|group| normal_topic_of_retry(retry, &group.group_name)).collect();
        owners.contains(topic) && owners.iter().all(|owner| owner == topic || !names.contains(owner.as_str()))
    };
    Ok(rows.iter().filter(|row| is_retry(&row.config.topic_name)).filter(belongs).cloned().collect())
}
