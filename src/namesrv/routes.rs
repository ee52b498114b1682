//! What a name server knows, as plain data (RocketMQ `RouteInfoManager`).
//!
//! Nothing here reads a clock: `now` is the time since the name server started, on a monotonic clock.
//!
//! Two deliberate differences from RocketMQ: a first registration with exactly one topic is accepted (RocketMQ answers
//! it with an error), and a slave's topics are taken over only when its group has the acting master on.

use std::{collections::BTreeMap, time::Duration};

use crate::model::route::{
    BrokerData, BrokerMemberGroup, ClusterInfo, DataVersion, MASTER_ID, PERM_WRITE, QueueData, RegisterBrokerBody,
    TopicRouteData,
};
use crate::model::topic::TopicConfig;
use crate::sabotage;

/// A registration lives this long without a sign, unless it says otherwise.
pub const DEFAULT_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(120);

/// Topics through which members of a group find each other: their routes show the members as they are.
const SYNC_MEMBER_TOPIC_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

/// One broker, as it names itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerIdentity {
    /// Its cluster.
    pub cluster: String,
    /// Its group.
    pub name: String,
    /// Its id in the group; 0 is the master.
    pub id: i64,
    /// Where it listens.
    pub address: String,
}

/// A broker's registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Who registers.
    pub broker: BrokerIdentity,
    /// Where its replication listens.
    pub ha_address: String,
    /// How long it lives without a sign.
    pub heartbeat_timeout: Duration,
    /// Whether its group allows an acting master; `None` from brokers that do not know of it.
    pub enable_acting_master: Option<bool>,
    /// Its zone.
    pub zone_name: Option<String>,
    /// Its topics.
    pub body: RegisterBrokerBody,
}

/// What a slave learns by registering; both are `None` for a master and while there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registered {
    /// Address of the master.
    pub master_address: Option<String>,
    /// Where the master's replication listens.
    pub master_ha_address: Option<String>,
}

/// A sign of life: who gave it last, and what it said.
#[derive(Debug)]
struct Live {
    broker: BrokerIdentity,
    version: DataVersion,
    ha_address: String,
    filter_servers: Vec<String>,
    timeout: Duration,
    last_seen: Duration,
}

impl Live {
    fn expires_at(&self) -> Duration {
        let lives = if sabotage!("routes-expire-early") { self.timeout / 5 } else { self.timeout };
        self.last_seen.saturating_add(lives)
    }
}

/// Brokers and topics.
#[derive(Debug, Default)]
pub struct RouteTable {
    show_acting_master: bool,
    groups: BTreeMap<String, BrokerData>,
    /// Queues by topic, then by group.
    topics: BTreeMap<String, BTreeMap<String, QueueData>>,
    /// By cluster and address.
    live: BTreeMap<(String, String), Live>,
}

impl RouteTable {
    /// An empty table. With `show_acting_master`, a route without master shows the smallest id as 0 where the topic
    /// takes no writes (RocketMQ `supportActingMaster`).
    pub fn new(show_acting_master: bool) -> Self {
        Self { show_acting_master, ..Self::default() }
    }

