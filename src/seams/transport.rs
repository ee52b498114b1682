//! Network seam: byte streams by address.

use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connected, ordered, reliable byte stream in both directions.
///
/// A writer hands over one whole frame per `flush`: the simulated network judges and counts frames by flush.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// An owned [`Stream`].
pub type BoxStream = Box<dyn Stream>;

/// Opens and accepts [`BoxStream`]s. Addresses are `host:port`.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Connects to `address`.
    ///
    /// Has no timeout of its own: connecting into silence waits until the caller gives up.
    ///
    /// # Errors
    /// What the network said: refused, unreachable, bad address.
    async fn connect(&self, address: &str) -> io::Result<BoxStream>;

    /// Listens on `address`; port 0 picks a free port.
    ///
    /// # Errors
    /// The address is taken or is not this host's.
    async fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>>;
}

/// A bound address that yields incoming connections.
#[async_trait]
pub trait Listener: Send + 'static {
    /// The address that was bound, with the real port.
    fn local_address(&self) -> String;

    /// Waits for the next connection; gives the stream and the peer's `host:port`.
    ///
    /// # Errors
    /// The listener itself is broken; a bad connection is not an error here.
    async fn accept(&mut self) -> io::Result<(BoxStream, String)>;
}
