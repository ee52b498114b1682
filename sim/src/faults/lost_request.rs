//! Lost request: a request never arrives.
//!
//! Real world: the peer's queue overflowed, a proxy dropped it, the peer died after the kernel acknowledged the bytes.
//!
//! Simulator: the whole frame is dropped; the connection lives on and later frames pass.
//!
//! Cannot: drop part of a frame.

use crate::world::Fate;

pub(super) fn strike() -> Fate {
    Fate::Vanish
}
