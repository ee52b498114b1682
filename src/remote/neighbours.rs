//! The other groups, as the reviver and the processors see them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    breaker::BreakerConfig,
    breakers::{Breakers, PeerState},
    read::INNER_CONSUMER_GROUP,
    routes::Routes,
};
use crate::{
    model::{
        cause::{Cause, ReadFailure},
        chain::Chain,
    },
    remoting::{CallError, Client},
    revive::{Admission, Peers, ReadOutcome},
    seams::Clock,
    sometimes,
};

/// Who we are to them, and how long we wait.
#[derive(Debug, Clone)]
pub struct NeighboursConfig {
    /// This broker's name.
    pub own_broker: String,
    /// Its id in its group; 0 is the master.
    pub own_id: u64,
    /// The cluster's name.
    pub cluster: String,
    /// How long a remote read may take, ms (RocketMQ: 10,000).
    pub read_timeout_ms: u64,
    /// How long handing over may take, ms (RocketMQ: 3,000).
    pub hand_over_timeout_ms: u64,
    /// What each of them may be asked for.
    pub peers: BreakerConfig,
}

/// The other groups.
pub struct Neighbours {
    pub(super) client: Arc<Client>,
    pub(super) routes: Routes,
    pub(super) breakers: Breakers,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: NeighboursConfig,
}

impl Neighbours {
    /// Talks to them through `client`.
    #[must_use]
    pub fn new(client: Arc<Client>, routes: Routes, clock: Arc<dyn Clock>, config: NeighboursConfig) -> Self {
        Self { client, routes, breakers: Breakers::new(config.peers), clock, config }
    }

    /// Where the breakers of the peers stand.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerState> {
        self.breakers.states()
    }

    /// Why whoever needs `peer` at once is better told so now: it has failed, and no probe is due.
    #[must_use]
    pub fn refusal(&self, peer: &str) -> Option<ReadFailure> {
        self.breakers.refusal(peer)
    }

    /// This slave acts for its group's master, or none does any longer, where it is 0: messages are read where they can be.
    pub fn acts(&self, broker: &str, member: u64) {
        self.routes.acts(broker, i64::try_from(member).unwrap_or(i64::MAX));
    }

    /// The group under which this broker reads from others.
    pub(super) fn inner_consumer_group(&self) -> String {
        format!("{INNER_CONSUMER_GROUP}{}_{}", self.config.own_broker, self.config.own_id)
    }
}

#[async_trait]
impl Peers for Neighbours {
    fn admission(&self, peer: &str) -> Admission {
        self.breakers.admission(peer)
    }

    fn away_for(&self, peer: &str) -> Option<Duration> {
        self.breakers.away_for(peer)
    }

    fn back_for(&self, peer: &str) -> Duration {
        self.breakers.back_for(peer)
    }

    async fn read(&self, chains: &[Chain]) -> Vec<ReadOutcome> {
        self.read_from_owner(chains).await
    }

    async fn hand_over(&self, to: &str, chains: &[Chain]) -> Result<(), ReadFailure> {
        self.hand_chains_over(to, chains).await
    }
}

/// What a failed call means as a cause.
pub(super) fn cause_of_call(error: &CallError) -> Cause {
    match error {
        CallError::Connect { .. } => sometimes!("call-refused", Cause::Refused),
        CallError::Timeout { .. } => sometimes!("call-timeout", Cause::Timeout),
        CallError::Reset { .. } => sometimes!("call-reset", Cause::Reset),
        CallError::Overloaded { .. } => sometimes!("call-overloaded", Cause::Overloaded),
        CallError::Malformed { .. } => sometimes!("call-malformed", Cause::MalformedAnswer),
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
