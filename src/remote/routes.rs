//! Where the brokers are: asked of the name servers, remembered until a broker fails.
//!
//! Name servers do not talk to each other, so that one may not have heard of a broker, or know it where it was before: whoever
//! is looked for is asked of the next one then. The one that helped last is asked first.
//!
//! A group's messages are read from its master, or from a slave while the master fails or a slave acts for it; whatever
//! changes something goes to the master alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    model::route::{self, ClusterInfo, MASTER_ID},
    remoting::{Client, Command, code},
    sabotage, sometimes,
};

/// How long a name server may take to answer.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// For how long another member is asked after one has failed; twice as long each time that it fails again, so that a
/// name server's delay in noticing that a master is gone costs few calls.
const AVOIDED_FIRST: Duration = Duration::from_secs(30);
/// The longest that a member is avoided.
const AVOIDED_LONGEST: Duration = Duration::from_secs(480);

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id; 0 is the master.
    pub id: i64,
    /// Where it listens.
    pub address: String,
}

impl Member {
    /// Whether it is the master, whose word about its log is final.
    #[must_use]
    pub const fn is_master(&self) -> bool {
        self.id == MASTER_ID
    }
}

/// Looks up brokers by name (`RouteInfoManager.getAllClusterInfo`).
pub struct Routes {
    client: Arc<Client>,
    name_servers: Vec<String>,
    /// Which of them is asked first.
    first: AtomicUsize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Broker name → its members, by id.
    members: BTreeMap<String, BTreeMap<i64, String>>,
    /// Address → since when it is avoided, and for how long.
    avoided: BTreeMap<String, (Instant, Duration)>,
    /// Groups for whose master a slave acts, and which one, as far as this broker was told.
    acted_for: BTreeMap<String, i64>,
}

impl Routes {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(client: Arc<Client>, name_servers: Vec<String>) -> Self {
        Self { client, name_servers, first: AtomicUsize::new(0), known: Mutex::default() }
    }

    /// The master of a group. `None` when no name server knows one.
    pub async fn master(&self, broker: &str) -> Option<Member> {
        let master = |known: &Known| known.members(broker).find(Member::is_master);
        let found = master(&self.known());
        if found.is_some() {
            return found;
        }
        self.refresh(|known| known.has_fresh(broker, Member::is_master)).await;
        master(&self.known())
    }

    /// A certain member of a group. `None` when no name server knows it.
    pub async fn member(&self, broker: &str, id: i64) -> Option<Member> {
        let is_it = |member: &Member| member.id == id;
        let found = self.known().members(broker).find(is_it);
        if found.is_some() {
            return found;
        }
        self.refresh(|known| known.has_fresh(broker, is_it)).await;
        self.known().members(broker).find(is_it)
    }

    /// The member of a group to read from: of those that have not just failed, or of all if all have, the first, and the
    /// master last while a slave acts for it, which comes first. `None` when no name server knows one.
    pub async fn holder(&self, broker: &str) -> Option<Member> {
        let found = self.known().holder(broker);
        if found.is_some() {
            return found;
        }
        self.refresh(|known| known.has_fresh(broker, |_| true)).await;
        self.known().holder(broker)
    }

    /// Forgets where a group's members are: the next look-up asks again.
    pub fn forget(&self, broker: &str) {
        self.known().members.remove(broker);
    }

    /// A member was asked and failed: another one is asked for a while.
    pub fn failed(&self, broker: &str, member: &Member) {
        let mut known = self.known();
        known.members.remove(broker);
        let before = known.avoided.get(&member.address).map(|(_, span)| *span);
        let span = before.map_or(AVOIDED_FIRST, |span| (span * 2).min(AVOIDED_LONGEST));
        known.avoided.insert(member.address.clone(), (Instant::now(), span));
    }

    /// This slave acts for its group's master, or none does any longer, where it is 0. Nobody need find out first that the
    /// master does not answer.
    pub fn acts(&self, broker: &str, member: i64) {
        let mut known = self.known();
        match member {
            MASTER_ID => known.acted_for.remove(broker),
            slave => known.acted_for.insert(broker.to_owned(), slave),
        };
    }

    /// A member has answered.
    pub fn answered(&self, member: &Member) {
        self.known().avoided.remove(&member.address);
    }

    /// Asks one name server after the other until one tells what is wanted; believes the first that answers if none does.
    async fn refresh(&self, is_wanted: impl Fn(&Known) -> bool) {
        let mut answers: Vec<ClusterInfo> = Vec::new();
        let first = self.first.load(Ordering::SeqCst);
        for at in (0..self.name_servers.len()).map(|at| (first + at) % self.name_servers.len()) {
            let Some(cluster) = self.ask(&self.name_servers[at]).await else { continue };
            let mut known = self.known();
            known.learn(&cluster);
            answers.push(cluster);
            if is_wanted(&known) || sabotage!("asks-one-name-server") {
                if at != first {
                    sometimes!("another-name-server-helps");
                }
                self.first.store(at, Ordering::SeqCst);
                return known.avoids_only(&answers);
            }
        }
        if let Some(cluster) = answers.first() {
            let mut known = self.known();
            known.learn(cluster);
            known.avoids_only(&answers);
        }
    }

