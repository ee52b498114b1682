//! Takes up chains whose wait is over.

use std::collections::BTreeSet;

use crate::{
    model::cause::ReadFailure,
    revive::{
        apply::{Home, Job},
        engine::Event,
    },
    sometimes,
    store::{Step, StoreError, Tables, Txn},
};

/// Revives what is due and held here; begins (durably) the attempts that need another node.
pub struct Tick {
    /// This broker.
    pub home: Home,
    /// The chains to take up, by their keys. What is not due any more is left alone.
    pub keys: Vec<String>,
    /// Those among them that are taken up before they are due, because the peer that they wait for is back.
    pub hurried: BTreeSet<String>,
    /// Those that have waited for an absent peer for as long as the policy lasts, and for whom.
    pub waited: Vec<(String, ReadFailure)>,
    /// Whether a peer is still away: it may have come back while this waited for the commit before.
    pub is_away: Box<dyn Fn(&str) -> bool + Send>,
}

/// What a tick came to.
#[derive(Debug, Default)]
pub struct Ticked {
    /// Jobs to be done now.
    pub jobs: Vec<Job>,
    /// When the first of the chains is due that were left alone, Unix ms: they are not due yet, for the clock was set back,
    /// or their peer is back after all.
    pub not_yet_ms: Option<i64>,
}

impl Step for Tick {
    type Reply = Ticked;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Ticked, StoreError> {
        let now_ms = txn.now_ms();
        let mut ticked = Ticked::default();
        let taken_up = |key: String| match self.hurried.contains(&key) {
            true => sometimes!("tick-hurried", (key, Event::PeerBack)),
            false => sometimes!("tick-due", (key, Event::Due)),
        };
        let due = self.keys.into_iter().map(taken_up);
        let waited = self.waited.into_iter().map(|(key, failure)| (key, Event::Waited { failure }));
        for (key, event) in due.chain(waited) {
            let Some(chain) = txn.chain_by_key(&key)? else {
                return Err(StoreError::Dangling { table: "due", key, index: 0 });
            };
            let is_early = |due_ms: i64| due_ms > now_ms && !matches!(event, Event::PeerBack);
            let is_in_vain = !matches!(&event, Event::Waited { failure } if !(self.is_away)(&failure.peer));
            if let Some(due_ms) = chain.due_ms().filter(|due_ms| is_early(*due_ms) || !is_in_vain) {
                match is_in_vain {
                    true => sometimes!("tick-early"),
                    false => sometimes!("tick-peer-back"),
                }
                ticked.not_yet_ms = Some(ticked.not_yet_ms.map_or(due_ms, |first| first.min(due_ms)));
                continue;
            }
            let applied = self.home.apply(txn, &chain, event)?;
            ticked.jobs.extend(applied.job);
        }
        Ok(ticked)
    }
}
