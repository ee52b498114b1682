//! The pages, over a network in memory.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    metrics::http::{MetricsServer, Observed},
    remoting::memory_transport::MemoryTransport,
    seams::Transport,
};

const LISTEN: &str = "10.0.0.1:5557";

async fn serve(net: &MemoryTransport, readings: Readings) -> MetricsServer {
    let read = Box::new(move || readings.clone());
    let observed = Observed { metrics: Arc::default(), labels: labels(), read, stuck_after_ms: 60_000 };
    MetricsServer::start(net, LISTEN, observed).await.unwrap()
}

/// Everything that is answered to these bytes.
async fn send(net: &MemoryTransport, bytes: &[u8]) -> String {
    let mut stream = net.connect(LISTEN).await.unwrap();
    let _ = stream.write_all(bytes).await; // it may be cut off in the middle
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(net: &MemoryTransport, path: &str) -> (u16, String) {
    let answer = send(net, format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn metrics_and_health_are_served() {
    let net = MemoryTransport::default();
    let _server = serve(&net, readings()).await;
    let (status, body) = get(&net, "/metrics").await;
    assert_eq!((status, value(&body, "pop_revive_registered", &[])), (200, 1.0));
    let head = send(&net, b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    let (status, body) = get(&net, "/health").await;
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, health["live"].as_bool(), health["ready"].as_bool()), (200, Some(true), Some(true)));
    assert_eq!(get(&net, "/else").await.0, 404);
    assert!(send(&net, b"POST /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn health_says_what_is_wrong() {
    let overdue = |since_ms| {
        Some(TableReadings { waiting: 1, overdue: 1, overdue_since_ms: Some(since_ms), ..Default::default() })
    };
    let cases = [
        (Readings { registered: false, ..readings() }, 200, 503),
        (Readings { tables: None, ..readings() }, 200, 503),
        (Readings { following: Some(FollowingReadings { behind: 7, stuck: false }), ..readings() }, 200, 200),
        (Readings { following: Some(FollowingReadings { behind: 7, stuck: true }), ..readings() }, 200, 503),
        (Readings { unconfirmed_ms: Some(10_000), ..readings() }, 200, 200),
        (Readings { unconfirmed_ms: Some(10_001), ..readings() }, 200, 503),
        (Readings { acting: Some(ActingReadings { acts: true, term: 7 }), ..readings() }, 200, 200),
        (Readings { acting: Some(ActingReadings { acts: true, term: 0 }), ..readings() }, 200, 200),
        (Readings { merging: Some(MergingReadings { term: 7, waited_ms: None }), ..readings() }, 200, 200),
        (Readings { merging: Some(MergingReadings { term: 7, waited_ms: Some(0) }), ..readings() }, 200, 503),
        (Readings { tables: overdue(940_000), ..readings() }, 200, 200),
        (Readings { tables: overdue(939_999), ..readings() }, 503, 503),
    ];
    for (number, (readings, live, ready)) in cases.into_iter().enumerate() {
        let net = MemoryTransport::default();
        let _server = serve(&net, readings).await;
        let found = (get(&net, "/health/live").await.0, get(&net, "/health/ready").await.0);
        assert_eq!((found, get(&net, "/health").await.0), ((live, ready), ready), "case {number}");
    }
}

#[test]
fn who_acts_and_what_is_merged_is_shown_only_where_a_slave_may_act() {
    let shown = |readings| {
        let text = text(&Arc::default(), readings);
        let names = ["acts", "acting_term", "merged_term", "merge_waits_seconds"].map(|it| format!("pop_revive_{it}"));
        let shown = names.iter().filter(|name| text.contains(&format!("\n{name}{{")));
        shown.map(|name| value(&text, name, &[])).collect::<Vec<_>>()
    };
    assert_eq!(shown(readings()), [0.0; 0]);
    let acting = Some(ActingReadings { acts: true, term: 7 });
    assert_eq!(shown(Readings { acting, ..readings() }), [1.0, 7.0]);
    let merging = |waited_ms| Some(MergingReadings { term: 8, waited_ms });
    assert_eq!(shown(Readings { merging: merging(None), ..readings() }), [8.0, 0.0]);
    assert_eq!(shown(Readings { merging: merging(Some(1_500)), ..readings() }), [8.0, 1.5]);
}

#[tokio::test]
async fn a_client_cannot_hold_or_flood_it() {
    let net = MemoryTransport::default();
    let _server = serve(&net, readings()).await;
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    assert!(send(&net, long.as_bytes()).await.starts_with("HTTP/1.1 431 "), "the head is too long");
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(net.connect(LISTEN).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(send(&net, b"GET /metrics HTTP/1.1\r\n\r\n").await, "", "a connection too many is closed");
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(get(&net, "/health").await.0, 200, "silent connections were closed");
}

#[tokio::test]
async fn a_dropped_server_answers_nobody() {
    let net = MemoryTransport::default();
    drop(serve(&net, readings()).await);
    assert_eq!(send(&net, b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await, "");
}
