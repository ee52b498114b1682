//! A broker: requests in, steps on the store, answers out; and the services that drive its chains and timers.

mod ack;
mod acting;
mod arrivals;
mod begin_anew;
mod catch_up;
mod change_invisible;
mod config;
mod dispatch;
mod filter;
mod follower;
mod forgetting;
mod in_sync;
mod lease;
mod master_clock;
mod observe;
mod offsets;
mod open_store;
pub mod parked;
mod pop;
mod pop_step;
mod pull;
mod refusal;
mod registration;
mod replicate;
mod retention;
mod revive_message;
mod send;
mod shared;
mod take_back;
mod take_timers;
mod timer;
mod topics;
mod turns;

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::{
    ack::{ACK_OUTCOMES, UNCONFIRMED, UNKNOWN},
    config::{BrokerConfig, ConfigError, RetentionConfig},
    offsets::OFFSETS,
    refusal::Refusal,
    topics::TOPICS,
};
use self::{
    acting::Acting,
    arrivals::Arrivals,
    catch_up::CatchingUp,
    follower::Following,
    in_sync::InSync,
    lease::Leasing,
    master_clock::MasterClock,
    open_store::{has_remedy, open_store},
    registration::{Identity, Registration},
    shared::Shared,
    take_back::TakingBack,
    turns::Turns,
};
use crate::{
    metrics::{Metrics, http::MetricsServer},
    model::record::{LogEntry, Record},
    remote::{Neighbours, neighbours::NeighboursConfig, routes::Routes},
    remoting::{Client, ClientConfig, Peer, Server, ServerConfig},
    revive::{self, Peers, ReviveConfig, ReviveService, Reviver, apply::Home, steps::grant::Granted},
    sabotage,
    seams::{Clock, Host, steady_clock::SteadyClock},
    sometimes,
    store::{CommitListener, Damage, Lease, SalvageError, Store, StoreConfig, StoreError, Tables as _},
    wake::Wake,
};

