//! Boots the nodes of a scenario: name server, brokers, producers, consumers, operator, slaves.

use std::{sync::Arc, time::Duration};

use pop_revive::{
    broker::{Broker, BrokerConfig, RetentionConfig},
    namesrv::{NameServer, NameServerConfig},
    revive::RewritePolicy,
    seams::Host,
};

use rand::RngExt as _;

use super::observer::Observer;
use crate::{
    plan::{DiskOperation, NodeName},
    random::Streams,
    scenario::{Broker as BrokerSpec, FaultKind, FaultSpec, Scenario},
    workload::{Begun, Endpoint, Kept, Recorder, consumer, operator, producer, scraper},
    world::{StopSignal, World, tap::NodeEvent},
};

/// How long a node that is asked to stop may finish what it has begun.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// How long a node that cannot start waits before it tries again, as a process supervisor does.
const RESTART_WAIT: Duration = Duration::from_secs(1);
/// How many rows a broker's store keeps back before it settles them; each seed draws one for each broker, so that
/// crashes meet stores that settle all the time and stores that never did.
const RECENT_ROWS: [usize; 4] = [32, 256, 1024, 4096];
/// How long a slave reads a damaged store again, ms; each seed draws one for each member: what does not last is waited out or
/// not.
const BEGINS_ANEW_AFTER_MS: [u64; 2] = [20_000, 120_000];
/// Whichever address the node has: it may get another one.
const ANY_ADDRESS: &str = "0.0.0.0";
/// Port of name servers.
const NAME_SERVER_PORT: u16 = 9876;
/// Port of brokers.
const BROKER_PORT: u16 = 10911;
/// Port of metrics and health.
const PAGES_PORT: u16 = 5557;
/// The operator's node.
pub const OPERATOR: &str = "operator";

/// Addresses by node.
pub struct Addresses {
    /// Of all name servers, in order.
    name_servers: Vec<String>,
}

impl Addresses {
    fn of(scenario: &Scenario) -> Self {
        let listen = |at: usize| format!("{}:{NAME_SERVER_PORT}", Self::name_server(at));
        Self { name_servers: (0..scenario.name_servers().count()).map(listen).collect() }
    }

    /// In which order a client asks them: each begins with another one.
    fn asked_by(&self, client: usize) -> Vec<String> {
        let (before, from) = self.name_servers.split_at(client % self.name_servers.len());
        [from, before].concat()
    }

    fn name_server(index: usize) -> String {
        format!("10.0.0.{}", index + 1)
    }

    fn broker(index: usize) -> String {
        format!("10.0.1.{}", index + 1)
    }

    fn slave(number: usize) -> String {
        format!("10.0.4.{}", number + 1)
    }
}

/// A member of a replica group.
struct Member<'s> {
    broker: &'s BrokerSpec,
    /// 0 is the master.
    id: u32,
    node: NodeName,
}

impl<'s> Member<'s> {
    fn master(scenario: &'s Scenario, index: usize) -> Self {
        let broker = &scenario.brokers[index];
        Self { broker, id: 0, node: broker.name.clone() }
    }

    /// The slaves of all brokers, each with its address.
    fn slaves(scenario: &'s Scenario) -> impl Iterator<Item = (Self, String)> {
        let slaves = scenario.brokers.iter().flat_map(|broker| broker.slaves().map(move |slave| (broker, slave)));
        slaves.enumerate().map(|(number, (broker, (id, node)))| (Self { broker, id, node }, Addresses::slave(number)))
    }
}

/// Adds and starts every node of the scenario.
pub fn start(world: &World, scenario: &Scenario, observer: &Arc<Observer>) {
    let addresses = Addresses::of(scenario);
    for (index, name) in scenario.name_servers().enumerate() {
        world.add_node(&name, &Addresses::name_server(index));
    }
    for (index, broker) in scenario.brokers.iter().enumerate() {
        world.add_node(&broker.name, &Addresses::broker(index));
        if is_mended(scenario, broker) {
            world.spare_entries(&broker.name);
        }
    }
    let clients = scenario.producers.iter().map(|p| &p.name).chain(scenario.consumers.iter().map(|c| &c.name));
    for (index, name) in clients.enumerate() {
        world.add_node(name, &format!("10.0.2.{}", index + 1));
    }
    world.add_node(OPERATOR, "10.0.3.1");
    for (slave, ip) in Member::slaves(scenario) {
        world.add_node(&slave.node, &ip);
    }
    for (name, listen) in scenario.name_servers().zip(&addresses.name_servers) {
        start_name_server(world, &name, listen);
    }
    for index in 0..scenario.brokers.len() {
        start_member(world, scenario, &Member::master(scenario, index), &addresses);
    }
    start_clients(world, scenario, &addresses, observer);
    for (slave, _) in Member::slaves(scenario) {
        start_member(world, scenario, &slave, &addresses);
    }
}

