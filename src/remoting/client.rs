//! The calling side: one reused connection per address, answers matched by opaque. One that a call has waited on in vain for
//! long, and that nothing else has come on meanwhile, is not used again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicI32},
    time::Duration,
};

use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    call_error::CallError,
    client_connection::{Connection, PendingCall, Waiter, drive},
    command::Command,
    frame::FrameCodec,
    frame_stream::frame_of,
    idle::DEFAULT_IDLE_CLOSE,
};
use crate::seams::Transport;

/// Settings of a [`Client`].
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// How long one attempt to connect may take, however long its callers would wait.
    pub connect_timeout: Duration,
    /// Calls that may be under way at once, one-way ones included.
    pub max_in_flight: usize,
    /// A connection unused for this long, with no call pending, is closed.
    pub idle_close: Duration,
    /// How frames are written, and the largest one.
    pub codec: FrameCodec,
}

impl Default for ClientConfig {
    /// RocketMQ's values: 3 s, 65,535 calls, 120 s, JSON headers and 16 MiB.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            max_in_flight: 65_535,
            idle_close: DEFAULT_IDLE_CLOSE,
            codec: FrameCodec::default(),
        }
    }
}

/// Calls other nodes (RocketMQ `NettyRemotingClient`). Share it in an `Arc`.
///
/// Requests that a peer sends over a connection of the client are ignored.
pub struct Client {
    shared: Arc<Shared>,
}

/// What calls and connections have in common.
pub(super) struct Shared {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) config: ClientConfig,
    pub(super) closed: CancellationToken,
    in_flight: Semaphore,
    next_opaque: AtomicI32,
    connections: Mutex<BTreeMap<String, Arc<Connection>>>,
}

impl Client {
    /// A client over `transport`. Connections are made when first needed.
    pub fn new(transport: Arc<dyn Transport>, config: ClientConfig) -> Self {
        let shared = Shared {
            transport,
            closed: CancellationToken::new(),
            in_flight: Semaphore::new(config.max_in_flight.min(Semaphore::MAX_PERMITS)),
            next_opaque: AtomicI32::new(0),
            connections: Mutex::new(BTreeMap::new()),
            config,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sends `request` to `address` and waits for the answer; `timeout` covers connecting, writing and waiting.
    ///
    /// # Errors
    /// No answer was received; whatever code an answer carries, it is an `Ok`. An answer that comes after the timeout
    /// is dropped.
    pub async fn call(&self, address: &str, request: Command, timeout: Duration) -> Result<Command, CallError> {
        let (waiter, answer) = oneshot::channel();
        self.exchange(address, request, Waiter::Answer(waiter), answer, timeout).await
    }

    /// Sends `request` to `address` as one-way and returns once it is flushed to the network.
    ///
    /// # Errors
    /// It may not have been flushed.
    pub async fn send_oneway(&self, address: &str, request: Command, timeout: Duration) -> Result<(), CallError> {
        let (waiter, written) = oneshot::channel();
        self.exchange(address, request, Waiter::Written(waiter), written, timeout).await
    }

    /// Ends all connections; calls under way and later ones fail with [`CallError::Reset`]. Dropping does the same.
    pub fn close(&self) {
        self.shared.closed.cancel();
    }

    async fn exchange<T>(
        &self,
        address: &str,
        request: Command,
        waiter: Waiter,
        outcome: oneshot::Receiver<Result<T, CallError>>,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let Ok(_permit) = self.shared.in_flight.try_acquire() else {
            return Err(CallError::Overloaded { peer: address.into(), limit: self.shared.config.max_in_flight });
        };
        let oneway = matches!(waiter, Waiter::Written(_));
        let call = self.shared.begin(address, waiter)?;
        let frame = frame_of(&request.asking(call.opaque(), oneway), self.shared.config.codec)
            .map_err(|cause| CallError::Malformed { peer: address.into(), cause })?;
        let exchange = async {
            call.send(frame).await;
            outcome.await
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(CallError::Reset { peer: address.into(), cause: "the connection's task ended".into() }),
            Err(_) => Err(CallError::Timeout { peer: address.into(), after: timeout }),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Registers a call with the live connection to `address`, starting one when there is none.
    fn begin(self: &Arc<Self>, address: &str, mut waiter: Waiter) -> Result<PendingCall, CallError> {
        let mut connections = self.connections();
        if self.closed.is_cancelled() {
            return Err(CallError::Reset { peer: address.into(), cause: "the client is closed".into() });
        }
        if let Some(connection) = connections.get(address) {
            match connection.register(&self.next_opaque, waiter) {
                Ok(call) => return Ok(call),
                Err(back) => waiter = back, // it has ended, or will
            }
        }
        let (call, connection, queue) =
            Connection::with_first_call(address, self.config.idle_close, &self.next_opaque, waiter);
        connections.insert(address.to_owned(), Arc::clone(&connection));
        tokio::spawn(drive(Arc::clone(self), connection, queue));
        Ok(call)
    }

    /// Drops an ended connection, unless another has taken its place.
    pub(super) fn forget(&self, ended: &Arc<Connection>) {
        let mut connections = self.connections();
        if connections.get(ended.peer()).is_some_and(|current| Arc::ptr_eq(current, ended)) {
            connections.remove(ended.peer());
        }
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
