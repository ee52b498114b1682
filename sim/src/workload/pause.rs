//! Waiting that ends early when a client is told to stop.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Waits for `span`; says whether to go on, which is not so once `stop` has fired.
pub(super) async fn pause(stop: &CancellationToken, span: Duration) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(span) => true,
    }
}
