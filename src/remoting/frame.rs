//! Frames: the length-prefixed form of a command on a stream (RocketMQ `NettyDecoder`, `NettyEncoder`).
//!
//! RocketMQ protects a message's body, and nothing else of a frame: not a message's properties, not a list of acks. TCP's
//! sixteen bits let one damaged segment in 65,536 pass. So every frame that is written here carries a checksum of its body
//! in a header field of its own, which RocketMQ's readers skip; one that is read is checked if it has that field.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::{binary_header, command::Command, json_header};
use crate::sabotage;

/// RocketMQ's largest frame, in bytes with the length prefix.
pub const DEFAULT_MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

const LENGTH_BYTES: usize = 4;
const HEADER_WORD_BYTES: usize = 4;
const MAX_HEADER_BYTES: usize = 0x00FF_FFFF; // 24 bits of the header word

/// Header field of a frame with a body: the body's CRC-32, eight hexadecimal digits.
pub const BODY_CHECKSUM: &str = "bodyChecksum";

/// The text of [`BODY_CHECKSUM`] for a body; `None` for an empty one, which has nothing to protect.
fn checksum(body: &[u8]) -> Option<String> {
    (!body.is_empty()).then(|| format!("{:08x}", crc32fast::hash(body)))
}

/// Takes the checksum off a command that was read, which is as its sender wrote it if the checksum is that of its body.
fn verify(mut command: Command) -> Result<Command, FrameError> {
    if let Some(expected) = command.ext.remove(BODY_CHECKSUM) {
        let found = checksum(&command.body).unwrap_or_default();
        if found != expected && !sabotage!("frame-unchecked") {
            return Err(FrameError::BadChecksum { found, expected });
        }
    }
    Ok(command)
}

/// How a header is written. Both forms are read at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaderForm {
    /// JSON text, which can carry every command.
    #[default]
    Json,
    /// The compact form. A command whose numbers do not fit it (POP codes do not) is written as JSON.
    Binary,
}

impl HeaderForm {
    fn serialize_type(self) -> u32 {
        match self {
            Self::Json => 0,
            Self::Binary => 1,
        }
    }
}

/// Reads and writes frames.
#[derive(Debug, Clone, Copy)]
pub struct FrameCodec {
    max_frame_bytes: usize,
    form: HeaderForm,
}

impl Default for FrameCodec {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_FRAME_BYTES)
    }
}

impl FrameCodec {
    /// A codec that refuses frames of more than `max_frame_bytes`, the length prefix included, and writes JSON headers.
    pub fn new(max_frame_bytes: usize) -> Self {
        Self { max_frame_bytes, form: HeaderForm::Json }
    }

    /// Chooses how headers are written.
    #[must_use]
    pub fn with_form(mut self, form: HeaderForm) -> Self {
        self.form = form;
        self
    }

    /// Checks the two words at the front of a frame; gives the header's form and length.
    fn check_header_word(word: u32, after_length: usize) -> Result<(HeaderForm, usize), FrameError> {
        let form = match word >> 24 {
            0 => HeaderForm::Json,
            1 => HeaderForm::Binary,
            found => return Err(FrameError::BadSerializeType { found }),
        };
        let header_bytes = word as usize & MAX_HEADER_BYTES;
        if header_bytes > after_length - HEADER_WORD_BYTES {
            return Err(FrameError::HeaderOverrun { header_bytes, frame_bytes: after_length });
        }
        Ok((form, header_bytes))
    }
}

impl Decoder for FrameCodec {
    type Item = Command;
    type Error = FrameError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Command>, FrameError> {
        let Some(after_length) = peek_u32(src, 0).map(|length| length as usize) else { return Ok(None) };
        if after_length > self.max_frame_bytes.saturating_sub(LENGTH_BYTES) {
            return Err(FrameError::TooLong {
                bytes: after_length.saturating_add(LENGTH_BYTES),
                limit: self.max_frame_bytes,
            });
        }
        if after_length < HEADER_WORD_BYTES {
            return Err(FrameError::TooShort { bytes: after_length });
        }
        let Some(word) = peek_u32(src, LENGTH_BYTES) else { return Ok(None) };
        let (form, header_bytes) = Self::check_header_word(word, after_length)?;
        if src.len() < LENGTH_BYTES + after_length {
            return Ok(None); // nothing is reserved for it: the buffer grows by what really arrives
        }
        let mut frame = src.split_to(LENGTH_BYTES + after_length);
        frame.advance(LENGTH_BYTES + HEADER_WORD_BYTES);
        let header = frame.split_to(header_bytes);
        let body = frame.freeze();
        let command = match form {
            HeaderForm::Json => {
                json_header::read(&header, body).map_err(|e| FrameError::BadJsonHeader { reason: e.to_string() })?
            }
            HeaderForm::Binary => binary_header::read(&header, body)?,
        };
        verify(command).map(Some)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Command>, FrameError> {
        match self.decode(src)? {
            Some(command) => Ok(Some(command)),
            None if src.is_empty() => Ok(None),
            None => Err(FrameError::Truncated { bytes: src.len() }),
        }
    }
}

impl Encoder<&Command> for FrameCodec {
    type Error = FrameError;

