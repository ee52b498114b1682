//! The seams between the broker and the world it runs in.
//!
//! Everything a node takes from outside (network, wall clock, disk, and where blocking work runs) is handed in at start
//! as one [`Host`]. The real build passes [`tcp`], [`system_clock`] and [`file_disk`]; the simulator passes its own.
//! There is no other place in this crate where the two worlds differ.

pub mod clock;
pub mod disk;
pub mod file_disk;
pub mod steady_clock;
pub mod system_clock;
pub mod tcp;
pub mod transport;

#[cfg(test)]
pub(crate) mod memory_host;

use std::sync::Arc;

pub use clock::Clock;
pub use disk::{Blocking, Disk};
pub use transport::{BoxStream, Listener, Transport};

/// The machine a node runs on: its network, clock, disk, and thread for blocking work.
#[derive(Clone)]
pub struct Host {
    /// The network.
    pub transport: Arc<dyn Transport>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// Where commits run, so that an fsync never stalls an async worker.
    pub blocking: Arc<dyn Blocking>,
}
