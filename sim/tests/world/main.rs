//! The simulated world, seen from a node: what each fault does to connections, processes and disks.
#![allow(clippy::unwrap_used, reason = "tests")]

mod disk;
mod network;
mod nodes;
mod rig;
mod sites;
