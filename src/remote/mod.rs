//! Other groups: where they are, whether they may be called, reading their messages, handing chains over to them.

pub mod acting;
pub mod breaker;
pub mod breakers;
pub mod classify;
pub mod hand_over;
pub mod neighbours;
pub mod read;
pub mod routes;
pub mod voting;

pub use breaker::{BreakerConfig, BreakerState, BudgetError};
pub use breakers::PeerState;
pub use neighbours::Neighbours;