    /// Takes a registration. One for an id that a broker of a larger state version holds at another address changes
    /// nothing and is answered as a success, as RocketMQ does.
    pub fn register(&mut self, now: Duration, registration: Registration) -> Registered {
        let Registration { broker, ha_address, heartbeat_timeout, enable_acting_master, zone_name, body } =
            registration;
        let table = body.topic_config_serialize_wrapper;
        if self.is_held_by_newer(&broker, table.data_version) {
            self.live.remove(&live_key(&broker));
            return Registered::default();
        }
        self.leave_other_groups(&broker);
        let group = self.groups.entry(broker.name.clone()).or_insert_with(|| BrokerData {
            broker_name: broker.name.clone(),
            cluster: broker.cluster.clone(),
            ..BrokerData::default()
        });
        group.enable_acting_master = enable_acting_master.unwrap_or(false);
        group.zone_name = zone_name;
        group.broker_addrs.retain(|id, address| *id == broker.id || *address != broker.address);
        if let Some(replaced) = group.broker_addrs.insert(broker.id, broker.address.clone())
            && replaced != broker.address
        {
            self.live.remove(&(broker.cluster.clone(), replaced)); // or its expiry would end the newcomer's group
        }
        let is_prime_slave = group.enable_acting_master && group.broker_addrs.keys().next() == Some(&broker.id);
        if broker.id == MASTER_ID || is_prime_slave {
            let masked = if broker.id == MASTER_ID && !sabotage!("routed-read-only") { 0 } else { PERM_WRITE };
            self.take_topics(&broker.name, table.topic_config_table, masked);
        }
        let live = Live {
            version: table.data_version,
            ha_address,
            filter_servers: body.filter_server_list,
            timeout: heartbeat_timeout,
            last_seen: now,
            broker,
        };
        let answer = self.master_of(&live.broker);
        self.live.insert(live_key(&live.broker), live);
        answer
    }

    /// Removes a broker that says goodbye; ignored when its place belongs to another address by now.
    pub fn unregister(&mut self, broker: &BrokerIdentity) {
        self.live.remove(&live_key(broker));
        let Some(group) = self.groups.get_mut(&broker.name) else { return };
        if group.broker_addrs.get(&broker.id) != Some(&broker.address) {
            return;
        }
        group.broker_addrs.remove(&broker.id);
        let (is_empty, enable_acting_master) = (group.broker_addrs.is_empty(), group.enable_acting_master);
        let has_master = group.broker_addrs.contains_key(&MASTER_ID);
        if is_empty {
            self.groups.remove(&broker.name);
            self.topics.retain(|_, queues| {
                queues.remove(&broker.name);
                !queues.is_empty()
            });
        } else if !has_master && enable_acting_master {
            for queues in self.topics.values_mut() {
                if let Some(queue) = queues.get_mut(&broker.name) {
                    queue.perm &= !PERM_WRITE;
                }
            }
        }
    }

    /// A sign of life; `false` from a broker that is not registered.
    pub fn heartbeat(&mut self, now: Duration, cluster: &str, address: &str) -> bool {
        let live = self.live.get_mut(&(cluster.to_owned(), address.to_owned()));
        live.map(|live| live.last_seen = now).is_some()
    }

    /// The version registered from this address, which counts as a sign of life.
    pub fn query_version(&mut self, now: Duration, cluster: &str, address: &str) -> Option<DataVersion> {
        let live = self.live.get_mut(&(cluster.to_owned(), address.to_owned()))?;
        live.last_seen = now;
        Some(live.version)
    }

    /// Removes the brokers whose time has run out; gives them in order of cluster and address.
    pub fn expire(&mut self, now: Duration) -> Vec<BrokerIdentity> {
        let expired = self.live.values().filter(|live| live.expires_at() <= now && !sabotage!("silent-stays-routed"));
        let expired: Vec<_> = expired.map(|live| live.broker.clone()).collect();
        for broker in &expired {
            self.unregister(broker);
        }
        expired
    }

    /// When the next broker expires if none gives a sign.
    pub fn next_expiry(&self) -> Option<Duration> {
        self.live.values().map(Live::expires_at).min()
    }

    /// The route of `topic`; `None` when no known group holds it.
    pub fn route(&self, topic: &str) -> Option<TopicRouteData> {
        let queues = self.topics.get(topic)?;
        let mut route = TopicRouteData::default();
        for (name, queue) in queues {
            let Some(group) = self.groups.get(name) else { continue };
            for address in group.broker_addrs.values() {
                if let Some(live) = self.live.get(&(group.cluster.clone(), address.clone()))
                    && !live.filter_servers.is_empty()
                {
                    route.filter_server_table.insert(address.clone(), live.filter_servers.clone());
                }
            }
            let mut group = group.clone();
            if self.show_acting_master && !topic.starts_with(SYNC_MEMBER_TOPIC_PREFIX) {
                show_acting_master(&mut group, queue);
            }
            route.broker_datas.push(group);
            route.queue_datas.push(queue.clone());
        }
        (!route.broker_datas.is_empty()).then_some(route)
    }

