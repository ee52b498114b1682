//! What the tests share: a runtime per test, an observer that logs, an echo server and a caller.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use pop_revive::seams::{BoxStream, Host};
use pop_sim::{
    plan::{Fault, Plan, SimMs},
    run::Remoting,
    world::{
        BoxFuture, StopSignal, World,
        tap::{FrameFacts, NodeEvent, Tap},
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Logs everything, one line each.
#[derive(Default)]
pub struct Log {
    lines: Mutex<Vec<String>>,
}

impl Log {
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }

    fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn frame(&self, what: &str, f: &FrameFacts) {
        let FrameFacts { at_ms, from, to, connection, code, opaque, nth, .. } = f;
        let request = f.request_code.map(|code| format!(" to {code}")).unwrap_or_default();
        self.push(format!("{at_ms} {what} {from}→{to} #{connection} code {code}{request} opaque {opaque} nth {nth}"));
    }
}

impl Tap for Log {
    fn request_sent(&self, frame: &FrameFacts) {
        self.frame("request", frame);
    }
    fn response_sent(&self, frame: &FrameFacts) {
        self.frame("response", frame);
    }
    fn delivered(&self, frame: &FrameFacts) {
        self.frame("delivered", frame);
    }
    fn synced(&self, at_ms: SimMs, node: &str, sync_no: u64, _: &str, writes: &[(u64, Bytes)]) {
        self.push(format!("{at_ms} synced {node} {sync_no}: {} writes", writes.len()));
    }
    fn left_with(&self, at_ms: SimMs, node: &str, syncs: u64, file: &str, content: &Bytes) {
        self.push(format!("{at_ms} left {node} {syncs} with {} bytes of {file}", content.len()));
    }
    fn fault(&self, at_ms: SimMs, fault_index: Option<usize>, text: &str) {
        self.push(format!("{at_ms} fault {fault_index:?} {text}"));
    }
    fn node(&self, at_ms: SimMs, node: &str, event: NodeEvent) {
        self.push(format!("{at_ms} node {node} {event:?}"));
    }
}

/// Runs `test` in a world with nodes `a` and `b` (10.0.0.1, 10.0.0.2), on a thread and a runtime of its own.
pub fn run<T: Send + 'static, F: Future<Output = T>>(
    seed: u64,
    faults: Vec<Fault>,
    test: impl FnOnce(World, Arc<Log>) -> F + Send + 'static,
) -> T {
    #[allow(clippy::disallowed_methods, reason = "std's hash seeds are per thread: every run gets a fresh one")]
    let thread = std::thread::spawn(move || {
        let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.block_on(async move {
            let log = Arc::new(Log::default());
            let world = World::new(seed, &Plan { faults }, Arc::new(Remoting), log.clone());
            world.add_node("a", "10.0.0.1");
            world.add_node("b", "10.0.0.2");
            let out = test(world.clone(), log).await;
            world.end().await;
            out
        })
    });
    thread.join().unwrap()
}

pub fn frame(code: i32, opaque: i32, flag: i32) -> Vec<u8> {
    let header = format!(r#"{{"code":{code},"extFields":{{"a":"1"}},"flag":{flag},"opaque":{opaque}}}"#);
    let mut frame = Vec::new();
    frame.extend_from_slice(&u32::try_from(header.len() + 4).unwrap().to_be_bytes());
    frame.extend_from_slice(&u32::try_from(header.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(header.as_bytes());
    frame
}

/// Reads one frame; gives code and opaque.
pub async fn read_frame(stream: &mut BoxStream) -> io::Result<(i32, i32)> {
    let length = stream.read_u32().await?;
    let mut rest = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut rest).await?;
    let header: serde_json::Value = serde_json::from_slice(&rest[4..]).unwrap();
    let field = |name: &str| i32::try_from(header[name].as_i64().unwrap()).unwrap();
    Ok((field("code"), field("opaque")))
}

/// Answers every request on port 80 with code 0.
pub fn echo(host: Host, stop: StopSignal) -> BoxFuture<()> {
    Box::pin(async move {
        let mut listener = host.transport.bind("0.0.0.0:80").await.unwrap();
        loop {
            let (mut stream, _) = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                incoming = listener.accept() => incoming.unwrap(),
            };
            tokio::spawn(async move {
                while let Ok((_, opaque)) = read_frame(&mut stream).await {
                    let answered = stream.write_all(&frame(0, opaque, 1)).await;
                    if answered.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}

/// Sends a request and waits for its answer's code, a second at most.
pub async fn call(stream: &mut BoxStream, code: i32, opaque: i32) -> io::Result<i32> {
    let exchange = async {
        stream.write_all(&frame(code, opaque, 0)).await?;
        stream.flush().await?;
        loop {
            let (answer, to) = read_frame(stream).await?;
            if to == opaque {
                return Ok(answer);
            }
        }
    };
    within(1_000, exchange).await?
}

/// Gives a future so many milliseconds.
pub async fn within<T>(ms: u64, future: impl Future<Output = T>) -> io::Result<T> {
    tokio::time::timeout(Duration::from_millis(ms), future).await.map_err(|_| io::ErrorKind::TimedOut.into())
}

/// Dials port 80 of `b` from `a`.
pub async fn dial(world: &World) -> io::Result<BoxStream> {
    within(1_000, world.host("a").transport.connect("10.0.0.2:80")).await?
}

pub async fn sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

pub fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}
