//! Other groups: where they are, reading their messages, handing chains over to them.

pub mod classify;
pub mod hand_over;
pub mod neighbours;
pub mod read;
pub mod routes;

pub use neighbours::Neighbours;
