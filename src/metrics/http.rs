//! `/metrics` and `/health` over HTTP/1.1, for Prometheus and for whoever supervises the process.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{Health, Labels, Metrics, Readings};
use crate::seams::{BoxStream, Listener, Transport};

/// Connections that may be open at once; a further one is closed.
const CONNECTIONS_MAX: usize = 16;
/// A connection carries one request and is closed after this long, whatever state it is in.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// Longest request line and headers, bytes.
const HEAD_MAX: usize = 8 << 10;
/// Pause after the listener failed, before it is asked again.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// What is shown.
pub struct Observed {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The labels of every metric.
    pub labels: Labels,
    /// Reads the rest.
    pub read: Box<dyn Fn() -> Readings + Send + Sync>,
    /// From how long a stall on the broker counts as stuck, ms.
    pub stuck_after_ms: i64,
}

impl Observed {
    fn health(&self) -> Health {
        Health::of(&(self.read)(), self.metrics.recovery.progress_ms(), self.stuck_after_ms)
    }
}

/// A running server. Dropping it closes everything.
pub struct MetricsServer {
    address: String,
    ended: CancellationToken,
}

impl MetricsServer {
    /// Listens on `listen` and shows `observed`.
    ///
    /// # Errors
    /// The address is taken or is not this host's.
    pub async fn start(transport: &dyn Transport, listen: &str, observed: Observed) -> io::Result<Self> {
        let listener = transport.bind(listen).await?;
        let server = Self { address: listener.local_address(), ended: CancellationToken::new() };
        tokio::spawn(accept(listener, Arc::new(observed), server.ended.clone()));
        Ok(server)
    }

    /// The address that was bound, with the real port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

async fn accept(mut listener: Box<dyn Listener>, observed: Arc<Observed>, ended: CancellationToken) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            () = ended.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match connections.clone().try_acquire_owned() {
                Ok(permit) => {
                    tokio::spawn(serve(stream, observed.clone(), ended.clone(), permit));
                }
                Err(_) => tracing::warn!(peer, limit = CONNECTIONS_MAX, "too many connections for metrics"),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for metrics");
                tokio::select! {
                    biased;
                    () = ended.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_RETRY) => {}
                }
            }
        }
    }
}

async fn serve(stream: BoxStream, observed: Arc<Observed>, ended: CancellationToken, _permit: OwnedSemaphorePermit) {
    let answer = service_fn(|request: Request<Incoming>| {
        let answered = answer(&observed, request.method(), request.uri().path());
        std::future::ready(Ok::<_, Infallible>(answered))
    });
    // The limit on the whole connection stands in for a limit on the head; the answer's date is the collector's affair.
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_MAX)
        .header_read_timeout(None)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        biased;
        () = ended.cancelled() => {}
        served = tokio::time::timeout(CONNECTION_LIMIT, connection) => match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics was lost"),
            Err(_) => tracing::debug!(limit = ?CONNECTION_LIMIT, "a connection for metrics took too long"),
        },
    }
}

fn answer(observed: &Observed, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n".into());
    }
    match path {
        "/metrics" => match observed.metrics.encode(&observed.labels, (observed.read)()) {
            Ok(text) => page(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
        },
        "/health" | "/health/ready" => verdict(&observed.health(), |health| health.ready),
        "/health/live" => verdict(&observed.health(), |health| health.live),
        _ => page(StatusCode::NOT_FOUND, TEXT, "/metrics, /health, /health/live, /health/ready\n".into()),
    }
}

fn verdict(health: &Health, good: impl Fn(&Health) -> bool) -> Response<Full<Bytes>> {
    let status = if good(health) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Numbers and flags always have a JSON form.
    page(status, JSON, serde_json::to_string(health).unwrap_or_default())
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
