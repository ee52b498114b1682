//! Creating topics and consumer groups, and hearing of clients (`AdminBrokerProcessor`, `ClientManageProcessor`).

use serde::Deserialize;

use super::{parked::COUNT, refusal::Refusal, shared::Shared};
use crate::{
    model::{
        group::SubscriptionGroupConfig,
        record::Record,
        topic::{Perm, TopicConfig, check_group_name, check_topic_name, is_system},
    },
    remoting::{
        Command,
        code::response,
        headers::{CreateTopicHeader, DeleteTopicHeader, HeartbeatResponseHeader},
    },
    revive::steps::delete_topic::{DeleteTopic, TopicDeleted},
    store::{Step, StoreError, Tables, Txn},
};

/// Ext field of the answer to a deletion: the topics that are gone, joined by commas; [`COUNT`] chains ended with them.
pub const TOPICS: &str = "topics";

/// Most queues a topic may have.
const QUEUES_MAX: i32 = 65_536;

impl Shared {
    /// Serves UPDATE_AND_CREATE_TOPIC.
    pub(super) async fn create_topic(&self, request: &Command) -> Result<Command, Refusal> {
        let header: CreateTopicHeader = request.header()?;
        let field = |field, found: String, expected: String| Refusal::Field { field, found, expected };
        check_topic_name(&header.topic).map_err(|error| field("topic", header.topic.clone(), error.to_string()))?;
        if is_system(&header.topic) {
            return Err(field("topic", header.topic.clone(), "a topic that is not the broker's own".into()));
        }
        let queues = |name, count: i32| match count {
            0..=QUEUES_MAX => Ok(count.unsigned_abs()),
            _ => Err(field(name, count.to_string(), format!("0 to {QUEUES_MAX}"))),
        };
        let mut config = TopicConfig::with_queues(&header.topic, queues("readQueueNums", header.read_queue_nums)?);
        config.write_queue_nums = queues("writeQueueNums", header.write_queue_nums)?;
        config.perm =
            Perm(u32::try_from(header.perm).map_err(|_| field("perm", header.perm.to_string(), "0 to 7".into()))?);
        config.order = header.order;
        config.topic_sys_flag = header.topic_sys_flag.unwrap_or_default();
        self.store.submit(PutTopic { config }).await?;
        Ok(Command::response(response::SUCCESS))
    }

    /// Serves DELETE_TOPIC_IN_BROKER. A topic that does not exist is deleted already, as for RocketMQ: the answer to the
    /// first request may have been lost.
    pub(super) async fn delete_topic(&self, request: &Command) -> Result<Command, Refusal> {
        let DeleteTopicHeader { topic } = request.header()?;
        if topic.trim().is_empty() || is_system(&topic) {
            let expected = "a topic that is not the broker's own".into();
            return Err(Refusal::Field { field: "topic", found: topic, expected });
        }
        let TopicDeleted { topics, ended } = self.store.submit(DeleteTopic { home: self.home.clone(), topic }).await?;
        tracing::info!(?topics, ended, "deleted");
        let mut answer = Command::response(response::SUCCESS);
        answer.ext.insert(TOPICS.into(), topics.join(","));
        answer.ext.insert(COUNT.into(), ended.to_string());
        Ok(answer)
    }

    /// Serves UPDATE_AND_CREATE_SUBSCRIPTIONGROUP.
    pub(super) async fn create_group(&self, request: &Command) -> Result<Command, Refusal> {
        let config: SubscriptionGroupConfig =
            serde_json::from_slice(&request.body).map_err(|error| Refusal::Body(error.to_string()))?;
        check_group_name(&config.group_name).map_err(|error| Refusal::Field {
            field: "groupName",
            found: config.group_name.clone(),
            expected: error.to_string(),
        })?;
        self.store.submit(PutGroup { config }).await?;
        Ok(Command::response(response::SUCCESS))
    }

    /// Serves HEART_BEAT: the consumer groups it names exist from now on.
    pub(super) async fn heartbeat(&self, request: &Command) -> Result<Command, Refusal> {
        let body: Heartbeat =
            serde_json::from_slice(&request.body).map_err(|error| Refusal::Body(error.to_string()))?;
        for consumer in body.consumers {
            self.group(&consumer.group_name).await?;
        }
        let fields = HeartbeatResponseHeader { supports_v2: true, sub_changed: false };
        Ok(Command::response(response::SUCCESS).with_header(&fields))
    }
}

/// The parts of `HeartbeatData` that matter.
#[derive(Deserialize)]
struct Heartbeat {
    #[serde(default, rename = "consumerDataSet")]
    consumers: Vec<ConsumerData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsumerData {
    group_name: String,
}

/// Creates or changes a topic.
pub(super) struct PutTopic {
    pub(super) config: TopicConfig,
}

impl Step for PutTopic {
    type Reply = bool;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<bool, StoreError> {
        txn.put_topic(self.config)
    }
}

struct PutGroup {
    config: SubscriptionGroupConfig,
}

impl Step for PutGroup {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        if txn.group(&self.config.group_name)?.as_ref() == Some(&self.config) {
            return Ok(());
        }
        txn.record(Record::Group { config: self.config })
    }
}
