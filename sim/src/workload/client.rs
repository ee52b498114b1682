//! A RocketMQ client as far as the workload needs one: routes, and one method per request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use pop_revive::{
    model::{
        AckBits, BatchAck, BatchAckBody, Properties, ReceiptHandle, RetryFlag, SubscriptionGroupConfig, java_hash,
        topic::{DEFAULT_TOPIC, Perm},
    },
    remoting::{
        CallError, Client, ClientConfig, Command,
        code::{request, response},
        headers::{
            AckMessageHeader, ChangeInvisibleHeader, CreateTopicHeader, DeleteTopicHeader, GetRouteInfoHeader,
            PopMessageHeader, ResetOffsetHeader, SendMessageHeader,
        },
    },
    seams::{Clock, Host},
};
use serde_json::json;

use super::{
    answer,
    route::{Endpoint, Route, RouteCache},
};
use crate::{
    history::{AckVerdict, Delivery, Seen},
    plan::SimMs,
    scenario::{Consumer, Group},
};

const SEND_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// What a pop may take beyond its poll time.
pub(super) const POP_GRACE: Duration = Duration::from_secs(10);
/// Where a group without an offset starts: at the first message.
const INIT_AT_MIN: i32 = 0;
/// And at its end.
const INIT_AT_MAX: i32 = 1;
const ANY_QUEUE: i32 = -1;

/// One client process on its host.
pub struct WireClient {
    id: String,
    client: Client,
    clock: Arc<dyn Clock>,
    name_servers: Vec<String>,
    routes: Mutex<RouteCache>,
}

impl WireClient {
    /// A client named `id` that asks `name_servers`, in this order, for routes.
    pub fn new(host: &Host, id: &str, name_servers: Vec<String>) -> Self {
        Self {
            id: id.to_owned(),
            client: Client::new(Arc::clone(&host.transport), ClientConfig::default()),
            clock: Arc::clone(&host.clock),
            name_servers,
            routes: Mutex::default(),
        }
    }

    /// The route of `topic`, looked up when there is need; `None` when none was ever found.
    pub async fn route(&self, topic: &str) -> Option<Arc<Route>> {
        let must_look_up = self.routes().claim_lookup(topic);
        if must_look_up && let Some(route) = self.look_up(topic).await {
            self.routes().learn(topic, route);
        }
        self.routes().get(topic)
    }

    /// The brokers that `topic` can be read from.
    pub async fn brokers_for(&self, topic: &str) -> Vec<Endpoint> {
        self.route(topic).await.map_or_else(Vec::new, |route| route.readable.clone())
    }

    /// Where `broker` serves `topic`, as far as it is known without asking.
    pub fn endpoint(&self, topic: &str, broker: &str) -> Option<Endpoint> {
        let route = self.routes().get(topic)?;
        route.readable.iter().find(|endpoint| endpoint.name == broker).cloned()
    }

    /// Stores one message with the sender's flag; gives its queue and offset. Properties that no message can carry are refused right here.
    pub async fn send(
        &self,
        at: &Endpoint,
        queue: i32,
        topic: &str,
        (properties, flag): (&Properties, i32),
        body: Bytes,
    ) -> Seen<(i32, i64)> {
        let properties = match properties.encode() {
            Ok(text) => text,
            Err(error) => return Seen::Refused { code: response::MESSAGE_ILLEGAL, remark: error.to_string() },
        };
        let stored = self.store(at, (topic, queue), (properties, flag), body).await;
        stored.map_or_else(no_answer, |answer| answer::sent(&answer))
    }

