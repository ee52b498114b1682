//! Reading what a broker cannot fake: synced pages, stored messages, frames.
//!
//! This decoder shares no type and no code with the broker under test. A broker that writes something else than it
//! believes, or believes something else than it writes, is found out here.

pub mod entry;
mod fields;
pub mod frame;
pub mod message;
pub mod pages;
mod payload;
pub mod recovery;
pub mod tables;

pub use entry::{
    Cause, ChainFact, ChainId, ChainState, CopyPlace, DurableEntry, Fact, FailedAttempt, Failure, GoneProof, Outcome,
    ParkReason, Position, TimerId,
};
pub use message::StoredMessage;
pub use pages::{Conflict, DiskScanner};
pub use payload::timers_handed_over;
pub use tables::Tables;
