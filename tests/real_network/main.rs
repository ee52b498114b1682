//! The real thing: a name server and two brokers as processes, on real sockets, disks and clocks.
#![cfg(not(madsim))]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command as Process, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

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

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const MESSAGES: usize = 20;
const INVISIBLE_MS: i64 = 3_000;
const CALL: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);

/// A process of the binary; killed when dropped.
struct Node {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Node {
    /// Starts the binary and waits until it says where it listens.
    fn start(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let append = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = Process::new(env!("CARGO_BIN_EXE_pop-revive"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(append)
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().rsplit_once(" listens on ").map(|(_, address)| address.to_owned());
        let mut node = Self { child, address: String::new(), log };
        node.address = address.unwrap_or_else(|| panic!("{name} said {said:?}; its log:\n{}", node.log_text()));
        node
    }

    fn name_server(folder: &Path) -> Self {
        Self::start(folder, "namesrv", &["namesrv", "--listen", "127.0.0.1:0"])
    }

    fn broker(folder: &Path, name: &str, listen: &str, name_server: &Self, more: &[&str]) -> Self {
        let data = folder.join(name);
        let data = data.to_str().unwrap();
        let given = ["broker", "--name", name, "--listen", listen, "--namesrv", &name_server.address, "--data", data];
        let given = [&given[..], &["--metrics-listen", "127.0.0.1:0"]].concat();
        Self::start(folder, name, &[&given, more].concat())
    }

    /// A slave of the broker of that name.
    fn slave(folder: &Path, broker: &str, name_server: &Self, more: &[&str]) -> Self {
        let name = format!("{broker}-slave");
        let data = folder.join(&name);
        let given = ["broker", "--name", broker, "--id", "1", "--listen", "127.0.0.1:0", "--namesrv"];
        let there = [&name_server.address, "--data", data.to_str().unwrap(), "--metrics-listen", "127.0.0.1:0"];
        Self::start(folder, &name, &[&given[..], &there, more].concat())
    }

    /// Where the broker serves metrics and health: its log says so before it says that it listens.
    fn metrics_address(&self) -> String {
        let log = self.log_text();
        let line = log.lines().rev().find(|line| line.contains("metrics and health are served")).unwrap();
        let line: String = line.split("\u{1b}[").enumerate().fold(String::new(), |mut plain, (at, part)| {
            plain.push_str(if at == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) });
            plain
        });
        line.split("address=").nth(1).unwrap().trim().trim_matches('"').to_owned()
    }

