//! Lets messages expire (`CleanCommitLogService`): by age and by size, from the front of the log.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::config::RetentionConfig;
use crate::{
    sabotage,
    seams::Clock,
    store::{Expiry, Retention, Step, Store, StoreError, Txn},
    wake::Wake,
};

/// How long to wait before trying again when the store refuses.
const STORE_WAIT: Duration = Duration::from_secs(1);
/// What has expired lies for this long at the most, so that one commit takes much of it (RocketMQ cleans every 10 s).
const LIES_MAX_MS: i64 = 600_000;

impl RetentionConfig {
    /// As the store has it.
    pub(super) fn rule(self) -> Retention {
        let age_ms = self.age_ms.map(|age_ms| i64::try_from(age_ms).unwrap_or(i64::MAX));
        Retention { age_ms, bytes: self.bytes }
    }

    /// How long what has expired may lie, ms: a tenth of its life.
    pub(super) fn lies_ms(self) -> i64 {
        let never = sabotage!("nothing-expires").then_some(i64::MAX);
        never.unwrap_or_else(|| {
            self.rule().age_ms.map_or(LIES_MAX_MS / 10, |age_ms| (age_ms / 10).clamp(1, LIES_MAX_MS))
        })
    }
}

/// Lets expire what is past its retention, until `stop`. `wake` announces, some time after each commit, that there may
/// be more to do; nothing ticks while nothing is stored and nothing is due.
pub async fn run(
    store: Store,
    broker: String,
    config: RetentionConfig,
    clock: Arc<dyn Clock>,
    wake: Arc<Wake>,
    stop: CancellationToken,
) {
    let retention = config.rule();
    if retention == Retention::default() {
        return;
    }
    while !stop.is_cancelled() {
        let next_ms = match expire_due(&store, &broker, retention, &*clock).await {
            Ok(next_ms) => next_ms.map(|next_ms| next_ms.saturating_add(config.lies_ms())),
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "expired messages could not be taken off; trying again");
                tokio::time::sleep(STORE_WAIT).await;
                continue;
            }
        };
        let announced_ms = Some(wake.take_announced_ms()).filter(|announced_ms| *announced_ms < i64::MAX);
        let deadline_ms = next_ms.into_iter().chain(announced_ms).min();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = wake.wait(&*clock, deadline_ms) => {}
        }
    }
}

/// Lets expire what is due; tells when the next thing is.
async fn expire_due(
    store: &Store,
    broker: &str,
    retention: Retention,
    clock: &dyn Clock,
) -> Result<Option<i64>, StoreError> {
    loop {
        // A look at the committed tables costs no transaction.
        let next_ms = store.view()?.next_expiry_ms(retention, clock.now_ms())?;
        if next_ms.is_none_or(|next_ms| next_ms > clock.now_ms()) {
            return Ok(next_ms);
        }
        let Expiry { messages, more } = store.submit_at_length(Expire { broker: broker.to_owned(), retention }).await?;
        if messages > 0 {
            tracing::info!(broker, messages, "messages have expired");
        }
        if !more {
            let next_ms = store.view()?.next_expiry_ms(retention, clock.now_ms())?;
            return Ok(next_ms);
        }
    }
}

/// Takes off what has expired.
struct Expire {
    broker: String,
    retention: Retention,
}

impl Step for Expire {
    type Reply = Expiry;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Expiry, StoreError> {
        txn.expire(&self.broker, self.retention)
    }
}
