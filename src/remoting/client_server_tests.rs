#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};
use tokio_util::codec::{Decoder, Encoder};

use super::{
    code::{request, response},
    memory_transport::MemoryTransport,
    *,
};
use crate::seams::{BoxStream, Listener, Transport};

const SECOND: Duration = Duration::from_secs(1);

/// Waits as many ms as the ext field `wait` says, then echoes the body.
#[derive(Default)]
struct Echo {
    seen: Mutex<Vec<i32>>,
}

#[async_trait]
impl Handler for Echo {
    async fn handle(&self, _peer: &Peer, request: Command) -> Command {
        self.seen.lock().unwrap().push(request.code);
        let wait = request.ext.get("wait").map_or(0, |ms| ms.parse().unwrap());
        tokio::time::sleep(Duration::from_millis(wait)).await;
        Command::response(response::SUCCESS).with_body(request.body)
    }
}

fn asking(body: &'static str, wait_ms: u64) -> Command {
    let ext = BTreeMap::from([("wait".to_owned(), wait_ms.to_string())]);
    Command { ext, ..Command::request(request::SEND_MESSAGE) }.with_body(body)
}

async fn start(net: &MemoryTransport, config: ServerConfig) -> (Server, Arc<Echo>) {
    let echo = Arc::new(Echo::default());
    (Server::start(net.bind("b:1").await.unwrap(), echo.clone(), config), echo)
}

fn client(net: &MemoryTransport) -> Client {
    Client::new(Arc::new(net.clone()), ClientConfig::default())
}

/// A peer made by hand, frame by frame.
struct Raw {
    stream: BoxStream,
    buffer: BytesMut,
}

