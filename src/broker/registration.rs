//! This broker's entry at the name servers (`BrokerOuterAPI.registerBrokerAll`).

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::{
    model::route::{DataVersion, RegisterBrokerBody, TopicTable},
    remoting::{
        Client, Command,
        code::{request, response},
        headers::{RegisterBrokerHeader, RegisterBrokerResponseHeader, UnregisterBrokerHeader},
    },
    sabotage,
    seams::Clock,
    store::{Store, StoreError, Tables},
};

/// How long a name server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

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
    clock: Arc<dyn Clock>,
    /// When this process began, Unix ms: what it registers is newer than what an earlier one did.
    began_ms: i64,
    /// Counts changes of the topic table.
    changed: AtomicU64,
    /// The count that some name server has taken.
    taken: AtomicU64,
    /// Whether the last registration was taken.
    registered: AtomicBool,
    /// Where the group's master is, as a registration of a slave was told last.
    master: std::sync::Mutex<Option<String>>,
    wake: Notify,
    one_at_a_time: Mutex<()>,
}

impl Registration {
    /// Nothing is registered yet.
    #[must_use]
    pub fn new(identity: Identity, client: Arc<Client>, store: Store, clock: Arc<dyn Clock>) -> Self {
        let began_ms = clock.now_ms();
        Self {
            identity,
            client,
            store,
            clock,
            began_ms,
            changed: AtomicU64::new(1),
            taken: AtomicU64::new(0),
            registered: AtomicBool::new(false),
            master: std::sync::Mutex::default(),
            wake: Notify::new(),
            one_at_a_time: Mutex::default(),
        }
    }

    /// Whether some name server took the last registration.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.registered.load(Ordering::SeqCst)
    }

    /// Where the master of this slave's group is; `None` until a name server has known one.
    #[must_use]
    pub fn master(&self) -> Option<String> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Registers anew, because whoever registers a slave is told where its master is.
    pub async fn look_for_master(&self) {
        if let Err(reason) = self.register().await {
            tracing::debug!(broker = %self.identity.broker, reason, "not registered");
        }
    }

    /// The topic table has changed.
    pub fn topics_changed(&self) {
        self.changed.fetch_add(1, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Registers at start, whenever topics change, and every so often, until `stop`; then takes the entry out.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        if sabotage!("differs-by-process") {
            tokio::time::sleep(Duration::from_millis(u64::from(std::process::id()) % 1_000)).await;
        }
        let mut outcome = self.register().await;
        loop {
            if let Err(reason) = &outcome {
                tracing::warn!(broker = %self.identity.broker, reason, "not registered");
            }
            let gives_up = sabotage!("registers-no-more") && outcome.is_err();
            outcome = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.wake.notified() => self.published().await,
                () = tokio::time::sleep(self.identity.every), if !gives_up => self.register().await,
            };
        }
        if !sabotage!("goodbye-left-out") {
            self.unregister().await;
        }
    }

    /// Returns once some name server has taken the topic table as it is now.
    ///
    /// # Errors
    /// Why none has.
    pub async fn published(&self) -> Result<(), String> {
        let wanted = self.changed.load(Ordering::SeqCst);
        let is_taken = || self.taken.load(Ordering::SeqCst) >= wanted;
        if sabotage!("retry-topic-without-route") || is_taken() {
            return Ok(());
        }
        let _turn = self.one_at_a_time.lock().await;
        if is_taken() {
            return Ok(()); // whoever had the turn before took this change along
        }
        self.register_now().await
    }

    async fn register(&self) -> Result<(), String> {
        let _turn = self.one_at_a_time.lock().await;
        self.register_now().await
    }

    async fn register_now(&self) -> Result<(), String> {
        let version = self.changed.load(Ordering::SeqCst);
        // A store that cannot be read leaves the broker unregistered like a name server that does not answer.
        let result = match self.body() {
            Ok(body) => self.tell_all(&body).await,
            Err(error) => Err(error.to_string()),
        };
        self.registered.store(result.is_ok() || sabotage!("registered-for-ever"), Ordering::SeqCst);
        if result.is_ok() || sabotage!("refused-counts-as-taken") {
            self.taken.fetch_max(version, Ordering::SeqCst);
        }
        result
    }

    /// Registers at every name server; fails if none has taken it.
    async fn tell_all(&self, body: &[u8]) -> Result<(), String> {
        let mut result = Err("no name server is configured".to_owned());
        let mut master = None;
        for name_server in &self.identity.name_servers {
            let request =
                Command::request(request::REGISTER_BROKER).with_header(&self.header(body)).with_body(body.to_vec());
            match self.client.call(name_server, request, TIMEOUT).await {
                Ok(answer) if answer.code == response::SUCCESS => {
                    result = Ok(());
                    master = master.or_else(|| answer.header().ok().and_then(master_in));
                }
                Ok(answer) if result.is_err() => result = Err(format!("{name_server} answered {}", answer.code)),
                Err(error) if result.is_err() => result = Err(error.to_string()),
                Ok(_) | Err(_) => {}
            }
        }
        if result.is_ok() {
            // That no name server knows one says nothing of the master, which may be there all the same.
            if let Some(address) = master {
                *self.master.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
            }
        }
        result
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

    async fn unregister(&self) {
        let header = UnregisterBrokerHeader {
            broker_name: self.identity.broker.clone(),
            broker_addr: self.identity.address.clone(),
            cluster_name: self.identity.cluster.clone(),
            broker_id: i64::try_from(self.identity.id).unwrap_or(i64::MAX),
        };
        for name_server in &self.identity.name_servers {
            let request = Command::request(request::UNREGISTER_BROKER).with_header(&header);
            if let Err(error) = self.client.call(name_server, request, TIMEOUT).await {
                tracing::debug!(%error, at_ms = self.clock.now_ms(), "not unregistered; the entry will expire");
            }
        }
    }
}

fn master_in(told: RegisterBrokerResponseHeader) -> Option<String> {
    told.master_addr.filter(|address| !address.is_empty())
}
