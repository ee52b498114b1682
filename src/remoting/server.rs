//! The answering side.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{command::Command, frame::FrameCodec, idle::DEFAULT_IDLE_CLOSE, server_connection::serve};
use crate::seams::Listener;

/// Pause after the listener failed, before it is asked again.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The peer's `host:port`.
    pub address: String,
}

/// Answers requests.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. The server sets the opaque and the response bit, and drops the answer to a one-way request.
    ///
    /// Runs in a task of its own, and to its end even when the peer has gone; only the end of the server's shutdown
    /// deadline, or dropping the server, drops it at an await point.
    async fn handle(&self, peer: &Peer, request: Command) -> Command;
}

/// Settings of a [`Server`].
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Requests that may be in work at once, held long polls included; over it the answer is SYSTEM_BUSY.
    pub max_in_flight: u32,
    /// Connections that may be open at once; over it a new one is closed.
    pub max_connections: u32,
    /// A connection without a read or write for this long is closed.
    pub idle_close: Duration,
    /// How frames are written, and the largest one.
    pub codec: FrameCodec,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 10_000,
            max_connections: 10_000,
            idle_close: DEFAULT_IDLE_CLOSE,
            codec: FrameCodec::default(),
        }
    }
}

/// A running server (RocketMQ `NettyRemotingServer`). Dropping it closes everything at once.
pub struct Server {
    local_address: String,
    shared: Arc<Shared>,
}

/// What the accepting task and the connections have in common.
pub(super) struct Shared {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) config: ServerConfig,
    /// One permit per request in work, held until its answer is flushed.
    pub(super) in_flight: Arc<Semaphore>,
    /// One permit per open connection, and one for the accepting task.
    tasks: Arc<Semaphore>,
    /// No new connections and requests.
    pub(super) stopping: CancellationToken,
    /// Everything ends now.
    pub(super) ended: CancellationToken,
}

impl Server {
    /// Serves the connections of `listener` with `handler`.
    pub fn start(listener: Box<dyn Listener>, handler: Arc<dyn Handler>, config: ServerConfig) -> Self {
        let shared = Arc::new(Shared {
            handler,
            in_flight: Arc::new(Semaphore::new(config.max_in_flight as usize)),
            tasks: Arc::new(Semaphore::new(config.max_connections as usize + 1)),
            stopping: CancellationToken::new(),
            ended: CancellationToken::new(),
            config,
        });
        let server = Self { local_address: listener.local_address(), shared };
        tokio::spawn(accept(Arc::clone(&server.shared), listener));
        server
    }

    /// The address that was bound, with the real port.
    pub fn local_address(&self) -> &str {
        &self.local_address
    }

    /// Takes no more connections and requests, lets those in work finish until `deadline` has passed, then closes.
    /// Returns once the port is free and all connections are closed.
    pub async fn shutdown(self, deadline: Duration) {
        self.shared.stopping.cancel();
        let finished = self.shared.in_flight.acquire_many(self.shared.config.max_in_flight);
        if tokio::time::timeout(deadline, finished).await.is_err() {
            tracing::warn!(address = self.local_address, ?deadline, "shutting down with requests still in work");
        }
        self.shared.ended.cancel();
        let everything = self.shared.config.max_connections.saturating_add(1);
        let _ = self.shared.tasks.acquire_many(everything).await; // fails only when closed, and nobody closes it
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
        self.shared.ended.cancel();
    }
}

async fn accept(shared: Arc<Shared>, mut listener: Box<dyn Listener>) {
    let Ok(_permit) = Arc::clone(&shared.tasks).try_acquire_owned() else { return };
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => match Arc::clone(&shared.tasks).try_acquire_owned() {
                Ok(permit) => {
                    tokio::spawn(serve(Arc::clone(&shared), stream, Peer { address }, permit));
                }
                Err(_) => tracing::warn!(
                    peer = address,
                    limit = shared.config.max_connections,
                    "closing a connection: too many are open"
                ),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::select! {
                    biased;
                    () = shared.stopping.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_RETRY) => {}
                }
            }
        }
    }
}
