//! One connection of a client: a task that connects, writes what is queued and hands out the answers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

use super::{
    call_error::CallError,
    client::Shared,
    command::Command,
    frame::FrameError,
    frame_stream::{CommandReader, write_frame},
    idle::Idle,
};
use crate::{sabotage, seams::BoxStream};

/// Frames that may wait for the writer; more callers wait outside, on their own timeouts.
const QUEUED_FRAMES: usize = 64;

/// A call that was given up after so long, while nothing has come since it began, neither its answer nor another's, leaves a
/// connection that takes no more calls and ends with those under way (RocketMQ's `clientCloseSocketIfTimeout`): the other end may
/// be gone without a word, and TCP would go on sending for a quarter of an hour.
const SILENCE: Duration = Duration::from_secs(2);

/// Who waits for what of a call.
pub(super) enum Waiter {
    /// For the answer.
    Answer(oneshot::Sender<Result<Command, CallError>>),
    /// Only for the flush, for one-way requests.
    Written(oneshot::Sender<Result<(), CallError>>),
}

/// A frame on its way out, with the opaque of its call.
pub(super) type Outgoing = (i32, BytesMut);

/// One connection, from before it is established until it has ended.
pub(super) struct Connection {
    peer: String,
    queue: mpsc::Sender<Outgoing>,
    calls: Mutex<Calls>,
    idle: Idle,
    /// The last call of a connection that takes no more has ended.
    left: Notify,
}

#[derive(Default)]
struct Calls {
    pending: BTreeMap<i32, Waiter>,
    is_established: bool,
    /// How many frames have come.
    heard: u64,
    /// Takes no more calls: it has ended, or will when those pending have.
    ended: bool,
}

/// A registered call; dropping it gives the call up.
pub(super) struct PendingCall {
    connection: Arc<Connection>,
    opaque: i32,
    began: Instant,
    /// How many frames had come by then.
    heard_before: u64,
}

impl PendingCall {
    pub(super) fn opaque(&self) -> i32 {
        self.opaque
    }

    /// Queues the request. When the connection has ended meanwhile, the waiter has been told.
    pub(super) async fn send(&self, frame: BytesMut) {
        let _ = self.connection.queue.send((self.opaque, frame)).await;
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        let mut calls = self.connection.calls();
        let in_vain = calls.pending.remove(&self.opaque).is_some() && self.began.elapsed() >= SILENCE;
        let is_silent = in_vain && calls.is_established && calls.heard == self.heard_before;
        if is_silent && !calls.ended && !sabotage!("dead-connection-kept") {
            calls.ended = true;
            tracing::warn!(peer = self.connection.peer, "leaving a connection that nothing comes on");
        }
        if calls.ended && calls.pending.is_empty() {
            self.connection.left.notify_one();
        }
    }
}

impl Connection {
    /// A connection about to be established, with its first call registered.
    pub(super) fn with_first_call(
        peer: &str,
        idle_close: Duration,
        next_opaque: &AtomicI32,
        waiter: Waiter,
    ) -> (PendingCall, Arc<Self>, mpsc::Receiver<Outgoing>) {
        let (queue, queued) = mpsc::channel(QUEUED_FRAMES);
        let opaque = next(next_opaque);
        let calls = Calls { pending: BTreeMap::from([(opaque, waiter)]), ..Calls::default() };
        let (peer, idle, left) = (peer.to_owned(), Idle::new(idle_close), Notify::new());
        let connection = Arc::new(Self { peer, queue, calls: Mutex::new(calls), idle, left });
        let call = PendingCall { connection: Arc::clone(&connection), opaque, began: Instant::now(), heard_before: 0 };
        (call, connection, queued)
    }