    /// A page's status and body.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.metrics_address()).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The sum of the samples that begin with `name` and hold `label`.
    fn metric(&self, name: &str, label: &str) -> f64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200);
        let samples = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL: no goodbye, no flush.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, as an operator or a service manager does, and waits until it has.
    fn stop_by(&mut self, signal: &str) -> ExitStatus {
        let sent = Process::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not stop; its log:\n{}", self.log_text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until `what` yields something.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A message as its consumer sees it.
struct Delivered {
    body: String,
    topic: String,
    queue: i32,
    offset: i64,
    handle: String,
}

struct Consumer {
    client: Client,
}

impl Consumer {
    fn new() -> Self {
        Self { client: Client::new(Arc::new(Tcp), ClientConfig::default()) }
    }

    async fn ask(&self, address: &str, request: Command) -> Command {
        self.client.call(address, request, CALL).await.unwrap()
    }

    async fn create_topic(&self, address: &str) {
        self.create_topic_named(address, TOPIC).await;
    }

    /// A master that needs a slave refuses until it has one.
    async fn create_topic_named(&self, address: &str, topic: &str) {
        until("the topic is created", async || {
            let answer = self.try_to_create_topic(address, topic).await;
            (answer.code == response::SUCCESS).then_some(())
        })
        .await;
    }

    async fn try_to_create_topic(&self, address: &str, topic: &str) -> Command {
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

    async fn send(&self, address: &str, body: &str) {
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
    async fn route(&self, name_server: &str) -> BTreeMap<String, String> {
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

    async fn pop(&self, address: &str, broker: &str, invisible_time: i64, poll_time: i64) -> Vec<Delivered> {
        let popped = self.try_to_pop(address, broker, invisible_time, poll_time).await;
        popped.unwrap_or_else(|answer| panic!("{}: {:?}", answer.code, answer.remark))
    }

    async fn try_to_pop(
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

    async fn ack(&self, address: &str, delivered: &Delivered) {
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
    async fn take_at_least(&self, count: usize, address: &str, broker: &str) -> Vec<String> {
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

    async fn parked(&self, address: &str) -> String {
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

const WAITS: [&str; 2] = ["--waits", "1s,1s,1s,1s,2s,2s,2s,2s,2s,2s,2s,2s"];

#[tokio::test]
async fn unacked_messages_of_a_killed_broker_are_revived_elsewhere_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let name_server = Node::name_server(folder.path());
    let b = Node::broker(folder.path(), "broker-b", "127.0.0.1:0", &name_server, &WAITS);
    let escape = [&["--escape-to", "broker-b"][..], &WAITS].concat();
    let mut a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &escape);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    let sent: BTreeSet<String> = (0..MESSAGES).map(|number| format!("order {number}")).collect();
    for body in &sent {
        consumer.send(&a.address, body).await;
    }
    until("the name server has the topic", async || {
        consumer.route(&name_server.address).await.contains_key("broker-a").then_some(())
    })
    .await;

    let popped = consumer.pop(&a.address, "broker-a", INVISIBLE_MS, 5_000).await;
    assert_eq!(popped.iter().map(|delivered| delivered.body.clone()).collect::<BTreeSet<_>>(), sent);
    let (acked, owed) = popped.split_at(MESSAGES / 2);
    for delivered in acked {
        consumer.ack(&a.address, delivered).await;
    }
    a.kill();
    until("broker-b has failed to read from broker-a", async || b.log_text().contains("read failed").then_some(()))
        .await;
    assert_eq!(consumer.parked(&b.address).await, "[]");

    let listen = a.address.clone();
    a = Node::broker(folder.path(), "broker-a", &listen, &name_server, &escape);
    assert_eq!(a.address, listen);
    let route = consumer.route(&name_server.address).await;
    assert_eq!(
        route.get("broker-b"),
        Some(&b.address),
        "a consumer that follows the route finds the copies: {route:?}"
    );
    let mut revived = consumer.take_at_least(owed.len(), &b.address, "broker-b").await;
    // Whatever comes after the last one would be a message too many.
    for (node, name) in [(&b, "broker-b"), (&a, "broker-a")] {
        let late = consumer.pop(&node.address, name, 60_000, 1_500).await;
        revived.extend(late.into_iter().map(|delivered| delivered.body));
    }
    revived.sort();
    let mut expected: Vec<String> = owed.iter().map(|delivered| delivered.body.clone()).collect();
    expected.sort();
    assert_eq!(revived, expected, "broker-b's log:\n{}", b.log_text());
    assert_eq!(consumer.parked(&b.address).await, "[]");
}

#[tokio::test]
async fn unacked_messages_of_a_killed_master_are_revived_from_its_slave_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let name_server = Node::name_server(folder.path());
    let b = Node::broker(folder.path(), "broker-b", "127.0.0.1:0", &name_server, &WAITS);
    // Whatever is confirmed is on the slave's disk too: the master may die at once.
    let escape = [&["--escape-to", "broker-b", "--degree", "2"][..], &WAITS].concat();
    let mut a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &escape);
    let _slave = Node::slave(folder.path(), "broker-a", &name_server, &[]);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    for number in 0..MESSAGES {
        consumer.send(&a.address, &format!("order {number}")).await;
    }
    let popped = consumer.pop(&a.address, "broker-a", INVISIBLE_MS, 5_000).await;
    assert_eq!(popped.len(), MESSAGES);
    let (acked, owed) = popped.split_at(MESSAGES / 2);
    for delivered in acked {
        consumer.ack(&a.address, delivered).await;
    }
    a.kill();

    let mut revived = consumer.take_at_least(owed.len(), &b.address, "broker-b").await;
    let late = consumer.pop(&b.address, "broker-b", 60_000, 1_500).await;
    revived.extend(late.into_iter().map(|delivered| delivered.body));
    revived.sort();
    let mut expected: Vec<String> = owed.iter().map(|delivered| delivered.body.clone()).collect();
    expected.sort();
    assert_eq!(revived, expected, "broker-b's log:\n{}", b.log_text());
}

#[tokio::test]
async fn a_slave_acts_for_a_killed_master_and_the_master_goes_on_where_that_ended() {
    let folder = tempfile::tempdir().unwrap();
    let name_server = Node::name_server(folder.path());
    let b = Node::broker(folder.path(), "broker-b", "127.0.0.1:0", &name_server, &WAITS);
    let acting = [&["--acting-to", "broker-b", "--acting-after", "2s", "--degree", "2"][..], &WAITS].concat();
    let mut a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &acting);
    let slave = Node::slave(folder.path(), "broker-a", &name_server, &acting);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    for number in 0..MESSAGES {
        consumer.send(&a.address, &format!("popped {number}")).await;
    }
    let popped = consumer.pop(&a.address, "broker-a", INVISIBLE_MS, 5_000).await;
    assert_eq!(popped.len(), MESSAGES);
    let (acked, owed) = popped.split_at(MESSAGES / 2);
    for delivered in acked {
        consumer.ack(&a.address, delivered).await;
    }
    for number in 0..MESSAGES {
        consumer.send(&a.address, &format!("left {number}")).await;
    }
    let address = a.address.clone();
    a.kill();

    // What nobody had popped is handed out by the slave, and acked there.
    let mut left = Vec::new();
    until("the slave hands out what was left", async || {
        for delivered in consumer.try_to_pop(&slave.address, "broker-a", 60_000, 200).await.unwrap_or_default() {
            consumer.ack(&slave.address, &delivered).await;
            left.push(delivered.body);
        }
        (left.len() >= MESSAGES).then_some(())
    })
    .await;
    left.sort();
    let mut expected: Vec<String> = (0..MESSAGES).map(|number| format!("left {number}")).collect();
    expected.sort();
    assert_eq!(left, expected, "the slave's log:\n{}", slave.log_text());
    // What the master had handed out and nobody had acked is revived by the other group.
    let mut revived = consumer.take_at_least(owed.len(), &b.address, "broker-b").await;

    // The master is back: it hands out what is new, and nothing that was handed out or revived meanwhile.
    let a = Node::broker(folder.path(), "broker-a", &address, &name_server, &acting);
    until("the master has taken back what its slave did", async || {
        let answer = consumer.try_to_create_topic(&a.address, "another").await;
        (answer.code == response::SUCCESS).then_some(())
    })
    .await;
    consumer.send(&a.address, "new").await;
    let new: Vec<String> = consumer.take_at_least(1, &a.address, "broker-a").await.into_iter().collect();
    assert_eq!(new, ["new"], "the master's log:\n{}", a.log_text());
    let late = consumer.pop(&b.address, "broker-b", 60_000, 1_500).await;
    revived.extend(late.into_iter().map(|delivered| delivered.body));
    revived.sort();
    let mut expected: Vec<String> = owed.iter().map(|delivered| delivered.body.clone()).collect();
    expected.sort();
    assert_eq!(revived, expected, "broker-b's log:\n{}", b.log_text());
}

#[tokio::test]
async fn an_operator_sees_a_revive_and_an_outage() {
    let folder = tempfile::tempdir().unwrap();
    let mut name_server = Node::name_server(folder.path());
    let a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &[]);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    consumer.send(&a.address, "order").await;
    until("the broker is ready", async || (a.get("/health").0 == 200).then_some(())).await;
    let revived = || a.metric("pop_revive_chains_ended_total", "outcome=\"revived\"");
    assert_eq!((revived(), a.metric("pop_revive_chains_waiting", "")), (0.0, 0.0));
    assert_eq!(consumer.pop(&a.address, "broker-a", 1_000, 5_000).await.len(), 1);
    assert_eq!(a.metric("pop_revive_chains_waiting", ""), 1.0);
    until("the message is revived", async || (revived() > 0.0).then_some(())).await;
    assert_eq!(a.metric("rocketmq_pop_revive_retry_messages_total", "put_status=\"PUT_OK\""), 1.0);
    assert_eq!(a.metric("pop_revive_requests_total", "request_code=\"POP_MESSAGE\""), 1.0);
    assert_eq!(a.metric("pop_revive_chains_waiting", ""), 0.0);
    assert_eq!(consumer.pop(&a.address, "broker-a", 60_000, 5_000).await.len(), 1);
    name_server.kill();
    consumer.create_topic_named(&a.address, "more").await;
    until("it is not registered any more", async || (a.get("/health").0 == 503).then_some(())).await;
    assert_eq!((a.get("/health/live").0, a.metric("pop_revive_registered", "")), (200, 0.0));
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_does_so_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut name_server = Node::name_server(folder.path());
    let mut a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &[]);
    let mut b = Node::broker(folder.path(), "broker-b", "127.0.0.1:0", &name_server, &[]);
    let consumer = Consumer::new();
    consumer.create_topic(&a.address).await;
    consumer.send(&a.address, "kept").await;
    until("the name server has the topic", async || {
        consumer.route(&name_server.address).await.contains_key("broker-a").then_some(())
    })
    .await;
    assert!(a.stop_by("-INT").success(), "{}", a.log_text());
    assert!(b.stop_by("-TERM").success(), "{}", b.log_text());
    assert!(consumer.route(&name_server.address).await.is_empty(), "it took leave of the name server");
    let a = Node::broker(folder.path(), "broker-a", "127.0.0.1:0", &name_server, &[]);
    let popped = consumer.pop(&a.address, "broker-a", INVISIBLE_MS, 1_000).await;
    assert_eq!(popped.len(), 1, "the store was closed in order and opened again");
    assert!(name_server.stop_by("-TERM").success());
}
