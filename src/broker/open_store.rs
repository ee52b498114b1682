//! Opening a broker's store, also one that is damaged and stays so. A slave sets it aside and begins anew: its master has all
//! of it, and asks first what the slave did in its place (see `begin_anew`). A broker that has it alone goes on with what is
//! left of it, and says what is lost.

use std::time::Duration;

use tokio::time::Instant;

use super::{BrokerError, config::BrokerConfig};
use crate::{
    sabotage,
    seams::Host,
    sometimes,
    store::{CommitListener, Damage, Store, StoreConfig, StoreError},
};

/// How often a damaged store is read again.
const RETRY: Duration = Duration::from_secs(5);

/// What a broker does about a store that stays damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// It sets the store aside and gets everything from its master.
    BeginsAnew,
    /// It goes on with what is left.
    Salvages,
}

/// What this member does about a store that stays damaged, and after how long; nothing where that is an operator's decision.
fn remedy(config: &BrokerConfig) -> Option<(Remedy, Duration)> {
    let (remedy, after_ms) = match config.is_slave() || sabotage!("master-begins-anew") {
        true => (Remedy::BeginsAnew, config.begins_anew_after_ms),
        false if config.degree == 1 => (Remedy::Salvages, config.salvages_after_ms),
        false => return None,
    };
    (after_ms > 0).then_some((remedy, Duration::from_millis(after_ms)))
}

/// Whether this member does something about a damaged store by itself.
pub(super) fn has_remedy(config: &BrokerConfig) -> bool {
    remedy(config).is_some()
}

/// Opens the store, recovering it if need be.
///
/// # Errors
/// It cannot be opened; or it is damaged, and that is for an operator, or cannot be helped.
pub(super) async fn open_store(
    host: &Host,
    config: &BrokerConfig,
    store: &StoreConfig,
    listener: &CommitListener,
) -> Result<Store, BrokerError> {
    let began = Instant::now();
    loop {
        let opened = Store::open(host, store.clone(), listener.clone()).await;
        let (damage, (remedy, patience)) = match (opened, remedy(config)) {
            (Err(StoreError::Damaged(damage)), Some(remedy)) => (damage, remedy),
            (opened, _) => return Ok(opened?),
        };
        let (broker, id) = (&config.name, config.id);
        if began.elapsed() < patience {
            tracing::error!(%broker, id, %damage, "the store is damaged; reading it again");
            sometimes!("damaged-read-again");
            tokio::time::sleep(RETRY.min(patience)).await;
            continue;
        }
        match remedy {
            Remedy::BeginsAnew => {
                tracing::error!(%broker, id, %damage, "the store stays damaged; it is set aside, and this slave begins anew");
                sometimes!("damaged-set-aside");
                Store::set_aside(host).await.map_err(|cause| BrokerError::SetAside { damage, cause })?;
            }
            Remedy::Salvages => salvage(host, config, store, damage).await?,
        }
        return Ok(Store::open(host, store.clone(), listener.clone()).await?);
    }
}

async fn salvage(host: &Host, config: &BrokerConfig, store: &StoreConfig, damage: Damage) -> Result<(), BrokerError> {
    let broker = &config.name;
    tracing::error!(%broker, %damage, "the store stays damaged; putting together what is left of it");
    sometimes!("damaged-salvaged");
    let salvaged = Store::salvage(host, store.clone(), broker).await;
    let losses = salvaged.map_err(|cause| BrokerError::Salvage { damage, cause })?;
    match losses.is_empty() {
        true => tracing::warn!(%broker, "nothing of the damaged store is lost"),
        false => tracing::error!(%broker, ?losses, "going on without what is lost of the damaged store"),
    }
    Ok(())
}