fn start_name_server(world: &World, node: &str, listen: &str) {
    let listen = listen.to_owned();
    world.start(node, move |host, stop| {
        let listen = listen.clone();
        async move {
            let config = NameServerConfig { listen, ..NameServerConfig::default() };
            match NameServer::start(host, config).await {
                Ok(server) => {
                    stop.cancelled().await;
                    server.shutdown().await;
                }
                Err(error) => tracing::error!(%error, "the name server does not start"),
            }
        }
    });
}

/// Whether a broker without slaves goes on with what is left of its store. Elsewhere it waits for its disk to read rightly again:
/// what it has lost for good nobody could tell from what it must not lose.
fn is_mended(scenario: &Scenario, broker: &BrokerSpec) -> bool {
    let rots = |fault: &FaultSpec| match &fault.what {
        FaultKind::DiskError { node, operation: DiskOperation::Rot, .. } => *node == broker.name,
        _ => false,
    };
    broker.slaves == 0 && scenario.faults.iter().any(rots)
}

/// How a member is set up: a slave as its master, but for who it is.
fn config(scenario: &Scenario, member: &Member<'_>, streams: &Streams, addresses: &Addresses) -> BrokerConfig {
    let Member { broker, id, node } = member;
    let mut config =
        BrokerConfig::new(&broker.name, format!("{ANY_ADDRESS}:{BROKER_PORT}"), addresses.name_servers.clone());
    config.id = u64::from(*id);
    // A slave keeps nobody's chains and hands none over.
    config.escape_to = broker.escapes_to.clone().filter(|_| *id == 0);
    config.acting_to.clone_from(&broker.acting_to);
    if broker.acting_to.is_some() {
        config.acting_slaves = u64::from(broker.slaves);
    }
    config.degree = broker.degree;
    config.chain_window_ms = broker.chain_window_ms;
    config.retention = RetentionConfig { age_ms: broker.retention.age_ms, bytes: broker.retention.bytes };
    let mut knobs = streams.stream(&format!("knobs/{node}"));
    config.recent_rows = RECENT_ROWS[knobs.random_range(0..RECENT_ROWS.len())];
    config.begins_anew_after_ms = BEGINS_ANEW_AFTER_MS[knobs.random_range(0..BEGINS_ANEW_AFTER_MS.len())];
    config.salvages_after_ms = if is_mended(scenario, broker) { config.begins_anew_after_ms } else { 0 };
    config.metrics_listen = Some(format!("{ANY_ADDRESS}:{PAGES_PORT}"));
    config.auto_create_topics = false;
    config.policy = RewritePolicy {
        waits_ms: scenario.policy.waits_ms.clone(),
        rewrites: scenario.policy.rewrites,
        total_ms: scenario.policy.total_ms,
        jitter: scenario.policy.jitter,
        refusals: scenario.policy.refusals,
    };
    config
}

fn start_member(world: &World, scenario: &Scenario, member: &Member<'_>, addresses: &Addresses) {
    let (config, node) = (config(scenario, member, world.streams(), addresses), &member.node);
    // A check of the scenario is missing, and nothing would ever happen in this run.
    config.check().unwrap_or_else(|error| panic!("{node} cannot be set up as the scenario says: {error}"));
    let (on, name) = (world.clone(), node.clone());
    world.start(node, move |host, stop| run_broker(host, config.clone(), (on.clone(), name.clone()), stop));
}

/// Runs a broker until it is asked to stop, and keeps trying when it cannot start.
async fn run_broker(host: Host, config: BrokerConfig, (world, node): (World, NodeName), stop: StopSignal) {
    loop {
        world.goes_by_its_clock(&node);
        let started = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            started = Broker::start(host.clone(), config.clone()) => started,
        };
        match started {
            Ok(broker) => {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return broker.shutdown(STOP_DEADLINE).await,
                    () = broker.has_to_restart() => {
                        broker.shutdown(STOP_DEADLINE).await;
                        world.tap_node(&node, NodeEvent::Restarted);
                    }
                }
            }
            Err(error) => tracing::error!(broker = config.name, %error, "the broker does not start"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RESTART_WAIT) => {}
        }
    }
}

fn start_clients(world: &World, scenario: &Scenario, addresses: &Addresses, observer: &Arc<Observer>) {
    let recorder = Recorder::of(world, observer.clone());
    start_operator(world, scenario, &recorder, observer);
    for (at, spec) in scenario.producers.iter().enumerate() {
        let (spec, recorder, begun) = (spec.clone(), recorder.clone(), Begun::default());
        let (name_servers, observer) = (addresses.asked_by(at), observer.clone());
        let name = spec.name.clone();
        world.start_workload(&name, move |host, rng, stop| {
            let run =
                producer::run(host, spec.clone(), name_servers.clone(), rng, recorder.clone(), begun.clone(), stop);
            let (name, observer) = (spec.name.clone(), observer.clone());
            async move {
                run.await;
                observer.done(&name);
            }
        });
    }
    for (at, spec) in scenario.consumers.iter().enumerate() {
        let Some(group) = scenario.groups.iter().find(|group| group.name == spec.group).cloned() else { continue };
        let (spec, recorder, name_servers) = (spec.clone(), recorder.clone(), addresses.asked_by(at));
        let (name, kept) = (spec.name.clone(), Kept::default());
        world.start_workload(&name, move |host, rng, stop| {
            let (who, kept) = ((spec.clone(), group.clone()), kept.clone());
            consumer::run(host, who, name_servers.clone(), rng, recorder.clone(), kept, stop)
        });
    }
}

