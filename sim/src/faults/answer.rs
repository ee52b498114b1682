//! Answer: a request is not served; the caller gets a planned response code.
//!
//! Real world: the peer is busy, shutting down, has no permission to give, or its store fails.
//!
//! Simulator: the request is dropped and the caller reads a response frame with the planned code, its opaque, the remark
//! `injected` and no body, one latency later. A one-way request is dropped only.
//!
//! Cannot: apply the request first; that would need the peer's help.

use crate::world::{Connection, Fate, World, tap::FrameFacts};

pub(super) fn strike(world: &World, connection: &Connection, side: usize, request: &FrameFacts, code: i32) -> Fate {
    connection.answer_for(world, side, request, code);
    Fate::Vanish
}
