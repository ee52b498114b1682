#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use async_trait::async_trait;
use redb::StorageBackend;

use super::*;
use crate::{
    model::route::{BrokerMemberGroupBody, ClusterInfo, DataVersion, RegisterBrokerBody, TopicRouteData, from_json},
    remoting::{
        Client, ClientConfig, Command, Header,
        code::{request, response},
        headers::{
            BrokerHeartbeatHeader, GetBrokerMemberGroupHeader, GetRouteInfoHeader, QueryDataVersionHeader,
            QueryDataVersionResponseHeader, RegisterBrokerHeader, RegisterBrokerResponseHeader, UnregisterBrokerHeader,
        },
        memory_transport::MemoryTransport,
    },
    seams::{Blocking, Disk, system_clock::SystemClock},
};

const SECOND: Duration = Duration::from_secs(1);
const BODY: &str = r#"{"topicConfigSerializeWrapper":{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":5},"topicConfigTable":{"t":{"perm":6,"readQueueNums":4,"topicName":"t","writeQueueNums":4}}}}"#;

/// A name server needs neither disk nor blocking work.
struct Nothing;

impl Disk for Nothing {
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
impl Blocking for Nothing {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

struct World {
    server: NameServer,
    client: Client,
}

impl World {
    async fn start() -> Self {
        let net = Arc::new(MemoryTransport::default());
        let host = Host {
            transport: net.clone(),
            clock: Arc::<SystemClock>::default(),
            disk: Arc::new(Nothing),
            blocking: Arc::new(Nothing),
        };
        let config = NameServerConfig { listen: "ns:1".into(), ..NameServerConfig::default() };
        Self {
            server: NameServer::start(host, config).await.unwrap(),
            client: Client::new(net, ClientConfig::default()),
        }
    }

    async fn ask(&self, code: i32, header: &impl Header, body: impl Into<bytes::Bytes>) -> Command {
        let request = Command::request(code).with_header(header).with_body(body);
        self.client.call(self.server.address(), request, SECOND).await.unwrap()
    }

