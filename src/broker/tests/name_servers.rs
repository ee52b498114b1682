//! Several name servers, which do not talk to each other: one is silent, or has heard less than another, or something else.

use super::{escape::escaping, *};
use crate::{model::route::RegisterBrokerBody, remoting::headers::RegisterBrokerHeader, seams::Transport as _};

const SILENT: &str = "10.0.0.98:9876";
const ANOTHER: &str = "10.0.0.99:9876";
const SLAVE: &str = "10.0.0.11:10911";

fn knowing(name_servers: &[&str], config: BrokerConfig) -> BrokerConfig {
    BrokerConfig { name_servers: name_servers.iter().map(|address| (*address).to_owned()).collect(), ..config }
}

async fn another(world: &World) -> NameServer {
    let config = NameServerConfig { listen: ANOTHER.into(), ..NameServerConfig::default() };
    NameServer::start(host(&MemoryDisk::default(), world.clock.clone(), &world.net), config).await.unwrap()
}

/// Pops at the master until its chains have a home.
async fn popped(world: &World) -> Vec<Delivered> {
    let wait = async {
        loop {
            let pop = Command::request(request::POP_MESSAGE).with_header(&popping("t"));
            let answer = world.ask(MASTER, pop).await;
            if answer.code == response::SUCCESS {
                return delivered(&popping("t"), &answer);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap()
}

#[tokio::test]
async fn a_silent_name_server_holds_nothing_up_at_another() {
    let world = World::new().await;
    let _silent = world.net.bind(SILENT).await.unwrap();
    let both = [SILENT, NAME_SERVER];
    let home = world.start(&MemoryDisk::default(), knowing(&both, config("broker-b", NEIGHBOUR))).await;
    let _a = world.start(&MemoryDisk::default(), escaping()).await;
    world.send("t", "m").await;
    let began = tokio::time::Instant::now();
    assert_eq!(
        bodies(&popped(&world).await),
        ["m"],
        "its chain is taken where the retry topic has to have a route first"
    );
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(home.shared.registration.is_registered());
}

#[tokio::test]
async fn whom_the_first_name_server_does_not_know_the_next_one_is_asked_for() {
    let world = World::new().await;
    let _another = another(&world).await;
    let _home = world.start(&MemoryDisk::default(), knowing(&[ANOTHER], config("broker-b", NEIGHBOUR))).await;
    let _a = world.start(&MemoryDisk::default(), knowing(&[NAME_SERVER, ANOTHER], escaping())).await;
    world.send("t", "m").await;
    assert_eq!(bodies(&popped(&world).await), ["m"]);
}

#[tokio::test]
async fn a_slave_that_is_told_of_two_masters_finds_the_one_that_is_there() {
    let world = World::new().await;
    let _another = another(&world).await;
    // The first name server knows the master where it was before.
    let before = RegisterBrokerHeader {
        broker_name: "broker-a".into(),
        broker_addr: "10.0.0.77:10911".into(),
        cluster_name: "DefaultCluster".into(),
        ..RegisterBrokerHeader::default()
    };
    let body = serde_json::to_vec(&RegisterBrokerBody::default()).unwrap();
    let register = Command::request(request::REGISTER_BROKER).with_header(&before).with_body(body);
    assert_eq!(world.ask(NAME_SERVER, register).await.code, response::SUCCESS);
    let master = world.start(&MemoryDisk::default(), knowing(&[ANOTHER], config("broker-a", MASTER))).await;
    let slave = BrokerConfig { id: 1, ..config("broker-a", SLAVE) };
    let slave = world.start(&MemoryDisk::default(), knowing(&[NAME_SERVER, ANOTHER], slave)).await;
    world.send("t", "m").await;
    let last_index = |broker: &Broker| broker.shared.store.durable().unwrap().last_index().unwrap();
    let wait = async {
        while last_index(&slave) < last_index(&master) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
}
