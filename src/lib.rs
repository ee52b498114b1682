//! pop-revive: the POP, revive and remote-read path of a RocketMQ-compatible message broker.
//!
//! A consumer group *pops* messages; each popped message gets a *chain* (RocketMQ: checkpoint). What is not acked in
//! time is *revived*: copied to the group's retry topic. Its message may have to be read from another broker, and that
//! read may fail: this crate says why it failed, tries again with growing waits that always end, and never takes a
//! failure for an absence.
//!
//! The crate runs on the real network and, compiled with `--cfg madsim`, inside the simulator `pop-sim`. What differs
//! is handed in at start, see [`seams`].

pub mod broker;
pub mod buggify;
pub mod metrics;
pub mod model;
pub mod namesrv;
pub mod remote;
pub mod remoting;
pub mod revive;
pub mod sabotage;
pub mod seams;
pub mod sometimes;
pub mod store;
pub mod wake;
