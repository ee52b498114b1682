//! Reset: the connection breaks under a request.
//!
//! Real world: a load balancer or a peer's kernel sends RST; the request is lost, the caller is told.
//!
//! Simulator: the request is dropped, and both ends read a connection reset one latency later, after what was already
//! under way to them.
//!
//! Cannot: lose bytes that were under way before the request.

use crate::world::{Connection, Fate, World};

pub(super) fn strike(world: &World, connection: &Connection) -> Fate {
    connection.reset(world);
    Fate::Vanish
}
