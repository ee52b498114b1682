//! Commands over the two halves of a stream.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::{Decoder, Encoder};

use super::{
    command::Command,
    frame::{FrameCodec, FrameError},
};

/// Room made in the buffer before each read, in bytes.
const READ_BYTES: usize = 8 * 1024;

/// Reads commands from a stream.
pub(super) struct CommandReader<R> {
    stream: R,
    codec: FrameCodec,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> CommandReader<R> {
    pub(super) fn new(stream: R, codec: FrameCodec) -> Self {
        Self { stream, codec, buffer: BytesMut::new() }
    }

    /// The next command; `None` when the peer ended the stream between two frames.
    pub(super) async fn next(&mut self) -> Result<Option<Command>, FrameError> {
        loop {
            if let Some(command) = self.codec.decode(&mut self.buffer)? {
                return Ok(Some(command));
            }
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return self.codec.decode_eof(&mut self.buffer);
            }
        }
    }
}

/// The whole frame of `command` in one buffer.
pub(super) fn frame_of(command: &Command, mut codec: FrameCodec) -> Result<BytesMut, FrameError> {
    let mut frame = BytesMut::new();
    codec.encode(command, &mut frame)?;
    Ok(frame)
}

/// Writes one frame and flushes once: whoever watches the stream sees one frame per flush.
pub(super) async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> std::io::Result<()> {
    stream.write_all(frame).await?;
    stream.flush().await
}
