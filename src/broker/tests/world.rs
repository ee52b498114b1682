//! A name server, brokers and a client that keeps the rules of RocketMQ's own, on a network in memory.

use std::collections::BTreeMap;

use super::*;
use crate::remoting::CallError;

pub(super) const MASTER: &str = "10.0.0.1:10911";
pub(super) const NEIGHBOUR: &str = "10.0.0.2:10911";
pub(super) const NAME_SERVER: &str = "10.0.0.100:9876";
pub(super) const BEGAN_MS: i64 = 1_700_000_000_000;
pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) struct World {
    pub(super) net: MemoryTransport,
    pub(super) clock: Arc<RunningClock>,
    pub(super) client: Client,
    pub(super) name_server: NameServer,
}

/// A delivered message with the handle that its client would present.
#[derive(Debug, Clone)]
pub(super) struct Delivered {
    pub(super) message: Message,
    pub(super) handle: String,
    /// The topic it was really read from.
    pub(super) real_topic: String,
    /// Its offset there.
    pub(super) offset: i64,
    pub(super) queue: i32,
}

impl Delivered {
    pub(super) fn body(&self) -> &str {
        std::str::from_utf8(&self.message.body).unwrap()
    }
}

pub(super) fn bodies(delivered: &[Delivered]) -> Vec<&str> {
    delivered.iter().map(Delivered::body).collect()
}

pub(super) fn config(name: &str, listen: &str) -> BrokerConfig {
    let policy = RewritePolicy { waits_ms: vec![500], rewrites: 20, ..RewritePolicy::default() };
    BrokerConfig {
        policy,
        read_timeout_ms: 1_000,
        hand_over_timeout_ms: 1_000,
        ..BrokerConfig::new(name, listen, vec![NAME_SERVER.into()])
    }
}

pub(super) fn popping(topic: &str) -> PopMessageHeader {
    PopMessageHeader {
        consumer_group: "g".into(),
        topic: topic.into(),
        queue_id: -1,
        max_msg_nums: 32,
        invisible_time: 1_000,
        poll_time: 10_000,
        ..PopMessageHeader::default()
    }
}

impl World {
    pub(super) async fn new() -> Self {
        let net = MemoryTransport::default();
        let clock = RunningClock::from(BEGAN_MS);
        let name_server_config = NameServerConfig { listen: NAME_SERVER.into(), ..NameServerConfig::default() };
        let machine = host(&MemoryDisk::default(), clock.clone(), &net);
        let name_server = NameServer::start(machine, name_server_config).await.unwrap();
        let client = Client::new(Arc::new(net.clone()), ClientConfig::default());
        Self { net, clock, client, name_server }
    }

    pub(super) async fn start(&self, disk: &MemoryDisk, config: BrokerConfig) -> Broker {
        Broker::start(host(disk, self.clock.clone(), &self.net), config).await.unwrap()
    }

