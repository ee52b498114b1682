//! This broker's entries at the name servers (`BrokerOuterAPI.registerBrokerAll`).

mod entry;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all, select_ok};
use tokio_util::sync::CancellationToken;

use self::entry::Entry;
use crate::{
    model::route::{DataVersion, RegisterBrokerBody, TopicTable},
    remoting::{
        Client,
        headers::{RegisterBrokerHeader, UnregisterBrokerHeader},
    },
    sabotage,
    seams::Clock,
    store::{Store, StoreError, Tables},
};

/// Who registers, and where.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Group.
    pub broker: String,
    /// Member of the group; 0 is the master.
    pub id: u64,
    /// Cluster.
    pub cluster: String,
    /// Address for others.
    pub address: String,
    /// Whether a slave of the group acts for its master while that is away.
    pub acts: bool,
    /// The name servers.
    pub name_servers: Vec<String>,
    /// How often to register anew.
    pub every: Duration,
}

/// Keeps the name servers up to date.
pub struct Registration {
    identity: Identity,
    client: Arc<Client>,
    store: Store,
    /// When this process began, Unix ms: what it registers is newer than what an earlier one did.
    began_ms: i64,
    /// Counts changes of the topic table.
    changed: AtomicU64,
    /// One for each name server.
    entries: Vec<Entry>,
    /// How often it was looked for the master: name servers may differ on where it is, and the next one is believed then.
    looked: AtomicUsize,
}

impl Registration {
    /// Nothing is registered yet.
    #[must_use]
    pub fn new(identity: Identity, client: Arc<Client>, store: Store, clock: &dyn Clock) -> Self {
        let told = if sabotage!("registers-at-one") { 1 } else { usize::MAX };
        let entries = identity.name_servers.iter().take(told).map(|name_server| Entry::new(name_server)).collect();
        let (began_ms, changed, looked) = (clock.now_ms(), AtomicU64::new(1), AtomicUsize::new(0));
        Self { identity, client, store, began_ms, changed, entries, looked }
    }

