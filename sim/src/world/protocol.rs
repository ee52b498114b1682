//! What the network reads of the bytes it carries: where a frame ends, and which answer belongs to which request.
//!
//! Faults are addressed by request, so the network has to know one when it sees it; of the rest of a protocol it knows
//! nothing.

use bytes::{Bytes, BytesMut};

use crate::plan::Damage;

/// A protocol, as far as the network has to know it.
pub trait Protocol: Send + Sync + 'static {
    /// Splits off the first whole frame of what was flushed; bytes that are no frame come out in one piece.
    fn split_first(&self, flushed: &mut BytesMut) -> Bytes {
        flushed.split().freeze()
    }

    /// What the first bytes of a frame that leaves `end` say. `None` for bytes that are neither request nor answer: they
    /// are delivered, and only what cuts or slows a link has an effect on them.
    fn read(&self, frame: &[u8], end: End) -> Option<Header>;

    /// A frame that answers the request `opaque` with `code` and nothing else; `None` where the protocol has no such
    /// answer, and then no plan may ask for it.
    fn answer(&self, code: i32, opaque: i32) -> Option<Bytes> {
        let _ = (code, opaque);
        None
    }

    /// The answer with this damage; `roll` says which bit is flipped where one is. `None` when there is nothing in it that
    /// could have this damage, or the protocol knows of none.
    fn damage(&self, answer: &Bytes, damage: Damage, roll: u64) -> Option<Bytes> {
        let _ = (answer, damage, roll);
        None
    }
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The one that dialled.
    Dialling,
    /// The one that accepted.
    Accepting,
}

impl End {
    /// The end at this side of a connection: 0 dialled.
    pub(super) const fn at(side: usize) -> Self {
        if side == 0 { Self::Dialling } else { Self::Accepting }
    }
}

/// By what requests and answers are told apart and matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether it asks or answers.
    pub kind: FrameKind,
    /// What is asked for, or what the answer is.
    pub code: i32,
    /// Shared by a request and its answer on one connection.
    pub opaque: i32,
}

/// Whether a frame asks or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// It will be answered.
    Request,
    /// It asks and will not be answered.
    OneWay,
    /// It answers.
    Response,
}

/// A protocol in which one request at a time is under way on a connection: what the dialling end flushes asks, what the
/// other end flushes answers. The code is the first byte.
#[derive(Debug, Clone, Copy, Default)]
pub struct InTurn;

impl Protocol for InTurn {
    fn read(&self, frame: &[u8], end: End) -> Option<Header> {
        let kind = match end {
            End::Dialling => FrameKind::Request,
            End::Accepting => FrameKind::Response,
        };
        Some(Header { kind, code: i32::from(*frame.first()?), opaque: 0 })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn in_turn_whoever_dialled_asks_and_the_other_end_answers() {
        let kind = |end| InTurn.read(b"get", end).unwrap().kind;
        assert_eq!((kind(End::Dialling), kind(End::Accepting)), (FrameKind::Request, FrameKind::Response));
        assert_eq!(InTurn.read(b"get", End::Dialling).unwrap().code, i32::from(b'g'));
        assert_eq!(InTurn.read(b"", End::Dialling), None);
    }
}
