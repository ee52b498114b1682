//! A broker and name server by script, on a network in memory, for the tests of the clients.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use pop_revive::{
    model::{Message, Properties},
    remoting::{
        Command, Handler, Header, Peer, Server, ServerConfig,
        code::{request, response},
        headers::PopMessageResponseHeader,
    },
    seams::{Blocking, BoxStream, Clock, Disk, Host, Listener, Transport},
};
use redb::StorageBackend;
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};

use super::{Endpoint, Recorder};
use crate::history::{Event, EventKind};

/// Unix ms at the beginning of every test.
const EPOCH_MS: i64 = 1_700_000_000_000;

type Listeners = Mutex<BTreeMap<String, mpsc::UnboundedSender<(BoxStream, String)>>>;

/// A test's world: its network, its clock and its history.
#[derive(Clone)]
pub(super) struct TestWorld {
    started: Instant,
    listeners: Arc<Listeners>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl TestWorld {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), listeners: Arc::default(), events: Arc::default() }
    }

    pub(super) fn host(&self) -> Host {
        let world = Arc::new(self.clone());
        Host { transport: world.clone(), clock: world.clone(), disk: world.clone(), blocking: world }
    }

    pub(super) fn recorder(&self) -> Recorder {
        let started = self.started;
        let clock = move || started.elapsed().as_millis().try_into().unwrap();
        Recorder::new(Arc::new(clock), self.events.clone())
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.recorder().now_ms()
    }

    pub(super) fn history(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    pub(super) fn kinds(&self) -> Vec<EventKind> {
        self.history().into_iter().map(|event| event.kind).collect()
    }
}

#[async_trait]
impl Transport for TestWorld {
    async fn connect(&self, address: &str) -> io::Result<BoxStream> {
        let (near, far) = tokio::io::duplex(1 << 20);
        let listeners = self.listeners.lock().unwrap();
        let listener = listeners.get(address).ok_or(io::ErrorKind::ConnectionRefused)?;
        listener.send((Box::new(far), "client:1".into())).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(near))
    }

    async fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let (sender, accepted) = mpsc::unbounded_channel();
        self.listeners.lock().unwrap().insert(address.to_owned(), sender);
        Ok(Box::new(MemoryListener { address: address.to_owned(), accepted }))
    }
}

struct MemoryListener {
    address: String,
    accepted: mpsc::UnboundedReceiver<(BoxStream, String)>,
}

#[async_trait]
impl Listener for MemoryListener {
    fn local_address(&self) -> String {
        self.address.clone()
    }

    async fn accept(&mut self) -> io::Result<(BoxStream, String)> {
        self.accepted.recv().await.ok_or(io::ErrorKind::NotConnected.into())
    }
}

#[async_trait]
impl Clock for TestWorld {
    fn now_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(TestWorld::now_ms(self)).unwrap()
    }

    fn passed(&self) -> std::time::Duration {
        std::time::Duration::from_millis(TestWorld::now_ms(self))
    }

    async fn sleep_until_ms(&self, _deadline_ms: i64) {
        unreachable!("clients wait on tokio's timers");
    }
}

impl Disk for TestWorld {
    fn open(&self, _name: &str) -> io::Result<Box<dyn StorageBackend>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_aside(&self, _names: &[&str]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn replace(&self, _name: &str, _new: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[async_trait]
impl Blocking for TestWorld {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

/// Answers a request, which is the `nth` (from 0) with its code; `None` is silence.
type Script = Box<dyn Fn(&Command, usize) -> Option<Command> + Send + Sync>;

/// A scripted broker that is also the name server of the topic `t`, whose two queues it holds alone.
pub(super) struct FakeBroker {
    name: String,
    script: Script,
    requests: Mutex<Vec<(u64, Command)>>,
    world: TestWorld,
}

impl FakeBroker {
    /// Starts it; it answers until the [`Server`] is dropped. Its address is its name and `:1`.
    pub(super) async fn start(world: &TestWorld, name: &str, script: Script) -> (Arc<Self>, Server) {
        let broker = Arc::new(Self { name: name.into(), script, requests: Mutex::default(), world: world.clone() });
        let listener = world.bind(&broker.endpoint().address).await.unwrap();
        (broker.clone(), Server::start(listener, broker, ServerConfig::default()))
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint { name: self.name.clone(), address: format!("{}:1", self.name) }
    }

    /// The requests with this code, each with its time.
    pub(super) fn requests(&self, code: i32) -> Vec<(u64, Command)> {
        self.requests.lock().unwrap().iter().filter(|(_, request)| request.code == code).cloned().collect()
    }
}

#[async_trait]
impl Handler for FakeBroker {
    async fn handle(&self, _peer: &Peer, request: Command) -> Command {
        let nth = self.requests(request.code).len();
        self.requests.lock().unwrap().push((self.world.now_ms(), request.clone()));
        let answer = (self.script)(&request, nth);
        match (answer, request.code) {
            (Some(answer), _) => answer,
            (None, request::GET_ROUTEINFO_BY_TOPIC) => {
                Command::response(response::SUCCESS).with_body(route(&[self.endpoint()]))
            }
            (None, request::HEART_BEAT) => Command::response(response::SUCCESS),
            (None, request::POP_MESSAGE) => {
                let poll_ms = request.ext["pollTime"].parse().unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(poll_ms)).await;
                Command::response(response::POLLING_TIMEOUT)
            }
            (None, _) => std::future::pending().await,
        }
    }
}

/// The body of a route of two queues on each of these brokers.
pub(super) fn route(brokers: &[Endpoint]) -> Vec<u8> {
    let addresses = brokers.iter().map(|at| json!({"brokerName": at.name, "brokerAddrs": {"0": at.address}}));
    let queues = brokers.iter().map(
        |at| json!({"brokerName": at.name, "perm": 6, "readQueueNums": 2, "writeQueueNums": 2, "topicSysFlag": 0}),
    );
    let route = json!({
        "brokerDatas": addresses.collect::<Vec<_>>(), "queueDatas": queues.collect::<Vec<_>>(), "filterServerTable": {},
    });
    route.to_string().into_bytes()
}

/// An answer that found these messages, popped at 1000 for 60 s with revive queue 2.
pub(super) fn pop_answer(messages: &[Message], starts: &str, offsets: &str) -> Command {
    let header = PopMessageResponseHeader {
        pop_time: 1000,
        invisible_time: 60_000,
        revive_qid: 2,
        rest_num: 0,
        start_offset_info: Some(starts.into()),
        msg_offset_info: Some(offsets.into()),
        order_count_info: None,
    };
    let body: Vec<u8> = messages.iter().flat_map(|message| message.encode().unwrap().to_vec()).collect();
    Command::response(response::SUCCESS).with_header(&header).with_body(body)
}

/// A stored message.
pub(crate) fn message(topic: &str, queue_id: i32, queue_offset: i64, body: &str) -> Message {
    Message {
        topic: topic.into(),
        queue_id,
        queue_offset,
        physical_offset: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: "127.0.0.1:1".parse().unwrap(),
        store_timestamp: 2,
        store_host: "127.0.0.1:2".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.to_owned().into(),
        properties: Properties::new(),
    }
}

/// A success with these header fields.
pub(super) fn success(header: &impl Header) -> Command {
    Command::response(response::SUCCESS).with_header(header)
}
