//! The real network: TCP.

use std::io;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};

use super::{BoxStream, Listener, Transport};

/// TCP of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

#[async_trait]
impl Transport for Tcp {
    async fn connect(&self, address: &str) -> io::Result<BoxStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }

    async fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(TcpAccept { listener: TcpListener::bind(address).await? }))
    }
}

struct TcpAccept {
    listener: TcpListener,
}

#[async_trait]
impl Listener for TcpAccept {
    fn local_address(&self) -> String {
        self.listener.local_addr().map(|a| a.to_string()).unwrap_or_default()
    }

    async fn accept(&mut self) -> io::Result<(BoxStream, String)> {
        let (stream, peer) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((Box::new(stream), peer.to_string()))
    }
}
