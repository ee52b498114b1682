//! What an acting slave of Apache RocketMQ asks of brokers, beside what every client does.

use std::time::Duration;

use pop_revive::{
    model::{AckBody, CheckpointBody, Message, Properties, checkpoint, names, topic::revive_topic},
    remoting::{
        Command,
        code::{request, response},
        headers::{PullMessageHeader, UpdateConsumerOffsetHeader},
    },
};

use super::{
    answer,
    client::{POP_GRACE, WireClient, no_answer, wire_ms},
    route::Endpoint,
};
use crate::{
    history::{AckVerdict, Seen},
    scenario::{Consumer, Group},
};

/// The cluster of every broker here.
const CLUSTER: &str = "DefaultCluster";
/// RocketMQ's `reviveQueueNum`.
const REVIVE_QUEUES: i32 = 8;
/// System flag of a pull: wait for messages, by this subscription.
const SUSPEND_SUBSCRIBED: i32 = 2 | 4;
/// How much earlier than it is due a checkpoint asks to be delivered, ms (`ackTimeInterval`).
const ACK_TIME_INTERVAL_MS: i64 = 1_000;

impl WireClient {
    /// Reads what a group wants of one queue, from an offset on; gives the messages, and where the next read begins.
    pub(super) async fn pull(
        &self,
        at: &Endpoint,
        group: &Group,
        consumer: &Consumer,
        (queue, offset): (i32, i64),
    ) -> Seen<(Vec<Message>, i64)> {
        let header = PullMessageHeader {
            consumer_group: group.name.clone(),
            topic: group.topic.clone(),
            queue_id: queue,
            queue_offset: offset,
            max_msg_nums: i32::try_from(consumer.batch).unwrap_or(i32::MAX),
            sys_flag: SUSPEND_SUBSCRIBED,
            suspend_timeout_millis: wire_ms(consumer.poll_ms),
            subscription: Some(group.tag.clone()),
            bname: Some(at.name.clone()),
            ..PullMessageHeader::default()
        };
        let request = Command::request(request::PULL_MESSAGE).with_header(&header);
        let timeout = Duration::from_millis(consumer.poll_ms) + POP_GRACE;
        let answer = self.ask(at, &group.topic, request, timeout).await;
        answer.map_or_else(no_answer, |answer| answer::pulled(&answer))
    }

    /// Moves a group's offset in a queue on.
    pub(super) async fn commit(&self, at: &Endpoint, group: &Group, (queue, offset): (i32, i64)) -> Seen<()> {
        let header = UpdateConsumerOffsetHeader {
            consumer_group: group.name.clone(),
            topic: group.topic.clone(),
            queue_id: queue,
            commit_offset: offset,
            bname: Some(at.name.clone()),
        };
        let request = Command::request(request::UPDATE_CONSUMER_OFFSET).with_header(&header);
        self.command(at, &group.topic, request).await
    }

    /// Has a broker keep a checkpoint.
    pub(super) async fn keep_checkpoint(&self, at: &Endpoint, body: &CheckpointBody) -> Seen<()> {
        let deliver_ms = body.revive_time() - ACK_TIME_INTERVAL_MS;
        let properties = (checkpoint::TAG, body.unique_key(), deliver_ms);
        match self.to_revive_topic(at, body.queue_id, properties, body.to_json()).await {
            Seen::Ok(answer) => answer::done(&answer),
            Seen::Refused { code, remark } => Seen::Refused { code, remark },
            Seen::Unknown { cause } => Seen::Unknown { cause },
        }
    }

    /// Sends a checkpoint that is cut off, once: what becomes of it is the broker's affair.
    pub(super) async fn keep_garbled(&self, at: &Endpoint, body: &CheckpointBody) {
        let properties = (checkpoint::TAG, body.unique_key(), body.revive_time() - ACK_TIME_INTERVAL_MS);
        let mut bytes = body.to_json();
        bytes.truncate(bytes.len() / 2);
        drop(self.to_revive_topic(at, body.queue_id, properties, bytes).await);
    }

    /// Has a broker keep an ack of what is due at `revive_ms`; `None` is the verdict on one that waits for its checkpoint.
    pub(super) async fn keep_ack(&self, at: &Endpoint, body: &AckBody, revive_ms: i64) -> Seen<Option<AckVerdict>> {
        let properties = (body.tag(), body.unique_key(), revive_ms);
        match self.to_revive_topic(at, body.queue_id, properties, body.to_json()).await {
            Seen::Ok(answer) => answer::ack_message(&answer),
            Seen::Refused { code, remark } => Seen::Refused { code, remark },
            Seen::Unknown { cause } => Seen::Unknown { cause },
        }
    }

    async fn to_revive_topic(
        &self,
        at: &Endpoint,
        queue: i32,
        (tag, key, deliver_ms): (&str, String, i64),
        body: Vec<u8>,
    ) -> Seen<Command> {
        let mut properties = Properties::new();
        properties.set(names::TAGS, tag);
        properties.set(names::UNIQ_KEY, key);
        properties.set(names::TIMER_DELIVER_MS, deliver_ms.to_string());
        let properties = match properties.encode() {
            Ok(text) => text,
            Err(error) => return Seen::Refused { code: response::MESSAGE_ILLEGAL, remark: error.to_string() },
        };
        let (topic, queue) = (revive_topic(CLUSTER), queue.rem_euclid(REVIVE_QUEUES));
        let stored = self.store(at, (&topic, queue), (properties, 0), body.into()).await;
        stored.map_or_else(no_answer, Seen::Ok)
    }
}
