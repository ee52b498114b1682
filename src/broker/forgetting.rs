//! Forgets chains that have long been over.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    seams::Clock,
    store::{Step, Store, StoreError, Txn},
    wake::Wake,
};

/// How long to wait before trying again when the store refuses.
const STORE_WAIT: Duration = Duration::from_secs(1);
/// How long chains that may be forgotten lie at the most, so that one commit takes many of them.
const LIES_MAX_MS: i64 = 600_000;

const fn lies_ms(window_ms: i64) -> i64 {
    let share = window_ms / 10;
    if share < LIES_MAX_MS { share + 1 } else { LIES_MAX_MS }
}

/// When a chain is forgotten, ms after it was over.
pub(super) fn forgotten_after_ms(window_ms: u64) -> i64 {
    let window_ms = i64::try_from(window_ms).unwrap_or(i64::MAX);
    window_ms.saturating_add(lies_ms(window_ms))
}

/// Forgets chains `window_ms` after they were over, until `stop`; never if the window is 0. `wake` announces when chains
/// that have just ended may be forgotten.
pub async fn run(store: Store, window_ms: u64, clock: Arc<dyn Clock>, wake: Arc<Wake>, stop: CancellationToken) {
    let window_ms = i64::try_from(window_ms).unwrap_or(i64::MAX);
    if window_ms == 0 {
        return;
    }
    while !stop.is_cancelled() {
        let next_ms = match forget_due(&store, window_ms, &*clock).await {
            Ok(next_ms) => next_ms,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "chains could not be forgotten; trying again");
                tokio::time::sleep(STORE_WAIT).await;
                continue;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = wake.wait(&*clock, next_ms.map(|next_ms| next_ms.saturating_add(lies_ms(window_ms)))) => {}
        }
    }
}

/// Forgets what may be forgotten; tells when the next chain may.
async fn forget_due(store: &Store, window_ms: i64, clock: &dyn Clock) -> Result<Option<i64>, StoreError> {
    loop {
        // A look at the committed tables costs no transaction.
        let next_ms = store.view()?.next_forgetting_ms(window_ms)?;
        if next_ms.is_none_or(|next_ms| next_ms > clock.now_ms()) {
            return Ok(next_ms);
        }
        if store.submit_at_length(Forget { window_ms }).await? == 0 {
            return Ok(next_ms); // the clock was set back in between
        }
    }
}

/// Forgets what may be forgotten.
struct Forget {
    window_ms: i64,
}

impl Step for Forget {
    type Reply = usize;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<usize, StoreError> {
        txn.forget(self.window_ms)
    }
}
