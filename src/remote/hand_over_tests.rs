//! What goes to another group about a chain, and which of its answers confirm it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI32, Ordering::SeqCst},
};

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::{
    model::chain::LogPosition,
    remote::{neighbours::NeighboursConfig, routes::Routes},
    remoting::{Client, ClientConfig, Handler, Peer, Server, ServerConfig, code, memory_transport::MemoryTransport},
    revive::samples::{DUE_MS, OTHER, OWN, POPPED_MS, chain},
    seams::{Transport, memory_host::StandingClock},
};

const ADDRESS: &str = "10.0.0.2:10911";

/// A name server and broker in one that answers everything with one code.
struct FakeHome {
    code: AtomicI32,
    heard: Mutex<Vec<Command>>,
}

#[async_trait]
impl Handler for FakeHome {
    async fn handle(&self, _: &Peer, request: Command) -> Command {
        if request.code == request::GET_BROKER_CLUSTER_INFO {
            let route = r#"{"brokerAddrTable":{"broker-b":{"brokerAddrs":{"0":"10.0.0.2:10911"},"brokerName":"broker-b","cluster":"C"},"broker-c":{"brokerAddrs":{"0":"10.0.0.3:10911"},"brokerName":"broker-c","cluster":"C"}},"clusterAddrTable":{}}"#;
            return Command::response(response::SUCCESS).with_body(route);
        }
        self.heard.lock().unwrap().push(request);
        Command::response(self.code.load(SeqCst))
    }
}

/// The neighbours of a broker whose only living one is the fake.
async fn neighbours() -> (Neighbours, Arc<FakeHome>, Server) {
    let net = MemoryTransport::default();
    let home = Arc::new(FakeHome { code: AtomicI32::new(response::SUCCESS), heard: Mutex::default() });
    let server = Server::start(net.bind(ADDRESS).await.unwrap(), home.clone(), ServerConfig::default());
    let client = Arc::new(Client::new(Arc::new(net), ClientConfig::default()));
    let routes = Routes::new(client.clone(), vec![ADDRESS.into()]);
    let config = NeighboursConfig {
        own_broker: OWN.into(),
        own_id: 0,
        cluster: "C".into(),
        read_timeout_ms: 500,
        hand_over_timeout_ms: 500,
        peers: crate::remote::BreakerConfig::default(),
    };
    (Neighbours::new(client, routes, StandingClock::at(POPPED_MS), config), home, server)
}

fn moving() -> Chain {
    Chain { state: ChainState::Moving { to: OTHER.into(), due_ms: 0, revive_ms: DUE_MS }, ..chain(OWN) }
}

/// Known defects A07, A26, B12: a success of the other group is one, and nothing else is: "stored, but not flushed"
/// (or not replicated) confirms nothing, and asking again is harmless.
#[tokio::test]
async fn only_a_plain_success_confirms_a_hand_over_an_ack_or_a_renewal() {
    let (neighbours, home, _server) = neighbours().await;
    let header = ChangeInvisibleHeader { topic: "t".into(), ..ChangeInvisibleHeader::default() };
    for (name, code) in code::response::ALL {
        home.code.store(*code, SeqCst);
        let plain = *code == response::SUCCESS;
        assert_eq!(neighbours.hand_chains_over(OTHER, &[moving()]).await.is_ok(), plain, "{name}");
        assert_eq!(neighbours.ack_elsewhere(OTHER, &moving().id).await.is_ok(), plain, "{name}");
        // Not even a success renews without the new handle's fields.
        let over = *code == response::NO_MESSAGE;
        assert_eq!(neighbours.renew_elsewhere(OTHER, &header).await.is_ok(), over, "{name}");
    }
}

/// Known defects A04, A29: no route, nobody there, and nothing to hand over are answers like any other, not absences to
/// stumble over.
#[tokio::test]
async fn a_group_that_is_not_there_is_a_typed_failure() {
    let (neighbours, home, _server) = neighbours().await;
    let cause = async |to: &str| neighbours.hand_chains_over(to, &[moving()]).await.unwrap_err().cause;
    assert_eq!(cause("nowhere").await, Cause::NoRoute);
    assert_eq!(cause("broker-c").await, Cause::Refused);
    assert_eq!(neighbours.ack_elsewhere("nowhere", &moving().id).await.unwrap_err().cause, Cause::NoRoute);
    assert_eq!(neighbours.hand_chains_over("nowhere", &[]).await, Ok(()));
    assert!(home.heard.lock().unwrap().is_empty());
    let (client, clock) = (neighbours.client.clone(), neighbours.clock.clone());
    let nobody_to_ask = Routes::new(client.clone(), Vec::new());
    let without_name_server = Neighbours::new(client, nobody_to_ask, clock, neighbours.config.clone());
    let failed = without_name_server.hand_chains_over(OTHER, &[moving()]).await.unwrap_err();
    assert_eq!(failed.cause, Cause::NoRoute);
}

