//! What all processors of one broker share.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    BrokerConfig, acting::Acting, arrivals::Arrivals, catch_up::CatchingUp, follower::Following, in_sync::InSync,
    lease::Leasing, master_clock::MasterClock, pop_step::EscapePlan, refusal::Refusal, registration::Registration,
    take_back::TakingBack, turns::Turns,
};
use crate::{
    metrics::Metrics,
    model::{group::SubscriptionGroupConfig, record::Record},
    remote::{Neighbours, read::INNER_CONSUMER_GROUP},
    remoting::Client,
    revive::{ReviveService, apply::Home, steps::grant::Granted},
    sabotage,
    seams::{Host, steady_clock::SteadyClock},
    store::{Step, Store, StoreError, Tables, TopicRow, Txn},
    wake::Wake,
};

/// What all processors of one broker share.
pub struct Shared {
    /// How it is set up.
    pub config: BrokerConfig,
    /// The machine it runs on.
    pub host: Host,
    /// Its clock as the host has it, which goes on from what its log says.
    pub steady: Arc<SteadyClock>,
    /// Its address, as others know it.
    pub address: SocketAddr,
    /// Its log and tables.
    pub store: Store,
    /// What steps on chains need.
    pub home: Home,
    /// The driver of its chains.
    pub revive: Arc<ReviveService>,
    /// The other groups.
    pub neighbours: Arc<Neighbours>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The client of this process.
    pub client: Arc<Client>,
    /// On how many disks of the group the log is.
    pub in_sync: InSync,
    /// Where it stands, if it is a slave.
    pub following: Following,
    /// What it knows of its master's clock, if it is a slave.
    pub master_clock: MasterClock,
    /// What it does in the place of its master, if it is a slave.
    pub acting: Acting,
    /// Where it stands with what its slave did in its place, if it is a master.
    pub taking_back: TakingBack,
    /// What it has heard of its slaves before it serves, if it is a master.
    pub catching_up: CatchingUp,
    /// What it knows of its lease, if it is a master that needs one.
    pub leasing: Option<Leasing>,
    /// The leases that it has granted to masters of other groups.
    pub granted: Arc<Granted>,
    /// Announces that something was merged.
    pub merged: Arc<Wake>,
    /// Who waits for messages.
    pub arrivals: Arc<Arrivals>,
    /// Its entry at the name servers.
    pub registration: Arc<Registration>,
    /// When its process began.
    pub began: Instant,
    /// Ends long polls and services.
    pub stop: CancellationToken,
    /// Which queue, and which kind of topic, a pop reads first.
    pub turns: Turns,
    /// Counts sends that leave the queue to us.
    pub sends: AtomicU64,
}

impl Shared {
    /// The topic, or the refusal that says it does not exist.
    pub(super) fn topic(&self, name: &str) -> Result<TopicRow, Refusal> {
        self.store.view()?.topic(name)?.ok_or_else(|| Refusal::TopicUnknown(name.into()))
    }

    /// The queue for a message whose sender does not care.
    pub(super) fn next_queue(&self, queues: u32) -> i32 {
        let turn = self.sends.fetch_add(1, Ordering::Relaxed);
        i32::try_from(turn % u64::from(queues.max(1))).unwrap_or(0)
    }

    /// Where chains of pops made here go, if not to this broker.
    pub(super) fn escape_plan(&self) -> Option<EscapePlan> {
        let to = self.config.escape_to.clone()?;
        let (policy, attempt_limit_ms) = (self.config.policy.clone(), self.config.attempt_limit_ms());
        Some(EscapePlan { to, policy, attempt_limit_ms })
    }

    /// The topic, if messages may be read from it.
    pub(super) fn readable_topic(&self, name: &str) -> Result<TopicRow, Refusal> {
        readable(self.store.view()?.topic(name)?, name)
    }

    /// The group, created if that is allowed and it is missing.
    pub(super) async fn group(&self, name: &str) -> Result<SubscriptionGroupConfig, Refusal> {
        if let Some(group) = self.store.view()?.group(name)? {
            return Ok(group);
        }
        let internal = name.starts_with("CID_RMQ_SYS_") || name.starts_with(INNER_CONSUMER_GROUP);
        if !self.config.auto_create_groups && !internal {
            return Err(Refusal::GroupUnknown(name.into()));
        }
        crate::model::topic::check_group_name(name).map_err(|error| Refusal::Field {
            field: "consumerGroup",
            found: name.into(),
            expected: error.to_string(),
        })?;
        Ok(self.store.submit(EnsureGroup { config: SubscriptionGroupConfig::named(name) }).await?)
    }
}

/// Creates a consumer group unless it exists.
struct EnsureGroup {
    config: SubscriptionGroupConfig,
}

impl Step for EnsureGroup {
    type Reply = SubscriptionGroupConfig;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Self::Reply, StoreError> {
        if let Some(group) = txn.group(&self.config.group_name)? {
            return Ok(group);
        }
        txn.record(Record::Group { config: self.config.clone() })?;
        Ok(self.config)
    }
}

/// The topic that was found, if there is one and messages may be read from it.
pub(super) fn readable(found: Option<TopicRow>, name: &str) -> Result<TopicRow, Refusal> {
    let found = found.filter(|_| !sabotage!("topic-denied"));
    let row = found.ok_or_else(|| Refusal::TopicUnknown(name.into()))?;
    match row.config.perm.is_readable() {
        true => Ok(row),
        false => Err(Refusal::NotPermitted(format!("topic {name:?} is not readable"))),
    }
}

/// Checks that a queue exists.
pub(super) fn check_queue(queue_id: i32, queues: u32) -> Result<(), Refusal> {
    match u32::try_from(queue_id) {
        Ok(queue) if queue < queues => Ok(()),
        _ => Err(Refusal::Field {
            field: "queueId",
            found: queue_id.to_string(),
            expected: format!("0 to {}", i64::from(queues) - 1),
        }),
    }
}
