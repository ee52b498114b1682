//! Opening a broker's store. A slave whose store is damaged, and stays so, sets it aside and begins anew: its master has all of
//! it, and asks first what the slave did in its place (see `begin_anew`).

use std::time::Duration;

use tokio::time::Instant;

use super::{BrokerError, config::BrokerConfig};
use crate::{
    sabotage,
    seams::Host,
    sometimes,
    store::{CommitListener, Store, StoreConfig, StoreError},
};

/// How often a damaged store is read again.
const RETRY: Duration = Duration::from_secs(5);

/// Opens the store, recovering it if need be.
///
/// # Errors
/// It cannot be opened; or it is damaged, and no slave's, or cannot be set aside.
pub(super) async fn open_store(
    host: &Host,
    config: &BrokerConfig,
    store: &StoreConfig,
    listener: &CommitListener,
) -> Result<Store, BrokerError> {
    let began = Instant::now();
    let patience = Duration::from_millis(config.begins_anew_after_ms);
    loop {
        let damage = match Store::open(host, store.clone(), listener.clone()).await {
            Err(StoreError::Damaged(damage)) if begins_anew(config) => damage,
            opened => return Ok(opened?),
        };
        let (broker, id) = (&config.name, config.id);
        if began.elapsed() < patience {
            tracing::error!(%broker, id, %damage, "the store is damaged; reading it again");
            sometimes!("damaged-read-again");
            tokio::time::sleep(RETRY.min(patience)).await;
            continue;
        }
        tracing::error!(%broker, id, %damage, "the store stays damaged; it is set aside, and this slave begins anew");
        sometimes!("damaged-set-aside");
        Store::set_aside(host).await.map_err(|cause| BrokerError::SetAside { damage, cause })?;
        return Ok(Store::open(host, store.clone(), listener.clone()).await?);
    }
}

/// Whether this member sets a damaged store aside.
pub(super) fn begins_anew(config: &BrokerConfig) -> bool {
    (config.is_slave() || sabotage!("master-begins-anew")) && config.begins_anew_after_ms > 0
}
