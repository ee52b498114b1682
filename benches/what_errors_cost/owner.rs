//! The messages' owner, and a name server that knows it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pop_revive::{
    model::chain::LogPosition,
    remote::{
        BreakerConfig, Neighbours,
        neighbours::NeighboursConfig,
        read::{HOLDER_TERM, TOPIC_EPOCH, position_text},
        routes::Routes,
    },
    remoting::{
        Client, ClientConfig, Command, Handler, Peer, Server, ServerConfig,
        code::{request, response},
        headers::pull::{PullMessageHeader, PullMessageResponseHeader},
    },
    seams::{Clock, Transport as _},
};

use super::{
    CHAINS,
    baseline::PlainPeers,
    machine::{
        Pipes,
        chains::{OWN, message},
    },
};

const ADDRESS: &str = "10.0.0.2:10911";
const ROUTE: &str = r#"{"brokerAddrTable":{"broker-b":{"brokerAddrs":{"0":"10.0.0.2:10911"},"brokerName":"broker-b","cluster":"C"}},"clusterAddrTable":{}}"#;

/// Answers every read with the messages.
struct Messages(Vec<Bytes>);

#[async_trait]
impl Handler for Messages {
    async fn handle(&self, _: &Peer, request: Command) -> Command {
        if request.code == request::GET_BROKER_CLUSTER_INFO {
            return Command::response(response::SUCCESS).with_body(ROUTE);
        }
        let asked: PullMessageHeader = request.header().unwrap_or_else(|error| panic!("{error}"));
        let mut body = BytesMut::new();
        let first = asked.queue_offset as usize;
        self.0[first..first + asked.max_msg_nums as usize].iter().for_each(|stored| body.extend_from_slice(stored));
        let header = PullMessageResponseHeader { max_offset: CHAINS, ..PullMessageResponseHeader::default() };
        let mut answer = Command::response(response::SUCCESS).with_header(&header).with_body(body.freeze());
        answer.ext.insert(HOLDER_TERM.into(), "1".into());
        answer.ext.insert(TOPIC_EPOCH.into(), position_text(LogPosition { term: 1, index: 1 }));
        answer
    }
}

/// The owner, running.
pub struct Owner {
    net: Pipes,
    _server: Server,
}

impl Owner {
    pub async fn start() -> Self {
        let net = Pipes::default();
        let listener = net.bind(ADDRESS).await.unwrap_or_else(|error| panic!("{error}"));
        let stored = |offset| message(offset).encode().unwrap_or_else(|error| panic!("{error}"));
        let messages = Messages((0..CHAINS).map(stored).collect());
        Self { net, _server: Server::start(listener, Arc::new(messages), ServerConfig::default()) }
    }

    fn client(&self) -> Arc<Client> {
        Arc::new(Client::new(Arc::new(self.net.clone()), ClientConfig::default()))
    }

    /// As the broker sees it.
    pub fn neighbours(&self, clock: Arc<dyn Clock>) -> Neighbours {
        let (client, own_broker, cluster) = (self.client(), OWN.to_owned(), "C".to_owned());
        let routes = Routes::new(client.clone(), vec![ADDRESS.into()]);
        let (read_timeout_ms, hand_over_timeout_ms) = (10_000, 3_000);
        let peers = BreakerConfig::default();
        let config = NeighboursConfig { own_broker, own_id: 0, cluster, read_timeout_ms, hand_over_timeout_ms, peers };
        Neighbours::new(client, routes, clock, config)
    }

    /// As it would look if nothing could fail.
    pub fn plain(&self) -> PlainPeers {
        let client = self.client();
        let routes = Routes::new(client.clone(), vec![ADDRESS.into()]);
        PlainPeers { client, routes, under_way: Default::default() }
    }
}
