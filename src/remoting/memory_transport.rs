//! A network in memory, for tests.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::seams::{BoxStream, Listener, Transport};

type Accepted = (BoxStream, String);

/// Pipes by address. Connecting to `silence` never ends.
#[derive(Clone, Default)]
pub(crate) struct MemoryTransport {
    listeners: Arc<Mutex<BTreeMap<String, mpsc::UnboundedSender<Accepted>>>>,
    connects: Arc<AtomicUsize>,
}

impl MemoryTransport {
    /// Connections asked for so far.
    pub(crate) fn connects(&self) -> usize {
        self.connects.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn connect(&self, address: &str) -> io::Result<BoxStream> {
        let count = self.connects.fetch_add(1, Ordering::Relaxed);
        if address == "silence" {
            std::future::pending::<()>().await;
        }
        let (near, far) = tokio::io::duplex(64 * 1024);
        let listeners = self.listeners.lock().map_err(|_| io::ErrorKind::Other)?;
        let listener = listeners.get(address).ok_or(io::ErrorKind::ConnectionRefused)?;
        listener.send((Box::new(far), format!("client:{count}"))).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(near))
    }

    async fn bind(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let (sender, accepted) = mpsc::unbounded_channel();
        self.listeners.lock().map_err(|_| io::ErrorKind::Other)?.insert(address.to_owned(), sender);
        Ok(Box::new(MemoryListener { address: address.to_owned(), accepted }))
    }
}

struct MemoryListener {
    address: String,
    accepted: mpsc::UnboundedReceiver<Accepted>,
}

#[async_trait]
impl Listener for MemoryListener {
    fn local_address(&self) -> String {
        self.address.clone()
    }

    async fn accept(&mut self) -> io::Result<Accepted> {
        match self.accepted.recv().await {
            Some(accepted) => Ok(accepted),
            None => std::future::pending().await, // another listener took the address
        }
    }
}