    /// Whether some name server took the last registration.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.entries.iter().any(Entry::is_registered)
    }

    /// Where the master of this slave's group is; `None` until a name server has known one.
    #[must_use]
    pub fn master(&self) -> Option<String> {
        let mut told: Vec<String> = self.entries.iter().filter_map(Entry::master).collect();
        told.dedup();
        let at = self.looked.load(Ordering::SeqCst).checked_rem(told.len())?;
        Some(told.swap_remove(at))
    }

    /// Registers anew, because whoever registers a slave is told where its master is; returns once a name server has told
    /// that, or none does.
    pub async fn look_for_master(&self) {
        let told = |entry| -> Call<'_> {
            Box::pin(async move {
                self.register(entry).await?;
                entry.master().map(drop).ok_or_else(|| "no master is known".to_owned())
            })
        };
        if let Err(reason) = first_of(self.entries.iter().map(told).collect()).await {
            tracing::debug!(broker = %self.identity.broker, reason, "the master was not found");
        }
        self.looked.fetch_add(1, Ordering::SeqCst);
    }

    /// The topic table has changed.
    pub fn topics_changed(&self) {
        self.changed.fetch_add(1, Ordering::SeqCst);
        self.entries.iter().for_each(|entry| entry.wake.notify_one());
    }

    /// Registers at start, whenever topics change, and every so often, until `stop`; then takes the entries out.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        if sabotage!("differs-by-process") {
            tokio::time::sleep(Duration::from_millis(u64::from(std::process::id()) % 1_000)).await;
        }
        join_all(self.entries.iter().map(|entry| self.keep(entry, &stop))).await;
    }

    async fn keep(&self, entry: &Entry, stop: &CancellationToken) {
        let mut outcome = self.register(entry).await;
        loop {
            if let Err(reason) = &outcome {
                tracing::warn!(broker = %self.identity.broker, reason, "not registered");
            }
            let gives_up = sabotage!("registers-no-more") && outcome.is_err();
            outcome = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = entry.wake.notified() => self.catch_up(entry, self.changed.load(Ordering::SeqCst)).await,
                () = tokio::time::sleep(self.identity.every), if !gives_up => self.register(entry).await,
            };
        }
        if !sabotage!("goodbye-left-out") {
            entry.unregister(&self.client, &self.goodbye()).await;
        }
    }

    /// Returns once some name server has taken the topic table as it is now.
    ///
    /// # Errors
    /// Why none has.
    pub async fn published(&self) -> Result<(), String> {
        let wanted = self.changed.load(Ordering::SeqCst);
        if sabotage!("retry-topic-without-route") || self.entries.iter().any(|entry| entry.has_taken(wanted)) {
            return Ok(());
        }
        let catch_up = |entry| -> Call<'_> { Box::pin(self.catch_up(entry, wanted)) };
        first_of(self.entries.iter().map(catch_up).collect()).await
    }

    /// Registers at a name server that has not taken this version of the topic table yet.
    async fn catch_up(&self, entry: &Entry, wanted: u64) -> Result<(), String> {
        if entry.has_taken(wanted) {
            return Ok(());
        }
        let _turn = entry.turn.lock().await;
        if entry.has_taken(wanted) {
            return Ok(()); // whoever had the turn before took this change along
        }
        self.register_now(entry).await
    }

    async fn register(&self, entry: &Entry) -> Result<(), String> {
        let _turn = entry.turn.lock().await;
        self.register_now(entry).await
    }

    async fn register_now(&self, entry: &Entry) -> Result<(), String> {
        let version = self.changed.load(Ordering::SeqCst);
        // A store that cannot be read leaves the broker unregistered like a name server that does not answer.
        let outcome = match self.body() {
            Ok(body) => entry.register(&self.client, &self.header(&body), body).await,
            Err(error) => Err(error.to_string()),
        };
        entry.registered(version, &outcome);
        outcome
    }

    fn header(&self, body: &[u8]) -> RegisterBrokerHeader {
        RegisterBrokerHeader {
            broker_name: self.identity.broker.clone(),
            broker_addr: self.identity.address.clone(),
            cluster_name: self.identity.cluster.clone(),
            ha_server_addr: self.identity.address.clone(),
            broker_id: i64::try_from(self.identity.id).unwrap_or(i64::MAX),
            enable_acting_master: self.identity.acts.then_some(true),
            body_crc32: i32::try_from(crc32fast::hash(body) & 0x7FFF_FFFF).unwrap_or(0),
            ..RegisterBrokerHeader::default()
        }
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        let view = self.store.durable()?;
        let topics = view.all_topics()?.into_iter().map(|row| (row.config.topic_name.clone(), row.config));
        // The log's last index never goes back, not even over a restart: a later table is never taken for an older one.
        let counter = i64::try_from(view.last_index()?).unwrap_or(i64::MAX);
        let table = TopicTable {
            data_version: DataVersion { timestamp: self.began_ms, counter, state_version: 0 },
            topic_config_table: topics.collect(),
        };
        let body = RegisterBrokerBody { topic_config_serialize_wrapper: table, ..RegisterBrokerBody::default() };
        // Numbers, texts and maps of them always have a JSON form.
        Ok(serde_json::to_vec(&body).unwrap_or_default())
    }

    fn goodbye(&self) -> UnregisterBrokerHeader {
        UnregisterBrokerHeader {
            broker_name: self.identity.broker.clone(),
            broker_addr: self.identity.address.clone(),
            cluster_name: self.identity.cluster.clone(),
            broker_id: i64::try_from(self.identity.id).unwrap_or(i64::MAX),
        }
    }
}

type Call<'c> = BoxFuture<'c, Result<(), String>>;

/// Returns once one succeeds; gives why the last one failed if none does.
async fn first_of(calls: Vec<Call<'_>>) -> Result<(), String> {
    match calls.is_empty() {
        true => Err("no name server is configured".to_owned()),
        false => select_ok(calls).await.map(drop),
    }
}