    async fn ask(&self, name_server: &str) -> Option<ClusterInfo> {
        let request = Command::request(code::request::GET_BROKER_CLUSTER_INFO);
        let answer = match self.client.call(name_server, request, LOOKUP_TIMEOUT).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%name_server, %error, "route look-up failed");
                return None;
            }
        };
        if answer.code != code::response::SUCCESS {
            tracing::warn!(%name_server, code = answer.code, "route look-up refused");
            return None;
        }
        let read = route::from_json(&answer.body);
        read.inspect_err(|error| tracing::warn!(%name_server, %error, "route look-up answered nonsense")).ok()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn members(&self, broker: &str) -> impl Iterator<Item = Member> + use<'_> {
        let members = self.members.get(broker).into_iter().flatten();
        members.map(|(id, address)| Member { id: *id, address: address.clone() })
    }

    fn holder(&self, broker: &str) -> Option<Member> {
        let is_avoided = |member: &Member| self.is_avoided(member);
        let acting = self.acted_for.get(broker);
        let rank =
            |member: &Member| acting.map_or(0, |slave| i32::from(member.id != *slave) + i32::from(member.is_master()));
        let chosen = self.members(broker).min_by_key(|member| (is_avoided(member), rank(member)))?;
        let others = || self.members(broker).filter(|member| member.id != chosen.id);
        if others().next().is_some() && is_avoided(&chosen) {
            sometimes!("holder-all-avoided");
        } else if others().any(|other| other.id < chosen.id && is_avoided(&other)) {
            sometimes!("holder-stands-in");
        } else if others().next().is_some() && self.avoided.contains_key(&chosen.address) {
            sometimes!("holder-tried-again");
        }
        Some(chosen)
    }

    fn is_avoided(&self, member: &Member) -> bool {
        self.avoided.get(&member.address).is_some_and(|(since, span)| since.elapsed() < *span)
    }

    /// Whether a member of this kind is known that has not just failed.
    fn has_fresh(&self, broker: &str, is_wanted: impl Fn(&Member) -> bool) -> bool {
        self.members(broker).any(|member| is_wanted(&member) && !self.is_avoided(&member))
    }

    fn learn(&mut self, cluster: &ClusterInfo) {
        let brokers = cluster.broker_addr_table.iter();
        self.members = brokers.map(|(name, broker)| (name.clone(), broker.broker_addrs.clone())).collect();
    }

    /// Forgets of addresses that nobody has told that they had failed.
    fn avoids_only(&mut self, told: &[ClusterInfo]) {
        let addresses = told.iter().flat_map(|cluster| cluster.broker_addr_table.values());
        let addresses: BTreeSet<&String> = addresses.flat_map(|broker| broker.broker_addrs.values()).collect();
        self.avoided.retain(|address, _| addresses.contains(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let members = BTreeMap::from([(0, "10.0.0.1:1".to_owned()), (1, "10.0.0.2:1".to_owned())]);
        Known { members: BTreeMap::from([("a".to_owned(), members)]), avoided: BTreeMap::new(), ..Known::default() }
    }

    #[tokio::test]
    async fn reads_go_to_the_master_and_while_that_fails_to_a_slave() {
        let routes = Routes::new(
            Arc::new(Client::new(Arc::new(crate::seams::tcp::Tcp), crate::remoting::ClientConfig::default())),
            Vec::new(),
        );
        *routes.known() = known();
        let master = routes.holder("a").await.unwrap();
        assert!(master.is_master());
        routes.failed("a", &master);
        assert_eq!(routes.holder("a").await, None, "it is asked again where they are");
        routes.known().members = known().members;
        let slave = routes.holder("a").await.unwrap();
        assert_eq!((slave.id, slave.is_master()), (1, false));
        assert!(routes.master("a").await.unwrap().is_master(), "what changes something goes to no other");
        routes.failed("a", &slave);
        routes.known().members = known().members;
        assert!(routes.holder("a").await.unwrap().is_master(), "all have failed");
        routes.answered(&master);
        routes.answered(&slave);
        assert!(routes.holder("a").await.unwrap().is_master());
    }

    #[tokio::test]
    async fn while_a_slave_acts_reads_go_to_it_first() {
        let routes = Routes::new(
            Arc::new(Client::new(Arc::new(crate::seams::tcp::Tcp), crate::remoting::ClientConfig::default())),
            Vec::new(),
        );
        *routes.known() = known();
        routes.acts("a", 1);
        let slave = routes.holder("a").await.unwrap();
        assert_eq!(slave.id, 1);
        assert!(routes.master("a").await.unwrap().is_master(), "what changes something goes to no other");
        routes.failed("a", &slave);
        routes.known().members = known().members;
        assert!(routes.holder("a").await.unwrap().is_master(), "the slave has failed");
        routes.answered(&slave);
        routes.acts("a", 0);
        assert!(routes.holder("a").await.unwrap().is_master());
    }
}
