//! Shows the broker to its operator: what a scrape reads, and the server that answers it.

use std::{sync::Arc, time::Duration};

use super::{BrokerError, shared::Shared};
use crate::{
    metrics::{
        ActingReadings, FollowingReadings, Labels, MergingReadings, Metrics, Readings, TableReadings,
        breakers::BreakerState,
        http::{MetricsServer, Observed},
    },
    remote::{self, PeerState},
    sabotage,
    store::{Confirms, Store, StoreError, Tables},
};

/// Takes in what an earlier process left: the chains that were failing. From now on a stall is this process's.
///
/// # Errors
/// The store cannot be read.
pub(super) fn began(metrics: &Metrics, store: &Store, now_ms: i64) -> Result<(), StoreError> {
    metrics.recovery.began(now_ms);
    let view = store.view()?;
    for (_, key) in view.due_keys(usize::MAX)? {
        if let Some(chain) = view.chain_by_key(&key)? {
            metrics.recovery.failing.update(&chain);
        }
    }
    Ok(())
}

/// Serves metrics and health, if the configuration says where.
///
/// # Errors
/// The address is unusable.
pub(super) async fn serve(shared: &Arc<Shared>) -> Result<Option<MetricsServer>, BrokerError> {
    let Some(listen) = &shared.config.metrics_listen else { return Ok(None) };
    let observed = Observed {
        metrics: shared.metrics.clone(),
        labels: Labels { cluster: shared.config.cluster.clone(), node_id: shared.config.name.clone() },
        read: Box::new({
            let shared = shared.clone();
            move || shared.readings()
        }),
        stuck_after_ms: i64::try_from(shared.config.stuck_after_ms).unwrap_or(i64::MAX),
    };
    let server = MetricsServer::start(&*shared.host.transport, listen, observed)
        .await
        .map_err(|cause| BrokerError::Listen { address: listen.clone(), cause })?;
    tracing::info!(broker = %shared.config.name, address = server.address(), "metrics and health are served");
    Ok(Some(server))
}

/// A breaker's state as the metrics have it.
fn shown(state: remote::BreakerState) -> BreakerState {
    match state {
        remote::BreakerState::Closed => BreakerState::Closed,
        _ if sabotage!("given-up-shown-as-free") => BreakerState::Closed,
        remote::BreakerState::HalfOpen => BreakerState::HalfOpen,
        remote::BreakerState::Open => BreakerState::Open,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A slave's chains are driven by its master, and a master that may lack something drives none yet: that they are overdue here
/// says nothing.
fn undriven(tables: TableReadings) -> TableReadings {
    TableReadings { overdue: 0, overdue_since_ms: None, ..tables }
}

impl Shared {
    /// What a scrape reads instead of counting it.
    pub(super) fn readings(&self) -> Readings {
        let now_ms = self.host.clock.now_ms();
        for PeerState { peer, state, .. } in self.neighbours.peers() {
            self.metrics.breakers.set(&peer, shown(state));
        }
        let tables = self.store.view().and_then(|view| view.readings(now_ms));
        let is_slave = self.config.is_slave();
        let tables = if is_slave || self.store.may_lack() { tables.map(undriven) } else { tables };
        let following = is_slave.then(|| self.following_readings()).flatten();
        if let Err(error) = &tables {
            tracing::warn!(%error, "the tables cannot be read for a scrape");
        }
        Readings {
            now_ms,
            tables: tables.ok(),
            registered: self.registration.is_registered(),
            long_polls: self.arrivals.waiting(),
            following,
            unconfirmed_ms: self.unconfirmed_ms(),
            acting: self.acting_readings(),
            merging: self.merging_readings(),
        }
    }

    fn unconfirmed_ms(&self) -> Option<u64> {
        match self.config.confirms() {
            Confirms::Alone => None,
            // Nobody was heard who could confirm anything.
            Confirms::WhenTold { .. } if self.store.may_lack() => Some(millis(self.began.elapsed())),
            Confirms::WhenTold { .. } => Some(millis(self.store.unconfirmed_for().unwrap_or_default())),
        }
    }

    fn following_readings(&self) -> Option<FollowingReadings> {
        let last_index = self.store.durable().and_then(|view| view.last_index()).ok()?;
        Some(self.following.readings(last_index))
    }

    fn acting_readings(&self) -> Option<ActingReadings> {
        let is_shown = self.config.is_slave() && self.config.acting_to.is_some();
        is_shown.then(|| ActingReadings { acts: self.store.acts().is_some(), term: self.acting.number() })
    }

    fn merging_readings(&self) -> Option<MergingReadings> {
        if self.config.is_slave() || self.config.acting_to.is_none() {
            return None;
        }
        let term = self.store.view().and_then(|view| view.merged_term(&self.config.name)).ok()?;
        Some(MergingReadings { term, waited_ms: self.taking_back.waited().map(millis) })
    }
}
