//! SEND_MESSAGE, in both spellings (`SendMessageProcessor`).

use super::{
    peer_host,
    refusal::Refusal,
    shared::{Shared, check_queue},
};
use crate::{
    model::{
        chain::LogPosition,
        message::{EncodeError, Message},
        names,
        properties::Properties,
        record::Record,
        topic::{
            DLQ_PREFIX, RETRY_PREFIX, TopicConfig, check_topic_name, dlq_topic, is_retry, is_sendable, is_system,
            revive_topic,
        },
    },
    remoting::{
        Command, Peer,
        code::{request, response},
        headers::{SendMessageHeader, SendMessageResponseHeader},
    },
    sabotage,
    store::{SentAs, Step, StoreError, Tables as _, Txn, physical_offset},
};

/// RocketMQ's delay levels, ms (`MessageStoreConfig.messageDelayLevel`), level 1 first.
const DELAY_LEVELS_MS: [i64; 18] = [
    1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000, 360_000, 420_000, 480_000, 540_000,
    600_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000,
];
/// Longest delay (`MessageStoreConfig.timerMaxDelaySec`).
const DELAY_MAX_MS: i64 = 259_200_000;

impl Shared {
    /// Serves SEND_MESSAGE and SEND_MESSAGE_V2; a message to the revive topic is a checkpoint or an ack.
    pub(super) async fn send(&self, peer: &Peer, request: &Command) -> Result<Command, Refusal> {
        let header = match request.code {
            request::SEND_MESSAGE => SendMessageHeader::read_v1(&request.ext)?,
            _ => SendMessageHeader::read_v2(&request.ext)?,
        };
        if header.batch == Some(true) {
            return Err(Refusal::NotSupported("batch send".into()));
        }
        let properties = Properties::decode(header.properties.as_deref().unwrap_or_default());
        if header.topic == revive_topic(&self.config.cluster) {
            return self.revive_message(&properties, header.born_timestamp, request).await;
        }
        let topic = self.send_target(&header).await?;
        let message = self.message_of(peer, request, &header, properties, topic)?;
        let due_ms = due_of(&message.properties, self.host.clock.now_ms())?.filter(|_| !sabotage!("delay-ignored"));
        let unique_key = message.unique_key().map(str::to_owned);
        let window_ms = self.send_window_ms(&message.topic);
        let stored = self.store.submit(SendStep { message, due_ms, window_ms }).await?;
        Ok(accepted(stored?, unique_key))
    }

    /// The topic the message goes to: the one it names, or its group's dead-letter topic.
    async fn send_target(&self, header: &SendMessageHeader) -> Result<TopicConfig, Refusal> {
        let name = &header.topic;
        check_topic_name(name).map_err(|error| Refusal::Field {
            field: "topic",
            found: name.clone(),
            expected: error.to_string(),
        })?;
        if !is_sendable(name) {
            return Err(Refusal::NotPermitted(format!("topic {name:?} is the broker's own")));
        }
        if is_retry(name) && header.reconsume_times > self.reconsume_limit(header).await? {
            let group = &name[RETRY_PREFIX.len()..];
            return self.sendable(&dlq_topic(group), header).await;
        }
        self.sendable(name, header).await
    }

    /// For how long a send to this topic is known by its key. What brokers and consumers send back by themselves (system,
    /// retry and dead-letter topics) keeps the key of the message it is about, so there a key names no send.
    fn send_window_ms(&self, topic: &str) -> Option<i64> {
        let by_client = !is_system(topic) && !topic.starts_with(RETRY_PREFIX) && !topic.starts_with(DLQ_PREFIX);
        i64::try_from(self.config.send_window_ms).ok().filter(|window_ms| by_client && *window_ms > 0)
    }

    async fn reconsume_limit(&self, header: &SendMessageHeader) -> Result<i32, Refusal> {
        if let Some(limit) = header.max_reconsume_times {
            return Ok(limit);
        }
        // The group of a retry topic of a push consumer is all that follows the prefix.
        Ok(self.group(&header.topic[RETRY_PREFIX.len()..]).await?.retry_max_times)
    }

    async fn sendable(&self, name: &str, header: &SendMessageHeader) -> Result<TopicConfig, Refusal> {
        let internal = name.starts_with(RETRY_PREFIX) || name.starts_with(DLQ_PREFIX);
        let config = match self.topic(name) {
            Ok(row) => row.config,
            Err(Refusal::TopicUnknown(_)) if internal || self.config.auto_create_topics => {
                let queues = if internal {
                    1
                } else {
                    u32::try_from(header.default_topic_queue_nums).unwrap_or(0).clamp(1, 1024)
                };
                let config = TopicConfig::with_queues(name, queues);
                self.store.submit(super::topics::PutTopic { config: config.clone() }).await?;
                config
            }
            Err(refusal) => return Err(refusal),
        };
        if !config.perm.is_writable() {
            return Err(Refusal::NotPermitted(format!("topic {name:?} is not writable")));
        }
        Ok(config)
    }

