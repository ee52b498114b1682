//! Where the brokers are: asked of the name servers, remembered until a broker fails.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    model::route::{self, ClusterInfo},
    remoting::{Client, Command, code},
};

/// How long a name server may take to answer.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Looks up brokers by name (`RouteInfoManager.getAllClusterInfo`).
pub struct Routes {
    client: Arc<Client>,
    name_servers: Vec<String>,
    /// Broker name → address of its smallest id.
    known: Mutex<BTreeMap<String, String>>,
}

impl Routes {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(client: Arc<Client>, name_servers: Vec<String>) -> Self {
        Self { client, name_servers, known: Mutex::default() }
    }

    /// The address of a broker: the master's, or that of whoever stands in for it. `None` when no name server knows one.
    pub async fn address(&self, broker: &str) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(broker).cloned();
        if known.is_some() {
            return known;
        }
        self.refresh().await;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(broker).cloned()
    }

    /// Forgets a broker's address after a failure: the next look-up asks again.
    pub fn forget(&self, broker: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(broker);
    }

    async fn refresh(&self) {
        for name_server in &self.name_servers {
            let request = Command::request(code::request::GET_BROKER_CLUSTER_INFO);
            let answer = match self.client.call(name_server, request, LOOKUP_TIMEOUT).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::warn!(%name_server, %error, "route look-up failed");
                    continue;
                }
            };
            if answer.code != code::response::SUCCESS {
                tracing::warn!(%name_server, code = answer.code, "route look-up refused");
                continue;
            }
            match route::from_json(&answer.body) {
                Ok(cluster) => return self.learn(cluster),
                Err(error) => tracing::warn!(%name_server, %error, "route look-up answered nonsense"),
            }
        }
    }

    fn learn(&self, cluster: ClusterInfo) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        for (name, broker) in cluster.broker_addr_table {
            if let Some((_, address)) = broker.broker_addrs.into_iter().next() {
                known.insert(name, address);
            }
        }
    }
}
