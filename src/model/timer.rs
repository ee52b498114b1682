//! A delayed message as other groups know it: who acts for an absent master hands over what falls due.
//!
//! RocketMQ's acting slave puts it to another broker (`TimerMessageStore`, `EscapeBridge.putMessage`) and keeps in a
//! checkpoint of its own how far it has come; a master that is back delivers once more what lies between the two.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Names a delayed message of a group for ever: the record of the group's log that accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimerId {
    /// When it is due, Unix ms on the clock of whoever accepted it.
    pub due_ms: i64,
    /// The entry.
    pub index: u64,
    /// The record in that entry.
    pub record: u32,
}

/// A delayed message that has fallen due and is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueTimer {
    /// Which.
    pub id: TimerId,
    /// The message, with its true topic and queue, in stored form.
    pub stored: Bytes,
    /// The groups that are consuming its topic: where they have never popped, none of them may begin behind it.
    pub groups: Vec<String>,
}

/// A delayed message of another group that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenTimer {
    /// Which.
    pub id: TimerId,
    /// The term under which it was handed over.
    pub term: u64,
}
