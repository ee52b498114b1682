//! One connection of a server: requests are read in order, worked on side by side, answered as they finish.

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, mpsc},
};

use super::{
    code::response,
    command::Command,
    frame::{FrameCodec, FrameError},
    frame_stream::{CommandReader, frame_of, write_frame},
    idle::Idle,
    server::{Peer, Shared},
};
use crate::seams::BoxStream;

/// Answers that may wait for the writer; a peer that does not read them is not read from either.
const QUEUED_ANSWERS: usize = 64;

/// An answer on its way out. The permit of its request is given back once it is flushed.
struct Outgoing {
    answer: Command,
    _permit: Option<OwnedSemaphorePermit>,
}

/// The life of a connection.
pub(super) async fn serve(shared: Arc<Shared>, stream: BoxStream, peer: Peer, _permit: OwnedSemaphorePermit) {
    let (read, write) = tokio::io::split(stream);
    let (answers, queued) = mpsc::channel(QUEUED_ANSWERS);
    let idle = Idle::new(shared.config.idle_close);
    let requests = CommandReader::new(read, shared.config.codec);
    let end = tokio::select! {
        biased;
        () = shared.ended.cancelled() => Ok(()),
        end = read_requests(&shared, &peer, requests, answers, &idle) => end,
        end = write_answers(write, queued, shared.config.codec, &idle) => end,
        () = idle.expired() => Ok(()),
    };
    match end {
        Ok(()) => {}
        Err(error @ (FrameError::Stream { .. } | FrameError::Truncated { .. })) => {
            tracing::debug!(peer = peer.address, reason = %error, "connection lost");
        }
        Err(error) => {
            tracing::warn!(peer = peer.address, reason = %error, "closing a connection that sent a malformed frame");
        }
    }
}

async fn read_requests<R: AsyncRead + Unpin>(
    shared: &Arc<Shared>,
    peer: &Peer,
    mut requests: CommandReader<R>,
    answers: mpsc::Sender<Outgoing>,
    idle: &Idle,
) -> Result<(), FrameError> {
    loop {
        let next = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return std::future::pending().await, // answers may still go out
            next = requests.next() => next?,
        };
        let Some(request) = next else { return Ok(()) };
        idle.touch();
        if request.is_response() {
            continue; // the server asks nothing, so nothing can be answered
        }
        match Arc::clone(&shared.in_flight).try_acquire_owned() {
            Ok(permit) => {
                tokio::spawn(work(Arc::clone(shared), peer.clone(), request, answers.clone(), permit));
            }
            Err(_) if request.is_oneway() => {}
            Err(_) => {
                let answer = overloaded(shared.config.max_in_flight).reply_to(&request);
                let _ = answers.send(Outgoing { answer, _permit: None }).await; // fails only when this connection ends
            }
        }
    }
}

/// Works on one request.
async fn work(
    shared: Arc<Shared>,
    peer: Peer,
    request: Command,
    answers: mpsc::Sender<Outgoing>,
    permit: OwnedSemaphorePermit,
) {
    let (opaque, oneway) = (request.opaque, request.is_oneway());
    let answer = tokio::select! {
        biased;
        () = shared.ended.cancelled() => return,
        answer = shared.handler.handle(&peer, request) => answer,
    };
    if !oneway {
        let outgoing = Outgoing { answer: answer.answering(opaque), _permit: Some(permit) };
        let _ = answers.send(outgoing).await; // the peer may have gone
    }
}

async fn write_answers(
    mut stream: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Outgoing>,
    codec: FrameCodec,
    idle: &Idle,
) -> Result<(), FrameError> {
    while let Some(outgoing) = queue.recv().await {
        let frame = frame_of(&outgoing.answer, codec).or_else(|error| {
            let refusal =
                Command::response(response::SYSTEM_ERROR).with_remark(format!("cannot frame the answer: {error}"));
            frame_of(&refusal.reply_to(&outgoing.answer), codec)
        })?;
        write_frame(&mut stream, &frame).await?;
        idle.touch();
    }
    Ok(())
}

fn overloaded(limit: u32) -> Command {
    Command::response(response::SYSTEM_BUSY).with_remark(format!("[OVERLOAD]{limit} requests are in work already"))
}