fn start_operator(world: &World, scenario: &Scenario, recorder: &Recorder, observer: &Arc<Observer>) {
    let name = |index: usize| scenario.brokers[index].name.clone();
    let endpoint = |index| Endpoint { name: name(index), address: format!("{}:{BROKER_PORT}", name(index)) };
    let brokers: Vec<Endpoint> = (0..scenario.brokers.len()).map(endpoint).collect();
    let cluster = operator::Cluster { topics: scenario.topics.clone(), groups: scenario.groups.clone(), brokers };
    let shown = |at: &Endpoint| Endpoint { name: at.name.clone(), address: format!("{}:{PAGES_PORT}", at.name) };
    let watched: Vec<Endpoint> = cluster.brokers.iter().map(shown).collect();
    // Drawn and changed scenarios, as files, say what is done in any order.
    let mut steps = scenario.operators.clone();
    steps.sort_by_key(|step| step.at_ms);
    let (recorder, observer) = (recorder.clone(), observer.clone());
    world.start_workload(OPERATOR, move |host, _, stop: StopSignal| {
        let (cluster, steps, watched) = (cluster.clone(), steps.clone(), watched.clone());
        let (recorder, observer) = (recorder.clone(), observer.clone());
        async move {
            if let Err(error) = operator::setup(&host, &cluster, &recorder).await {
                tracing::error!(%error, "the cluster could not be set up");
            }
            let watching = scraper::run(host.clone(), watched, recorder.clone(), stop.clone());
            let operating = async {
                operator::run(host, steps, &cluster, recorder, stop).await;
                observer.done(OPERATOR);
            };
            tokio::join!(operating, watching);
        }
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TEXT: &str = r#"summary = "x"
duration = "1h"
[[broker]]
name = "a"
slaves = 2
escapes_to = "b"
retention = { age = "2m" }
[[broker]]
name = "b"
slaves = 1
[[topic]]
name = "t"
"#;

    #[test]
    fn a_slave_is_set_up_as_its_master_but_for_who_it_is() {
        let scenario = Scenario::parse("x", "x.toml", TEXT).unwrap();
        let addresses = Addresses::of(&scenario);
        let slaves: Vec<_> = Member::slaves(&scenario).collect();
        let places: Vec<_> = slaves.iter().map(|(slave, ip)| (&*slave.node, &**ip)).collect();
        let expected = [("a-s1", "10.0.4.1"), ("a-s2", "10.0.4.2"), ("b-s1", "10.0.4.3")];
        assert_eq!(places, expected);
        let master = config(&scenario, &Member::master(&scenario, 0), &Streams::new(1), &addresses);
        let slave = config(&scenario, &slaves[1].0, &Streams::new(1), &addresses);
        assert_eq!(
            (master.id, slave.id, master.escape_to.as_deref(), slave.escape_to.as_deref()),
            (0, 2, Some("b"), None)
        );
        let like_master = BrokerConfig {
            id: 0,
            escape_to: master.escape_to.clone(),
            recent_rows: master.recent_rows,
            begins_anew_after_ms: master.begins_anew_after_ms,
            ..slave
        };
        assert_eq!(like_master, master);
    }

    #[test]
    fn what_a_human_does_is_done_in_order_of_time_however_it_is_told() {
        let [reset, delete, create] = [
            "[[operator]]\nat = '1m'\ndo = 'reset-offset'\ngroup = 'g'\n",
            "[[operator]]\nat = '2m'\ndo = 'delete-topic'\ntopic = 't'\n",
            "[[operator]]\nat = '3m'\ndo = 'create-topic'\ntopic = 't'\n",
        ];
        let cast = "summary = 'x'\nduration = '4m'\n[[broker]]\nname = 'a'\n[[topic]]\nname = 't'\n\
                    [[group]]\nname = 'g'\ntopic = 't'\n";
        let fingerprint = |steps: [&str; 3]| {
            let scenario = Arc::new(Scenario::parse("x", "x.toml", &format!("{cast}{}", steps.concat())).unwrap());
            crate::run::run_seed(crate::run::SeedRun { scenario, seed: 1, sabotage: None, until_ms: None })
                .unwrap()
                .fingerprint
        };
        assert_eq!(fingerprint([create, reset, delete]), fingerprint([reset, delete, create]));
        assert_ne!(fingerprint([reset, delete, create]), fingerprint([delete, create, ""]));
    }
}
