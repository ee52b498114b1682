//! The transactions on chains, one file each.

pub mod ack;
pub mod adopt;
pub mod conclude;
pub mod renew;
pub mod resume;
pub mod tick;

#[cfg(test)]
mod tests;
