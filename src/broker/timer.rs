//! Delayed messages: each is appended to its topic in the transaction that takes it off the list.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    buggify,
    model::{chain::LogPosition, message::Message, record::Record, timer::TimerId},
    sabotage,
    seams::Clock,
    store::{Step, Store, StoreError, Tables, TopicRow, Txn},
    wake::Wake,
};

/// How many delayed messages one transaction delivers.
const BATCH: usize = 128;
/// How long to wait before trying again when the store refuses.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// Delivers delayed messages when they fall due, until `stop`.
pub async fn run(
    store: Store,
    store_host: SocketAddr,
    clock: Arc<dyn Clock>,
    wake: Arc<Wake>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let next_due_ms = match fire_due(&store, store_host, &*clock).await {
            Ok(next_due_ms) => next_due_ms,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "delayed messages could not be delivered; trying again");
                tokio::time::sleep(STORE_WAIT).await;
                continue;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = wake.wait(&*clock, next_due_ms) => {}
        }
    }
}

/// Delivers what is due, if anything is; tells when the next one is.
async fn fire_due(store: &Store, store_host: SocketAddr, clock: &dyn Clock) -> Result<Option<i64>, StoreError> {
    // A look at the committed tables costs no transaction.
    match store.view()?.first_timers(1)?.first() {
        Some(first) if first.due_ms <= clock.now_ms() => store.submit_at_length(FireTimers { store_host }).await,
        later => Ok(later.map(|timer| timer.due_ms)),
    }
}

/// Delivers what is due; tells when the next one is.
struct FireTimers {
    store_host: SocketAddr,
}

impl Step for FireTimers {
    type Reply = Option<i64>;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Option<i64>, StoreError> {
        for timer in txn.first_timers(buggify!("fires-one-timer", 1, BATCH))? {
            let early_ms = if sabotage!("timer-early") { 10_000 } else { 0 };
            if timer.due_ms > txn.now_ms().saturating_add(early_ms) {
                return Ok(Some(timer.due_ms));
            }
            self.fire(txn, timer)?;
        }
        let next = if sabotage!("timers-left-behind") { None } else { txn.first_timers(1)?.into_iter().next() };
        Ok(next.map(|timer| timer.due_ms))
    }
}

impl FireTimers {
    fn fire(&self, txn: &mut Txn<'_, '_>, TimerId { due_ms, index, record }: TimerId) -> Result<(), StoreError> {
        let Some(Record::Timer { mut stored, epoch, .. }) = txn.record_at(index, record)? else {
            return Err(StoreError::Dangling { table: "timers", key: format!("{due_ms}/{index}/{record}"), index });
        };
        match Message::decode(&mut stored) {
            // What was sent to a topic that was deleted since is gone with it, whatever has its name now.
            Ok(message) if !is_there(txn, &message.topic, epoch)? => {}
            Ok(mut message) => {
                message.store_timestamp = txn.now_ms();
                message.store_host = self.store_host;
                if let Err(refused) = txn.append(message)? {
                    tracing::error!(index, %refused, "a delayed message cannot be stored; it stays in the log only");
                }
            }
            Err(error) => tracing::error!(index, %error, "a delayed message cannot be read; it stays in the log only"),
        }
        txn.record(Record::TimerFired { due_ms, index, record })
    }
}

/// Whether the topic of that creation still exists. A record that does not name one is older than deletions.
pub(super) fn is_there(tables: &impl Tables, topic: &str, epoch: LogPosition) -> Result<bool, StoreError> {
    let is_it =
        |row: TopicRow| epoch == LogPosition::default() || row.epoch == epoch || sabotage!("delayed-into-successor");
    Ok(tables.topic(topic)?.is_some_and(is_it))
}