impl Raw {
    fn new(stream: BoxStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    async fn accept(listener: &mut Box<dyn Listener>) -> Self {
        Self::new(listener.accept().await.unwrap().0)
    }

    async fn read(&mut self) -> Option<Command> {
        loop {
            if let Some(command) = FrameCodec::default().decode(&mut self.buffer).unwrap() {
                return Some(command);
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn write(&mut self, command: &Command) {
        let mut frame = BytesMut::new();
        FrameCodec::default().encode(command, &mut frame).unwrap();
        self.stream.write_all(&frame).await.unwrap();
        self.stream.flush().await.unwrap();
    }
}

#[tokio::test]
async fn concurrent_callers_share_one_connection_and_get_their_own_answers() {
    let net = MemoryTransport::default();
    let (_server, _) = start(&net, ServerConfig::default()).await;
    let client = client(&net);
    let begun = Instant::now();
    let (slow, fast, fastest) = tokio::join!(
        client.call("b:1", asking("slow", 300), SECOND),
        client.call("b:1", asking("fast", 100), SECOND),
        client.call("b:1", asking("fastest", 0), SECOND),
    );
    assert_eq!((&slow.unwrap().body[..], &fast.unwrap().body[..]), (&b"slow"[..], &b"fast"[..]));
    assert_eq!(&fastest.unwrap().body[..], b"fastest");
    assert!(begun.elapsed() < Duration::from_millis(390), "a long poll held others up: {:?}", begun.elapsed());
    assert_eq!(net.connects(), 1);
}

#[tokio::test]
async fn answers_out_of_order_are_matched_by_opaque() {
    let net = MemoryTransport::default();
    let mut listener = net.bind("b:1").await.unwrap();
    let client = client(&net);
    let peer = async {
        let mut raw = Raw::accept(&mut listener).await;
        let (first, second) = (raw.read().await.unwrap(), raw.read().await.unwrap());
        assert_ne!(first.opaque, second.opaque);
        for request in [second, first] {
            raw.write(&Command::response(0).with_body(request.body.clone()).reply_to(&request)).await;
        }
        raw
    };
    let (one, two, _raw) =
        tokio::join!(client.call("b:1", asking("1", 0), SECOND), client.call("b:1", asking("2", 0), SECOND), peer);
    assert_eq!((&one.unwrap().body[..], &two.unwrap().body[..]), (&b"1"[..], &b"2"[..]));
}

#[tokio::test]
async fn a_timeout_covers_connecting_and_a_late_answer_is_dropped() {
    let net = MemoryTransport::default();
    let (_server, _) = start(&net, ServerConfig::default()).await;
    let client = client(&net);
    let error = client.call("silence", asking("x", 0), SECOND).await.unwrap_err();
    assert_eq!(error, CallError::Timeout { peer: "silence".into(), after: SECOND });
    let error = client.call("b:1", asking("late", 1500), SECOND).await.unwrap_err();
    assert_eq!((error.kind(), error.peer()), ("timeout", "b:1"));
    let answer = client.call("b:1", asking("next", 1000), 2 * SECOND).await.unwrap();
    assert_eq!(&answer.body[..], b"next");
    assert_eq!(net.connects(), 2);
}

#[tokio::test]
async fn a_failed_connect_is_shared_and_retried_by_the_next_call() {
    let net = MemoryTransport::default();
    let client = client(&net);
    let (one, two) =
        tokio::join!(client.call("b:1", asking("1", 0), SECOND), client.call("b:1", asking("2", 0), SECOND));
    assert_eq!((one.unwrap_err().kind(), two.unwrap_err().kind()), ("connect", "connect"));
    assert_eq!(net.connects(), 1);
    let error = client.call("silence", asking("x", 0), 10 * SECOND).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to silence: no connection within 3s");
    let (_server, _) = start(&net, ServerConfig::default()).await;
    client.call("b:1", asking("3", 0), SECOND).await.unwrap();
}

#[tokio::test]
async fn a_broken_connection_fails_its_calls_and_the_next_call_reconnects() {
    let net = MemoryTransport::default();
    let mut listener = net.bind("b:1").await.unwrap();
    let client = client(&net);
    let breaking = async {
        let mut raw = Raw::accept(&mut listener).await;
        raw.read().await.unwrap();
        raw.read().await.unwrap();
    };
    let (one, two, ()) =
        tokio::join!(client.call("b:1", asking("1", 0), SECOND), client.call("b:1", asking("2", 0), SECOND), breaking);
    assert_eq!((one.unwrap_err().kind(), two.unwrap_err().kind()), ("reset", "reset"));
    let answering = async {
        let mut raw = Raw::accept(&mut listener).await;
        let request = raw.read().await.unwrap();
        raw.write(&Command::response(0).reply_to(&request)).await;
        raw
    };
    let (three, _raw) = tokio::join!(client.call("b:1", asking("3", 0), SECOND), answering);
    assert!(three.is_ok());
}

#[tokio::test]
async fn a_malformed_answer_is_typed() {
    let net = MemoryTransport::default();
    let mut listener = net.bind("b:1").await.unwrap();
    let client = client(&net);
    let babbling = async {
        let mut raw = Raw::accept(&mut listener).await;
        raw.stream.write_all(b"HTTP/1.1 400").await.unwrap();
        assert_eq!(raw.read().await.map(|request| request.code), Some(request::SEND_MESSAGE));
        assert_eq!(raw.read().await, None);
    };
    let (answer, ()) = tokio::join!(client.call("b:1", asking("1", 0), SECOND), babbling);
    assert!(matches!(answer, Err(CallError::Malformed { cause: FrameError::TooLong { .. }, .. })), "{answer:?}");
}

#[tokio::test]
async fn too_many_calls_are_refused_by_the_client() {
    let net = MemoryTransport::default();
    let (_server, _) = start(&net, ServerConfig::default()).await;
    let client = Client::new(Arc::new(net), ClientConfig { max_in_flight: 1, ..ClientConfig::default() });
    let (one, two) =
        tokio::join!(client.call("b:1", asking("1", 100), SECOND), client.call("b:1", asking("2", 0), SECOND));
    assert!(one.is_ok());
    assert_eq!(two, Err(CallError::Overloaded { peer: "b:1".into(), limit: 1 }));
    client.call("b:1", asking("3", 0), SECOND).await.unwrap();
}

#[tokio::test]
async fn a_oneway_request_is_worked_on_and_not_answered() {
    let net = MemoryTransport::default();
    let (_server, echo) = start(&net, ServerConfig::default()).await;
    client(&net).send_oneway("b:1", Command::request(request::BROKER_HEARTBEAT), SECOND).await.unwrap();
    let mut raw = Raw::new(net.connect("b:1").await.unwrap());
    raw.write(&Command::request(request::BROKER_HEARTBEAT).oneway()).await;
    raw.write(&asking("x", 100)).await;
    assert_eq!(&raw.read().await.unwrap().body[..], b"x");
    let mut seen = echo.seen.lock().unwrap().clone();
    seen.sort_unstable();
    assert_eq!(seen, [request::SEND_MESSAGE, request::BROKER_HEARTBEAT, request::BROKER_HEARTBEAT]);
}

#[tokio::test]
async fn a_malformed_frame_closes_only_its_connection() {
    let net = MemoryTransport::default();
    let (_server, _) = start(&net, ServerConfig::default()).await;
    let client = client(&net);
    client.call("b:1", asking("1", 0), SECOND).await.unwrap();
    let mut raw = Raw::new(net.connect("b:1").await.unwrap());
    raw.stream.write_all(&[0xff; 8]).await.unwrap();
    assert_eq!(raw.read().await, None);
    client.call("b:1", asking("2", 0), SECOND).await.unwrap();
    assert_eq!(net.connects(), 2);
}

#[tokio::test]
async fn an_overloaded_server_answers_busy_until_work_is_done() {
    let net = MemoryTransport::default();
    let (_server, _) = start(&net, ServerConfig { max_in_flight: 1, ..ServerConfig::default() }).await;
    let client = client(&net);
    let second = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.call("b:1", asking("2", 0), SECOND).await.unwrap()
    };
    let (one, two) = tokio::join!(client.call("b:1", asking("1", 200), SECOND), second);
    assert_eq!(one.unwrap().code, response::SUCCESS);
    assert_eq!(two.code, response::SYSTEM_BUSY);
    assert!(two.remark.unwrap().starts_with("[OVERLOAD]"));
    assert_eq!(client.call("b:1", asking("3", 0), SECOND).await.unwrap().code, response::SUCCESS);
}

#[tokio::test]
async fn shutdown_lets_work_finish_but_not_past_the_deadline() {
    let net = MemoryTransport::default();
    let (server, _) = start(&net, ServerConfig::default()).await;
    let client = client(&net);
    let shutdown = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.shutdown(SECOND).await;
    };
    let (done, cut, ()) = tokio::join!(
        client.call("b:1", asking("done", 500), 5 * SECOND),
        client.call("b:1", asking("cut", 3000), 5 * SECOND),
        shutdown
    );
    assert_eq!(&done.unwrap().body[..], b"done");
    assert_eq!(cut.unwrap_err().kind(), "reset");
    assert_eq!(client.call("b:1", asking("after", 0), SECOND).await.unwrap_err().kind(), "connect");
}

#[tokio::test]
async fn closing_the_client_ends_its_calls_and_connections() {
    let net = MemoryTransport::default();
    let mut listener = net.bind("b:1").await.unwrap();
    let client = client(&net);
    let closing = async {
        let mut raw = Raw::accept(&mut listener).await;
        raw.read().await.unwrap();
        client.close();
        assert_eq!(raw.read().await, None);
    };
    let (answer, ()) = tokio::join!(client.call("b:1", asking("1", 0), SECOND), closing);
    assert_eq!(answer.unwrap_err().kind(), "reset");
    assert_eq!(client.call("b:1", asking("2", 0), SECOND).await.unwrap_err().kind(), "reset");
}

/// Its other end is gone, and nobody says so.
#[tokio::test]
async fn a_connection_that_nothing_comes_on_is_not_used_again() {
    let net = MemoryTransport::default();
    let mut listener = net.bind("b:1").await.unwrap();
    let client = client(&net);
    let served = async {
        let mut silent = Raw::accept(&mut listener).await;
        let waiting = silent.read().await.unwrap();
        silent.read().await.unwrap();
        let mut other = Raw::accept(&mut listener).await;
        let asked = other.read().await.unwrap();
        other.write(&Command::response(response::SUCCESS).reply_to(&asked)).await;
        silent.write(&Command::response(response::SUCCESS).reply_to(&waiting)).await;
        assert_eq!(silent.read().await, None, "it is closed when nobody waits on it any more");
    };
    let in_vain = client.call("b:1", asking("1", 0), 3 * SECOND);
    let waiting = client.call("b:1", asking("2", 0), 5 * SECOND);
    let next = async {
        assert_eq!(in_vain.await.unwrap_err().kind(), "timeout");
        client.call("b:1", asking("3", 0), SECOND).await.unwrap();
    };
    let (answer, (), ()) = tokio::join!(waiting, next, served);
    answer.expect("who waits longer may still be answered");
    assert_eq!(net.connects(), 2);
}

#[tokio::test]
async fn one_that_others_are_answered_on_is() {
    let net = MemoryTransport::default();
    let (_server, _) = start(&net, ServerConfig::default()).await;
    let client = client(&net);
    let slow = client.call("b:1", asking("1", 4_000), 3 * SECOND);
    let quick = client.call("b:1", asking("2", 0), SECOND);
    let (slow, quick) = tokio::join!(slow, quick);
    assert_eq!(slow.unwrap_err().kind(), "timeout");
    quick.unwrap();
    client.call("b:1", asking("3", 0), SECOND).await.unwrap();
    assert_eq!(net.connects(), 1);
}

#[tokio::test]
async fn an_unused_connection_is_closed_and_made_again_when_needed() {
    let net = MemoryTransport::default();
    let (_server, _) = start(&net, ServerConfig { idle_close: 1000 * SECOND, ..ServerConfig::default() }).await;
    let config = ClientConfig { idle_close: Duration::from_millis(200), ..ClientConfig::default() };
    let client = Client::new(Arc::new(net.clone()), config);
    client.call("b:1", asking("1", 500), SECOND).await.unwrap();
    client.call("b:1", asking("2", 0), SECOND).await.unwrap();
    assert_eq!(net.connects(), 1);
    tokio::time::sleep(SECOND).await;
    client.call("b:1", asking("3", 0), SECOND).await.unwrap();
    assert_eq!(net.connects(), 2);
}
