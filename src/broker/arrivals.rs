//! Who waits for messages of which topic (`PopLongPollingService`, `PullRequestHoldService`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::{model::topic::is_retry, sabotage};

type Waiters = Mutex<BTreeMap<String, BTreeMap<u64, Arc<Notify>>>>;

/// Topic → the requests that wait for it.
#[derive(Debug, Default)]
pub struct Arrivals {
    waiters: Arc<Waiters>,
    next: AtomicU64,
}

impl Arrivals {
    /// Begins to wait for messages of any of these topics. What arrives after this call is not missed.
    #[must_use]
    pub fn wait_for(&self, topics: Vec<String>) -> Waiting {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        let notify = Arc::new(Notify::new());
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in &topics {
            waiters.entry(topic.clone()).or_default().insert(ticket, notify.clone());
        }
        Waiting { topics, ticket, notify, waiters: self.waiters.clone() }
    }

    /// How many requests wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.values().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>().len()
    }

    /// A message of `topic` can be read.
    pub fn arrived(&self, topic: &str) {
        if sabotage!("arrivals-untold") || is_retry(topic) && sabotage!("retries-untold") {
            return;
        }
        let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        for notify in waiters.get(topic).into_iter().flat_map(BTreeMap::values) {
            notify.notify_one();
        }
    }
}

/// One waiting request; dropping it ends the wait.
pub struct Waiting {
    topics: Vec<String>,
    ticket: u64,
    notify: Arc<Notify>,
    waiters: Arc<Waiters>,
}

impl Waiting {
    /// Returns when something arrived since the last call.
    pub async fn arrived(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in &self.topics {
            if let Some(tickets) = waiters.get_mut(topic) {
                tickets.remove(&self.ticket);
                if tickets.is_empty() {
                    waiters.remove(topic);
                }
            }
        }
    }
}