/// A broker that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Its configuration.
    #[error("the configuration is wrong")]
    Config(#[from] ConfigError),
    /// Its store.
    #[error("the store does not open")]
    Store(#[from] StoreError),
    /// Its store is damaged, and the disk does not set it aside.
    #[error("the store is damaged, and cannot be set aside: {cause}")]
    SetAside {
        /// What is wrong with it.
        #[source]
        damage: Damage,
        /// What the disk said.
        cause: std::io::Error,
    },
    /// Its store is damaged, and what is left of it cannot be put together.
    #[error("the store is damaged ({damage}), and nothing was salvaged")]
    Salvage {
        /// What is wrong with it.
        damage: Damage,
        /// What the attempt came to.
        #[source]
        cause: SalvageError,
    },
    /// Its address.
    #[error("cannot listen on {address:?}")]
    Listen {
        /// The address.
        address: String,
        /// What the network said.
        #[source]
        cause: std::io::Error,
    },
    /// The address that others are told.
    #[error("{address:?} is no address that others can connect to: expected IP:port")]
    Address {
        /// The address.
        address: String,
    },
}

/// A running broker.
pub struct Broker {
    shared: Arc<Shared>,
    server: Server,
    client: Arc<Client>,
    services: Vec<tokio::task::JoinHandle<()>>,
    metrics: Option<MetricsServer>,
}

/// What a commit has to wake, and who counts it; filled once all of it exists.
struct Woken {
    metrics: Arc<Metrics>,
    /// What becomes true here was decided and told elsewhere.
    is_slave: bool,
    /// While it is set, what becomes true here was true before, and was told then.
    may_lack: Arc<AtomicBool>,
    arrivals: Arc<Arrivals>,
    revive: Arc<Wake>,
    timers: Arc<Wake>,
    retention: Arc<Wake>,
    forgetting: Arc<Wake>,
    merged: Arc<Wake>,
    /// How long after it was over a chain is forgotten, ms.
    forgotten_after_ms: i64,
    /// How long after a commit it is looked for what has expired, ms.
    expired_lies_ms: i64,
    /// It holds the store, whose listener holds this.
    registration: OnceLock<Weak<Registration>>,
}

impl Woken {
    /// What was decided and never confirmed is taken back, so that it is due once more; and what was not to be forgotten
    /// may be.
    fn begins_anew(&self) {
        for sleeper in [&self.revive, &self.timers, &self.retention, &self.forgetting, &self.merged] {
            sleeper.due(0);
        }
    }
}

impl Broker {
    /// Opens the store (recovering it if need be), listens, registers, and takes up every chain and timer that is due.
    ///
    /// # Errors
    /// The configuration, the store or the address is unusable.
    pub async fn start(mut host: Host, config: BrokerConfig) -> Result<Self, BrokerError> {
        config.check()?;
        let wall = host.clock;
        let clock = Arc::new(SteadyClock::new(wall.clone()));
        host.clock = clock.clone();
        let woken = Arc::new(Woken {
            metrics: Arc::default(),
            is_slave: config.is_slave(),
            may_lack: Arc::new(AtomicBool::new(config.may_lack())),
            arrivals: Arc::default(),
            revive: Arc::default(),
            timers: Arc::default(),
            retention: Arc::default(),
            forgetting: Arc::default(),
            merged: Arc::default(),
            forgotten_after_ms: forgetting::forgotten_after_ms(config.chain_window_ms),
            expired_lies_ms: config.retention.lies_ms(),
            registration: OnceLock::new(),
        });
        let lease = (!config.is_slave() && config.grants().is_some()).then(|| Arc::new(Lease::new(host.clock.clone())));
        let store_config = StoreConfig {
            lease: lease.clone(),
            may_lack: woken.may_lack.clone(),
            confirms: config.confirms(),
            recent_rows: config.recent_rows,
            commits: woken.metrics.commits.clone(),
            ..StoreConfig::default()
        };
        let store = open_store(&host, &config, &store_config, &listener(woken.clone())).await?;
        if !sabotage!("clock-begins-anew") {
            clock.not_before(store.durable()?.last_at_ms()?);
        }
        if !config.is_slave() {
            observe::began(&woken.metrics, &store, host.clock.now_ms())?;
        }
        let listen = |cause| BrokerError::Listen { address: config.listen.clone(), cause };
        let bound = host.transport.bind(&config.listen).await.map_err(listen)?;
        let advertised = config.advertise.clone().unwrap_or_else(|| bound.local_address());
        let usable = |address: &SocketAddr| !address.ip().is_unspecified() && address.port() != 0;
        let address: SocketAddr = (advertised.parse().ok().filter(usable))
            .ok_or_else(|| BrokerError::Address { address: advertised.clone() })?;
        let client = Arc::new(Client::new(host.transport.clone(), ClientConfig::default()));
        let shared = Arc::new(assemble((host, wall, clock), config, address, (store, lease), &client, &woken));
        let _ = woken.registration.set(Arc::downgrade(&shared.registration)); // set once, here
        let metrics = observe::serve(&shared).await?;
        let server = Server::start(bound, shared.clone(), ServerConfig::default());
        let services = start_services(&shared, &woken);
        tracing::info!(broker = %shared.config.name, %address, "broker is up");
        Ok(Self { shared, server, client, services, metrics })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Where it serves metrics and health, if it does.
    #[must_use]
    pub fn metrics_address(&self) -> Option<&str> {
        self.metrics.as_ref().map(MetricsServer::address)
    }

    /// Waits until this broker has to be shut down and started again: its store is damaged, and only the start does something
    /// about that. For ever where it is left to an operator.
    pub async fn has_to_restart(&self) {
        match has_remedy(&self.shared.config) && !sabotage!("damaged-stays-closed") {
            true => {
                self.shared.store.damaged().await;
                sometimes!("damaged-while-open");
            }
            false => std::future::pending().await,
        }
    }

    /// Ends long polls, finishes the requests under way within `deadline`, leaves the name servers, and closes the
    /// store. Attempts under way are durable and are taken up at the next start.
    pub async fn shutdown(self, deadline: Duration) {
        self.shared.stop.cancel();
        self.server.shutdown(deadline).await;
        for service in self.services {
            // A service that does not end in time is cut off by the closing store.
            let _ = tokio::time::timeout(deadline, service).await;
        }
        self.shared.store.close().await;
        self.client.close();
    }
}

fn assemble(
    (host, wall, steady): (Host, Arc<dyn Clock>, Arc<SteadyClock>),
    config: BrokerConfig,
    address: SocketAddr,
    (store, lease): (Store, Option<Arc<Lease>>),
    client: &Arc<Client>,
    woken: &Woken,
) -> Shared {
    let routes = Routes::new(client.clone(), config.name_servers.clone());
    let neighbours_config = NeighboursConfig {
        own_broker: config.name.clone(),
        own_id: config.id,
        cluster: config.cluster.clone(),
        read_timeout_ms: config.read_timeout_ms,
        hand_over_timeout_ms: config.hand_over_timeout_ms,
        peers: config.peers,
    };
    let neighbours = Arc::new(Neighbours::new(client.clone(), routes, host.clock.clone(), neighbours_config));
    let engine = Arc::new(Reviver {
        own_broker: config.name.clone(),
        policy: config.policy.clone(),
        attempt_limit_ms: config.attempt_limit_ms(),
    });
    let home = Home { broker: config.name.clone(), store_host: address, engine };
    let peers: Arc<dyn Peers> = neighbours.clone();
    let revive = ReviveService::new(
        home.clone(),
        store.clone(),
        host.clock.clone(),
        peers,
        woken.revive.clone(),
        ReviveConfig { longest_wait: Duration::from_millis(config.policy.longest_ms()), ..ReviveConfig::default() },
    );
    let identity = Identity {
        broker: config.name.clone(),
        id: config.id,
        cluster: config.cluster.clone(),
        address: address.to_string(),
        acts: config.acting_to.is_some(),
        name_servers: config.name_servers.clone(),
        every: Duration::from_millis(config.register_every_ms),
    };
    let in_sync = InSync::new(config.degree);
    let has_log = store.durable().and_then(|view| view.last_index()).map_or(true, |last_index| last_index > 0);
    let registration = Arc::new(Registration::new(identity, client.clone(), store.clone(), &*host.clock));
    let leasing = lease.zip(config.grants()).map(|(lease, granted_for)| Leasing::new(lease, granted_for));
    let granted = Arc::new(Granted::new(host.clock.clone()));
    let master_clock = MasterClock::new(wall, host.clock.clone(), store.master_ahead_ms());
    Shared {
        config,
        host,
        steady,
        address,
        store,
        home,
        revive,
        neighbours,
        metrics: woken.metrics.clone(),
        client: client.clone(),
        in_sync,
        following: Following::default(),
        master_clock,
        acting: Acting::default(),
        taking_back: TakingBack::new(has_log),
        catching_up: CatchingUp::new(!has_log),
        leasing,
        granted,
        merged: woken.merged.clone(),
        arrivals: woken.arrivals.clone(),
        registration,
        began: Instant::now(),
        stop: CancellationToken::new(),
        turns: Turns::default(),
        sends: AtomicU64::new(0),
    }
}

fn start_services(shared: &Arc<Shared>, woken: &Woken) -> Vec<tokio::task::JoinHandle<()>> {
    let stop = &shared.stop;
    if shared.config.is_slave() {
        let registration = tokio::spawn(shared.registration.clone().run(stop.clone()));
        return vec![registration, tokio::spawn(follower::run(shared.clone()))];
    }
    let (store, clock) = (shared.store.clone(), shared.host.clock.clone());
    let (window_ms, wake) = (shared.config.chain_window_ms, woken.forgetting.clone());
    let forgetting = forgetting::run(store.clone(), window_ms, clock.clone(), wake, stop.clone());
    let retention = retention::run(
        store.clone(),
        shared.config.name.clone(),
        shared.config.retention,
        clock.clone(),
        woken.retention.clone(),
        stop.clone(),
    );
    let leasing = shared.leasing.is_some().then(|| tokio::spawn(lease::keep(shared.clone())));
    let services = [
        tokio::spawn(take_back::acknowledge(shared.clone())),
        tokio::spawn(shared.registration.clone().run(stop.clone())),
        tokio::spawn(shared.revive.clone().run(stop.clone())),
        tokio::spawn(retention),
        tokio::spawn(forgetting),
        tokio::spawn(timer::run(store, shared.address, clock, woken.timers.clone(), stop.clone())),
    ];
    services.into_iter().chain(leasing).collect()
}

/// Tells the sleepers what each commit brought.
fn listener(woken: Arc<Woken>) -> CommitListener {
    Arc::new(move |entries: &[Arc<LogEntry>]| {
        match (woken.is_slave, woken.may_lack.load(Ordering::SeqCst)) {
            (true, _) => woken.metrics.followed(entries),
            (false, true) => woken.metrics.caught_up(entries),
            (false, false) => {
                woken.metrics.committed(entries);
                revive::trace::committed(entries);
            }
        }
        if let Some(first) = entries.iter().find(|entry| entry.counts_for_retention()) {
            woken.retention.due(first.at_ms.saturating_add(woken.expired_lies_ms));
        }
        let records = entries.iter().flat_map(|entry| entry.records.iter().map(move |record| (entry.at_ms, record)));
        for (at_ms, record) in records {
            match record {
                Record::Message { topic, .. } => woken.arrivals.arrived(topic),
                Record::Timer { due_ms, .. } => woken.timers.due(*due_ms),
                Record::Chain(chain) => {
                    if let Some(due_ms) = chain.due_ms() {
                        woken.revive.due(due_ms);
                    } else if !chain.is_live() {
                        woken.forgetting.due(at_ms.saturating_add(woken.forgotten_after_ms));
                    }
                }
                Record::Merged { .. } => woken.begins_anew(),
                Record::OffsetReset { topic, .. } => woken.arrivals.arrived(topic), // what a pop waits for may be back there
                Record::Topic { .. } | Record::TopicDeleted { .. } => {
                    if let Some(registration) = woken.registration.get().and_then(Weak::upgrade) {
                        registration.topics_changed();
                    }
                }
                Record::TimerFired { .. }
                | Record::TimerTaken { .. }
                | Record::TimerMoved { .. }
                | Record::Group { .. }
                | Record::Offset { .. }
                | Record::EarlyAck { .. }
                | Record::EarlyAckDropped { .. }
                | Record::SetAside(_)
                | Record::Sent { .. }
                | Record::Expired { .. }
                | Record::Sealed { .. }
                | Record::Forgotten { .. } => {}
            }
        }
    })
}

/// A peer's address as a message carries it; one that is no IP address is replaced by our own.
fn peer_host(peer: &Peer, own: SocketAddr) -> SocketAddr {
    peer.address.parse().unwrap_or(own)
}

#[cfg(test)]
mod tests;