    fn encode(&mut self, command: &Command, dst: &mut BytesMut) -> Result<(), FrameError> {
        let form = if binary_header::fits(command) { self.form } else { HeaderForm::Json };
        let checksum = checksum(&command.body);
        let header = match form {
            HeaderForm::Binary => binary_header::write(command, checksum.as_deref()),
            HeaderForm::Json => json_header::write(command, checksum.as_deref())
                .map_err(|e| FrameError::BadJsonHeader { reason: e.to_string() })?,
        };
        let after_length = HEADER_WORD_BYTES + header.len() + command.body.len();
        if header.len() > MAX_HEADER_BYTES || after_length + LENGTH_BYTES > self.max_frame_bytes {
            return Err(FrameError::TooLong { bytes: after_length + LENGTH_BYTES, limit: self.max_frame_bytes });
        }
        let length = u32::try_from(after_length)
            .map_err(|_| FrameError::TooLong { bytes: after_length, limit: u32::MAX as usize })?;
        dst.reserve(LENGTH_BYTES + after_length);
        dst.put_u32(length);
        dst.put_u32(form.serialize_type() << 24 | header.len() as u32);
        dst.put_slice(&header);
        dst.put_slice(&command.body);
        Ok(())
    }
}

impl Encoder<Command> for FrameCodec {
    type Error = FrameError;

    fn encode(&mut self, command: Command, dst: &mut BytesMut) -> Result<(), FrameError> {
        self.encode(&command, dst)
    }
}

fn peek_u32(src: &BytesMut, at: usize) -> Option<u32> {
    src.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Why bytes are not a frame, or a command cannot become one. Nothing after such bytes can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Larger than this side allows.
    #[error("frame of {bytes} bytes exceeds the limit of {limit}")]
    TooLong {
        /// Bytes of the frame, as announced.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The length does not even cover the header word.
    #[error("frame length {bytes} does not cover the header word")]
    TooShort {
        /// The announced length.
        bytes: usize,
    },
    /// The header claims more than the frame holds.
    #[error("header of {header_bytes} bytes does not fit a frame length of {frame_bytes}")]
    HeaderOverrun {
        /// Bytes of the header, as announced.
        header_bytes: usize,
        /// The announced frame length.
        frame_bytes: usize,
    },
    /// Neither JSON (0) nor binary (1).
    #[error("unknown serialize type {found}")]
    BadSerializeType {
        /// The byte found.
        found: u32,
    },
    /// The JSON header cannot be read.
    #[error("bad JSON header: {reason}")]
    BadJsonHeader {
        /// What the parser said.
        reason: String,
    },
    /// The binary header cannot be read.
    #[error("bad binary header: {field}: {reason}")]
    BadBinaryHeader {
        /// Where reading stopped.
        field: &'static str,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The body is not the one that the sender wrote.
    #[error("the body's checksum is {found:?}, the header says {expected:?}")]
    BadChecksum {
        /// That of the body that arrived; empty if there is none.
        found: String,
        /// As the sender wrote it.
        expected: String,
    },
    /// The stream ended inside a frame.
    #[error("stream ended {bytes} bytes into a frame")]
    Truncated {
        /// Bytes of the frame that did arrive.
        bytes: usize,
    },
    /// The stream itself failed.
    #[error("stream failed: {kind}: {reason}")]
    Stream {
        /// The kind of I/O error.
        kind: io::ErrorKind,
        /// The I/O error's text.
        reason: String,
    },
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Stream { kind: error.kind(), reason: error.to_string() }
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
