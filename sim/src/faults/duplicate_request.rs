//! Duplicate request: a request arrives twice.
//!
//! Real world: a proxy or a client library repeats what it believes lost, above TCP, and both copies arrive.
//!
//! Simulator: the frame is delivered twice in a row, on its connection, with its opaque. The server serves both; the
//! caller takes the first answer, and drops the second, whose opaque it does not know any more.
//!
//! Cannot: bring the second copy much later, or by another connection; a lost answer makes clients do so.

use crate::world::Fate;

pub(super) fn strike() -> Fate {
    Fate::DeliverTwice
}