    /// All groups and clusters.
    pub fn cluster_info(&self) -> ClusterInfo {
        let mut info = ClusterInfo { broker_addr_table: self.groups.clone(), ..ClusterInfo::default() };
        for (name, group) in &self.groups {
            info.cluster_addr_table.entry(group.cluster.clone()).or_default().insert(name.clone());
        }
        info
    }

    /// The members of one group, none when it is unknown.
    pub fn member_group(&self, cluster: &str, name: &str) -> BrokerMemberGroup {
        let addresses = self.groups.get(name).map(|group| group.broker_addrs.clone()).unwrap_or_default();
        BrokerMemberGroup { broker_addrs: addresses, broker_name: name.to_owned(), cluster: cluster.to_owned() }
    }

    /// Whether another address holds the broker's id with a larger state version.
    fn is_held_by_newer(&self, broker: &BrokerIdentity, version: DataVersion) -> bool {
        let holder = self.groups.get(&broker.name).and_then(|group| group.broker_addrs.get(&broker.id));
        let Some(holder) = holder.filter(|holder| **holder != broker.address) else { return false };
        let live = self.live.get(&(broker.cluster.clone(), holder.clone()));
        live.is_some_and(|live| live.version.state_version > version.state_version)
    }

    /// An address that was registered under another group leaves that group: it cannot be two brokers.
    fn leave_other_groups(&mut self, broker: &BrokerIdentity) {
        let before = self.live.get(&live_key(broker)).map(|live| live.broker.clone());
        if let Some(before) = before.filter(|before| before.name != broker.name) {
            self.unregister(&before);
        }
    }

    /// Takes over the topics of a registration without the masked permission bits. Topics that it does not name stay:
    /// a broker may register only what changed.
    fn take_topics(&mut self, broker_name: &str, topics: BTreeMap<String, TopicConfig>, masked: i32) {
        for (name, topic) in topics {
            let queue = QueueData {
                broker_name: broker_name.to_owned(),
                perm: signed(topic.perm.0) & !masked,
                read_queue_nums: signed(topic.read_queue_nums),
                topic_sys_flag: topic.topic_sys_flag,
                write_queue_nums: signed(topic.write_queue_nums),
            };
            self.topics.entry(name).or_default().insert(broker_name.to_owned(), queue);
        }
    }

    fn master_of(&self, broker: &BrokerIdentity) -> Registered {
        let group = self.groups.get(&broker.name).filter(|_| broker.id != MASTER_ID);
        let Some(master) = group.and_then(|group| group.broker_addrs.get(&MASTER_ID)) else {
            return Registered::default();
        };
        let live = self.live.get(&(broker.cluster.clone(), master.clone()));
        Registered { master_address: Some(master.clone()), master_ha_address: live.map(|live| live.ha_address.clone()) }
    }
}

/// A number as routes carry it: signed.
fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Moves the smallest id's address to the master's place, when there is no master and the queue takes no writes.
fn show_acting_master(group: &mut BrokerData, queue: &QueueData) {
    let eligible = group.enable_acting_master && queue.perm & PERM_WRITE == 0;
    if eligible
        && !group.broker_addrs.contains_key(&MASTER_ID)
        && let Some((_, address)) = group.broker_addrs.pop_first()
    {
        group.broker_addrs.insert(MASTER_ID, address);
    }
}

fn live_key(broker: &BrokerIdentity) -> (String, String) {
    (broker.cluster.clone(), broker.address.clone())
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