    fn message_of(
        &self,
        peer: &Peer,
        request: &Command,
        header: &SendMessageHeader,
        mut properties: Properties,
        topic: TopicConfig,
    ) -> Result<Message, Refusal> {
        let queue_id = match topic.topic_name == header.topic {
            true if header.queue_id >= 0 => header.queue_id,
            true => self.next_queue(topic.write_queue_nums),
            false => 0,
        };
        check_queue(queue_id, topic.write_queue_nums)?;
        // A handle that was sent along would name a pop that this message never saw.
        properties.remove(names::POP_CK);
        if sabotage!("sent-without-keys") {
            properties.remove(names::KEYS);
        }
        properties.set(names::CLUSTER, self.config.cluster.clone());
        Ok(Message {
            topic: topic.topic_name,
            queue_id,
            queue_offset: 0,
            physical_offset: 0,
            flag: header.flag,
            sys_flag: header.sys_flag,
            born_timestamp: header.born_timestamp,
            born_host: peer_host(peer, self.address),
            store_timestamp: self.host.clock.now_ms(),
            store_host: self.address,
            reconsume_times: header.reconsume_times,
            prepared_transaction_offset: 0,
            body: request.body.clone(),
            properties,
        })
    }
}

/// When a delayed message is due, Unix ms; `None` for one that is not delayed (`HookUtils.handleScheduleMessage`).
fn due_of(properties: &Properties, now_ms: i64) -> Result<Option<i64>, Refusal> {
    let number = |name: &'static str| match properties.get(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<i64>()
            .map(Some)
            .map_err(|_| Refusal::MessageIllegal(format!("property {name} is {text:?}: expected a number"))),
    };
    let level = number(names::DELAY)?.filter(|level| *level > 0);
    let relative = match level {
        Some(level) => {
            let last = DELAY_LEVELS_MS.len();
            Some(DELAY_LEVELS_MS[usize::try_from(level).unwrap_or(last).clamp(1, last) - 1])
        }
        None => number(names::TIMER_DELAY_SEC)?
            .map(|seconds| seconds.saturating_mul(1000))
            .or(number(names::TIMER_DELAY_MS)?),
    };
    let due = match relative {
        Some(delay) => Some(now_ms.saturating_add(delay)),
        None => number(names::TIMER_DELIVER_MS)?,
    };
    match due {
        Some(due) if due.saturating_sub(now_ms) > DELAY_MAX_MS => {
            Err(Refusal::MessageIllegal("the delay is longer than 3 days".into()))
        }
        due => Ok(due.filter(|due| *due > now_ms)),
    }
}

/// Appends a message, or keeps it until it is due; one that was sent before is answered as it was then.
struct SendStep {
    message: Message,
    due_ms: Option<i64>,
    /// For how long the send is known by its key, if it is.
    window_ms: Option<i64>,
}

impl Step for SendStep {
    type Reply = Result<SentAs, Refusal>;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Self::Reply, StoreError> {
        let (topic, key) = (self.message.topic.clone(), self.message.unique_key().map(str::to_owned));
        // The topic may have been deleted, or created anew, since it was looked at.
        let Some(row) = txn.topic(&topic)? else { return Ok(Err(Refusal::TopicUnknown(topic))) };
        if let Err(refusal) = check_queue(self.message.queue_id, row.config.write_queue_nums) {
            return Ok(Err(refusal));
        }
        let store = |step: Self, txn: &mut Txn<'_, '_>| {
            let stored = step.store(txn, row.epoch)?;
            Ok(stored.map_err(|refused| Refusal::MessageIllegal(refused.to_string())))
        };
        let Some((key, window_ms)) = key.zip(self.window_ms) else { return store(self, txn) };
        if let Some(first) = txn.known_send((&topic, row.epoch), &key, window_ms)?
            && !sabotage!("send-dedupe-off")
        {
            return Ok(Ok(first));
        }
        let stored = store(self, txn)?;
        if let Ok(told) = &stored {
            txn.remember_send(&topic, &key, told, window_ms)?;
        }
        Ok(stored)
    }
}

impl SendStep {
    fn store(mut self, txn: &mut Txn<'_, '_>, epoch: LogPosition) -> Result<Result<SentAs, EncodeError>, StoreError> {
        self.message.physical_offset = physical_offset(txn.position().index, txn.next_record());
        let message_id = self.message.offset_id();
        if self.message.unique_key().is_none() {
            self.message.properties.set(names::UNIQ_KEY, message_id.clone());
        }
        let Some(due_ms) = self.due_ms else {
            let place = txn.append(self.message)?;
            return Ok(place.map(|place| SentAs { queue: place.queue, offset: place.offset, message_id, epoch }));
        };
        let queue = self.message.queue_id;
        Ok(match self.message.encode() {
            Ok(stored) => {
                txn.record(Record::Timer { due_ms, stored, epoch })?;
                Ok(SentAs { queue, offset: 0, message_id, epoch })
            }
            Err(refused) => Err(refused),
        })
    }
}

fn accepted(told: SentAs, unique_key: Option<String>) -> Command {
    let SentAs { queue, offset, message_id, .. } = told;
    let fields = SendMessageResponseHeader {
        transaction_id: Some(unique_key.unwrap_or_else(|| message_id.clone())),
        msg_id: message_id,
        queue_id: queue,
        queue_offset: offset,
        region: Some("DefaultRegion".into()),
        trace_on: Some(true),
        ..SendMessageResponseHeader::default()
    };
    Command::response(response::SUCCESS).with_header(&fields)
}
