//! What watches the brokers: it reads their metrics and health over HTTP, as Prometheus does.

use std::{collections::BTreeMap, io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use pop_revive::seams::Host;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{pause::pause, route::Endpoint};
use crate::history::{Noted, Recorder, Scraped};

/// How often each broker is asked.
const EVERY: Duration = Duration::from_secs(300);
/// For how long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The labels that all metrics of a broker have.
const COMMON: [&str; 3] = ["cluster=", "node_type=", "node_id="];

/// What is read of a broker's health.
#[derive(Deserialize)]
struct Health {
    registered: bool,
}

/// A page that was not shown.
#[derive(Debug, thiserror::Error)]
enum NotShown {
    #[error("no connection")]
    Connection(#[from] io::Error),
    #[error("the exchange failed")]
    Exchange(#[from] hyper::Error),
    #[error("the request cannot be made")]
    Request(#[from] hyper::http::Error),
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("its health is not told in JSON")]
    Health(#[from] serde_json::Error),
    #[error("no answer in {TIMEOUT:?}")]
    TimedOut(#[from] tokio::time::error::Elapsed),
}

/// Asks each broker, at the address of its pages, again and again until `stop` fires. One that shows nothing is left for the
/// next time.
pub async fn run(host: Host, brokers: Vec<Endpoint>, recorder: Recorder, stop: CancellationToken) {
    while pause(&stop, EVERY).await {
        for broker in &brokers {
            match scrape(&host, broker, &recorder).await {
                Ok(scraped) => recorder.record(Noted::Scraped(scraped)),
                Err(error) => tracing::debug!(broker = %broker.name, %error, "nothing is shown"),
            }
        }
    }
}

async fn scrape(host: &Host, broker: &Endpoint, recorder: &Recorder) -> Result<Scraped, NotShown> {
    let began_ms = recorder.now_ms();
    let (status, metrics) = get(host, &broker.address, "/metrics").await?;
    if status != StatusCode::OK {
        return Err(NotShown::Refused(status));
    }
    let (status, health) = get(host, &broker.address, "/health/ready").await?;
    let (is_ready, Health { registered }) = (status == StatusCode::OK, serde_json::from_slice(&health)?);
    Ok(Scraped {
        broker: broker.name.clone(),
        began_ms,
        is_ready,
        is_registered: registered,
        samples: samples(&String::from_utf8_lossy(&metrics)),
    })
}

async fn get(host: &Host, address: &str, path: &str) -> Result<(StatusCode, Bytes), NotShown> {
    let exchange = async {
        let stream = host.transport.connect(address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(path).header(header::HOST, address).body(Empty::<Bytes>::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        // The broker closes the connection after its answer; one that is lost before loses the answer too.
        let (answer, _) = tokio::join!(answer, connection);
        answer
    };
    tokio::time::timeout(TIMEOUT, exchange).await?
}

/// The whole numbers in a page of `OpenMetrics` text, without those that are 0.
fn samples(page: &str) -> BTreeMap<String, u64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(sample).filter(|(_, value)| *value > 0).collect()
}

fn sample(line: &str) -> Option<(String, u64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value: f64 = value.parse().ok()?;
    let is_whole = value >= 0.0 && value.fract() == 0.0;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let own = labels.trim_end_matches('}').split(',').filter(|label| !COMMON.iter().any(|it| label.starts_with(it)));
    let own: Vec<&str> = own.filter(|label| !label.is_empty()).collect();
    let name = if own.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", own.join(",")) };
    is_whole.then_some((name, value as u64))
}

#[cfg(test)]
mod tests {
    use super::samples;

    #[test]
    fn whole_numbers_are_read_with_the_labels_that_are_their_own() {
        let page = concat!(
            "# HELP chains_waiting Chains that wait.\n",
            "chains_waiting{cluster=\"c\",node_type=\"broker\",node_id=\"a\"} 3.0\n",
            "ended_total{cluster=\"c\",node_type=\"broker\",node_id=\"a\",outcome=\"acked\"} 17\n",
            "ended_total{cluster=\"c\",node_type=\"broker\",node_id=\"a\",outcome=\"gone\"} 0\n",
            "age_seconds{cluster=\"c\"} 1.5\n",
            "alone 4\n# EOF\n"
        );
        let read: Vec<_> = samples(page).into_iter().collect();
        let expected = [("alone", 4), ("chains_waiting", 3), ("ended_total{outcome=\"acked\"}", 17)];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value)));
    }
}