/// Known defects A34, A36: an ack that goes on to another group names the owner of the message and every other part of
/// the chain's identity. Without the broker name it would match nothing over there.
#[tokio::test]
async fn an_ack_that_goes_on_names_the_whole_chain() {
    let (neighbours, home, _server) = neighbours().await;
    let id = ChainId { queue: 200, offset: 1 << 33, term: 7, topic: "%RETRY%g+t".into(), ..chain("broker-z").id };
    neighbours.ack_elsewhere(OTHER, &id).await.unwrap();
    let body = AckBody::parse(&home.heard.lock().unwrap()[0].body).unwrap();
    let named = ChainId {
        broker: body.broker_name.clone().unwrap(),
        topic: body.topic.clone(),
        queue: body.queue_id,
        offset: body.acked_offsets()[0],
        group: body.consumer_group.clone(),
        pop_time: body.pop_time,
        term: body.term,
    };
    assert_eq!((named, body.acked_offsets().len()), (id, 1));
}

prop_compose! {
    /// Chains of one pop of one queue.
    fn popped()(
        (broker, topic, group) in ("[a-z-]{1,9}", "[%a-zA-Z_+]{1,9}", "[a-z]{1,9}"),
        (queue, start, pop_time, term) in (0..i32::MAX, 0..i64::MAX / 2, 0..i64::MAX / 4, 0..u64::MAX),
        distances in prop::collection::btree_set(0..i32::MAX, 1..=32),
        (invisible_ms, reconsume_limit, round, generation) in (1..259_200_000i64, 0..99i32, 0..9u32, 0..9u32),
        epoch in (any::<u64>(), any::<u64>()), (hop, attempt, left_ms) in (0..u32::MAX, 1..30u32, -9..99_999i64),
    ) -> Vec<Chain> {
        let state = ChainState::Moving { to: OTHER.into(), due_ms: 0, revive_ms: POPPED_MS + left_ms };
        let (broker, topic, group) = (&broker, &topic, &group);
        distances.iter().map(|distance| Chain {
            id: ChainId {
                broker: broker.clone(), topic: topic.clone(), group: group.clone(), queue, pop_time, term,
                offset: start + i64::from(*distance),
            },
            topic_epoch: LogPosition { term: epoch.0, index: epoch.1 },
            invisible_ms, reconsume_limit, round, generation, hop, attempt, state: state.clone(),
            ..chain(OWN)
        }).collect()
    }
}

proptest! {
    /// Known defects A17, A41, A44, A68, C04, C05: what a checkpoint says is what the chains are: owner, topic, queue (all
    /// 31 bits of it), offsets, pop, term, topic epoch, and the time that is left, which is never negative.
    #[test]
    fn a_checkpoint_says_everything_about_its_chains(chains in popped()) {
        let first = &chains[0];
        let written = checkpoint_of(first, &chains, POPPED_MS).to_json();
        let read = CheckpointBody::parse(&written).unwrap();
        let ours = read.extension.clone().unwrap();
        let id = |offset| ChainId {
            broker: read.broker_name.clone().unwrap_or_default(), topic: read.topic.clone(), queue: read.queue_id, offset,
            group: read.consumer_group.clone(), pop_time: read.pop_time, term: ours.term,
        };
        let named: Vec<ChainId> = read.unacked_offsets().into_iter().map(id).collect();
        prop_assert_eq!(named, chains.iter().map(|chain| chain.id.clone()).collect::<Vec<_>>());
        prop_assert_eq!(read.invisible_time, first.invisible_ms);
        let state = (ours.round, ours.generation, ours.hop, ours.reconsume_limit);
        let told = (first.round, first.generation, first.hop.saturating_add(1), first.reconsume_limit);
        prop_assert_eq!(state, told);
        let epoch = LogPosition { term: ours.topic_epoch_term, index: ours.topic_epoch_index };
        prop_assert_eq!(epoch, first.topic_epoch);
        let ChainState::Moving { revive_ms, .. } = first.state else { unreachable!() };
        prop_assert_eq!(ours.remaining_ms, (revive_ms - POPPED_MS).max(0));
        prop_assert_eq!(read.attempts(), first.attempt - 1);
    }
}
