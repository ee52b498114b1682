//! Takes up every chain whose wait is over.

use std::collections::BTreeSet;

use crate::{
    model::chain::ChainId,
    revive::{
        apply::{Home, Job},
        engine::Event,
    },
    store::{Step, StoreError, Tables, Txn},
};

/// Revives what is due and held here; begins (durably) the attempts that need another node.
pub struct Tick {
    /// This broker.
    pub home: Home,
    /// Chains with a job under way: not taken up again.
    pub busy: BTreeSet<String>,
    /// How many jobs may be begun.
    pub job_limit: usize,
    /// How many chains one transaction takes up.
    pub chain_limit: usize,
}

/// What a tick came to.
#[derive(Debug, Default)]
pub struct Ticked {
    /// Jobs to be done now.
    pub jobs: Vec<Job>,
    /// When the next chain is due, Unix ms; in the past when there was more than one transaction takes.
    pub next_due_ms: Option<i64>,
}

impl Step for Tick {
    type Reply = Ticked;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Ticked, StoreError> {
        let now_ms = txn.now_ms();
        let mut ticked = Ticked::default();
        let candidates = txn.due_keys(self.chain_limit + self.busy.len() + 1)?;
        let mut taken = 0;
        for (due_ms, key) in candidates {
            if self.busy.contains(&key) {
                continue;
            }
            if due_ms > now_ms || taken == self.chain_limit || ticked.jobs.len() == self.job_limit {
                ticked.next_due_ms = Some(due_ms);
                break;
            }
            taken += 1;
            let Some(chain) = txn.chain_by_key(&key)? else {
                return Err(StoreError::Dangling { table: "due", key, index: 0 });
            };
            let applied = self.home.apply(txn, &chain, Event::Due)?;
            ticked.jobs.extend(applied.job);
        }
        if ticked.next_due_ms.is_none() {
            ticked.next_due_ms = first_waiting(txn, &self.busy, &ticked.jobs)?;
        }
        Ok(ticked)
    }
}

/// The earliest due time among the chains that have no job.
fn first_waiting(txn: &Txn<'_, '_>, busy: &BTreeSet<String>, jobs: &[Job]) -> Result<Option<i64>, StoreError> {
    let has_job = |key: &str| busy.contains(key) || jobs.iter().any(|job| is(key, &job.chain().id));
    let keys = txn.due_keys(busy.len() + jobs.len() + 1)?;
    Ok(keys.into_iter().find(|(_, key)| !has_job(key)).map(|(due_ms, _)| due_ms))
}

fn is(key: &str, id: &ChainId) -> bool {
    id.to_string() == key
}
