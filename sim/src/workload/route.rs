//! Where a topic's brokers are, as a name server tells (RocketMQ `TopicRouteData`), and for how long that is believed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use pop_revive::model::topic::Perm;
use serde::Deserialize;
use tokio::time::Instant;

use crate::plan::NodeName;

/// A route is asked for again when it is used and older than this.
const REFRESH: Duration = Duration::from_secs(30);
/// The least time between two look-ups of one topic, however wanting the route.
const LOOKUP_GAP: Duration = Duration::from_secs(1);

/// A broker and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Broker name.
    pub name: NodeName,
    /// Its `host:port`.
    pub address: String,
}

/// Where to read and write one topic; brokers in order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Brokers that can be popped from: the master, or whoever acts for it. Any other slave refuses.
    pub readable: Vec<Endpoint>,
    /// Queues that can be written to; only masters have any.
    pub writable: Vec<(Endpoint, i32)>,
}

impl Route {
    /// Reads the body of a route answer. Entries that lack what is needed are left out; `None` when it is no route.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut raw: RawRoute = serde_json::from_slice(body).ok()?;
        let addresses: BTreeMap<&str, BTreeMap<i64, &str>> =
            raw.broker_datas.iter().map(|broker| (broker.broker_name.as_str(), broker.by_id())).collect();
        let acting: BTreeSet<&str> =
            raw.broker_datas.iter().filter(|it| it.enable_acting_master).map(|it| &*it.broker_name).collect();
        raw.queue_datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
        let mut route = Self::default();
        for queues in &raw.queue_datas {
            let Some(members) = addresses.get(queues.broker_name.as_str()) else { continue };
            let at = |address: &str| Endpoint { name: queues.broker_name.clone(), address: address.to_owned() };
            let acting = members.values().next().filter(|_| acting.contains(&*queues.broker_name));
            if let Some(address) = members.get(&0).or(acting).filter(|_| queues.perm.is_readable()) {
                route.readable.push(at(address));
            }
            if let Some(address) = members.get(&0).filter(|_| queues.perm.is_writable()) {
                route.writable.extend((0..queues.write_queue_nums).map(|queue| (at(address), queue)));
            }
        }
        Some(route)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRoute {
    #[serde(default)]
    broker_datas: Vec<RawBroker>,
    #[serde(default)]
    queue_datas: Vec<RawQueues>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBroker {
    broker_name: String,
    #[serde(default)]
    broker_addrs: BTreeMap<String, String>,
    #[serde(default)]
    enable_acting_master: bool,
}

impl RawBroker {
    fn by_id(&self) -> BTreeMap<i64, &str> {
        self.broker_addrs.iter().filter_map(|(id, address)| Some((id.parse().ok()?, address.as_str()))).collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawQueues {
    broker_name: String,
    perm: Perm,
    #[serde(default)]
    write_queue_nums: i32,
}

/// What is known of routes. It asks nobody: it says when somebody should.
#[derive(Debug, Default)]
pub(super) struct RouteCache {
    topics: BTreeMap<String, Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    route: Option<Arc<Route>>,
    asked: Option<Instant>,
    is_doubted: bool,
}

impl RouteCache {
    /// Whether the caller should look the topic up now. Whoever is told so has taken the look-up on: others are not.
    pub(super) fn claim_lookup(&mut self, topic: &str) -> bool {
        let cached = self.topics.entry(topic.to_owned()).or_default();
        let is_trusted = cached.route.is_some() && !cached.is_doubted;
        let life = if is_trusted { REFRESH } else { LOOKUP_GAP };
        let is_due = cached.asked.is_none_or(|asked| asked.elapsed() >= life);
        if is_due {
            cached.asked = Some(Instant::now());
        }
        is_due
    }

    /// Stores a looked-up route.
    pub(super) fn learn(&mut self, topic: &str, route: Route) {
        let cached = self.topics.entry(topic.to_owned()).or_default();
        cached.route = Some(Arc::new(route));
        cached.is_doubted = false;
    }

    /// Has the topic looked up at its next use: a broker was not where the route says, or did not know the topic.
    pub(super) fn doubt(&mut self, topic: &str) {
        if let Some(cached) = self.topics.get_mut(topic) {
            cached.is_doubted = true;
        }
    }

    /// The last route learnt. One that the name server has forgotten is still the best guess.
    pub(super) fn get(&self, topic: &str) -> Option<Arc<Route>> {
        self.topics.get(topic)?.route.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Endpoint, Route, RouteCache};
    use std::time::Duration;

    #[test]
    fn a_route_lists_masters_and_whoever_acts_for_one() {
        let body = br#"{"brokerDatas":[{"brokerAddrs":{"0":"a0:1","1":"a1:1"},"brokerName":"a"},
            {"brokerAddrs":{"2":"b2:1","1":"b1:1"},"brokerName":"b","enableActingMaster":true},
            {"brokerAddrs":{"1":"d1:1"},"brokerName":"d"}],"filterServerTable":{},
            "queueDatas":[{"brokerName":"c","perm":6,"readQueueNums":1,"writeQueueNums":1},
            {"brokerName":"d","perm":6,"writeQueueNums":2},
            {"brokerName":"b","perm":6,"writeQueueNums":2},{"brokerName":"a","perm":6,"writeQueueNums":2}]}"#;
        let at = |name: &str, address: &str| Endpoint { name: name.into(), address: address.into() };
        let route = Route::parse(body).unwrap();
        assert_eq!(route.readable, [at("a", "a0:1"), at("b", "b1:1")]);
        assert_eq!(route.writable, [(at("a", "a0:1"), 0), (at("a", "a0:1"), 1)]);
        assert_eq!(Route::parse(b"{}"), Some(Route::default()));
        assert_eq!(Route::parse(b"null"), None);
    }

    #[test]
    fn permissions_are_kept_to() {
        let body = br#"{"brokerDatas":[{"brokerAddrs":{"0":"a:1"},"brokerName":"a"}],
            "queueDatas":[{"brokerName":"a","perm":4,"writeQueueNums":2}]}"#;
        let route = Route::parse(body).unwrap();
        assert_eq!((route.readable.len(), route.writable.len()), (1, 0));
    }

    #[tokio::test]
    async fn look_ups_are_as_rare_as_they_can_be() {
        let mut cache = RouteCache::default();
        assert!(cache.claim_lookup("t"));
        assert!(!cache.claim_lookup("t"), "the look-up is under way");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(cache.claim_lookup("t"), "it brought nothing");
        cache.learn("t", Route::default());
        tokio::time::sleep(Duration::from_secs(29)).await;
        assert!(!cache.claim_lookup("t"));
        cache.doubt("t");
        assert!(cache.claim_lookup("t"));
        assert!(!cache.claim_lookup("t"), "doubt does not make a storm");
        assert!(cache.get("t").is_some());
    }
}
