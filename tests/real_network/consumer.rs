//! A client of RocketMQ's: it sends, pops and acks, and makes of the answers what RocketMQ's own clients make of them.

use std::{collections::BTreeMap, sync::Arc};

use pop_revive::{
    model::{
        handle::ReceiptHandle,
        message::Message,
        names,
        pop_info::{parse_msg_offset_info, parse_start_offset_info},
        route::{TopicRouteData, from_json},
    },
    remoting::{
        Client, ClientConfig, Command,
        code::{request, response},
        headers::{
            AckMessageHeader, CreateTopicHeader, GetRouteInfoHeader, PopMessageHeader, PopMessageResponseHeader,
            SendMessageHeader,
        },
    },
    seams::tcp::Tcp,
};

use super::{CALL, GROUP, TOPIC, until};

/// A message as its consumer sees it.
pub struct Delivered {
    pub body: String,
    pub topic: String,
    pub queue: i32,
    pub offset: i64,
    pub handle: String,
}

pub struct Consumer {
    client: Client,
}

impl Consumer {
    pub fn new() -> Self {
        Self { client: Client::new(Arc::new(Tcp), ClientConfig::default()) }
    }

    async fn ask(&self, address: &str, request: Command) -> Command {
        self.client.call(address, request, CALL).await.unwrap()
    }

    pub async fn create_topic(&self, address: &str) {
        self.create_topic_named(address, TOPIC).await;
    }

    /// A master that needs a slave refuses until it has heard one.
    pub async fn create_topic_named(&self, address: &str, topic: &str) {
        until("the topic is created", async || {
            let answer = self.try_to_create_topic(address, topic).await;
            (answer.code == response::SUCCESS).then_some(())
        })
        .await;
    }

    pub async fn try_to_create_topic(&self, address: &str, topic: &str) -> Command {
        let header = CreateTopicHeader {
            topic: topic.into(),
            default_topic: "TBW102".into(),
            read_queue_nums: 2,
            write_queue_nums: 2,
            perm: 6,
            topic_filter_type: "SINGLE_TAG".into(),
            ..CreateTopicHeader::default()
        };
        self.ask(address, Command::request(request::UPDATE_AND_CREATE_TOPIC).with_header(&header)).await
    }

    pub async fn send(&self, address: &str, body: &str) {
        let header = SendMessageHeader {
            producer_group: "producers".into(),
            topic: TOPIC.into(),
            default_topic: "TBW102".into(),
            queue_id: -1,
            ..SendMessageHeader::default()
        };
        let mut request = Command::request(request::SEND_MESSAGE_V2).with_body(body.to_owned());
        header.write_v2(&mut request.ext);
        let answer = self.ask(address, request).await;
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
    }

    /// The brokers that the name server knows for the topic, by name.
    pub async fn route(&self, name_server: &str) -> BTreeMap<String, String> {
        let header = GetRouteInfoHeader { topic: TOPIC.into(), ..GetRouteInfoHeader::default() };
        let request = Command::request(request::GET_ROUTEINFO_BY_TOPIC).with_header(&header);
        let answer = self.ask(name_server, request).await;
        if answer.code != response::SUCCESS {
            return BTreeMap::new();
        }
        let route: TopicRouteData = from_json(&answer.body).unwrap();
        let brokers = route.broker_datas.into_iter();
        brokers.filter_map(|broker| Some((broker.broker_name, broker.broker_addrs.into_values().next()?))).collect()
    }

    pub async fn pop(&self, address: &str, broker: &str, invisible_time: i64, poll_time: i64) -> Vec<Delivered> {
        let popped = self.try_to_pop(address, broker, invisible_time, poll_time).await;
        popped.unwrap_or_else(|answer| panic!("{}: {:?}", answer.code, answer.remark))
    }

    pub async fn try_to_pop(
        &self,
        address: &str,
        broker: &str,
        invisible_time: i64,
        poll_time: i64,
    ) -> Result<Vec<Delivered>, Command> {
        let header = PopMessageHeader {
            consumer_group: GROUP.into(),
            topic: TOPIC.into(),
            queue_id: -1,
            max_msg_nums: 32,
            invisible_time,
            poll_time,
            ..PopMessageHeader::default()
        };
        let answer = self.ask(address, Command::request(request::POP_MESSAGE).with_header(&header)).await;
        match answer.code {
            response::SUCCESS => Ok(delivered(broker, &answer)),
            response::POLLING_TIMEOUT => Ok(Vec::new()),
            _ => Err(answer),
        }
    }

    pub async fn ack(&self, address: &str, delivered: &Delivered) {
        let header = AckMessageHeader {
            consumer_group: GROUP.into(),
            topic: delivered.topic.clone(),
            queue_id: delivered.queue,
            extra_info: delivered.handle.clone(),
            offset: delivered.offset,
            bname: None,
        };
        let answer = self.ask(address, Command::request(request::ACK_MESSAGE).with_header(&header)).await;
        assert_eq!(answer.code, response::SUCCESS, "{:?}", answer.remark);
    }

    /// Pops and acks until so many messages have come; their bodies.
    pub async fn take_at_least(&self, count: usize, address: &str, broker: &str) -> Vec<String> {
        let mut taken = Vec::new();
        until("every message that was not acked came again", async || {
            for delivered in self.pop(address, broker, 60_000, 500).await {
                self.ack(address, &delivered).await;
                taken.push(delivered.body);
            }
            (taken.len() >= count).then_some(())
        })
        .await;
        taken
    }

    pub async fn parked(&self, address: &str) -> String {
        let answer = self.ask(address, Command::request(request::LIST_PARKED)).await;
        assert_eq!(answer.code, response::SUCCESS);
        String::from_utf8(answer.body.to_vec()).unwrap()
    }
}

/// What a RocketMQ client makes of the answer: messages that bring their handle keep it.
fn delivered(broker: &str, answer: &Command) -> Vec<Delivered> {
    let fields: PopMessageResponseHeader = answer.header().unwrap();
    let starts = parse_start_offset_info(fields.start_offset_info.as_deref().unwrap()).unwrap();
    let starts: BTreeMap<_, _> =
        starts.into_iter().map(|(retry, queue, start)| ((retry.code(), queue), start)).collect();
    let offsets = parse_msg_offset_info(fields.msg_offset_info.as_deref().unwrap()).unwrap();
    let mut unused: BTreeMap<_, _> =
        offsets.into_iter().map(|(retry, queue, list)| ((retry.code(), queue), list.into_iter())).collect();
    let deliver = |message: Message| {
        let handle = message.properties.get(names::POP_CK).map(str::to_owned).unwrap_or_else(|| {
            let key = (0, message.queue_id);
            let (start, offset) = (starts[&key], unused.get_mut(&key).unwrap().next().unwrap());
            let (time, invisible, revive) = (fields.pop_time, fields.invisible_time, fields.revive_qid);
            format!("{start} {time} {invisible} {revive} 0 {broker} {} {offset}", message.queue_id)
        });
        let parsed: ReceiptHandle = handle.parse().unwrap();
        let topic = if parsed.retry.code() == 0 { TOPIC.into() } else { format!("%RETRY%{GROUP}_{TOPIC}") };
        let body = String::from_utf8(message.body.to_vec()).unwrap();
        Delivered { body, topic, queue: parsed.queue_id, offset: parsed.offset, handle }
    };
    Message::decode_all(answer.body.clone()).unwrap().into_iter().map(deliver).collect()
}
