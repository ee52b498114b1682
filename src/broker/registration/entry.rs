//! This broker's entry at one name server. Each is kept up to date by itself, so that one that does not answer holds up
//! nothing at the others.

use std::{
    sync::{
        PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, Notify};

use crate::{
    remoting::{
        Client, Command,
        code::{request, response},
        headers::{RegisterBrokerHeader, RegisterBrokerResponseHeader, UnregisterBrokerHeader},
    },
    sabotage,
};

/// How long a name server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What one name server knows of this broker.
pub(super) struct Entry {
    name_server: String,
    /// The count of changes of the topic table that it has taken.
    taken: AtomicU64,
    /// Whether it took the last registration.
    is_registered: AtomicBool,
    /// Where it last said that the group's master is.
    master: std::sync::Mutex<Option<String>>,
    /// The topic table has changed.
    pub wake: Notify,
    /// Held by whoever registers.
    pub turn: Mutex<()>,
}

impl Entry {
    pub fn new(name_server: &str) -> Self {
        Self {
            name_server: name_server.to_owned(),
            taken: AtomicU64::new(0),
            is_registered: AtomicBool::new(false),
            master: std::sync::Mutex::default(),
            wake: Notify::new(),
            turn: Mutex::default(),
        }
    }

    pub fn has_taken(&self, version: u64) -> bool {
        self.taken.load(Ordering::SeqCst) >= version
    }

    pub fn is_registered(&self) -> bool {
        self.is_registered.load(Ordering::SeqCst)
    }

    pub fn master(&self) -> Option<String> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what became of registering this version of the topic table.
    pub fn registered(&self, version: u64, outcome: &Result<(), String>) {
        self.is_registered.store(outcome.is_ok() || sabotage!("registered-for-ever"), Ordering::SeqCst);
        if outcome.is_ok() || sabotage!("refused-counts-as-taken") {
            self.taken.fetch_max(version, Ordering::SeqCst);
        }
    }

    /// Registers.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn register(&self, client: &Client, header: &RegisterBrokerHeader, body: Vec<u8>) -> Result<(), String> {
        let request = Command::request(request::REGISTER_BROKER).with_header(header).with_body(body);
        match client.call(&self.name_server, request, TIMEOUT).await {
            Ok(answer) if answer.code == response::SUCCESS => {
                // That it knows no master says nothing of that one, which may be there all the same.
                if let Some(address) = answer.header().ok().and_then(master_in) {
                    *self.master.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
                }
                Ok(())
            }
            Ok(answer) => Err(format!("{} answered {}", self.name_server, answer.code)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Says goodbye.
    pub async fn unregister(&self, client: &Client, header: &UnregisterBrokerHeader) {
        let request = Command::request(request::UNREGISTER_BROKER).with_header(header);
        if let Err(error) = client.call(&self.name_server, request, TIMEOUT).await {
            tracing::debug!(name_server = %self.name_server, %error, "not unregistered; the entry will expire");
        }
    }
}

fn master_in(told: RegisterBrokerResponseHeader) -> Option<String> {
    told.master_addr.filter(|address| !address.is_empty())
}