    /// Registers a call under an opaque that no pending one has; gives the waiter back when the connection takes none.
    pub(super) fn register(self: &Arc<Self>, next_opaque: &AtomicI32, waiter: Waiter) -> Result<PendingCall, Waiter> {
        let mut calls = self.calls();
        if calls.ended {
            return Err(waiter);
        }
        let mut opaque = next(next_opaque);
        while calls.pending.contains_key(&opaque) {
            opaque = next(next_opaque);
        }
        calls.pending.insert(opaque, waiter);
        let heard_before = calls.heard;
        Ok(PendingCall { connection: Arc::clone(self), opaque, began: Instant::now(), heard_before })
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects and serves calls until the connection ends; gives the reason.
    async fn run(&self, shared: &Shared, queue: mpsc::Receiver<Outgoing>) -> CallError {
        let limit = shared.config.connect_timeout;
        let stream: BoxStream = match tokio::time::timeout(limit, shared.transport.connect(&self.peer)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.connect_failed(format!("{}: {error}", error.kind())),
            Err(_) => return self.connect_failed(format!("no connection within {limit:?}")),
        };
        self.idle.touch();
        self.calls().is_established = true;
        let (read, write) = tokio::io::split(stream);
        tokio::select! {
            biased;
            end = self.read_answers(CommandReader::new(read, shared.config.codec)) => end,
            end = self.write_requests(write, queue) => end,
            end = self.unused() => end,
            () = self.left.notified() => self.reset("nothing came in time"),
        }
    }

    async fn read_answers<R: AsyncRead + Unpin>(&self, mut answers: CommandReader<R>) -> CallError {
        loop {
            match answers.next().await {
                Ok(Some(answer)) => self.answered(answer),
                Ok(None) => return self.reset("closed by the peer"),
                Err(error @ (FrameError::Stream { .. } | FrameError::Truncated { .. })) => return self.reset(error),
                Err(cause) => {
                    tracing::warn!(peer = self.peer, reason = %cause, "closing a connection that sent a malformed frame");
                    return CallError::Malformed { peer: self.peer.clone(), cause };
                }
            }
        }
    }

    /// Hands an answer to its caller. One that nobody waits for (any more) is dropped, as is a request.
    fn answered(&self, answer: Command) {
        self.idle.touch();
        let mut calls = self.calls();
        calls.heard += 1;
        if !answer.is_response() {
            return;
        }
        if let Some(Waiter::Answer(_)) = calls.pending.get(&answer.opaque)
            && let Some(Waiter::Answer(waiter)) = calls.pending.remove(&answer.opaque)
        {
            let _ = waiter.send(Ok(answer)); // the caller may have given up this instant
        }
    }

    async fn write_requests(
        &self,
        mut stream: impl AsyncWrite + Unpin,
        mut queue: mpsc::Receiver<Outgoing>,
    ) -> CallError {
        while let Some((opaque, frame)) = queue.recv().await {
            if !self.calls().pending.contains_key(&opaque) {
                continue; // given up while it was queued
            }
            if let Err(error) = write_frame(&mut stream, &frame).await {
                return self.reset(error);
            }
            self.idle.touch();
            self.written(opaque);
        }
        self.reset("closed by the client")
    }

    fn written(&self, opaque: i32) {
        let mut calls = self.calls();
        if let Some(Waiter::Written(_)) = calls.pending.get(&opaque)
            && let Some(Waiter::Written(waiter)) = calls.pending.remove(&opaque)
        {
            let _ = waiter.send(Ok(())); // the caller may have given up this instant
        }
    }

    /// Waits until nothing was exchanged for the idle time and nothing is expected, and takes no calls from then on.
    async fn unused(&self) -> CallError {
        loop {
            self.idle.expired().await;
            let mut calls = self.calls();
            if calls.pending.is_empty() {
                calls.ended = true;
                return self.reset("idle");
            }
            self.idle.touch();
        }
    }

    /// Takes no calls from now on and fails those pending.
    fn end(&self, reason: &CallError) {
        let pending = {
            let mut calls = self.calls();
            calls.ended = true;
            std::mem::take(&mut calls.pending)
        };
        for waiter in pending.into_values() {
            match waiter {
                Waiter::Answer(waiter) => drop(waiter.send(Err(reason.clone()))),
                Waiter::Written(waiter) => drop(waiter.send(Err(reason.clone()))),
            }
        }
    }

    fn connect_failed(&self, cause: String) -> CallError {
        CallError::Connect { peer: self.peer.clone(), cause }
    }

    fn reset(&self, cause: impl ToString) -> CallError {
        CallError::Reset { peer: self.peer.clone(), cause: cause.to_string() }
    }
}

/// The life of a connection.
pub(super) async fn drive(shared: Arc<Shared>, connection: Arc<Connection>, queue: mpsc::Receiver<Outgoing>) {
    let reason = tokio::select! {
        biased;
        () = shared.closed.cancelled() => connection.reset("the client is closed"),
        reason = connection.run(&shared, queue) => reason,
    };
    connection.end(&reason);
    shared.forget(&connection);
}

/// The next opaque: not negative, and starting over after the largest.
fn next(counter: &AtomicI32) -> i32 {
    counter.fetch_add(1, Ordering::Relaxed) & i32::MAX
}