    /// Stores one message in a queue of a topic.
    pub(super) async fn store(
        &self,
        at: &Endpoint,
        (topic, queue): (&str, i32),
        (properties, flag): (String, i32),
        body: Bytes,
    ) -> Result<Command, CallError> {
        let header = SendMessageHeader {
            producer_group: format!("{}-group", self.id),
            topic: topic.to_owned(),
            default_topic: DEFAULT_TOPIC.to_owned(),
            default_topic_queue_nums: 4,
            queue_id: queue,
            born_timestamp: self.clock.now_ms(),
            properties: Some(properties),
            flag,
            unit_mode: Some(false),
            batch: Some(false),
            bname: Some(at.name.clone()),
            ..SendMessageHeader::default()
        };
        let mut request = Command::request(request::SEND_MESSAGE_V2).with_body(body);
        header.write_v2(&mut request.ext);
        self.ask(at, topic, request, SEND_TIMEOUT).await
    }

    /// Pops from all queues of a broker, as `consumer` does for `group`.
    pub async fn pop(&self, at: &Endpoint, group: &Group, consumer: &Consumer) -> Seen<Vec<Delivery>> {
        let header = PopMessageHeader {
            consumer_group: group.name.clone(),
            topic: group.topic.clone(),
            queue_id: ANY_QUEUE,
            max_msg_nums: i32::try_from(consumer.batch).unwrap_or(i32::MAX),
            invisible_time: wire_ms(consumer.invisible_ms),
            poll_time: wire_ms(consumer.poll_ms),
            born_time: self.clock.now_ms(),
            init_mode: if group.begins_at_end { INIT_AT_MAX } else { INIT_AT_MIN },
            exp_type: Some("TAG".to_owned()),
            exp: Some(group.tag.clone()),
            order: false,
            attempt_id: None,
            bname: Some(at.name.clone()),
        };
        let request = Command::request(request::POP_MESSAGE).with_header(&header);
        let timeout = Duration::from_millis(consumer.poll_ms) + POP_GRACE;
        let answer = self.ask(at, &group.topic, request, timeout).await;
        answer.map_or_else(no_answer, |answer| answer::popped(&answer, group, &at.name))
    }

    /// Acks one message.
    pub async fn ack(&self, at: &Endpoint, group: &Group, delivery: &Delivery) -> Seen<AckVerdict> {
        let header = AckMessageHeader {
            consumer_group: group.name.clone(),
            topic: delivery.topic.clone(),
            queue_id: delivery.queue,
            extra_info: delivery.handle.clone(),
            offset: delivery.offset,
            bname: Some(at.name.clone()),
        };
        let request = Command::request(request::ACK_MESSAGE).with_header(&header);
        let answer = self.ask(at, &group.topic, request, CALL_TIMEOUT).await;
        answer.map_or_else(no_answer, |answer| answer::acked(&answer))
    }

