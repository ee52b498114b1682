//! Which chains have a job: none is taken up twice.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::model::chain::ChainId;

/// The chains that have a job, by their keys. Apart from the service that drives them, which keeps results with their
/// claims: a claim that held on to the service would never let go of it.
#[derive(Default)]
pub(super) struct Claims {
    busy: Mutex<BTreeSet<String>>,
    released: Notify,
}

impl Claims {
    /// The chains that have a job now.
    pub(super) fn busy(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps these for one job.
    pub(super) fn claim(self: &Arc<Self>, ids: &[ChainId]) -> Claim {
        let keys: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.busy().extend(keys.iter().cloned());
        Claim { claims: self.clone(), keys }
    }

    /// Returns once a job has let go of its chains.
    pub(super) async fn released(&self) {
        self.released.notified().await;
    }
}

/// Some chains that have a job, until it is dropped.
pub(super) struct Claim {
    claims: Arc<Claims>,
    keys: Vec<String>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut busy = self.claims.busy();
        for key in &self.keys {
            busy.remove(key);
        }
        drop(busy);
        self.claims.released.notify_one();
    }
}
