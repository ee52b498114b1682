//! The transactions on chains, one file each.

pub mod ack;
pub mod adopt;
pub mod conclude;
pub mod delete_topic;
pub mod grant;
pub mod merge;
pub mod renew;
pub mod reset_offset;
pub mod resume;
pub mod seal;
pub mod take_timers;
pub mod tick;

#[cfg(test)]
mod tests;
