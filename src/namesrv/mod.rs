//! The name server: brokers register, everyone asks for routes (RocketMQ `NamesrvController`).
//!
//! All state is in memory and comes back with the brokers' next registrations.

mod handler;
pub mod routes;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{handler::RouteHandler, routes::RouteTable};
use crate::{
    remoting::{Server, ServerConfig},
    seams::Host,
};

/// Settings of a [`NameServer`].
#[derive(Debug, Clone)]
pub struct NameServerConfig {
    /// Where to listen, `host:port`; port 0 picks a free one.
    pub listen: String,
    /// Whether routes show the smallest id of a group without master as its master (RocketMQ `supportActingMaster`).
    pub show_acting_master: bool,
    /// How long requests in work may go on at shutdown.
    pub shutdown_deadline: Duration,
    /// Limits of the server.
    pub server: ServerConfig,
}

impl Default for NameServerConfig {
    /// RocketMQ's port and values.
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:9876".into(),
            show_acting_master: false,
            shutdown_deadline: Duration::from_secs(3),
            server: ServerConfig::default(),
        }
    }
}

/// Why a name server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NameServerError {
    /// The address cannot be listened on.
    #[error("name server cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: String,
        /// What the network said.
        #[source]
        cause: io::Error,
    },
}

/// A running name server. Dropping it ends it at once.
pub struct NameServer {
    server: Server,
    shutdown_deadline: Duration,
    _expiry: DropGuard,
}

/// What the handler and the expiry task have in common.
struct Shared {
    routes: Mutex<RouteTable>,
    /// A broker registered: the next expiry may be sooner.
    registered: Notify,
    started: Instant,
}

impl NameServer {
    /// Starts a name server on `host`.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(host: Host, config: NameServerConfig) -> Result<Self, NameServerError> {
        let bound = host.transport.bind(&config.listen).await;
        let listener = bound.map_err(|cause| NameServerError::Bind { address: config.listen.clone(), cause })?;
        let shared = Arc::new(Shared {
            routes: Mutex::new(RouteTable::new(config.show_acting_master)),
            registered: Notify::new(),
            started: Instant::now(),
        });
        let stop = CancellationToken::new();
        tokio::spawn(expire_brokers(Arc::clone(&shared), stop.clone()));
        let server = Server::start(listener, Arc::new(RouteHandler::new(shared)), config.server);
        Ok(Self { server, shutdown_deadline: config.shutdown_deadline, _expiry: stop.drop_guard() })
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> &str {
        self.server.local_address()
    }

    /// Ends it after the requests in work, at the latest after the configured deadline.
    pub async fn shutdown(self) {
        self.server.shutdown(self.shutdown_deadline).await;
    }
}

impl Shared {
    /// The routes as of now: brokers whose time has run out are gone. Also gives now.
    fn routes(&self) -> (MutexGuard<'_, RouteTable>, Duration) {
        let now = self.started.elapsed();
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        for broker in routes.expire(now) {
            tracing::warn!(?broker, "broker gave no sign of life and is removed");
        }
        (routes, now)
    }
}

/// Removes brokers when their time runs out. Armed for the earliest one only; signs of life do not wake it, so it may
/// find nothing to do and arm itself anew.
async fn expire_brokers(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let next = shared.routes().0.next_expiry().and_then(|at| shared.started.checked_add(at));
        let expiry = async {
            match next {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = shared.registered.notified() => {}
            () = expiry => {}
        }
    }
}

#[cfg(test)]
mod tests;