    /// Acks messages of one real topic in one request; gives a verdict for each, in their order.
    ///
    /// Messages whose handles no batch can name are acked one by one.
    pub async fn batch_ack(&self, at: &Endpoint, group: &Group, deliveries: &[&Delivery]) -> Vec<Seen<AckVerdict>> {
        let handles: Option<Vec<ReceiptHandle>> =
            deliveries.iter().map(|delivery| delivery.handle.parse().ok()).collect();
        let batch = handles.and_then(|handles| Some((batch_body(&at.name, group, &handles)?, handles)));
        let Some((body, handles)) = batch else {
            let mut verdicts = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                verdicts.push(self.ack(at, group, delivery).await);
            }
            return verdicts;
        };
        let request = Command::request(request::BATCH_ACK_MESSAGE).with_body(body.to_json());
        match self.ask(at, &group.topic, request, CALL_TIMEOUT).await {
            Ok(answer) => answer::batch_acked(&answer, &handles),
            Err(error) => handles.iter().map(|_| answer::no_answer(&error)).collect(),
        }
    }

    /// Keeps a message invisible for `invisible_ms` from now; gives its new handle, or `None` when it was too late.
    pub async fn renew(
        &self,
        at: &Endpoint,
        group: &Group,
        delivery: &Delivery,
        invisible_ms: SimMs,
    ) -> Seen<Option<String>> {
        let header = ChangeInvisibleHeader {
            consumer_group: group.name.clone(),
            topic: delivery.topic.clone(),
            queue_id: delivery.queue,
            extra_info: delivery.handle.clone(),
            offset: delivery.offset,
            invisible_time: wire_ms(invisible_ms),
            bname: Some(at.name.clone()),
        };
        let request = Command::request(request::CHANGE_MESSAGE_INVISIBLETIME).with_header(&header);
        let answer = self.ask(at, &group.topic, request, CALL_TIMEOUT).await;
        answer.map_or_else(no_answer, |answer| answer::renewed(&answer, delivery, &at.name))
    }

    /// Tells a broker of this consumer and its subscription.
    pub async fn heartbeat(&self, at: &Endpoint, group: &Group) -> Seen<()> {
        let tags: Vec<&str> =
            group.tag.split("||").map(str::trim).filter(|tag| !tag.is_empty() && *tag != "*").collect();
        let codes: Vec<i32> = tags.iter().map(|tag| java_hash(tag)).collect();
        let body = json!({
            "clientID": self.id,
            "consumerDataSet": [{
                "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
                "consumeType": "CONSUME_POP",
                "groupName": group.name,
                "messageModel": "CLUSTERING",
                "subscriptionDataSet": [{
                    "classFilterMode": false, "codeSet": codes, "expressionType": "TAG", "subString": group.tag,
                    "subVersion": self.clock.now_ms(), "tagsSet": tags, "topic": group.topic,
                }],
                "unitMode": false,
            }],
            "heartbeatFingerprint": 0,
            "producerDataSet": [],
            "withoutSub": false,
        });
        let request = Command::request(request::HEART_BEAT).with_body(body.to_string());
        self.command(at, &group.topic, request).await
    }

    /// Creates a topic with this many queues on a broker.
    pub async fn create_topic(&self, at: &Endpoint, topic: &str, queues: u32) -> Seen<()> {
        let queues = i32::try_from(queues).unwrap_or(i32::MAX);
        let header = CreateTopicHeader {
            topic: topic.to_owned(),
            default_topic: DEFAULT_TOPIC.to_owned(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: (Perm::READ | Perm::WRITE).cast_signed(),
            topic_filter_type: "SINGLE_TAG".to_owned(),
            topic_sys_flag: Some(0),
            ..CreateTopicHeader::default()
        };
        self.command(at, topic, Command::request(request::UPDATE_AND_CREATE_TOPIC).with_header(&header)).await
    }

    /// Deletes a topic on a broker.
    pub async fn delete_topic(&self, at: &Endpoint, topic: &str) -> Seen<()> {
        let header = DeleteTopicHeader { topic: topic.to_owned() };
        self.command(at, topic, Command::request(request::DELETE_TOPIC_IN_BROKER).with_header(&header)).await
    }

    /// Sets a group's offsets in its topic to what was stored since `since_ms` (Unix ms), or to the end.
    pub async fn reset_offset(&self, at: &Endpoint, group: &Group, since_ms: Option<i64>) -> Seen<()> {
        let header = ResetOffsetHeader {
            group: group.name.clone(),
            topic: group.topic.clone(),
            queue_id: ANY_QUEUE,
            offset: None,
            timestamp: since_ms.unwrap_or(-1),
            is_force: true,
        };
        let request = Command::request(request::INVOKE_BROKER_TO_RESET_OFFSET).with_header(&header);
        self.command(at, &group.topic, request).await
    }

    /// Creates a consumer group on a broker.
    pub async fn create_group(&self, at: &Endpoint, group: &Group) -> Seen<()> {
        let config = SubscriptionGroupConfig {
            group_name: group.name.clone(),
            retry_max_times: i32::try_from(group.max_reconsume).unwrap_or(i32::MAX),
            ..SubscriptionGroupConfig::default()
        };
        let body = serde_json::to_vec(&config).unwrap_or_default(); // numbers and texts always have a JSON form
        let request = Command::request(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).with_body(body);
        self.command(at, &group.topic, request).await
    }

    /// The ids of the chains that a broker has parked, as many as it lists at once.
    pub async fn list_parked(&self, at: &Endpoint) -> Seen<Vec<String>> {
        let answer = self.client.call(&at.address, Command::request(request::LIST_PARKED), CALL_TIMEOUT).await;
        answer.map_or_else(no_answer, |answer| answer::parked(&answer))
    }

    /// Has a broker resume one parked chain, or all of them; gives how many it resumed.
    pub async fn resume_parked(&self, at: &Endpoint, chain: Option<&str>) -> Seen<u64> {
        let mut request = Command::request(request::RESUME_PARKED);
        request.ext = chain.map(|chain| ("chain".to_owned(), chain.to_owned())).into_iter().collect();
        let answer = self.client.call(&at.address, request, CALL_TIMEOUT).await;
        answer.map_or_else(no_answer, |answer| answer::resumed(&answer))
    }

    /// What the clock of this client's host says, Unix ms.
    pub(super) fn clock_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(super) async fn command(&self, at: &Endpoint, topic: &str, request: Command) -> Seen<()> {
        let answer = self.ask(at, topic, request, CALL_TIMEOUT).await;
        answer.map_or_else(no_answer, |answer| answer::done(&answer))
    }

    /// Calls a broker about `topic`; what speaks against the route has it looked up again.
    pub(super) async fn ask(
        &self,
        at: &Endpoint,
        topic: &str,
        request: Command,
        timeout: Duration,
    ) -> Result<Command, CallError> {
        let outcome = self.client.call(&at.address, request, timeout).await;
        let is_doubtful = match &outcome {
            Ok(answer) => answer.code == response::TOPIC_NOT_EXIST,
            Err(error) => matches!(error, CallError::Connect { .. }),
        };
        if is_doubtful {
            self.routes().doubt(topic);
        }
        outcome
    }

    async fn look_up(&self, topic: &str) -> Option<Route> {
        let header = GetRouteInfoHeader { topic: topic.to_owned(), accept_standard_json_only: Some(true) };
        for name_server in &self.name_servers {
            let request = Command::request(request::GET_ROUTEINFO_BY_TOPIC).with_header(&header);
            let answer = self.client.call(name_server, request, CALL_TIMEOUT).await;
            let found = answer.ok().filter(|answer| answer.code == response::SUCCESS);
            if let Some(route) = found.and_then(|answer| Route::parse(&answer.body)) {
                return Some(route);
            }
        }
        None
    }

    fn routes(&self) -> MutexGuard<'_, RouteCache> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One entry per checkpoint; `None` when a handle lies outside of what an entry can say.
fn batch_body(broker: &str, group: &Group, handles: &[ReceiptHandle]) -> Option<BatchAckBody> {
    let mut checkpoints: BTreeMap<(RetryFlag, i32, i64, i64), Vec<&ReceiptHandle>> = BTreeMap::new();
    for handle in handles {
        let key = (handle.retry, handle.queue_id, handle.start_offset, handle.pop_time);
        checkpoints.entry(key).or_default().push(handle);
    }
    let entry = |((retry, queue_id, start_offset, pop_time), handles): (_, Vec<&ReceiptHandle>)| {
        let distance = |handle: &&ReceiptHandle| usize::try_from(handle.offset.checked_sub(start_offset)?).ok();
        let distances = handles.iter().map(distance).collect::<Option<Vec<usize>>>()?;
        let any = handles.first()?;
        Some(BatchAck {
            bit_set: AckBits::from_distances(distances).ok()?,
            consumer_group: group.name.clone(),
            invisible_time: any.invisible_time,
            pop_time,
            queue_id,
            retry,
            revive_queue: any.revive_queue,
            start_offset,
            topic: group.topic.clone(),
        })
    };
    let acks = checkpoints.into_iter().map(entry).collect::<Option<Vec<_>>>()?;
    Some(BatchAckBody { acks, broker_name: Some(broker.to_owned()) })
}

pub(super) fn no_answer<T>(error: CallError) -> Seen<T> {
    answer::no_answer(&error)
}

pub(super) fn wire_ms(ms: SimMs) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