    /// A world with one broker on a fresh disk.
    pub(super) async fn with_broker() -> (Self, Broker) {
        let world = Self::new().await;
        let broker = world.start(&MemoryDisk::default(), config("broker-a", MASTER)).await;
        (world, broker)
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// A connection that a broker has closed, which may have been started anew since, costs a second try.
    pub(super) async fn ask(&self, address: &str, request: Command) -> Command {
        match self.client.call(address, request.clone(), LIMIT).await {
            Err(CallError::Reset { .. }) => self.client.call(address, request, LIMIT).await.unwrap(),
            answer => answer.unwrap(),
        }
    }

    pub(super) async fn ask_code(&self, code: i32, header: &impl Header) -> i32 {
        self.ask(MASTER, Command::request(code).with_header(header)).await.code
    }

    pub(super) async fn create_topic(&self, address: &str, topic: &str, queues: i32) {
        let header = CreateTopicHeader {
            topic: topic.into(),
            default_topic: "TBW102".into(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: 6,
            topic_filter_type: "SINGLE_TAG".into(),
            ..CreateTopicHeader::default()
        };
        let answer = self.ask(address, Command::request(request::UPDATE_AND_CREATE_TOPIC).with_header(&header)).await;
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
    }

    pub(super) async fn send_with(&self, topic: &str, body: &str, properties: &[(&str, &str)]) -> Command {
        let mut all = Properties::new();
        properties.iter().for_each(|(name, value)| all.set(*name, *value));
        let header = SendMessageHeader {
            producer_group: "p".into(),
            topic: topic.into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: 1,
            queue_id: 0,
            born_timestamp: self.now_ms(),
            properties: Some(all.encode().unwrap()),
            ..SendMessageHeader::default()
        };
        let mut request = Command::request(request::SEND_MESSAGE_V2).with_body(body.to_owned());
        header.write_v2(&mut request.ext);
        self.ask(MASTER, request).await
    }

    pub(super) async fn send(&self, topic: &str, body: &str) {
        let answer = self.send_with(topic, body, &[]).await;
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
    }

    /// Sends a message to the revive topic, as other brokers do.
    pub(super) async fn revive_message(&self, tag: &str, body: &str) -> Command {
        self.send_with("rmq_sys_REVIVE_LOG_DefaultCluster", body, &[("TAGS", tag)]).await
    }

    pub(super) async fn pop_at(&self, address: &str, header: &PopMessageHeader) -> Vec<Delivered> {
        let answer = self.ask(address, Command::request(request::POP_MESSAGE).with_header(header)).await;
        match answer.code {
            response::SUCCESS => delivered(header, &answer),
            response::POLLING_TIMEOUT => Vec::new(),
            code => panic!("{code}: {:?}", answer.remark),
        }
    }

    pub(super) async fn pop(&self, header: &PopMessageHeader) -> Vec<Delivered> {
        self.pop_at(MASTER, header).await
    }

    /// Pops without waiting.
    pub(super) async fn pop_now(&self, header: &PopMessageHeader) -> Vec<Delivered> {
        self.pop(&PopMessageHeader { poll_time: 0, ..header.clone() }).await
    }

    pub(super) async fn ack(&self, delivered: &Delivered) -> Command {
        self.ack_at(MASTER, delivered).await
    }

    pub(super) async fn ack_at(&self, address: &str, delivered: &Delivered) -> Command {
        let header = AckMessageHeader {
            consumer_group: "g".into(),
            topic: delivered.real_topic.clone(),
            queue_id: delivered.queue,
            extra_info: delivered.handle.clone(),
            offset: delivered.offset,
            bname: None,
        };
        self.ask(address, Command::request(request::ACK_MESSAGE).with_header(&header)).await
    }

    /// Renews a handle; gives the new one as the client builds it.
    pub(super) async fn renew(&self, delivered: &Delivered, invisible_time: i64) -> Result<Delivered, Command> {
        self.renew_at(MASTER, delivered, invisible_time).await
    }

    pub(super) async fn renew_at(
        &self,
        address: &str,
        delivered: &Delivered,
        invisible_time: i64,
    ) -> Result<Delivered, Command> {
        let header = ChangeInvisibleHeader {
            consumer_group: "g".into(),
            topic: delivered.real_topic.clone(),
            queue_id: delivered.queue,
            extra_info: delivered.handle.clone(),
            offset: delivered.offset,
            invisible_time,
            bname: None,
        };
        let request = Command::request(request::CHANGE_MESSAGE_INVISIBLETIME).with_header(&header);
        let answer = self.ask(address, request).await;
        if answer.code != response::SUCCESS {
            return Err(answer);
        }
        let fields: ChangeInvisibleResponseHeader = answer.header().unwrap();
        let old: ReceiptHandle = delivered.handle.parse().unwrap();
        let handle = ReceiptHandle {
            start_offset: delivered.offset,
            pop_time: fields.pop_time,
            invisible_time: fields.invisible_time,
            revive_queue: fields.revive_qid,
            ..old
        };
        Ok(Delivered { handle: handle.to_string(), ..delivered.clone() })
    }

    /// An operator's list: parked chains or messages set aside.
    pub(super) async fn list(&self, address: &str, code: i32) -> Vec<serde_json::Value> {
        let answer = self.ask(address, Command::request(code)).await;
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
        serde_json::from_slice(&answer.body).unwrap()
    }
}

/// What the client makes of a pop's answer: a message that brings its handle keeps it, for the others it is put
/// together from the answer's header (`MQClientAPIImpl.processPopResponse`).
pub(super) fn delivered(header: &PopMessageHeader, answer: &Command) -> Vec<Delivered> {
    let fields: PopMessageResponseHeader = answer.header().unwrap();
    let starts = parse_start_offset_info(fields.start_offset_info.as_deref().unwrap()).unwrap();
    let starts: BTreeMap<_, _> = starts.into_iter().map(|(retry, queue, start)| ((retry, queue), start)).collect();
    let offsets = parse_msg_offset_info(fields.msg_offset_info.as_deref().unwrap()).unwrap();
    let mut unused: BTreeMap<_, _> =
        offsets.into_iter().map(|(retry, queue, list)| ((retry, queue), list.into_iter())).collect();
    let deliver = |message: Message| {
        let handle = match message.properties.get(names::POP_CK) {
            Some(handle) => handle.to_owned(),
            None => {
                let key = (RetryFlag::Normal, message.queue_id);
                let offset = unused.get_mut(&key).unwrap().next().unwrap();
                let (start, queue) = (starts[&key], message.queue_id);
                let (time, invisible, revive) = (fields.pop_time, fields.invisible_time, fields.revive_qid);
                format!("{start} {time} {invisible} {revive} 0 broker-a {queue} {offset}")
            }
        };
        let parsed: ReceiptHandle = handle.parse().unwrap();
        assert_eq!(message.topic, header.topic, "under its normal topic, wherever it was read");
        let real_topic = match parsed.retry {
            RetryFlag::Normal => header.topic.clone(),
            RetryFlag::V1 => retry_topic_v1(&header.consumer_group, &header.topic),
            RetryFlag::V2 => retry_topic_v2(&header.consumer_group, &header.topic),
        };
        Delivered { real_topic, offset: parsed.offset, queue: parsed.queue_id, message, handle }
    };
    Message::decode_all(answer.body.clone()).unwrap().into_iter().map(deliver).collect()
}
