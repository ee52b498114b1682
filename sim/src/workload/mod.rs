//! The simulated clients: they speak the real remoting protocol to real brokers and record what they see.
//!
//! Nothing here looks into a broker. A client is one node's program: its tasks end when that node is killed, it waits on
//! simulated time only, and its draws come from the generator it is given. Clients do not tick: they wake to send, to
//! poll and to act on a message.

pub mod body;
pub mod client;
pub mod consumer;
pub mod operator;
pub mod producer;
pub mod receipt;
pub mod route;
pub mod scraper;

mod answer;
mod apache_slave;
mod habits;
mod handling;
mod pause;
mod slave_requests;
mod span;

#[cfg(test)]
mod apache_slave_tests;
#[cfg(test)]
mod consumer_tests;
#[cfg(test)]
pub(crate) mod fake_broker;
#[cfg(test)]
mod producer_tests;

pub use crate::history::{Recorder, Sink};
pub use apache_slave::Kept;
pub use client::WireClient;
pub use operator::{SetupError, setup};
pub use producer::Begun;
pub use route::{Endpoint, Route};