    async fn route(&self) -> Command {
        let header = GetRouteInfoHeader { topic: "t".into(), ..GetRouteInfoHeader::default() };
        self.ask(request::GET_ROUTEINFO_BY_TOPIC, &header, "").await
    }
}

fn registration(id: i64, address: &str) -> RegisterBrokerHeader {
    RegisterBrokerHeader {
        broker_name: "broker-a".into(),
        broker_addr: address.into(),
        cluster_name: "C".into(),
        ha_server_addr: format!("ha-{address}"),
        broker_id: id,
        heartbeat_timeout_millis: Some(10_000),
        ..RegisterBrokerHeader::default()
    }
}

#[tokio::test]
async fn registered_brokers_are_found_in_every_way() {
    let world = World::start().await;
    assert_eq!(world.route().await.code, response::TOPIC_NOT_EXIST);
    let header = RegisterBrokerHeader {
        body_crc32: (crc32fast::hash(BODY.as_bytes()) & 0x7fff_ffff) as i32,
        ..registration(0, "m:1")
    };
    assert_eq!(world.ask(request::REGISTER_BROKER, &header, BODY).await.code, response::SUCCESS);
    let slave = world.ask(request::REGISTER_BROKER, &registration(1, "s:1"), BODY).await;
    let learned: RegisterBrokerResponseHeader = slave.header().unwrap();
    assert_eq!((learned.master_addr.unwrap(), learned.ha_server_addr.unwrap()), ("m:1".into(), "ha-m:1".into()));

    let route = world.route().await;
    assert!(std::str::from_utf8(&route.body).unwrap().contains(r#""brokerAddrs":{"0":"m:1","1":"s:1"}"#));
    assert_eq!(from_json::<TopicRouteData>(&route.body).unwrap().queue_datas[0].write_queue_nums, 4);
    let header = GetBrokerMemberGroupHeader { cluster_name: "C".into(), broker_name: "broker-a".into() };
    let members = world.ask(request::GET_BROKER_MEMBER_GROUP, &header, "").await;
    let members: BrokerMemberGroupBody = from_json(&members.body).unwrap();
    assert_eq!(members.broker_member_group.broker_addrs.len(), 2);
    let info = Command::request(request::GET_BROKER_CLUSTER_INFO);
    let info = world.client.call("ns:1", info, SECOND).await.unwrap();
    assert!(from_json::<ClusterInfo>(&info.body).unwrap().broker_addr_table.contains_key("broker-a"));

    let header = UnregisterBrokerHeader {
        broker_name: "broker-a".into(),
        broker_addr: "m:1".into(),
        cluster_name: "C".into(),
        broker_id: 0,
    };
    world.ask(request::UNREGISTER_BROKER, &header, "").await;
    let route: TopicRouteData = from_json(&world.route().await.body).unwrap();
    assert!(!route.broker_datas[0].broker_addrs.contains_key(&0));
    world.server.shutdown().await;
}

#[tokio::test]
async fn a_bad_registration_is_refused_with_a_reason() {
    let world = World::start().await;
    let wrong_crc = RegisterBrokerHeader { body_crc32: 1, ..registration(0, "m:1") };
    let compressed = RegisterBrokerHeader { compressed: true, ..registration(0, "m:1") };
    for (header, body, code, reason) in [
        (wrong_crc, BODY, response::SYSTEM_ERROR, "CRC-32"),
        (compressed, BODY, response::INVALID_PARAMETER, "compressed"),
        (registration(0, "m:1"), "{", response::INVALID_PARAMETER, "JSON"),
    ] {
        let answer = world.ask(request::REGISTER_BROKER, &header, body).await;
        assert_eq!(answer.code, code);
        assert!(answer.remark.unwrap().contains(reason));
    }
    let header = GetRouteInfoHeader::default();
    assert_eq!(world.ask(-5, &header, "").await.code, response::REQUEST_CODE_NOT_SUPPORTED);
    let bare = Command::request(request::REGISTER_BROKER);
    let answer = world.client.call("ns:1", bare, SECOND).await.unwrap();
    assert_eq!(answer.remark.unwrap(), "header field `brokerName` is missing");
}

#[tokio::test]
async fn signs_of_life_keep_a_broker_and_silence_removes_it() {
    let world = World::start().await;
    world.ask(request::REGISTER_BROKER, &registration(0, "m:1"), BODY).await;
    tokio::time::sleep(6 * SECOND).await;
    let beat = BrokerHeartbeatHeader {
        cluster_name: "C".into(),
        broker_addr: "m:1".into(),
        broker_name: "broker-a".into(),
        broker_id: None,
    };
    let beat = Command::request(request::BROKER_HEARTBEAT).with_header(&beat);
    world.client.send_oneway("ns:1", beat, SECOND).await.unwrap();
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(world.route().await.code, response::SUCCESS);

    let header = QueryDataVersionHeader {
        broker_name: "broker-a".into(),
        broker_addr: "m:1".into(),
        cluster_name: "C".into(),
        broker_id: 0,
    };
    let version = from_json::<RegisterBrokerBody>(BODY.as_bytes()).unwrap().topic_config_serialize_wrapper.data_version;
    for (asked, changed) in [(version, false), (DataVersion::default(), true)] {
        let answer = world.ask(request::QUERY_DATA_VERSION, &header, serde_json::to_vec(&asked).unwrap()).await;
        assert_eq!(answer.header::<QueryDataVersionResponseHeader>().unwrap().changed, changed);
        assert_eq!(from_json::<DataVersion>(&answer.body).unwrap(), version);
    }
    tokio::time::sleep(9 * SECOND).await;
    assert_eq!(world.route().await.code, response::SUCCESS);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(world.route().await.code, response::TOPIC_NOT_EXIST);
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_a_typed_error() {
    struct NoNetwork;
    #[async_trait]
    impl crate::seams::Transport for NoNetwork {
        async fn connect(&self, _address: &str) -> io::Result<crate::seams::BoxStream> {
            Err(io::ErrorKind::Unsupported.into())
        }

        async fn bind(&self, _address: &str) -> io::Result<Box<dyn crate::seams::Listener>> {
            Err(io::ErrorKind::AddrInUse.into())
        }
    }
    let host = Host {
        transport: Arc::new(NoNetwork),
        clock: Arc::<SystemClock>::default(),
        disk: Arc::new(Nothing),
        blocking: Arc::new(Nothing),
    };
    let error = NameServer::start(host, NameServerConfig::default()).await.err().unwrap();
    assert_eq!(error.to_string(), "name server cannot listen on 0.0.0.0:9876");
}
